"""The last word on a phone number: Google's metadata, behind a stricter door.

phonenumbers is made to find a number in whatever somebody typed. A list that is sent to without anybody looking needs
the opposite: what could be a stranger's number, or two numbers, or a number that a spreadsheet has damaged, is refused
and said so. Hence: written numbers only, of characters that belong in one, and valid, not merely possible.

It must not know where a number comes from; it judges one text at a time. Faster ways may stand in front of it, and must
agree with it on every input.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import IntEnum, auto

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from broadcaster.core.words import Reason

_LONGEST = 15  # digits, E.164
_TWO = 2
_SEVERAL_DIGITS = 7  # a part with that many digits is a number of its own

_HYPHENS = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_BELONGS = re.compile(rf"[\d+ ().\[\]/{re.escape(_HYPHENS)}]*")
_SCIENTIFIC = re.compile(r"[+-]?\d+(?:[.,]\d+)?e[+-]?\d+", re.IGNORECASE)
_DECIMAL = re.compile(r"[+-]?(?:\d+[.,]0+|\d{7,}[.,]\d{1,2})")  # 30.1234567 is how some write an area code
_EXTENSION = re.compile(
    r"\d[\s,;)]*(?:e?xt(?:n|ensi[oó]n)?|e?xtn|x|#|~|int|anexo|доб)[.:\s]*\d{1,9}\s*#?", re.IGNORECASE
)
_SEPARATORS = re.compile(r"[,;|&/\n\r]| +|(?<=\d)(?=\+)")


class Kind(IntEnum):
    """What is wrong with a number; the value is its place in :data:`FAULTS`."""

    NONE = 0
    EMPTY = auto()
    LETTERS = auto()
    EXTENSION = auto()
    SEVERAL = auto()
    SCIENTIFIC = auto()
    DECIMAL = auto()
    FORMULA = auto()
    STRANGE = auto()
    NO_COUNTRY = auto()
    UNKNOWN_REGION = auto()
    NOT_VALID = auto()
    TOO_SHORT = auto()
    TOO_LONG = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a number is refused: ``reason`` is the stable code, ``sentence`` for people repeats nothing of the cell."""

    reason: str
    sentence: str


_SENTENCES = {
    Kind.EMPTY: "the cell is empty",
    Kind.LETTERS: "it contains letters; write the number in digits",
    Kind.EXTENSION: "it has an extension, which cannot be messaged",
    Kind.SEVERAL: "it is more than one number; one row is one person",
    Kind.SCIENTIFIC: "a spreadsheet has shortened it (like 1.4E+10) and digits are lost; format the column as text",
    Kind.DECIMAL: "a spreadsheet has made it a decimal number (like 14155550100.0); format the column as text",
    Kind.FORMULA: "it is a spreadsheet formula; save the column as text",
    Kind.STRANGE: "it contains characters that do not belong in a phone number",
    Kind.NO_COUNTRY: "it has no country code and the job has no default region",
    Kind.UNKNOWN_REGION: "it has no country code, and its region is not a two-letter code such as US or GB",
    Kind.NOT_VALID: "it is not a valid number of its country",
    Kind.TOO_SHORT: "it is too short: a short code, or without its area code",
    Kind.TOO_LONG: "it has too many digits",
}
FAULTS: tuple[Fault, ...] = (
    Fault(reason="", sentence=""),
    *(Fault(reason=Reason.INVALID_NUMBER, sentence=_SENTENCES[kind]) for kind in Kind if kind),
)


def judge(text: str, region: str | None) -> tuple[int, Kind]:
    """Return the number's E.164 digits and no fault, or 0 and what is wrong.

    *region* is the two-letter code, in any case, of the country that a number without a country code belongs to.
    ``00`` means "abroad" only where that region dials it.
    """
    cleaned = _cleaned(text)
    if (fault := _looks(cleaned)) is not None:
        return 0, fault
    place = region.strip().upper() if region else None
    known = place if place in phonenumbers.SUPPORTED_REGIONS else None
    try:
        number = phonenumbers.parse(cleaned, known)
    except NumberParseException as error:
        return 0, _parse_fault(error.error_type, abroad=cleaned.lstrip("( ").startswith("+"), known=known, place=place)
    if number.extension:
        return 0, Kind.EXTENSION
    if not phonenumbers.is_valid_number(number):
        return 0, _validity_fault(phonenumbers.is_possible_number_with_reason(number))
    digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    return (int(digits), Kind.NONE) if len(digits) <= _LONGEST else (0, Kind.TOO_LONG)


def _cleaned(text: str) -> str:
    """Return *text* in the one form of Unicode, without invisible marks, outer space, a leading apostrophe or ``tel:``.

    Superscripts and circled digits would become digits of the number; they are left for the look to refuse.
    """
    if not text.isascii():
        folded = (mark if unicodedata.category(mark) == "No" else unicodedata.normalize("NFKC", mark) for mark in text)
        text = "".join(mark for mark in "".join(folded) if unicodedata.category(mark) != "Cf")
    text = text.strip().removeprefix("'").strip()
    if text[:4].lower() == "tel:":
        text = text[4:].strip()
    return text.replace("\t", " ")


def _looks(text: str) -> Kind | None:  # noqa: PLR0911 - one line per rule, in the order in which they hold
    """Return what can be seen to be wrong without knowing any numbering plan."""
    if not text:
        return Kind.EMPTY
    if text.startswith("="):
        return Kind.FORMULA
    if _SCIENTIFIC.fullmatch(text):
        return Kind.SCIENTIFIC
    if _DECIMAL.fullmatch(text):
        return Kind.DECIMAL
    if _several(text):
        return Kind.SEVERAL
    if _EXTENSION.search(text):
        return Kind.EXTENSION
    if any(map(str.isalpha, text)):
        return Kind.LETTERS
    # A sign before the digits is a damaged cell, not a way to write a number; phonenumbers would skip it.
    if not _BELONGS.fullmatch(text) or text[0] in _HYPHENS + "./])":
        return Kind.STRANGE
    return None


def _several(text: str) -> bool:
    """Tell whether two parts of *text* are each long enough to be a number."""
    parts = (sum(map(str.isdecimal, part)) for part in _SEPARATORS.split(text))
    return sum(digits >= _SEVERAL_DIGITS for digits in parts) >= _TWO


def _parse_fault(error: int, *, abroad: bool, known: str | None, place: str | None) -> Kind:
    match error:
        case NumberParseException.INVALID_COUNTRY_CODE if not abroad and known is None:
            return Kind.UNKNOWN_REGION if place else Kind.NO_COUNTRY
        case NumberParseException.TOO_SHORT_AFTER_IDD | NumberParseException.TOO_SHORT_NSN:
            return Kind.TOO_SHORT
        case NumberParseException.TOO_LONG:
            return Kind.TOO_LONG
        case _:
            return Kind.NOT_VALID


def _validity_fault(possible: int) -> Kind:
    match possible:
        case ValidationResult.TOO_SHORT | ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
            return Kind.TOO_SHORT
        case ValidationResult.TOO_LONG:
            return Kind.TOO_LONG
        case _:
            return Kind.NOT_VALID
