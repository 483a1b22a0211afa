"""The sending loop over one shard: what its facts leave, within its range of batches.

It must not know how the shard was taken, nor what its end is called.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace

from broadcaster.app.manner import Settings
from broadcaster.clock import Clock
from broadcaster.cluster.line import ShardLine
from broadcaster.cluster.mirror import mirror
from broadcaster.cluster.storage import Storage
from broadcaster.core.shards import Shard, first_child
from broadcaster.core.values import Tally
from broadcaster.engine.ports import Journal, Observe
from broadcaster.engine.run import execute
from broadcaster.engine.stop import Stop
from broadcaster.planning.left import largest_answer_row, tasks_left
from broadcaster.planning.terms import terms_of, too_late
from broadcaster.store.facts import Facts, tally
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.watching import Watch


class Sending:
    """The sending loop over what is left of a shard that we have taken."""

    def __init__(
        self,
        storage: Storage,
        run_dir: RunDir,
        shard: Shard,
        *,
        settings: Settings,
        observe: Observe,
        stop: Stop,
        clock: Clock,
    ) -> None:
        self._storage = storage
        self._run_dir = run_dir
        self._shard = shard
        self._settings = settings
        self._observe = observe
        self._stop = stop
        self._clock = clock

    async def send(
        self, line: ShardLine, journal: Journal, *, server_us: int | None, held_s: Callable[[], float]
    ) -> None:
        """Send what the facts leave, and once more what could not be judged before the first answer.

        *held_s* tells how many seconds people have paused the run so far: they are no silence of the API.

        Raises:
            ScheduleStale: it is too late for some.
            Fenced, StoreError: see :class:`broadcaster.cluster.parts.PartsJournal`.
        """
        plan, facts = await asyncio.to_thread(facts_of, self._storage, self._run_dir, self._shard)
        known = counts_of(plan, facts, self._shard)
        watch = Watch(
            safety=self._settings.safety,
            stop=self._stop,
            largest=largest_request(plan),
            observe=self._observe,
            accepted=known.accepted,
            rejected=known.rejected,
        )
        answer_row = await asyncio.to_thread(largest_answer_row, plan, facts)
        while True:
            shared = await execute(
                tasks_left(plan, facts, (), within=range(self._shard.first, self._shard.stop)),
                terms=terms_of(
                    plan, api=self._settings.api, safety=self._settings.safety, timetable=self._settings.timetable
                ),
                send=line.send,
                journal=journal,
                budget=line.budget,
                stop=self._stop,
                observe=watch,
                clock=self._clock,
                concurrency=self._settings.limits.concurrency,
                largest_batch=largest_request(plan),
                next_child=min((each - 1 for each in facts.children), default=first_child(self._shard.index)),
                server_us=server_us,
                rand=random.random,
                answer_row=answer_row,
                held_s=held_s,
            )
            answer_row = shared.largest_answer_row
            if not shared.postponed or answer_row is None or self._stop.draining:
                break
            plan, facts = await asyncio.to_thread(facts_of, self._storage, self._run_dir, self._shard)
        if shared.stale:
            raise too_late(shared.stale)


def facts_of(storage: Storage, run_dir: RunDir, shard: Shard) -> tuple[Plan, Facts]:
    """Return what all owners of a shard have written so far."""
    plan = mirror(storage, run_dir, shards=(shard.index,), rows=False)
    return plan, Facts.read(plan, whole=False)


def counts_of(plan: Plan, facts: Facts, shard: Shard) -> Tally:
    """Count the deliveries of a shard by status; the facts are its own, and those of all others are pending."""
    sizes, counts = plan.sizes(), tally(plan, facts)
    others = int(sizes.sum()) - int(sizes[shard.first : shard.stop].sum())
    return replace(counts, pending=counts.pending - others, excluded=0)


def largest_request(plan: Plan) -> int:
    """Return the messages of the largest request."""
    return max(part.head.heaviest for part in plan.parts)
