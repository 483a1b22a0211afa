"""Pacing as arithmetic: how a limit is smoothed, which limit is in force, and a rate that gives way and climbs back.

A leaky bucket of capacity ``b`` that loses ``b`` per period spreads a limit over its minute; that no minute passes it
is :mod:`broadcaster.core.window`'s business, which knows what was spent before this bucket was made. Reads no clock,
waits for nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from broadcaster.core.window import WINDOW_US

MINUTE_S = 60.0  # the API's limits are per sliding minute
WINDOW_S = WINDOW_US / 1_000_000  # as long as the window that guards: a bucket that is faster would only wait for it
# Timers are late by a millisecond or two. A permit on its own loses that from each interval; from an interval of 150 ms
# downwards that is a percent, and the bucket holds one more, so that a late one costs nothing.
_TURNS_PER_PERMIT = 400
_PAUSE_S = 5.0  # when a 429 does not say how long
_CLIMB = 0.10  # of the whole rate, per minute without a 429
_LARGEST_LIMIT = 1_000_000  # per minute: what claims to be more is no limit but nonsense
_DIGITS = 12  # of a header's number: a moment has 10
_ALMOST = 1e-9  # a share is a binary fraction: a third of 300 would be a hair less than 100
_OWN_SHARE = 0.5  # of a limit: with less than that, somebody else or another limit was the reason of a 429


class Source(StrEnum):
    """Where a limit comes from."""

    CONFIGURED = "configured"
    DEFAULT = "default"
    LEARNED = "learned"
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The limits in force, for people.

    Attributes:
        requests_per_minute: ``None`` means no limit.
        messages_per_minute: ``None`` means no limit.
        source: where the limit of requests comes from.
        slowed: it is less than *source* says, because the API asked everybody to be slower; it climbs back.
    """

    requests_per_minute: int | None
    messages_per_minute: int | None
    source: Source
    slowed: bool = False


def bucket(per_minute: int, *, largest: int = 1) -> tuple[int, float]:
    """Return capacity and period (in seconds) of the leaky bucket that spreads *per_minute* over its minute.

    The capacity is at least *largest*, the most that one turn takes.

    Raises:
        ValueError: *per_minute* or *largest* is below 1.
    """
    if per_minute < 1 or largest < 1:
        raise ValueError("A bucket needs a limit and an amount of at least 1")
    capacity = max(1 + per_minute // _TURNS_PER_PERMIT, largest)
    return capacity, WINDOW_S * capacity / per_minute


def parse_share(text: str) -> float:
    """Read a share of a limit: a number as in ``0.25``, or a fraction as in ``1/64``.

    Raises:
        ValueError: it is no share, which is above 0 and at most 1.
    """
    try:
        share = float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError):
        share = 0.0
    if not 0 < share <= 1:
        raise ValueError(f"{text!r} is no share")
    return share


def part_of(per_minute: int, *, share: float) -> int:
    """Return a *share* of a limit, rounded down, so that all shares together keep it. 0: less than one a minute."""
    return int(per_minute * share + _ALMOST)


# ---- which limit is in force ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Everything that is said of the limit of requests per minute; 0 means no limit.

    Attributes:
        asked: by the job, or the default.
        chosen: somebody chose it, so that it is a ceiling; a default is only a guess, and gives way to what is learned.
        live: set by a person at the controls, who knows better than what was learned before.
        learned: what the API said (since).
    """

    asked: int
    chosen: bool = True
    live: int | None = None
    learned: int | None = None

    @property
    def in_force(self) -> tuple[int, Source]:
        """The limit that holds, and where it comes from. Who chose to have none gets none."""
        if self.live is not None:
            asked, source = self.live, Source.LIVE
        else:
            asked, source = self.asked, Source.CONFIGURED if self.chosen else Source.DEFAULT
        if self.learned is None or (source is not Source.DEFAULT and (not asked or asked <= self.learned)):
            return asked, source
        return self.learned, Source.LEARNED

    @property
    def account(self) -> int:
        """What the account may spend in any minute.

        That somebody slows one run down says nothing of the account, of which another run may use the rest.
        """
        per_minute, source = self.in_force
        return max(per_minute, self.asked) if per_minute and source is Source.LIVE else per_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an answer's headers say of the limit; ``None`` where they say nothing that makes sense."""

    limit: int | None
    remaining: int | None
    reset_s: int | None

    def of(self, share: float) -> "Told":
        """Return what it says to whoever has a *share* of the limit: what remains may all be theirs."""
        return self if self.limit is None else replace(self, limit=max(1, part_of(self.limit, share=share)))


def told(headers: Mapping[str, str]) -> Told | None:
    """Read the headers of an answer, by their lower-case names; ``None`` when they say nothing of a limit.

    ``reset_s`` is a moment, in seconds since 1970.
    """
    if "x-ratelimit-limit" not in headers and "x-ratelimit-remaining" not in headers:
        return None
    limit = _number(headers.get("x-ratelimit-limit"))
    return Told(
        limit=limit if limit is not None and 0 < limit <= _LARGEST_LIMIT else None,
        remaining=_number(headers.get("x-ratelimit-remaining")),
        reset_s=_number(headers.get("x-ratelimit-reset")),
    )


def is_of_requests(limit: int, *, requests: int, messages: int, messages_limit: int) -> bool:
    """Return whether the *limit* that a 429 names can be the one of requests.

    The headers do not say of what. It is taken for another one where our own *requests* of the last minute come nowhere
    near it, and our *messages* explain it.

    Args:
        limit: as named.
        requests: spent in the last minute, with the refused one.
        messages: likewise.
        messages_limit: the limit of messages in force; 0 when there is none.
    """
    if requests >= limit * _OWN_SHARE:
        return True
    return messages <= limit and limit != messages_limit


def _number(written: str | None) -> int | None:
    text = (written or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


# ---- giving way -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A rate. Times are seconds of one monotonic clock.

    Attributes:
        full: per minute, as the limit in force has it; the rate never passes it.
        per_minute: what is kept at present.
        paused_until_s: nobody sends before.
        calm_since_s: since when no 429 has come, in whole minutes that are not yet paid out.
    """

    full: int
    per_minute: int
    paused_until_s: float = 0.0
    calm_since_s: float = 0.0

    @classmethod
    def of(cls, per_minute: int) -> "Rate":
        """Return the rate before any 429."""
        return cls(full=per_minute, per_minute=per_minute)


def slowed(rate: Rate, *, retry_after_s: float | None, now_s: float) -> Rate:
    """Return the rate after a 429: a pause, then half as fast, but never below one per minute.

    Several 429 of one moment count once: while a pause lasts, another 429 can only make it longer.
    """
    paused = paused_for(rate, _PAUSE_S if retry_after_s is None else retry_after_s, now_s=now_s)
    if now_s < rate.paused_until_s:
        return paused
    return replace(paused, per_minute=max(1, rate.per_minute // 2))


def paused_for(rate: Rate, seconds: float, *, now_s: float) -> Rate:
    """Return the rate after a pause from now on, or the longer one that there is already; no slower afterwards."""
    until_s = max(rate.paused_until_s, now_s + seconds)
    return replace(rate, paused_until_s=until_s, calm_since_s=until_s)


def recovered(rate: Rate, *, now_s: float) -> Rate:
    """Return the rate after the calm until *now_s*: a tenth of the full rate more for each whole minute.

    Whole minutes, so that whoever rebuilds a bucket from it does so rarely; asking more often changes nothing.
    """
    minutes = int((now_s - rate.calm_since_s) // MINUTE_S)
    if rate.per_minute >= rate.full or minutes < 1:
        return rate
    step = max(1, round(rate.full * _CLIMB))
    return replace(
        rate,
        per_minute=min(rate.full, rate.per_minute + minutes * step),
        calm_since_s=rate.calm_since_s + minutes * MINUTE_S,
    )
