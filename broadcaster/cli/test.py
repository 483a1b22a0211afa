"""``broadcaster test``."""

import os
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="test")
@options.JOB
@options.DELIMITER
@click.option("--to", "number", required=True, metavar="+1…", help="A number of your own.")
@options.mode_flags
@options.json_output
def command(
    job_file: Path, *, delimiter: str | None, number: str, simulate: bool, sandbox: bool, as_json: bool
) -> ExitCode:
    """Send a job's message once, to a number of your own.

    It has the first row's parameters and a key of its own: the campaign itself is not touched.

    \b
    Example:
      broadcaster test jobs/spring_sale.toml --to +14155550100 --simulate
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.parts import access, mode_of, run_loop
    from broadcaster.app.trial import send_test
    from broadcaster.cli.telling import print_json
    from broadcaster.job.load import load_job

    job = load_job(job_file, flags={"recipients.delimiter": delimiter})
    mode = mode_of(simulate=simulate, sandbox=sandbox)
    with access(mode, os.environ, legacy=job.api.version == "v1") as to:
        tried = run_loop(send_test(job, number=number, to=to, mode=mode))
    click.echo(f"Accepted, with the parameters {tried.parameters}", err=True)
    if as_json:
        print_json({"message_ids": tried.message_ids, "request_id": tried.request_id})
    else:
        for message_id in tried.message_ids:
            click.echo(message_id)
    return ExitCode.DONE
