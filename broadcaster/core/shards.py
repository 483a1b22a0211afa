"""Shards: ranges of a plan's batches that are sent by one process each, with numbers of their own for what they divide.

Nothing but the plan and the number of shards decides what is in which: every process finds the same, and nobody has to
hand a list around.
"""

from dataclasses import dataclass

_CHILDREN = 1 << 20  # a shard is a minute or two of work: far fewer batches than this can be divided in it
_LARGEST, _SMALLEST = 5_000, 25  # batches of a shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The batches ``[first, stop)`` of a plan; the shard is number *index* *of* so many."""

    index: int
    of: int
    first: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.first


def cut_shards(batches: int, *, of: int) -> tuple[Shard, ...]:
    """Cut a plan into *of* ranges whose sizes differ by at most one; those that would be empty are left out.

    Raises:
        ValueError: *of* is not positive, or *batches* is negative.
    """
    if of < 1 or batches < 0:
        raise ValueError(f"{batches} batches cannot be cut into {of} shards")
    small, larger = divmod(batches, of)
    starts = [index * small + min(index, larger) for index in range(of + 1)]
    return tuple(
        Shard(index=index, of=of, first=starts[index], stop=starts[index + 1])
        for index in range(of)
        if starts[index] < starts[index + 1]
    )


def first_child(index: int) -> int:
    """Return the number of the first part of a divided batch in shard *index*; the next ones follow downwards.

    No two shards share a number.
    """
    return -(1 + index * _CHILDREN)


def shard_of_child(number: int) -> int:
    """Return which shard a part of a divided batch was born in."""
    return (-number - 1) // _CHILDREN


def shards_for(batches: int, *, workers: int, requests_per_minute: int) -> int:
    """Return into how many shards a plan is cut for so many workers.

    A shard is a minute and a half of a worker's work, so that little is done again where one dies; but not so few
    batches that the look-up which each shard begins with would count.

    Args:
        batches: of the plan.
        workers: that send at the same time, and share the limit.
        requests_per_minute: the limit; 0 means none.
    """
    size = _LARGEST
    if requests_per_minute:
        size = min(size, max(_SMALLEST, requests_per_minute * 3 // (2 * max(1, workers))))
    return max(1, -(-batches // size), min(2 * workers, batches // _SMALLEST))
