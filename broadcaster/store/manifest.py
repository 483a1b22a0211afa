"""The manifest: one row per input row and channel, derived from plan and journal, never edited.

Theory of operation. The plan's rows are in the order of the list, its batches and the journal's answers in the order of
sending. So one pass in sending order spills what each delivery got (message id, the batch that settled it), cut by row
group of the list; a second pass in list order joins each row group with its spill, and with what the receipts say of
its message ids. Neither holds the whole list.

Receipts come whenever they like, also while this is written and after a run has ended. So the footer names, besides the
revision of everything, that of the receipts as it was *before* they were read: a manifest may have more receipts than
it says, never fewer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.resolution import SKIPPED
from broadcaster.core.words import Repeat, Status
from broadcaster.errors import StoreDamaged
from broadcaster.operations import OPERATIONS
from broadcaster.operations.model import Operation
from broadcaster.store import receipts
from broadcaster.store.added import Added
from broadcaster.store.batchfacts import BatchFacts
from broadcaster.store.deliveries import Deliveries
from broadcaster.store.facts import Facts
from broadcaster.store.files import TEMPORARY, disk_errors, replacing
from broadcaster.store.journal import JournalReader
from broadcaster.store.parquet import reading, record_batches, writing
from broadcaster.store.plan import ROW_SHIFT, Part, Plan
from broadcaster.store.rundir import RunDir
from broadcaster.store.spill import Spill, further_columns, spill_path
from broadcaster.store.spread import More, Spread

if TYPE_CHECKING:
    import pandas as pd

# Notes in the footer.
_REVISION, _RECEIPTS, _CLASHES = "broadcaster.revision", "broadcaster.receipts", "broadcaster.clashes"
_TIME = pa.timestamp("us", tz="UTC")
MANIFEST = pa.schema(
    [
        ("input_row", pa.int64()),
        ("recipient_id", pa.string()),
        ("phone_input", pa.string()),
        ("to", pa.string()),
        ("channel", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("error", pa.string()),
        ("message_id", pa.string()),
        ("idempotency_key", pa.string()),
        ("request_id", pa.string()),
        ("http_status", pa.int32()),
        ("attempts", pa.int32()),
        ("first_attempt_at", _TIME),
        ("settled_at", _TIME),
        ("delivery_status", pa.string()),
        ("delivery_channel", pa.string()),
        ("delivery_reason", pa.string()),
        ("delivery_updated_at", _TIME),
        ("part", pa.int16()),
    ]
)
_MESSAGES = "message_id"
_UNTOLD = "none"
MISSING = (
    "missing_in_answer",
    "the API's answer has no entry for this recipient; it may or may not have been messaged",
)


def schema_of(operation: Operation) -> pa.Schema:
    """Return the columns of a manifest: what an operation adds stands behind those that all of them have."""
    own = [] if operation.id_column == _MESSAGES else [pa.field(operation.id_column, pa.string())]
    return pa.schema([*MANIFEST, *own, *further_columns(operation)])


@dataclass(slots=True)
class Made:
    """What the building of a manifest found out."""

    counts: dict[str, int] = field(default_factory=dict)
    clashes: int = 0  # message ids that two deliveries share


def build_manifest(plan: Plan, facts: Facts, *, to: Path) -> Made:
    """Write the manifest of *plan* with *facts* and the receipts so far to *to*, atomically.

    Raises:
        StoreError: when the disk refuses, or plan, journal or receipts are damaged.
    """
    made = Made(counts=dict.fromkeys(Status, 0))
    table = BatchFacts.of(plan, facts)
    added = Added(plan)
    told = receipts_revision(plan)
    # The file above may hold millions of other runs' messages: nothing sent, nothing to look for.
    deliveries = Deliveries.read(plan.run_dir.path) if facts.settled or facts.evidence else Deliveries(())
    with disk_errors(to), TemporaryDirectory(dir=plan.run_dir.path, prefix=f"{TEMPORARY}manifest-") as spilled:
        made.clashes = Spill(plan, facts, table, Path(spilled)).write()
        note = {_REVISION: _revision(plan, told), _RECEIPTS: told, _CLASHES: str(made.clashes)}
        with replacing(to) as temporary, writing(temporary, schema_of(plan.head.asked), note=note) as writer:
            for part in plan.parts:
                for group, rows in enumerate(part.read_rows()):
                    more = added.within(part.head.first_row + (group << ROW_SHIFT), rows.num_rows)
                    joined = _join(part, group, rows, table, deliveries, Path(spilled), more, plan.head.asked)
                    writer.write_table(joined)
                    for each in joined["status"].value_counts().to_pylist():
                        made.counts[Status(each["values"])] += each["counts"]
    pa.default_memory_pool().release_unused()  # what comes next needs its own
    return made


def revision(plan: Plan) -> str:
    """Return a word for plan, journal and receipts as they are: equal revisions give equal manifests."""
    return _revision(plan, receipts_revision(plan))


def receipts_revision(plan: Plan) -> str:
    """Return a word for the receipts that the run may have, as they are now."""
    return receipts.revision(receipts.receipt_files(plan.run_dir.path))


def receipts_of(manifest: Path) -> str | None:
    """Return the word for the receipts that a manifest was made with, at least; ``None`` where it does not say."""
    told = _notes(manifest).get(_RECEIPTS.encode())
    return None if told is None else told.decode()


def clashes_if_current(plan: Plan) -> int | None:
    """Return how many message ids clash in the manifest on disk; ``None`` when it is not what is known now."""
    if not plan.run_dir.manifest.exists():
        return None
    notes = _notes(plan.run_dir.manifest)
    if notes.get(_REVISION.encode(), b"").decode() != revision(plan):
        return None
    return int(notes.get(_CLASHES.encode(), b"0"))


def count_deliveries(manifest: Path) -> dict[str, int]:
    """Return what became of the accepted deliveries of a manifest, most frequent first; ``none`` is for no word yet.

    Raises:
        StoreError: it cannot be read.
    """
    counts = Counter[str]()
    with reading(manifest) as file:
        for batch in record_batches(file, ["status", "delivery_status"]):
            accepted = batch.column("delivery_status").filter(pc.equal(batch.column("status"), str(Status.ACCEPTED)))
            for each in pc.fill_null(accepted, _UNTOLD).value_counts().to_pylist():
                counts[each["values"]] += each["counts"]
    return dict(counts.most_common())


def count_opt_outs(manifest: Path) -> int:
    """Return how many contacts of a migration's manifest have opted out, as the API says.

    Raises:
        StoreError: it cannot be read.
    """
    with reading(manifest) as file:
        return sum(pc.sum(each.column("opt_out")).as_py() or 0 for each in file.iter_batches(columns=["opt_out"]))


def _notes(manifest: Path) -> dict[bytes, bytes]:
    with reading(manifest) as file:
        return dict(file.schema_arrow.metadata or {})


def _revision(plan: Plan, told: str) -> str:
    if not plan.run_dir.journal.exists():
        return f"{plan.fingerprint}-r{told}"
    with JournalReader(plan.run_dir.journal) as journal:
        return f"{plan.fingerprint}-{journal.revision()}-r{told}"


def _join(
    part: Part,
    group: int,
    rows: pa.Table,
    table: BatchFacts,
    deliveries: Deliveries,
    spilled: Path,
    more: More,
    operation: Operation,
) -> pa.Table:
    """Return the manifest rows of one row group: its rows times their channels, with their spill and receipts."""
    spread = Spread.of(rows["channels"], more=more)
    batches = pc.fill_null(rows["batch"], -1).to_numpy().astype(np.int64)
    settled_by = batches[spread.rows]
    count = len(settled_by)
    message_ids = pa.nulls(count, pa.string())
    further = {each.name: pa.nulls(count, each.type) for each in further_columns(operation)}
    path = spill_path(spilled, part.head.part, group)
    if path.exists():
        with pa.OSFile(str(path)) as source:
            spill = pa.ipc.open_stream(source).read_all()
        at = spread.place(spill["row"].to_numpy(), spill["channel"].to_numpy())
        settled_by[at] = spill["settled_by"].to_numpy()
        source_of = np.full(count, -1, dtype=np.int64)
        source_of[at] = np.arange(len(at))
        of_spill = pa.array(source_of, mask=source_of < 0)
        message_ids = spill["message_id"].combine_chunks().take(of_spill)
        further = {name: spill[name].combine_chunks().take(of_spill) for name in further}
    excluded = settled_by < 0
    wide = rows.take(pa.array(spread.rows))
    columns = table.columns(settled_by)
    known = message_ids.is_valid().to_numpy(zero_copy_only=False)
    lacking = (columns["status"] == table.ACCEPTED) & ~known & ~excluded & operation.gives_ids
    cases = [excluded, known, lacking & columns["waived"], lacking]  # the first that holds decides
    status = np.select(
        cases, [table.EXCLUDED, table.ACCEPTED, table.EXCLUDED, table.IN_DOUBT], default=columns["status"]
    ).astype(np.int8)
    nothing = pa.nulls(count, pa.string())
    reason = _choose(cases, [wide["reason"].cast(pa.string()), nothing, SKIPPED[0], MISSING[0]], columns["reason"])
    error = _choose(cases, [wide["error"], nothing, SKIPPED[1], MISSING[1]], columns["error"])
    if operation.id_column != _MESSAGES:
        further[operation.id_column], message_ids = message_ids, nothing
    return pa.table(
        {
            "input_row": wide["input_row"],
            "recipient_id": wide["recipient_id"],
            "phone_input": wide["phone_input"],
            "to": wide["to"],
            "channel": spread.channels,
            "status": table.status_words.take(pa.array(status)),
            "reason": reason,
            "error": error,
            "message_id": message_ids,
            "idempotency_key": nothing if operation.repeat is Repeat.NEVER else columns["idempotency_key"],
            "request_id": columns["request_id"],
            "http_status": columns["http_status"],
            "attempts": columns["attempts"],
            "first_attempt_at": columns["first_attempt_at"],
            "settled_at": columns["settled_at"],
            **deliveries.columns(message_ids),
            "part": pa.array(np.full(count, part.head.part, dtype=np.int16)),
            **further,
        },
        schema=schema_of(operation),
    )


def _choose(cases: Sequence[NDArray[np.bool_]], texts: Sequence[pa.Array | str], otherwise: pa.Array) -> pa.Array:
    """Return, per delivery, the text of the first case that holds."""
    chosen = otherwise
    for case, text in reversed(list(zip(cases, texts, strict=True))):
        chosen = pc.if_else(pa.array(case), text, chosen)
    return chosen


def read_manifest(run_dir: str | Path) -> "pd.DataFrame":
    """Return a run's manifest as a pandas DataFrame with nullable string and integer types.

    Args:
        run_dir: the run's directory.

    Raises:
        StoreDamaged: when there is none, or a page does not match its checksum.
    """
    import pandas as pd

    types = {
        pa.string(): pd.StringDtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    path = RunDir(Path(run_dir)).manifest
    with reading(path) as file:
        if not any(file.schema_arrow.equals(schema_of(each)) for each in OPERATIONS.values()):
            raise StoreDamaged(
                f"{path} has other columns than a manifest; 'broadcaster manifest {run_dir}' builds it anew"
            )
        frame: pd.DataFrame = file.read().replace_schema_metadata(None).to_pandas(types_mapper=types.get)
    return frame
