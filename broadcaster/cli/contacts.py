"""``broadcaster contacts``: what is there at Sent already."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from broadcaster.app.contacts import Progress
    from broadcaster.engine.ports import Event

_EVERY_PAGES = 100  # a line where no terminal is watching


@click.group(name="contacts", no_args_is_help=True)
def command() -> None:
    """The account's contacts; a job with kind = "contacts" creates them.

    \b
    Example:
      broadcaster contacts export --out contacts.csv
    """  # noqa: D301 - \b is click's mark for "do not wrap"


@command.command(name="export")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("contacts.parquet"),
    show_default=True,
    help="The file to write; .parquet or .csv decides what it is.",
)
@click.option("--opted-out", is_flag=True, help="Only those who have opted out: a suppression list.")
@click.option("--rate", type=click.IntRange(min=1), metavar="N", help="Requests a minute (200); 100 contacts each.")
@click.option(
    "--simulated",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="RUN_DIR",
    help="Ask the simulator of this run instead of Sent: no account needed.",
)
@options.json_output
def export(*, out: Path, opted_out: bool, rate: int | None, simulated: Path | None, as_json: bool) -> ExitCode:
    """Write all contacts of the account into one file, at the account's limit.

    Columns: contact_id, phone (E.164), country_code, region_code, available_channels (with commas between),
    default_channel, opt_out, created_at, updated_at. The file can be the list of a job (phone, opt_out), and one of its
    suppression lists: of such a file those count who have opted out. It is replaced when everything was read; when the
    export is stopped it is as it was, and has to be started again.

    \b
    Example:
      broadcaster contacts export --out contacts.csv
      broadcaster contacts export --opted-out --out opted_out.parquet
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.contacts import export as export_contacts
    from broadcaster.app.contacts import require_known_ending
    from broadcaster.app.parts import access, run_loop
    from broadcaster.cli.telling import print_json
    from broadcaster.core.words import Mode
    from broadcaster.store.rundir import RunDir

    require_known_ending(out)
    mode, state = Mode.LIVE, None
    if simulated is not None:
        mode, state = Mode.SIMULATED, RunDir(simulated).simulator
        if not state.exists():
            raise ConfigError(f"--simulated {simulated}: no simulated run is there")
    teller = _Teller()
    with access(mode, os.environ, state=state) as to:
        done = run_loop(
            export_contacts(
                to,
                path=out,
                only_opted_out=opted_out,
                requests_per_minute=rate,
                observe=teller.heard,
                progress=teller,
            )
        )
    click.echo(f"{done.written:,} contacts written; {done.opted_out:,} of the account's have opted out.", err=True)
    if done.missing:
        click.echo(
            f"Warning: the API counts {done.missing:,} more than it showed: the account changed while it was read. "
            "Export again when nothing is being created or deleted",
            err=True,
        )
    click.echo(f"  {out}", err=True)
    if as_json:
        counts = {"written": done.written, "opted_out": done.opted_out, "missing": done.missing}
        print_json({"file": str(out), **counts})
    return ExitCode.DONE


class _Teller:
    """Says how far an export has come, on one line of a terminal or now and then elsewhere."""

    def __init__(self) -> None:
        from broadcaster.cli.screen import console

        self._console = console()
        self._pages = 0

    def __call__(self, progress: "Progress") -> None:
        from broadcaster.cli.screen import duration

        self._pages += 1
        of = f" of {progress.total:,}" if progress.total is not None else ""
        left = f", {duration(progress.left_s)} left" if progress.left_s >= 1 else ""
        told = f"{progress.seen:,}{of} contacts read{left}"
        if self._console.is_terminal:
            self._console.print(f"\r\x1b[K{told}", end="" if left else "\n", markup=False)
        elif not self._pages % _EVERY_PAGES:
            click.echo(told, err=True)

    def heard(self, event: "Event") -> None:
        """Hear of waits."""
        from broadcaster.engine.ports import Waiting

        if isinstance(event, Waiting):
            click.echo(f"waiting: {event.sentence}", err=True)
