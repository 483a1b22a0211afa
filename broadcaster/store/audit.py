"""``verify``: derive everything again and name the first difference.

Nothing here trusts a count that somebody wrote down: files are hashed again, bodies encoded again, the manifest built
again and compared cell by cell. Only receipts go on coming after a manifest was written: where some have, its columns
about deliveries are those of an earlier moment, and that is said instead of compared.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.keys import idempotency_key
from broadcaster.core.lifecycle import BatchState, Event, IllegalMove, advance
from broadcaster.core.words import Executed, Repeat, State, Status
from broadcaster.errors import BroadcasterError, StoreDamaged
from broadcaster.operations import OPERATIONS
from broadcaster.store.facts import PROVED, Facts, tally
from broadcaster.store.files import TEMPORARY, digest
from broadcaster.store.journal import JournalReader
from broadcaster.store.manifest import build_manifest, receipts_of, receipts_revision
from broadcaster.store.parquet import reading, record_batches, regroup
from broadcaster.store.plan import Plan
from broadcaster.store.refusals import has_retries, unfounded

_PIECE = 1 << 16  # rows
_OF_RECEIPTS = frozenset({"delivery_status", "delivery_channel", "delivery_reason", "delivery_updated_at"})
_ENDINGS = {
    State.ACCEPTED: Event.ACCEPT,
    State.REJECTED: Event.REJECT,
    State.SPLIT: Event.SPLIT,
    State.RESENT: Event.RESEND,
    State.SKIPPED: Event.SKIP,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What ``verify`` checked, and the first thing that is wrong (``None``: nothing is)."""

    checked: tuple[str, ...]
    difference: str | None


def audit(plan: Plan) -> Audit:
    """Check plan, journal and manifest against each other; stops at the first difference."""
    facts: Facts | None = None
    checked: list[str] = []
    try:
        for name, differences in (
            ("the plan's files are the ones that were frozen", _files(plan)),
            ("every row is in exactly one batch or excluded, and nobody is in two", _membership(plan)),
            ("every batch encodes to the bytes that its key was taken from", _keys(plan)),
        ):
            found = next(differences, None)
            if found is not None:
                return Audit(checked=tuple(checked), difference=found)
            checked.append(name)
        facts = Facts.read(plan)
        for name, differences in (
            ("the journal is whole and speaks of planned batches only", _journal(plan, facts)),
            *((("nobody is retried who was not refused", unfounded(plan, facts)),) if has_retries(plan) else ()),
            ("the manifest says what plan and journal say, and no message id stands twice", _manifest(plan, facts)),
        ):
            found = next(differences, None)
            if found is not None:
                return Audit(checked=tuple(checked), difference=found)
            checked.append(name)
        checked += _of_receipts(plan)
    except BroadcasterError as error:
        return Audit(checked=tuple(checked), difference=error.sentence)
    return Audit(checked=tuple(checked), difference=None)


def require_frozen(plan: Plan) -> Plan:
    """Return *plan* if its tables are the files that were frozen; whoever goes on with a run asks first.

    Raises:
        StoreDamaged: naming the first that is not.
    """
    difference = next(_files(plan), None)
    if difference is not None:
        raise StoreDamaged(f"{difference}; restore the run directory from a copy, nothing is sent from this one")
    return plan


def _files(plan: Plan) -> Iterator[str]:
    for part in plan.parts:
        for name, frozen in part.head.sha256.items():
            path = plan.run_dir.path / name
            if not path.exists():
                yield f"{path} is missing"
            elif digest(path) != frozen:
                yield f"{path} is not the file that was frozen: its SHA-256 differs from the one in the plan"


def _membership(plan: Plan) -> Iterator[str]:
    planned = [
        table["batch"].to_numpy(zero_copy_only=False) for part in plan.parts for table in part.read_rows(["batch"])
    ]
    of_row = np.nan_to_num(np.concatenate(planned).astype(np.float64), nan=-1).astype(np.int64)
    reached = np.full(len(of_row), -1, dtype=np.int64)
    for batch, rows in plan.read_with_rows():
        if plan.part_of(batch.id).head.is_retry:  # who is in one of these is checked against the journal
            continue
        if (reached[rows] >= 0).any() or len(np.unique(rows)) != len(rows):
            yield f"batch {batch.id} repeats a row that is in a batch already"
        reached[rows] = batch.id
    if not np.array_equal(of_row, reached):
        row = int(np.flatnonzero(of_row != reached)[0])
        yield f"row {row} of the plan is in batch {of_row[row]} by the one table and in {reached[row]} by the other"
    numbers = pa.chunked_array(
        [
            column
            for part in plan.parts
            for table in part.read_rows(["to", "batch"])
            for column in table.filter(pc.is_valid(table["batch"]))["to"].chunks
        ],
        pa.string(),
    )
    if numbers.null_count or len(pc.unique(numbers)) != len(numbers):
        yield "the plan has the same number in two batches, or a row without a number in a batch"


def _keys(plan: Plan) -> Iterator[str]:
    for batch in plan.read_batches():
        head = plan.part_of(batch.id).head
        body = OPERATIONS[head.operation].encode(head.message, batch)
        if idempotency_key(body, scope=head.scope) != batch.key:
            yield f"batch {batch.id} does not encode to the bytes that its key was taken from"


def _journal(plan: Plan, facts: Facts) -> Iterator[str]:
    if not plan.run_dir.journal.exists():
        return
    with JournalReader(plan.run_dir.journal) as journal:
        damage = journal.damage()
        if damage is not None:
            yield f"{plan.run_dir.journal}: {damage}"
        answered = {batch for batch, _ in journal.answers()}
        natural = plan.head.asked.repeat is Repeat.NATURAL
        doubts = [] if natural else list(journal.doubts())  # twice is once: no attempt leaves any
    for batch in (*facts.settled, *facts.claims):
        if batch >= plan.batches or (batch < 0 and batch not in facts.children):
            yield f"the journal speaks of batch {batch}, which was never planned"
    for batch, state in _histories(doubts, facts):
        settled = facts.settled[batch].state
        try:
            if settled in {State.RESENT, State.SKIPPED} and state is BatchState.IN_FLIGHT:
                state = advance(state, Event.LOSE)  # noqa: PLW2901 - a process that ended before any answer
            advance(state, _ENDINGS[settled])
        except IllegalMove:
            yield f"batch {batch} is {settled} although an earlier attempt may have executed"
    accepted = {
        batch for batch, settled in facts.settled.items() if settled.state is State.ACCEPTED and settled.code != PROVED
    }
    if accepted != answered:
        yield f"batch {min(accepted ^ answered)} is accepted without an answer, or the other way round"


def _histories(doubts: list[tuple[int, Executed]], facts: Facts) -> Iterator[tuple[int, BatchState]]:
    """Yield every settled batch with the state that its recorded attempts had brought it to."""
    states = dict.fromkeys(facts.settled, advance(BatchState.PENDING, Event.CLAIM))
    for batch, executed in doubts:
        if batch in states and executed is not Executed.NO:
            states[batch] = advance(states[batch], Event.LOSE)
    yield from states.items()


def _manifest(plan: Plan, facts: Facts) -> Iterator[str]:
    path = plan.run_dir.manifest
    if not path.exists():
        yield f"{path} is missing; 'broadcaster manifest {plan.run_dir.path}' builds it"
        return
    with TemporaryDirectory(dir=plan.run_dir.path, prefix=f"{TEMPORARY}verify-") as directory:
        again = Path(directory) / "manifest.parquet"
        made = build_manifest(plan, facts, to=again)
        if made.clashes:
            yield f"{made.clashes} message ids stand for more than one delivery"
        counted = tally(plan, facts)
        for status in Status:
            if made.counts[status] != getattr(counted, status):
                yield (
                    f"the journal has {getattr(counted, status)} {status} deliveries, "
                    f"the manifest made of it {made.counts[status]}"
                )
        yield from _compare(path, again, without=() if _has_all_receipts(plan) else _OF_RECEIPTS)


def _has_all_receipts(plan: Plan) -> bool:
    """Whether no receipt has come since the manifest was written."""
    return (receipts_of(plan.run_dir.manifest) or "") == receipts_revision(plan)


def _of_receipts(plan: Plan) -> Iterator[str]:
    """Yield what can be said of the manifest's columns about deliveries; nothing when nobody ever told anything."""
    if not receipts_revision(plan):
        return
    if _has_all_receipts(plan):
        yield "the manifest's delivery columns are what the receipts say"
    else:
        yield (
            "receipts have come since the manifest was written, so that its delivery columns are of an earlier moment: "
            f"'broadcaster manifest {plan.run_dir.path}' brings them up to date"
        )


def _pieces(file: Any) -> Iterator[pa.Table]:
    """Yield a manifest in pieces of a size, in whatever row groups it was written."""
    return regroup((pa.Table.from_batches([few]) for few in record_batches(file)), _PIECE)


def _compare(here: Path, derived: Path, *, without: Collection[str]) -> Iterator[str]:
    with reading(derived) as expected, reading(here) as found:  # the inner one is named when a page cannot be read
        if found.metadata.num_rows != expected.metadata.num_rows:
            yield f"{here} has {found.metadata.num_rows} rows; plan and journal make {expected.metadata.num_rows}"
            return
        if not found.schema_arrow.equals(expected.schema_arrow):
            yield f"{here} has other columns than a manifest"
            return
        row = 0
        for ours, theirs in zip_longest(_pieces(found), _pieces(expected)):
            if ours is None or theirs is None or ours.num_rows != theirs.num_rows:
                yield f"{here} has its rows in other groups than a manifest, from row {row} on"
                return
            for name in (each for each in ours.schema.names if each not in without):
                if not ours.column(name).equals(theirs.column(name)):
                    pairs = zip(ours.column(name).to_pylist(), theirs.column(name).to_pylist(), strict=True)
                    at = next(at for at, (one, other) in enumerate(pairs) if one != other)
                    yield f"{here}: row {row + at} has another {name} than plan and journal say"
            row += ours.num_rows
