"""When a run goes so wrong that it must stop: a count and a share, both passed, over enough settled deliveries."""

_ENOUGH = 100  # settled deliveries below which a share means nothing


def must_halt(*, rejected: int, settled: int, largest_batch: int, halt_count: int, halt_share: float) -> bool:
    """Return whether the rejected deliveries pass both limits.

    Args:
        rejected: deliveries that the API refused.
        settled: deliveries that are accepted or rejected.
        largest_batch: deliveries of the largest batch; so many must have settled, and at least 100.
        halt_count: limit in deliveries.
        halt_share: limit as a share of *settled*.
    """
    return settled >= max(_ENOUGH, largest_batch) and rejected > halt_count and rejected > halt_share * settled
