"""``broadcaster reconcile``."""

import os
import shlex
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="reconcile")
@options.RUN_DIR
@options.json_output
def command(path: Path, *, as_json: bool) -> ExitCode:
    """Look deliveries in doubt up at the API, and write down what is found.

    Reads the account's list of messages back to the oldest doubt. What is found counts as accepted, with its message
    id; what is not found stays in doubt, because a message that cannot be seen may still have been sent: 'broadcaster
    resolve' decides about it.

    \b
    Example:
      broadcaster reconcile runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.parts import access, run_loop
    from broadcaster.app.reconcile import reconcile
    from broadcaster.cli.running import tell
    from broadcaster.cli.screen import busy
    from broadcaster.core.words import Mode
    from broadcaster.store.audit import require_frozen
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    with run_dir.locked():
        plan = require_frozen(Plan.open(run_dir))
        with (
            access(Mode(plan.head.mode), os.environ, state=run_dir.simulator) as to,
            busy("looking at the account's messages …"),
        ):
            done = run_loop(reconcile(plan, to=to, observe=lambda _event: None, progress=lambda _looked: None))
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
            click.echo(
                f"The journal in {other} could not be read: its messages may have been taken for these.", err=True
            )
        return tell(plan, done.conclusion, as_json=as_json)
