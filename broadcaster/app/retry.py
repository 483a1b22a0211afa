"""``retry-failed``: a part with what definitely did not arrive, added to the plan of a finished run."""

import os
from dataclasses import replace

from broadcaster.app.conclude import refresh
from broadcaster.app.parts import VERSION
from broadcaster.clock import wall_us
from broadcaster.core.words import Channel
from broadcaster.errors import BelongsToAnother, CountUnexpected, StoppedEarly
from broadcaster.operations import OPERATIONS
from broadcaster.planning.again import Selection, choose
from broadcaster.planning.pipeline import discard
from broadcaster.planning.retry import build_retry, generation
from broadcaster.store import account
from broadcaster.store.facts import Facts, tally
from broadcaster.store.head import RETRY, write_head
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan


def choose_retry(plan: Plan, *, channel: Channel | None = None) -> Selection:
    """Choose whom to send to again, by journal and receipts as they are now; the caller holds the run's lock.

    Args:
        plan: of a run that has nothing pending.
        channel: where to send; where it did not arrive, unless it is given.

    Raises:
        StoppedEarly: something is pending.
        StoreError: when the disk refuses, or plan, journal or receipts are damaged.
    """
    facts = Facts.read(plan)
    pending = tally(plan, facts).pending
    if pending:
        where = os.fspath(plan.run_dir.path)
        raise StoppedEarly(
            f"{pending} deliveries are pending: the run has not ended. 'broadcaster resume {where}' first, then retry"
        )
    refresh(plan)
    return choose(plan, facts, channel=channel, now_us=wall_us())


def add_retry(plan: Plan, *, expect_recipients: int | None = None, chosen: Selection | None = None) -> Plan | None:
    """Freeze a part of *plan* for everybody whom it definitely did not reach; the caller holds the run's lock.

    Args:
        plan: of a run that has nothing pending.
        expect_recipients: how many there must be.
        chosen: by :func:`choose_retry`, which is asked otherwise.

    Returns:
        The longer plan, or ``None``: there is nobody.

    Raises:
        StoppedEarly: something is pending.
        CountUnexpected: there are more or fewer than expected.
        BelongsToAnother: another directory has sent this campaign and may have reached them.
        StoreError: when the disk refuses, or plan, journal or receipts are damaged.
    """
    chosen = choose_retry(plan) if chosen is None else chosen
    if expect_recipients is not None and chosen.recipients != expect_recipients:
        raise CountUnexpected(
            f"{chosen.recipients} recipients can be retried, and --expect-recipients says {expect_recipients}; nothing "
            "was sent"
        )
    if not chosen.recipients:
        return None
    _only_here(plan)
    part = len(plan.parts)
    base = next(each.head for each in reversed(plan.parts) if not each.head.is_retry)
    head = replace(base, part=part, kind=RETRY, generation=generation(part), lists=())
    try:
        built = build_retry(plan, chosen, message=head.message, operation=OPERATIONS[head.operation])
        write_head(
            plan.run_dir,
            replace(
                head,
                **built.in_head,
                replaced=chosen.replaced,
                undelivered=len(chosen.undelivered),
                first_row=plan.rows,
                first_batch=plan.batches,
                previous=plan.fingerprint,
                code=VERSION,
                planned_us=wall_us(),
            ),
        )
    except BaseException:
        discard(plan.run_dir, part)
        raise
    return Plan.open(plan.run_dir)


def _only_here(plan: Plan) -> None:
    """Refuse when a second directory has sent the same plan: whom the API refused here it may have accepted there."""
    with JournalReader(plan.run_dir.journal) as journal:
        known = journal.meta()
    if "account" not in known:  # nothing ever left
        return
    others = account.sent_elsewhere(
        account=known["account"], mode=plan.head.mode, campaign=plan.head.campaign, run=known["run"]
    )
    if others:
        raise BelongsToAnother(
            f"campaign {plan.head.campaign!r} was also sent from {others[0]}: whoever was refused here may have been "
            "messaged from there. Send to failed.csv under another campaign name"
        )
