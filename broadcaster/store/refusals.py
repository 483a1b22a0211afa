"""Who was refused: the deliveries on which the last word is a refusal that provably created nothing.

Only these may be planned again, and, by what receipts say, some of those that were accepted
(:mod:`broadcaster.planning.again`). Everything else stays out: what is pending or in doubt, and what a person decided
about deliveries in doubt, also where a later attempt was refused, because an earlier one may have arrived.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.receipts import NOT_ARRIVED
from broadcaster.core.remedy import Again, again, cause_of
from broadcaster.core.values import Batch
from broadcaster.core.words import State
from broadcaster.store.facts import Facts
from broadcaster.store.parquet import reading
from broadcaster.store.plan import Part, Plan
from broadcaster.store.settled import STATES
from broadcaster.store.spread import CHANNELS, ranks_of

Deliveries = NDArray[np.bool_]
"""Rows of the whole plan times :data:`broadcaster.store.spread.CHANNELS`."""


def refused_deliveries(plan: Plan, facts: Facts) -> Deliveries:
    """Return which deliveries were refused, by row and channel: the later part's word counts.

    Raises:
        StoreError: when plan or journal cannot be read.
    """
    refused = np.zeros((plan.rows, len(CHANNELS)), dtype=bool)
    for batch, rows in plan.read_with_rows():
        _put(refused, rows, batch, _by_position(batch, facts, State.REJECTED))
    return refused


def refused_rows(plan: Plan, facts: Facts) -> NDArray[np.int64]:
    """Return the rows that were refused on any channel, in list order."""
    return np.flatnonzero(refused_deliveries(plan, facts).any(axis=1))


def doubted_rows(plan: Plan, facts: Facts) -> NDArray[np.bool_]:
    """Return which rows were ever in doubt and decided about by a person: an earlier attempt may have arrived.

    Raises:
        StoreError: when plan or journal cannot be read.
    """
    doubted = np.zeros(plan.rows, dtype=bool)
    decided = np.isin(facts.settled.states, [STATES.index(each) for each in (State.RESENT, State.SKIPPED)]).any()
    if facts.parts or facts.waived or decided:
        for batch, rows in plan.read_with_rows():
            doubted[rows] |= _doubted_by_position(batch, facts)
    return doubted


def unfounded(plan: Plan, facts: Facts) -> Iterator[str]:
    """Yield, as sentences, what retry parts send to although nothing said that it may be sent again."""
    numbers = _numbers(plan)
    refused, accepted, spoken = (np.zeros((plan.rows, len(CHANNELS)), dtype=bool) for _ in range(3))
    last = np.full(plan.rows, -1, dtype=np.int16)  # the part with the last word
    allowed: dict[int, Deliveries] = {}
    for batch, rows in plan.read_with_rows():
        part = plan.part_of(batch.id)
        if part.head.is_retry:
            number = part.head.part
            if rows.max(initial=0) >= plan.rows or rows.min(initial=0) < 0:
                yield f"batch {batch.id} sends to a row again that the plan does not have"
                return
            if len(np.unique(rows)) != len(rows) or (last[rows] == number).any():
                yield f"batch {batch.id} sends to a row twice in one retry"
            if number not in allowed:  # by all that was said before this part
                allowed[number] = _allowed(part, plan, refused, accepted, spoken)
            founded = allowed[number][rows][:, ranks_of(batch.channels)].all(axis=1)
            if not founded.all():
                row = int(rows[~founded][0])
                yield f"batch {batch.id} sends to row {row} again, which nobody had refused"
            if not np.array_equal(numbers[rows], _digits(batch.to)):
                yield f"batch {batch.id} sends to other numbers than its rows have"
        _put(refused, rows, batch, _by_position(batch, facts, State.REJECTED))
        _put(accepted, rows, batch, _by_position(batch, facts, State.ACCEPTED))
        _put(spoken, rows, batch, np.ones(len(rows), dtype=bool))
        last[rows] = part.head.part


def has_retries(plan: Plan) -> bool:
    """Whether any part of *plan* sends to rows of earlier parts again."""
    return any(part.head.is_retry for part in plan.parts)


def _allowed(part: Part, plan: Plan, refused: Deliveries, accepted: Deliveries, spoken: Deliveries) -> Deliveries:
    """Return what a retry may send: what was refused or did not arrive, or either on a channel that is new to it."""
    failed = refused.copy()
    if part.head.undelivered:
        with reading(plan.run_dir.rows(part.head.part)) as file:
            table = file.read()
        pairs = zip(table["status"].to_pylist(), table["reason"].to_pylist(), strict=True)
        may = np.array([_may_be_sent_again(status, reason) for status, reason in pairs], dtype=bool)
        rows, ranks = table["row"].to_numpy()[may], table["channel"].to_numpy()[may]
        inside = (rows >= 0) & (rows < plan.rows)
        rows, ranks = rows[inside], ranks[inside]
        failed[rows, ranks] |= accepted[rows, ranks]
    anywhere: NDArray[np.bool_] = np.logical_or.reduce(failed, axis=1)
    found: Deliveries = failed | (~spoken & anywhere[:, np.newaxis])
    return found


def _may_be_sent_again(status: str, reason: str | None) -> bool:
    cause = cause_of(status, reason)
    return status in NOT_ARRIVED and cause is not None and again(cause) is not Again.NEVER


def _put(words: Deliveries, rows: NDArray[np.int64], batch: Batch, said: NDArray[np.bool_]) -> None:
    for rank in ranks_of(batch.channels).tolist():
        words[rows, rank] = said


def _by_position(batch: Batch, facts: Facts, state: State) -> NDArray[np.bool_]:
    """Return which recipients of *batch* were settled as *state* by its own word, by position."""
    found = np.zeros(len(batch.to), dtype=bool)
    match facts.state(batch.id):
        case State.SPLIT:
            if state is State.REJECTED:
                found[list(facts.blames.get(batch.id, ()))] = True
            for child in facts.parts.get(batch.id, ()):
                found[list(child.positions)] = _by_position(facts.children[child.id], facts, state)
        case settled if settled is state:
            found[:] = True
        case _:  # the children of any other state stand for deliveries that may have arrived before
            pass
    if state is State.REJECTED:
        # The API said no, and a look-up found a message all the same: whatever that means, not a second one.
        found[[position for position, _ in facts.evidence.get(batch.id, ())]] = False
    return found


def _doubted_by_position(batch: Batch, facts: Facts) -> NDArray[np.bool_]:
    """Return which recipients of *batch* were in doubt, by position."""
    doubted = np.zeros(len(batch.to), dtype=bool)
    state = facts.state(batch.id)
    if state in {State.RESENT, State.SKIPPED} or batch.id in facts.waived:
        doubted[:] = True
    for child in facts.parts.get(batch.id, ()):
        doubted[list(child.positions)] |= (
            _doubted_by_position(facts.children[child.id], facts) if state is State.SPLIT else True
        )
    return doubted


def _numbers(plan: Plan) -> NDArray[np.int64]:
    """Return every row's number as digits; 0 where there is none."""
    found = [_digits(column["to"].to_pylist()) for part in plan.parts for column in part.read_rows(["to"])]
    return np.concatenate(found)


def _digits(numbers: "list[str | None] | tuple[str, ...]") -> NDArray[np.int64]:
    return np.array([int(number[1:]) if number else 0 for number in numbers], dtype=np.int64)
