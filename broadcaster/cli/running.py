"""What ``run``, ``send`` and ``resume`` do after the plan: show, confirm, send, tell how it ended."""

import json
import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from broadcaster.app.announce import announce
from broadcaster.app.conclude import Conclusion, conclude
from broadcaster.app.deliver import Settings, deliver, has_work
from broadcaster.app.parts import SIMULATOR_URL, access, limit_in_sight, mode_of, run_loop
from broadcaster.app.prepare import Ask, Prepared, locate, prepare, unplan
from broadcaster.app.retry import add_retry, choose_retry
from broadcaster.cli.progress import Watcher, things_of
from broadcaster.cli.screen import busy, console, retry_lines, show_plan
from broadcaster.cli.steering import refuse_paused, tell_paused
from broadcaster.cli.who import who
from broadcaster.core.values import Tally
from broadcaster.core.words import Channel, Mode, Repeat
from broadcaster.core.zones import read_us
from broadcaster.errors import BelongsToAnother, BroadcasterError, ConfigError, ExitCode, StoppedEarly
from broadcaster.job.load import load_job
from broadcaster.job.model import Job, Limits
from broadcaster.job.settings import load_settings, profile_id, sender_id
from broadcaster.planning.preview import Preview, preview
from broadcaster.planning.retry import preview_retry
from broadcaster.planning.timing import remembered, timetable
from broadcaster.store.control import require_going
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.chronicle import tell_planned

_TYPE_THE_COUNT = 10_000  # recipients above which "y" is too easily said


def plan_job(job: Job, ask: Ask, *, keep: bool = True) -> tuple[Prepared, Preview]:
    """Freeze a job's plan with its manifest, or open the one that is there; the caller prints it.

    Without *keep* nothing stays on disk.
    """
    import tempfile

    run_dir, campaign = locate(job, ask)
    if keep:
        return _planned(job, ask, run_dir, campaign)
    if run_dir.is_planned:
        with run_dir.locked():
            prepared = prepare(job, ask, run_dir=run_dir, campaign=campaign, profile=profile_id(os.environ))
            shown = _preview(prepared.plan, job.limits, canary_wait_s=job.safety.canary_wait)
            if prepared.fresh:  # an extension
                unplan(prepared.plan)
        return prepared, shown
    with tempfile.TemporaryDirectory(prefix="broadcaster-") as directory:
        prepared, shown = _planned(job, ask, RunDir(Path(directory) / "run"), campaign)
        return prepared, replace(shown, run_dir=str(run_dir.path))


def _planned(job: Job, ask: Ask, run_dir: RunDir, campaign: str) -> tuple[Prepared, Preview]:
    """Plan in *run_dir*, with the manifest."""
    run_dir.create()
    with run_dir.locked():
        with busy("planning …"):
            prepared = prepare(job, ask, run_dir=run_dir, campaign=campaign, profile=profile_id(os.environ))
        conclude(prepared.plan)
        if prepared.fresh:
            tell_planned(prepared.plan)
        return prepared, _preview(prepared.plan, job.limits, canary_wait_s=job.safety.canary_wait)


def plan_rehearsal(job_file: Path, run_dir: Path) -> tuple[Plan, Preview]:
    """Freeze a job's plan for a rehearsal; the preview is that of the real run."""
    job = load_job(job_file)
    if job.kind != "message" or job.api.version != "v3":
        raise ConfigError(
            'a rehearsal counts messages by their ids, which contacts and version "v1" of the API do not have; '
            "'broadcaster run JOB --simulate' tries the job without an account"
        )
    prepared, shown = plan_job(job, Ask(mode=Mode.SIMULATED, run_dir=run_dir))
    return prepared.plan, shown


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
    if not run_dir.is_planned:
        _require_answer(yes=yes)
    if ask.mode is not Mode.SIMULATED:
        load_settings(os.environ)  # no key, no plan: better now than after the confirmation
        if job.api.version == "v1":
            sender_id(os.environ)
    run_dir.create()
    with run_dir.locked():
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
        shown = _preview(plan, settings.limits, canary_wait_s=settings.safety.canary_wait)
        show_plan(shown, chosen=prepared.chosen, already_planned=prepared.already_planned)
        agreed = False
        try:
            agreed = _confirmed(plan, shown, yes=yes, fresh=prepared.fresh)
        finally:
            if not agreed and prepared.fresh:
                unplan(plan)
        if not agreed:
            kept = "and no plan was kept" if prepared.fresh else f"and the plan in {run_dir.path} stays"
            click.echo(f"Nothing was sent, {kept}.", err=True)
            return ExitCode.STOPPED
        if prepared.fresh:
            tell_planned(plan)
        return _send(plan, settings, as_json=as_json)


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
    plan: Plan, *, yes: bool, preflight: bool, wait: bool, as_json: bool, skip_canary: bool = False
) -> ExitCode:
    """Go on with a frozen plan; the caller holds the lock."""
    settings = Settings.of(plan.head, preflight=preflight, wait=wait, skip_canary=who() if skip_canary else None)
    if SIMULATOR_URL in os.environ and plan.head.mode == Mode.SIMULATED:
        settings = settings.unpaced()  # a rehearsal: there is no account whose limit could be passed
    refuse_paused(plan.run_dir)
    shown = _preview(plan, settings.limits, canary_wait_s=settings.safety.canary_wait)
    if not _was_started(plan):
        _require_answer(yes=yes)
        show_plan(shown)
        if not _confirmed(plan, shown, yes=yes, fresh=False):
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
    shown = _preview(longer, settings.limits, how=preview_retry, chosen=chosen)
    show_plan(shown)
    agreed = False
    try:
        agreed = _confirmed(longer, shown, yes=yes, fresh=True)
    finally:
        if not agreed:
            unplan(longer)
    if not agreed:
        click.echo("Nothing was sent, and the plan is what it was.", err=True)
        return ExitCode.STOPPED
    tell_planned(longer)
    return _send(longer, settings, as_json=as_json)


def _send(plan: Plan, settings: Settings, *, as_json: bool) -> ExitCode:
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
    _warn_of_another_machine(plan)
    try:
        with (
            access(
                Mode(plan.head.mode), os.environ, state=plan.run_dir.simulator, legacy=plan.head.asked.is_legacy
            ) as to,
            Watcher(plan.run_dir.path, things=things_of(plan)) as watcher,
        ):
            conclusion = run_loop(deliver(plan, to=to, settings=settings, observe=watcher, begin=watcher.begin))
    except BroadcasterError as error:
        _announce(plan, settings, code=error.exit_code, why=error.sentence)
        raise
    if (took := watcher.ended()) is not None:
        click.echo(took, err=True)
    code = tell(plan, conclusion, as_json=as_json)
    _tell_staged(plan)
    summary = conclusion.summary
    by_hand = summary["stopped_by"] == StoppedEarly.code
    _announce(plan, settings, code=code, counts=conclusion.counts, why=summary["why"], by_hand=by_hand)
    return code


def _tell_staged(plan: Plan) -> None:
    """Say what can be done with a broadcast that is handed over and not released yet."""
    times = [each for part in plan.parts for each in part.head.times]
    if plan.head.schedule.get("staged") and times:
        where = shlex.quote(str(plan.run_dir.path))
        click.echo(
            f"Nothing is released before {min(times, key=read_us)}. To check it: broadcaster verify {where}; what is "
            f"in doubt: broadcaster reconcile {where}; surplus copies: broadcaster cancel {where} --surplus; to call "
            f"it off: broadcaster cancel {where}",
            err=True,
        )


def _announce(plan: Plan, settings: Settings, **ended: Any) -> None:
    """Tell the job's address; what goes wrong with that is one line."""
    if (wrong := run_loop(announce(plan, url=settings.notify_url, environ=os.environ, **ended))) is not None:
        click.echo(f"Warning: {wrong}", err=True)


def tell(plan: Plan, conclusion: Conclusion, *, as_json: bool) -> ExitCode:
    """Print how a run ended: for people on stderr, for machines on stdout."""
    counts = conclusion.counts
    screen = console()
    screen.print(
        f"{counts.accepted:,} accepted · {counts.rejected:,} rejected · {counts.in_doubt:,} in doubt · "
        f"{counts.pending:,} pending · {counts.excluded:,} excluded"
    )
    if not plan.head.asked.sends_messages and counts.accepted:
        screen.print(_contacts_text(conclusion))
    why = conclusion.summary["why"]
    if why:
        click.echo(f"Stopped: {why}", err=True)
    earlier = conclusion.summary["batches"]["accepted_by_an_earlier_launch"]
    if earlier:
        screen.print(f"{earlier:,} batches had been sent by an earlier launch of this campaign; nobody got them twice.")
    for code, count in conclusion.summary["batches"]["refusals"].items():
        screen.print(f"  {count:,} requests refused: {code}")
    for path in (
        plan.run_dir.failed,
        plan.run_dir.excluded,
        plan.run_dir.suppress,
        plan.run_dir.manifest,
        plan.run_dir.report,
    ):
        if path.exists():
            screen.print(f"  {path}")
    _tell_what_next(plan, counts)
    if as_json:
        print_json(conclusion.summary)
    return conclusion.code


def _tell_what_next(plan: Plan, counts: Tally) -> None:
    """Name the commands that go on with what is not settled."""
    where = shlex.quote(str(plan.run_dir.path))
    if counts.pending or (counts.in_doubt and plan.head.asked.repeat is not Repeat.NEVER):
        tell_paused(plan.run_dir)
        click.echo(f"To go on: broadcaster resume {where}", err=True)
    if counts.in_doubt:
        click.echo(f"What is in doubt, and what to do about it: broadcaster resolve {where}", err=True)


def _contacts_text(conclusion: Conclusion) -> str:
    opted_out = conclusion.summary.get("opted_out")
    of_them = f", {opted_out:,} of them opted out" if opted_out else ""
    return f"{conclusion.counts.accepted:,} contacts are at Sent{of_them}; the manifest has their ids."


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def _preview(plan: Plan, limits: Limits, *, how: Callable[..., Preview] = preview, **more: Any) -> Preview:
    per_minute, source = limit_in_sight(limits, Mode(plan.head.mode), os.environ, state=plan.run_dir.simulator)
    messages_per_minute = limits.messages_per_minute
    return how(plan, requests_per_minute=per_minute, messages_per_minute=messages_per_minute, source=source, **more)


def _require_answer(*, yes: bool) -> None:
    """Refuse to begin what nobody can confirm."""
    if not yes and not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here (standard input is no terminal); add --yes to send without asking")


def _confirmed(plan: Plan, shown: Preview, *, yes: bool, fresh: bool) -> bool:
    """Ask whether to send; a run that has begun was confirmed before, but not what a *fresh* part adds to it."""
    begun = _was_started(plan)
    if yes or (begun and not fresh) or not has_work(plan):
        return True
    _require_answer(yes=yes)
    count = plan.parts[-1].head.recipients if begun else shown.recipients
    again = plan.parts[-1].head.is_retry
    creates = not plan.head.asked.sends_messages
    one, many, verb = ("contact", "contacts", "Create") if creates else ("person", "people", "Send to")
    people = f"{count:,} {'more ' if begun and not again else ''}{one if count == 1 else many}"
    people += " again" if again else ""
    where = {"live": "", "sandbox": " in Sent's sandbox", "simulated": " in the simulator"}[shown.mode]
    if count <= _TYPE_THE_COUNT or shown.mode != Mode.LIVE:
        return click.confirm(f"{verb} {people}{where}?", err=True)
    typed: str = click.prompt(
        f"Type the number of {'contacts' if creates else 'recipients'} to {verb.lower()} {people}", default="", err=True
    )
    return typed.replace(",", "").strip() == str(count)


def _warn_of_another_machine(plan: Plan) -> None:
    """Say that another machine worked on this run: its lock is not seen from here."""
    if not plan.run_dir.journal.exists():
        return
    with JournalReader(plan.run_dir.journal) as journal:
        last = journal.last_host()
    if last is not None and last != socket.gethostname():
        click.echo(
            f"This run was last worked on by {last}. Make sure that it does not go on there: within the idempotency "
            "window nobody would get it twice, beyond it they might",
            err=True,
        )


def _was_started(plan: Plan) -> bool:
    """Whether anything of the plan was ever claimed."""
    if not plan.run_dir.journal.exists():
        return False
    with JournalReader(plan.run_dir.journal) as journal:
        return journal.first_claim_us() is not None
