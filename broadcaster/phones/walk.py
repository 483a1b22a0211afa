"""Columns of cells through the automaton, with numpy: no Python object for a cell.

Rows are sorted by the number of their digits, so that each step moves exactly those that have a digit left. Where the
walk ends says which digits are the number, so that it is put together without looking at them again. It must not know
what is done with rows that come out undecided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.phones.automaton import Automaton
from broadcaster.phones.clean import MOST_DIGITS, Digits, read_digits
from broadcaster.phones.judge import Kind

_ROWS = 1 << 15  # at a time: what they need stays in the processor's cache
_DIGITS = 10
_FEWEST = 3  # digits of a refused number; the library has other words for less
_HEADS = 100  # first two digits
_NOWHERE = -1  # instead of a table of refusals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Homes:
    """Default regions as the walk needs them, one for each row or one for all.

    Attributes:
        start: the state before a number without a plus.
        table: which refusals are its own.
        fault: what is said of such a number where the region is none, or no region; else 0.
    """

    start: NDArray[np.int32]
    table: NDArray[np.int64]
    fault: NDArray[np.uint8]

    def take(self, rows: NDArray[np.int64] | slice) -> "Homes":
        """Return those of some rows."""
        if len(self.start) == 1:
            return self
        return Homes(start=self.start[rows], table=self.table[rows], fault=self.fault[rows])


class Walker:
    """An automaton ready to be walked."""

    def __init__(self, automaton: Automaton) -> None:
        # A state is ten times its number here, so that a step is one addition and one look-up.
        self._after = automaton.after.astype(np.int32).ravel() * _DIGITS
        self._power = 10 ** np.arange(MOST_DIGITS + 1, dtype=np.int64)
        self._modulus = self._power[automaton.length]
        self._base = automaton.code * self._modulus
        self._abroad = np.int32(automaton.abroad * _DIGITS)
        self._home = automaton.home.astype(np.int32) * _DIGITS
        self._place = {region: at for at, region in enumerate(automaton.regions)}
        # Of the first three digits after a plus: the calling code's refusals, and how many digits the code has.
        codes, place = np.unique(np.append(automaton.codes, 0), return_inverse=True)
        digits = (codes > 0).astype(np.int64) + (codes >= 10) + (codes >= 100)  # noqa: PLR2004 - powers of ten
        self._table = np.where(codes > 0, len(automaton.regions) - 1 + np.arange(len(codes)), _NOWHERE)[place]
        self._skip = digits[place]
        self._refusals = automaton.refusals

    def homes(self, regions: Sequence[str | None]) -> Homes:
        """Return what the walk needs of default regions, read as the judge reads them."""
        places = [region.strip().upper() if region else "" for region in regions]
        faults = [
            Kind.NONE if place in self._place else Kind.UNKNOWN_REGION if place else Kind.NO_COUNTRY for place in places
        ]
        tables = [self._place.get(place, _NOWHERE) for place in places]
        return Homes(
            start=np.array([0 if table == _NOWHERE else self._home[table] for table in tables], dtype=np.int32),
            table=np.array(tables, dtype=np.int64),
            fault=np.array(faults, dtype=np.uint8),
        )

    def walk(self, cells: Any, homes: Homes) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the E.164 digits and the faults of cells; where both are 0, nothing is decided.

        Args:
            cells: a pyarrow string array, of 32-bit or 64-bit offsets.
            homes: for each cell, or one for all.
        """
        text, bounds = _buffers(cells)
        e164 = np.zeros(len(cells), dtype=np.int64)
        fault = np.zeros(len(cells), dtype=np.uint8)
        absent = cells.is_null().to_numpy(zero_copy_only=False) if cells.null_count else None
        for begin in range(0, len(cells), _ROWS):
            rows = slice(begin, begin + _ROWS)
            cut = bounds[begin : begin + _ROWS + 1].astype(np.int64)
            digits = read_digits(text[cut[0] : cut[-1]], cut - cut[0])
            if absent is not None:
                digits.plain[absent[rows]] = False
            self._decide(digits, homes.take(rows), e164[rows], fault[rows])
        return e164, fault

    def _decide(self, cells: Digits, homes: Homes, e164: NDArray[np.int64], fault: NDArray[np.uint8]) -> None:
        """Fill in what is certain of some cells."""
        rows = np.flatnonzero(cells.plain)
        count = cells.count[rows].astype(np.uint8)
        order = np.argsort(np.uint8(MOST_DIGITS) - count, kind="stable")
        rows, longest_first = rows[order], count[order]
        longer = len(rows) - np.cumsum(np.bincount(count, minlength=MOST_DIGITS + 1))  # than 0, 1, 2, … digits
        plus, homes = cells.plus[rows], homes.take(rows)
        state = np.where(plus, self._abroad, homes.start)
        at = cells.start[rows]
        value = np.zeros(len(rows), dtype=np.int64)
        for left in longer.tolist():
            if not left:
                break
            digit = cells.digits.take(at[:left])
            state[:left] += digit
            state[:left] = self._after.take(state[:left])
            value[:left] *= _DIGITS
            value[:left] += digit
            at[:left] += 1
        state //= _DIGITS
        found = self._base.take(state) + value % self._modulus.take(state)
        e164[rows] = found
        refused = np.flatnonzero((found == 0) & (longest_first >= _FEWEST))
        if refused.size:
            fault[rows[refused]] = self._refuse(
                value[refused], longest_first[refused].astype(np.int64), plus[refused], homes.take(refused)
            )

    def _refuse(
        self, value: NDArray[np.int64], count: NDArray[np.int64], plus: NDArray[np.bool_], homes: Homes
    ) -> NDArray[np.uint8]:
        """Return why numbers are not valid, or 0 where that is not certain."""
        lead = value // self._power[count - _FEWEST]
        table = np.where(plus, self._table[lead], homes.table)
        length = count - np.where(plus, self._skip[lead], 0)
        head = value // self._power[np.maximum(length - 2, 0)] % _HEADS
        certain = np.where((table == _NOWHERE) | (length < 2), 0, self._refusals[table, head, length])  # noqa: PLR2004 - digits of a head
        found: NDArray[np.uint8] = np.where(plus | (table != _NOWHERE), certain, homes.fault).astype(np.uint8)
        return found


def _buffers(cells: Any) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return the bytes of a string array and the bounds of its cells in them."""
    _, offsets, text = cells.buffers()
    width = np.int64 if pa.types.is_large_string(cells.type) else np.int32
    if offsets is None or not len(cells):
        return np.zeros(0, dtype=np.uint8), np.zeros(len(cells) + 1, dtype=np.int64)
    bounds = np.frombuffer(offsets, dtype=width)[cells.offset : cells.offset + len(cells) + 1]
    return np.frombuffer(text, dtype=np.uint8) if text is not None else np.zeros(0, dtype=np.uint8), bounds
