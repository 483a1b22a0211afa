"""Removing what says who somebody is from the directory of a finished run; the counts stay.

Theory of operation. The first thing written is ``purged.json``: from then on no command does anything else here, and
whoever is killed in between finishes with the same steps again, each of which may be done twice. What is not needed for
counting is deleted as a whole, databases with their logs included, so that no free page keeps a number; the manifest is
written anew with nothing in its personal columns. Columns and files are kept by name and everything else goes, so that
what later versions add is removed unless somebody decided otherwise here.
"""

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.values import Tally
from broadcaster.errors import BelongsToAnother, StoreDamaged
from broadcaster.store.files import TEMPORARY, disk_errors, replacing, sync, write_atomically
from broadcaster.store.parquet import reading, record_batches, writing
from broadcaster.store.rundir import RunDir

VERSION = 1
# Message and request ids stay: they name a message to Sent, for bills and complaints, and nobody to anyone else. Keys
# go: a key is a digest of the body, so that a guessed number could be confirmed by it.
_COUNTED = frozenset({
    "input_row", "channel", "status", "message_id", "request_id", "http_status", "attempts", "first_attempt_at",
    "settled_at", "delivery_status", "delivery_channel", "delivery_updated_at", "part",
})  # fmt: skip
_CODES = frozenset({"reason", "delivery_reason"})  # stay as far as they are codes
_CODE = r"^[A-Za-z][A-Za-z_]*[0-9]{0,3}$"
_OTHER = "other"
_KEPT = frozenset({"run.lock", "manifest.parquet", "summary.json", "purged.json", "report.html"})
_WRITTEN_BY_US = re.compile(
    r"(plan|batches)(-\d+)?\.(json|parquet)|(journal|receipts|simulator)\.sqlite(-wal|-shm|-journal)?|(failed|excluded|suppress)\.csv"
    r"|input-\d+-.*|control\.json|report\.html|events\.jsonl|metrics\.prom|rehearsal\.log|"
    + re.escape(TEMPORARY)
    + ".*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is left of a purged run: ``purged.json``.

    Attributes:
        account, run: what the registry of campaigns knows the run by; ``None`` when nothing was ever sent.
        purged_at: in ISO format, UTC.
        done: ``False`` while files are being removed.
        batches: of the run, all settled.
        summary: as in ``summary.json``.
        rows: manifest rows by status, reason and channel.
    """

    version: int = VERSION
    campaign: str
    mode: str
    account: str | None
    run: str | None
    purged_at: str
    done: bool = False
    exit_code: int
    batches: int
    summary: dict[str, Any]
    rows: list[dict[str, Any]]

    @property
    def counts(self) -> Tally:
        """Deliveries by status."""
        return Tally(**self.summary["deliveries"])


def read_record(run_dir: RunDir) -> Record | None:
    """Return what is left of a purged run, or ``None``: it is none.

    Raises:
        BelongsToAnother: it was purged by another version.
        StoreDamaged: the record cannot be read.
    """
    if not run_dir.purged.exists():
        return None
    try:
        words = json.loads(run_dir.purged.read_bytes())
        if words["version"] != VERSION:
            raise BelongsToAnother(f"{run_dir.purged}: format {words['version']} is not the one this version reads")
        known = {each.name for each in fields(Record)}
        return Record(**{name: value for name, value in words.items() if name in known})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(f"{run_dir.purged} cannot be read ({error}); restore it from a copy") from error


def write_record(run_dir: RunDir, record: Record) -> None:
    """Write ``purged.json``: from here on the run is a purged one."""
    write_atomically(run_dir.purged, json.dumps(asdict(record), ensure_ascii=False, indent=2).encode() + b"\n")


def count_rows(manifest: Path) -> list[dict[str, Any]]:
    """Return how many rows of a manifest have which status, reason and channel."""
    counted: Counter[tuple[str, str | None, str]] = Counter()
    with reading(manifest) as file:
        for batch in record_batches(file, ["status", "reason", "channel"]):
            table = pa.table({**_columns(batch), "reason": _codes_only(batch.column("reason"))})
            for each in table.group_by(["status", "reason", "channel"]).aggregate([([], "count_all")]).to_pylist():
                counted[each["status"], each["reason"], each["channel"]] += each["count_all"]
    return [
        {"status": status, "reason": reason, "channel": channel, "rows": rows}
        for (status, reason, channel), rows in sorted(counted.items(), key=lambda each: tuple(map(str, each[0])))
    ]


def scrub(manifest: Path) -> None:
    """Write a manifest anew without what says who somebody is; a scrubbed one stays as it is.

    Raises:
        StoreError: when the disk refuses, or the manifest is damaged.
    """
    with reading(manifest) as file, replacing(manifest) as temporary:
        schema = file.schema_arrow.remove_metadata()
        with writing(temporary, schema) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                writer.write_table(pa.table([_scrubbed(name, table[name]) for name in schema.names], schema=schema))


def clean_codes(counts: Mapping[str, int]) -> dict[str, int]:
    """Return counts by code; what is no code is counted under one word."""
    cleaned: Counter[str] = Counter()
    for code, count in counts.items():
        cleaned[code if re.match(_CODE, code) else _OTHER] += count
    return dict(cleaned)


def remove_files(run_dir: RunDir) -> tuple[str, ...]:
    """Delete what a run has written here but for the counts; durable when it returns.

    Returns:
        The names of what else is here: somebody put it there, and it may hold numbers.

    Raises:
        StoreError: when the disk refuses.
    """
    left = []
    with disk_errors(run_dir.path):
        for path in sorted(run_dir.path.iterdir()):
            if path.name in _KEPT:
                continue
            if not _WRITTEN_BY_US.fullmatch(path.name):
                left.append(path.name)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        sync(run_dir.path)
    return tuple(left)


def _columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return {name: batch.column(name) for name in batch.schema.names}


def _scrubbed(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if name in _COUNTED:
        return column
    return _codes_only(column) if name in _CODES else pa.nulls(len(column), column.type)


def _codes_only(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(column, _CODE), column, _OTHER)
