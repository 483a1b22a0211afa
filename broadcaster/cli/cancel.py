"""``broadcaster cancel``."""

import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ConfigError, ExitCode, RunLocked

if TYPE_CHECKING:
    from broadcaster.app.cancel import Outlook
    from broadcaster.store.plan import Plan
    from broadcaster.tracking.cancel import Cancelled

_TYPE_THE_COUNT = 10_000  # messages above which "y" is too easily said


@click.command(name="cancel")
@options.RUN_DIR
@click.option("--yes", "-y", is_flag=True, help="Do not ask before cancelling.")
@click.option(
    "--surplus", is_flag=True, help="Only held copies that no journal here explains, to people who have a message."
)
@options.json_output
def command(path: Path, *, surplus: bool, yes: bool, as_json: bool) -> ExitCode:
    """Cancel messages that the API still holds: those with a send time ahead, or held for quiet hours.

    One request for each, at the account's limit, the nearest release first; it may be stopped with Ctrl-C and gone on
    with at any time. Whoever is cancelled is not messaged by this campaign any more. A run that is still being sent
    has to be stopped first.

    With --surplus the run itself stays as it is: the account's list of messages is read back to its beginning, and held
    messages to its people, with its template and of its time, that neither it nor another run of this user explains are
    cancelled. That is how a staged broadcast is put right before any phone rings.

    Ends with 0 when everything that was held is cancelled, with 3 when something was too late or was refused.

    \b
    Example:
      broadcaster cancel runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.cancel import look
    from broadcaster.app.parts import limit_in_sight
    from broadcaster.cli.telling import print_json
    from broadcaster.core.words import Mode
    from broadcaster.job.model import Limits
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    run_dir.require_planned()
    try:
        with run_dir.locked():
            plan = Plan.open(run_dir)
            limits = Limits.model_validate(plan.head.limits)
            per_minute, _ = limit_in_sight(limits, Mode(plan.head.mode), os.environ, state=run_dir.simulator)
            if surplus:
                outlook = _surplus(plan)
            else:
                outlook = look(plan, per_minute=per_minute)
                _tell_outlook(outlook, path)
            if outlook.held and not (yes or _confirmed(len(outlook.held), live=plan.head.mode == Mode.LIVE)):
                click.echo("Nothing was cancelled.", err=True)
                return ExitCode.STOPPED
            done = _cancel(plan, outlook)
    except RunLocked as error:
        raise RunLocked(f"{error.sentence}. Stop it first: what it hands over later could not be cancelled") from None
    _tell(done, outlook, path)
    if as_json:
        print_json(_as_json(done, outlook))
    if done.because is not None:
        raise done.because
    return ExitCode.SOME_REJECTED if done.too_late or done.failed else ExitCode.DONE


def _tell_outlook(outlook: "Outlook", path: Path) -> None:
    from broadcaster.cli.screen import duration

    if outlook.released:
        click.echo(f"The send time of {outlook.released:,} messages has passed: they are not held any more.", err=True)
    if not outlook.held:
        click.echo("The API holds no message of this run; there is nothing to cancel.", err=True)
    else:
        at = f" at {outlook.per_minute:,} requests a minute" if outlook.per_minute else ""
        first = "" if outlook.first_us is None else f", the first is released {_shown(outlook.first_us)}"
        click.echo(f"{len(outlook.held):,} messages are held{first}.", err=True)
        click.echo(
            f"{outlook.reachable:,} of them can be reached before their release: one request each, "
            f"{duration(outlook.seconds)} for all{at}, the nearest release first.",
            err=True,
        )
    where = shlex.quote(str(path))
    if outlook.pending:
        click.echo(f"{outlook.pending:,} deliveries were never handed over: 'broadcaster resume' would.", err=True)
    if outlook.in_doubt:
        click.echo(
            f"{outlook.in_doubt:,} deliveries are in doubt and may be held as well: "
            f"'broadcaster resume {where}' or 'reconcile' finds their ids, then cancel again.",
            err=True,
        )


def _confirmed(count: int, *, live: bool) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody can be asked here (standard input is no terminal); add --yes to cancel without asking"
        )
    if count <= _TYPE_THE_COUNT or not live:
        return click.confirm(f"Cancel {count:,} messages for good?", err=True)
    typed: str = click.prompt("Type the number of messages to cancel them for good", default="", err=True)
    return typed.replace(",", "").strip() == str(count)


def _surplus(plan: "Plan") -> "Outlook":
    from broadcaster.app.cancel import find_surplus
    from broadcaster.app.parts import access, run_loop
    from broadcaster.cli.screen import busy
    from broadcaster.core.words import Mode

    if not plan.run_dir.journal.exists():
        raise ConfigError(f"nothing of {plan.run_dir.path} was ever sent: there is nothing to cancel")
    with (
        access(Mode(plan.head.mode), os.environ, state=plan.run_dir.simulator) as to,
        busy("looking at the account's messages …"),
    ):
        found, unread = run_loop(find_surplus(plan, to=to, observe=lambda _event: None))
    count = len(found.held)
    click.echo(
        f"{count:,} held messages are surplus copies." if count else "No held message is a surplus copy.", err=True
    )
    for other in unread:
        click.echo(f"The journal in {other} could not be read: its messages may have been taken for copies.", err=True)
    return found


def _cancel(plan: "Plan", outlook: "Outlook") -> "Cancelled":
    from broadcaster.app.cancel import cancel
    from broadcaster.app.conclude import conclude
    from broadcaster.app.parts import access, run_loop
    from broadcaster.cli.going import going
    from broadcaster.core.words import Mode
    from broadcaster.tracking.cancel import Cancelled

    if not outlook.held:
        return Cancelled()
    with (
        access(Mode(plan.head.mode), os.environ, state=plan.run_dir.simulator) as to,
        going("cancelling …", _line) as progress,
    ):
        done = run_loop(cancel(plan, outlook, to=to, observe=lambda _event: None, progress=progress))
    conclude(plan)
    return done


def _line(so_far: "Cancelled") -> str:
    return f"{so_far.cancelled:,} cancelled · {so_far.too_late:,} too late · {so_far.left:,} to go"


def _tell(done: "Cancelled", outlook: "Outlook", path: Path) -> None:
    if not outlook.held:
        return
    click.echo(f"{done.cancelled:,} cancelled · {done.too_late:,} too late · {done.failed:,} failed", err=True)
    if done.too_late:
        click.echo(f"{done.too_late:,} were released before they could be cancelled: they go out.", err=True)
    if done.failed:
        click.echo(f"{done.failed:,} are not known to the API, or it refuses to cancel them.", err=True)
    if done.left:
        click.echo(f"{done.left:,} were not asked for. To go on: broadcaster cancel {shlex.quote(str(path))}", err=True)


def _as_json(done: "Cancelled", outlook: "Outlook") -> dict[str, object]:
    return {
        "held": len(outlook.held),
        "reachable": outlook.reachable,
        "released": outlook.released,
        "cancelled": done.cancelled,
        "too_late": done.too_late,
        "failed": done.failed,
        "left": done.left,
        "pending": outlook.pending,
        "in_doubt": outlook.in_doubt,
        "ended_by": done.because.code if done.because else None,
    }


def _shown(moment_us: int) -> str:
    return f"{datetime.fromtimestamp(moment_us / 1e6, tz=UTC):%Y-%m-%d %H:%M} UTC"
