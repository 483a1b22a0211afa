"""The zones of numbers, against phonenumbers' own word on each of them."""

import numpy as np
import phonenumbers
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneNumber
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_number

from broadcaster.phones.zones import zones_of

_KINDS = range(11)


def examples() -> list[PhoneNumber]:
    found = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            for kind in _KINDS:
                example = (
                    phonenumbers.example_number_for_non_geo_entity(code)
                    if region == "001"
                    else phonenumbers.example_number_for_type(region, kind)
                )
                if example is not None:
                    found.append(example)
    return found


EXAMPLES = examples()


def digits(number: PhoneNumber) -> int:
    return int(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:])


def expected(number: PhoneNumber) -> tuple[str, ...]:
    return tuple(sorted(zone for zone in time_zones_for_number(number) if zone != UNKNOWN_TIMEZONE))


def agree(numbers: list[PhoneNumber]) -> None:
    found = zones_of(np.array([digits(each) for each in numbers], dtype=np.int64))
    assert [found.sets[code] for code in found.codes] == [expected(each) for each in numbers]


def test_the_examples_of_every_country_and_kind_have_the_zones_that_the_library_gives() -> None:
    assert len(EXAMPLES) > 1000
    agree(EXAMPLES)


@given(st.data())
def test_valid_numbers_like_them_have_too(data: st.DataObject) -> None:
    numbers = []
    for example in data.draw(st.lists(st.sampled_from(EXAMPLES), min_size=1, max_size=20)):
        text = str(example.national_number)
        kept = data.draw(st.integers(1, len(text)))
        tail = data.draw(st.text("0123456789", min_size=len(text) - kept, max_size=len(text) - kept))
        number = PhoneNumber(
            country_code=example.country_code,
            national_number=int(text[:kept] + tail),
            italian_leading_zero=example.italian_leading_zero,
        )
        if phonenumbers.is_valid_number(number):
            numbers.append(number)
    agree(numbers)


def test_what_is_no_number_is_nowhere_and_a_list_may_be_empty() -> None:
    found = zones_of(np.array([0, 14155550100], dtype=np.int64))
    assert [found.sets[code] for code in found.codes] == [(), ("America/Los_Angeles",)]
    assert len(zones_of(np.zeros(0, dtype=np.int64)).codes) == 0
