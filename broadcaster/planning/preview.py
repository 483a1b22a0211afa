"""What a person sees before confirming: how many, on which channels, how long, three masked examples."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from broadcaster.core.sizes import duration_s
from broadcaster.core.values import Batch
from broadcaster.phones import mask
from broadcaster.store.plan import Plan

_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The plan in figures. ``duration_s`` is the time that pacing needs at the limits in force."""

    campaign: str
    mode: str
    run_dir: str
    message: str
    channels: tuple[str, ...]
    rows: int
    excluded: dict[str, int]
    recipients: int
    batches: int
    requests: int
    messages: int
    largest_batch: int
    requests_per_minute: int
    messages_per_minute: int
    duration_s: float
    examples: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def preview(plan: Plan, *, requests_per_minute: int, messages_per_minute: int) -> Preview:
    """Count a plan's parts together and pick examples from its first batches."""
    heads = [part.head for part in plan.parts]
    first = plan.head
    largest = max(head.largest_batch for head in heads) * len(first.channels)
    return Preview(
        campaign=first.campaign,
        mode=first.mode,
        run_dir=str(plan.run_dir.path),
        message=_message(first.template_id, first.template_name, first.text),
        channels=first.channels,
        rows=plan.rows,
        excluded=plan.excluded,
        recipients=plan.recipients,
        batches=plan.batches,
        requests=plan.batches,
        messages=plan.deliveries,
        largest_batch=max(head.largest_batch for head in heads),
        requests_per_minute=requests_per_minute,
        messages_per_minute=messages_per_minute,
        duration_s=duration_s(
            plan.batches,
            plan.deliveries,
            requests_per_minute=requests_per_minute,
            messages_per_minute=messages_per_minute,
            largest=largest,
        ),
        examples=tuple(islice(_examples(plan.read_batches()), _EXAMPLES)),
    )


def _message(template_id: str | None, template_name: str | None, text: str | None) -> str:
    if text is not None:
        return f"text of {len(text)} characters"
    return f"template {template_id}" if template_id else f"template {template_name!r}"


def _examples(batches: Iterator[Batch]) -> Iterator[tuple[str, str]]:
    """Yield one recipient of each batch first, then more of the first batch."""
    chosen = list(islice(batches, _EXAMPLES))
    for batch in chosen:
        yield mask(batch.to[0]), batch.parameters.decode()
    for number in chosen[0].to[1:] if chosen else ():
        yield mask(number), chosen[0].parameters.decode()
