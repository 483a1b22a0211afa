"""CSV and its relatives: a header line, then one row for each person.

Arrow parses; what it forgives is refused before (:mod:`broadcaster.lists.encoding`, :mod:`broadcaster.lists.quotes`),
and what it refuses is left out or said again with the line and without the row's content. No cell is ever anything but
text, and no text means "missing".
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from broadcaster.errors import ListUnusable
from broadcaster.lists.columns import check_header
from broadcaster.lists.encoding import open_utf8
from broadcaster.lists.places import Place
from broadcaster.lists.quotes import Quotes
from broadcaster.lists.ragged import Ragged, cells, where

_DELIMITERS = ",;\t|"
_BLOCK = 4 << 20  # bytes that Arrow parses at once: no row may be longer
_HEADER = 1 << 20  # characters of the line that the delimiter is looked for in


@dataclass(frozen=True, slots=True, kw_only=True)
class TextList:
    """A text file whose header has been read."""

    place: Place
    columns: tuple[str, ...]
    encoding: str | None
    delimiter: str

    def batches(self, columns: Sequence[str], *, malformed: dict[int, str] | None = None) -> Iterator[Any]:
        """Yield the file's rows as record batches of the named columns, every cell a string.

        Args:
            columns: those wanted.
            malformed: where rows are noted, at the end, that have not as many cells as the header: what is wrong with
                the row, by its position; its cells are empty. ``None`` refuses such a file.

        Raises:
            ListUnusable: a row that has not as many cells as the header and cannot be left out alone, text that is not
                of the encoding, a quote in the wrong place; with the line.
        """
        ragged = Ragged(alone=malformed is not None)
        try:
            with open_utf8(self.place, self.encoding, quotes=Quotes(self.place.name, self.delimiter)) as stream:
                parsed = arrow_csv.open_csv(
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
                yield from ragged.in_place(parsed, columns)
        except pa.ArrowInvalid as error:
            # Arrow's sentence quotes the row, and rows are people: it goes no further.
            if ragged.stopped:
                raise self._refused(*ragged.stopped, why=ragged.why) from None
            if "straddling" in str(error):
                raise ListUnusable(f"{self.place}: a row is longer than {_BLOCK >> 20} MB") from None
            raise ListUnusable(f"{self.place} cannot be read as CSV with the delimiter {self.delimiter!r}") from None
        if malformed is not None:
            malformed.update(ragged.sentences(self._lines, header=len(self.columns)))

    def _refused(self, row: int, size: int, *, why: str) -> ListUnusable:
        return ListUnusable(
            f"{self.place}: {where(row, self._lines([row]))} has {cells(size)}, the header has {len(self.columns)}; "
            f"{why}a cell with {self.delimiter!r}, a quote or a line break in it has to stand in quotes"
        )

    def _lines(self, rows: Sequence[int]) -> dict[int, int]:
        """Return the lines where Arrow's *rows* begin: it counts rows, not lines, and no empty ones.

        Reads up to the last of them; what lies behind a cell beyond the reader's limit is not found.
        """
        wanted = set(rows)
        found: dict[int, int] = {}
        seen, line = 0, 1
        with _text(self.place, self.encoding) as text:
            records = csv.reader(text, delimiter=self.delimiter)
            try:
                for record in records:
                    seen += bool(record)
                    if record and seen in wanted:
                        found[seen] = line
                        if len(found) == len(wanted):
                            break
                    line = records.line_num + 1
            except csv.Error:  # a cell beyond the reader's limit
                pass
        return found


def open_text(place: Place, *, encoding: str | None, delimiter: str | None) -> TextList:
    """Read the header of a text file.

    Args:
        place: the file; ``.tsv`` and ``.tab`` have tabs between their cells.
        encoding: what it is written in; else UTF-8, or UTF-16 with its mark.
        delimiter: what stands between two cells; else the one of ``, ; tab |`` that the header line has most of.

    Raises:
        ListUnusable: no header, no rows, columns without a name or with the same one.
    """
    with _text(place, encoding) as text:
        first = next((line for line in iter(lambda: text.readline(_HEADER), "") if line.strip()), None)
    if first is None:
        raise ListUnusable(f"{place} is empty; its first line has to name the columns")
    mark = delimiter or ("\t" if place.kind in {".tsv", ".tab"} else _detected(place, first))
    with _text(place, encoding) as text:
        records = csv.reader(text, delimiter=mark)
        try:
            header = next(filter(None, records))
            line = records.line_num
            some = next(filter(None, records), None)
        except csv.Error:  # the reader is lenient and refuses nothing but a cell beyond its limit
            raise ListUnusable(
                f"{place}: a cell that is still open in line {records.line_num} is longer than "
                f"{csv.field_size_limit() >> 10} kB; is a quote before it not closed?"
            ) from None
    check_header(header, name=place.name, line=line)
    if some is None:
        raise ListUnusable(f"{place} has a header and no rows")
    return TextList(place=place, columns=tuple(header), encoding=encoding, delimiter=mark)


def _text(place: Place, encoding: str | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(open_utf8(place, encoding), encoding="utf-8", newline="")


def _detected(place: Place, header: str) -> str:
    """Return the delimiter that cuts the header line into most columns; a comma when none does."""
    counted = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in _DELIMITERS}
    most = max(counted.values())
    best = [mark for mark, count in counted.items() if count == most]
    if most > 1 and len(best) > 1:
        marks = " and ".join(map(repr, best))
        raise ListUnusable(f"{place}: {marks} are as frequent in line 1; say which it is with recipients.delimiter")
    return best[0]
