"""How much an account may do in any 60 seconds: a sliding window, told the time."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from broadcaster.simulator.envelope import Refusal

PERIOD_S = 60.0


@dataclass(slots=True)
class Share:
    """What one request took from a window."""

    at: float
    amount: int


class Pools:
    """A window of *limit* units for the account, which all its profiles share, and one for each profile with a key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: dict[str | None, SlidingWindow] = {}

    def of(self, owner: str | None) -> "SlidingWindow":
        """Return the window of the profile whose own key was shown, or of the account (``None``)."""
        return self._windows.setdefault(owner, SlidingWindow(self._limit))


class SlidingWindow:
    """At most *limit* units in any *period_s* seconds; 0 is no limit. Refused requests take nothing."""

    def __init__(self, limit: int, *, period_s: float = PERIOD_S) -> None:
        self._limit = limit
        self._period_s = period_s
        self._shares: deque[Share] = deque()
        self._used = 0

    def __repr__(self) -> str:
        return f"<SlidingWindow {self._used}/{self._limit} in {self._period_s:g} s>"

    def take(self, amount: int, *, now: float, wall: float) -> Share:
        """Take *amount* units at *now* (monotonic seconds); *wall* (seconds since 1970) only fills a header.

        Raises:
            Refusal: 429 ``BUSINESS_002`` with ``Retry-After`` when they do not fit.
        """
        self._forget(now)
        share = Share(at=now, amount=amount)
        if not self._limit:
            return share
        if self._used + amount > self._limit:
            raise Refusal(code="BUSINESS_002", headers=self._headers(self._wait_s(amount, now), wall))
        self._shares.append(share)
        self._used += amount
        return share

    def give_back(self, share: Share) -> None:
        """Undo a :meth:`take` whose request turned out not to need it."""
        if self._shares and share.at >= self._shares[0].at:  # else it has left the window by itself
            self._used -= share.amount
            share.amount = 0

    def _forget(self, now: float) -> None:
        while self._shares and self._shares[0].at <= now - self._period_s:
            self._used -= self._shares.popleft().amount

    def _wait_s(self, amount: int, now: float) -> float:
        """Seconds until *amount* fits; a whole period when it never will."""
        used = self._used
        for share in self._shares:
            used -= share.amount
            if used + amount <= self._limit:
                return share.at + self._period_s - now
        return self._period_s

    def _headers(self, wait_s: float, wall: float) -> Mapping[str, str]:
        seconds = max(1, math.ceil(wait_s))
        return {
            "Retry-After": str(seconds),
            "X-RateLimit-Limit": str(self._limit),
            "X-RateLimit-Remaining": "0",
            "X-RateLimit-Reset": str(math.ceil(wall) + seconds),
        }
