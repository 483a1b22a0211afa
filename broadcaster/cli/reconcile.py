"""``broadcaster reconcile``."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ConfigError, ExitCode, RunLocked

if TYPE_CHECKING:
    from broadcaster.app.conclude import Conclusion
    from broadcaster.app.parts import Access
    from broadcaster.app.reconcile import Outlook, Reconciled
    from broadcaster.store.plan import Plan
    from broadcaster.tracking.polling import Polled


@click.command(name="reconcile")
@options.RUN_DIR
@click.option("--no-poll", is_flag=True, help="Only look deliveries in doubt up, not what became of the accepted ones.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Ask what became of them with N look-ups at most."
)
@options.json_output
def command(path: Path, *, no_poll: bool, limit: int | None, as_json: bool) -> ExitCode:
    """Ask the API about deliveries in doubt, and what became of the accepted ones.

    What is in doubt: reads the account's list of messages back to the oldest doubt. What is found counts as accepted,
    with its message id; what is not found stays in doubt, because a message that cannot be seen may still have been
    sent: 'broadcaster resolve' decides about it. Nobody else may work on the run meanwhile.

    What became of the accepted ones: asks for every message that may still change, those not asked for the longest
    first, at the account's limit, which sending shares. May be stopped with Ctrl-C, limited with --limit and gone on
    with at any time, also while the run sends. Where webhooks can be received, 'broadcaster serve' hears the same
    sooner and without any request.

    \b
    Example:
      broadcaster reconcile runs/spring-sale-2026
      broadcaster reconcile runs/spring-sale-2026 --limit 500
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.parts import access
    from broadcaster.cli.screen import words_for_receipts
    from broadcaster.cli.telling import print_json, tell
    from broadcaster.core.words import Mode
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    plan = Plan.open(run_dir)
    _require_look_ups(plan, path)
    with access(Mode(plan.head.mode), os.environ, state=run_dir.simulator) as to:
        try:
            with run_dir.locked():
                _tell_doubts(_settle(plan, to), path)
        except RunLocked as error:
            if no_poll:
                raise
            click.echo(f"What is in doubt waits: {error.sentence}.", err=True)
        polled = None if no_poll else _ask_after(plan, to, limit)
    if polled is not None:
        _tell_polled(polled, path)
    concluded = _conclude(plan)
    if concluded is None:
        click.echo("The manifest has it when that process has ended.", err=True)
        if as_json:
            print_json({"look_ups": _as_json(polled)})
    else:
        if set(concluded.summary["receipts"]) - {"none"}:
            click.echo(words_for_receipts(concluded.summary["receipts"]), err=True)
        tell(plan, concluded, as_json=False)
        if as_json:
            print_json({**concluded.summary, "look_ups": _as_json(polled)})
    if polled is not None and polled.because is not None:
        raise polled.because
    return ExitCode.DONE if concluded is None else concluded.code


def _settle(plan: "Plan", to: "Access") -> "Reconciled":
    from broadcaster.app.parts import run_loop
    from broadcaster.app.reconcile import settle
    from broadcaster.cli.screen import busy
    from broadcaster.store.audit import require_frozen

    with busy("looking at the account's messages …"):
        return run_loop(settle(require_frozen(plan), to=to, observe=lambda _event: None, progress=lambda _looked: None))


def _ask_after(plan: "Plan", to: "Access", limit: int | None) -> "Polled":
    from broadcaster.app.parts import run_loop
    from broadcaster.app.reconcile import ask_after
    from broadcaster.cli.going import going

    with going("asking what became of them …", _line) as progress:
        return run_loop(
            ask_after(plan, to=to, limit=limit, observe=lambda _event: None, begin=_begin, progress=progress)
        )


def _conclude(plan: "Plan") -> "Conclusion | None":
    """Bring the run's files up to date; ``None`` while somebody else works on them."""
    from broadcaster.app.conclude import conclude

    try:
        with plan.run_dir.locked():
            return conclude(plan)
    except RunLocked:
        return None


def _begin(outlook: "Outlook") -> None:
    from broadcaster.cli.screen import duration

    at = f" at {outlook.per_minute:,} requests a minute" if outlook.per_minute else ""
    click.echo(
        f"{outlook.open:,} accepted deliveries may still change: at most {outlook.requests:,} look-ups, "
        f"{duration(outlook.seconds)}{at}; fewer where the account's list shows many at once. They count against the "
        "limit that sending needs.",
        err=True,
    )
    if outlook.beside is not None:
        click.echo(
            f"The run is being sent by {outlook.beside} at the same time: both will be slowed down when the limit is "
            "reached, so that --limit is advisable.",
            err=True,
        )


def _line(so_far: "Polled") -> str:
    return f"{so_far.asked:,} look-ups · {so_far.told:,} told · {so_far.left:,} to go"


def _tell_doubts(done: "Reconciled", path: Path) -> None:
    found = done.found
    in_doubt = len(found.evidence) + len(found.not_found) + len(found.too_early)
    if not in_doubt:
        click.echo("Nothing is in doubt.", err=True)
    else:
        click.echo(f"{len(found.evidence):,} of {in_doubt:,} deliveries in doubt were found at the API.", err=True)
    if found.too_early:
        click.echo(f"{len(found.too_early):,} are too young to be missed: look again in a minute.", err=True)
    if found.not_found:
        click.echo(
            f"{len(found.not_found):,} were not found, which does not prove that they were not sent. To decide: "
            f"broadcaster resolve {shlex.quote(str(path))}",
            err=True,
        )
    if found.surplus:
        click.echo(
            f"{len(found.surplus):,} more messages fit that no journal here explains: somebody may have been "
            "messaged twice, or messaged from elsewhere with the same template",
            err=True,
        )
    for other in done.unread:
        click.echo(f"The journal in {other} could not be read: its messages may have been taken for these.", err=True)


def _require_look_ups(plan: "Plan", path: Path) -> None:
    """Refuse a run that the API shows nothing of."""
    if not plan.head.asked.sends_messages:
        raise ConfigError(
            f"{path} created contacts: no message is in doubt or on its way; 'broadcaster resume' goes on"
        )
    if not plan.head.asked.gives_ids:
        raise ConfigError(
            f'{path} was sent with version "v1" of the API, which shows no messages and names none: nothing can be '
            f"asked. 'broadcaster resolve {path}' decides about what is in doubt"
        )


def _tell_polled(polled: "Polled", path: Path) -> None:
    if not polled.asked:
        if polled.because is None:
            click.echo("No accepted delivery may still change; nothing was asked.", err=True)
        return
    click.echo(
        f"{polled.asked:,} look-ups told of {polled.told:,} messages; {polled.learned:,} receipts are new.", err=True
    )
    if polled.unknown:
        click.echo(
            f"{polled.unknown:,} are not known to the API, or not yet: right after sending that is usual.", err=True
        )
    if polled.unreadable:
        click.echo(f"{polled.unreadable:,} answers could not be read; those messages stay as they were.", err=True)
    if polled.left:
        where = shlex.quote(str(path))
        click.echo(f"{polled.left:,} were not asked for. To go on: broadcaster reconcile {where}", err=True)


def _as_json(polled: "Polled | None") -> dict[str, object] | None:
    if polled is None:
        return None
    names = ("asked", "told", "learned", "unknown", "unreadable", "left")
    counts: dict[str, object] = {name: getattr(polled, name) for name in names}
    return {**counts, "ended_by": polled.because.code if polled.because else None}
