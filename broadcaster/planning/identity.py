"""What makes a job this job: a frozen plan is gone on with only by the job that it was made from.

Limits may change between launches; none of this may, because it decides who is messaged with what.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from broadcaster.core.words import Mode
from broadcaster.errors import BelongsToAnother
from broadcaster.job.model import Job
from broadcaster.lists.columns import Columns
from broadcaster.lists.filter import Filter, shown
from broadcaster.planning.share import Share
from broadcaster.store.head import ListFile
from broadcaster.store.plan import Plan

EXTENSIBLE = ("campaign", "mode", "profile", "message", "recipients", "filter", "schedule")
"""What must be the same for an extension: the list itself may have grown."""
_LONGEST_FILTER = 120  # characters that a sentence repeats


def identity_of(
    job: Job,
    *,
    campaign: str,
    mode: Mode,
    profile: str | None,
    operation: tuple[str, str],
    columns: Columns,
    lists: Sequence[ListFile],
    suppress: Sequence[str],
    only: Filter | None = None,
    share: Share | None = None,
) -> dict[str, Any]:
    """Return the identity as plain values, which ``plan.json`` keeps; *suppress* are digests of the files."""
    recipients = job.recipients
    return {
        "campaign": campaign,
        "mode": str(mode),
        "profile": profile,
        "message": {
            "template_id": job.message.template_id,
            "template_name": job.message.template_name,
            "text": job.message.text,
            "channels": [str(each) for each in job.message.channels],
            "parameters": dict(sorted(job.message.parameters.items())),
            # Only where it is another than the usual one: plans of before there were others are the same job still.
            **({} if operation == ("message", "v3") else {"operation": list(operation)}),
        },
        "recipients": {
            "phone": columns.phone,
            "id": columns.id,
            "region": columns.region,
            "opt_out": columns.opt_out,
            **({"channel": columns.channel} if columns.channel else {}),  # not there: a plan that is older than the key
            **({"contact_id": columns.contact_id} if columns.contact_id else {}),
            **({"timezone": columns.timezone} if columns.timezone else {}),
            **({"group_by": columns.group_by} if columns.group_by else {}),
            **({"profile": [columns.profile, share.name]} if share is not None else {}),
            "default_region": recipients.default_region,
            "encoding": recipients.encoding,
            "delimiter": recipients.delimiter,
            # Only where it is used: plans of before it could be are the same job still.
            **({"sheet": recipients.sheet} if recipients.sheet is not None else {}),
        },
        **({"filter": only.text} if only is not None else {}),
        **({"schedule": _when(job)} if job.schedule.is_used else {}),
        "list": [each.sha256 for each in lists],
        "suppress": list(suppress),
    }


def _when(job: Job) -> dict[str, Any]:
    """Return what decides about send times. How late anything may go out is a limit, and may change."""
    schedule = job.schedule.model_dump(mode="json", exclude={"not_after", "staged"})
    return {**schedule, "timezone": job.timezone}


def match(plan: Plan, identity: Mapping[str, Any], *, only: Sequence[str] | None = None) -> None:
    """Refuse another job than the plan's, naming the first thing that differs.

    Raises:
        BelongsToAnother: and what goes on instead.
    """
    frozen = next(part.head.identity for part in reversed(plan.parts) if not part.head.is_retry)
    for name in only or dict.fromkeys([*identity, *frozen]):
        if frozen.get(name) == identity.get(name):
            continue
        where = plan.run_dir.path
        what = {"list": "list has", "suppress": "suppression list has", "recipients": "columns to use have"}.get(
            name, f"job's {name} has"
        )
        if name == "campaign":
            raise BelongsToAnother(
                f"{where} belongs to campaign {frozen['campaign']!r}, not {identity['campaign']!r}; "
                "choose another --run-dir"
            )
        if name in {"mode", "profile"}:
            raise BelongsToAnother(
                f"{where} was planned with {name} {frozen.get(name)!r}, not {identity[name]!r}; "
                "choose another --run-dir"
            )
        if name == "filter":
            raise BelongsToAnother(
                f"the plan in {where} was frozen with {_filter(frozen)}, not with {_filter(identity)}. 'broadcaster "
                f"resume {where}' goes on with the plan as it is; for other people of the list take a new campaign "
                "name, with this run's manifest in recipients.suppress"
            )
        raise BelongsToAnother(
            f"the {what} changed since the plan in {where} was frozen. 'broadcaster resume {where}' goes on with the "
            "plan as it is; 'broadcaster run JOB --extend' adds the rows that it does not have; a new campaign name "
            "starts anew"
        )


def _filter(identity: Mapping[str, Any]) -> str:
    text = identity.get("filter")
    return f"the filter {shown(text, longest=_LONGEST_FILTER)}" if text is not None else "no filter"
