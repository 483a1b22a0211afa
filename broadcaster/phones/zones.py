"""The time zones that numbers may be in: a guess by their first digits, vectorised.

phonenumbers is the judge (:func:`phonenumbers.timezone.time_zones_for_number`): a number that belongs to a place has
the zones of its longest known prefix, any other one those of its whole country. Here the table of prefixes is looked up
for all numbers of a length at once, and which numbers belong to a place is asked of one number for each group of equal
first digits, in the few countries where it matters. A mobile number may have moved with its owner: a column of the list
that says the zone is always better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import phonenumbers
from numpy.typing import NDArray
from phonenumbers.phonenumberutil import is_number_type_geographical
from phonenumbers.timezone import UNKNOWN_TIMEZONE
from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

Digits = NDArray[np.int64]
_POWERS = 10 ** np.arange(1, 16, dtype=np.int64)
_NANPA = 1
_NANPA_LENGTH = 11  # digits, the calling code included
_ALIKE = frozenset({"US", "CA"})  # within an area code of theirs, all numbers belong to a place or none does
_AREA = 4  # digits: +1 and an area code
_TOLD_BY = 8  # first digits that tell it elsewhere, where numbers of equal length share them
_LONGEST_CODE = 3  # digits of a calling code


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Zones by number: ``codes`` are places in ``sets``, whose first is empty: nothing is known."""

    codes: NDArray[np.int32]
    sets: tuple[tuple[str, ...], ...]


def zones_of(numbers: Digits) -> Whereabouts:
    """Return the zones that each number may be in; 0 is no number, and nothing is known of it."""
    table = _table()
    lengths = np.searchsorted(_POWERS, numbers, side="right") + 1
    codes = np.zeros(len(numbers), dtype=np.int32)
    calling = _calling_codes(numbers, lengths)
    for code in np.flatnonzero(np.bincount(calling)).tolist():
        country = table.country.get(code, 0)
        if code not in table.divided:
            if country:
                codes[calling == code] = country
            continue
        rows = np.flatnonzero(calling == code)
        local = _belong_to_a_place(numbers[rows], lengths[rows], code)
        codes[rows] = country
        codes[rows[local]] = table.by_prefix(numbers[rows[local]], lengths[rows[local]])
    return Whereabouts(codes, table.sets)


@dataclass(frozen=True, slots=True)
class _Table:
    """The library's table: sets of zones, and where they apply."""

    sets: tuple[tuple[str, ...], ...]
    country: dict[int, int]  # calling code → set
    divided: frozenset[int]  # calling codes of which some prefix has zones of its own
    prefixes: Sequence[tuple[int, Digits, NDArray[np.int32]]]  # by length, the longest first: prefixes and their sets

    def by_prefix(self, numbers: Digits, lengths: NDArray[np.int64]) -> NDArray[np.int32]:
        found = np.zeros(len(numbers), dtype=np.int32)
        left = np.arange(len(numbers))
        for length, prefixes, sets in self.prefixes:
            first = numbers[left] // 10 ** np.maximum(lengths[left] - length, 0)
            at = np.minimum(np.searchsorted(prefixes, first), len(prefixes) - 1)
            known = prefixes[at] == first
            found[left[known]] = sets[at[known]]
            left = left[~known]
        return found


@lru_cache(maxsize=1)  # a constant of the library, made when it is first needed: 3,000 entries in some milliseconds
def _table() -> _Table:
    numbers: dict[tuple[str, ...], int] = {(): 0}
    by_length: dict[int, list[tuple[int, int]]] = {}
    for prefix, zones in TIMEZONE_DATA.items():
        names = tuple(sorted(zone for zone in zones if zone != UNKNOWN_TIMEZONE))
        by_length.setdefault(len(prefix), []).append((int(prefix), numbers.setdefault(names, len(numbers))))
    country = {prefix: number for entries in by_length.values() for prefix, number in entries}
    codes = [code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE if str(code) in TIMEZONE_DATA]
    divided = {
        code for prefix in TIMEZONE_DATA for code in codes if prefix.startswith(str(code)) and prefix != str(code)
    }
    prefixes = []
    for length in range(TIMEZONE_LONGEST_PREFIX, 0, -1):
        entries = sorted(by_length.get(length, ()))
        if entries:
            keys, sets = zip(*entries, strict=True)
            prefixes.append((length, np.array(keys, dtype=np.int64), np.array(sets, dtype=np.int32)))
    return _Table(tuple(numbers), {code: country[code] for code in codes}, frozenset(divided), tuple(prefixes))


def _calling_codes(numbers: Digits, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each number's calling code; 0 where it has none."""
    first = numbers // 10 ** np.maximum(lengths - _LONGEST_CODE, 0)
    table = np.zeros(10**_LONGEST_CODE, dtype=np.int64)
    for three in range(100, len(table)):
        for code in (three // 100, three // 10, three):
            if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
                table[three] = code
                break
    found: NDArray[np.int64] = table[first]
    return found


def _belong_to_a_place(numbers: Digits, lengths: NDArray[np.int64], code: int) -> NDArray[np.bool_]:
    """Return which numbers of a country belong to a place: a fixed line, or a mobile one where these are local too."""
    local = np.zeros(len(numbers), dtype=bool)
    rest = np.arange(len(numbers))
    if code == _NANPA:
        area = numbers // 10 ** np.maximum(lengths - _AREA, 0)
        one_of_each = np.zeros(10**_AREA, dtype=np.int64)
        one_of_each[area[lengths == _NANPA_LENGTH]] = numbers[lengths == _NANPA_LENGTH]
        alike, belongs = np.zeros((2, len(one_of_each)), dtype=bool)
        for at in np.flatnonzero(one_of_each).tolist():
            alike[at] = _region(int(one_of_each[at])) in _ALIKE
            belongs[at] = alike[at] and _is_local(int(one_of_each[at]), code)
        usual = alike[area] & (lengths == _NANPA_LENGTH)
        local = belongs[area] & usual
        rest = np.flatnonzero(~usual)
    first = numbers[rest] // 10 ** np.maximum(lengths[rest] - _TOLD_BY, 0) * 100 + lengths[rest]
    _, examples, group = np.unique(first, return_index=True, return_inverse=True)
    told = [_is_local(number, code) for number in numbers[rest[examples]].tolist()]
    local[rest] = np.array(told, dtype=bool)[group.reshape(-1)]
    return local


def _region(number: int) -> str | None:
    found: str | None = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{number}"))
    return found


def _is_local(number: int, code: int) -> bool:
    return bool(is_number_type_geographical(phonenumbers.number_type(phonenumbers.parse(f"+{number}")), code))
