"""CSV and its relatives: a header line, then one row for each person.

Arrow parses; what it forgives is refused before (:mod:`broadcaster.lists.encoding`, :mod:`broadcaster.lists.quotes`),
and what it refuses is said again with the line and without the row's content. No cell is ever anything but text, and no
text means "missing".
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pyarrow import csv as arrow_csv

from broadcaster.errors import ListUnusable
from broadcaster.lists.encoding import open_utf8
from broadcaster.lists.quotes import Quotes

_DELIMITERS = ",;\t|"
_BLOCK = 4 << 20  # bytes that Arrow parses at once: no row may be longer
_HEADER = 1 << 20  # characters of the line that the delimiter is looked for in
_NUMBER = re.compile(r"[^A-Za-z]*(?:\d[^A-Za-z]*){7}")  # no name of a column


@dataclass(frozen=True, slots=True, kw_only=True)
class TextList:
    """A text file whose header has been read."""

    path: Path
    columns: tuple[str, ...]
    encoding: str | None
    delimiter: str

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield the file's rows as record batches of the named columns, every cell a string.

        Raises:
            ListUnusable: a row that has not as many cells as the header, text that is not of the encoding, a quote in
                the wrong place; with the line.
        """
        rows: list[int | None] = []
        sizes: list[int] = []

        def ragged(row: Any) -> Literal["error"]:
            rows.append(row.number)
            sizes.append(row.actual_columns)
            return "error"

        try:
            with open_utf8(self.path, self.encoding, quotes=Quotes(self.path, self.delimiter)) as stream:
                yield from arrow_csv.open_csv(
                    stream,
                    # One thread: several are no faster here, and do not know a row's number.
                    read_options=arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK),
                    parse_options=arrow_csv.ParseOptions(
                        delimiter=self.delimiter, newlines_in_values=True, invalid_row_handler=ragged
                    ),
                    convert_options=arrow_csv.ConvertOptions(
                        column_types=dict.fromkeys(columns, pa.string()),
                        include_columns=list(columns),
                        strings_can_be_null=False,
                    ),
                )
        except pa.ArrowInvalid as error:
            # Arrow's sentence quotes the row, and rows are people: it goes no further.
            if rows:
                raise self._ragged(rows[0], sizes[0]) from None
            if "straddling" in str(error):
                raise ListUnusable(f"{self.path}: a row is longer than {_BLOCK >> 20} MB") from None
            raise ListUnusable(f"{self.path} cannot be read as CSV with the delimiter {self.delimiter!r}") from None

    def _ragged(self, row: int | None, size: int) -> ListUnusable:
        place = f"row {row}" if (line := self._line_of(row)) is None else f"line {line}"
        return ListUnusable(
            f"{self.path}: {place} has {_cells(size)}, the header has {len(self.columns)}; "
            f"a cell with {self.delimiter!r}, a quote or a line break in it has to stand in quotes"
        )

    def _line_of(self, row: int | None) -> int | None:
        """Return the line where Arrow's *row* begins: it counts rows, not lines, and no empty ones. Reads up to it."""
        seen, line = 0, 1
        with _text(self.path, self.encoding) as text:
            records = csv.reader(text, delimiter=self.delimiter)
            try:
                for record in records:
                    seen += bool(record)
                    if seen == row:
                        return line
                    line = records.line_num + 1
            except csv.Error:  # a cell beyond the reader's limit
                pass
        return None


def open_text(path: Path, *, encoding: str | None, delimiter: str | None) -> TextList:
    """Read the header of a text file.

    Args:
        path: the file; ``.tsv`` and ``.tab`` have tabs between their cells.
        encoding: what it is written in; else UTF-8, or UTF-16 with its mark.
        delimiter: what stands between two cells; else the one of ``, ; tab |`` that the header line has most of.

    Raises:
        ListUnusable: no header, no rows, columns without a name or with the same one.
    """
    with _text(path, encoding) as text:
        first = next((line for line in iter(lambda: text.readline(_HEADER), "") if line.strip()), None)
    if first is None:
        raise ListUnusable(f"{path} is empty; its first line has to name the columns")
    mark = delimiter or ("\t" if path.suffix.lower() in {".tsv", ".tab"} else _detected(path, first))
    with _text(path, encoding) as text:
        records = csv.reader(text, delimiter=mark)
        try:
            header = next(filter(None, records))
            line = records.line_num
            some = next(filter(None, records), None)
        except csv.Error:  # the reader is lenient and refuses nothing but a cell beyond its limit
            raise ListUnusable(
                f"{path}: a cell that is still open in line {records.line_num} is longer than "
                f"{csv.field_size_limit() >> 10} kB; is a quote before it not closed?"
            ) from None
    _check_header(path, header, line)
    if some is None:
        raise ListUnusable(f"{path} has a header and no rows")
    return TextList(path=path, columns=tuple(header), encoding=encoding, delimiter=mark)


def _text(path: Path, encoding: str | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_utf8(path, encoding), encoding="utf-8", newline="")


def _detected(path: Path, header: str) -> str:
    """Return the delimiter that cuts the header line into most columns; a comma when none does."""
    counted = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in _DELIMITERS}
    most = max(counted.values())
    best = [mark for mark, count in counted.items() if count == most]
    if most > 1 and len(best) > 1:
        marks = " and ".join(map(repr, best))
        raise ListUnusable(f"{path}: {marks} are as frequent in line 1; say which it is with recipients.delimiter")
    return best[0]


def _check_header(path: Path, header: list[str], line: int) -> None:
    for place, name in enumerate(header, start=1):
        if not name.strip():
            raise ListUnusable(f"{path}: column {place} has no name in line {line}")
        if _NUMBER.fullmatch(name):
            raise ListUnusable(
                f"{path}: line {line} has a number where a column's name belongs; is the header missing?"
            )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ListUnusable(f"{path}: line {line} has the column {', '.join(map(repr, twice))} more than once")


def _cells(size: int) -> str:
    return "1 cell" if size == 1 else f"{size} cells"
