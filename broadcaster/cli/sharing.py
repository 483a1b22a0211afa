"""Planning for several machines."""

import os
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from broadcaster.app.parts import SIMULATOR_URL, limit_in_sight
from broadcaster.app.prepare import Ask
from broadcaster.cli.screen import busy, show_plan
from broadcaster.cli.telling import print_json
from broadcaster.cluster.publish import plan_into
from broadcaster.cluster.storage import Storage
from broadcaster.core.words import Mode
from broadcaster.errors import ConfigError, ExitCode
from broadcaster.job.model import Job
from broadcaster.job.settings import profile_id
from broadcaster.planning.preview import preview


def plan_shared(job: Job, ask: Ask, url: str, *, as_json: bool) -> ExitCode:
    """Freeze a job's plan at an address, and print it."""
    require_one_api(ask.mode)
    storage = Storage.open(url)
    with tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch:
        with busy("planning …"):
            prepared = plan_into(storage, job, ask, profile=profile_id(os.environ), scratch=Path(scratch, "run"))
        plan = prepared.plan
        per_minute, source = limit_in_sight(job.limits, ask.mode, os.environ, state=plan.run_dir.simulator)
        shown = preview(
            plan, requests_per_minute=per_minute, messages_per_minute=job.limits.messages_per_minute, source=source
        )
    shown = replace(shown, run_dir=storage.name)
    show_plan(shown, chosen=prepared.chosen)
    where = shlex.quote(storage.name)
    click.echo(
        f"To send it, in 4 shards for example: broadcaster run-shard --plan {where} --shard 0 --of 4, and likewise "
        "shards 1, 2 and 3",
        err=True,
    )
    if as_json:
        print_json(shown.to_dict())
    return ExitCode.DONE


def require_one_api(mode: Mode) -> None:
    """Refuse the embedded simulator: each process would have one of its own, and none knows what another was sent.

    Raises:
        ConfigError: this is such a run.
    """
    if mode is Mode.SIMULATED and SIMULATOR_URL not in os.environ:
        raise ConfigError(
            "--simulate has a simulator for one process only; start one for all with 'broadcaster simulate', and plan "
            "without --simulate, with its address in SENT_BASE_URL"
        )
