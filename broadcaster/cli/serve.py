"""``broadcaster serve``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.core.words import Steering
    from broadcaster.tracking.server import Counts


class _Seconds(click.ParamType[float]):
    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from broadcaster.job.fields import seconds

        if isinstance(value, float):
            return value
        found = seconds(str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration such as 300s, 10m or 24h", param, ctx)
        return found


@click.command(name="serve")
@click.argument("directories", metavar="[RUN_DIR…|RUNS_DIR]", nargs=-1, type=options.LocalRun(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option(
    "--tolerance",
    default="300s",
    show_default=True,
    type=_Seconds(),
    help="How old a webhook's signature may be. Wider where retries come with their first timestamp.",
)
@click.option("--dashboard-only", is_flag=True, help="Show the runs, and receive no webhooks: no secret is needed.")
def command(directories: tuple[Path, ...], host: str, port: int, tolerance: float, *, dashboard_only: bool) -> ExitCode:
    """Receive delivery receipts as webhooks, and show the runs in a browser, until Ctrl-C.

    Sent posts them to /webhooks/sent; each is checked against the signing secret in SENT_WEBHOOK_SECRET (or the file
    named by SENT_WEBHOOK_SECRET_FILE; two while a secret is rotated), and acknowledged when it is on disk. Receipts of
    one run go into its directory, those of several into the one above them (runs). They may come before, during and
    after the run, in any order and twice.

    Sent must be able to reach the address: put a reverse proxy with https, or a tunnel, in front of it.

    The dashboard at / shows every run live, and pauses it. It is open to this machine only. With another --host, or
    with BROADCASTER_DASHBOARD_TOKEN set, it asks everybody for that token; where none is set, one is made and printed.

    \b
    Example:
      broadcaster serve runs --port 8080
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.control import steer
    from broadcaster.app.parts import run_loop
    from broadcaster.app.serve import Ask, Serving, place, serve
    from broadcaster.cli.who import who
    from broadcaster.clock import wall_us
    from broadcaster.core.control import Order
    from broadcaster.tracking.access import VARIABLE, token_for
    from broadcaster.tracking.server import PATH
    from broadcaster.tracking.signature import webhook_secrets

    # First: nothing is made on disk when one of them is missing.
    secrets = () if dashboard_only else webhook_secrets(os.environ)
    token = token_for(host, os.environ)

    def press(path: Path, what: "Steering") -> None:
        """Do what a button asks for."""
        steer(path, Order(what=what, who=f"{who()} by dashboard", at_us=wall_us()))

    ask = Ask(
        receipts=None if dashboard_only else place(directories),
        secrets=secrets,
        steer=press,
        directories=directories,
        token=token,
        host=host,
        port=port,
        tolerance_s=tolerance,
    )

    def announce(serving: Serving) -> None:
        if serving.receipts is not None:
            click.echo(f"Listening for webhooks on {serving.url}{PATH}; receipts go to {serving.receipts}")
        shown = f"/?token={token.secret.reveal()}" if token is not None and token.made else "/"
        click.echo(f"Dashboard: {serving.url}{shown}")
        if token is not None and not token.made:
            click.echo(f"It asks for the token in {VARIABLE}")

    counts = run_loop(serve(ask, announce=announce, tell=lambda now: click.echo(describe(now), err=True)))
    click.echo("Stopped." if dashboard_only else f"Stopped. {describe(counts)}", err=True)
    return ExitCode.DONE


def describe(counts: "Counts") -> str:
    """Return what arrived since the start as one line."""
    parts = [f"{counts.new:,} receipts kept"]
    if counts.repeated:
        parts.append(f"{counts.repeated:,} were repeated")
    if counts.ignored:
        parts.append(f"{counts.ignored:,} events were about something else")
    if counts.unkept:
        parts.append(f"{counts.unkept:,} could not be kept, Sent repeats them ({counts.trouble})")
    for reason, times in sorted(counts.refused.items()):
        parts.append(f"{times:,} refused ({reason})")
    return "; ".join(parts)
