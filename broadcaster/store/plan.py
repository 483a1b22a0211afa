"""The plan on disk: a chain of frozen parts, each a head (``plan.json``) and two tables.

``plan.parquet`` keeps the order of the list; its rows are the manifest's rows. ``batches.parquet`` keeps the order of
sending. Row numbers and batch numbers run on over the parts. Nothing frozen is edited: the head is written last, names
the digests of both tables and of the part before it, and without it the part does not exist.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.values import Batch
from broadcaster.core.words import Channel
from broadcaster.errors import StoreDamaged
from broadcaster.store.files import digest
from broadcaster.store.head import Head, parse_channels
from broadcaster.store.parquet import reading
from broadcaster.store.rundir import RunDir

ROW_SHIFT = 17
ROW_GROUP = 1 << ROW_SHIFT  # rows: the group of a row is a shift

ROWS = pa.schema(
    [
        ("input_row", pa.int64()),
        ("recipient_id", pa.string()),
        ("phone_input", pa.string()),
        ("to", pa.string()),
        ("channels", pa.dictionary(pa.int32(), pa.string())),
        ("batch", pa.int32()),
        ("reason", pa.dictionary(pa.int32(), pa.string())),
        ("error", pa.string()),
    ]
)
BATCHES = pa.schema(
    [
        ("batch", pa.int32()),
        ("idempotency_key", pa.string()),
        ("parameters", pa.string()),
        ("send_at", pa.string()),
        ("channels", pa.dictionary(pa.int32(), pa.string())),
        ("rows", pa.list_(pa.int64())),
        ("to", pa.list_(pa.string())),
        ("zones", pa.dictionary(pa.int32(), pa.string())),  # a plan that is older than schedules has none
    ]
)
# Numbers and rows are all different: looking for repeated values among them would take longer than to write them.
ROWS_REPEATED = ("channels", "batch", "reason", "error", "recipient_id")
BATCHES_REPEATED = ("channels",)
BETWEEN_ZONES = "|"  # names have "+" and "/" in them


@dataclass(frozen=True, slots=True)
class Part:
    """One frozen part: its head and where its tables are."""

    head: Head
    rows_path: Path | None
    batches_path: Path

    def read_rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows in list order, a row group at a time; nothing for a part that adds batches only."""
        if self.rows_path is not None:
            with reading(self.rows_path) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=columns)

    def read_batch_columns(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield columns of the batches in sending order, a row group at a time."""
        with reading(self.batches_path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=list(columns))


@dataclass(frozen=True, slots=True)
class Plan:
    """All parts of a run's plan."""

    run_dir: RunDir
    parts: tuple[Part, ...]

    @classmethod
    def open(cls, run_dir: RunDir) -> "Plan":
        """Read the heads and check their chain; the tables are read when they are needed.

        Raises:
            ConfigError: when no plan is here.
            StoreDamaged: when a head is damaged or the chain is broken.
        """
        run_dir.require_planned()
        parts: list[Part] = []
        before: str | None = None
        while (path := run_dir.head(len(parts))).exists():
            content = path.read_bytes()
            head = Head.from_json(content, path=path)
            if head.previous != before or head.part != len(parts):
                raise StoreDamaged(f"{path} does not follow the part before it; restore the directory from a copy")
            rows = run_dir.rows(head.part) if not head.is_retry else None
            parts.append(Part(head, rows, run_dir.batches(head.part)))
            before = digest(path)
        return cls(run_dir, tuple(parts))

    @property
    def head(self) -> Head:
        """The first part's head."""
        return self.parts[0].head

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.head.rows for part in self.parts)

    @property
    def batches(self) -> int:
        """Planned batches of all parts."""
        return sum(part.head.batches for part in self.parts)

    @property
    def deliveries(self) -> int:
        """Messages that all parts ask for; one that is asked for again on its channel is one."""
        added = sum(part.head.added for part in self.parts[1:])
        return sum(part.head.deliveries for part in self._counted) + added

    @property
    def recipients(self) -> int:
        """People whom all parts message."""
        return sum(part.head.recipients for part in self._counted)

    @property
    def _counted(self) -> tuple[Part, ...]:
        """The parts that bring people into the plan: a retry messages people of earlier parts."""
        return (self.parts[0], *(part for part in self.parts[1:] if not part.head.is_retry))

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every channel that anybody is messaged on."""
        used = {channel for part in self.parts for channel in part.head.all_channels}
        return tuple(channel for channel in Channel if channel in used)

    @property
    def keys_sha256(self) -> str:
        """Digest of all idempotency keys: plans that agree in it send the same requests."""
        keys = [part.head.keys_sha256 for part in self.parts]
        return keys[0] if len(keys) == 1 else hashlib.sha256("\n".join(keys).encode()).hexdigest()

    @property
    def excluded(self) -> dict[str, int]:
        """Excluded rows of all parts, by reason."""
        counts: Counter[str] = Counter()
        for part in self.parts:
            counts.update(part.head.excluded)
        return dict(counts)

    @property
    def fingerprint(self) -> str:
        """Digest of the last head, and so of the whole chain."""
        return digest(self.run_dir.head(len(self.parts) - 1))

    def part_of(self, batch: int) -> Part:
        """Return the part that planned a batch."""
        return next(part for part in reversed(self.parts) if batch >= part.head.first_batch)

    def read_batches(self, wanted: Callable[[NDArray[np.int32]], NDArray[np.bool_]] | None = None) -> Iterator[Batch]:
        """Yield batches in sending order.

        *wanted* is asked per row group with the batch numbers; row groups of which nothing is wanted are not decoded.
        """
        for part in self.parts:
            with reading(part.batches_path) as file:
                for group in range(file.num_row_groups):
                    numbers = file.read_row_group(group, columns=["batch"])["batch"].to_numpy()
                    chosen = np.ones(len(numbers), dtype=bool) if wanted is None else wanted(numbers)
                    if chosen.any():
                        yield from _batches(part.head, file.read_row_group(group), np.flatnonzero(chosen).tolist())

    def read_with_rows(self) -> Iterator[tuple[Batch, NDArray[np.int64]]]:
        """Yield every planned batch in sending order with the row numbers of its recipients."""
        for part in self.parts:
            with reading(part.batches_path) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group).combine_chunks()
                    rows = table["rows"].chunk(0)
                    flat, starts = rows.values.to_numpy(), rows.offsets.to_pylist()
                    for at, batch in enumerate(_batches(part.head, table, list(range(table.num_rows)))):
                        yield batch, flat[starts[at] : starts[at + 1]]

    def holding(self, row: int) -> Iterator[tuple[Batch, int]]:
        """Yield the planned batches that *row* is in, with its position there: one for each part that sends to it."""
        for part in self.parts:
            with reading(part.batches_path) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group, columns=["rows"])["rows"].combine_chunks()
                    rows = rows.chunk(0) if isinstance(rows, pa.ChunkedArray) else rows
                    starts = rows.offsets.to_numpy()
                    places = np.flatnonzero(rows.values.to_numpy() == row)
                    batches = np.searchsorted(starts, places, side="right") - 1
                    if len(places):
                        found = _batches(part.head, file.read_row_group(group), batches.tolist())
                        yield from zip(found, (places - starts[batches]).tolist(), strict=True)

    def fetch(self, numbers: Sequence[int]) -> dict[int, Batch]:
        """Return the planned batches with these numbers."""
        asked = np.array(sorted(numbers), dtype=np.int32)
        return {batch.id: batch for batch in self.read_batches(lambda ids: np.isin(ids, asked))} if numbers else {}

    def sizes(self) -> NDArray[np.int64]:
        """Return the deliveries of each planned batch, indexed by its number."""
        recipients, channels = self.shapes()
        return recipients * channels

    def shapes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many recipients and how many channels each planned batch has, indexed by its number."""
        recipients, channels = np.zeros((2, self.batches), dtype=np.int64)
        for part in self.parts:
            with reading(part.batches_path) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group, columns=["batch", "rows", "channels"]).combine_chunks()
                    numbers = table["batch"].to_numpy()
                    recipients[numbers] = table["rows"].chunk(0).value_lengths().to_numpy()
                    channels[numbers] = widths(table["channels"])
        return recipients, channels


def widths(written: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return how many channels each cell of a ``channels`` column names."""
    column = written.combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    named = np.array([len(parse_channels(each)) for each in column.dictionary.to_pylist()], dtype=np.int64)
    found: NDArray[np.int64] = named[column.indices.to_numpy()]
    return found


def _batches(head: Head, table: pa.Table, chosen: list[int]) -> Iterator[Batch]:
    table = table.combine_chunks()
    to = table["to"].chunk(0)
    numbers, starts = to.values.to_pylist(), to.offsets.to_pylist()
    ids, keys = table["batch"].to_pylist(), table["idempotency_key"].to_pylist()
    parameters, send_at = table["parameters"].to_pylist(), table["send_at"].to_pylist()
    channels = table["channels"].to_pylist()
    zones: list[str | None] = table["zones"].to_pylist() if "zones" in table.column_names else [None] * len(ids)
    known = {written: parse_channels(written) for written in set(channels)}
    for at in chosen:
        yield Batch(
            id=ids[at],
            key=keys[at],
            to=tuple(numbers[starts[at] : starts[at + 1]]),
            channels=known[channels[at]],
            parameters=parameters[at].encode(),
            send_at=send_at[at],
            generation=head.generation,
            zones=tuple((zones[at] or "").split(BETWEEN_ZONES)) if zones[at] else (),
        )
