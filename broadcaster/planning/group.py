"""The order of sending: rows with equal codes together, cut into batches. Integer arrays in and out."""

import numpy as np
from numpy.typing import NDArray


def cut(codes: NDArray[np.int64], *, largest: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Group rows by code and cut the groups.

    Args:
        codes: one per row; rows of equal code may share a batch.
        largest: rows that a batch may have.

    Returns:
        The rows in sending order, and where each batch starts and ends in it. Groups come in the order of their first
        row, rows within a group in the order of the list.
    """
    if not len(codes):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    ranks = rank[inverse.reshape(-1)]
    order = np.argsort(ranks, kind="stable").astype(np.int64)
    sizes = np.bincount(ranks)
    pieces = -(-sizes // largest)
    group_starts = np.cumsum(sizes) - sizes
    piece_in_group = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(group_starts, pieces) + piece_in_group * largest
    ends = np.minimum(starts + largest, np.repeat(group_starts + sizes, pieces))
    return order, starts.astype(np.int64), ends.astype(np.int64)
