"""Who is not messaged, decided by many: each row by itself, then numbers where all rows of a number have come together.

Pure functions over the arrays of a piece and the frames that are shuffled by number. The order of reasons is that of
:func:`broadcaster.planning.exclude.exclude`, whose parts these are: a row that is left out for what it says is left out
in its piece; an opt-out anywhere in the list, and an earlier row with the same number, are found by the number.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.cluster.frames import NUMBERS, VERDICTS, pack, unpack
from broadcaster.cluster.numbering import Terms
from broadcaster.cluster.reading import Judged
from broadcaster.planning.exclude import DUPLICATE, ELIGIBLE, OPTED_OUT, Repeats, exclude_alone, is_in, repeated

_FREE, _EXCLUDED, _STOP = 0, 1, 2  # a row that may be messaged · one that is left out already · an opt-out
_OPTED = -1  # in place of the first row with the number
_NOBODY = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A piece's rows, each judged by itself, in the numbers that all pieces share.

    Attributes:
        codes: of their exclusion.
        channels: set of channels, negative where it is unknown.
        slots: send time, or a negative word; ``None``: no times.
        candidates: set of zones; empty where no zone decides.
    """

    codes: NDArray[np.uint8]
    channels: NDArray[np.int16]
    slots: NDArray[np.int32] | None
    candidates: NDArray[np.int32]

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        slots = 0 if self.slots is None else self.slots.nbytes
        return self.codes.nbytes + self.channels.nbytes + slots + self.candidates.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A piece's rows after all numbers were compared; *repeats* are numbered through the list."""

    codes: NDArray[np.uint8]
    repeats: Repeats

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        return self.codes.nbytes + 2 * self.repeats.rows.nbytes


def stand(judged: Judged, terms: Terms, suppressed: NDArray[np.int64]) -> Standing:
    """Judge each row of a piece by itself."""
    intake, kinds = judged.intake, judged.kinds
    channels = intake.channels
    if terms.channels is not None:
        channels = np.where(channels < 0, channels, terms.channels[channels]).astype(np.int16)
    of_row = np.broadcast_to(np.int32(0), judged.rows) if kinds is None else kinds.of_row
    slots = None if terms.slots is None else terms.slots[of_row]
    codes = exclude_alone(
        intake.numbers,
        intake.faults,
        suppressed=suppressed,
        opted_out=_NOBODY,
        completeness=intake.completeness,
        outside=intake.outside,
        channels=None if terms.channels is None else channels,
        slots=slots,
    )
    candidates = np.zeros(0, dtype=np.int32) if kinds is None else terms.candidates[of_row]
    return Standing(codes=codes, channels=channels, slots=slots, candidates=candidates)


def numbers_of(judged: Judged, standing: Standing, terms: Terms, *, stops: bool) -> Any:
    """Return what has to be compared by number; *stops*: somewhere in the list somebody has opted out."""
    asked = standing.codes == ELIGIBLE
    if stops:
        asked |= _below_opt_outs(standing.codes)
    rows = np.flatnonzero(asked)
    marks = np.where(standing.codes[rows] == ELIGIBLE, _FREE, _EXCLUDED)
    stopped = judged.intake.opted_out[judged.intake.opted_out > 0]
    return pack(
        NUMBERS,
        number=np.concatenate([judged.intake.numbers[rows], stopped]),
        row=np.concatenate([rows + terms.first, np.full(len(stopped), -1)]),
        mark=np.concatenate([marks, np.full(len(stopped), _STOP)]),
    )


def compare(frame: Any) -> Any:
    """Return which rows of a partition, which has all rows of its numbers, are left out after all."""
    columns = unpack(frame)
    order = np.argsort(columns["row"], kind="stable")  # the order of the list
    numbers, rows, marks = (columns[name][order] for name in ("number", "row", "mark"))
    opted = (marks != _STOP) & is_in(numbers, np.unique(numbers[marks == _STOP]))
    repeats = repeated(numbers, (marks == _FREE) & ~opted)
    return pack(
        VERDICTS,
        row=np.concatenate([rows[opted], rows[repeats.rows]]),
        first=np.concatenate([np.full(int(opted.sum()), _OPTED), rows[repeats.first]]),
    )


def settle(standing: Standing, verdicts: Any, terms: Terms) -> Settled:
    """Take over what was found by number about the rows of a piece."""
    columns = unpack(verdicts)
    order = np.argsort(columns["row"])
    rows, first = columns["row"][order], columns["first"][order]
    codes = standing.codes.copy()
    again = first != _OPTED
    codes[rows[~again] - terms.first] = OPTED_OUT
    codes[rows[again] - terms.first] = DUPLICATE
    return Settled(codes=codes, repeats=Repeats(rows[again], first[again]))


def _below_opt_outs(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the rows that are left out for a reason which counts less than an opt-out."""
    return (codes > OPTED_OUT) & (codes < DUPLICATE)
