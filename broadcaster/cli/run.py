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
@options.CLUSTER
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
    cluster: str | None,
) -> ExitCode:
    """Plan a job, show the plan, ask, and send.

    If the run directory holds this job's plan already, the run goes on with it: what is settled is never sent again.

    \b
    Example:
      broadcaster run jobs/spring_sale.toml --simulate
      broadcaster run jobs/spring_sale.toml --cluster tcp://scheduler:8786 --run-dir s3://my-bucket/spring-sale
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.running import start
    from broadcaster.job.load import load_job

    job = load_job(job_file, flags={"recipients.delimiter": delimiter})
    if job.profiles:
        from broadcaster.cli.profiles import Manner as Together
        from broadcaster.cli.profiles import run_profiles

        flags = options.passed_on(no_preflight=no_preflight, no_wait=no_wait, skip_canary=skip_canary, cluster=cluster)
        return run_profiles(job, ask, Together(yes=yes, as_json=as_json, flags=flags), dry_run=dry_run)
    if cluster is not None:
        from broadcaster.cli.clustered import Manner, run_clustered

        manner = Manner(cluster=cluster, yes=yes, preflight=not no_preflight, wait=not no_wait, as_json=as_json)
        return run_clustered(job, ask, manner, dry_run=dry_run)
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
