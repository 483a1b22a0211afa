"""A part that sends again to whom it did not reach: batches only, whose rows are those of earlier parts.

The generation is new, so that an equal body gets a new key: under the old one the API might answer from its memory.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.pacing import Source
from broadcaster.core.sizes import largest_batch, utf16_length
from broadcaster.core.values import Batch, Message
from broadcaster.core.words import Channel
from broadcaster.core.zones import read_us
from broadcaster.operations.model import Operation
from broadcaster.planning import bodies
from broadcaster.planning.again import UNDELIVERED, Selection
from broadcaster.planning.group import cut
from broadcaster.planning.pipeline import Built, built, look_at, write_batches
from broadcaster.planning.preview import Preview, preview
from broadcaster.planning.slots import Slot
from broadcaster.store.parquet import writing
from broadcaster.store.plan import Plan
from broadcaster.store.spread import CHANNELS


def generation(part: int) -> str:
    """Return the generation of the keys of a retry that is the plan's part number *part*."""
    return f"r{part}"


def build_retry(plan: Plan, chosen: Selection, *, message: Message, operation: Operation) -> Built:
    """Write ``batches-N.parquet`` of a part that sends to those *chosen* again, and what it rests on besides refusals.

    Groups and batches are made as in a first part, no larger than the largest batch that the plan has on the same
    channels.

    Args:
        plan: what is planned already.
        chosen: by :func:`broadcaster.planning.again.choose`.
        message: what the new batches share; its scope has the new generation.
        operation: of the plan.

    Raises:
        StoreError: when the disk refuses.
    """
    rows = np.flatnonzero(chosen.masks)
    wanted = _collect(plan, chosen.masks, operation)
    order, starts, ends = cut(wanted.groups[rows], largest=wanted.largest[wanted.groups[rows]])
    cuts = bodies.Cuts(
        rows=rows[order],
        starts=starts,
        ends=ends,
        numbers=wanted.numbers,
        sets=wanted.groups,
        channels=wanted.groups,
        first_row=0,  # rows are numbered through the whole plan here
        first_batch=plan.batches,
        slots=wanted.groups if wanted.slots else None,
    )
    part = len(plan.parts)
    paths = [plan.run_dir.batches(part)]
    keys = write_batches(paths[0], cuts, wanted.parameters, wanted.channels, message, operation, slots=wanted.slots)
    if len(chosen.undelivered):
        paths.append(plan.run_dir.rows(part))
        with writing(paths[1], UNDELIVERED) as writer:
            writer.write_table(chosen.undelivered)
    return built(
        cuts,
        wanted.channels,
        rows=0,
        excluded={},
        excluded_deliveries=0,
        already_planned=0,
        keys_sha256=keys,
        where=look_at(cuts),
        paths=paths,
        times=_times(wanted, rows),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is sent again: by row of the plan, group and number; by group, what all of its rows have in common."""

    groups: NDArray[np.int32]
    numbers: NDArray[np.int64]
    parameters: pa.Array
    channels: list[tuple[Channel, ...]]
    slots: list[Slot]  # by group as well, or empty: at once
    largest: NDArray[np.int32]


def _collect(plan: Plan, masks: NDArray[np.uint8], operation: Operation) -> _Wanted:
    """Read what the wanted rows were sent first; a group is no larger than the largest batch of its channels."""
    groups = np.zeros(plan.rows, dtype=np.int32)
    numbers = np.zeros(plan.rows, dtype=np.int64)
    retries = {part.head.generation for part in plan.parts if part.head.is_retry}
    found: dict[tuple[bytes, tuple[Channel, ...], Slot | None], int] = {}
    largest: dict[tuple[Channel, ...], int] = {}
    for batch, of_batch in plan.read_with_rows():
        largest[batch.channels] = max(largest.get(batch.channels, 0), len(batch.to))
        if batch.generation in retries:
            continue
        for mask in np.unique(masks[of_batch]).tolist():
            if mask:
                here = np.flatnonzero(masks[of_batch] == mask)
                group = batch.parameters, _in_order(mask, batch.channels), _slot(batch)
                groups[of_batch[here]] = found.setdefault(group, len(found))
                numbers[of_batch[here]] = [int(batch.to[position][1:]) for position in here.tolist()]
    sizes = [largest.get(channels) or _largest_on(channels, plan, operation) for _, channels, _ in found]
    return _Wanted(
        groups=groups,
        numbers=numbers,
        parameters=pa.array([parameters.decode() for parameters, _, _ in found], pa.large_string()),
        channels=[channels for _, channels, _ in found],
        slots=[slot for _, _, slot in found if slot is not None],
        largest=np.array(sizes, dtype=np.int32),
    )


def _in_order(mask: int, asked: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Return a set of channels in the order in which the job asks for them, others after these."""
    wanted = [each for at, each in enumerate(CHANNELS) if mask >> at & 1]
    return tuple([each for each in asked if each in wanted] + [each for each in wanted if each not in asked])


def _largest_on(channels: tuple[Channel, ...], plan: Plan, operation: Operation) -> int:
    """Return how many recipients a batch may have on channels that the plan has not used so far."""
    head = plan.head
    return largest_batch(
        batch_size=head.limits["batch_size"],
        channels=len(channels),
        auto=channels == (Channel.AUTO,),
        body_length=max(head.body_length, utf16_length(head.text or "")),
        messages_per_minute=head.limits.get("messages_per_minute", 0),
        hard_limit=operation.largest_batch,
    )


def _times(wanted: _Wanted, rows: NDArray[np.int64]) -> dict[str, int]:
    """Count *rows* by send time, in order of time."""
    times: dict[str, int] = {}
    for slot, count in zip(wanted.slots, np.bincount(wanted.groups[rows]).tolist(), strict=False):
        times[slot.send_at] = times.get(slot.send_at, 0) + count
    return {at: times[at] for at in sorted(times, key=read_us)}


def _slot(batch: Batch) -> Slot | None:
    """Return when a batch was to go out: the same time again, and another one if it has passed."""
    return None if batch.send_at is None else Slot(batch.send_at, batch.zones)


def preview_retry(
    plan: Plan,
    *,
    requests_per_minute: int,
    messages_per_minute: int,
    source: Source = Source.CONFIGURED,
    chosen: Selection | None = None,
) -> Preview:
    """Show the last part of *plan* alone: what it adds, not what the run was before; and why *chosen* has whom."""
    last = plan.parts[-1]
    shown = preview(
        Plan(plan.run_dir, (last,)),
        requests_per_minute=requests_per_minute,
        messages_per_minute=messages_per_minute,
        source=source,
    )
    again, left_out = (chosen.again, chosen.left_out) if chosen is not None else ({}, {})
    return replace(shown, rows=last.head.recipients, again=again, left_out=left_out, filter="")
