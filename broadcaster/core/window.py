"""The sliding minute as arithmetic: what was spent in it, and when there is room for more.

A limit of the API counts any sixty seconds. Whoever knows what was spent in the last minute, and when, can keep it
exactly: whatever was started again meanwhile, and by how many runs. Spend is added up by *tick*, so that a minute has
the same few rows at any rate. Reads no clock, keeps nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

TICK_US = 100_000
# A minute, one tick (spend counts from the beginning of its tick) and half a second of allowance: requests that arrive
# so much later or earlier than they left stay inside the limit.
WINDOW_US = 60_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """How much may be spent in any minute; 0 means no limit."""

    requests: int
    messages: int

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return bool(self.requests or self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of an account besides its spend.

    Attributes:
        learned: requests per minute, as the API said last; ``None`` when it did not, or long ago.
        learned_us: when, by the wall clock.
        paused_s: the API asked everybody to wait so much longer.
    """

    learned: int | None = None
    learned_us: int = 0
    paused_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of asking for a turn: it was given where ``wait_s`` is 0; else ask again after so long."""

    wait_s: float
    known: Known = Known()


def wait_s(spent: Iterable[tuple[int, int]], *, limit: int, amount: int, now_us: int) -> float:
    """Return the seconds until *amount* more keeps the last minute within *limit*; 0 when it does now.

    An amount above the whole limit waits for an empty window.

    Args:
        spent: moments and amounts, in order of time. Moments are µs of the clock that *now_us* is of.
        limit: per minute; 0 means none.
        amount: to be spent.
        now_us: the present.
    """
    if not limit or not amount:
        return 0.0
    inside = [each for each in spent if each[0] > now_us - WINDOW_US]
    held, room, until_us = sum(each for _, each in inside), max(0, limit - amount), now_us
    for at_us, each in inside:
        if held <= room:
            break
        held -= each
        until_us = at_us + WINDOW_US
    return (until_us - now_us) / 1_000_000
