"""Parquet: a table with types, of which only the text is wanted.

A number that was stored as a float is written as one, with its point, so that nobody takes it for what it was before.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from broadcaster.errors import ListUnusable
from broadcaster.lists.places import Place

_ROWS = 65_536  # of a batch
_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_binary_view,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetList:
    """A Parquet file whose schema has been read; of a part of it, *row_groups* are all that is read."""

    place: Place
    columns: tuple[str, ...]
    row_groups: range | None = None

    def sizes(self) -> list[int]:
        """Return how many rows each row group of the file has.

        Raises:
            ListUnusable: the file is damaged.
        """
        try:
            with parquet.ParquetFile(self.place.path) as file:
                return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.place, error) from None

    def batches(self, columns: Sequence[str], *, malformed: dict[int, str] | None = None) -> Iterator[Any]:  # noqa: ARG002 - every kind of list has it; a row of a table has all its cells
        """Yield the file's rows as record batches of the named columns, every cell a string; null is "".

        Raises:
            ListUnusable: the file is damaged, or a named column holds no text.
        """
        try:
            with parquet.ParquetFile(self.place.path, page_checksum_verification=True) as file:
                for name in columns:
                    _check_type(self.place, name, file.schema_arrow.field(name).type)
                for batch in _each(file, columns, _asked(file, self.row_groups)):
                    cells = {name: _text(batch.column(name)) for name in columns}
                    _check_text(self.place, cells)
                    yield pa.RecordBatch.from_arrays(list(cells.values()), list(cells))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.place, error) from None


def _each(file: Any, columns: Sequence[str], groups: range) -> Iterator[Any]:
    """Yield a file's record batches; asked for all row groups at once, Arrow would read the whole file first."""
    for group in groups:
        yield from file.iter_batches(batch_size=_ROWS, row_groups=[group], columns=list(columns))


def _asked(file: Any, some: range | None) -> range:
    return range(file.num_row_groups) if some is None else some


def open_parquet(place: Place) -> ParquetList:
    """Read the schema of a Parquet file.

    Raises:
        ListUnusable: it is none, it has no rows, or two columns have the same name.
    """
    try:
        with parquet.ParquetFile(place.path) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(place, error) from None
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ListUnusable(f"{place} has the column {', '.join(map(repr, twice))} more than once")
    if not rows:
        raise ListUnusable(f"{place} has no rows")
    return ParquetList(place=place, columns=tuple(names))


def _check_type(place: Place, name: str, kind: Any) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    stored = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_nested(stored) or any(each(stored) for each in _BYTES):
        raise ListUnusable(f"{place}: the column {name!r} holds {kind}, which is no text; store it as strings")


def _check_text(place: Place, cells: Mapping[str, Any]) -> None:
    """Refuse what no text has in it; Arrow takes the writer's word for that."""
    for name, column in cells.items():
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            raise ListUnusable(f"{place}: the column {name!r} holds text that is not UTF-8; write it again") from None
        if pc.any(pc.match_substring(column, "\0")).as_py():
            raise ListUnusable(f"{place}: the column {name!r} holds a NUL, which no text does; write it again")


def _text(column: Any) -> Any:
    """Return *column* as strings."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    text: Any = column.cast(pa.string())
    if pa.types.is_floating(column.type):
        # Arrow writes 4155550100.0 as 4155550100: digits that nobody can vouch for must not look like a number.
        whole = pc.match_substring_regex(text, r"^[+-]?\d+$")
        text = pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text)
    return pc.fill_null(text, "")


def _unreadable(place: Place, error: Exception) -> Exception:
    """Return what *error* means: that of the operating system has a number, Arrow's own has none."""
    if isinstance(error, OSError) and error.errno:
        return error
    return ListUnusable(
        f"{place} cannot be read as Parquet: it is damaged, encrypted or something else; write it again"
    )
