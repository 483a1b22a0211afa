"""The keeper of the limits: a plug-in of the scheduler that hands out every turn of every worker.

Theory of operation. The scheduler is the one place that every worker reaches, and where nothing else waits: a question
is answered at once, by pure functions over a value (:mod:`broadcaster.core.leases`). A *pool* is an account's limit,
shared by all runs of the account on this cluster, and outlives them. A *run* is one launch of a driver; when it is
stopped, or its driver is gone, its workers get no more turns, drain, and end. A scheduler that is started anew knows
nothing of the last minute; whoever opens a pool there says what its machine knows of it, and how long ago the run was
sent to. What that machine spends meanwhile is told with every look of the driver, row by row, each with a name by
which it is counted once, whoever tells it; and what was let go is told back.

What people order of a run comes with the driver's looks too, as what holds and not as what happens. A run whose driver
has not looked for a while gets no turn: nobody could stop it.

An actor would be the wrong place: its state dies with its worker.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from distributed.diagnostics.plugin import SchedulerPlugin

from broadcaster.clock import Clock, SystemClock
from broadcaster.cluster.leased import COUNTED, Call
from broadcaster.core import leases, livepace
from broadcaster.core.leases import Heard, Pool
from broadcaster.core.window import WINDOW_US

if TYPE_CHECKING:
    from distributed import Scheduler

Row = tuple[str, float, int, int]  # of a minute: a name that it keeps, so many seconds ago, requests, messages
_PREFIX = "broadcaster_"
_ASK_AGAIN_S = 0.25  # a run that is held: one look of a worker
_UNSEEN_S = 5.0  # a driver looks twice a second; one that has not for so long lets nobody send
_GONE_S = 60.0  # and is gone after that, though its connection is still there
_GONE = "nobody watches over this run any more: its driver is gone"
_UNKNOWN = "this scheduler does not know the run: it was started anew, or the run has ended"


@dataclass(slots=True)
class Run:
    """One launch: whose limit it spends, who drives it, and what its shards have told."""

    pool: str
    client: str
    stopped: str | None = None
    held: bool = False  # by a person
    rate: int | None = None  # requests per minute, by a person
    own: Pool | None = None  # while there is such a rate
    looked_s: float | None = None  # when its driver looked last
    given: tuple[int, int] = (0, 0)  # turns so far: requests, messages
    begun: set[int] = field(default_factory=set)  # shards
    counts: dict[str, Mapping[str, int]] = field(default_factory=dict)  # by who told it: totals
    said: dict[str, None] = field(default_factory=dict)  # sentences, in order, each once


class Keeper:
    """All pools and runs of a scheduler."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.name = uuid.uuid4().hex
        self.pools: dict[str, Pool] = {}
        self._beside: dict[
            tuple[str, str], tuple[float, int, int]
        ] = {}  # by pool and name, rows of others: when they were told first, how much
        self.runs: dict[str, Run] = {}

    def __repr__(self) -> str:
        return f"<Keeper of {len(self.pools)} pools for {len(self.runs)} runs>"

    # ---- asked by drivers -------------------------------------------------------------------------------------------

    def open(
        self,
        *,
        run: str,
        pool: str,
        client: str,
        limits: Mapping[str, Any],
        spent: Sequence[Row],
        used_ago_s: float | None,
        ordered: tuple[bool, int | None] = (False, None),
    ) -> dict[str, Any]:
        """Begin a run.

        Args:
            run: names the launch.
            pool: names the account.
            client: who drives it; when that is gone, the run is stopped.
            limits: as :func:`broadcaster.core.leases.opened` takes them.
            spent: the last minute as the driver's machine knows it.
            used_ago_s: when the run was last sent to, if that is less than a minute ago and nobody has written down how
                much.
            ordered: what people ordered: whether it is held, and its rate.

        Returns:
            Whether the pool is new, and the keeper's name.
        """
        now_s = self._clock.monotonic()
        fresh = leases.opened(**limits, now_s=now_s)
        if (known := self.pools.get(pool)) is not None:
            opened = leases.reopened(known, fresh, now_s=now_s)
        else:
            opened = fresh if used_ago_s is None else leases.used_up(fresh, ago_s=used_ago_s, now_s=now_s)
        self.pools[pool] = opened
        self.runs[run] = found = Run(pool=pool, client=client)
        self._hear_of_others(pool, spent)
        self._allow(pool, anew=False)
        self._order(found, *ordered, anew=False)
        return {"new": known is None, "keeper": self.name}

    def look(
        self, *, run: str, ordered: tuple[bool, int | None] | None = None, beside: Sequence[Row] = ()
    ) -> dict[str, Any]:
        """Return where a run is.

        Args:
            run: the launch.
            ordered: what people ordered: whether it is held, and its rate; ``None``: as before.
            beside: the last minute as the driver's machine knows it, as far as it has changed.
        """
        if (found := self.runs.get(run)) is None:
            return {"stop": _UNKNOWN}
        now_s = self._clock.monotonic()
        if ordered is not None:
            found.looked_s = now_s
            self._order(found, *ordered, anew=True)
        self._hear_of_others(found.pool, beside)
        pool = self.pools[found.pool]
        limit = pool.limit if found.own is None else livepace.lower(found.own.limit, pool.limit)
        return {
            "stopped": found.stopped,
            "counts": {name: sum(each.get(name, 0) for each in found.counts.values()) for name in COUNTED},
            "said": list(found.said),
            "limit": (limit.requests_per_minute, limit.messages_per_minute, str(limit.source), limit.slowed),
            "paused_s": pool.paused_s(now_s=now_s),
            "given": found.given,
        }

    def stop(self, *, run: str, why: str) -> dict[str, Any]:
        """Hand out no more turns to a run."""
        if (found := self.runs.get(run)) is not None and found.stopped is None:
            found.stopped = why
        return {}

    def close(self, *, run: str) -> dict[str, Any]:
        """Forget a run; its pool stays."""
        if (found := self.runs.pop(run, None)) is not None:
            self._allow(found.pool, anew=False)
        return {}

    def _order(self, found: Run, held: bool, per_minute: int | None, *, anew: bool) -> None:  # noqa: FBT001 - as it travels
        """Let hold for a run what people ordered of it."""
        found.held = held
        if per_minute == found.rate:
            return
        found.rate, before = per_minute, found.own
        now_s = self._clock.monotonic()
        found.own = None if per_minute is None else livepace.ordered(per_minute, before=before, now_s=now_s)
        self._allow(found.pool, anew=anew)

    def _allow(self, pool: str, *, anew: bool) -> None:
        going = [each for each in self.runs.values() if each.pool == pool and each.stopped is None]
        rates = [each.rate for each in going if each.rate is not None]
        self.pools[pool] = livepace.allowing(
            self.pools[pool], max(rates, default=None), anew=anew, now_s=self._clock.monotonic()
        )

    def _hear_of_others(self, pool: str, rows: Sequence[Row]) -> None:
        """Count what was not let go here, and not counted yet."""
        now_s = self._clock.monotonic()
        for name, ago_s, requests, messages in rows:
            told_s, *before = self._beside.get((pool, name), (now_s, 0, 0))
            more = max(0, requests - before[0]), max(0, messages - before[1])
            if name.startswith(self.name) or not any(more):
                continue
            self._beside[pool, name] = (told_s, before[0] + more[0], before[1] + more[1])
            self.pools[pool] = leases.spent_before(
                self.pools[pool], requests=more[0], messages=more[1], ago_s=ago_s, now_s=now_s
            )
        ended = [each for each, (told_s, *_) in self._beside.items() if now_s - told_s > 2 * WINDOW_US / 1e6]
        for each in ended:
            del self._beside[each]

    def leave(self, client: str) -> None:
        """Hear that a driver is gone."""
        for run in self.runs.values():
            if run.client == client and run.stopped is None:
                run.stopped = _GONE
                self._allow(run.pool, anew=False)

    # ---- asked by workers -------------------------------------------------------------------------------------------

    def begin(self, *, run: str, shard: int) -> dict[str, Any]:
        """Say whether this launch has begun the shard before: then its earlier owner is gone, or will be fenced."""
        found = self.runs.get(run)
        if found is None or found.stopped is not None:
            return {"stop": _UNKNOWN if found is None else found.stopped}
        again = shard in found.begun
        found.begun.add(shard)
        return {"again": again}

    def turn(self, *, run: str, who: str, messages: int, patient: bool) -> dict[str, Any]:
        """Give a turn, or say when to ask again, or that the run is over."""
        found = self.runs.get(run)
        if found is None or found.stopped is not None:
            return {"stop": _UNKNOWN if found is None else found.stopped}
        now_s = self._clock.monotonic()
        unseen_s = 0.0 if found.looked_s is None else now_s - found.looked_s
        if unseen_s > _GONE_S:
            found.stopped = _GONE
            return {"stop": _GONE}
        if found.held or unseen_s > _UNSEEN_S:
            return {"wait_s": _ASK_AGAIN_S, "held": True}
        pool, own = self.pools[found.pool], found.own
        if own is None:
            pool, wait_s = leases.ask(pool, who=who, messages=messages, patient=patient, now_s=now_s)
        else:
            own, pool, wait_s = livepace.ask_both(own, pool, who=who, messages=messages, patient=patient, now_s=now_s)
        self.pools[found.pool], found.own = pool, own
        if not wait_s:
            found.given = found.given[0] + 1, found.given[1] + messages
        return {"wait_s": wait_s}

    def tell(
        self, *, run: str, who: str, heard: list[dict[str, Any]], counts: Mapping[str, int], said: list[str]
    ) -> dict[str, Any]:
        """Hear what a shard has heard of the limit, and how far it is."""
        if (found := self.runs.get(run)) is None:
            return {"stop": _UNKNOWN}
        now_s = self._clock.monotonic()
        for word in (Heard(**each) for each in heard):
            self.pools[found.pool] = leases.hear(self.pools[found.pool], word, now_s=now_s)
            if found.own is not None:  # which what is left of the account's minute says nothing of
                found.own = leases.hear(found.own, replace(word, remaining=None), now_s=now_s)
        found.counts[who] = counts
        found.said.update(dict.fromkeys(said))
        return {} if found.stopped is None else {"stop": found.stopped}


class LeasePlugin(SchedulerPlugin):
    """Puts a keeper on the scheduler. Registering it again keeps the one that is there, with all that it knows."""

    name = "broadcaster-lease"
    idempotent = True

    async def start(self, scheduler: "Scheduler") -> None:
        """See :class:`SchedulerPlugin`."""
        self._keeper = keeper = Keeper(SystemClock())
        asked = (keeper.open, keeper.look, keeper.stop, keeper.close, keeper.begin, keeper.turn, keeper.tell)
        scheduler.handlers.update({f"{_PREFIX}{each.__name__}": each for each in asked})

    def remove_client(self, scheduler: "Scheduler", client: str) -> None:
        """See :class:`SchedulerPlugin`."""
        del scheduler
        self._keeper.leave(client)


def keeper_of_this_worker() -> Call:
    """Return how a task asks the keeper, by the connection that its worker has to the scheduler."""
    from distributed import get_worker

    return partial(asked_of, get_worker().scheduler)


async def asked_of(scheduler: Any, question: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask the keeper, by the connection that a worker or a client has to its scheduler.

    Raises:
        Exception: of any kind, when there is no answer.
    """
    answer: Mapping[str, Any] = await getattr(scheduler, f"{_PREFIX}{question}")(**arguments)
    return answer
