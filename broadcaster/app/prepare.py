"""From a job to a frozen plan in a locked run directory: find, match, build, extend."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from broadcaster.app.parts import VERSION
from broadcaster.clock import today, wall_us
from broadcaster.core.words import Mode
from broadcaster.errors import BelongsToAnother, ConfigError, ListUnusable, ScheduleStale
from broadcaster.job.load import render_campaign
from broadcaster.job.model import Job
from broadcaster.lists.suppress import suppressed_numbers
from broadcaster.planning.followup import Known
from broadcaster.planning.guards import check_anybody, check_counts, check_journal
from broadcaster.planning.heading import head_of
from broadcaster.planning.identity import EXTENSIBLE, identity_of, match
from broadcaster.planning.opening import Reading, copying, read_lists
from broadcaster.planning.pipeline import Audience, Built, build_part, discard
from broadcaster.planning.share import Share
from broadcaster.planning.timing import Timing, check_staged, check_times, lead_us, remembered, timetable
from broadcaster.planning.wording import operation_of, wording_of
from broadcaster.store.audit import require_frozen
from broadcaster.store.facts import Facts, tally
from broadcaster.store.head import write_head
from broadcaster.store.joint import PROFILES, planned_in
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir, campaign_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the command line says about a plan.

    Attributes:
        only: expressions that must hold besides the job's filter.
        shared: the address of a run directory for several machines.
        share: whose rows, where the job is sent for several profiles.
    """

    mode: Mode
    shared: str | None = None
    share: Share | None = None
    run_dir: Path | None = None
    runs: Path = Path("runs")
    day: date | None = None
    new_date: bool = False
    strict: bool = False
    expect_recipients: int | None = None
    extend: bool = False
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan, whether this call froze it, and what was chosen on the way."""

    plan: Plan
    fresh: bool
    chosen: str
    already_planned: int = 0


def locate(job: Job, ask: Ask) -> tuple[RunDir, str]:
    """Return the run directory of a job and its campaign with the date put in.

    A job with ``{date}`` goes on with an unfinished earlier date, unless a date or ``--new-date`` is given: a run that
    broke last night must not be forgotten because it is morning.
    """
    if ask.shared is not None:
        raise ConfigError(
            f"--run-dir {ask.shared} is for several machines: put the plan there with 'broadcaster plan JOB --run-dir "
            "URL', and send it with 'broadcaster run-shard'"
        )
    day = ask.day or today(job.timezone)
    campaign = render_campaign(job, day=day)
    if "{date}" in job.campaign and ask.day is None and not ask.new_date and ask.run_dir is None:
        earlier = _unfinished(job.campaign, ask, today=day)
        if earlier is not None:
            return earlier
    run_dir = RunDir(ask.run_dir or campaign_dir(ask.runs, campaign, ask.mode))
    run_dir.require_unpurged()
    return run_dir, campaign


def _unfinished(template: str, ask: Ask, *, today: date) -> tuple[RunDir, str] | None:
    """Return the newest unfinished run of the same job at an earlier date."""
    found: list[tuple[int, RunDir, str]] = []
    for run_dir, run in _runs_in(ask.runs):
        if run.purged.exists():  # somebody stopped the purge halfway
            continue
        plan = Plan.open(run)
        head = plan.head
        if head.campaign_template == template and head.mode == ask.mode and (head.day or "") <= today.isoformat():
            counts = tally(plan, Facts.read(plan))
            if counts.pending or counts.in_doubt:
                found.append((plan.head.planned_us, run_dir, plan.head.campaign))
    return max(found, key=lambda each: each[0])[1:] if found else None


def _runs_in(runs: Path) -> Iterator[tuple[RunDir, RunDir]]:
    """Yield each run with the directory that it is launched by: several profiles have one together."""
    for path in runs.glob("*/plan.json"):
        yield RunDir(path.parent), RunDir(path.parent)
    for path in runs.glob(f"*/{PROFILES}"):
        for sender in planned_in(path.parent):
            run = RunDir(path.parent / sender.name)
            if run.is_planned:
                yield RunDir(path.parent), run


def prepare(
    job: Job,
    ask: Ask,
    *,
    run_dir: RunDir,
    campaign: str,
    profile: str | None,
    build: Callable[..., Built] | None = None,
) -> Prepared:
    """Open the frozen plan of a job, or freeze one; the caller holds the lock.

    Whoever can do what :func:`broadcaster.planning.pipeline.build_part` does may be named to *build* its tables.

    Raises:
        BelongsToAnother: the directory holds the plan of another job or list, or was purged.
        ListUnusable: the list cannot be read, nobody on it can be messaged, or ``strict`` and a number is invalid.
        CountUnexpected: the plan does not have the size that was expected or allowed.
        ConfigError: a key of the job does not fit the list.
    """
    if job.profiles and ask.share is None:
        raise ConfigError("the job is sent for several profiles; 'broadcaster run' and 'plan' know how")
    if ask.share is None and planned_in(run_dir.path):
        raise BelongsToAnother(
            f"{run_dir.path} holds a run for each of several profiles, and the job has none now; give the job another "
            "campaign name"
        )
    run_dir.require_unpurged()  # again: somebody may have held the lock until now
    with copying(job, run_dir.path) as copies:
        return _prepare(job, ask, run_dir, campaign, profile, copies, build or build_part)


def _prepare(
    job: Job,
    ask: Ask,
    run_dir: RunDir,
    campaign: str,
    profile: str | None,
    copies: Path | None,
    build: Callable[..., Built],
) -> Prepared:
    try:
        reading = read_lists(job, copies=copies, only=ask.only)
    except ListUnusable as error:
        if not run_dir.is_planned:
            raise
        raise ListUnusable(
            f"{error.sentence}. A plan is frozen already: 'broadcaster resume {run_dir.path}' goes on without the list"
        ) from error
    identity = identity_of(
        job,
        campaign=campaign,
        mode=ask.mode,
        profile=profile,
        operation=operation_of(job),
        columns=reading.columns,
        lists=reading.lists,
        suppress=reading.suppress,
        only=reading.only,
        share=ask.share,
    )
    if run_dir.is_planned:
        plan = require_frozen(Plan.open(run_dir))
        if not ask.extend:
            match(plan, identity)
            _check_size(plan.head.excluded, plan.recipients, plan.deliveries, job, ask)
            return Prepared(plan=plan, fresh=False, chosen="")
        match(plan, identity, only=EXTENSIBLE)
        if job.recipients.contact_id is not None:  # the plan does not say who is behind which id
            raise ConfigError(
                "a list of contact ids cannot be extended: two numbers may be the same contact. Plan the new rows "
                "under another campaign name, with this run's manifest in recipients.suppress"
            )
        return _freeze(job, ask, run_dir, campaign, profile, reading, identity, plan, build)
    if ask.extend:
        raise ConfigError(f"{run_dir.path} holds no plan that could be extended; run it without --extend first")
    return _freeze(job, ask, run_dir, campaign, profile, reading, identity, None, build)


def _freeze(
    job: Job,
    ask: Ask,
    run_dir: RunDir,
    campaign: str,
    profile: str | None,
    reading: Reading,
    identity: dict[str, Any],
    earlier: Plan | None,
    build: Callable[..., Built],
) -> Prepared:
    part = len(earlier.parts) if earlier else 0
    day = _day(job, ask, earlier)
    timing = Timing(schedule=job.schedule, day=day, zone=job.timezone) if job.schedule.is_used else None
    _require_in_time(job)
    wording = wording_of(job, campaign=campaign, mode=ask.mode, profile=profile)
    audience = Audience(
        source=reading.source,
        columns=reading.columns,
        default_region=job.recipients.default_region,
        suppressed=suppressed_numbers(
            reading.suppressing, phone=reading.columns.phone, default_region=job.recipients.default_region
        ),
        only=reading.only,
        share=ask.share,
    )
    try:
        built = build(
            audience,
            wording,
            run_dir=run_dir,
            part=part,
            first_row=earlier.rows if earlier else 0,
            first_batch=earlier.batches if earlier else 0,
            known=Known.of(earlier) if earlier else Known.none(),
            timing=timing,
        )
        if earlier is not None and not built.rows:
            discard(run_dir, part)
            return Prepared(
                plan=earlier, fresh=False, chosen=reading.columns.chosen, already_planned=built.already_planned
            )
        before = earlier.recipients if earlier else 0
        messages = (earlier.deliveries if earlier else 0) + built.deliveries
        if not earlier:
            if ask.share is None:  # else some of the profiles may have nobody
                check_anybody(built)
            check_journal(run_dir, built)
        _check_times(built, job, fresh=earlier is None)
        _check_size(built.excluded, before + built.recipients, messages, job, ask)
        reading = reading.kept(run_dir, part)
        head = head_of(
            job,
            reading=reading,
            identity=identity,
            earlier=earlier,
            wording=wording,
            built=built,
            day=day,
            code=VERSION,
        )
        write_head(run_dir, head)
    except BaseException:
        discard(run_dir, part)
        raise
    return Prepared(
        plan=Plan.open(run_dir),
        fresh=True,
        chosen=reading.columns.chosen,
        already_planned=built.already_planned,
    )


def _day(job: Job, ask: Ask, earlier: Plan | None) -> date:
    """Return the logical date: of a plan that is extended, its own."""
    if earlier is not None and earlier.head.day is not None:
        return date.fromisoformat(earlier.head.day)
    return ask.day or today(job.timezone)


def _require_in_time(job: Job) -> None:
    """Refuse to plan what must not go out any more."""
    if timetable(remembered(job.schedule, zone=job.timezone)).is_stale(wall_us()):
        raise ScheduleStale(f"schedule.not_after ({job.schedule.not_after}) has passed; nothing was planned")


def _check_times(built: Built, job: Job, *, fresh: bool) -> None:
    check_times(list(built.times), schedule=job.schedule, now_us=wall_us(), fresh=fresh)
    if fresh and job.schedule.staged:
        check_staged(built.times, lead_us=lead_us(built.batches, built.deliveries, job.limits), now_us=wall_us())


def _check_size(excluded: Mapping[str, int], recipients: int, messages: int, job: Job, ask: Ask) -> None:
    check_counts(
        excluded,
        recipients=recipients,
        messages=messages,
        limits=job.limits,
        strict=ask.strict,
        expect_recipients=ask.expect_recipients,
    )


def unplan(plan: Plan) -> None:
    """Take back the part of *plan* that was frozen a moment ago and of which nothing was ever claimed."""
    run_dir, part = plan.run_dir, len(plan.parts) - 1
    run_dir.head(part).unlink(missing_ok=True)
    discard(run_dir, part)
    if not part:
        run_dir.manifest.unlink(missing_ok=True)
