"""From a list to the files of a plan part.

Theory of operation. The list is read once. What must be known of all rows before anything can be decided (numbers,
faults, parameter sets) is kept as integers; what is only carried through (cells, ids) goes to a spill file at once.
Then exclusions, groups and batches are decided over the integers, and both tables are written a row group at a time,
side by side. The head is not written here: until somebody writes it, the part does not exist.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.values import Message
from broadcaster.core.words import Channel
from broadcaster.operations.contacts import PARAMETERS as OPT_OUTS
from broadcaster.operations.model import Operation
from broadcaster.planning import bodies
from broadcaster.planning.ahead import beside
from broadcaster.planning.built import Built, built, look_at
from broadcaster.planning.canary import cut_with_canary, sample
from broadcaster.planning.channels import ChannelSets
from broadcaster.planning.contacts import contacts_of
from broadcaster.planning.exclude import ELIGIBLE, Excluded, counts_by_reason, exclude, is_in
from broadcaster.planning.followup import Known
from broadcaster.planning.group import in_groups
from broadcaster.planning.grouping import Groups
from broadcaster.planning.intake import Audience, Intake, carried, take_in
from broadcaster.planning.render import Renderer
from broadcaster.planning.rowtable import Decided, write_rows
from broadcaster.planning.share import OTHERS
from broadcaster.planning.slots import Slot, Timed, ZoneNames
from broadcaster.planning.timing import Timing
from broadcaster.store.files import TEMPORARY
from broadcaster.store.parquet import writing
from broadcaster.store.plan import BATCHES, BATCHES_REPEATED
from broadcaster.store.rundir import RunDir

N = TypeVar("N", bound=np.generic)

__all__ = ["Audience", "Built", "Wording", "build_part", "built", "discard", "look_at", "write_batches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What every batch of the part says, and on which channels where the list names none.

    ``largest_batch`` says how many recipients a batch on given channels may have; ``canary`` how many recipients are in
    batches of their own in front.
    """

    message: Message
    parameters: dict[str, str]
    channels: tuple[Channel, ...]
    operation: Operation
    largest_batch: Callable[[tuple[Channel, ...]], int]
    canary: int = 0


def build_part(
    audience: Audience,
    wording: Wording,
    *,
    run_dir: RunDir,
    part: int,
    first_row: int,
    first_batch: int,
    known: Known,
    timing: Timing | None = None,
) -> Built:
    """Read the list and write ``plan.parquet`` and ``batches.parquet`` of *part*; *timing* says when to send.

    Raises:
        ListUnusable: when the list cannot be read or has no rows.
        StoreError: when the disk refuses.
    """
    renderer = Renderer(wording.parameters)
    channel_sets = ChannelSets(wording.channels)
    asks_opt_outs = wording.operation.takes_opt_outs
    spill = run_dir.path / f"{TEMPORARY}rows"
    rows_path = run_dir.rows(part)
    try:
        zone_names = ZoneNames() if timing is not None and timing.is_local else None
        groups = Groups() if audience.columns.group_by else None
        intake = take_in(audience, renderer, channel_sets, zone_names, groups=groups, spill=spill)
        timed = timing.slots(intake.numbers, intake.zones, zone_names) if timing is not None else Timed.none()
        excluded = exclude(
            intake.numbers,
            intake.faults,
            suppressed=audience.suppressed,
            opted_out=intake.opted_out[:0] if asks_opt_outs else intake.opted_out,
            completeness=intake.completeness,
            outside=intake.outside,
            whose=intake.whose,
            channels=intake.channels if audience.columns.channel else None,
            slots=timed.codes if len(timed.codes) else None,  # also where no time suits anybody
            also_same=contacts_of(renderer.sets, intake.sets) if audience.columns.contact_id else None,
        )
        kept = _keep(intake, excluded, known, spill)
        # Where opt-outs are asked for, they are all that the requests say besides the numbers.
        asked = is_in(intake.numbers, intake.opted_out).astype(np.int32) if asks_opt_outs else intake.sets
        parameters = pa.array(OPT_OUTS, pa.large_string()) if asks_opt_outs else renderer.sets
        numbers, sets = _of(intake.numbers, kept), _of(asked, kept)
        channels, codes = _of(intake.channels, kept), _of(excluded.codes, kept)
        repeats, malformed, already_planned = excluded.repeats, intake.malformed, _own(intake) - len(numbers)
        rows_by_file = intake.rows_by_file
        slots = _of(timed.codes, kept) if timed.slots else None
        grouped = _of(intake.groups, kept) if intake.groups is not None else None
        del intake, excluded  # of what follows, only what it needs stays in memory
        widths = np.array([len(each) for each in channel_sets.sets])
        cuts, canary_batches = _cuts(
            numbers, sets, channels, codes, wording, channel_sets, slots, grouped, first_row, first_batch
        )
        by_group = groups.counts(grouped[codes == ELIGIBLE]) if groups is not None and grouped is not None else {}
        times, zones = timed.counts(cuts.rows if kept is None else kept[cuts.rows])
        sizes = cuts.ends - cuts.starts
        batches = np.full(len(numbers), -1, dtype=np.int32)
        batches[cuts.rows] = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes) + first_batch
        decided = Decided(
            kept=kept,
            numbers=numbers,
            codes=codes,
            batches=batches,
            channels=channels,
            channel_sets=channel_sets.sets,
            repeats=repeats,
            same="number or contact" if audience.columns.contact_id else "number",
            malformed=malformed,
        )
        with beside(lambda: write_rows(rows_path, spill, decided)):
            keys = write_batches(
                run_dir.batches(part),
                cuts,
                parameters,
                channel_sets.sets,
                wording.message,
                wording.operation,
                slots=timed.slots,
            )
            where = look_at(cuts)
    finally:
        spill.unlink(missing_ok=True)
    return built(
        cuts,
        channel_sets.sets,
        rows=len(numbers),
        excluded=counts_by_reason(codes),
        excluded_deliveries=int(widths[np.maximum(channels[codes != ELIGIBLE], 0)].sum()),
        already_planned=already_planned,
        keys_sha256=keys,
        where=where,
        paths=(rows_path, run_dir.batches(part)),
        rows_by_file=rows_by_file,
        times=times,
        zones=zones,
        canary_batches=canary_batches,
        groups=by_group,
    )


def write_batches(
    path: Path,
    cuts: bodies.Cuts,
    parameters: pa.Array,
    channel_sets: Sequence[tuple[Channel, ...]],
    message: Message,
    operation: Operation,
    *,
    slots: Sequence[Slot] = (),
) -> str:
    """Write ``batches.parquet`` and return the digest of its keys.

    Raises:
        StoreError: when the disk refuses.
    """
    keys = hashlib.sha256()
    with writing(path, BATCHES, repeated=BATCHES_REPEATED) as writer:
        for table in bodies.tables(
            cuts,
            parameters=parameters,
            channels=channel_sets,
            slots=slots,
            message=message,
            encode=operation.encode,
            keys=keys,
        ):
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    return keys.hexdigest()


def _cuts(
    numbers: NDArray[np.int64],
    sets: NDArray[np.int32],
    channels: NDArray[np.int16],
    codes: NDArray[np.uint8],
    wording: Wording,
    channel_sets: ChannelSets,
    slots: NDArray[np.int32] | None,
    grouped: NDArray[np.int32] | None,
    first_row: int,
    first_batch: int,
) -> tuple[bodies.Cuts, int]:
    """Decide who is in which batch: rows of equal parameters, channels and send times together; the canary alone.

    Where rows are *grouped*, those of one group only, and one group after the other.

    Returns:
        The cuts, and how many of them, from the first on, are the canary's.
    """
    eligible = np.flatnonzero(codes == ELIGIBLE)
    several = len(channel_sets.sets)
    groups = sets[eligible] if several == 1 else sets[eligible].astype(np.int64) * several + channels[eligible]
    if slots is not None:
        groups = groups.astype(np.int64) * (int(slots.max(initial=0)) + 1) + slots[eligible]
    if grouped is not None:
        groups = groups.astype(np.int64) * (int(grouped.max(initial=0)) + 1) + grouped[eligible]
    limits = np.array([wording.largest_batch(each) for each in channel_sets.sets], dtype=np.int32)
    largest = int(limits[0]) if several == 1 else limits[channels[eligible]]
    order, starts, ends, in_front = cut_with_canary(
        groups, largest, sample(numbers[eligible], channels[eligible], sets[eligible], count=wording.canary)
    )
    if grouped is not None:
        order, starts, ends = in_groups(order, starts, ends, grouped[eligible], ahead=in_front)
    cuts = bodies.Cuts(
        rows=eligible[order],
        starts=starts,
        ends=ends,
        numbers=numbers,
        sets=sets,
        channels=channels,
        first_row=first_row,
        first_batch=first_batch,
        slots=slots,
    )
    return cuts, in_front


def _keep(intake: Intake, excluded: Excluded, known: Known, spill: Path) -> NDArray[np.int64] | None:
    """Return the rows that the part keeps, ``None`` for all: an earlier part or another plan may have some of them."""
    own = None if intake.whose is None else intake.whose != OTHERS
    if not len(known.seen):
        return None if own is None else np.flatnonzero(own)
    cells = pa.chunked_array([batch.column("phone_input") for batch in carried(spill)], pa.string())
    fresh = ~known.repeats(intake.numbers, excluded.codes, cells, intake.malformed)
    return np.flatnonzero(fresh if own is None else fresh & own)


def _own(intake: Intake) -> int:
    """Return how many rows of the list are this plan's."""
    return len(intake.numbers) if intake.whose is None else int((intake.whose != OTHERS).sum())


def _of(column: NDArray[N], kept: NDArray[np.int64] | None) -> NDArray[N]:
    return column if kept is None else column[kept]


def discard(run_dir: RunDir, part: int) -> None:
    """Remove the tables of a part that was not frozen."""
    for path in (run_dir.rows(part), run_dir.batches(part), *run_dir.kept_lists(part)):
        path.unlink(missing_ok=True)
