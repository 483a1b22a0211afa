"""Driving a run on a cluster: who we are, the limit, the shards, and an end like that of any run.

Theory of operation. The plan is in the shared directory, and so are all facts. The driver asks the API what a local run
asks first, says whose the run is and in how many shards it is sent, and opens the account's pool at the keeper: with
what this machine's books say of the last minute; and where that keeper is new and the books do not have all that was
sent, as if the whole minute had been used. While the shards are sent it follows what people order, and keeps the books.
At the end the facts of all shards are folded into a *mirror*, an ordinary run directory, where manifest and report are
made as after any run, and go back to the shared one.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from broadcaster.api import lookups
from broadcaster.app.conclude import Conclusion, conclude, counted
from broadcaster.app.manner import Settings
from broadcaster.app.parts import Access, Line, line
from broadcaster.app.preflight import check_template
from broadcaster.clock import SystemClock
from broadcaster.cluster.dask_run import Launch, connected, workers_of
from broadcaster.cluster.looks import Pace
from broadcaster.cluster.mirror import mirror, publish_results
from broadcaster.cluster.objects import done_name
from broadcaster.cluster.reins import Wanted, steered_from
from broadcaster.cluster.shard import settle_whose
from broadcaster.cluster.spending import Books, noted_by, say_noted, sent_ago_s
from broadcaster.cluster.storage import Storage
from broadcaster.cluster.where import Where
from broadcaster.core.pacing import Source
from broadcaster.core.shards import cut_shards, shards_for
from broadcaster.core.tally import Ahead
from broadcaster.core.values import Tally
from broadcaster.engine.ports import Concluding, Observe
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import BroadcasterError, StoppedEarly
from broadcaster.planning.left import has_work
from broadcaster.planning.terms import require_hours
from broadcaster.store import account
from broadcaster.store.control import read_control, require_going
from broadcaster.store.facts import Facts, ahead, tally
from broadcaster.store.plan import Plan
from broadcaster.store.spend import spend_path
from broadcaster.store.spendbeside import SpendBeside
from broadcaster.tracking.watching import Watch


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """What is driven, and where.

    Attributes:
        storage: the shared run directory, with the plan in it.
        where: the cluster.
        shards: how many there are; ``None``: nobody has said so yet.
        key_env: the variable in which workers find the key, where it is not the usual one.
    """

    storage: Storage
    where: Where
    shards: int | None = None
    key_env: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The line to the API as those see it who only watch: with a ``pacer`` that tells the limit in force."""

    pacer: Pace


async def run_on_cluster(
    plan: Plan,
    drive: Drive,
    *,
    to: Access,
    settings: Settings,
    observe: Observe,
    begin: Callable[[Tally, Seen, Ahead], None],
    say: Callable[[str], None],
    stop: Stop | None = None,
) -> Conclusion:
    """Send what is left of a shared run, and bring its files up to date.

    Args:
        plan: of an up-to-date mirror, which nobody else uses.
        drive: what, and where.
        to: the API, as this machine reaches it.
        settings: how fast, how careful.
        observe: hears how far it is; must return at once.
        begin: called when the first message may leave, with what is known before it.
        say: is told what people should read besides.
        stop: asked to drain or abort by others; SIGINT and SIGTERM are heard in any case.

    Raises:
        ConfigError: the cluster cannot be used.
        StoreError: a fact could not be read or written.
        BroadcasterError: what a run may end with before its first message.
    """
    stop = stop or Stop()
    clock = SystemClock()
    largest = max(part.head.heaviest for part in plan.parts)
    require_going(plan.run_dir)
    require_hours(plan, settings.timetable, patient=settings.wait)
    facts = await asyncio.to_thread(Facts.read, plan, whole=False)
    counts = tally(plan, facts)
    watch = Watch(
        safety=settings.safety,
        stop=stop,
        largest=largest,
        observe=observe,
        where=plan.run_dir.path,
        accepted=counts.accepted,
        rejected=counts.rejected,
    )
    because: BroadcasterError | None
    wanted = Wanted()
    with on_signals(stop), contextlib.closing(SpendBeside(spend_path(), address=to.place, clock=clock)) as spend:
        books = Books(spend)
        opened = line(
            to,
            limits=settings.limits,
            timeout_s=settings.api.timeout,
            largest=largest,
            clock=clock,
            stop=stop,
            observe=observe,
        )
        try:
            async with connected(drive.where, stop=stop) as client:
                shards = drive.shards or shards_for(
                    plan.batches,
                    workers=await workers_of(client),
                    requests_per_minute=settings.limits.requests_per_minute,
                )
                async with opened as api_line:
                    opening = await _introduce(
                        plan,
                        drive.storage,
                        shards,
                        to=to,
                        settings=settings,
                        largest=largest,
                        api_line=api_line,
                        spend=spend,
                        books=books,
                    )
                    pace = Pace(api_line.pacer.limit)
                launch = Launch(
                    client=client,
                    url=drive.storage.url,
                    mode=plan.head.mode,
                    base_url=to.base_url,
                    profile=plan.head.profile,
                    key_env=drive.key_env,
                    pace=pace,
                    observe=watch,
                    say=say,
                    stop=stop,
                    wanted=wanted,
                    books=books,
                )
                begin(counts, Seen(pace), ahead(plan, facts, counts=counts))
                left = await asyncio.to_thread(_unfinished, plan, drive.storage, shards)
                async with steered_from(drive.storage, wanted, observe=watch, clock=clock):
                    because = await launch.send(left, opening)
                if launch.noted:
                    await asyncio.to_thread(say_noted, drive.storage, books.keeper)
        except StoppedEarly as error:
            because = error
    return await asyncio.to_thread(_concluded, plan, drive, because, stop=stop, observe=observe)


async def _introduce(
    plan: Plan,
    storage: Storage,
    shards: int,
    *,
    to: Access,
    settings: Settings,
    largest: int,
    api_line: Line,
    spend: SpendBeside,
    books: Books,
) -> dict[str, Any]:
    """Ask whose key it is, first and alone, and whether the template may be sent; return what the keeper is told."""
    who = await lookups.me(api_line.ask)
    api_line.belongs_to(who.id)
    await asyncio.to_thread(
        settle_whose,
        storage,
        plan,
        to=to,
        account_id=who.id,
        shards=shards,
    )
    if settings.preflight and plan.head.asked.sends_messages and plan.head.asked.looks_ahead:
        await check_template(plan, api_line.ask)
    limit, limits = api_line.pacer.limit, settings.limits
    pool = account.fingerprint(base_url=to.place, account_id=who.id, profile=None)
    known, rate = spend.belongs_to(pool), read_control(plan.run_dir).rate
    learned = limit.requests_per_minute if limit.source is Source.LEARNED else None
    if rate is not None and known.learned_us < rate.at_us:
        learned = None  # who ordered a rate since knows better
    keeper = await asyncio.to_thread(noted_by, storage)
    used_ago_s = None if keeper and books.knows(keeper) else await asyncio.to_thread(sent_ago_s, storage)
    return {
        "pool": pool,
        "limits": {
            "requests": limits.requests_per_minute,
            "messages": limits.messages_per_minute,
            "largest": largest,
            "chosen": "requests_per_minute" in limits.model_fields_set,
            "learned": learned,
        },
        "spent": books.opening(),
        "used_ago_s": used_ago_s,
    }


def _unfinished(plan: Plan, storage: Storage, shards: int) -> list[int]:
    """Return the shards that nobody has finished."""
    cut = cut_shards(plan.batches, of=shards)
    return [shard.index for shard in cut if not storage.exists(done_name(shard.index))]


def _concluded(
    plan: Plan, drive: Drive, because: BroadcasterError | None, *, stop: Stop, observe: Observe
) -> Conclusion:
    """Fold what all shards have written, and make what a run leaves."""
    observe(Concluding())
    latest = mirror(drive.storage, plan.run_dir)
    if stop.aborting:
        return counted(latest, Facts.read(latest), because=because)
    if isinstance(because, StoppedEarly) and not has_work(latest):
        because = None
    if because is None and stop.draining and has_work(latest):
        because = StoppedEarly("stopped before everything was sent")
    ended = conclude(latest, because=because)
    publish_results(drive.storage, latest.run_dir)
    return ended
