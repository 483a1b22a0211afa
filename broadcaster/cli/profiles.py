"""``run``, ``plan`` and ``resume`` for a job with several profiles: a run for each, side by side.

Theory of operation. The list is planned once for each profile, into ``RUN_DIR/NAME``: ordinary runs, of which each has
its rows, its keys, its journal and its limit. They are shown and agreed to together, and then each is gone on with by a
process of its own (:mod:`broadcaster.cli.beside`). What all of them left is put together at the end. Any of them can be
looked at, or gone on with, alone.
"""

import asyncio
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from broadcaster.app.conclude import conclude
from broadcaster.app.prepare import Ask, Prepared, locate, prepare, unplan
from broadcaster.cli.beside import Errand, gravest, side_by_side
from broadcaster.cli.confirming import agreed_to, require_answer
from broadcaster.cli.eachprofile import child_of, has_begun, join, tell_whole
from broadcaster.cli.freezing import preview_of
from broadcaster.cli.options import shared_at
from broadcaster.cli.screen import busy, show_plan
from broadcaster.cli.telling import print_json
from broadcaster.core.words import Mode
from broadcaster.errors import ConfigError, CountUnexpected, ExitCode, ListUnusable
from broadcaster.job.model import Job
from broadcaster.job.profiles import Sender, environment_of, job_of, senders_of
from broadcaster.job.settings import load_settings
from broadcaster.planning.left import has_work
from broadcaster.planning.preview import Preview
from broadcaster.planning.share import Share
from broadcaster.store.joint import planned_in, write_senders
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.chronicle import tell_planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What the flags say about sending; *flags* are those that are passed on as they are."""

    yes: bool
    as_json: bool
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The run of one profile, planned."""

    sender: Sender
    prepared: Prepared
    shown: Preview


def run_profiles(job: Job, ask: Ask, manner: Manner, *, dry_run: bool) -> ExitCode:
    """Plan *job* for each of its profiles (or go on with these plans), confirm, send; return how it ended."""
    run_dir, campaign = _locate(job, ask)
    senders = senders_of(job)
    if dry_run:
        with tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch:
            planned = _plan_all(job, replace(ask, extend=False), Path(scratch), campaign, senders)
            return _show(planned, where=run_dir.path, as_json=manner.as_json)
    if not all(child_of(run_dir.path, sender).is_planned for sender in senders):
        require_answer(yes=manner.yes)
    if ask.mode is not Mode.SIMULATED:
        for sender in senders:
            _environment(sender, senders, ask.mode)  # no key, no plan: better now than after the confirmation
    run_dir.create()
    with run_dir.locked():
        write_senders(run_dir.path, senders)
        planned = _plan_all(job, ask, run_dir.path, campaign, senders)
        _show(planned, where=run_dir.path, as_json=False)
        agreed = False
        try:
            agreed = _agreed(planned, yes=manner.yes)
        finally:
            if not agreed:
                _take_back(planned)
        if not agreed:
            click.echo("Nothing was sent.", err=True)
            return ExitCode.STOPPED
        return _send(run_dir.path, manner)


def plan_profiles(job: Job, ask: Ask, *, as_json: bool) -> ExitCode:
    """Freeze the plans of *job* for each of its profiles, and print them."""
    run_dir, campaign = _locate(job, ask)
    run_dir.create()
    with run_dir.locked():
        write_senders(run_dir.path, senders_of(job))
        planned = _plan_all(job, ask, run_dir.path, campaign, senders_of(job))
        for each in planned:
            conclude(each.prepared.plan)
        join(run_dir.path)
    return _show(planned, where=run_dir.path, as_json=as_json)


def resume_profiles(path: Path, manner: Manner, *, expect_recipients: int | None) -> ExitCode:
    """Go on with the runs in *path*; return how it ended."""
    run_dir = RunDir(path)
    with run_dir.locked():
        children = [child_of(path, each) for each in planned_in(path)]
        plans = [Plan.open(child) for child in children if child.is_planned]
        _require_count(sum(plan.recipients for plan in plans), expect_recipients)
        people = sum(plan.recipients for plan in plans)
        if not plans:
            (children[0] if children else run_dir).require_planned()
        if (
            people
            and not any(map(has_begun, plans))
            and not agreed_to(people, plan=plans[0], more=_for(len(plans)), yes=manner.yes)
        ):
            click.echo("Nothing was sent.", err=True)
            return ExitCode.STOPPED
        return _send(path, manner)


def _for(profiles: int) -> str:
    return f"for {profiles} {'profile' if profiles == 1 else 'profiles'}"


def _locate(job: Job, ask: Ask) -> tuple[RunDir, str]:
    if ask.shared is not None:
        raise ConfigError(
            "the runs of several profiles are kept on this machine: name a directory as --run-dir. Each of them can be "
            "sent on a cluster"
        )
    return locate(job, ask)


def _plan_all(job: Job, ask: Ask, path: Path, campaign: str, senders: Sequence[Sender]) -> list[Planned]:
    """Plan for each profile, or open what is planned; what was frozen here goes again when one of them is refused."""
    names = tuple(sender.name for sender in senders)
    found: list[Planned] = []
    try:
        for sender in senders:
            child = child_of(path, sender)
            own = replace(
                ask,
                run_dir=child.path,
                share=Share(name=sender.name, names=names),
                expect_recipients=None,
                extend=ask.extend and child.is_planned,
            )
            child.create()
            with child.locked(), busy(f"planning for {sender.name} …"):
                mine = job_of(job, sender)
                prepared = prepare(mine, own, run_dir=child, campaign=campaign, profile=sender.id)
                shown = preview_of(prepared.plan, mine.limits, canary_wait_s=mine.safety.canary_wait)
            found.append(Planned(sender=sender, prepared=prepared, shown=shown))
        _check_all(job, ask, found)
    except BaseException:
        _take_back(found)
        raise
    for each in found:
        if each.prepared.fresh:
            tell_planned(each.prepared.plan)
    return found


def _check_all(job: Job, ask: Ask, planned: Sequence[Planned]) -> None:
    """Hold what the job allows, and what somebody expects, against all of them together."""
    people = sum(each.prepared.plan.recipients for each in planned)
    messages = sum(each.prepared.plan.deliveries for each in planned)
    if not people:
        column = job.profile_column
        raise ListUnusable(f"nobody on the list can be messaged for any profile; check the column {column!r}")
    _require_count(people, ask.expect_recipients)
    most, limits = job.limits.max_messages, job.limits
    if most and messages > most:
        raise CountUnexpected(
            f"for all profiles together the plan has {messages:,} messages, and limits.max_messages allows {most:,}; "
            "nothing was sent"
        )
    cost = messages * (limits.price_per_message or 0.0)
    if limits.max_cost is not None and cost > limits.max_cost:
        raise CountUnexpected(
            f"for all profiles together the plan costs {cost:,.2f}, and limits.max_cost allows {limits.max_cost:,.2f}; "
            "nothing was sent"
        )


def _require_count(people: int, expected: int | None) -> None:
    if expected is not None and people != expected:
        raise CountUnexpected(f"the plans have {people} recipients together, not {expected}; nothing was sent")


def _take_back(planned: Sequence[Planned]) -> None:
    for each in planned:
        if each.prepared.fresh:
            unplan(each.prepared.plan)


def _agreed(planned: Sequence[Planned], *, yes: bool) -> bool:
    asked = [each for each in planned if each.prepared.fresh or not has_begun(each.prepared.plan)]
    people = sum(each.prepared.plan.parts[-1].head.recipients for each in asked)
    if not people:
        return True
    return agreed_to(people, plan=asked[0].prepared.plan, more=_for(len(asked)), yes=yes)


def _show(planned: Sequence[Planned], *, where: Path, as_json: bool) -> ExitCode:
    shown = {each.sender.name: replace(each.shown, run_dir=str(where / each.sender.name)) for each in planned}
    for each in planned:
        click.echo(f"── {each.sender.name} ──", err=True)
        if not each.prepared.plan.rows:
            click.echo("no row of the list names it", err=True)
            continue
        if not each.shown.recipients:
            reasons = ", ".join(
                f"{count:,} {reason.replace('_', ' ')}" for reason, count in each.prepared.plan.excluded.items()
            )
            click.echo(f"nobody: of {each.prepared.plan.rows:,} rows {reasons}", err=True)
            continue
        show_plan(shown[each.sender.name], chosen=each.prepared.chosen, already_planned=each.prepared.already_planned)
    if as_json:
        print_json({"profiles": {name: each.to_dict() for name, each in shown.items()}})
    return ExitCode.DONE


def _send(path: Path, manner: Manner) -> ExitCode:
    """Go on with all runs in *path* that have something left, side by side; the caller holds the lock of *path*."""
    senders = planned_in(path)
    errands = []
    for sender in senders:
        child = child_of(path, sender)
        if child.purged.exists():
            continue
        plan = Plan.open(child)
        if shared_at(child.path) is None and not has_work(plan):
            with child.locked():
                conclude(plan)
            continue
        words = ("resume", str(child.path), "--yes", "--beside", *manner.flags)
        errands.append(
            Errand(
                name=sender.name,
                words=words,
                environ=_environment(sender, senders, plan.head.mode),
            )
        )
    if not errands:
        click.echo("Everything in these runs is settled; nothing was sent.", err=True)
    codes = asyncio.run(side_by_side(errands))
    whole = join(path)
    tell_whole(path, whole)
    if not whole["complete"]:
        click.echo(f"To go on: broadcaster resume {shlex.quote(str(path))}", err=True)
    if manner.as_json:
        print_json(whole)
    sent = {errand.name for errand in errands}
    settled = [summary["exit_code"] for name, summary in whole["profiles"].items() if name not in sent]
    return gravest([*codes, *settled])


def _environment(sender: Sender, senders: Sequence[Sender], mode: Mode | str) -> dict[str, str]:
    """Return the environment in which a profile's run goes on.

    Raises:
        ConfigError: it has no usable key, and needs one.
    """
    live = mode != Mode.SIMULATED
    environ = environment_of(sender, senders, os.environ, needs_key=live)
    if live:
        try:
            load_settings(environ)
        except ConfigError as error:
            raise ConfigError(f"profile {sender.name}: {error.sentence}") from error
    return environ
