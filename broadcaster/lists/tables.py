"""Parquet: a table with types, of which only the text is wanted.

A number that was stored as a float is written as one, with its point, so that nobody takes it for what it was before.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from broadcaster.errors import ListUnusable

_ROWS = 65_536  # of a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetList:
    """A Parquet file whose schema has been read."""

    path: Path
    columns: tuple[str, ...]

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield the file's rows as record batches of the named columns, every cell a string; null is "".

        Raises:
            ListUnusable: the file is damaged, or a named column holds no text.
        """
        try:
            with parquet.ParquetFile(self.path, page_checksum_verification=True) as file:
                for name in columns:
                    _check_type(self.path, name, file.schema_arrow.field(name).type)
                for batch in file.iter_batches(batch_size=_ROWS, columns=list(columns)):
                    yield pa.RecordBatch.from_arrays([_text(batch.column(name)) for name in columns], list(columns))
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.path, error) from None


def open_parquet(path: Path) -> ParquetList:
    """Read the schema of a Parquet file.

    Raises:
        ListUnusable: it is none, it has no rows, or two columns have the same name.
    """
    try:
        with parquet.ParquetFile(path) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ListUnusable(f"{path} has the column {', '.join(map(repr, twice))} more than once")
    if not rows:
        raise ListUnusable(f"{path} has no rows")
    return ParquetList(path=path, columns=tuple(names))


def _check_type(path: Path, name: str, kind: Any) -> None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    if pa.types.is_nested(kind) or binary:
        raise ListUnusable(f"{path}: the column {name!r} holds {kind}, which is no text; store it as strings")


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


def _unreadable(path: Path, error: Exception) -> Exception:
    """Return what *error* means: that of the operating system has a number, Arrow's own has none."""
    if isinstance(error, OSError) and error.errno:
        return error
    return ListUnusable(f"{path} cannot be read as Parquet: it is damaged, encrypted or something else; write it again")
