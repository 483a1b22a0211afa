"""``broadcaster purge``."""

import sys
from dataclasses import asdict
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ConfigError, ExitCode


@click.command(name="purge")
@options.RUN_DIR
@click.option("--yes", "-y", is_flag=True, help="Do not ask before removing.")
@options.json_output
def command(path: Path, *, yes: bool, as_json: bool) -> ExitCode:
    """Remove the personal data of a finished run; keep the counts.

    Numbers, ids, texts, parameters, keys, answers and lists go, for good; 'status' still prints the counts, and the
    manifest still has a row for each delivery, with its status, reason and message id. The campaign cannot be sent
    again. Copies elsewhere, the list itself and what Sent keeps are not touched.

    \b
    Example:
      broadcaster purge runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.purge import check_finished, purge
    from broadcaster.cli.telling import print_json
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    if not run_dir.purged.exists():
        run_dir.require_planned()
    with run_dir.locked():
        if not run_dir.purged.exists():
            plan = Plan.open(run_dir)
            check_finished(plan)
            if not yes and not sys.stdin.isatty():
                raise ConfigError("nobody can be asked here (standard input is no terminal); add --yes to purge")
            if not yes and not click.confirm(f"Remove the personal data of {plan.rows:,} rows for good?", err=True):
                click.echo("Nothing was removed.", err=True)
                return ExitCode.STOPPED
        purged = purge(run_dir)
    counts = purged.record.counts
    click.echo(
        f"{path} is purged: {counts.total:,} manifest rows are counted and nobody is named any more. "
        f"Campaign {purged.record.campaign!r} cannot be sent again.",
        err=True,
    )
    if purged.left:
        click.echo(f"Not written by a run, and left as it is: {', '.join(purged.left)}", err=True)
    if as_json:
        print_json({**asdict(purged.record), "left": list(purged.left)})
    return ExitCode.DONE
