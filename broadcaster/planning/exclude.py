"""Who is not messaged, and why: pure functions over arrays of numbers.

Numbers are E.164 digits as 64-bit integers, 0 where invalid. Reasons are decided in the order of design.md §3: invalid
number (or a row that cannot be read at all), suppressed, nobody's profile, missing parameter, outside the filter, what
is wrong with a channel or a time, duplicate among the survivors. So whoever is outside the filter by one row can be
sent to by another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.words import Reason
from broadcaster.phones import FAULTS
from broadcaster.planning.ahead import each_ahead
from broadcaster.planning.render import MISSING, UNSENDABLE
from broadcaster.planning.share import NOBODYS, OTHERS
from broadcaster.planning.slots import BAD_ZONE, LATE, NO_ZONE


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Why a row is excluded: the manifest's ``reason`` and ``error``."""

    reason: str
    sentence: str


ELIGIBLE = 0
_OTHERS = (
    Exclusion(Reason.SUPPRESSED, "the number is on a suppression list"),
    Exclusion(Reason.SUPPRESSED, "the list says that the number has opted out"),
    Exclusion(Reason.UNKNOWN_PROFILE, "the row names none of the job's profiles (capitals count)"),
    Exclusion(Reason.MISSING_PARAMETER, "a column that the message needs is empty in this row"),
    Exclusion(Reason.INVALID_PARAMETER, "a value contains a line break, a tab or five spaces, which the API refuses"),
    Exclusion(Reason.FILTERED, "the row is outside the filter"),
    Exclusion(Reason.INVALID_CHANNEL, "the row's channel is none of sms, whatsapp, rcs, mms, auto"),
    Exclusion(Reason.INVALID_TIMEZONE, "the row's time zone is no IANA name such as Europe/Berlin"),
    Exclusion(Reason.UNKNOWN_ZONE, "the number may be in several time zones, or in any: no time is known to suit"),
    Exclusion(Reason.TOO_LATE, "the next time that suits is after schedule.not_after"),
    Exclusion(Reason.DUPLICATE, "an earlier row has the same number"),
    Exclusion(Reason.MALFORMED_ROW, "the row has not as many cells as the header"),
)
EXCLUSIONS: tuple[Exclusion, ...] = (
    Exclusion("", ""),
    *(Exclusion(fault.reason, fault.sentence) for fault in FAULTS[1:]),
    *_OTHERS,
)
"""What the codes mean; :data:`ELIGIBLE` is the first."""
(
    SUPPRESSED,
    OPTED_OUT,
    NO_PROFILE,
    INCOMPLETE,
    REFUSED_VALUE,
    OUTSIDE,
    NO_CHANNEL,
    INVALID_TIMEZONE,
    UNKNOWN_ZONE,
    TOO_LATE,
    DUPLICATE,
    MALFORMED,
) = range(len(FAULTS), len(EXCLUSIONS))


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows that repeat a number, in the order of the list, and for each the row that has it first."""

    rows: NDArray[np.int64]
    first: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Excluded:
    """The exclusion code of every row, and which row a duplicate repeats."""

    codes: NDArray[np.uint8]
    repeats: Repeats


def exclude(
    numbers: NDArray[np.int64],
    faults: NDArray[np.uint8],
    *,
    suppressed: NDArray[np.int64],
    opted_out: NDArray[np.int64],
    completeness: NDArray[np.uint8],
    outside: NDArray[np.bool_] | None = None,
    whose: NDArray[np.int8] | None = None,
    channels: NDArray[np.int16] | None = None,
    slots: NDArray[np.int32] | None = None,
    also_same: NDArray[np.int64] | None = None,
) -> Excluded:
    """Decide about every row; *suppressed* and *opted_out* are sorted and unique.

    *faults* are places in :data:`broadcaster.phones.FAULTS`, or :data:`MALFORMED`; *outside* are the rows that a filter
    does not mean, if there is one; *whose* are words of :mod:`broadcaster.planning.share`, where a list is sent for
    several profiles; *channels* are negative where they are unknown, *slots* where :mod:`broadcaster.planning.slots`
    says why no time suits. Rows are the same person with the same number, or with the
    same value in *also_same*.
    """
    codes = exclude_alone(
        numbers,
        faults,
        suppressed=suppressed,
        opted_out=opted_out,
        completeness=completeness,
        outside=outside,
        whose=whose,
        channels=channels,
        slots=slots,
    )
    repeats = repeated(numbers, codes == ELIGIBLE)
    codes[repeats.rows] = DUPLICATE
    if also_same is not None:
        more = repeated(also_same, codes == ELIGIBLE)
        codes[more.rows] = DUPLICATE
        repeats = _both(repeats, more)
    return Excluded(codes, repeats)


def exclude_alone(
    numbers: NDArray[np.int64],
    faults: NDArray[np.uint8],
    *,
    suppressed: NDArray[np.int64],
    opted_out: NDArray[np.int64],
    completeness: NDArray[np.uint8],
    outside: NDArray[np.bool_] | None = None,
    whose: NDArray[np.int8] | None = None,
    channels: NDArray[np.int16] | None = None,
    slots: NDArray[np.int32] | None = None,
) -> NDArray[np.uint8]:
    """Return each row's code without a look at the other rows: as :func:`exclude`, but nobody is a duplicate."""
    codes = faults.copy()
    codes[(codes == ELIGIBLE) & is_in(numbers, suppressed)] = SUPPRESSED
    codes[(codes == ELIGIBLE) & is_in(numbers, opted_out)] = OPTED_OUT
    if whose is not None:
        codes[whose == OTHERS] = OUTSIDE  # of rows that another plan has nothing is said here, and nothing compared
        codes[(codes == ELIGIBLE) & (whose == NOBODYS)] = NO_PROFILE
    codes[(codes == ELIGIBLE) & (completeness == MISSING)] = INCOMPLETE
    codes[(codes == ELIGIBLE) & (completeness == UNSENDABLE)] = REFUSED_VALUE
    if outside is not None:
        codes[(codes == ELIGIBLE) & outside] = OUTSIDE
    if channels is not None:
        codes[(codes == ELIGIBLE) & (channels < 0)] = NO_CHANNEL
    if slots is not None:
        for word, code in ((BAD_ZONE, INVALID_TIMEZONE), (NO_ZONE, UNKNOWN_ZONE), (LATE, TOO_LATE)):
            codes[(codes == ELIGIBLE) & (slots == word)] = code
    return codes


def _both(one: Repeats, other: Repeats) -> Repeats:
    rows, first = np.concatenate([one.rows, other.rows]), np.concatenate([one.first, other.first])
    by_row = np.argsort(rows)
    return Repeats(rows[by_row], first[by_row])


def is_in(numbers: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which *numbers* are among the sorted *known*."""
    if not len(known):
        return np.zeros(len(numbers), dtype=bool)
    at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == numbers
    return found


def repeated(numbers: NDArray[np.int64], among: NDArray[np.bool_]) -> Repeats:
    """Return the rows among the marked ones whose number an earlier marked row has."""
    rows = np.flatnonzero(among)
    odd = (numbers[rows] & 1).astype(bool)  # equal numbers are both odd or both even: each half is sorted by a core
    halves = list(each_ahead(lambda half: _repeated(numbers, half), [rows[odd], rows[~odd]]))
    found = np.concatenate([each.rows for each in halves])
    first = np.concatenate([each.first for each in halves])
    by_row = np.argsort(found)
    return Repeats(found[by_row], first[by_row])


def _repeated(numbers: NDArray[np.int64], rows: NDArray[np.int64]) -> Repeats:
    """Return which of *rows* repeat a number, in no order."""
    rows = rows[np.argsort(numbers[rows], kind="stable")]  # equal numbers side by side, in the order of the list
    in_order = numbers[rows]
    again = np.flatnonzero(in_order[1:] == in_order[:-1]) + 1
    # The row before is the first one, or repeats it itself: then the first is where the streak of neighbours began.
    begins = np.append(True, np.diff(again) > 1) if len(again) else np.zeros(0, dtype=bool)
    return Repeats(rows[again], rows[again[begins] - 1][np.cumsum(begins) - 1])


def counts_by_reason(codes: NDArray[np.uint8]) -> dict[str, int]:
    """Count excluded rows by reason, in the order in which reasons are decided."""
    return named(np.bincount(codes, minlength=len(EXCLUSIONS)))


def named(counted: NDArray[np.int64]) -> dict[str, int]:
    """Return what :func:`counts_by_reason` does, of rows that were counted by code."""
    found: dict[str, int] = {}
    for exclusion, count in zip(EXCLUSIONS[1:], counted[1:].tolist(), strict=True):
        if count:
            found[exclusion.reason] = found.get(exclusion.reason, 0) + count
    return {str(reason): found[reason] for reason in Reason if reason in found}
