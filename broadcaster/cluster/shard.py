"""One shard of a shared run, from its take-over to its end: what a worker of any engine does.

Theory of operation. Whose key it is is asked first and alone, so that a wrong key takes nothing from anybody. Then the
shard is taken: from that moment its earlier owner, wherever it hangs, cannot claim any more. Only then the facts of all
owners are read, so that each batch that may have left is known, and is repeated first, with the same key and the same
bytes. The rest is the sending loop of a local run, over the shard's range of batches, with a journal of its own.

It must not know who runs it, nor who else sends at this moment.
"""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from broadcaster.api import lookups
from broadcaster.app.conclude import exit_code
from broadcaster.app.manner import Settings
from broadcaster.app.parts import VERSION, Access
from broadcaster.app.preflight import check_template
from broadcaster.clock import SystemClock, wall_us
from broadcaster.cluster.line import ShardLine, shard_line
from broadcaster.cluster.meta import META, Whose, read_meta, write_meta, write_whose
from broadcaster.cluster.mirror import fetch_plan
from broadcaster.cluster.objects import done_name
from broadcaster.cluster.orders import require_orders_to_go
from broadcaster.cluster.parts import PartsJournal, take
from broadcaster.cluster.reins import steered_from
from broadcaster.cluster.sending import Sending, counts_of, facts_of, largest_request
from broadcaster.cluster.storage import Storage
from broadcaster.core.shards import Shard, cut_shards
from broadcaster.engine.ports import Budget, Observe
from broadcaster.engine.stop import Stop
from broadcaster.errors import (
    BelongsToAnother,
    BroadcasterError,
    ConfigError,
    ExitCode,
    Fenced,
    StoppedEarly,
    StoreError,
)
from broadcaster.job.model import Schedule
from broadcaster.planning.timing import check_times
from broadcaster.store import account
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_MOST_BATCHES = 1 << 18  # of a shard: the parts of its batches, several of each, must find numbers (core.shards)
_NEVER_S = 0.0  # how long keys protect a second run of the campaign that takes its time

_AT_ONCE = "stopped at once; what was in flight is in doubt until the shard goes on"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEnd:
    """How a shard ended: its deliveries by status, why it stopped (``None``: it did not), what a command exits with."""

    shard: int
    accepted: int
    rejected: int
    in_doubt: int
    pending: int
    why: str | None
    code: ExitCode


async def run_shard(
    storage: Storage,
    index: int,
    *,
    to: Access,
    budget: Budget | None,
    share: float = 1.0,
    idle_s: float,
    observe: Observe,
    stop: Stop,
    scratch: Path,
    of: int | None = None,
    preflight: bool = True,
    held_s: Callable[[], float] = lambda: 0.0,
) -> ShardEnd:
    """Send what is left of one shard.

    Args:
        storage: the shared run directory; a plan is in it.
        index: of the shard, from 0.
        to: the API.
        budget: where turns are asked for; ``None``: the job's limits times *share* are kept by this process alone.
        share: of the account's limits, above 0 and at most 1.
        idle_s: an owner who showed no sign of life for so long is taken over; 0 takes the shard in any case.
        observe: hears every event; must return at once.
        stop: asked to drain or abort by others; signals are their business too.
        scratch: a local directory, empty or that of an earlier shard of the same run.
        of: how many shards there are, for whoever starts first; ``None``: somebody has said so already.
        preflight: look whether the template may be sent; whoever drives all shards has done so.
        held_s: with a *budget*, the seconds that people have held it so far. Without one, this process follows by
            itself what people order of the run.

    Raises:
        ConfigError: the shard cannot be sent, or *share* is too small.
        BelongsToAnother: the key, the profile or the number of shards is not the run's.
        AccountRefused, Unreachable: the API does not say whose key it is. Nothing was taken.
        RunPaused: somebody has paused the run, and nobody drives this process.
        RunLocked: another process is working on the shard.
        Fenced: another process has taken the shard over.
        StoreError: a fact could not be read or written.
    """
    run_dir, clock = RunDir(scratch), SystemClock()
    plan = await asyncio.to_thread(fetch_plan, storage, run_dir, rows=False)
    shard = await asyncio.to_thread(_cut, storage, plan, index, of)
    if not len(shard) or await asyncio.to_thread(storage.exists, done_name(index)):
        return await asyncio.to_thread(_ended, storage, run_dir, shard, because=None)
    _require_sendable(plan, shard, to, where=storage.name)
    if budget is None:
        await asyncio.to_thread(require_orders_to_go, storage)
    settings = Settings.of(plan.head, preflight=True)
    opened = shard_line(
        to,
        limits=settings.limits,
        budget=budget,
        share=share,
        name=f"{storage.name} shard {index}",
        largest=largest_request(plan),
        timeout_s=settings.api.timeout,
        clock=clock,
        stop=stop,
        observe=observe,
    )
    because: BroadcasterError | None = None
    async with opened as line:
        server_us = await _identify(storage, plan, shard, to=to, line=line)
        if preflight and plan.head.asked.sends_messages and plan.head.asked.looks_ahead:
            await check_template(plan, line.ask)
        if stop.draining:
            raise stop.because or StoppedEarly("stopped before the shard was taken")
        epoch = await asyncio.to_thread(take, storage, index, idle_s=idle_s)
        sending = Sending(storage, run_dir, shard, settings=settings, observe=observe, stop=stop, clock=clock)
        try:
            async with PartsJournal(storage, shard=index, epoch=epoch, version=VERSION, lost=stop.drain) as journal:
                if line.reins is None:
                    await sending.send(line, journal, server_us=server_us, held_s=held_s)
                else:
                    async with steered_from(storage, line.reins, observe=observe, clock=clock) as paused_s:
                        await sending.send(line, journal, server_us=server_us, held_s=paused_s)
        except (Fenced, StoreError):
            raise
        except BroadcasterError as error:
            because = error
    because = because or stop.because
    if isinstance(because, Fenced | StoreError):  # found out while nothing was claimed
        raise because
    if stop.draining and because is None:
        because = StoppedEarly(_AT_ONCE if stop.aborting else "stopped before everything was sent")
    return await asyncio.to_thread(_ended, storage, run_dir, shard, because=because)


def _cut(storage: Storage, plan: Plan, index: int, of: int | None) -> Shard:
    """Return the batches of a shard; none, where there are fewer batches than shards."""
    meta = read_meta(storage) if of is None or storage.exists(META) else None
    if meta is not None and meta.plan != plan.fingerprint:
        raise BelongsToAnother(f"{storage.name} has another plan now than when it was started; restore it from a copy")
    shards = meta.shards if meta is not None else of or 0
    if of not in {None, shards}:
        raise BelongsToAnother(f"{storage.name} is sent in {shards} shards, not in {of}: all its processes must agree")
    if not 0 <= index < shards:
        raise ConfigError(f"there is no shard {index} of {shards}: they are numbered from 0 to {shards - 1}")
    cut = cut_shards(plan.batches, of=shards)
    return cut[index] if index < len(cut) else Shard(index=index, of=shards, first=plan.batches, stop=plan.batches)


def _require_sendable(plan: Plan, shard: Shard, to: Access, *, where: str) -> None:
    if to.profile != plan.head.profile:
        raise BelongsToAnother(f"{where} was planned for {_named(plan.head.profile)}, not for {_named(to.profile)}")
    if len(shard) > _MOST_BATCHES:
        needed = math.ceil(plan.batches / _MOST_BATCHES)
        raise ConfigError(
            f"a shard of {len(shard):,} batches is too large; cut the run into {needed} shards or more, at another "
            "address"
        )
    times = [each for part in plan.parts for each in part.head.times]
    check_times(times, schedule=Schedule(), now_us=wall_us(), fresh=False)


def _named(profile: str | None) -> str:
    return f"profile {profile}" if profile else "no profile"


async def _identify(storage: Storage, plan: Plan, shard: Shard, *, to: Access, line: ShardLine) -> int | None:
    """Ask whose key it is, first and alone, and say so for all; return the API's time."""
    who = await lookups.me(line.ask)
    line.belongs_to(who.id)
    await asyncio.to_thread(settle_whose, storage, plan, to=to, account_id=who.id, shards=shard.of)
    return who.reply.server_us


def settle_whose(storage: Storage, plan: Plan, *, to: Access, account_id: str, shards: int) -> str:
    """Say for all whose the run is and in how many shards it is sent; return the account's fingerprint.

    Another machine may divide batches, and this one's registry would never hear of it: so nobody else may send the
    campaign from here on, whatever its keys are. Nor may it have been sent from elsewhere before, though the API still
    remembers that now: some shard may begin when it does not any more.

    Raises:
        BelongsToAnother: somebody has said something else, or has sent the campaign from elsewhere.
        StoreError: the store does not do what it is asked.
    """
    fingerprint = account.fingerprint(base_url=to.identity, account_id=account_id, profile=to.profile)
    meta = write_meta(storage, plan, shards=shards, more={})
    write_whose(storage, Whose(account=fingerprint, base_url=to.identity))
    launch = account.Launch(
        account=fingerprint,
        mode=plan.head.mode,
        campaign=plan.head.campaign,
        run=meta.run,
        run_dir=plan.run_dir.path,
        keys_sha256=plan.keys_sha256,
        url=storage.name,
    )
    account.register(launch, now_us=wall_us(), window_s=_NEVER_S)
    account.mark_divided(launch)
    return fingerprint


def _ended(storage: Storage, run_dir: RunDir, shard: Shard, *, because: BroadcasterError | None) -> ShardEnd:
    """Count by what is written, and write down when nothing is left to do."""
    plan, facts = facts_of(storage, run_dir, shard)
    counts = counts_of(plan, facts, shard)
    if isinstance(because, StoppedEarly) and not counts.pending and not facts.to_repeat():
        because = None  # asked to stop when everything was done
    end = ShardEnd(
        shard=shard.index,
        accepted=counts.accepted,
        rejected=counts.rejected,
        in_doubt=counts.in_doubt,
        pending=counts.pending,
        why=because.sentence if because else None,
        code=exit_code(counts, because=because),
    )
    if because is None and not counts.pending and not facts.to_repeat() and len(shard):
        storage.create(done_name(shard.index), json.dumps(asdict(end)).encode())
    return end
