"""``broadcaster retry-failed``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.core.words import Channel
from broadcaster.errors import ExitCode


@click.command(name="retry-failed")
@options.RUN_DIR
@click.option(
    "--channel",
    type=click.Choice([str(each) for each in Channel]),
    help="Send it on this channel, in place of the one where it did not arrive.",
)
@click.option("--dry-run", is_flag=True, help="Print who would be sent it again, and who not; nothing else.")
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
    channel: str | None,
    dry_run: bool,
) -> ExitCode:
    """Send again what definitely did not arrive, of a finished run, under new keys.

    That is what the API rejected, and what by its receipts was blocked or has failed for a reason that may pass. Never
    what is in doubt, what may still arrive, nor to those who have opted out or cannot be reached: these are in
    suppress.csv. The list is not read again: the numbers and the message are those of the plan. Receipts come by
    'broadcaster serve' or 'broadcaster reconcile'. --expect-recipients counts the people of the retry.

    \b
    Example:
      broadcaster retry-failed runs/spring-sale-2026
      broadcaster retry-failed runs/spring-sale-2026 --channel sms
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
            channel=None if channel is None else Channel(channel),
            dry_run=dry_run,
        )
