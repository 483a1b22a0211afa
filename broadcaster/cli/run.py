"""``broadcaster run``."""

from datetime import date
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="run")
@options.JOB
@click.option("--dry-run", is_flag=True, help="Print the plan and keep nothing.")
@options.planning
@options.sending
def command(
    job_file: Path,
    *,
    dry_run: bool,
    run_dir: Path | None,
    simulate: bool,
    sandbox: bool,
    expect_recipients: int | None,
    strict: bool,
    extend: bool,
    day: date | None,
    new_date: bool,
    as_json: bool,
    no_preflight: bool,
    yes: bool,
) -> ExitCode:
    """Plan a job, show the plan, ask, and send.

    If the run directory holds this job's plan already, the run goes on with it: what is settled is never sent again.

    \b
    Example:
      broadcaster run jobs/spring_sale.toml --simulate
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.parts import mode_of
    from broadcaster.app.prepare import Ask
    from broadcaster.cli.running import plan_job, print_json, run_job
    from broadcaster.cli.screen import show_plan
    from broadcaster.job.load import load_job

    job = load_job(job_file)
    ask = Ask(
        mode=mode_of(simulate=simulate, sandbox=sandbox),
        run_dir=run_dir,
        day=day,
        new_date=new_date,
        strict=strict,
        expect_recipients=expect_recipients,
        extend=extend,
    )
    if dry_run:
        prepared, shown = plan_job(job, ask, keep=False)
        show_plan(shown, chosen=prepared.chosen)
        if as_json:
            print_json(shown.to_dict())
        return ExitCode.DONE
    return run_job(job, ask, yes=yes, preflight=not no_preflight, as_json=as_json)
