"""``broadcaster resume``."""

from pathlib import Path

import click

from broadcaster.cli import options
from broadcaster.errors import ExitCode


@click.command(name="resume")
@options.ANY_RUN
@options.SKIP_CANARY
@options.CLUSTER
@click.option("--beside", is_flag=True, hidden=True, help="One of several that another process shows and asks for.")
@options.going_on
def command(
    path: Path | str,
    *,
    yes: bool,
    simulate: bool,
    sandbox: bool,
    expect_recipients: int | None,
    no_preflight: bool,
    no_wait: bool,
    as_json: bool,
    skip_canary: bool,
    cluster: str | None,
    beside: bool,
) -> ExitCode:
    """Go on with a stopped run; the list is not read again.

    Batches that were sent without an answer go first, with the same key and the same bytes. A canary that stopped the
    run is judged again by what is known of it now; --skip-canary sends to the others whatever became of it.

    \b
    Example:
      broadcaster resume runs/spring-sale-2026
      broadcaster resume s3://my-bucket/spring-sale --cluster tcp://scheduler:8786
    """  # noqa: D301 - \b is click's mark for "do not wrap"
    from broadcaster.cli.beside import end_with_parent
    from broadcaster.cli.confirming import require_count
    from broadcaster.cli.running import check_same_run, resume_run
    from broadcaster.store.audit import require_frozen
    from broadcaster.store.joint import is_joint
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    if beside:
        end_with_parent()
    if isinstance(path, Path) and is_joint(path):
        from broadcaster.cli.profiles import Manner as Together
        from broadcaster.cli.profiles import resume_profiles

        flags = options.passed_on(no_preflight=no_preflight, no_wait=no_wait, skip_canary=skip_canary, cluster=cluster)
        return resume_profiles(
            path, Together(yes=yes, as_json=as_json, flags=flags), expect_recipients=expect_recipients
        )
    if cluster is not None:
        from broadcaster.cli.clustered import Manner, resume_clustered

        return resume_clustered(
            path,
            Manner(cluster=cluster, yes=yes, preflight=not no_preflight, wait=not no_wait, as_json=as_json),
            simulate=simulate,
            sandbox=sandbox,
            expect_recipients=expect_recipients,
            shown=beside,
        )
    run_dir = RunDir(options.of_this_machine(path, command="resume"))
    run_dir.require_planned()
    with run_dir.locked():
        plan = require_frozen(Plan.open(run_dir))
        check_same_run(plan, simulate=simulate, sandbox=sandbox)
        require_count(plan, expect_recipients)
        return resume_run(
            plan,
            yes=yes,
            preflight=not no_preflight,
            wait=not no_wait,
            as_json=as_json,
            skip_canary=skip_canary,
            shown=beside,
        )
