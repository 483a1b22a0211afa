"""Rows of a CSV file that have not as many cells as the header: left out one by one, or the file is refused.

A row is left out alone only where that is provable: it begins and ends on a line of its own. One that goes over several
lines may have swallowed its neighbours by a quote in the wrong place, and then nobody can say where people begin and
end. Quotes that do not close where a cell ends are refused before (:mod:`broadcaster.lists.quotes`).

The rows that are left out keep their place: they come back as rows of empty cells, so that every row of the list has a
number and a fate.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

_FIRST = 2  # Arrow's number of the first data row; the header is 1, and empty lines do not count
_MOST = 10_000  # rows that are left out of one file: more are no slips, and their sentences are kept in memory


class Ragged:
    """Arrow's handler of such rows, for one reading of a file.

    Attributes:
        stopped: Arrow's number and the size of the row that the file is refused for, or ``None``.
        why: what is to be said besides of that row.
    """

    def __init__(self, *, alone: bool) -> None:
        """Make a handler; *alone* allows rows to be left out one by one."""
        self._alone = alone
        self._left_out: list[tuple[int, int]] = []
        self._returned = 0  # how many of them are in their place again
        self.stopped: tuple[int, int] | None = None
        self.why = ""

    def __call__(self, row: Any) -> Literal["skip", "error"]:
        """Decide about a row that Arrow cannot use."""
        if self._alone:
            if "\n" in row.text or "\r" in row.text:
                self.why = "it goes over several lines, so that nobody knows which rows it has swallowed; "
            elif len(self._left_out) == _MOST:
                self.why = f"so have {_MOST:,} rows before it another number of cells; "
            else:
                self._left_out.append((row.number, row.actual_columns))
                return "skip"
        self.stopped = (row.number, row.actual_columns)
        return "error"

    def in_place(self, batches: Iterable[Any], names: Sequence[str]) -> Iterator[Any]:
        """Yield *batches* with a row of empty cells wherever one was left out."""
        row = _FIRST
        for batch in batches:
            pieces = []
            done = 0
            while done < batch.num_rows:
                size = min(batch.num_rows - done, self._next() - row)
                gap = self._take(row + size)
                pieces += [batch.slice(done, size), *([_empty(names, gap)] if gap else ())]
                done += size
                row += size + gap
            # One batch again, not one for each gap: whoever reads has work to do for each.
            yield from pa.Table.from_batches(pieces, batch.schema).combine_chunks().to_batches()
        yield _empty(names, self._take(row))

    def sentences(self, line_of: Callable[[Sequence[int]], dict[int, int]], *, header: int) -> dict[int, str]:
        """Return what is wrong with the rows that were left out, by position among the data rows.

        Args:
            line_of: looks up the lines of Arrow's row numbers, as far as they can be told.
            header: how many cells the header has.
        """
        lines = line_of([row for row, _ in self._left_out]) if self._left_out else {}
        return {
            row - _FIRST: f"{where(row, lines)} has {cells(size)}, the header has {header}"
            for row, size in self._left_out
        }

    def _next(self) -> float:
        """Return the number of the row that is put back next; infinity when none is waiting."""
        return self._left_out[self._returned][0] if self._returned < len(self._left_out) else float("inf")

    def _take(self, row: int) -> int:
        """Count the rows in a run from *row* on that were left out, as put back."""
        before = self._returned
        while self._next() == row + self._returned - before:
            self._returned += 1
        return self._returned - before


def where(row: int, lines: dict[int, int]) -> str:
    """Return where Arrow's *row* is: its line, if that is known."""
    return f"line {lines[row]}" if row in lines else f"row {row}"


def cells(size: int) -> str:
    """Return a number of cells in words."""
    return "1 cell" if size == 1 else f"{size} cells"


def _empty(names: Sequence[str], rows: int) -> Any:
    return pa.RecordBatch.from_arrays([pa.array([""] * rows, pa.string())] * len(names), list(names))
