"""Where numbers are from and what kind of line they are: figures for whoever is to confirm a plan.

Countries are counted over all numbers, by their first digits; what kind of line it is takes a look at each number, so
that is counted over a sample. Nothing here decides who is messaged.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import phonenumbers
from numpy.typing import NDArray
from phonenumbers import PhoneNumberType

_POWERS = 10 ** np.arange(1, 16, dtype=np.int64)
_TOLD_BY = 8  # first digits that tell the countries of a shared calling code apart, such as +44 7781 for Guernsey
_TOLD_BY_AREA = 4  # +1 and an area code
_LOOKED_UP = 2000  # groups of first digits; of a list with more, the small rest counts for the code's main country
_SAMPLE = 2000
_SLICE = 1 << 20  # numbers at a time: what is made of all at once would be many times their size
_Groups = tuple[NDArray[np.int64], NDArray[np.int64]]
_NANPA = 1
_KINDS = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE: "fixed line",
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "fixed line or mobile",
    PhoneNumberType.TOLL_FREE: "toll free",
    PhoneNumberType.PREMIUM_RATE: "premium rate",
    PhoneNumberType.VOIP: "VoIP",
    PhoneNumberType.PERSONAL_NUMBER: "personal number",
}


def countries(numbers: NDArray[np.int64]) -> dict[str, int]:
    """Count valid numbers by the two-letter code of their country, most frequent first.

    Numbers that belong to no country (such as +800) count as ``001``.
    """
    return countries_of([begin(numbers)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginnings:
    """Numbers by how they begin: all that their countries are told by. Those of several lists add up."""

    counted: NDArray[np.int64]  # by their first three digits
    groups: dict[int, list[_Groups]]  # by more digits, where several countries share a calling code


def begin(numbers: NDArray[np.int64]) -> Beginnings:
    """Count valid numbers by how they begin."""
    counted = np.zeros(1000, dtype=np.int64)
    groups: dict[int, list[_Groups]] = {}
    for at in range(0, len(numbers), _SLICE):
        few = numbers[at : at + _SLICE]
        first = _first(few, 3)
        here = np.bincount(first, minlength=1000)
        counted += here
        for code, starts in _shared(np.flatnonzero(here).tolist()).items():
            mine = few[np.isin(first, starts)] if len(starts) < np.count_nonzero(here) else few
            groups.setdefault(code, []).append(_groups(mine, _digits(code)))
    return Beginnings(counted=counted, groups={code: [_merged(each, _digits(code))] for code, each in groups.items()})


def countries_of(lists: Iterable[Beginnings]) -> dict[str, int]:
    """Return what :func:`countries` does for all *lists* together; how they were cut does not matter."""
    counted = np.zeros(1000, dtype=np.int64)
    groups: dict[int, list[_Groups]] = {}
    for each in lists:
        counted += each.counted
        for code, pieces in each.groups.items():
            groups.setdefault(code, []).extend(pieces)
    found: Counter[str] = Counter()
    for start in np.flatnonzero(counted).tolist():
        found[_regions(_calling_code(start))[0]] += int(counted[start])
    for code in sorted(groups):
        main = _regions(code)[0]
        one_of_each, counts = _merged(groups[code], _digits(code))
        for at in np.argsort(-counts, kind="stable")[:_LOOKED_UP].tolist():
            region = phonenumbers.region_code_for_number(_parsed(int(one_of_each[at])))
            found[main] -= int(counts[at])
            found[region or main] += int(counts[at])
    return {region: count for region, count in found.most_common() if count}


def _regions(code: int) -> tuple[str, ...]:
    regions: tuple[str, ...] = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ("001",))
    return regions


def _shared(starts: list[int]) -> dict[int, list[int]]:
    """Return, by calling code that several countries share, those of the three-digit *starts* that have it."""
    found: dict[int, list[int]] = {}
    for start in starts:
        code = _calling_code(start)
        if len(_regions(code)) > 1:
            found.setdefault(code, []).append(start)
    return found


def _digits(code: int) -> int:
    """Return how many first digits tell the countries of a shared calling code apart."""
    return _TOLD_BY_AREA if code == _NANPA else _TOLD_BY


def _merged(pieces: list[_Groups], digits: int) -> _Groups:
    """Return the groups of several slices as one."""
    one_of_each, counts = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    groups, group = np.unique(_first(one_of_each, digits), return_inverse=True)
    summed = np.zeros(len(groups), dtype=np.int64)
    np.add.at(summed, group, counts)
    return _least(one_of_each, group, len(groups)), summed


def _first(numbers: NDArray[np.int64], digits: int) -> NDArray[np.int64]:
    """Return the first *digits* of every number, or all that it has."""
    length = np.searchsorted(_POWERS, numbers, side="right") + 1
    found: NDArray[np.int64] = numbers // 10 ** np.maximum(length - digits, 0)
    return found


def _groups(numbers: NDArray[np.int64], digits: int) -> _Groups:
    """Return the least number of each group with the same first *digits*, and how many each group has."""
    first = _first(numbers, digits)
    if digits > _TOLD_BY_AREA:
        _, group, counts = np.unique(first, return_inverse=True, return_counts=True)
        return _least(numbers, group, len(counts)), counts
    counted = np.bincount(first)  # a thousand times as fast as sorting millions of numbers
    there = np.flatnonzero(counted)
    return _least(numbers, first, len(counted))[there], counted[there]


def _least(numbers: NDArray[np.int64], group: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Return the least number of each group: the same one, in whatever order the numbers come."""
    least = np.full(groups, np.iinfo(np.int64).max, dtype=np.int64)
    np.minimum.at(least, group, numbers)
    return least


def calling_codes(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the calling code of every valid number."""
    codes = np.array([_calling_code(first) for first in range(1000)], dtype=np.int64)
    found: NDArray[np.int64] = codes[_first(numbers, 3)]
    return found


def line_types(numbers: NDArray[np.int64]) -> tuple[dict[str, int], int]:
    """Count kinds of line over at most 2,000 valid numbers, spread evenly over the list; return how many these are."""
    sample = numbers[:: sample_step(len(numbers))].tolist()
    found = Counter(_KINDS.get(phonenumbers.number_type(_parsed(number)), "other") for number in sample)
    return dict(found.most_common()), len(sample)


def sample_step(numbers: int) -> int:
    """Return of how many numbers one is looked at, of a list of so many."""
    return -(-numbers // _SAMPLE) or 1


def _calling_code(first: int) -> int:
    """Return the calling code that a number with these three first digits has."""
    for code in (first // 100, first // 10):
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code
    return first


def _parsed(number: int) -> phonenumbers.PhoneNumber:
    return phonenumbers.parse(f"+{number}")
