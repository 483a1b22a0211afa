"""Which written numbers are refused, and what the row is told."""

import phonenumbers
import pytest

from broadcaster.phones import FAULTS
from broadcaster.phones.judge import Kind, judge

US = 14155550100

ACCEPTED = [
    ("international", "+14155550100", None),
    ("international with spaces", "+1 415 555 0100", None),
    ("national with brackets", "(415) 555-0100", "US"),
    ("national with dots", "415.555.0100", "US"),
    ("national with the trunk 1", "1-415-555-0100", "US"),
    ("a region in small letters", "4155550100", "us"),
    ("the country code without its plus", "14155550100", "US"),
    ("international in a list of another region", "+1 415 555 0100", "DE"),
    ("international with an unknown region", "+1 415 555 0100", "USA"),
    ("00 where the region dials it", "00 1 415 555 0100", "GB"),
    ("011 where the region dials it", "011 1 415 555 0100", "US"),
    ("a spreadsheet's apostrophe", "'+14155550100", None),
    ("a URI", "tel:+1-415-555-0100", None),
    ("a URI in capitals behind an apostrophe", "'TEL: +14155550100", None),
    ("a byte order mark", "\ufeff+14155550100", None),
    ("a right-to-left mark", "\u200f+14155550100", None),
    ("direction marks round it", "\u202d+14155550100\u202c", None),
    ("full-width digits", "+1４１５５５５０１００", None),  # noqa: RUF001 - the point of the row
    ("a non-breaking hyphen and a no-break space", "+1\u00a0415\u2011555\u20110100", None),
    ("Arabic-Indic digits", "٤١٥٥٥٥٠١٠٠", "US"),
    ("tabs between the groups", "415\t555\t0100", "US"),
    ("space round it", "  +14155550100 \r\n", None),
]

REFUSED = [
    ("nothing", "", "US", Kind.EMPTY),
    ("only space and invisible marks", " \u200b\ufeff ", "US", Kind.EMPTY),
    ("only an apostrophe", "'", "US", Kind.EMPTY),
    ("a formula", "=+14155550100", "US", Kind.FORMULA),
    ("scientific notation", "1.41555E+10", "US", Kind.SCIENTIFIC),
    ("scientific notation with a comma", "1,41555E+10", "DE", Kind.SCIENTIFIC),
    ("a float that Arrow wrote", "1.41555501e+10", "US", Kind.SCIENTIFIC),
    ("a whole number with a decimal", "14155550100.0", "US", Kind.DECIMAL),
    ("a whole number with two decimals", "4155550100,00", "US", Kind.DECIMAL),
    ("a number with a fraction", "415555010.5", "US", Kind.DECIMAL),
    ("two numbers with a slash", "4155550100 / 4155550101", "US", Kind.SEVERAL),
    ("two numbers with a comma", "+14155550100,+14155550101", None, Kind.SEVERAL),
    ("two numbers on two lines", "4155550100\n4155550101", "US", Kind.SEVERAL),
    ("two numbers with a space", "4155550100 4155550101", "US", Kind.SEVERAL),
    ("two grouped numbers, each with its plus", "+1-415-555-0100+1-415-555-0101", None, Kind.SEVERAL),
    ("an extension with x", "415-555-0100 x12", "US", Kind.EXTENSION),
    ("an extension with a word", "(415) 555-0100 ext. 12", "US", Kind.EXTENSION),
    ("an extension with a hash", "415-555-0100 #12", "US", Kind.EXTENSION),
    ("a vanity number", "1-800-FLOWERS", "US", Kind.LETTERS),
    ("a URI of something else", "sms:+14155550100", None, Kind.LETTERS),
    ("a URI with parameters", "tel:+14155550100;phone-context=example.com", None, Kind.LETTERS),
    ("a name", "Ada", "US", Kind.LETTERS),
    ("a word of the database", "NULL", "US", Kind.LETTERS),
    ("a superscript that would become a digit", "415555010²", "US", Kind.STRANGE),
    ("a minus sign", "-14155550100", "US", Kind.STRANGE),
    ("a star code", "*67 4155550100", "US", Kind.STRANGE),
    ("a NUL", "+1415\x005550100", None, Kind.STRANGE),
    ("a quote left over", '"4155550100', "US", Kind.STRANGE),
    ("no country code and no region", "(415) 555-0100", None, Kind.NO_COUNTRY),
    ("00 where no region tells", "0014155550100", None, Kind.NO_COUNTRY),
    ("no country code and a word for a region", "4155550100", "California", Kind.UNKNOWN_REGION),
    ("00 where the region does not dial it", "0014155550100", "US", Kind.TOO_LONG),
    ("a country code that does not exist", "+999 4155550100", None, Kind.NOT_VALID),
    ("possible but never assigned", "+1 199 555 0100", None, Kind.NOT_VALID),
    ("a plus in the middle", "415+5550100", "US", Kind.NOT_VALID),
    ("punctuation only", "+", "US", Kind.NOT_VALID),
    ("a short code", "12345", "US", Kind.TOO_SHORT),
    ("an emergency number", "911", "US", Kind.TOO_SHORT),
    ("without its area code", "555-0100", "US", Kind.TOO_SHORT),
    ("a digit too many", "+1 415 555 01000", None, Kind.TOO_LONG),
    ("far too many digits", "4" * 40, "US", Kind.TOO_LONG),
]


@pytest.mark.parametrize(("text", "region"), [pytest.param(t, r, id=name) for name, t, r in ACCEPTED])
def test_a_number_is_read_as_people_write_it(text: str, region: str | None) -> None:
    assert judge(text, region) == (US, Kind.NONE)


@pytest.mark.parametrize(("text", "region", "kind"), [pytest.param(t, r, k, id=name) for name, t, r, k in REFUSED])
def test_what_may_be_a_strangers_number_is_refused(text: str, region: str | None, kind: Kind) -> None:
    assert judge(text, region) == (0, kind)


def test_every_kind_of_fault_is_met_in_the_table() -> None:
    assert {kind for *_, kind in REFUSED} == set(Kind) - {Kind.NONE}


def test_every_fault_has_a_sentence_of_its_own_and_one_reason() -> None:
    assert len(FAULTS) == len(Kind)
    assert (FAULTS[0].reason, FAULTS[0].sentence) == ("", "")
    assert {fault.reason for fault in FAULTS[1:]} == {"invalid_number"}
    assert len({fault.sentence for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("region", ["DE", "IT", "BR", "AR", "MX", "GB", "KZ"])
def test_an_example_of_every_type_is_its_own_number_in_each_way_of_writing(region: str) -> None:
    for kind in range(phonenumbers.PhoneNumberType.VOICEMAIL + 1):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is None:
            continue
        expected = int(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))
        for style in (phonenumbers.PhoneNumberFormat.E164, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
            assert judge(phonenumbers.format_number(example, style), None) == (expected, Kind.NONE)
