"""Who is not messaged, and why: pure functions over arrays of numbers.

Numbers are E.164 digits as 64-bit integers, 0 where invalid. Reasons are decided in the order of design.md §3: invalid
number, suppressed, missing parameter, duplicate among the survivors.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.words import Reason
from broadcaster.phones import FAULTS
from broadcaster.planning.render import MISSING, UNSENDABLE


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a row is excluded: the manifest's ``reason`` and ``error``."""

    reason: str
    sentence: str


ELIGIBLE = 0
_OTHERS = (
    Exclusion(Reason.SUPPRESSED, "the number is on a suppression list"),
    Exclusion(Reason.SUPPRESSED, "the list says that the number has opted out"),
    Exclusion(Reason.MISSING_PARAMETER, "a column that the message needs is empty in this row"),
    Exclusion(Reason.MISSING_PARAMETER, "a value contains a line break, a tab or five spaces, which the API refuses"),
    Exclusion(Reason.DUPLICATE, "an earlier row has the same number"),
)
EXCLUSIONS: tuple[Exclusion, ...] = (
    Exclusion("", ""),
    *(Exclusion(fault.reason, fault.sentence) for fault in FAULTS[1:]),
    *_OTHERS,
)
"""What the codes mean; :data:`ELIGIBLE` is the first."""
SUPPRESSED, OPTED_OUT, INCOMPLETE, REFUSED_VALUE, DUPLICATE = range(len(FAULTS), len(EXCLUSIONS))


def exclude(
    numbers: NDArray[np.int64],
    faults: NDArray[np.uint8],
    *,
    suppressed: NDArray[np.int64],
    opted_out: NDArray[np.int64],
    completeness: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Return the exclusion code of every row; *suppressed* and *opted_out* are sorted and unique."""
    codes = faults.copy()
    codes[(codes == ELIGIBLE) & is_in(numbers, suppressed)] = SUPPRESSED
    codes[(codes == ELIGIBLE) & is_in(numbers, opted_out)] = OPTED_OUT
    codes[(codes == ELIGIBLE) & (completeness == MISSING)] = INCOMPLETE
    codes[(codes == ELIGIBLE) & (completeness == UNSENDABLE)] = REFUSED_VALUE
    codes[repeated(numbers, codes == ELIGIBLE)] = DUPLICATE
    return codes


def is_in(numbers: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which *numbers* are among the sorted *known*."""
    if not len(known):
        return np.zeros(len(numbers), dtype=bool)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == numbers
    return found


def repeated(numbers: NDArray[np.int64], among: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the rows among the marked ones whose number an earlier marked row has."""
    rows = np.flatnonzero(among)
    _, first = np.unique(numbers[rows], return_index=True)
    again = np.ones(len(rows), dtype=bool)
    again[first] = False
    marked = np.zeros(len(numbers), dtype=bool)
    marked[rows[again]] = True
    return marked


def counts_by_reason(codes: NDArray[np.uint8]) -> dict[str, int]:
    """Count excluded rows by reason, in the order in which reasons are decided."""
    counted = np.bincount(codes, minlength=len(EXCLUSIONS))
    found: dict[str, int] = {}
    for exclusion, count in zip(EXCLUSIONS[1:], counted[1:].tolist(), strict=True):
        if count:
            found[exclusion.reason] = found.get(exclusion.reason, 0) + count
    return {str(reason): found[reason] for reason in Reason if reason in found}
