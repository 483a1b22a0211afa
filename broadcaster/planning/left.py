"""What of a plan is left to send, in the order in which it is sent; what is behind a shut gate is not.

It knows plan and journal; when a batch goes out, and what comes of it, is the engine's.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice

from broadcaster.core.values import Batch
from broadcaster.core.words import Repeat
from broadcaster.engine.work import Task
from broadcaster.store.canary import Gate
from broadcaster.store.facts import Facts, open_children, unsettled
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan

_FEW = 256  # batches that are decoded at a time


def has_work(plan: Plan) -> bool:
    """Whether anything is left that a run may send: nothing of it needs the network."""
    facts = Facts.read(plan, whole=False)
    repeated = bool(facts.claims) and plan.head.asked.repeat is not Repeat.NEVER
    return repeated or bool(unsettled(plan, facts).any()) or bool(open_children(facts))


def largest_answer_row(plan: Plan, facts: Facts) -> float | None:
    """Return how long a row of the answers so far was at most, in bytes: what may be repeated depends on it."""
    if not facts.claims or not facts.settled:
        return None
    sizes = plan.sizes()
    with JournalReader(plan.run_dir.journal) as journal:
        some = islice(((number, body) for number, body in journal.answers() if number >= 0), _FEW)
        return max((len(body) / sizes[number] for number, body in some), default=None)


async def tasks_left(
    plan: Plan, facts: Facts, gates: Sequence[Gate], *, within: range | None = None
) -> AsyncGenerator[Task, None]:
    """Yield what is left: claimed without an outcome (oldest first), parts of splits, then what was never claimed.

    What is behind *gates* is left out. Of what was never claimed, only batches *within* a range, where there is one.
    """
    claimed = plan.fetch([batch for batch in facts.claims if batch >= 0]) | facts.children
    for number in facts.to_repeat():
        yield Task(batch=claimed[number], claim=facts.claims[number], attempts=max(1, facts.tried(number)))
    for child in open_children(facts):
        yield Task(batch=child, attempts=facts.tried(child.id))
    fresh = unsettled(plan, facts)
    for gate in gates:
        fresh[gate.rest.start : gate.rest.stop] = False
    if within is not None:
        fresh[: within.start] = fresh[within.stop :] = False
    batches = plan.read_batches(lambda numbers: fresh[numbers])
    while True:
        # Decoding a row group takes longer than the loop may stand still.
        following = await asyncio.to_thread(_next_few, batches)
        for batch in following:
            yield Task(batch=batch, attempts=facts.tried(batch.id))
        if not following:
            return


def _next_few(batches: Iterator[Batch]) -> list[Batch]:
    return list(islice(batches, _FEW))
