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

    Needs neither network nor key. Writes the manifest too: every row is pending or excluded, with the reason. With an
    address as --run-dir the plan is put where several machines can send it, each with run-shard.

    \b
    Example:
      broadcaster plan jobs/spring_sale.toml --expect-recipients 58
      broadcaster plan jobs/spring_sale.toml --run-dir s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.freezing import plan_job
    from broadcaster.cli.options import flags_of
    from broadcaster.cli.screen import show_plan
    from broadcaster.cli.telling import print_json
    from broadcaster.job.load import load_job
    from broadcaster.phones import mask_in

    job = load_job(job_file, flags={"recipients.delimiter": delimiter})
    form = f" --delimiter {shlex.quote(delimiter)}" if delimiter else ""
    form += "".join(f" --only {shlex.quote(mask_in(each))}" for each in ask.only)
    where = f" --run-dir {shlex.quote(str(ask.run_dir))}" if ask.run_dir else ""
    to_send = f"To send it: broadcaster run {shlex.quote(str(job_file))}{flags_of(ask.mode)}{form}{where}"
    if job.profiles:
        from broadcaster.cli.profiles import plan_profiles

        code = plan_profiles(job, ask, as_json=as_json)
        click.echo(to_send, err=True)
        return code
    if ask.shared is not None:
        from broadcaster.cli.sharing import plan_shared

        return plan_shared(job, ask, ask.shared, as_json=as_json)
    prepared, shown = plan_job(job, ask)
    show_plan(shown, chosen=prepared.chosen, already_planned=prepared.already_planned)
    click.echo(to_send, err=True)
    if as_json:
        print_json(shown.to_dict())
    return ExitCode.DONE
