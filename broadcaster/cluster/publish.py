"""A plan for several machines: frozen here, in an ordinary run directory, and put where all of them find it."""

from collections.abc import Callable
from pathlib import Path

from broadcaster.app.conclude import conclude
from broadcaster.app.prepare import Ask, Prepared, prepare
from broadcaster.clock import today
from broadcaster.cluster.meta import META
from broadcaster.cluster.mirror import fetch_plan, publish_plan, publish_results
from broadcaster.cluster.storage import Storage
from broadcaster.errors import BelongsToAnother, ConfigError
from broadcaster.job.load import render_campaign
from broadcaster.job.model import Job
from broadcaster.planning.pipeline import Built, build_part
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_HEAD = "plan.json"
_BESIDE = ".shared"  # what is added to the name of a local run directory


def plan_into(storage: Storage, job: Job, ask: Ask, *, profile: str | None, scratch: Path) -> Prepared:
    """Freeze a job's plan at an address, with its manifest, or open the one that is there.

    Args:
        storage: the shared run directory.
        job: to plan.
        ask: what the command line says.
        profile: whom it is sent for.
        scratch: a local directory that does not exist yet.

    Raises:
        BelongsToAnother: the plan of another job or list is there.
        ConfigError, ListUnusable, CountUnexpected: as planning anywhere else; or the plan cannot be sent in shards.
        StoreError: the store does not do what it is asked.
    """
    prepared = prepare_shared(storage, job, ask, profile=profile, scratch=scratch)
    publish_plan(prepared.plan, storage, shards=None, meta={})
    if prepared.fresh:
        conclude(prepared.plan)
        publish_results(storage, prepared.plan.run_dir)
    return prepared


def prepare_shared(
    storage: Storage,
    job: Job,
    ask: Ask,
    *,
    profile: str | None,
    scratch: Path,
    campaign: str | None = None,
    build: Callable[..., Built] = build_part,
) -> Prepared:
    """Do what :func:`plan_into` does, but leave a plan that is new in *scratch*: somebody may not agree to it.

    *campaign* is the job's with the date put in, where that is known already; *build* is as in
    :func:`broadcaster.app.prepare.prepare`.
    """
    if ask.extend:
        raise ConfigError("--extend is for a run directory on this machine: shards follow from a plan that stays")
    run_dir = RunDir(scratch)
    if storage.exists(_HEAD):
        fetch_plan(storage, run_dir, rows=True)
    run_dir.create()
    with run_dir.locked():
        campaign = campaign or render_campaign(job, day=ask.day or today(job.timezone))
        return prepare(job, ask, run_dir=run_dir, campaign=campaign, profile=profile, build=build)


def publish_beside(path: Path) -> Storage:
    """Put the plan of a local run directory into a shared one next to it; again and again changes nothing.

    A shared directory that is named by its path stays the one that it is. Nobody locks those.

    Raises:
        ConfigError: no plan is there, or one that cannot be sent in shards.
        BelongsToAnother: that run was begun by itself: its journal knows whom it messaged, and shards would not.
        StoreError: the disk refuses.
    """
    run_dir = RunDir(path)
    plan = Plan.open(run_dir)
    here = f"file://{path.absolute()}"
    if (path / META).exists() or not run_dir.lock.exists():
        return Storage.open(here)
    storage = Storage.open(f"{here}{_BESIDE}")
    if _was_begun(run_dir):
        raise BelongsToAnother(
            f"{path} was begun by itself, and cannot be sent in shards any more; go on with 'broadcaster resume {path}'"
        )
    if storage.read(_HEAD) != run_dir.head(0).read_bytes():  # one of many shards that start at the same moment
        publish_plan(plan, storage, shards=None, meta={})
    return storage


def _was_begun(run_dir: RunDir) -> bool:
    if not run_dir.journal.exists():
        return False
    with JournalReader(run_dir.journal) as journal:
        return journal.first_claim_us() is not None
