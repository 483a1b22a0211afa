"""The row groups of both tables of a part, made anywhere: the same Arrow tables that one machine would write.

``plan.parquet`` is in the order of the list: a row group takes rows of one or several pieces. ``batches.parquet`` is in
the order of sending; where its row groups begin depends on the sizes of all batches before, so that is told from one
stretch of groups to the next (:func:`open_groups`), and only then the people are brought together.

How a column is cut into chunks shows in the bytes of a file, and the digests of both files are part of the plan: what
is put together here is cut as there.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.cluster.frames import unpack
from broadcaster.cluster.numbering import Terms
from broadcaster.cluster.ordering import Grouped, Ranked, Seated
from broadcaster.cluster.reading import Judged
from broadcaster.cluster.standing import Settled, Standing
from broadcaster.core.values import Batch, Message
from broadcaster.core.words import Channel
from broadcaster.phones import origins
from broadcaster.planning import bodies
from broadcaster.planning.exclude import Repeats
from broadcaster.planning.rowtable import Decided, table_of
from broadcaster.planning.slots import Slot
from broadcaster.store.plan import BATCHES

Opening = tuple[int, int]
"""Where a row group begins: people and batches before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Consecutive rows of a piece, decided: the cells as record batches, the rest by row."""

    cells: tuple[pa.RecordBatch, ...]
    decided: Decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A stretch of the order of sending: people by position, and what their batches say, by batch.

    ``begin`` is the position of the first of them, ``opens`` those of the first ones of batches.
    """

    begin: int
    rows: NDArray[np.int64]
    numbers: NDArray[np.int64]
    opens: NDArray[np.int64]
    texts: pa.Array
    channels: NDArray[np.int16]
    slots: NDArray[np.int32]

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        return self.rows.nbytes * 2 + self.opens.nbytes * 2 + int(self.texts.nbytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A row group on its way to the file, cut into chunks as it has to be; the digest of keys is taken of ``keys``."""

    columns: tuple[pa.Array | pa.ChunkedArray, ...]
    keys: bytes = b""

    @classmethod
    def of(cls, table: pa.Table, *, keys: bytes = b"") -> "Wire":
        """Take a table apart: as a table Dask would cut all columns alike."""
        return cls(columns=tuple(table.columns), keys=keys)

    def table(self, schema: pa.Schema) -> pa.Table:
        """Return the table."""
        return pa.table(list(self.columns), schema=schema)

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        return sum(int(each.nbytes) for each in self.columns) + sys.getsizeof(self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """What batches are made of besides people: see :func:`broadcaster.planning.bodies.tables`."""

    message: Message
    encode: Callable[[Message, Batch], bytes]
    channel_sets: tuple[tuple[Channel, ...], ...]
    slots: tuple[Slot, ...]
    first_row: int
    first_batch: int


# ---- plan.parquet ----------------------------------------------------------------------------------------------------


def rows_of(
    judged: Judged,
    standing: Standing,
    settled: Settled,
    grouped: Grouped,
    seated: Seated,
    terms: Terms,
    *,
    begin: int,
    end: int,
    channel_sets: Sequence[tuple[Channel, ...]],
    first_batch: int,
) -> Rows:
    """Return the rows from *begin* to *end* of a piece, counted within it."""
    low, high = np.searchsorted(grouped.rows, [begin, end])
    batches = np.full(end - begin, -1, dtype=np.int32)
    batches[grouped.rows[low:high] - begin] = seated.batches[low:high] + np.int32(first_batch)
    again = slice(*np.searchsorted(settled.repeats.rows, [begin + terms.first, end + terms.first]))
    malformed = judged.intake.malformed
    return Rows(
        cells=tuple(_cells(judged, begin, end)),
        decided=Decided(
            kept=np.arange(begin, end) + terms.first,
            numbers=judged.intake.numbers[begin:end],
            codes=settled.codes[begin:end],
            batches=batches,
            channels=standing.channels[begin:end],
            channel_sets=tuple(channel_sets),
            repeats=Repeats(settled.repeats.rows[again], settled.repeats.first[again]),
            same="number",
            malformed={row + terms.first: malformed[row] for row in malformed if begin <= row < end},
        ),
    )


def row_group(pieces: Sequence[Rows]) -> Wire:
    """Return rows that follow each other as one row group."""
    decided = [each.decided for each in pieces]
    malformed: dict[int, str] = {}
    for each in decided:
        malformed |= each.malformed
    whole = Decided(
        kept=np.concatenate([each.kept for each in decided if each.kept is not None]),
        numbers=np.concatenate([each.numbers for each in decided]),
        codes=np.concatenate([each.codes for each in decided]),
        batches=np.concatenate([each.batches for each in decided]),
        channels=np.concatenate([each.channels for each in decided]),
        channel_sets=decided[0].channel_sets,
        repeats=Repeats(
            np.concatenate([each.repeats.rows for each in decided]),
            np.concatenate([each.repeats.first for each in decided]),
        ),
        same=decided[0].same,
        malformed=malformed,
    )
    cells = pa.Table.from_batches([batch for each in pieces for batch in each.cells])
    return Wire.of(table_of(cells, whole, slice(0, len(whole.numbers))))


def _cells(judged: Judged, begin: int, end: int) -> list[pa.RecordBatch]:
    """Return the cells of some rows, in the record batches in which they were read."""
    found: list[pa.RecordBatch] = []
    reader = pa.ipc.open_file(pa.BufferReader(judged.cells))
    at = 0
    for number, length in enumerate(judged.lengths):
        low, high = max(begin - at, 0), min(end - at, length)
        if low < high:
            found.append(reader.get_batch(number).slice(low, high - low))
        at += length
    return found


# ---- batches.parquet -------------------------------------------------------------------------------------------------


def open_groups(
    ranked: Ranked, before: tuple[tuple[Opening, ...], int | None], *, position: int, batch: int
) -> tuple[tuple[Opening, ...], int | None]:
    """Return where row groups begin in a stretch of groups, and the last position where one has begun so far.

    Args:
        ranked: the groups.
        before: what this returned of the stretch before; of the first one, nothing and ``None``.
        position: how many people are before the stretch.
        batch: how many batches.
    """
    pieces, (_, opened) = ranked.batches, before
    ends = _ends(ranked.total, ranked.limit, pieces) + position
    starts = np.concatenate([[position], ends[:-1]])[: len(ends)]
    found: list[Opening] = []
    at = -1
    while True:
        at = 0 if opened is None else max(bodies.group_end(ends, opened=opened), at + 1)
        if at >= len(ends):
            return tuple(found), opened
        opened = int(starts[at])
        found.append((opened, batch + at))


def bring(people: Any, openings: Any, *, begin: int) -> Sending:
    """Bring the people of a partition into the order of sending; its first position is *begin*."""
    who, what = unpack(people), unpack(openings)
    by_position, by_opening = np.argsort(who["position"]), np.argsort(what["position"])
    return Sending(
        begin=begin,
        rows=who["row"][by_position],
        numbers=who["number"][by_position],
        opens=what["position"][by_opening],
        texts=what["text"].take(pa.array(by_opening)),
        channels=what["channel"][by_opening],
        slots=what["slot"][by_opening],
    )


def batch_group(sending: Sending, saying: Saying, *, begin: int, end: int, batch: int) -> Wire:
    """Return the batches of the positions from *begin* to *end* as one row group; *batch* is the first one's number."""
    low, high = np.searchsorted(sending.opens, [begin, end])
    starts = sending.opens[low:high] - begin
    here = slice(begin - sending.begin, end - sending.begin)
    numbers = sending.numbers[here]
    by_person: dict[str, Any] = {}
    for name, values in (
        ("sets", np.arange(high - low, dtype=np.int32)),
        ("channels", sending.channels[low:high]),
        ("slots", sending.slots[low:high]),
    ):
        by_person[name] = np.zeros(len(numbers), dtype=values.dtype)
        by_person[name][starts] = values  # only the first one of a batch is asked
    if not saying.slots:
        del by_person["slots"]
    keys = _Gathered()
    (table,) = bodies.tables(
        bodies.Cuts(
            rows=np.arange(len(numbers)),
            starts=starts,
            ends=np.append(starts[1:], len(numbers)),
            numbers=numbers,
            first_row=0,
            first_batch=saying.first_batch + batch,
            **by_person,
        ),
        parameters=sending.texts.slice(low, high - low),
        channels=saying.channel_sets,
        slots=saying.slots,
        message=saying.message,
        encode=saying.encode,
        keys=keys,
    )
    at = BATCHES.get_field_index("rows")
    offsets = table.column(at).chunk(0).offsets
    rows = pa.ListArray.from_arrays(offsets, pa.array(sending.rows[here] + saying.first_row))
    return Wire.of(table.set_column(at, BATCHES.field(at), rows), keys=bytes(keys.letters))


def look(sending: Sending, *, every: int) -> tuple[origins.Beginnings, NDArray[np.int64]]:
    """Return how the numbers of a stretch begin, and those at the positions that *every* divides."""
    return origins.begin(sending.numbers), sending.numbers[-sending.begin % every :: every]


class _Gathered:
    """What a digest would be fed."""

    def __init__(self) -> None:
        self.letters = bytearray()

    def update(self, data: bytes, /) -> None:
        self.letters += data


def _ends(total: NDArray[np.int64], limit: NDArray[np.int64], pieces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each batch of some groups ends, from their beginning on."""
    number = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    sizes = np.minimum(np.repeat(limit, pieces), np.repeat(total, pieces) - number * np.repeat(limit, pieces))
    return np.cumsum(sizes)
