"""From a list to the files of a plan part.

Theory of operation. The list is read once. What must be known of all rows before anything can be decided (numbers,
faults, parameter sets) is kept as integers; what is only carried through (cells, ids) goes to a spill file at once.
Then exclusions, groups and batches are decided over the integers, and both tables are written a row group at a time.
The head is not written here: until somebody writes it, the part does not exist.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.values import Message
from broadcaster.core.words import Channel
from broadcaster.errors import ListUnusable
from broadcaster.lists.columns import Columns
from broadcaster.lists.read import ListSource
from broadcaster.operations.model import Operation
from broadcaster.phones import format_e164, normalise
from broadcaster.planning import bodies
from broadcaster.planning.exclude import DUPLICATE, ELIGIBLE, EXCLUSIONS, counts_by_reason, exclude
from broadcaster.planning.followup import Known
from broadcaster.planning.group import cut
from broadcaster.planning.render import Renderer
from broadcaster.store.files import PRIVATE, TEMPORARY, digest, disk_errors, sync
from broadcaster.store.parquet import reading, regroup, writing
from broadcaster.store.plan import BATCHES, ROW_GROUP, ROWS
from broadcaster.store.rundir import RunDir

_SPILL = pa.schema([("input_row", pa.int64()), ("recipient_id", pa.string()), ("phone_input", pa.string())])
_OPTED_OUT = frozenset({"1", "true", "t", "yes", "y", "x", "opt-out", "opted out", "opted_out", "stop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is on the list, as the job names it."""

    source: ListSource
    columns: Columns
    default_region: str | None
    suppressed: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What every batch of the part says, on which channels, and how many recipients a batch may have."""

    message: Message
    parameters: dict[str, str]
    channels: tuple[Channel, ...]
    operation: Operation
    largest_batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The tables of a part, written but not yet frozen."""

    rows: int
    excluded: dict[str, int]
    recipients: int
    batches: int
    largest_batch: int
    already_planned: int
    keys_sha256: str
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Facts:
    """Per row, in list order: all that decides."""

    numbers: NDArray[np.int64]
    faults: NDArray[np.uint8]
    sets: NDArray[np.int32]
    completeness: NDArray[np.uint8]
    opted_out: NDArray[np.int64]


def build_part(
    audience: Audience, wording: Wording, *, run_dir: RunDir, part: int, first_row: int, first_batch: int, known: Known
) -> Built:
    """Read the list and write ``plan.parquet`` and ``batches.parquet`` of *part*.

    Raises:
        ListUnusable: when the list cannot be read or has no rows.
        StoreError: when the disk refuses.
    """
    renderer = Renderer(wording.parameters)
    spill = run_dir.path / f"{TEMPORARY}rows"
    try:
        facts = _read(audience, renderer, spill)
        codes = exclude(
            facts.numbers,
            facts.faults,
            suppressed=audience.suppressed,
            opted_out=facts.opted_out,
            completeness=facts.completeness,
        )
        kept, planned = _keep(facts.numbers, codes, known, spill)
        numbers, sets, codes = facts.numbers[kept], facts.sets[kept], codes[kept]
        eligible = np.flatnonzero(codes == ELIGIBLE)
        order, starts, ends = cut(sets[eligible].astype(np.int64), largest=wording.largest_batch)
        cuts = bodies.Cuts(
            rows=eligible[order],
            starts=starts,
            ends=ends,
            numbers=numbers,
            sets=sets,
            first_row=first_row,
            first_batch=first_batch,
        )
        keys = hashlib.sha256()
        with writing(run_dir.batches(part), BATCHES) as writer:
            for table in bodies.tables(
                cuts,
                parameters=renderer.sets,
                channels=wording.channels,
                message=wording.message,
                encode=wording.operation.encode,
                keys=keys,
            ):
                writer.write_table(table, row_group_size=max(1, table.num_rows))
        batch_of = np.full(len(numbers), -1, dtype=np.int32)
        batch_of[cuts.rows] = np.repeat(np.arange(len(starts), dtype=np.int32), ends - starts) + first_batch
        _write_rows(run_dir.rows(part), spill, kept, numbers, codes, batch_of, wording.channels)
    finally:
        spill.unlink(missing_ok=True)
    files = (run_dir.rows(part), run_dir.batches(part))
    for path in files:
        with disk_errors(path):
            path.chmod(PRIVATE)
            sync(path)
    return Built(
        rows=len(numbers),
        excluded=counts_by_reason(codes),
        recipients=len(eligible),
        batches=len(starts),
        largest_batch=int((ends - starts).max(initial=0)),
        already_planned=planned,
        keys_sha256=keys.hexdigest(),
        sha256={path.name: digest(path) for path in files},
    )


def _read(audience: Audience, renderer: Renderer, spill: Path) -> _Facts:
    columns = audience.columns
    needed = [each for each in (columns.phone, columns.id, columns.region, columns.opt_out) if each is not None]
    numbers, faults, sets, completeness, opted_out = [], [], [], [], []
    row = 0
    with writing(spill, _SPILL) as writer:
        for batch in audience.source.batches(list(dict.fromkeys([*needed, *renderer.columns]))):
            cells = batch.column(columns.phone)
            region = batch.column(columns.region) if columns.region else audience.default_region
            found = normalise(cells, region, fallback=audience.default_region)
            numbers.append(found.e164)
            faults.append(found.fault)
            set_numbers, state = renderer.render(batch)
            sets.append(set_numbers)
            completeness.append(state)
            if columns.opt_out:
                opted_out.append(found.e164[_says_stop(batch.column(columns.opt_out))])
            ids = batch.column(columns.id) if columns.id else pa.nulls(batch.num_rows, pa.string())
            positions = pa.array(np.arange(row, row + batch.num_rows, dtype=np.int64))
            writer.write_table(pa.table([positions, ids, cells], schema=_SPILL))
            row += batch.num_rows
    if not row:
        raise ListUnusable("the list has a header but no rows; nothing to send")
    return _Facts(
        np.concatenate(numbers),
        np.concatenate(faults),
        np.concatenate(sets),
        np.concatenate(completeness),
        np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *opted_out])),
    )


def _says_stop(cells: pa.Array) -> NDArray[np.bool_]:
    words = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
    said: NDArray[np.bool_] = pc.is_in(words, pa.array(sorted(_OPTED_OUT))).to_numpy(zero_copy_only=False)
    return said


def _keep(
    numbers: NDArray[np.int64], codes: NDArray[np.uint8], known: Known, spill: Path
) -> tuple[NDArray[np.int64], int]:
    """Return the rows that the part keeps, and how many it leaves out because an earlier part has them."""
    if not len(known.seen):
        return np.arange(len(numbers)), 0
    with reading(spill) as file:
        cells = file.read(columns=["phone_input"])["phone_input"]
    again = known.repeats(numbers, codes, cells)
    return np.flatnonzero(~again), int(again.sum())


def _write_rows(
    path: Path,
    spill: Path,
    kept: NDArray[np.int64],
    numbers: NDArray[np.int64],
    codes: NDArray[np.uint8],
    batch_of: NDArray[np.int32],
    channels: tuple[Channel, ...],
) -> None:
    reasons = pa.array([each.reason or None for each in EXCLUSIONS], pa.string())
    sentences = pa.array([each.sentence or None for each in EXCLUSIONS], pa.string())
    first = _first_rows(numbers, codes)
    at = 0
    with writing(path, ROWS) as writer:
        for cells in regroup(_select(spill, kept), ROW_GROUP):
            here = slice(at, at + cells.num_rows)
            batches, found = batch_of[here], codes[here]
            errors = sentences.take(pa.array(found))
            if (found == DUPLICATE).any():
                errors = _name_first(errors, found, kept[first(numbers[here])])
            table = pa.table(
                [
                    cells["input_row"],
                    cells["recipient_id"],
                    cells["phone_input"],
                    format_e164(numbers[here]),
                    pa.array(["+".join(channels)] * cells.num_rows).dictionary_encode(),
                    pa.array(batches, mask=batches < 0),
                    reasons.take(pa.array(found)).dictionary_encode(),
                    errors,
                ],
                schema=ROWS,
            )
            writer.write_table(table, row_group_size=ROW_GROUP)
            at += cells.num_rows


def _select(spill: Path, kept: NDArray[np.int64]) -> Iterator[pa.Table]:
    at = 0
    with reading(spill) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            begin, end = np.searchsorted(kept, [at, at + table.num_rows]).tolist()
            yield table.take(pa.array(kept[begin:end] - at))
            at += table.num_rows


def _first_rows(
    numbers: NDArray[np.int64], codes: NDArray[np.uint8]
) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """Return a look-up from numbers to the row that is messaged; only asked about numbers that have one."""
    eligible = np.flatnonzero(codes == ELIGIBLE)
    by_number = eligible[np.argsort(numbers[eligible], kind="stable")]
    in_order = numbers[by_number]

    def first(asked: NDArray[np.int64]) -> NDArray[np.int64]:
        return by_number[np.minimum(np.searchsorted(in_order, asked), max(0, len(in_order) - 1))]

    return first


def _name_first(errors: pa.Array, codes: NDArray[np.uint8], first: NDArray[np.int64]) -> pa.Array:
    """Name, for each duplicate, the row that has the number first."""
    named = pc.binary_join_element_wise("the same number as input row ", pc.cast(pa.array(first), pa.string()), "")
    return pc.if_else(pa.array(codes == DUPLICATE), named, errors)


def discard(run_dir: RunDir, part: int) -> None:
    """Remove the tables of a part that was not frozen."""
    for path in (run_dir.rows(part), run_dir.batches(part)):
        path.unlink(missing_ok=True)
