"""``broadcaster resume``."""

import os
from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import BelongsToAnother, CountUnexpected, ExitCode


@click.command(name="resume")
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
    as_json: bool,
) -> ExitCode:
    """Go on with a stopped run; the list is not read again.

    Batches that were sent without an answer go first, with the same key and the same bytes.

    \b
    Example:
      broadcaster resume runs/spring-sale-2026
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.app.parts import mode_of
    from broadcaster.cli.running import resume_run
    from broadcaster.core.words import Mode
    from broadcaster.job.settings import profile_id
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    run_dir = RunDir(path)
    run_dir.require_planned()
    with run_dir.locked():
        plan = Plan.open(run_dir)
        asked = mode_of(simulate=simulate, sandbox=sandbox)
        if asked is not Mode.LIVE and asked != plan.head.mode:
            raise BelongsToAnother(f"{path} was planned as {plan.head.mode}, not as {asked}; leave the flag out")
        profile = profile_id(os.environ)
        if profile != plan.head.profile:
            raise BelongsToAnother(
                f"{path} was planned for {_named(plan.head.profile)}, and SENT_PROFILE_ID names {_named(profile)}"
            )
        recipients = plan.recipients
        if expect_recipients is not None and recipients != expect_recipients:
            raise CountUnexpected(f"the plan has {recipients} recipients, not {expect_recipients}; nothing was sent")
        return resume_run(plan, yes=yes, preflight=not no_preflight, as_json=as_json)


def _named(profile: str | None) -> str:
    return f"profile {profile}" if profile else "no profile"
