"""Pacing as arithmetic: bucket sizes that keep a sliding minute, and a rate that gives way and climbs back.

A leaky bucket of capacity ``b`` that loses ``b`` per period lets ``b + 60 b / period`` through in its worst minute. The
API counts any sixty seconds, so capacity and period are chosen together to keep that sum within the limit, with an
allowance for requests that arrive a little astray. Reads no clock, waits for nothing.
"""

from dataclasses import dataclass, replace

WINDOW_S = 60.0  # the API's limits are per sliding minute
TICKS_PER_MINUTE = 1200  # one permit at a time up to here: 50 ms; timers cannot keep a shorter beat without loss
ALLOWANCE_S = 0.6  # one percent of the window: arrivals up to half a second astray stay inside the limit
_PAUSE_S = 5.0  # when a 429 does not say how long
_CLIMB = 0.10  # of the configured rate, per minute without a 429


def bucket(per_minute: int, *, largest: int = 1, allowance_s: float = ALLOWANCE_S) -> tuple[int, float]:
    """Return capacity and period (in seconds) of a leaky bucket that keeps any minute within *per_minute*.

    The capacity is at least *largest*, the most that one turn takes. A limit so tiny that the burst would be more than
    half of it gets a bucket for one turn a minute: every turn takes the full capacity (see :func:`weight`) and the next
    waits for all of it to drain. Only if *largest* itself passes the limit can a minute hold more than allowed.

    Raises:
        ValueError: *per_minute* or *largest* is below 1.
    """
    if per_minute < 1 or largest < 1:
        raise ValueError("A bucket needs a limit and an amount of at least 1")
    capacity = max(-(-per_minute // TICKS_PER_MINUTE), largest)
    if _tiny(per_minute, capacity):
        return capacity, WINDOW_S + allowance_s
    if capacity == 1:
        return capacity, (WINDOW_S + allowance_s) / per_minute
    return capacity, (WINDOW_S + allowance_s) * capacity / (per_minute - capacity)


def weight(amount: int, *, per_minute: int, capacity: int) -> int:
    """Return what a turn for *amount* takes of the bucket: all where the limit is tiny, never more than fits."""
    if amount and _tiny(per_minute, capacity):
        return capacity
    return min(amount, capacity)


def _tiny(per_minute: int, capacity: int) -> bool:
    return per_minute - capacity < capacity


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A limit in force. Times are seconds of one monotonic clock.

    Attributes:
        configured: per minute, as the user said; the rate never passes it.
        per_minute: what is in force.
        paused_until_s: nobody sends before.
        calm_since_s: since when no 429 has come, in whole minutes that are not yet paid out.
    """

    configured: int
    per_minute: int
    paused_until_s: float = 0.0
    calm_since_s: float = 0.0

    @classmethod
    def full(cls, configured: int) -> "Rate":
        """Return the rate before any 429."""
        return cls(configured=configured, per_minute=configured)


def slowed(rate: Rate, *, retry_after_s: float | None, now_s: float) -> Rate:
    """Return the rate after a 429: a pause, then half as fast, but never below one per minute.

    Several 429 of one moment count once: while a pause lasts, another 429 can only make it longer.
    """
    until_s = max(rate.paused_until_s, now_s + (_PAUSE_S if retry_after_s is None else retry_after_s))
    paused = replace(rate, paused_until_s=until_s, calm_since_s=until_s)
    if now_s < rate.paused_until_s:
        return paused
    return replace(paused, per_minute=max(1, rate.per_minute // 2))


def recovered(rate: Rate, *, now_s: float) -> Rate:
    """Return the rate after the calm until *now_s*: a tenth of the configured rate more for each whole minute.

    Whole minutes, so that whoever rebuilds a bucket from it does so rarely; asking more often changes nothing.
    """
    minutes = int((now_s - rate.calm_since_s) // WINDOW_S)
    if rate.per_minute >= rate.configured or minutes < 1:
        return rate
    step = max(1, round(rate.configured * _CLIMB))
    return replace(
        rate,
        per_minute=min(rate.configured, rate.per_minute + minutes * step),
        calm_since_s=rate.calm_since_s + minutes * WINDOW_S,
    )
