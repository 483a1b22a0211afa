"""How every Parquet file of a run is written and read: compressed, page by page with a checksum.

Without checksums a flipped bit on disk is read as another value; with them it is an error.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from broadcaster.errors import StoreDamaged
from broadcaster.store.files import disk_errors

_ROWS = 1 << 16


@contextmanager
def writing(
    path: Path, schema: pa.Schema, *, note: Mapping[str, str] | None = None, repeated: Sequence[str] | None = None
) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of *path*; *note* goes into the file's metadata.

    *repeated* are the columns in which equal values are worth looking for; all of them when ``None``.
    """
    if note:
        schema = schema.with_metadata(dict(note))
    with (
        disk_errors(path),
        pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            write_page_checksum=True,
            store_schema=True,
            use_dictionary=True if repeated is None else list(repeated),
        ) as writer,
    ):
        yield writer


@contextmanager
def reading(path: Path) -> Iterator[pq.ParquetFile]:
    """Yield *path* opened with verified checksums.

    Raises:
        StoreDamaged: when it is missing, not Parquet, or a page does not match its checksum.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last: a column's name is damaged
        why = " ".join(str(error).split())  # one line
        raise StoreDamaged(f"{path} cannot be read ({why}); restore the run directory from a copy") from error


def record_batches(
    file: pq.ParquetFile, columns: Sequence[str] | None = None, *, rows: int = _ROWS
) -> Iterator[pa.RecordBatch]:
    """Yield an open file's rows, so many at a time; asked for all row groups at once, Arrow would read them first."""
    for group in range(file.num_row_groups):
        yield from file.iter_batches(
            batch_size=rows, row_groups=[group], columns=None if columns is None else [*columns]
        )


def regroup(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """Cut a stream of tables anew, into tables of exactly *size* rows (the last may be smaller)."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        while rows >= size:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, size)
            waiting, rows = [whole.slice(size)], rows - size
    if rows:
        yield pa.concat_tables(waiting)
