"""The library: what the commands do, for Python programs. Reached through ``import broadcaster``.

It asks nobody and prints nothing; progress comes as events.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from broadcaster.app.conclude import Conclusion, conclude
from broadcaster.app.deliver import deliver
from broadcaster.app.manner import Settings
from broadcaster.app.parts import access, mode_of
from broadcaster.app.prepare import Ask, locate, prepare
from broadcaster.core.words import Mode
from broadcaster.engine.ports import Event
from broadcaster.engine.stop import Stop
from broadcaster.job.model import Job
from broadcaster.job.settings import profile_id
from broadcaster.planning.left import has_work
from broadcaster.store.plan import Plan
from broadcaster.tracking.chronicle import tell_planned

__all__ = ["plan", "run"]


def plan(
    job: Job,
    *,
    run_dir: str | Path | None = None,
    simulate: bool = False,
    sandbox: bool = False,
    strict: bool = False,
    expect_recipients: int | None = None,
    only: str | None = None,
) -> Plan:
    """Freeze the plan of *job* and write its manifest; an equal plan that is there already is returned.

    Args:
        job: from :func:`broadcaster.load_job`.
        run_dir: where to keep the run; ``runs/<campaign>`` otherwise.
        simulate: for the embedded simulator; no account is needed.
        sandbox: for Sent's sandbox.
        strict: refuse a list with an invalid number.
        expect_recipients: refuse a plan of another size.
        only: an expression that rows must fulfil besides the job's filter: ``'region == "TX"'``.

    Raises:
        BroadcasterError: see :mod:`broadcaster.errors`.
    """
    ask = Ask(
        mode=mode_of(simulate=simulate, sandbox=sandbox),
        run_dir=Path(run_dir) if run_dir is not None else None,
        strict=strict,
        expect_recipients=expect_recipients,
        only=() if only is None else (only,),
    )
    where, campaign = locate(job, ask)
    where.create()
    with where.locked():
        prepared = prepare(job, ask, run_dir=where, campaign=campaign, profile=profile_id(os.environ))
        conclude(prepared.plan)
        if prepared.fresh:
            tell_planned(prepared.plan)
    return prepared.plan


async def run(
    plan: Plan,
    *,
    observe: Callable[[Event], None] | None = None,
    preflight: bool = True,
    environ: Mapping[str, str] | None = None,
    stop: Stop | None = None,
) -> Conclusion:
    """Send what *plan* has not settled yet; start it again after any stop.

    Args:
        plan: from :func:`plan`, or ``Plan.open``.
        observe: called with every event; must return at once.
        preflight: look the template up first.
        environ: where key and address come from; the process environment otherwise.
        stop: to stop it from elsewhere.

    Returns:
        Counts, exit code and summary.

    Raises:
        BroadcasterError: see :mod:`broadcaster.errors`.
    """
    with plan.run_dir.locked():
        if not has_work(plan):
            return conclude(plan)
        environment = os.environ if environ is None else environ
        legacy = plan.head.asked.is_legacy
        with access(Mode(plan.head.mode), environment, state=plan.run_dir.simulator, legacy=legacy) as to:
            return await deliver(
                plan,
                to=to,
                settings=Settings.of(plan.head, preflight=preflight),
                observe=observe or _nobody,
                begin=lambda _counts, _line, _left: None,
                stop=stop,
            )


def _nobody(_: Event) -> None:
    """Nobody watches."""
