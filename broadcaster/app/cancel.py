"""``cancel``: call off what the API still holds of a run.

The caller holds the run's lock: what is still being scheduled must be stopped first, or it would go on behind us.
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from broadcaster.api.history import Page, conversations
from broadcaster.app.parts import Access, fingerprint_of, line_of
from broadcaster.clock import wall_us
from broadcaster.core.reach import within_reach
from broadcaster.core.sizes import duration_s
from broadcaster.core.words import Mode
from broadcaster.engine.ports import Observe
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import StoppedEarly
from broadcaster.job.model import Limits
from broadcaster.store.facts import Facts, tally
from broadcaster.store.held import Held, accepted_by_number, holdings
from broadcaster.store.journal import JournalReader
from broadcaster.store.known import ids_of_account
from broadcaster.store.plan import Plan
from broadcaster.store.receiptfile import NAME
from broadcaster.store.receipts import ReceiptsWriter
from broadcaster.tracking.cancel import Cancelled, cancel_all
from broadcaster.tracking.evidence import EARLY_US
from broadcaster.tracking.reconcile import walk
from broadcaster.tracking.surplus import Sent, surplus

_LATE_US = 120_000_000  # how far the API's clock may be ahead of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What can be cancelled.

    Attributes:
        held: messages, the nearest release first.
        reachable: as many as can be reached before their release, at *per_minute* (0: no limit).
        seconds: that it takes to ask for all of them.
        first_us: the nearest release; ``None`` where nobody knows it.
        released: messages whose send time has passed already.
        pending, in_doubt: deliveries that are not cancelled: they may still be handed over, or may be held without
            anybody knowing their ids.
    """

    held: tuple[Held, ...]
    reachable: int
    per_minute: int
    seconds: float
    first_us: int | None
    released: int
    pending: int
    in_doubt: int


def look(plan: Plan, *, per_minute: int) -> Outlook:
    """Return what of a run may be cancelled; nothing of it needs the network.

    Raises:
        StoreError: journal or receipts cannot be read.
    """
    facts = Facts.read(plan)
    counts = tally(plan, facts)
    now_us = wall_us()
    known = holdings(plan, facts, now_us=now_us)
    # Sent's sandbox keeps no messages, and so holds none.
    held = () if plan.head.mode == Mode.SANDBOX else known.held
    return Outlook(
        held=held,
        reachable=within_reach([each.release_us for each in held], now_us=now_us, per_minute=per_minute),
        per_minute=per_minute,
        seconds=duration_s(len(held), 0, requests_per_minute=per_minute, messages_per_minute=0),
        first_us=held[0].release_us if held else None,
        released=known.released,
        pending=counts.pending,
        in_doubt=counts.in_doubt,
    )


async def cancel(
    plan: Plan, outlook: Outlook, *, to: Access, observe: Observe, progress: Callable[[Cancelled], None]
) -> Cancelled:
    """Cancel what is held, and write down what was cancelled as receipts.

    Args:
        plan: of the run, whose lock the caller holds.
        outlook: from :func:`look`.
        to: the API; it must be the account that the run was sent with.
        observe: hears of waits.
        progress: hears of every answer.

    Returns:
        How far it came; ``because`` says what ended it early, Ctrl-C as well. What was cancelled is kept.

    Raises:
        BelongsToAnother: the key is another account's.
        AccountRefused, Unreachable, ContractBroken: as the API answers the first request.
        StoreError: receipts cannot be written.
    """
    stop, last = Stop(), Cancelled(left=len(outlook.held))

    def heard(so_far: Cancelled) -> None:
        nonlocal last
        last = so_far
        progress(so_far)

    with on_signals(stop), ReceiptsWriter(plan.run_dir.path / NAME) as writer:
        async with line_of(plan, to, stop=stop, observe=observe) as api_line:

            async def ask() -> None:
                heard(
                    await cancel_all(
                        [(each.message_id, each.release_us) for each in outlook.held],
                        ask=api_line.ask,
                        keep=lambda receipt: writer.add([receipt]),
                        now_us=wall_us,
                        concurrency=Limits.model_validate(plan.head.limits).concurrency,
                        observe=heard,
                    )
                )

            # What is not waited for may be cancelled without our knowing: asking for it again is harmless.
            if not await stop.unless_drained(ask()):
                return replace(last, because=StoppedEarly("stopped; what was cancelled is written down"))
    return last


async def find_surplus(plan: Plan, *, to: Access, observe: Observe) -> tuple[Outlook, tuple[str, ...]]:
    """Look for held copies of the run's messages that no journal of this user explains.

    Args:
        plan: of the run, whose lock the caller holds.
        to: the API; it must be the account that the run was sent with.
        observe: hears of waits.

    Returns:
        What :func:`cancel` takes, and the runs whose journals could not be asked: a copy may be theirs.

    Raises:
        BelongsToAnother, AccountRefused, Unreachable, ContractBroken: as :func:`cancel`.
        StoreError: journal or receipts cannot be read.
    """
    facts = Facts.read(plan)
    since_us, until_us = _span(plan)
    sent = Sent(
        accepted=accepted_by_number(plan, facts),
        template_id=plan.head.template_id,
        template_name=plan.head.template_name,
        since_us=since_us,
        until_us=until_us,
    )
    limits = Limits.model_validate(plan.head.limits)
    stop, ids = Stop(), list[str]()
    with on_signals(stop):
        async with line_of(plan, to, stop=stop, observe=observe) as api_line:
            known, unread = ids_of_account(plan, facts, fingerprint_of(plan))

            async def read(number: int) -> Page:
                return await conversations(api_line.ask, page=number)

            pages = walk(read, newest_us=until_us, oldest_us=since_us - EARLY_US)
            async with aclosing(pages):
                async for page in pages:
                    ids += surplus(page.sightings, sent, known_ids=known)
    found = tuple(Held(each, None) for each in dict.fromkeys(ids))
    per_minute = limits.requests_per_minute
    return Outlook(
        held=found,
        reachable=len(found),
        per_minute=per_minute,
        seconds=duration_s(len(found), 0, requests_per_minute=per_minute, messages_per_minute=0),
        first_us=None,
        released=0,
        pending=0,
        in_doubt=0,
    ), unread


def _span(plan: Plan) -> tuple[int, int]:
    """Return when the first message of the run may have been created, and the last."""
    with JournalReader(plan.run_dir.journal) as journal:
        first_us, last_us = journal.first_claim_us() or 0, journal.last_settled_us()
    return first_us, (last_us or wall_us()) + _LATE_US
