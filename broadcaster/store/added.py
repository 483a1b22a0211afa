"""Channels that retries have added to rows: whoever could not be reached on one may be sent it on another.

A row of the plan has the channels that it asked for, and these; each is a row of the manifest. Sets of channels are
bits here, by their places in :data:`broadcaster.store.spread.CHANNELS`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from broadcaster.store.head import parse_channels
from broadcaster.store.parquet import reading
from broadcaster.store.plan import Part, Plan
from broadcaster.store.spread import ranks_of


class Added:
    """The channels that retries have added, by row of the whole plan.

    Attributes:
        rows: rising, each once.
        masks: the channels of each; some may be the row's own.
        last: the place of the channel that was added last.
    """

    def __init__(self, plan: Plan) -> None:
        found = [each for part in plan.parts if part.head.added for each in _sent(part)]
        rows = np.concatenate([np.zeros(0, dtype=np.int64), *(rows for rows, _ in found)])
        ranks = np.repeat(
            np.array([rank for _, rank in found], dtype=np.int8), np.array([len(rows) for rows, _ in found], dtype=int)
        )
        self.rows, place = np.unique(rows, return_inverse=True)
        self.masks = np.zeros(len(self.rows), dtype=np.uint8)
        np.bitwise_or.at(self.masks, place, np.left_shift(1, ranks).astype(np.uint8))
        self.last = np.zeros(len(self.rows), dtype=np.int8)
        self.last[place] = ranks  # of several values the last one stays

    def __len__(self) -> int:
        return len(self.rows)

    def within(self, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the rows among *count* from *first* on, counted from there, and their channels."""
        begin, end = np.searchsorted(self.rows, [first, first + count]).tolist()
        return self.rows[begin:end] - first, self.masks[begin:end]


def _sent(part: Part) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the rows of every batch of a part, once for each of its channels."""
    with reading(part.batches_path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["rows", "channels"]).combine_chunks()
            rows = table["rows"].chunk(0)
            flat, starts = rows.values.to_numpy(), rows.offsets.to_pylist()
            for at, written in enumerate(table["channels"].to_pylist()):
                for rank in ranks_of(parse_channels(written)).tolist():
                    yield flat[starts[at] : starts[at + 1]], rank
