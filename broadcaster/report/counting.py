"""The manifest, counted column by column: one pass, no object for a row.

Theory of operation. All that a report counts by (status, reason, channel, delivery columns) has few distinct values, so
that a group-by over each row group leaves a handful of *cells*, and everything else is a sum over cells. What has many
values is handled as arrays: numbers as 64-bit integers by outcome, for the countries, and moments by the second.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.words import Channel, Status
from broadcaster.report.figures import Outcome
from broadcaster.report.outcomes import outcome_of
from broadcaster.store.parquet import reading

W = TypeVar("W")
EXAMPLES = 3
"""Rows that are shown of each reason for an exclusion."""
_BY = ["status", "reason", "channel", "delivery_status", "delivery_channel", "delivery_reason"]
_TIMES = ["first_attempt_at", "settled_at", "delivery_updated_at"]
_ROW = ["status", "reason", "input_row", "phone_input", "to", "error", "part"]
_CHANNELS = len(Channel)  # rows that one row of the list may have
_S = 1_000_000  # microseconds
_FEW = 1 << 17  # seconds
_MOST_CELLS = 10_000  # more distinct reasons than anybody reads: the sentences of an API that has no codes


class Cell(NamedTuple):
    """What rows have in common that are counted together."""

    status: str
    reason: str | None
    channel: str
    delivery_status: str | None
    delivery_channel: str | None
    delivery_reason: str | None

    @property
    def outcome(self) -> Outcome:
        """See :func:`~broadcaster.report.outcomes.outcome_of`."""
        return outcome_of(self.status, self.delivery_status)


class Sample(NamedTuple):
    """An excluded row that is shown."""

    part: int
    input_row: int
    phone_input: str
    to: str | None
    error: str


@dataclass(slots=True)
class Counted:
    """What the manifest says, in numbers.

    Attributes:
        cells: rows by what they have in common.
        numbers: of eligible rows, by outcome, as digits.
        settled: accepted and rejected rows by outcome's status and second of the answer.
        told: rows with a receipt by outcome and second of their last one.
        samples: the first excluded rows of each reason.
        oldest_doubt: first attempt (µs) of the oldest row in doubt, by reason.
    """

    cells: Counter[Cell] = field(default_factory=Counter)
    numbers: dict[Outcome, list[NDArray[np.int64]]] = field(default_factory=dict)
    settled: Counter[tuple[str, int]] = field(default_factory=Counter)
    told: Counter[tuple[Outcome, int]] = field(default_factory=Counter)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    oldest_doubt: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows of the manifest."""
        return self.cells.total()

    def by_outcome(self) -> dict[str, int]:
        """Return the rows by outcome, every outcome named."""
        found = dict.fromkeys(map(str, Outcome), 0)
        for cell, count in self.cells.items():
            found[cell.outcome] += count
        return found

    def by_status(self) -> dict[str, int]:
        """Return the rows by status, every status named."""
        found = dict.fromkeys(map(str, Status), 0)
        for cell, count in self.cells.items():
            found[cell.status] += count
        return found


def count_manifest(path: Path, *, examples: bool = True) -> Counted:
    """Count a manifest.

    Args:
        path: of the manifest.
        examples: also keep some excluded rows of each reason.

    Raises:
        StoreDamaged: it cannot be read.
    """
    counted = Counted()
    with reading(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=[*_BY, *_TIMES, "to"])
            _count(counted, rows)
            if examples and (lacking := _lacking(counted)):
                excluded = pc.is_in(rows["reason"], pa.array(lacking, pa.string()))
                if pc.any(excluded).as_py():
                    _sample(counted, file.read_row_group(group, columns=_ROW).filter(excluded))
    return counted


def _count(counted: Counted, rows: pa.Table) -> None:
    for name in _BY:
        rows = rows.set_column(rows.schema.get_field_index(name), name, rows[name].dictionary_encode())
    for values, count in _grouped(rows, _BY):
        cell = Cell(*values)
        if len(counted.cells) >= _MOST_CELLS and cell not in counted.cells:
            cell = cell._replace(reason=cell.reason and "other", delivery_reason=cell.delivery_reason and "other")
        counted.cells[cell] += count
    for (status, word), mask in _masks(rows):
        outcome = outcome_of(status, word)
        if outcome is not Outcome.EXCLUDED:
            digits = pc.utf8_slice_codeunits(rows["to"].filter(mask), start=1).cast(pa.int64())
            counted.numbers.setdefault(outcome, []).append(digits.to_numpy())
        if status in {Status.ACCEPTED, Status.REJECTED}:
            counted.settled.update(_by_second(status, rows["settled_at"].filter(mask)))
        if word is not None:
            counted.told.update(_by_second(outcome, rows["delivery_updated_at"].filter(mask)))
        if status == Status.IN_DOUBT:
            _note_oldest(counted, rows.filter(mask))


def _grouped(rows: pa.Table, names: list[str]) -> Iterator[tuple[tuple[Any, ...], int]]:
    plain = pa.table({name: _indices(rows[name]) for name in names})
    words = {name: _dictionary(rows[name]) for name in names}
    for each in plain.group_by(names).aggregate([([], "count_all")]).to_pylist():
        yield tuple(None if each[name] is None else words[name][each[name]] for name in names), each["count_all"]


def _masks(rows: pa.Table) -> Iterator[tuple[tuple[str, str | None], pa.Array]]:
    """Yield the rows of each status and delivery status."""
    status, told = _indices(rows["status"]), _indices(rows["delivery_status"])
    for (word, receipt), _ in _grouped(rows, ["status", "delivery_status"]):
        mask = pc.equal(status, _dictionary(rows["status"]).index(word))
        if receipt is None:
            yield (word, None), pc.and_(mask, pc.is_null(told))
        else:
            same = pc.equal(told, _dictionary(rows["delivery_status"]).index(receipt))
            yield (word, receipt), pc.and_(mask, pc.fill_null(same, fill_value=False))


def _by_second(word: W, moments: pa.ChunkedArray) -> dict[tuple[W, int], int]:
    """Return how many of the moments are in each second, under *word*."""
    seconds = moments.cast(pa.int64()).drop_null().to_numpy() // _S
    first, last = (int(seconds.min()), int(seconds.max())) if len(seconds) else (0, 0)
    if last - first < _FEW:  # a day or so: counting is ten times as fast as sorting
        counts = np.bincount(seconds - first)
        there = np.flatnonzero(counts)
        counts, there = counts[there], there + first
    else:
        there, counts = np.unique(seconds, return_counts=True)
    return {(word, second): count for second, count in zip(there.tolist(), counts.tolist(), strict=True)}


def _note_oldest(counted: Counted, rows: pa.Table) -> None:
    for reason in _dictionary(rows["reason"]):
        same = pc.equal(rows["reason"].cast(pa.string()), reason)
        oldest = pc.min(rows["first_attempt_at"].filter(same).cast(pa.int64())).as_py()
        if oldest is not None:
            counted.oldest_doubt[reason] = min(oldest, counted.oldest_doubt.get(reason, oldest))


def _lacking(counted: Counted) -> list[str]:
    """Return the reasons for an exclusion of which fewer rows are kept than are shown."""
    reasons = {cell.reason for cell in counted.cells if cell.status == Status.EXCLUDED and cell.reason}
    return sorted(reason for reason in reasons if len(counted.samples.get(reason, ())) < EXAMPLES)


def _sample(counted: Counted, rows: pa.Table) -> None:
    rows = rows.filter(pc.equal(rows["status"], str(Status.EXCLUDED)))
    for reason in pc.unique(rows["reason"]).to_pylist():
        kept = counted.samples.setdefault(reason, [])
        same = rows.filter(pc.equal(rows["reason"], reason)).slice(0, _CHANNELS * EXAMPLES)
        for row in same.to_pylist():
            sample = Sample(row["part"], row["input_row"], row["phone_input"] or "", row["to"], row["error"] or "")
            if len(kept) < EXAMPLES and (sample.part, sample.input_row) not in {each[:2] for each in kept}:
                kept.append(sample)


def _indices(column: pa.ChunkedArray) -> pa.Array:
    return _whole(column).indices


def _dictionary(column: pa.ChunkedArray) -> list[str]:
    words: list[str] = _whole(column).dictionary.to_pylist()
    return words


def _whole(column: pa.ChunkedArray) -> Any:
    whole = column.unify_dictionaries().combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def numbers_of(counted: Counted) -> Mapping[Outcome, NDArray[np.int64]]:
    """Return the numbers of eligible rows, by outcome."""
    return {outcome: np.concatenate(pieces) for outcome, pieces in counted.numbers.items()}
