"""The account's contacts as a file: Parquet or CSV, whole or not at all.

Its columns are documented and fixed; by ``contact_id``, ``phone`` and ``opt_out`` together a suppression list is known
to be such a file, and only those who have opted out are taken from it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from broadcaster.store.exports import safe
from broadcaster.store.files import replacing
from broadcaster.store.parquet import writing

COLUMNS = pa.schema(
    [
        ("contact_id", pa.string()),
        ("phone", pa.string()),
        ("country_code", pa.string()),
        ("region_code", pa.string()),
        ("available_channels", pa.string()),
        ("default_channel", pa.string()),
        ("opt_out", pa.bool_()),
        ("created_at", pa.string()),
        ("updated_at", pa.string()),
    ]
)
PARQUET = frozenset({".parquet", ".pq"})
CSV = frozenset({".csv"})

Rows = Sequence[Mapping[str, str | bool | None]]


@contextmanager
def contact_file(path: Path) -> Iterator[Callable[[Rows], None]]:
    """Yield what takes rows for *path*; the file is there when the block ends, and untouched when it fails.

    The ending of the name decides: :data:`PARQUET` or else CSV.

    Raises:
        StoreError: when the disk refuses.
    """
    with replacing(path) as temporary:
        if path.suffix.lower() in PARQUET:
            with writing(temporary, COLUMNS) as writer:
                yield lambda rows: writer.write_table(_table(rows))
        else:
            with temporary.open("wb") as file:
                file.write(b"\xef\xbb\xbf")  # so that a spreadsheet takes it for UTF-8
                texts = pa.schema([(each.name, pa.string()) for each in COLUMNS])
                with csv.CSVWriter(file, texts) as sheet:
                    yield lambda rows: sheet.write_table(_texts(rows, texts))


def _table(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=COLUMNS)


def _texts(rows: Rows, schema: pa.Schema) -> pa.Table:
    """Return the same as texts that no spreadsheet runs."""
    table = _table(rows)
    return pa.table([safe(table[name].combine_chunks()) for name in schema.names], schema=schema)
