"""``reconcile``: look deliveries in doubt up at the API, and write down what is found.

What is found is accepted. What is not found stays in doubt: that a message cannot be seen never proves that it was not
sent.
"""

from collections.abc import Callable
from dataclasses import dataclass

from broadcaster.api import lookups
from broadcaster.app.conclude import Conclusion, conclude
from broadcaster.app.parts import VERSION, Access, line
from broadcaster.clock import SystemClock, wall_us
from broadcaster.core.resolution import Doubted
from broadcaster.core.values import Evidence, Outcome
from broadcaster.core.words import State
from broadcaster.engine.ports import Observe
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import BelongsToAnother, BroadcasterError
from broadcaster.job.model import Api, Limits
from broadcaster.store import account
from broadcaster.store.doubts import deliveries_in_doubt
from broadcaster.store.facts import PROVED, Facts
from broadcaster.store.head import Head
from broadcaster.store.journal import JournalReader
from broadcaster.store.known import message_ids
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.store.writer import JournalWriter
from broadcaster.tracking.evidence import Doubt, Found
from broadcaster.tracking.reconcile import Looked, look_up

_LATE_US = 120_000_000  # how far the API's clock may be ahead of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What the look-ups told. ``unread`` are other runs whose journals could not be asked."""

    found: Found
    conclusion: Conclusion
    unread: tuple[str, ...]


async def reconcile(plan: Plan, *, to: Access, observe: Observe, progress: Callable[[Looked], None]) -> Reconciled:
    """Look up what is in doubt and write down what is found; the caller holds the run's lock.

    Args:
        plan: of the run.
        to: the API; it must be the account that the run was sent with.
        observe: hears of waits.
        progress: hears how far back the search has come.

    Raises:
        BelongsToAnother: the key is another account's.
        AccountRefused, Unreachable, ContractBroken: as the API answers; nothing was written.
        StoreError: the journal cannot be read or written.
    """
    facts = Facts.read(plan)
    doubted = list(deliveries_in_doubt(plan, facts))
    if not doubted:
        return Reconciled(found=Found(), conclusion=conclude(plan), unread=())
    stop = Stop()
    api = Api.model_validate(plan.head.api)
    opened = line(
        to,
        limits=Limits.model_validate(plan.head.limits),
        timeout_s=api.timeout,
        largest=1,
        clock=SystemClock(),
        stop=stop,
        observe=observe,
    )
    with on_signals(stop):
        async with opened as api_line:
            ours = _fingerprint(plan)
            who = await lookups.me(api_line.ask)
            if ours != account.fingerprint(base_url=to.identity, account_id=who.id, profile=to.profile):
                raise BelongsToAnother(f"{plan.run_dir.path} was sent with another account than this key's")
            known, unread = _known_ids(plan, facts, ours)
            found = await look_up(_doubts(plan.head, doubted), ask=api_line.ask, known_ids=known, observe=progress)
        with JournalWriter(plan.run_dir.journal, version=VERSION) as journal:
            if found.evidence:
                await journal.prove(found.evidence, _proved(doubted, found.evidence))
    return Reconciled(found=found, conclusion=conclude(plan), unread=unread)


def _fingerprint(plan: Plan) -> str:
    with JournalReader(plan.run_dir.journal) as journal:
        return journal.meta()["account"]


def _known_ids(plan: Plan, facts: Facts, fingerprint: str) -> tuple[set[str], tuple[str, ...]]:
    """Return the ids that this user's journals explain, and the runs whose journals cannot be read."""
    known, unread = set(message_ids(plan, facts)), []
    here = plan.run_dir.path.resolve()
    for path in account.run_dirs(fingerprint):
        if path == here:
            continue
        try:
            other = Plan.open(RunDir(path))
            known.update(message_ids(other, Facts.read(other)))
        except (BroadcasterError, OSError):  # moved, removed, purged: the person is told
            unread.append(str(path))
    return known, tuple(unread)


def _doubts(head: Head, doubted: list[Doubted]) -> list[Doubt]:
    until_us = wall_us() + _LATE_US
    return [
        Doubt(
            batch=each.batch.id,
            position=position,
            channel=channel,
            to=each.batch.to[position],
            since_us=each.since_us,
            until_us=until_us,
            template_id=head.template_id,
            template_name=head.template_name,
        )
        for each in doubted
        for position, channel in each.deliveries
    ]


def _proved(doubted: list[Doubted], evidence: tuple[Evidence, ...]) -> list[Outcome]:
    """Return the outcomes of claimed batches of which nothing is in doubt any more."""
    seen: dict[int, int] = {}
    for each in evidence:
        seen[each.batch] = seen.get(each.batch, 0) + 1
    return [
        Outcome(
            batch=each.batch.id,
            state=State.ACCEPTED,
            attempts=max(1, each.attempts),
            first_us=each.since_us,
            settled_us=wall_us(),
            code=PROVED,
            sentence="Every message of the request was found at the API.",
            missing=each.batch.deliveries,  # in the answer, which there is not
        )
        for each in doubted
        if each.claim is not None and seen.get(each.batch.id, 0) == len(each.deliveries)
    ]
