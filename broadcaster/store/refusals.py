"""Who was refused: the rows on which the last word is a refusal that provably created nothing.

Only these may be planned again. Everything else stays out: what is pending or in doubt, what was accepted, and what a
person decided about deliveries in doubt, also where a later attempt was refused, because an earlier one may have
arrived.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.values import Batch
from broadcaster.core.words import State
from broadcaster.store.facts import Facts
from broadcaster.store.plan import Plan


def refused_rows(plan: Plan, facts: Facts) -> NDArray[np.int64]:
    """Return the rows that were refused on every channel, in list order: the later part's word counts.

    Raises:
        StoreError: when plan or journal cannot be read.
    """
    refused = np.zeros(plan.rows, dtype=bool)
    for batch, rows in plan.read_with_rows():
        refused[rows] = _by_position(batch, facts)
    return np.flatnonzero(refused)


def unfounded(plan: Plan, facts: Facts) -> Iterator[str]:
    """Yield, as sentences, what retry parts send to although nobody had refused it before."""
    numbers = _numbers(plan)
    refused = np.zeros(plan.rows, dtype=bool)
    spoken = np.full(plan.rows, -1, dtype=np.int16)  # the part with the last word
    for batch, rows in plan.read_with_rows():
        head = plan.part_of(batch.id).head
        if head.is_retry:
            if rows.max(initial=0) >= plan.rows or rows.min(initial=0) < 0:
                yield f"batch {batch.id} sends to a row again that the plan does not have"
                return
            if len(np.unique(rows)) != len(rows) or (spoken[rows] == head.part).any():
                yield f"batch {batch.id} sends to a row twice in one retry"
            if not refused[rows].all():
                row = int(rows[~refused[rows]][0])
                yield f"batch {batch.id} sends to row {row} again, which nobody had refused"
            if not np.array_equal(numbers[rows], _digits(batch.to)):
                yield f"batch {batch.id} sends to other numbers than its rows have"
        refused[rows] = _by_position(batch, facts)
        spoken[rows] = head.part


def has_retries(plan: Plan) -> bool:
    """Whether any part of *plan* sends to rows of earlier parts again."""
    return any(part.head.is_retry for part in plan.parts)


def _by_position(batch: Batch, facts: Facts) -> NDArray[np.bool_]:
    """Return which recipients of *batch* were refused, by position."""
    refused = np.zeros(len(batch.to), dtype=bool)
    match facts.state(batch.id):
        case State.REJECTED:
            refused[:] = True
        case State.SPLIT:
            refused[list(facts.blames.get(batch.id, ()))] = True
            for child in facts.parts.get(batch.id, ()):
                refused[list(child.positions)] = _by_position(facts.children[child.id], facts)
        case _:  # the children of any other state stand for deliveries that may have arrived before
            pass
    # The API said no, and a look-up found a message all the same: whatever that means, not a second one.
    refused[[position for position, _ in facts.evidence.get(batch.id, ())]] = False
    return refused


def _numbers(plan: Plan) -> NDArray[np.int64]:
    """Return every row's number as digits; 0 where there is none."""
    found = [_digits(column["to"].to_pylist()) for part in plan.parts for column in part.read_rows(["to"])]
    return np.concatenate(found)


def _digits(numbers: "list[str | None] | tuple[str, ...]") -> NDArray[np.int64]:
    return np.array([int(number[1:]) if number else 0 for number in numbers], dtype=np.int64)
