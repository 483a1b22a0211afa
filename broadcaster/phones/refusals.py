"""Why a number is refused, where its first digits and their number tell.

The judge names a number that is not valid by what the library finds wrong with its length. That is certain as soon as
it is certain which digits are the national number, and often two digits are enough for that. It must not know whether
a number is valid.
"""

import numpy as np
from numpy.typing import NDArray
from phonenumbers import PhoneNumber, is_possible_number_with_reason

from broadcaster.phones.grammar import ABROAD, Grammar
from broadcaster.phones.judge import _validity_fault  # the judge's own words, and nobody else's business
from broadcaster.phones.numbering import LONGEST, LONGEST_E164, Numbering

HEADS = 100
"""First two digits."""

_CODES = 1000  # calling codes have three digits at the most
_SHORTEST = 2  # of a national number; the library has other words for less


def read_codes(numbering: Numbering) -> NDArray[np.uint16]:
    """Return, for the first three digits of a number with a plus, its calling code; 0 where there is none."""
    found = np.zeros(_CODES, dtype=np.uint16)
    for digits in range(_CODES // 10, _CODES):
        found[digits] = next((head for head in (digits // 100, digits // 10, digits) if head in numbering.regions), 0)
    return found


def read_refusals(numbering: Numbering, grammar: Grammar, homes: list[int]) -> NDArray[np.uint8]:
    """Return the faults of numbers that are not valid: a table by their first two digits and how many they are.

    There is a table for each region of *homes*, for numbers written there without a plus, and then one for each calling
    code, for the digits after it. 0 is "not certain".
    """
    mains = [grammar.main(code) for code in numbering.regions]
    faults = {code: _faults(code) for code in numbering.regions}
    found = np.zeros((len(homes) + len(mains), HEADS, LONGEST + 1), dtype=np.uint8)
    places = [*((region, region) for region in homes), *((main, ABROAD) for main in mains)]
    for table, (region, where) in zip(found, places, strict=True):
        named = faults[grammar.regions[region].code]
        for head in range(HEADS):
            national = grammar.read_lengths(region, f"{head:02}", abroad=where == ABROAD)
            if national is not None:
                table[head] = named[national]
    return found


def _faults(code: int) -> NDArray[np.uint8]:
    """Return the fault of a number of a calling code that is not valid, by the length of the national number."""
    found = np.zeros(LONGEST + 1, dtype=np.uint8)
    for length in range(_SHORTEST, LONGEST_E164 - len(str(code)) + 1):
        number = PhoneNumber(country_code=code, national_number=10 ** (length - 1))
        found[length] = _validity_fault(is_possible_number_with_reason(number))
    return found
