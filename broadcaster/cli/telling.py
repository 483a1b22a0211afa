"""How a run ended: for people on stderr, for machines on stdout; and what people must know before it goes on.

It prints, and decides nothing: what a conclusion means was decided before.
"""

import json
import shlex
import socket
from collections.abc import Mapping
from typing import Any

import click

from broadcaster.app.conclude import Conclusion
from broadcaster.cli.screen import console
from broadcaster.cli.steering import tell_paused
from broadcaster.clock import wall_us
from broadcaster.core.values import Tally
from broadcaster.core.words import Repeat
from broadcaster.core.zones import read_us
from broadcaster.errors import ExitCode, ScheduleStale
from broadcaster.planning.timing import timetable
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan


def tell(plan: Plan, conclusion: Conclusion, *, as_json: bool, cluster: str | None = None) -> ExitCode:
    """Print how a run ended: for people on stderr, for machines on stdout; *cluster* is what it was sent on."""
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
    too_late = conclusion.summary["stopped_by"] == ScheduleStale.code
    _tell_what_next(plan, counts, too_late=too_late, cluster=cluster)
    if as_json:
        print_json(conclusion.summary)
    return conclusion.code


def _tell_what_next(plan: Plan, counts: Tally, *, too_late: bool, cluster: str | None) -> None:
    """Name the commands that go on with what is not settled."""
    where = shlex.quote(str(plan.run_dir.path))
    if counts.pending or (counts.in_doubt and plan.head.asked.repeat is not Repeat.NEVER):
        tell_paused(plan.run_dir)
        click.echo(f"To go on: {to_go_on(plan, counts, too_late=too_late, cluster=cluster)}", err=True)
    if counts.in_doubt and not cluster:
        click.echo(f"What is in doubt, and what to do about it: broadcaster resolve {where}", err=True)


def to_go_on(plan: Plan, counts: Tally, *, too_late: bool = False, cluster: str | None = None) -> str:
    """Return what goes on with a run: ``resume``, unless that would refuse because it is *too_late* for the plan."""
    if not too_late and not timetable(plan.head.schedule).is_stale(wall_us()):
        on = f" --cluster {shlex.quote(cluster)}" if cluster else ""
        return f"broadcaster resume {shlex.quote(str(plan.run_dir.path))}{on}"
    left = (
        f", and name {shlex.quote(str(plan.run_dir.manifest))} in its recipients.suppress, so that only those who are "
        "left get it"
        if counts.accepted or counts.in_doubt
        else ""
    )
    return (
        "if it may still go out, give the job a later schedule.not_after and run it again ('broadcaster resume' keeps "
        f"to the old one). Or give it another campaign name{left}"
    )


def _contacts_text(conclusion: Conclusion) -> str:
    opted_out = conclusion.summary.get("opted_out")
    of_them = f", {opted_out:,} of them opted out" if opted_out else ""
    return f"{conclusion.counts.accepted:,} contacts are at Sent{of_them}; the manifest has their ids."


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False))


def tell_staged(plan: Plan) -> None:
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


def tell_earlier(campaign: str, *, today: str) -> None:
    """Say that a run goes on with an earlier date of its job, so that *today*'s campaign is not launched yet."""
    if campaign != today:
        click.echo(
            f"{campaign} is not finished: this goes on with it. Launch again for {today}, or with --new-date to begin "
            "it first",
            err=True,
        )


def warn_of_another_machine(plan: Plan) -> None:
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
