"""Freezing a plan without sending it, and what people see of any plan: ``plan``, ``--dry-run``, ``rehearse``."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from broadcaster.app.conclude import conclude
from broadcaster.app.parts import limit_in_sight
from broadcaster.app.prepare import Ask, Prepared, locate, prepare, unplan
from broadcaster.cli.screen import busy
from broadcaster.core.words import Mode
from broadcaster.errors import ConfigError
from broadcaster.job.load import load_job
from broadcaster.job.model import Job, Limits
from broadcaster.job.settings import profile_id
from broadcaster.planning.preview import Preview, preview
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.chronicle import tell_planned


def plan_job(job: Job, ask: Ask, *, keep: bool = True) -> tuple[Prepared, Preview]:
    """Freeze a job's plan with its manifest, or open the one that is there; the caller prints it.

    Without *keep* nothing stays on disk.
    """
    import tempfile

    run_dir, campaign = locate(job, ask)
    if keep:
        return _planned(job, ask, run_dir, campaign)
    if run_dir.is_planned:
        with run_dir.locked():
            prepared = prepare(job, ask, run_dir=run_dir, campaign=campaign, profile=profile_id(os.environ))
            shown = preview_of(prepared.plan, job.limits, canary_wait_s=job.safety.canary_wait)
            if prepared.fresh:  # an extension
                unplan(prepared.plan)
        return prepared, shown
    with tempfile.TemporaryDirectory(prefix="broadcaster-") as directory:
        prepared, shown = _planned(job, ask, RunDir(Path(directory) / "run"), campaign)
        return prepared, replace(shown, run_dir=str(run_dir.path))


def _planned(job: Job, ask: Ask, run_dir: RunDir, campaign: str) -> tuple[Prepared, Preview]:
    """Plan in *run_dir*, with the manifest."""
    run_dir.create()
    with run_dir.locked():
        with busy("planning …"):
            prepared = prepare(job, ask, run_dir=run_dir, campaign=campaign, profile=profile_id(os.environ))
        conclude(prepared.plan)
        if prepared.fresh:
            tell_planned(prepared.plan)
        return prepared, preview_of(prepared.plan, job.limits, canary_wait_s=job.safety.canary_wait)


def plan_rehearsal(job_file: Path, run_dir: Path, *, only: tuple[str, ...] = ()) -> tuple[Plan, Preview]:
    """Freeze a job's plan for a rehearsal, *only* of some rows if told so; the preview is that of the real run."""
    job = load_job(job_file)
    if job.kind != "message" or job.api.version != "v3":
        raise ConfigError(
            'a rehearsal counts messages by their ids, which contacts and version "v1" of the API do not have; '
            "'broadcaster run JOB --simulate' tries the job without an account"
        )
    prepared, shown = plan_job(job, Ask(mode=Mode.SIMULATED, run_dir=run_dir, only=only))
    return prepared.plan, shown


def preview_of(plan: Plan, limits: Limits, *, how: Callable[..., Preview] = preview, **more: Any) -> Preview:
    """Return what people see of *plan*, with the limit that a run of it will have; *more* is for *how*."""
    per_minute, source = limit_in_sight(limits, Mode(plan.head.mode), os.environ, state=plan.run_dir.simulator)
    messages_per_minute = limits.messages_per_minute
    return how(plan, requests_per_minute=per_minute, messages_per_minute=messages_per_minute, source=source, **more)
