"""A part that sends again to whom the API refused: batches only, whose rows are those of earlier parts.

The generation is new, so that an equal body gets a new key: under the old one the API might answer from its memory.
"""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.pacing import Source
from broadcaster.core.values import Batch, Message
from broadcaster.core.words import Channel
from broadcaster.core.zones import read_us
from broadcaster.operations.model import Operation
from broadcaster.planning import bodies
from broadcaster.planning.group import cut
from broadcaster.planning.pipeline import Built, built, look_at, write_batches
from broadcaster.planning.preview import Preview, preview
from broadcaster.planning.slots import Slot
from broadcaster.store.plan import Plan


def generation(part: int) -> str:
    """Return the generation of the keys of a retry that is the plan's part number *part*."""
    return f"r{part}"


def build_retry(plan: Plan, rows: NDArray[np.int64], *, message: Message, operation: Operation) -> Built:
    """Write ``batches-N.parquet`` of a part that sends to *rows* again.

    Groups and batches are made as in a first part, no larger than the largest batch that the plan has.

    Args:
        plan: what is planned already.
        rows: numbers of rows that are in batches of *plan*, ascending.
        message: what the new batches share; its scope has the new generation.
        operation: of the plan.

    Raises:
        StoreError: when the disk refuses.
    """
    wanted = _collect(plan, rows)
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
    path = plan.run_dir.batches(len(plan.parts))
    keys = write_batches(path, cuts, wanted.parameters, wanted.channels, message, operation, slots=wanted.slots)
    return built(
        cuts,
        wanted.channels,
        rows=0,
        excluded={},
        excluded_deliveries=0,
        already_planned=0,
        keys_sha256=keys,
        where=look_at(cuts),
        paths=(path,),
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


def _collect(plan: Plan, rows: NDArray[np.int64]) -> _Wanted:
    """Read what *rows* were sent; a group is no larger than the largest batch of its channels."""
    groups = np.zeros(plan.rows, dtype=np.int32)
    numbers = np.zeros(plan.rows, dtype=np.int64)
    wanted = np.zeros(plan.rows, dtype=bool)
    wanted[rows] = True
    found: dict[tuple[bytes, tuple[Channel, ...], Slot | None], int] = {}
    largest: dict[tuple[Channel, ...], int] = {}
    for batch, of_batch in plan.read_with_rows():
        largest[batch.channels] = max(largest.get(batch.channels, 0), len(batch.to))
        here = np.flatnonzero(wanted[of_batch])
        if len(here):
            groups[of_batch[here]] = found.setdefault((batch.parameters, batch.channels, _slot(batch)), len(found))
            numbers[of_batch[here]] = [int(batch.to[position][1:]) for position in here.tolist()]
    return _Wanted(
        groups=groups,
        numbers=numbers,
        parameters=pa.array([parameters.decode() for parameters, _, _ in found], pa.large_string()),
        channels=[channels for _, channels, _ in found],
        slots=[slot for _, _, slot in found if slot is not None],
        largest=np.array([largest[channels] for _, channels, _ in found], dtype=np.int32),
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
    plan: Plan, *, requests_per_minute: int, messages_per_minute: int, source: Source = Source.CONFIGURED
) -> Preview:
    """Show the last part of *plan* alone: what it adds, not what the run was before."""
    last = plan.parts[-1]
    shown = preview(
        Plan(plan.run_dir, (last,)),
        requests_per_minute=requests_per_minute,
        messages_per_minute=messages_per_minute,
        source=source,
    )
    return replace(shown, rows=last.head.recipients)
