"""The order of sending: rows with equal codes together, cut into batches. Integer arrays in and out."""

import numpy as np
from numpy.typing import NDArray

_FEW = 1 << 16  # codes that fit into 16 bits, which are sorted by counting


def cut(
    codes: NDArray[np.integer], *, largest: int | NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Group rows by code and cut the groups.

    Args:
        codes: one per row; rows of equal code may share a batch.
        largest: rows that a batch may have; one number for all, or one for each row, the same where the codes are.

    Returns:
        The rows in sending order, and where each batch starts and ends in it. Groups come in the order of their first
        row, rows within a group in the order of the list.
    """
    if not len(codes):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty, empty
    if codes.min() < 0 or codes.max() > 2 * len(codes) + _FEW:
        codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
    first = np.full(int(codes.max()) + 1, -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of several values for one place the last one stays
    there = np.flatnonzero(first >= 0)
    in_order = there[np.argsort(first[there])]
    rank = np.zeros(len(first), dtype=np.uint16 if len(there) <= _FEW else np.int32)
    rank[in_order] = np.arange(len(in_order))
    ranks = rank[codes]
    order = np.argsort(ranks, kind="stable")
    sizes = np.bincount(ranks)
    limits = (
        np.full(len(sizes), largest, dtype=np.int64)
        if isinstance(largest, int)
        else largest[first[in_order]].astype(np.int64)
    )
    pieces = -(-sizes // limits)
    group_starts = np.cumsum(sizes) - sizes
    piece_in_group = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    limit = np.repeat(limits, pieces)
    starts = np.repeat(group_starts, pieces) + piece_in_group * limit
    ends = np.minimum(starts + limit, np.repeat(group_starts + sizes, pieces))
    return order, starts, ends
