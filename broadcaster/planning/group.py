"""The order of sending: rows with equal codes together, cut into batches. Integer arrays in and out.

Where the job groups people by a column (``recipients.group_by``), its value is a part of the code, so that no batch
crosses a group; and the batches of a group follow each other, the groups in the order of their first rows. What else
decides about an order comes second: within a group everything is as it is without one.

A canary still goes before all others, and is chosen as ever: its people stand for the whole list, not for one group.
Send times are a part of the code as well: a group's batches of different times follow each other, and the API holds
each until its time. What a 400 splits stays within its group, since its batch did. A part that ``--extend`` adds has an
order of its own. A retry is not grouped: the list is not read again, and the plan does not say who is of which group.
"""

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
    first = first_places(codes, int(codes.max()) + 1)
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


def first_places(codes: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Return the place of the first row of each code below *count*; -1 where there is none."""
    first = np.full(count, -1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # of several values for one place the last one stays
    return first


def in_groups(
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    groups: NDArray[np.integer],
    *,
    ahead: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Bring the batches of each group together, the groups in the order of their first rows.

    Args:
        order: as :func:`cut` returns it.
        starts: as there.
        ends: as there.
        groups: one per row, counted from 0; all rows of a batch have the same.
        ahead: batches that go before all others; they are brought together among themselves.

    Returns:
        The same batches, in the form in which they were given.
    """
    if not len(starts):
        return order, starts, ends
    first = first_places(groups, int(groups.max()) + 1)
    later = np.arange(len(starts)) >= ahead
    moved = np.lexsort((first[groups[order[starts]]], later))  # stable: within a group they stay in their order
    sizes = (ends - starts)[moved]
    new_ends = np.cumsum(sizes)
    new_starts = new_ends - sizes
    places = np.repeat(starts[moved] - new_starts, sizes) + np.arange(len(order))
    return order[places], new_starts, new_ends
