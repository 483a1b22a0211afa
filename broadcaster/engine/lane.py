"""One limit, smoothed: the only user of aiolimiter.

A permit is waited for a moment at a time, so that whoever waits sees a rate that was changed meanwhile. Knows nothing
of the account's minute, which the pacer asks besides.
"""

import asyncio

from aiolimiter import AsyncLimiter

from broadcaster.core.pacing import Rate, bucket

LOOK_S = 0.25  # how long anybody waits without looking whether something has changed


class Lane:
    """One limit: its rate in force and the bucket that keeps it. A limit of 0 is none."""

    def __init__(self, per_minute: int, *, largest: int) -> None:
        self._largest = largest
        self.rate = Rate.of(per_minute)
        self._limiter: AsyncLimiter | None = None
        self._fit()

    def _fit(self) -> None:
        """Make the bucket for the present rate."""
        self._limiter = AsyncLimiter(*bucket(self.rate.per_minute, largest=self._largest)) if self.rate.full else None

    def become(self, rate: Rate) -> None:
        """Go on at another rate."""
        if rate != self.rate:
            changed, self.rate = rate.per_minute != self.rate.per_minute, rate
            if changed:
                self._fit()

    def has(self, amount: int) -> bool:
        """Return whether :meth:`take` would return at once."""
        return self._limiter is None or self._limiter.has_capacity(min(amount, self._limiter.max_rate))

    async def take(self, amount: int) -> bool:
        """Take *amount*, or as much as the bucket holds; return whether that was possible within a moment."""
        if self._limiter is None:
            return True
        try:
            async with asyncio.timeout(LOOK_S):
                await self._limiter.acquire(min(amount, self._limiter.max_rate))
        except TimeoutError:
            return False
        return True
