"""XLSX: one sheet of a workbook, as its cells are stored and not as they are shown.

A spreadsheet keeps a phone number as a floating-point number when nobody told it otherwise. One that is whole and small
enough to be exact becomes its digits again; any other stays a decimal, which no judge of numbers takes for one. Of
formulas, what they were when the file was saved; of dates, ISO 8601. Hidden rows and columns are read like all others:
hiding is no deleting.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, time
from itertools import islice
from typing import Any

import pyarrow as pa

from broadcaster.errors import ListUnusable
from broadcaster.lists.columns import check_header
from broadcaster.lists.places import Place
from broadcaster.lists.ragged import cells

_ROWS = 4096  # of a batch: cells are Python objects for a moment
_EXACT = 2.0**53  # from here on a floating-point number stands for several whole ones

Row = tuple[int, list[str]]  # the sheet's own row number, from 1; cells without those that are empty at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetList:
    """A sheet whose header has been read."""

    place: Place
    columns: tuple[str, ...]
    sheet: str | None

    def batches(self, columns: Sequence[str], *, malformed: dict[int, str] | None = None) -> Iterator[Any]:
        """Yield the sheet's rows as record batches of the named columns, every cell a string; empty rows are none.

        Args:
            columns: those wanted.
            malformed: where rows are noted that have cells beyond the header, by position; ``None`` refuses them.

        Raises:
            ListUnusable: the file is damaged, or a row has cells beyond the header; with its line.
        """
        at = [self.columns.index(name) for name in columns]
        position = 0
        with _rows(self.place, self.sheet) as rows:
            _take(rows, 1)
            while few := _take(rows, _ROWS):
                table = []
                for line, row in few:
                    if len(row) > len(self.columns):
                        wrong = f"line {line} has {cells(len(row))}, the header has {len(self.columns)}"
                        if malformed is None:
                            raise ListUnusable(f"{self.place}: {wrong}")
                        malformed[position] = wrong
                        row = []  # noqa: PLW2901 - it keeps its place and nothing else
                    table.append([row[each] if each < len(row) else "" for each in at])
                    position += 1
                yield pa.RecordBatch.from_arrays(
                    [pa.array([row[each] for row in table], pa.string()) for each in range(len(at))], list(columns)
                )


def open_sheet(place: Place, *, sheet: str | None) -> SheetList:
    """Read the header of a workbook's sheet: its first row with anything in it.

    Args:
        place: the file.
        sheet: the sheet's name; the first one when ``None``.

    Raises:
        ListUnusable: it cannot be read or openpyxl is not installed; no such sheet, no rows, or no usable header.
    """
    with _rows(place, sheet) as rows:
        first = _take(rows, 2)
    if not first:
        raise ListUnusable(f"{place}: the sheet is empty; its first row has to name the columns")
    line, header = first[0]
    check_header(header, name=place.name, line=line)
    if len(first) == 1:
        raise ListUnusable(f"{place} has a header and no rows")
    return SheetList(place=place, columns=tuple(header), sheet=sheet)


@contextmanager
def _rows(place: Place, sheet: str | None) -> Iterator[Iterator[Row]]:
    """Yield the rows of a sheet that have anything in them.

    Other people's code parses other people's files here: whatever it raises, the list cannot be read.
    """
    try:
        import openpyxl
    except ImportError:
        raise ListUnusable(
            f"{place}: spreadsheets need one more package: pip install 'broadcaster[xlsx]', or save it as CSV UTF-8"
        ) from None
    with place.path.open("rb") as file:
        try:
            with _quiet():
                book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            with closing(book):
                chosen = _chosen(book, sheet, place)
                chosen.reset_dimensions()  # some programs write wrong ones, and rows would be missing
                yield texts(chosen.iter_rows(values_only=True))
        except ListUnusable:
            raise
        except Exception:  # noqa: BLE001 - see above
            raise ListUnusable(
                f"{place} cannot be read as XLSX: it is damaged, has a password or is something else; save it again"
            ) from None


def _chosen(book: Any, sheet: str | None, place: Place) -> Any:
    """Return the sheet of that name, or the first one."""
    names = [each.title for each in book.worksheets]
    if not names or (sheet is not None and sheet not in names):
        there = ", ".join(map(repr, names)) or "none"
        raise ListUnusable(f"{place} has no sheet {sheet!r} (recipients.sheet); there are {there}")
    return book[sheet or names[0]]


def _take(rows: Iterator[Row], count: int) -> list[Row]:
    """Return the next rows, *count* at the most."""
    with _quiet():
        return list(islice(rows, count))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what openpyxl warns of: styles, and dates that are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def texts(rows: Iterable[Sequence[object]]) -> Iterator[Row]:
    """Turn a sheet's rows into text; empty ones are left out, but counted."""
    for line, row in enumerate(rows, start=1):
        written = [text(cell) for cell in row]
        while written and not written[-1]:
            written.pop()
        if written:
            yield line, written


def text(cell: object) -> str:
    """Return what a cell holds, without guessing at how it is shown."""
    match cell:
        case None:
            return ""
        case bool():
            return "TRUE" if cell else "FALSE"
        case float() if cell.is_integer() and abs(cell) < _EXACT:
            return str(int(cell))
        case datetime() if cell.time() == time():  # a date, for a spreadsheet
            return str(cell.date())
        case _:
            return str(cell)
