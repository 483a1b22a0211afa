"""Files for people and spreadsheets: ``failed.csv``, ``excluded.csv``, ``summary.json``.

Both lists have the columns of the list they come from, so that they can be corrected and used as a list again. They are
written as manifest and list are read, side by side: neither is ever held whole.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import csv

from broadcaster.core.words import Status
from broadcaster.store.files import replacing, write_atomically
from broadcaster.store.parquet import reading, record_batches
from broadcaster.store.rundir import RunDir

# A spreadsheet may run a cell that begins like this as a formula (CWE-1236), and makes another number of "+1-415-555".
_FORMULA = r"^[=+\-@\t\r\n\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]"
_NUMBER = (
    r"^[+\-]\d+(\.\d+)?$"  # a sign and digits are no formula: whoever reads the file as a table finds +14155550100
)
_COLUMNS = ["input_row", "recipient_id", "phone_input", "channel", "status", "reason", "error", "part"]


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write ``summary.json``."""
    write_atomically(path, json.dumps(summary, ensure_ascii=False, indent=2).encode() + b"\n")


def write_exports(run_dir: RunDir, *, sources: Mapping[int, Iterable[pa.RecordBatch]], phone: str) -> None:
    """Write ``failed.csv`` and ``excluded.csv`` from the manifest; a file without rows is removed.

    Args:
        run_dir: whose manifest is current.
        sources: the lists as they were planned, by part; where one is gone or has changed, its rows have only the
            columns that the manifest knows.
        phone: the list's column of numbers.
    """
    originals = {part: _Originals(source) for part, source in sources.items()}
    own = next((each.columns for each in originals.values() if each.columns), ["recipient_id", phone])
    with ExitStack() as stack:
        failed = _Sheet(run_dir.failed, own, ("channel", "reason", "error"), stack)
        excluded = _Sheet(run_dir.excluded, own, ("reason", "error"), stack)
        for rows in _told(run_dir):
            known = {"recipient_id": rows["recipient_id"], phone: rows["phone_input"]}
            part = rows["part"][0].as_py()
            if part in originals and originals[part].columns:
                known = originals[part].take(rows["input_row"].to_numpy())
            rejected = pc.equal(rows["status"], str(Status.REJECTED))
            failed.write(known, rows, rejected)
            excluded.write(known, rows, pc.invert(rejected), once=True)
        failed.close()
        excluded.close()


def _told(run_dir: RunDir) -> Iterator[pa.Table]:
    """Yield the manifest's rejected and excluded rows in its order, each table of one part."""
    wanted = pa.array([str(Status.REJECTED), str(Status.EXCLUDED)])
    with reading(run_dir.manifest) as file:
        for batch in record_batches(file, _COLUMNS):
            rows = pa.Table.from_batches([batch]).filter(pc.is_in(batch["status"], wanted))
            for part in pc.unique(rows["part"]).to_pylist():
                yield rows.filter(pc.equal(rows["part"], part)).combine_chunks()


class _Originals:
    """The cells of a list's rows, asked for in rising order."""

    def __init__(self, source: Iterable[pa.RecordBatch]) -> None:
        self._source = iter(source)
        self._first = 0
        self._batch = next(self._source, None)
        self.columns: list[str] = self._batch.schema.names if self._batch is not None else []

    def take(self, rows: NDArray[np.int64]) -> dict[str, pa.ChunkedArray]:
        """Return the cells of *rows*, column by column."""
        pieces = [self._batch.slice(0, 0)] if self._batch is not None else []
        at = 0
        while at < len(rows) and self._batch is not None:
            until = int(np.searchsorted(rows, self._first + self._batch.num_rows))
            pieces.append(self._batch.take(pa.array(rows[at:until] - self._first)))
            at = until
            if at < len(rows):
                self._first += self._batch.num_rows
                self._batch = next(self._source, None)
        table = pa.Table.from_batches(pieces)
        return dict(zip(table.column_names, table.columns, strict=True))


class _Sheet:
    """A CSV file that begins to exist with its first row."""

    def __init__(self, path: Path, own: Sequence[str], extra: Sequence[str], stack: ExitStack) -> None:
        self._path = path
        self._own = own
        self._extra = extra
        self._stack = stack
        self._writer: csv.CSVWriter | None = None
        self._last: tuple[int, int] | None = None

    def write(
        self, known: Mapping[str, pa.ChunkedArray], rows: pa.Table, chosen: pa.ChunkedArray, *, once: bool = False
    ) -> None:
        """Add the *chosen* rows; *once* leaves out all but the first that an input row has."""
        mask = chosen.combine_chunks().to_numpy(zero_copy_only=False).copy()
        if once and mask.any():
            of_row, part = rows["input_row"].to_numpy(), rows["part"][0].as_py()
            there = np.flatnonzero(mask)
            again = np.diff(of_row[there], prepend=-1) == 0
            again[0] = (part, int(of_row[there[0]])) == self._last
            mask[there[again]] = False
            self._last = (part, int(of_row[there[-1]]))
        count = int(mask.sum())
        if not count:
            return
        nothing = pa.nulls(count, pa.string())
        cells = [known[name].filter(pa.array(mask)) if name in known else nothing for name in self._own]
        cells += [rows[name].filter(pa.array(mask)) for name in self._extra]
        names = list(self._own)
        for name in self._extra:
            names.append(_unused(name, names))
        table = pa.table([safe(each) for each in cells], names=safe(pa.array(names)).to_pylist())
        if self._writer is None:
            path = self._stack.enter_context(replacing(self._path))
            file = self._stack.enter_context(path.open("wb"))
            file.write(b"\xef\xbb\xbf")  # so that a spreadsheet takes it for UTF-8
            self._writer = self._stack.enter_context(csv.CSVWriter(file, table.schema))
        self._writer.write_table(table)

    def close(self) -> None:
        """Remove what an earlier run had here, if this one has nothing."""
        if self._writer is None:
            self._path.unlink(missing_ok=True)


def _unused(name: str, taken: list[str]) -> str:
    """Return *name*, with as many underscores as a list needs that is an export itself."""
    while name in taken:
        name += "_"
    return name


def safe(cells: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return cells so that a spreadsheet shows them and does not run them; the lists that we read know the apostrophe.

    Null is an empty cell.
    """
    cells = pc.fill_null(cells.cast(pa.string()), "")
    run = pc.and_not(pc.match_substring_regex(cells, _FORMULA), pc.match_substring_regex(cells, _NUMBER))
    return pc.if_else(run, pc.binary_join_element_wise("'", cells, ""), cells)
