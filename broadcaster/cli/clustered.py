"""``run`` and ``resume`` on a cluster: what they do besides sending, out of a run directory that several share.

The plan is made here, in a directory that goes when the command ends, and put at the address before anything is sent.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from broadcaster.app.conclude import Conclusion, conclude
from broadcaster.app.manner import Settings
from broadcaster.app.parts import access
from broadcaster.app.prepare import Ask, Prepared, locate
from broadcaster.cli.confirming import confirmed, require_answer, require_count, was_started
from broadcaster.cli.freezing import plan_job, preview_of
from broadcaster.cli.mirrored import told_as
from broadcaster.cli.progress import Watcher, things_of
from broadcaster.cli.running import announce_end, check_same_run
from broadcaster.cli.screen import busy, show_plan
from broadcaster.cli.sharing import require_one_api
from broadcaster.cli.telling import print_json, tell
from broadcaster.cluster.meta import META, read_meta
from broadcaster.cluster.mirror import mirror, publish_plan
from broadcaster.cluster.publish import prepare_shared
from broadcaster.cluster.storage import Storage
from broadcaster.cluster.where import Where, require_dask
from broadcaster.core.words import Mode
from broadcaster.errors import BelongsToAnother, BroadcasterError, ExitCode, StoppedEarly
from broadcaster.job.model import Job
from broadcaster.job.profiles import KEY_VARIABLE
from broadcaster.job.settings import load_settings, profile_id
from broadcaster.planning.left import has_work
from broadcaster.planning.pipeline import Built, build_part
from broadcaster.planning.timing import remembered, timetable
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_DISK = "file://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What the flags say about sending."""

    cluster: str
    yes: bool
    preflight: bool
    wait: bool
    as_json: bool


def run_clustered(job: Job, ask: Ask, manner: Manner, *, dry_run: bool) -> ExitCode:
    """Plan *job* (or go on with its plan), confirm, send on a cluster; return how it ended."""
    where = _cluster(manner)
    if dry_run:
        return _dry_run(job, ask, as_json=manner.as_json)
    campaign: str | None = None
    url = ask.shared
    if url is None:
        run_dir, campaign = locate(job, ask)
        _require_not_begun_alone(run_dir)
        url = f"{_DISK}{run_dir.path.absolute()}"
    storage = Storage.open(url)
    _require_api(ask.mode, storage)
    if not storage.exists("plan.json"):
        require_answer(yes=manner.yes)
    with _copy(storage) as scratch:
        with busy("planning …"), _planner(where, storage) as build:
            prepared = prepare_shared(
                storage, job, ask, profile=profile_id(os.environ), scratch=scratch, campaign=campaign, build=build
            )
        settings = Settings(
            limits=job.limits,
            safety=job.safety,
            api=job.api,
            notify_url=job.notify.url,
            preflight=manner.preflight,
            timetable=timetable(remembered(job.schedule, zone=job.timezone)),
            wait=manner.wait,
        )
        if not _agreed(prepared, settings, storage, yes=manner.yes):
            kept = "and no plan was kept" if prepared.fresh else "and the plan stays"
            click.echo(f"Nothing was sent, {kept}.", err=True)
            return ExitCode.STOPPED
        with busy("putting the plan there …") if prepared.fresh else nullcontext():
            publish_plan(prepared.plan, storage, shards=None, meta={})
        return _send(mirror(storage, prepared.plan.run_dir), storage, where, settings, manner)


def resume_clustered(
    place: Path | str,
    manner: Manner,
    *,
    simulate: bool,
    sandbox: bool,
    expect_recipients: int | None,
    shown: bool = False,
) -> ExitCode:
    """Go on with a shared run on a cluster, which is *shown* if nothing was sent; return how it ended."""
    where = _cluster(manner)
    if isinstance(place, Path):
        run_dir = RunDir(place)
        run_dir.require_planned()
        _require_not_begun_alone(run_dir)
        place = f"{_DISK}{place.absolute()}"
    storage = Storage.open(place)
    with _copy(storage) as scratch:
        with busy(f"reading {storage.name} …"):
            plan = mirror(storage, RunDir(scratch))
        _require_api(Mode(plan.head.mode), storage)
        check_same_run(plan, simulate=simulate, sandbox=sandbox)
        require_count(plan, expect_recipients)
        settings = Settings.of(plan.head, preflight=manner.preflight, wait=manner.wait)
        if not (shown or was_started(plan)):
            require_answer(yes=manner.yes)
            if not _agreed(Prepared(plan=plan, fresh=False, chosen=""), settings, storage, yes=manner.yes):
                click.echo("Nothing was sent.", err=True)
                return ExitCode.STOPPED
        return _send(plan, storage, where, settings, manner)


def _cluster(manner: Manner) -> Where:
    where = Where.parse(manner.cluster)
    require_dask()
    return where


def _planner(where: Where, storage: Storage) -> AbstractContextManager[Callable[..., Built]]:
    """Return what makes the tables of a plan: the cluster, unless there is a plan."""
    if storage.exists("plan.json"):
        return nullcontext(build_part)
    from broadcaster.cluster.dask_plan import planning_on

    return planning_on(where, say=partial(click.echo, err=True))


def _dry_run(job: Job, ask: Ask, *, as_json: bool) -> ExitCode:
    prepared, shown = plan_job(job, replace(ask, shared=None), keep=False)
    shown = shown if ask.shared is None else replace(shown, run_dir=ask.shared)
    show_plan(shown, chosen=prepared.chosen)
    if as_json:
        print_json(shown.to_dict())
    return ExitCode.DONE


@contextmanager
def _copy(storage: Storage) -> Iterator[Path]:
    """Yield a directory for a copy of the run, which goes by the address's name in all that is said."""
    with tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch:
        path = Path(scratch, "run")
        with told_as(storage.name, instead_of=str(path)):
            yield path


def _require_api(mode: Mode, storage: Storage) -> None:
    """Refuse what lacks a key, or a simulator that all workers and later launches find."""
    if mode is not Mode.SIMULATED:
        load_settings(os.environ)
    elif not storage.url.startswith(_DISK):
        require_one_api(mode)


def _require_not_begun_alone(run_dir: RunDir) -> None:
    """Refuse a directory whose own journal knows whom it messaged: shards would not know."""
    if (run_dir.path / META).exists() or not run_dir.is_planned:
        return
    if was_started(Plan.open(run_dir)):
        raise BelongsToAnother(
            f"{run_dir.path} was begun by one process, and cannot be sent on a cluster any more; go on with "
            f"'broadcaster resume {run_dir.path}'"
        )


def _agreed(prepared: Prepared, settings: Settings, storage: Storage, *, yes: bool) -> bool:
    shown = preview_of(prepared.plan, settings.limits, canary_wait_s=settings.safety.canary_wait)
    show_plan(replace(shown, run_dir=storage.name), chosen=prepared.chosen, already_planned=prepared.already_planned)
    return confirmed(prepared.plan, shown, yes=yes, fresh=prepared.fresh)


def _send(plan: Plan, storage: Storage, where: Where, settings: Settings, manner: Manner) -> ExitCode:
    from broadcaster.cluster.drive import Drive, run_on_cluster

    if not has_work(plan):
        click.echo("Everything in this run is settled; nothing was sent.", err=True)
        return _told(plan, conclude(plan), storage, manner)
    state = Path(storage.url.removeprefix(_DISK), "simulator.sqlite") if storage.url.startswith(_DISK) else None
    try:
        with (
            access(Mode(plan.head.mode), os.environ, state=state) as to,
            Watcher(storage.name, things=things_of(plan), in_lumps=True) as watcher,
        ):
            drive = Drive(
                storage=storage,
                where=where,
                shards=read_meta(storage).shards if storage.exists(META) else None,
                key_env=os.environ.get(KEY_VARIABLE) if plan.head.mode != Mode.SIMULATED else None,
            )
            conclusion = asyncio.run(
                run_on_cluster(
                    plan,
                    drive,
                    to=to,
                    settings=settings,
                    observe=watcher,
                    begin=watcher.begin,
                    say=watcher.say,
                )
            )
    except BroadcasterError as error:
        announce_end(plan, settings, code=error.exit_code, why=error.sentence, where=storage.name)
        raise
    if (took := watcher.ended()) is not None:
        click.echo(took, err=True)
    code = _told(plan, conclusion, storage, manner)
    why = conclusion.summary["why"]
    by_hand = conclusion.summary["stopped_by"] == StoppedEarly.code
    announce_end(plan, settings, code=code, counts=conclusion.counts, why=why, by_hand=by_hand, where=storage.name)
    return code


def _told(plan: Plan, conclusion: Conclusion, storage: Storage, manner: Manner) -> ExitCode:
    summary = {**conclusion.summary, "run_dir": storage.name}
    return tell(plan, replace(conclusion, summary=summary), as_json=manner.as_json, cluster=manner.cluster)
