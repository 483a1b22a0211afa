"""How many held messages can be cancelled before they are released, at a given rate. Pure."""

from collections.abc import Iterable

RACE_US = 60_000_000
"""Within the last minute before its release a message may be on its way already."""


def within_reach(releases_us: Iterable[int | None], *, now_us: int, per_minute: int) -> int:
    """Return how many of the messages can be cancelled in time, the nearest release first.

    Args:
        releases_us: when each is released, in rising order; ``None``: nobody knows, which counts as in time.
        now_us: when the first request leaves.
        per_minute: requests; 0 is no limit.
    """
    each_us = 60_000_000 / per_minute if per_minute else 0.0
    reached = 0
    for release_us in releases_us:
        if release_us is None or now_us + reached * each_us <= release_us - RACE_US:
            reached += 1
    return reached
