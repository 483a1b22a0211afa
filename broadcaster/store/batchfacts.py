"""What the manifest says of a delivery because of the batch that settled it, as columns indexed by batch.

Planned batches come first, by number; then the children of splits, whose numbers may have gaps: each shard of a shared
run has its own. Index -1 stands for "in no batch" and gives nulls.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.words import State, Status
from broadcaster.store.facts import Facts
from broadcaster.store.parquet import reading
from broadcaster.store.plan import Plan
from broadcaster.store.settled import STATES

_TIME = pa.timestamp("us", tz="UTC")
NO_ANSWER = ("no_answer", "it was sent or about to be sent, and no answer is known; 'broadcaster resume' asks again")
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

    places: "_Places"
    status: NDArray[np.int8]
    details: pa.Table
    waived: NDArray[np.bool_]

    @property
    def status_words(self) -> pa.Array:
        """What the numbers in ``status`` stand for."""
        return pa.array([str(each) for each in _WORDS])

    @classmethod
    def of(cls, plan: Plan, facts: Facts) -> "BatchFacts":
        """Gather the columns; *facts* are whole. No object is made of a batch about which nothing special is known."""
        numbers = np.array([*range(plan.batches), *facts.children], dtype=np.int64)
        places = _Places(plan.batches, facts.children)
        place = places.of(facts.settled.batches)
        settled = np.full(len(numbers), -1, dtype=np.int64)
        settled[place] = np.arange(len(place))
        known = settled >= 0
        status = np.zeros(len(numbers), dtype=np.int8)
        of_state = np.array([_WORDS.index(_OF_STATE[state]) for state in STATES], dtype=np.int8)
        status[known] = of_state[facts.settled.states[settled[known]]]
        quiet = pa.array((status == cls.ACCEPTED) & known)  # of what was accepted there is nothing to explain
        details = _Columns(facts, pa.array(settled, mask=~known))
        unsettled = [batch for batch in {*facts.claims, *facts.attempts} if batch not in facts.settled]
        where = places.of(np.array(unsettled, dtype=np.int64))
        rows = [_unsettled(batch, facts) for batch in unsettled]
        status[where] = [_WORDS.index(row["status"]) for row in rows]
        texts = {
            "reason": pc.if_else(quiet, None, details.text("code")),
            "error": pc.if_else(quiet, None, details.text("sentence")),
            "request_id": details.text("request_id"),
            "http_status": details.number("http"),
            "attempts": details.number("attempts"),
            "first_attempt_at": details.number("first_us").cast(_TIME),
            "settled_at": details.number("settled_us").cast(_TIME),
        }
        for name, column in texts.items():
            texts[name] = _put(column, where, [row.get(name) for row in rows])
        # Nothing was tried where nothing is known.
        texts["attempts"] = pc.fill_null(texts["attempts"], 0)
        waived = np.zeros(len(numbers), dtype=bool)
        waived[places.of(np.array(sorted(facts.waived), dtype=np.int64))] = True
        keys = [*_keys(plan), pa.array([child.key for child in facts.children.values()], pa.string())]
        return cls(
            places=places,
            status=status,
            details=pa.table({**texts, "idempotency_key": pa.concat_arrays(keys)}),
            waived=waived,
        )

    def index(self, batch: int) -> int:
        """Return a batch's place in the columns."""
        return self.places.of_one(batch)

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
        for name in self.details.column_names:
            found[name] = self.details[name].combine_chunks().take(where)
        return found


class _Places:
    """Where which batch is in the columns; all of them are planned, or among *children*."""

    def __init__(self, planned: int, children: Iterable[int]) -> None:
        self._of_child = {child: planned + at for at, child in enumerate(children)}
        born = np.array(list(self._of_child), dtype=np.int64)
        order = np.argsort(born)
        self._born, self._place = born[order], planned + order

    def of(self, batches: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of several batches."""
        places = batches.astype(np.int64)
        parts = places < 0
        places[parts] = self._place[np.searchsorted(self._born, places[parts])]
        return places

    def of_one(self, batch: int) -> int:
        """Return the place of a batch."""
        return batch if batch >= 0 else self._of_child[batch]


class _Columns:
    """What is stored of settled batches, laid out by batch; null where a batch is not settled."""

    def __init__(self, facts: Facts, settled: pa.Array) -> None:
        if facts.settled.details is None:
            raise ValueError("the facts are not whole")
        self._details = facts.settled.details
        self._settled = settled

    def number(self, name: str) -> pa.Array:
        return _whole(self._details[name]).take(self._settled)

    def text(self, name: str) -> pa.Array:
        """Return a column of texts; an empty one says nothing."""
        column = _whole(self._details[name])
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        words = column.take(self._settled)
        return pc.if_else(pc.equal(words, ""), None, words)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    column = column.combine_chunks()
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _keys(plan: Plan) -> Iterator[pa.Array]:
    """Yield the keys of the planned batches, by number."""
    for part in plan.parts:
        with reading(part.batches_path) as file:
            yield from file.read(columns=["idempotency_key"])["idempotency_key"].chunks


def _put(column: pa.Array, where: NDArray[np.int64], values: list[Any]) -> pa.Array:
    """Return *column* with *values* at the places *where*."""
    if not len(where):
        return column
    order = np.argsort(where)
    mask = np.zeros(len(column), dtype=bool)
    mask[where] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array([values[at] for at in order], column.type))


def _unsettled(batch: int, facts: Facts) -> dict[str, Any]:
    """Return what is known of a batch that was tried or claimed, and not settled."""
    count, first_us, http, code, sentence = facts.attempts.get(batch, (0, None, 0, "", ""))
    claim = facts.claims.get(batch)
    if claim is None:
        return {
            "status": Status.PENDING,
            "http_status": http or None,
            "attempts": count,
            "first_attempt_at": first_us,
        }
    return {
        "status": Status.IN_DOUBT,
        "reason": code or NO_ANSWER[0],
        "error": sentence or NO_ANSWER[1],
        "http_status": http or None,
        "attempts": max(1, count),
        "first_attempt_at": min(claim.since.wall_us, first_us or claim.since.wall_us),
    }
