"""Who is messaged first: a few people that stand for all, and the same ones whenever the same list is planned.

They are spread over channels, countries and parameter sets, as far as there are not too many of these, and within each
evenly over the list. Of a very long list only some hundred thousand rows are looked at, evenly spread themselves.
"""

import numpy as np
from numpy.typing import NDArray

from broadcaster.phones.origins import calling_codes

_LOOKED_AT = 1 << 17  # rows
_TOLD_APART = 1000  # parameter sets; with more of them nearly everybody has one of their own


def sample(
    numbers: NDArray[np.int64], channels: NDArray[np.signedinteger], sets: NDArray[np.int32], *, count: int
) -> NDArray[np.int64]:
    """Return the places of *count* people, rising; nobody when that would be everybody.

    Args:
        numbers: E.164 digits of those who are messaged, in list order.
        channels: their sets of channels.
        sets: their parameter sets.
        count: how many to choose.
    """
    if count <= 0 or count >= len(numbers):
        return np.zeros(0, dtype=np.int64)
    looked_at = np.unique(np.linspace(0, len(numbers) - 1, max(count, min(_LOOKED_AT, len(numbers))), dtype=np.int64))
    kinds = np.stack([channels[looked_at].astype(np.int64), calling_codes(numbers[looked_at])])
    words = sets[looked_at].astype(np.int64)
    if len(np.unique(words)) <= _TOLD_APART:
        kinds = np.vstack([kinds, words])
    _, first, kind, sizes = np.unique(kinds, axis=1, return_index=True, return_inverse=True, return_counts=True)
    shares = _shares(first, sizes, count=count)
    chosen = [
        looked_at[np.flatnonzero(kind.reshape(-1) == which)[_evenly(int(sizes[which]), int(shares[which]))]]
        for which in np.flatnonzero(shares)
    ]
    return np.sort(np.concatenate(chosen))


def _shares(first: NDArray[np.int64], sizes: NDArray[np.int64], *, count: int) -> NDArray[np.int64]:
    """Return how many of each kind to choose: one of each as far as that goes, the rest in proportion."""
    order = np.lexsort((first, -sizes))  # the largest first, of equal ones the one that comes first in the list
    shares = np.zeros(len(sizes), dtype=np.int64)
    shares[order[:count]] = 1
    wished: NDArray[np.float64] = (count - int(shares.sum())) * sizes / sizes.sum()
    shares = np.minimum(shares + wished.astype(np.int64), sizes)
    rest = np.lexsort((first, -(wished - np.floor(wished))))
    while (missing := count - int(shares.sum())) > 0:  # roundings, and kinds that are smaller than their share
        room = rest[shares[rest] < sizes[rest]][:missing]
        shares[room] += 1
    return shares


def _evenly(size: int, share: int) -> NDArray[np.int64]:
    """Return *share* places among *size*, in the middle of as many equal stretches."""
    places: NDArray[np.int64] = ((np.arange(share) + 0.5) * size / share).astype(np.int64)
    return places
