"""What ``run``, ``send`` and ``resume`` do after the plan: show, confirm, send, tell how it ended."""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from broadcaster.app.announce import announce
from broadcaster.app.conclude import conclude
from broadcaster.app.deliver import deliver
from broadcaster.app.early import Early, asking
from broadcaster.app.manner import Settings
from broadcaster.app.parts import SIMULATOR_URL, access, mode_of, run_loop
from broadcaster.app.preflight import NOTHING_ASKED, Asked, require_sendable
from broadcaster.app.prepare import Ask, locate, prepare, unplan
from broadcaster.app.retry import add_retry, choose_retry
from broadcaster.cli.confirming import confirmed, require_answer, was_started
from broadcaster.cli.freezing import plan_job, preview_of
from broadcaster.cli.options import of_this_machine
from broadcaster.cli.progress import Watcher, things_of
from broadcaster.cli.screen import busy, retry_lines, show_plan
from broadcaster.cli.steering import refuse_paused
from broadcaster.cli.telling import print_json, tell, tell_earlier, tell_staged, warn_of_another_machine
from broadcaster.cli.who import who
from broadcaster.clock import today
from broadcaster.core.words import Channel, Mode
from broadcaster.engine.ports import Observe
from broadcaster.errors import BelongsToAnother, BroadcasterError, ExitCode, StoppedEarly, TemplateUnusable
from broadcaster.job.load import render_campaign
from broadcaster.job.model import Job
from broadcaster.job.settings import load_settings, profile_id, sender_id
from broadcaster.operations import OPERATIONS
from broadcaster.planning.left import has_work
from broadcaster.planning.retry import preview_retry
from broadcaster.planning.timing import remembered, timetable
from broadcaster.planning.wording import operation_of
from broadcaster.store.control import require_going
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.chronicle import tell_planned


def start(
    job: Job,
    ask: Ask,
    *,
    dry_run: bool,
    yes: bool,
    preflight: bool,
    wait: bool,
    as_json: bool,
    skip_canary: bool = False,
) -> ExitCode:
    """Do what ``run`` and ``send`` do once they know the job."""
    if not dry_run:
        return run_job(job, ask, yes=yes, preflight=preflight, wait=wait, as_json=as_json, skip_canary=skip_canary)
    prepared, shown = plan_job(job, ask, keep=False)
    show_plan(shown, chosen=prepared.chosen)
    if as_json:
        print_json(shown.to_dict())
    return ExitCode.DONE


def run_job(
    job: Job, ask: Ask, *, yes: bool, preflight: bool, wait: bool, as_json: bool, skip_canary: bool = False
) -> ExitCode:
    """Plan *job* (or go on with its plan), confirm, send; return how it ended."""
    run_dir, campaign = locate(job, ask)
    of_this_machine(run_dir.path, command="run")
    tell_earlier(campaign, today=render_campaign(job, day=ask.day or today(job.timezone)))
    if not run_dir.is_planned:
        require_answer(yes=yes)
    if ask.mode is not Mode.SIMULATED:
        load_settings(os.environ)  # no key, no plan: better now than after the confirmation
        if job.api.version == "v1":
            sender_id(os.environ)
    run_dir.create()
    with run_dir.locked(), _early(job, ask, run_dir, yes=yes, preflight=preflight) as early:
        refuse_paused(run_dir, adds=ask.extend)
        with busy("planning …"):
            prepared = prepare(job, ask, run_dir=run_dir, campaign=campaign, profile=profile_id(os.environ))
        plan = prepared.plan
        settings = Settings(
            limits=job.limits,
            safety=job.safety,
            api=job.api,
            notify_url=job.notify.url,
            preflight=preflight,
            timetable=timetable(remembered(job.schedule, zone=job.timezone)),
            wait=wait,
            skip_canary=who() if skip_canary else None,
        )
        shown = preview_of(plan, settings.limits, canary_wait_s=settings.safety.canary_wait)
        show_plan(shown, chosen=prepared.chosen, already_planned=prepared.already_planned)
        agreed = False
        try:
            agreed = confirmed(plan, shown, yes=yes, fresh=prepared.fresh)
        finally:
            if not agreed and prepared.fresh:
                unplan(plan)
        if not agreed:
            kept = "and no plan was kept" if prepared.fresh else f"and the plan in {run_dir.path} stays"
            click.echo(f"Nothing was sent, {kept}.", err=True)
            return ExitCode.STOPPED
        if prepared.fresh and early is None:
            tell_planned(plan)
        try:
            return _send(plan, settings, as_json=as_json, early=early)
        except TemplateUnusable:  # told before anything was written: the corrected job finds nothing in its way
            unplan(plan)
            click.echo("Nothing was sent, and no plan was kept: correct the job and run it again.", err=True)
            raise


def _early(job: Job, ask: Ask, run_dir: RunDir, *, yes: bool, preflight: bool) -> AbstractContextManager[Early | None]:
    """Begin to ask the API while the list is read, if nobody is asked first and it is now that messages go out."""
    hurries = yes and not (run_dir.is_planned or ask.extend or job.schedule.is_used)
    if not hurries or ask.mode is Mode.SIMULATED or not OPERATIONS[operation_of(job)].looks_ahead:
        return nullcontext()
    with access(ask.mode, os.environ) as to:  # nothing of ours runs there: it holds beyond the block
        return asking(job, to, preflight=preflight)


def _asked(early: Early | None, plan: Plan, *, observe: Observe) -> Asked:
    """Return what the API said while the list was read; only then is it sure that the plan stays.

    Raises:
        TemplateUnusable: it cannot be sent. Whatever else went wrong is told like what happens to a run that has begun:
            the same plan can go on later.
    """
    if early is None:
        return NOTHING_ASKED
    asked = early.result(observe=observe)
    require_sendable(plan, asked)
    tell_planned(plan)
    return asked


def check_same_run(plan: Plan, *, simulate: bool, sandbox: bool) -> None:
    """Refuse flags and environment that are not the frozen plan's.

    Raises:
        BelongsToAnother: it was planned in another mode or for another profile.
    """
    where = plan.run_dir.path
    asked = mode_of(simulate=simulate, sandbox=sandbox)
    if asked is not Mode.LIVE and asked != plan.head.mode:
        raise BelongsToAnother(f"{where} was planned as {plan.head.mode}, not as {asked}; leave the flag out")
    profile = profile_id(os.environ)
    if profile != plan.head.profile:
        raise BelongsToAnother(
            f"{where} was planned for {_named(plan.head.profile)}, and SENT_PROFILE_ID names {_named(profile)}"
        )


def _named(profile: str | None) -> str:
    return f"profile {profile}" if profile else "no profile"


def resume_run(
    plan: Plan,
    *,
    yes: bool,
    preflight: bool,
    wait: bool,
    as_json: bool,
    skip_canary: bool = False,
    shown: bool = False,
) -> ExitCode:
    """Go on with a frozen plan, which was *shown* already or is if nothing was sent; the caller holds the lock."""
    settings = Settings.of(plan.head, preflight=preflight, wait=wait, skip_canary=who() if skip_canary else None)
    if SIMULATOR_URL in os.environ and plan.head.mode == Mode.SIMULATED:
        settings = settings.unpaced()  # a rehearsal: there is no account whose limit could be passed
    refuse_paused(plan.run_dir)
    if not (shown or was_started(plan)):
        require_answer(yes=yes)
        preview = preview_of(plan, settings.limits, canary_wait_s=settings.safety.canary_wait)
        show_plan(preview)
        if not confirmed(plan, preview, yes=yes, fresh=False):
            click.echo("Nothing was sent.", err=True)
            return ExitCode.STOPPED
    return _send(plan, settings, as_json=as_json)


def retry_run(
    plan: Plan,
    *,
    expect_recipients: int | None,
    yes: bool,
    preflight: bool,
    wait: bool,
    as_json: bool,
    channel: Channel | None = None,
    dry_run: bool = False,
) -> ExitCode:
    """Add whom it did not reach to a frozen plan as a part of its own and send it; the caller holds the lock."""
    settings = Settings.of(plan.head, preflight=preflight, wait=wait)
    if plan.head.mode != Mode.SIMULATED and not dry_run:
        load_settings(os.environ)  # no key, no part
    require_going(plan.run_dir)
    with busy("planning …"):
        chosen = choose_retry(plan, channel=channel)
        longer = None if dry_run else add_retry(plan, expect_recipients=expect_recipients, chosen=chosen)
    if longer is None:
        for name, text in retry_lines(chosen.again, chosen.left_out):
            click.echo(f"{name:<14} {text}", err=True)
    if dry_run:
        click.echo(f"{chosen.recipients:,} people would be sent it again; nothing was sent.", err=True)
        if as_json:
            print_json({"recipients": chosen.recipients, "again": chosen.again, "left_out": chosen.left_out})
        return ExitCode.DONE
    if longer is None:
        click.echo("There is nothing to retry; nothing was sent.", err=True)
        return tell(plan, conclude(plan), as_json=as_json)
    shown = preview_of(longer, settings.limits, how=preview_retry, chosen=chosen)
    show_plan(shown)
    agreed = False
    try:
        agreed = confirmed(longer, shown, yes=yes, fresh=True)
    finally:
        if not agreed:
            unplan(longer)
    if not agreed:
        click.echo("Nothing was sent, and the plan is what it was.", err=True)
        return ExitCode.STOPPED
    tell_planned(longer)
    return _send(longer, settings, as_json=as_json)


def _send(plan: Plan, settings: Settings, *, as_json: bool, early: Early | None = None) -> ExitCode:
    if not has_work(plan):
        conclusion = conclude(plan)
        what = (
            "What is in doubt is not repeated by itself"
            if conclusion.counts.in_doubt
            else ("Everything in this run is settled")
        )
        click.echo(f"{what}; nothing was sent.", err=True)
        return tell(plan, conclusion, as_json=as_json)
    require_going(plan.run_dir)
    warn_of_another_machine(plan)
    try:
        with (
            access(
                Mode(plan.head.mode), os.environ, state=plan.run_dir.simulator, legacy=plan.head.asked.is_legacy
            ) as to,
            Watcher(plan.run_dir.path, things=things_of(plan)) as watcher,
        ):
            asked = _asked(early, plan, observe=watcher)
            sending = deliver(plan, to=to, settings=settings, observe=watcher, begin=watcher.begin, asked=asked)
            conclusion = run_loop(sending)
    except BroadcasterError as error:
        announce_end(plan, settings, code=error.exit_code, why=error.sentence)
        raise
    if (took := watcher.ended()) is not None:
        click.echo(took, err=True)
    code = tell(plan, conclusion, as_json=as_json)
    tell_staged(plan)
    summary = conclusion.summary
    by_hand = summary["stopped_by"] == StoppedEarly.code
    announce_end(plan, settings, code=code, counts=conclusion.counts, why=summary["why"], by_hand=by_hand)
    return code


def announce_end(plan: Plan, settings: Settings, **ended: Any) -> None:
    """Tell the job's address how a run ended; what goes wrong with that is one line."""
    if (wrong := run_loop(announce(plan, url=settings.notify_url, environ=os.environ, **ended))) is not None:
        click.echo(f"Warning: {wrong}", err=True)
