"""What the manifest says of a delivery because of the batch that settled it, as columns indexed by batch.

Planned batches come first, by number; then the children of splits. Index -1 stands for "in no batch" and gives nulls.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.values import Batch
from broadcaster.core.words import Channel, State, Status
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan

_TIME = pa.timestamp("us", tz="UTC")
_IN_DOUBT = ("no_answer", "it was sent or about to be sent, and no answer is known; 'broadcaster resume' asks again")
_WORDS = (Status.PENDING, Status.ACCEPTED, Status.REJECTED, Status.EXCLUDED, Status.IN_DOUBT)
_OF_STATE = {
    State.ACCEPTED: Status.ACCEPTED,
    State.REJECTED: Status.REJECTED,
    State.SPLIT: Status.REJECTED,  # those whom the API named; the others are with the children
    State.RESENT: Status.IN_DOUBT,  # nobody: all whom no look-up found are with the children
    State.SKIPPED: Status.EXCLUDED,
}


@dataclass(slots=True)
class BatchFacts:
    """See the module."""

    ACCEPTED = _WORDS.index(Status.ACCEPTED)
    EXCLUDED = _WORDS.index(Status.EXCLUDED)
    IN_DOUBT = _WORDS.index(Status.IN_DOUBT)

    planned: int
    status: NDArray[np.int8]
    texts: pa.Table
    numbers: pa.Table
    born: dict[int, list[tuple[int, tuple[int, ...]]]]
    waived: NDArray[np.bool_]
    ranks: dict[Channel, int]

    @property
    def status_words(self) -> pa.Array:
        """What the numbers in ``status`` stand for."""
        return pa.array([str(each) for each in _WORDS])

    @classmethod
    def of(cls, plan: Plan, facts: Facts) -> "BatchFacts":
        """Gather the columns; holds one entry per batch and one object per settled batch."""
        numbers = [*range(plan.batches), *facts.children]
        rows = [_row(batch, facts) for batch in chain(plan.read_batches(), facts.children.values())]
        status, reason, error, key, request_id, http, attempts, first, settled = (
            zip(*rows, strict=True) if rows else ([()] * 9)
        )
        ranks = {Channel(channel): rank for rank, channel in enumerate(sorted(plan.head.channels))}
        born: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
        if facts.children:
            with JournalReader(plan.run_dir.journal) as journal:
                for child in journal.children():
                    born.setdefault(child.parent, []).append((child.id, child.positions))
        return cls(
            planned=plan.batches,
            status=np.array([_WORDS.index(each) for each in status], dtype=np.int8),
            texts=pa.table(
                {
                    "reason": pa.array(reason, pa.string()),
                    "error": pa.array(error, pa.string()),
                    "idempotency_key": pa.array(key, pa.string()),
                    "request_id": pa.array(request_id, pa.string()),
                }
            ),
            numbers=pa.table(
                {
                    "http_status": pa.array(http, pa.int32()),
                    "attempts": pa.array(attempts, pa.int32()),
                    "first_attempt_at": pa.array(first, _TIME),
                    "settled_at": pa.array(settled, _TIME),
                }
            ),
            born=born,
            waived=np.array([batch in facts.waived for batch in numbers], dtype=bool),
            ranks=ranks,
        )

    def index(self, batch: int) -> int:
        """Return a batch's place in the columns."""
        return batch if batch >= 0 else self.planned - batch - 1

    def children_of(self, batch: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield number and positions in the parent of a split batch's children."""
        yield from self.born.get(batch, ())

    def columns(self, index: NDArray[np.int64]) -> dict[str, Any]:
        """Return every column for deliveries settled by the batches at *index* (-1: null, status 0)."""
        where = pa.array(index, mask=index < 0)
        inside = index >= 0
        found: dict[str, Any] = {
            "status": np.zeros(len(index), dtype=np.int8),
            "waived": np.zeros(len(index), dtype=bool),
        }
        for name, values in (("status", self.status), ("waived", self.waived)):
            found[name][inside] = values[index[inside]]
        for table in (self.texts, self.numbers):
            for name in table.column_names:
                found[name] = table[name].combine_chunks().take(where)
        return found


def _row(batch: Batch, facts: Facts) -> tuple[Any, ...]:
    """Return status, reason, error, key, request id, http, attempts, first attempt, settled of one batch."""
    settled = facts.settled.get(batch.id)
    if settled is not None:
        accepted = settled.state is State.ACCEPTED
        return (
            _OF_STATE[settled.state],
            None if accepted else settled.code or None,
            None if accepted else settled.sentence or None,
            batch.key,
            settled.request_id or None,
            settled.http,
            settled.attempts,
            settled.first_us,
            settled.settled_us,
        )
    count, first_us, http, code, sentence = facts.attempts.get(batch.id, (0, None, 0, "", ""))
    claim = facts.claims.get(batch.id)
    if claim is None:
        return (Status.PENDING, None, None, batch.key, None, http or None, count, first_us, None)
    return (
        Status.IN_DOUBT,
        code or _IN_DOUBT[0],
        sentence or _IN_DOUBT[1],
        batch.key,
        None,
        http or None,
        max(1, count),
        min(claim.since.wall_us, first_us or claim.since.wall_us),
        None,
    )
