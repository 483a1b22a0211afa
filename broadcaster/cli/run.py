"""``broadcaster run``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode

if TYPE_CHECKING:
    from broadcaster.app.prepare import Ask


@click.command(name="run")
@options.JOB
@options.DELIMITER
@click.option("--dry-run", is_flag=True, help="Print the plan and keep nothing.")
@options.SKIP_CANARY
@options.planning
@options.sending
def command(
    job_file: Path,
    *,
    delimiter: str | None,
    dry_run: bool,
    ask: "Ask",
    as_json: bool,
    no_preflight: bool,
    no_wait: bool,
    yes: bool,
    skip_canary: bool,
) -> ExitCode:
    """Plan a job, show the plan, ask, and send.

    If the run directory holds this job's plan already, the run goes on with it: what is settled is never sent again.

    \b
    Example:
      broadcaster run jobs/spring_sale.toml --simulate
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.running import start
    from broadcaster.job.load import load_job

    job = load_job(job_file, flags={"recipients.delimiter": delimiter})
    return start(
        job,
        ask,
        dry_run=dry_run,
        yes=yes,
        preflight=not no_preflight,
        wait=not no_wait,
        as_json=as_json,
        skip_canary=skip_canary,
    )
