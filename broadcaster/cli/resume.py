"""``broadcaster resume``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import CountUnexpected, ExitCode


@click.command(name="resume")
@options.RUN_DIR
@options.SKIP_CANARY
@options.going_on
def command(
    path: Path,
    *,
    yes: bool,
    simulate: bool,
    sandbox: bool,
    expect_recipients: int | None,
    no_preflight: bool,
    no_wait: bool,
    as_json: bool,
    skip_canary: bool,
) -> ExitCode:
    """Go on with a stopped run; the list is not read again.

    Batches that were sent without an answer go first, with the same key and the same bytes. A canary that stopped the
    run is judged again by what is known of it now; --skip-canary sends to the others whatever became of it.

    \b
    Example:
      broadcaster resume runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.running import check_same_run, resume_run
    from broadcaster.store.audit import require_frozen
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    run_dir.require_planned()
    with run_dir.locked():
        plan = require_frozen(Plan.open(run_dir))
        check_same_run(plan, simulate=simulate, sandbox=sandbox)
        recipients = plan.recipients
        if expect_recipients is not None and recipients != expect_recipients:
            raise CountUnexpected(f"the plan has {recipients} recipients, not {expect_recipients}; nothing was sent")
        return resume_run(
            plan,
            yes=yes,
            preflight=not no_preflight,
            wait=not no_wait,
            as_json=as_json,
            skip_canary=skip_canary,
        )
