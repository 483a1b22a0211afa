"""Files for people and spreadsheets: ``failed.csv``, ``excluded.csv``, ``summary.json``.

Both lists have the columns of the list they come from, so that they can be corrected and used as a list again.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.words import Status
from broadcaster.store.files import replacing, write_atomically
from broadcaster.store.parquet import reading
from broadcaster.store.rundir import RunDir

# A spreadsheet runs a cell that begins like this as a formula (CWE-1236); a plain number may keep its sign.
_FORMULA = re.compile(r"^[=@\t\r\n]|^[+\-](?![\d\s().\-]*$)")


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write ``summary.json``."""
    write_atomically(path, json.dumps(summary, ensure_ascii=False, indent=2).encode() + b"\n")


_Place = tuple[int, int]  # part, input row


def write_exports(run_dir: RunDir, *, sources: Mapping[int, Iterable[pa.RecordBatch]], phone: str) -> None:
    """Write ``failed.csv`` and ``excluded.csv`` from the manifest; a file without rows is removed.

    Args:
        run_dir: whose manifest is current.
        sources: the lists as they were planned, by part; where one is gone or has changed, its rows have only the
            columns that the manifest knows.
        phone: the list's column of numbers.
    """
    failed: dict[_Place, list[dict[str, Any]]] = {}
    excluded: dict[_Place, list[dict[str, Any]]] = {}
    columns = ["input_row", "recipient_id", "phone_input", "channel", "status", "reason", "error", "part"]
    with reading(run_dir.manifest) as file:
        for batch in file.iter_batches(columns=columns):
            wanted = pc.is_in(batch["status"], pa.array([str(Status.REJECTED), str(Status.EXCLUDED)]))
            for row in batch.filter(wanted).to_pylist():
                group = failed if row["status"] == Status.REJECTED else excluded
                group.setdefault((row["part"], row["input_row"]), []).append(row)
    originals: dict[_Place, dict[str, str]] = {}
    for part, source in sources.items():
        originals |= _originals(part, source, {row for of, row in (*failed, *excluded) if of == part})
    rejected = (row for rows in failed.values() for row in rows)
    _write(run_dir.failed, rejected, originals, phone, extra=("channel", "reason", "error"))
    once = (rows[0] for rows in excluded.values())
    _write(run_dir.excluded, once, originals, phone, extra=("reason", "error"))


def _originals(part: int, source: Iterable[pa.RecordBatch], wanted: set[int]) -> dict[_Place, dict[str, str]]:
    """Return the list's own cells of the wanted rows."""
    found: dict[_Place, dict[str, str]] = {}
    first = 0
    for batch in source if wanted else ():
        here = sorted(row - first for row in wanted if first <= row < first + batch.num_rows)
        cells = batch.take(pa.array(here, pa.int64())).to_pylist()
        found |= {(part, first + at): each for at, each in zip(here, cells, strict=True)}
        first += batch.num_rows
    return found


def _write(
    path: Path,
    rows: Iterator[dict[str, Any]],
    originals: dict[_Place, dict[str, str]],
    phone: str,
    *,
    extra: tuple[str, ...],
) -> None:
    first = next(rows, None)
    if first is None:
        path.unlink(missing_ok=True)
        return
    own = list(next(iter(originals.values()), {"recipient_id": "", phone: ""}))
    header = list(own)
    for name in extra:
        header.append(_unused(name, header))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in (first, *rows):
            known = {"recipient_id": row["recipient_id"], phone: row["phone_input"]}
            cells = originals.get((row["part"], row["input_row"]), known)
            writer.writerow([safe(cells.get(name)) for name in own] + [safe(row[name]) for name in extra])


def _unused(name: str, taken: list[str]) -> str:
    """Return *name*, with as many underscores as a list needs that is an export itself."""
    while name in taken:
        name += "_"
    return name


def safe(cell: str | None) -> str:
    """Return *cell* so that a spreadsheet shows it and does not run it."""
    text = cell or ""
    return f"'{text}" if _FORMULA.match(text) else text
