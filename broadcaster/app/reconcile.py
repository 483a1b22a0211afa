"""``reconcile``: ask the API about what is in doubt, and about what became of what it accepted; write down the answers.

Two questions, apart from each other. *What is in doubt* is the journal's business and needs the run's lock: what is
found is accepted; what is not found stays in doubt, because that a message cannot be seen never proves that it was not
sent. *What became of a message* is a receipt, in a file of its own, and can be asked for while the run sends.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from broadcaster.app.parts import VERSION, Access, fingerprint_of, line_of
from broadcaster.clock import wall_us
from broadcaster.core.receipts import Receipt
from broadcaster.core.resolution import Doubted
from broadcaster.core.sizes import duration_s
from broadcaster.core.values import Evidence, Outcome
from broadcaster.core.words import Mode, State
from broadcaster.engine.ports import Observe
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import StoppedEarly
from broadcaster.job.model import Limits
from broadcaster.store.deliveries import open_messages
from broadcaster.store.doubts import deliveries_in_doubt
from broadcaster.store.facts import PROVED, Facts
from broadcaster.store.head import Head
from broadcaster.store.journal import JournalReader
from broadcaster.store.known import ids_of_account
from broadcaster.store.plan import Plan
from broadcaster.store.polls import note_polls
from broadcaster.store.receiptfile import NAME
from broadcaster.store.receipts import ReceiptsWriter
from broadcaster.store.writer import JournalWriter
from broadcaster.tracking.evidence import EARLY_US, Doubt, Found
from broadcaster.tracking.polling import Keep, Polled, poll
from broadcaster.tracking.reconcile import Looked, look_up

_LATE_US = 120_000_000  # how far the API's clock may be ahead of ours
_MOST = 1_000_000  # messages of a round, some 200 MB; at 10,000 requests a minute they take more than an hour
_NOTED_AT_ONCE = 100  # messages whose asking is written down together: only the order depends on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """What the look-ups told. ``unread`` are other runs whose journals could not be asked."""

    found: Found
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a round of look-ups will take.

    Attributes:
        open: accepted messages that may still change.
        requests: the most look-ups.
        seconds: that they take at *per_minute*, the account's limit (0: none).
        beside: the process that is sending the run at the same time, and shares the limit.
    """

    open: int
    requests: int
    seconds: float
    per_minute: int
    beside: str | None


async def settle(plan: Plan, *, to: Access, observe: Observe, progress: Callable[[Looked], None]) -> Reconciled:
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
        return Reconciled(found=Found())
    stop = Stop()
    with on_signals(stop):
        async with line_of(plan, to, stop=stop, observe=observe) as api_line:
            known, unread = ids_of_account(plan, facts, fingerprint_of(plan))
            found = await look_up(_doubts(plan.head, doubted), ask=api_line.ask, known_ids=known, observe=progress)
        with JournalWriter(plan.run_dir.journal, version=VERSION) as journal:
            if found.evidence:
                await journal.prove(found.evidence, _proved(doubted, found.evidence))
    return Reconciled(found=found, unread=unread)


async def ask_after(
    plan: Plan,
    *,
    to: Access,
    limit: int | None,
    observe: Observe,
    begin: Callable[[Outlook], None],
    progress: Callable[[Polled], None],
) -> Polled:
    """Look up what became of accepted messages and write it down as receipts; needs no lock.

    Args:
        plan: of the run.
        to: the API; it must be the account that the run was sent with.
        limit: the most requests; ``None`` is no limit.
        observe: hears of waits.
        begin: hears, before the first request, what it will take; not called when there is nothing to ask.
        progress: hears of every answer.

    Returns:
        How far it came; ``because`` says what ended it early, Ctrl-C as well. What was learned is kept.

    Raises:
        BelongsToAnother: the key is another account's.
        AccountRefused, Unreachable, ContractBroken: as the API answers the first request.
        StoreError: journal or receipts cannot be read or written.
    """
    if plan.head.mode == Mode.SANDBOX or not plan.run_dir.journal.exists():
        return Polled()  # Sent's sandbox keeps no messages, and without a journal nothing was sent
    open_ids, count = open_messages(plan, Facts.read(plan, whole=False), now_us=wall_us(), most=_MOST)
    if not open_ids:
        return Polled()
    limits = Limits.model_validate(plan.head.limits)
    begin(_outlook(plan, limits, count=count, limit=limit))
    stop, last = Stop(), Polled(left=len(open_ids))

    def heard(so_far: Polled) -> None:
        nonlocal last
        last = so_far
        progress(so_far)

    with on_signals(stop), ReceiptsWriter(plan.run_dir.path / NAME) as writer:
        async with line_of(plan, to, stop=stop, observe=observe) as api_line, _kept(plan, writer) as keep:
            newest_us, oldest_us = _times(plan)

            async def ask() -> None:
                heard(
                    await poll(
                        open_ids,
                        ask=api_line.ask,
                        keep=keep,
                        now_us=wall_us,
                        newest_us=newest_us,
                        oldest_us=oldest_us,
                        limit=limit,
                        concurrency=limits.concurrency,
                        observe=heard,
                    )
                )

            # Nothing is lost with a look-up that is not waited for, so a drain ends them at once.
            if not await stop.unless_drained(ask()):
                return replace(last, because=StoppedEarly("stopped; what was learned is kept"))
    return last


@asynccontextmanager
async def _kept(plan: Plan, writer: ReceiptsWriter) -> AsyncGenerator[Keep, None]:
    """Yield what keeps receipts; which messages were asked for is written down in larger groups, and at the end."""
    asked: list[str] = []

    async def note(*, at_least: int) -> None:
        if len(asked) >= at_least:
            few = asked.copy()
            asked.clear()
            await asyncio.to_thread(note_polls, plan.run_dir.path, few, at_us=wall_us())

    async def keep(receipts: Sequence[Receipt], ids: Sequence[str]) -> int:
        new = await writer.add(receipts)
        asked.extend(ids)
        await note(at_least=_NOTED_AT_ONCE)
        return new

    try:
        yield keep
    finally:
        await note(at_least=1)


def _outlook(plan: Plan, limits: Limits, *, count: int, limit: int | None) -> Outlook:
    requests = count if limit is None else min(limit, count)
    per_minute = limits.requests_per_minute
    return Outlook(
        open=count,
        requests=requests,
        seconds=duration_s(requests, 0, requests_per_minute=per_minute, messages_per_minute=0),
        per_minute=per_minute,
        beside=plan.run_dir.holder() if plan.run_dir.is_in_use() else None,
    )


def _times(plan: Plan) -> tuple[int, int]:
    """Return when the last message of the run may have been created, and the first."""
    with JournalReader(plan.run_dir.journal) as journal:
        first_us, last_us = journal.first_claim_us() or 0, journal.last_settled_us()
    ended_us = wall_us() if last_us is None or plan.run_dir.is_in_use() else last_us
    return ended_us + _LATE_US, first_us - EARLY_US


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
