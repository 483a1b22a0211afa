"""``broadcaster plan``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.app.prepare import Ask


@click.command(name="plan")
@options.JOB
@options.DELIMITER
@options.planning
def command(job_file: Path, *, delimiter: str | None, ask: "Ask", as_json: bool) -> ExitCode:
    """Freeze a job's plan and print it.

    Needs neither network nor key. Writes the manifest too: every row is pending or excluded, with the reason.

    \b
    Example:
      broadcaster plan jobs/spring_sale.toml --expect-recipients 58
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.freezing import plan_job
    from broadcaster.cli.options import flags_of
    from broadcaster.cli.screen import show_plan
    from broadcaster.cli.telling import print_json
    from broadcaster.job.load import load_job
    from broadcaster.phones import mask_in

    prepared, shown = plan_job(load_job(job_file, flags={"recipients.delimiter": delimiter}), ask)
    show_plan(shown, chosen=prepared.chosen, already_planned=prepared.already_planned)
    form = f" --delimiter {shlex.quote(delimiter)}" if delimiter else ""
    form += "".join(f" --only {shlex.quote(mask_in(each))}" for each in ask.only)
    where = f" --run-dir {shlex.quote(str(ask.run_dir))}" if ask.run_dir else ""
    click.echo(f"To send it: broadcaster run {shlex.quote(str(job_file))}{flags_of(ask.mode)}{form}{where}", err=True)
    if as_json:
        print_json(shown.to_dict())
    return ExitCode.DONE
