"""From a job and the tables built of it to the head of a part: what ``plan.json`` remembers of both."""

from datetime import date
from typing import Any

from broadcaster.clock import wall_us
from broadcaster.core.keys import FORMAT
from broadcaster.job.model import Job
from broadcaster.planning.opening import Reading
from broadcaster.planning.pipeline import Built, Wording
from broadcaster.planning.timing import remembered
from broadcaster.planning.wording import operation_of
from broadcaster.store.head import Head
from broadcaster.store.plan import Plan


def head_of(
    job: Job,
    *,
    reading: Reading,
    identity: dict[str, Any],
    earlier: Plan | None,
    wording: Wording,
    built: Built,
    day: date,
    code: str,
) -> Head:
    """Return the head of the first part of a plan, or of the next one of *earlier*; *code* is our own version."""
    scope = wording.message.scope
    return Head(
        format=FORMAT,
        part=len(earlier.parts) if earlier else 0,
        kind="extend" if earlier else "first",
        campaign=scope.campaign,
        campaign_template=job.campaign,
        generation=scope.generation,
        mode=str(scope.mode),
        profile=scope.profile,
        operation=operation_of(job),
        template_id=job.message.template_id,
        template_name=job.message.template_name,
        text=job.message.text,
        parameters=dict(job.message.parameters),
        channels=tuple(str(each) for each in wording.channels),
        identity=identity,
        limits=_limits(job),
        safety=job.safety.model_dump(mode="json"),
        api=job.api.model_dump(mode="json"),
        lists=reading.lists,
        first_row=earlier.rows if earlier else 0,
        first_batch=earlier.batches if earlier else 0,
        previous=earlier.fingerprint if earlier else None,
        code=code,
        planned_us=wall_us(),
        **built.in_head,
        body_length=job.message.body_length,
        notify=job.notify.model_dump(mode="json"),
        schedule=remembered(job.schedule, zone=job.timezone),
        day=day.isoformat() if "{date}" in job.campaign or job.schedule.is_used else None,
    )


def _limits(job: Job) -> dict[str, Any]:
    """Return the limits to remember: whoever goes on must know a rate that somebody chose from one that nobody did."""
    guessed = {"requests_per_minute"} - job.limits.model_fields_set
    return job.limits.model_dump(mode="json", exclude=guessed)
