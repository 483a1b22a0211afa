"""``broadcaster retry-failed``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="retry-failed")
@options.RUN_DIR
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
) -> ExitCode:
    """Send again what definitely did not arrive: rejected deliveries of a finished run, under new keys.

    Never what is in doubt, and the list is not read again: the numbers and the message are those of the plan.
    --expect-recipients counts the people of the retry.

    \b
    Example:
      broadcaster retry-failed runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.running import check_same_run, retry_run
    from broadcaster.store.audit import require_frozen
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    run_dir.require_planned()
    with run_dir.locked():
        plan = require_frozen(Plan.open(run_dir))
        check_same_run(plan, simulate=simulate, sandbox=sandbox)
        return retry_run(
            plan,
            expect_recipients=expect_recipients,
            yes=yes,
            preflight=not no_preflight,
            wait=not no_wait,
            as_json=as_json,
        )
