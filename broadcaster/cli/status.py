"""``broadcaster status``."""

import shlex
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="status")
@options.RUN_DIR
@options.json_output
def command(path: Path, *, as_json: bool) -> ExitCode:
    """Say where a run stands, also while it is sending.

    \b
    Example:
      broadcaster status runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.inspect import status
    from broadcaster.cli.running import print_json

    found = status(path)
    summary, counts = found.conclusion.summary, found.conclusion.counts
    if as_json:
        purged_at = found.purged.purged_at if found.purged else None
        print_json({**summary, "holder": found.holder, "batches_in_doubt": found.in_doubt, "purged_at": purged_at})
        return ExitCode.DONE
    click.echo(f"campaign   {summary['campaign']} ({summary['mode']})")
    state = "complete" if summary["complete"] else f"sending: {found.holder}" if found.holder else "not complete"
    click.echo(f"state      {state}{f', purged at {found.purged.purged_at}' if found.purged else ''}")
    click.echo(f"batches    {found.settled:,} of {found.batches:,} settled, {found.in_doubt:,} without an answer")
    for name in ("accepted", "rejected", "in_doubt", "pending", "excluded"):
        click.echo(f"{name.replace('_', ' '):<10} {getattr(counts, name):,}")
    if found.purged and not found.purged.done:
        click.echo(f"The purge was interrupted. To go on: broadcaster purge {shlex.quote(str(path))}", err=True)
    if not summary["complete"] and not found.holder:
        click.echo(f"To go on: broadcaster resume {shlex.quote(str(path))}", err=True)
    return ExitCode.DONE
