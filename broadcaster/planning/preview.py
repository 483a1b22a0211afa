"""What a person sees before confirming: how many, on which channels, how long, three masked examples."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.clock import wall_us
from broadcaster.core.pacing import Source
from broadcaster.core.segments import most_segments, segments
from broadcaster.core.sizes import duration_s, largest_batch, utf16_length
from broadcaster.core.values import Batch
from broadcaster.core.words import Channel, Reason, Repeat
from broadcaster.lists.filter import shown
from broadcaster.operations.contacts import PARAMETERS as OPT_OUTS
from broadcaster.phones import mask
from broadcaster.planning.when import When, when
from broadcaster.store.head import Head
from broadcaster.store.plan import Plan

_EXAMPLES = 3
_LOOK_UPS = 2  # whose key it is, and the template
_LOOK_UPS_OF_TEXT = 1
_FIRST = 5  # excluded rows that are named
_LONGEST_FILTER = 200  # characters of a filter that are shown
_WITHOUT_HEADER = frozenset({".parquet", ".pq"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludedRow:
    """An excluded row: its line as a spreadsheet counts (the header is line 1), ``file`` where the list has several."""

    file: str | None
    line: int
    reason: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The plan in figures.

    Attributes:
        fills_minutes: batches are smaller than they might be, so that a limit of messages is used well.
        limit_source: where the limit of requests comes from.
        duration_s: the time that pacing needs at the limits in force, look-ups before the first message included.
        countries: recipients by country, most frequent first.
        line_types: as many recipients as *line_types_of* by kind of line: these were looked at.
        segments_each: parts that one SMS is billed as; of a template, the most that it can be.
        encoding: the alphabet of the text; ``None`` where the API renders it.
        kind: what is asked of the API: ``messages/v3`` …
        creates: contacts are created, and nobody is messaged; *opt_outs* of them are set to have opted out.
        unprotected: nothing protects a request from being executed twice, so that it is never repeated by itself.
        schedule: when it goes out; ``None``: at once.
        first_excluded: where the first excluded rows stand in the list, and why.
        filter: the expression that says which rows are meant, as it may be shown; "" where all are. Those outside it
            are *excluded* as ``filtered``.
        group_by: the column whose equal values are sent together; *groups*: recipients by its value, in the order of
            sending.
        canary: recipients whose receipts decide about the others, in *canary_requests*, within *canary_wait_s*.
        again, left_out: of a retry, deliveries that are sent again and those that are not, by why.
    """

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
    fills_minutes: bool
    requests_per_minute: int
    messages_per_minute: int
    limit_source: Source
    duration_s: float
    by_channels: dict[str, int]
    countries: dict[str, int]
    line_types: dict[str, int]
    line_types_of: int
    segments_each: int
    encoding: str | None
    first_excluded: tuple[ExcludedRow, ...]
    examples: tuple[tuple[str, str], ...]
    schedule: When | None = None
    filter: str = ""
    group_by: str | None = None
    groups: dict[str, int] = field(default_factory=dict)
    kind: str = "messages/v3"
    creates: bool = False
    opt_outs: int = 0
    unprotected: bool = False
    canary: int = 0
    canary_requests: int = 0
    canary_wait_s: float = 0.0
    again: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)


def preview(
    plan: Plan,
    *,
    requests_per_minute: int,
    messages_per_minute: int,
    source: Source = Source.CONFIGURED,
    canary_wait_s: float = 0.0,
) -> Preview:
    """Count a plan's parts together and pick examples from its first batches."""
    heads = [part.head for part in plan.parts]
    first = plan.head
    each, encoding = segments(first.text) if first.text is not None else (most_segments(first.body_length), None)
    largest = max(head.heaviest for head in heads)
    opt_outs = _opt_outs(plan) if first.asked.takes_opt_outs else 0
    requests = plan.batches + opt_outs  # each is set by a request of its own
    return Preview(
        campaign=first.campaign,
        mode=first.mode,
        run_dir=str(plan.run_dir.path),
        message=_message(first),
        channels=first.channels,
        rows=plan.rows,
        excluded=plan.excluded,
        recipients=plan.recipients,
        batches=plan.batches,
        requests=requests,
        messages=plan.deliveries if first.asked.sends_messages else 0,
        largest_batch=max(head.largest_batch for head in heads),
        fills_minutes=any(_fills_minutes(head) for head in heads),
        requests_per_minute=requests_per_minute,
        messages_per_minute=messages_per_minute,
        limit_source=source,
        duration_s=duration_s(
            requests + _look_ups(first),
            plan.deliveries if first.asked.sends_messages else 0,
            requests_per_minute=requests_per_minute,
            messages_per_minute=messages_per_minute,
            largest=largest,
        ),
        by_channels=_summed(head.by_channels for head in heads),
        countries=_summed(head.countries for head in heads),
        line_types=_summed(head.line_types for head in heads),
        line_types_of=sum(head.line_types_of for head in heads),
        segments_each=each,
        encoding=encoding,
        first_excluded=tuple(islice(_excluded(plan), _FIRST)),
        examples=tuple(islice(_examples(plan.read_batches()), _EXAMPLES)),
        schedule=when(heads, batches=plan.batches, messages=plan.deliveries, now_us=wall_us()),
        kind=first.asked.name,
        creates=not first.asked.sends_messages,
        opt_outs=opt_outs,
        unprotected=first.asked.repeat is Repeat.NEVER,
        filter=shown(first.identity.get("filter", ""), longest=_LONGEST_FILTER),
        group_by=first.identity["recipients"].get("group_by"),
        groups=_added(head.groups for head in heads),
        canary=sum(head.canary for head in heads),
        canary_requests=sum(head.canary_batches for head in heads),
        canary_wait_s=canary_wait_s,
    )


def _look_ups(head: Head) -> int:
    """Return how many look-ups go before the first request."""
    if not head.asked.looks_ahead:
        return 0
    return _LOOK_UPS if head.asked.sends_messages and head.text is None else _LOOK_UPS_OF_TEXT


def _opt_outs(plan: Plan) -> int:
    """Return how many recipients are to be set to have opted out."""
    return sum(
        pc.sum(pc.equal(table["parameters"], OPT_OUTS[1])).as_py() or 0
        for part in plan.parts
        for table in part.read_batch_columns(["parameters"])
    )


def _fills_minutes(head: Head) -> bool:
    """Return whether the limit of messages is why the batches of a part are as large as they are."""
    per_minute = head.limits.get("messages_per_minute", 0)
    sizes = [
        largest_batch(
            batch_size=head.limits["batch_size"],
            channels=len(head.channels),
            auto=head.channels == (Channel.AUTO,),
            body_length=max(head.body_length, utf16_length(head.text or "")),
            messages_per_minute=each,
        )
        for each in (0, per_minute)
    ]
    return bool(per_minute) and head.largest_batch == sizes[1] < sizes[0]


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Add counts up, most frequent first."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total.most_common())


def _added(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Add counts up, in the order in which they first come."""
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _excluded(plan: Plan) -> Iterator[ExcludedRow]:
    """Yield the excluded rows in the order of the lists, but for those that were meant to be.

    What is not asked for is not read.
    """
    for part in plan.parts:
        if not set(part.head.excluded) - {Reason.FILTERED}:
            continue
        for table in part.read_rows(["input_row", "reason", "error"]):
            rows = table.filter(pc.not_equal(table["reason"].cast(pa.string()), str(Reason.FILTERED)))
            for row in rows.slice(0, _FIRST).to_pylist():
                file, line = place(part.head, row["input_row"])
                yield ExcludedRow(file=file, line=line, reason=row["reason"], error=row["error"])


def place(head: Head, row: int) -> tuple[str | None, int]:
    """Return in which file of a part's list a row stands, if there are several, and on which line of it."""
    for file, rows in zip(head.lists, head.rows_by_file, strict=False):
        if row < rows:
            # The first row of a table without a header is its first line.
            header = 0 if Path(file.path).suffix.lower() in _WITHOUT_HEADER else 1
            return (Path(file.path).name if len(head.lists) > 1 else None), row + 1 + header
        row -= rows
    return None, row + 2


def _message(head: Head) -> str:
    if not head.asked.sends_messages:
        return "none: contacts are created"
    if head.text is not None:
        return f"text of {len(head.text)} characters"
    return f"template {head.template_id}" if head.template_id else f"template {head.template_name!r}"


def _examples(batches: Iterator[Batch]) -> Iterator[tuple[str, str]]:
    """Yield one recipient of each batch first, then more of the first batch."""
    chosen = list(islice(batches, _EXAMPLES))
    for batch in chosen:
        yield mask(batch.to[0]), batch.parameters.decode()
    for number in chosen[0].to[1:] if chosen else ():
        yield mask(number), chosen[0].parameters.decode()
