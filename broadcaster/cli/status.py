"""``broadcaster status``."""

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.core.control import Order


@click.command(name="status")
@options.run_dir_or_url(counts_shards=True)
@options.json_output
def command(path: Path, *, as_json: bool) -> ExitCode:
    """Say where a run stands, also while it is sending.

    \b
    Example:
      broadcaster status runs/spring-sale-2026
      broadcaster status s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.inspect import status
    from broadcaster.cli.screen import words_for_receipts
    from broadcaster.cli.telling import print_json, to_go_on
    from broadcaster.clock import wall_us
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    found = status(path)
    summary, counts = found.conclusion.summary, found.conclusion.counts
    if as_json:
        purged_at = found.purged.purged_at if found.purged else None
        print_json(
            {
                **summary,
                "holder": found.holder,
                "batches_in_doubt": found.in_doubt,
                "purged_at": purged_at,
                "paused": _words(found.control.paused),
                "rate": _words(found.control.rate),
            }
        )
        return ExitCode.DONE
    click.echo(f"campaign   {summary['campaign']} ({summary['mode']})")
    now_us, pause = wall_us(), found.control.paused
    state = "complete" if summary["complete"] else f"sending: {found.holder}" if found.holder else "not complete"
    if pause is not None:
        complete, held = "complete, " if summary["complete"] else "", f": {found.holder}" if found.holder else ""
        state = f"{complete}paused by {pause.who} since {pause.since(now_us=now_us)}{held}"
    click.echo(f"state      {state}{f', purged at {found.purged.purged_at}' if found.purged else ''}")
    if (rate := found.control.rate) is not None:
        click.echo(f"limit      {rate.per_minute:,} requests/min, by {rate.who} since {rate.since(now_us=now_us)}")
    click.echo(f"batches    {found.settled:,} of {found.batches:,} settled, {found.in_doubt:,} without an answer")
    for name in ("accepted", "rejected", "in_doubt", "pending", "excluded"):
        click.echo(f"{name.replace('_', ' '):<10} {getattr(counts, name):,}")
    if set(summary.get("receipts", ())) - {"none"}:
        click.echo(f"receipts   {words_for_receipts(summary['receipts'])}")
    if found.purged and not found.purged.done:
        click.echo(f"The purge was interrupted. To go on: broadcaster purge {shlex.quote(str(path))}", err=True)
    if found.damaged:
        click.echo(f"Warning: {found.damaged}", err=True)
    if pause is not None:
        click.echo(f"To end the pause: broadcaster go {shlex.quote(str(path))}", err=True)
    if not (summary["complete"] or found.holder or found.purged):
        click.echo(f"To go on: {to_go_on(Plan.open(RunDir(path)), counts)}", err=True)
    return ExitCode.DONE


def _words(order: "Order | None") -> dict[str, Any] | None:
    """Return an order for scripts."""
    if order is None:
        return None
    since = datetime.fromtimestamp(order.at_us / 1e6, tz=UTC).isoformat(timespec="seconds")
    rate = {} if order.per_minute is None else {"requests_per_minute": order.per_minute}
    return {**rate, "by": order.who, "since": since}
