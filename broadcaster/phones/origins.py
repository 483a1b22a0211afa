"""Where numbers are from and what kind of line they are: figures for whoever is to confirm a plan.

Countries are counted over all numbers, by their first digits; what kind of line it is takes a look at each number, so
that is counted over a sample. Nothing here decides who is messaged.
"""

from collections import Counter

import numpy as np
import phonenumbers
from numpy.typing import NDArray
from phonenumbers import PhoneNumberType

_POWERS = 10 ** np.arange(1, 16, dtype=np.int64)
_TOLD_BY = 8  # first digits that tell the countries of a shared calling code apart, such as +44 7781 for Guernsey
_TOLD_BY_AREA = 4  # +1 and an area code
_LOOKED_UP = 2000  # groups of first digits; of a list with more, the small rest counts for the code's main country
_SAMPLE = 2000
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
    if not len(numbers):
        return {}
    length = np.searchsorted(_POWERS, numbers, side="right") + 1
    first = numbers // 10 ** np.maximum(length - 3, 0)
    found: Counter[str] = Counter()
    shared: dict[int, list[int]] = {}
    counted = np.bincount(first, minlength=1000)
    for digits, count in enumerate(counted.tolist()):
        if count:
            code = _calling_code(digits)
            regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ("001",))
            if len(regions) == 1:
                found[regions[0]] += count
            else:
                shared.setdefault(code, []).append(digits)
    for code, starts in shared.items():
        mine = numbers[np.isin(first, starts)] if len(starts) < np.count_nonzero(counted) else numbers
        main = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code][0]
        found[main] += len(mine)
        one_of_each, counts = _groups(mine, _TOLD_BY_AREA if code == _NANPA else _TOLD_BY)
        for at in np.argsort(-counts, kind="stable")[:_LOOKED_UP].tolist():
            region = phonenumbers.region_code_for_number(_parsed(int(one_of_each[at])))
            found[main] -= int(counts[at])
            found[region or main] += int(counts[at])
    return {region: count for region, count in found.most_common() if count}


def _groups(numbers: NDArray[np.int64], digits: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one number of each group with the same first *digits*, and how many each group has."""
    length = np.searchsorted(_POWERS, numbers, side="right") + 1
    first = numbers // 10 ** np.maximum(length - digits, 0)
    if digits > _TOLD_BY_AREA:
        _, one, counts = np.unique(first, return_index=True, return_counts=True)
        return numbers[one], counts
    counted = np.bincount(first)  # a thousand times as fast as sorting millions of numbers
    one_of_each = np.zeros(len(counted), dtype=np.int64)
    one_of_each[first] = numbers
    there = np.flatnonzero(counted)
    return one_of_each[there], counted[there]


def line_types(numbers: NDArray[np.int64]) -> tuple[dict[str, int], int]:
    """Count kinds of line over at most 2,000 valid numbers, spread evenly over the list; return how many these are."""
    step = -(-len(numbers) // _SAMPLE) or 1
    sample = numbers[::step].tolist()
    found = Counter(_KINDS.get(phonenumbers.number_type(_parsed(number)), "other") for number in sample)
    return dict(found.most_common()), len(sample)


def _calling_code(first: int) -> int:
    """Return the calling code that a number with these three first digits has."""
    for code in (first // 100, first // 10):
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return code
    return first


def _parsed(number: int) -> phonenumbers.PhoneNumber:
    return phonenumbers.parse(f"+{number}")
