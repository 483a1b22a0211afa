"""``plan.parquet``: the rows in the order of the list, each in a batch or excluded with a reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.words import Channel
from broadcaster.phones import format_e164
from broadcaster.planning.ahead import one_behind
from broadcaster.planning.exclude import DUPLICATE, EXCLUSIONS, MALFORMED, Repeats
from broadcaster.planning.intake import carried
from broadcaster.store.parquet import regroup, writing
from broadcaster.store.plan import ROW_GROUP, ROWS, ROWS_REPEATED

_REASONS = pa.array([each.reason or None for each in EXCLUSIONS], pa.string())
_SENTENCES = pa.array([each.sentence or None for each in EXCLUSIONS], pa.string())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided about every row that the part keeps.

    Attributes:
        kept: their positions in the list; ``None`` when it keeps all.
        numbers: E.164 digits, 0 for none.
        codes: of their exclusion.
        batches: -1 where a row is in none.
        channels: which of *channel_sets* a row has; negative where that is unknown.
        channel_sets: the job's own first.
        repeats: of the list, not of what is kept.
        same: what they have in common with an earlier row.
        malformed: what is wrong with rows that cannot be read, by position in the list.
    """

    kept: NDArray[np.int64] | None
    numbers: NDArray[np.int64]
    codes: NDArray[np.uint8]
    batches: NDArray[np.int32]
    channels: NDArray[np.int16]
    channel_sets: Sequence[tuple[Channel, ...]]
    repeats: Repeats
    same: str
    malformed: Mapping[int, str]


def write_rows(path: Path, spill: Path, decided: Decided) -> None:
    """Write ``plan.parquet``; the cells come from *spill*.

    Raises:
        StoreError: when the disk refuses.
    """
    at = 0
    with (
        writing(path, ROWS, repeated=ROWS_REPEATED) as writer,
        one_behind(lambda table: writer.write_table(table, row_group_size=ROW_GROUP)) as write,
    ):
        for cells in regroup(_select(spill, decided.kept), ROW_GROUP):
            here = slice(at, at + cells.num_rows)
            at += cells.num_rows
            write(table_of(cells, decided, here))


def table_of(cells: pa.Table, decided: Decided, here: slice) -> pa.Table:
    """Return the rows *here* as a row group of ``plan.parquet``; *cells* are theirs alone."""
    rows = np.arange(here.start, here.stop) if decided.kept is None else decided.kept[here]
    codes, batches = pa.array(decided.codes[here]), decided.batches[here]
    names = pa.array(["+".join(each) for each in decided.channel_sets], pa.string())
    sets = np.maximum(decided.channels[here], 0).astype(np.int32)  # unknown: those that the job would use
    return pa.table(
        [
            pa.array(rows),
            cells["recipient_id"],
            cells["phone_input"],
            format_e164(decided.numbers[here]),
            pa.DictionaryArray.from_arrays(pa.array(sets), names),
            pa.array(batches, mask=batches < 0),
            _REASONS.take(codes).dictionary_encode(),
            _errors(rows, decided.codes[here], decided),
        ],
        schema=ROWS,
    )


def _select(spill: Path, kept: NDArray[np.int64] | None) -> Iterator[pa.Table]:
    at = 0
    for batch in carried(spill):
        table = pa.Table.from_batches([batch])
        if kept is not None:
            begin, end = np.searchsorted(kept, [at, at + batch.num_rows]).tolist()
            table = table.take(pa.array(kept[begin:end] - at))
        at += batch.num_rows
        yield table


def _errors(rows: NDArray[np.int64], codes: NDArray[np.uint8], decided: Decided) -> pa.Array:
    """Return each row's sentence; of a duplicate it names the row that has the number first."""
    errors = _SENTENCES.take(pa.array(codes))
    again = codes == DUPLICATE
    if again.any():
        first = decided.repeats.first[np.searchsorted(decided.repeats.rows, rows[again])]
        same = f"the same {decided.same} as input row "
        named = pc.binary_join_element_wise(same, pa.array(first).cast(pa.string()), "")
        errors = pc.replace_with_mask(errors, pa.array(again), named)
    unread = codes == MALFORMED
    if unread.any():
        own = [decided.malformed.get(row, EXCLUSIONS[MALFORMED].sentence) for row in rows[unread].tolist()]
        errors = pc.replace_with_mask(errors, pa.array(unread), pa.array(own, pa.string()))
    return errors
