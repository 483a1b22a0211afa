"""Rows times the channels that each of them is sent on: the rows of the manifest."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.words import Channel
from broadcaster.store.head import parse_channels

CHANNELS = tuple(sorted(Channel))
"""The order of a row's channels in the manifest; a channel's place here is its rank."""
More = tuple[NDArray[np.int64], NDArray[np.uint8]]
"""Rows of a row group, and the channels that were added to each, as bits by rank."""


@lru_cache
def ranks_of(channels: tuple[Channel, ...]) -> NDArray[np.int8]:
    """Return the places of channels in :data:`CHANNELS`."""
    return np.array([CHANNELS.index(each) for each in channels], dtype=np.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A row group's rows times their channels.

    Attributes:
        rows: of each delivery, by row and then by channel.
        channels: of each delivery.
        begins: where the deliveries of each row begin.
        ranks: by row, the place of every channel among the row's own.
    """

    rows: NDArray[np.int64]
    channels: pa.Array
    begins: NDArray[np.int64]
    ranks: NDArray[np.int64]

    @classmethod
    def of(cls, written: pa.ChunkedArray, *, more: More | None = None) -> "Spread":
        """Spread rows by what their ``channels`` column says, and what retries have added."""
        column = written.combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
        sets = [sorted(parse_channels(each)) for each in column.dictionary.to_pylist()]
        code = column.indices.to_numpy()
        if more is not None and len(more[0]):
            sets, code = _widened(sets, code, more)
        widths = np.array([len(each) for each in sets], dtype=np.int64)[code]
        ends = np.cumsum(widths)
        rows = np.repeat(np.arange(len(code)), widths)
        nth = np.arange(len(rows)) - np.repeat(ends - widths, widths)
        table = np.zeros((len(sets), len(CHANNELS)), dtype=np.int64)  # the n-th channel of each set
        ranks = np.zeros((len(sets), len(CHANNELS)), dtype=np.int64)  # the place of a channel in each set
        for at, channels in enumerate(sets):
            table[at, : len(channels)] = ranks_of(tuple(channels))
            ranks[at, ranks_of(tuple(channels))] = np.arange(len(channels))
        names = pa.array([str(each) for each in CHANNELS], pa.string())
        return cls(
            rows=rows, channels=names.take(pa.array(table[code[rows], nth])), begins=ends - widths, ranks=ranks[code]
        )

    def place(self, rows: NDArray[np.int64], channels: NDArray[np.int8]) -> NDArray[np.int64]:
        """Return which delivery a row's channel is; a channel is given by its place in ``CHANNELS``."""
        found: NDArray[np.int64] = self.begins[rows] + self.ranks[rows, channels]
        return found


def _widened(
    sets: list[list[Channel]], code: NDArray[np.signedinteger], more: More
) -> tuple[list[list[Channel]], NDArray[np.int64]]:
    """Return sets of channels and which of them each row has, with those that were added."""
    own = np.array([sum(1 << CHANNELS.index(each) for each in channels) for channels in sets], dtype=np.uint8)
    masks = own[code]
    rows, added = more
    masks[rows] |= added
    there, place = np.unique(masks, return_inverse=True)
    return [[each for at, each in enumerate(CHANNELS) if mask >> at & 1] for mask in there.tolist()], place
