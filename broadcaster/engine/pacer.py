"""The pace of all requests, of all senders together: the only user of aiolimiter.

Theory of operation. Two leaky buckets, for requests and for messages, sized by :func:`broadcaster.core.pacing.bucket`.
Turns are handed out one at a time, first come first served: a bucket alone would let small turns pass large ones for
ever. A permit that was taken before a longer wait is topped up by what leaked meanwhile, so that it counts from when
it is used. A 429 pauses everybody and lowers both rates; they climb back minute by minute. A changed rate gets a new
bucket, which starts full: what was sent before it is unknown to it.

Reads time from its clock and, inside aiolimiter, from the event loop; both must be the same clock.
"""

import asyncio

from aiolimiter import AsyncLimiter

from broadcaster.clock import Clock
from broadcaster.core.pacing import Rate, bucket, recovered, slowed, weight
from broadcaster.core.values import Verdict


class _Lane:
    """One limit: its rate in force and the bucket that keeps it."""

    def __init__(self, per_minute: int, *, largest: int) -> None:
        self.rate = Rate.full(per_minute)
        self._largest = largest
        self._bucket_rate = per_minute
        self._limiter = self._bucket()

    def _bucket(self) -> AsyncLimiter:
        self._capacity, self._period_s = bucket(self._bucket_rate, largest=self._largest)
        return AsyncLimiter(self._capacity, self._period_s)

    def _weight(self, amount: int) -> int:
        return weight(amount, per_minute=self._bucket_rate, capacity=self._capacity)

    def recover(self, *, now_s: float) -> None:
        self.rate = recovered(self.rate, now_s=now_s)

    def slow_down(self, *, retry_after_s: float | None, now_s: float) -> None:
        self.rate = slowed(recovered(self.rate, now_s=now_s), retry_after_s=retry_after_s, now_s=now_s)

    def has(self, amount: int) -> bool:
        return self._bucket_rate == self.rate.per_minute and self._limiter.has_capacity(self._weight(amount))

    async def take(self, amount: int) -> None:
        if self._bucket_rate != self.rate.per_minute:
            self._bucket_rate = self.rate.per_minute
            self._limiter = self._bucket()
            await self._limiter.acquire(self._capacity)
        await self._limiter.acquire(self._weight(amount))

    async def freshen(self, amount: int, *, aged_s: float) -> None:
        """Take again what leaked of a permit since; it is there, because nobody else took anything."""
        leaked = aged_s * self._capacity / self._period_s
        await self._limiter.acquire(min(float(self._weight(amount)), leaked))


class Pacer:
    """Hands out turns; the ``Budget`` port of this process.

    ``requests_per_minute`` and ``messages_per_minute`` of 0 mean no limit. ``largest`` is the most messages that one
    request carries; a turn for more counts as one for that many.
    """

    def __init__(self, *, requests_per_minute: int, messages_per_minute: int, largest: int, clock: Clock) -> None:
        self._requests = _Lane(requests_per_minute, largest=1) if requests_per_minute else None
        self._messages = _Lane(messages_per_minute, largest=max(1, largest)) if messages_per_minute else None
        self._clock = clock
        self._line = asyncio.Lock()
        self._pause = Rate.full(1)  # of everybody, also when nothing is limited; only its pause is used

    def __repr__(self) -> str:
        limit = self.limit_in_force
        paused_s = self._pause.paused_until_s - self._clock.monotonic()
        pace = "no limit" if limit is None else f"{limit}/min"
        return f"<Pacer {pace}{f', paused for {paused_s:.0f} s' if paused_s > 0 else ''}>"

    @property
    def limit_in_force(self) -> int | None:
        """Requests per minute at present; ``None`` without a limit."""
        if self._requests is None:
            return None
        return recovered(self._requests.rate, now_s=self._clock.monotonic()).per_minute

    async def turn(self, messages: int) -> None:
        """Return when one request with so many messages may leave; first come, first served."""
        async with self._line:
            while True:
                await self._out_of_pause()
                before = self._pause.paused_until_s
                await self._permits(messages)
                if before == self._pause.paused_until_s:
                    return
                # The API said "slower" while this turn waited: its permits have aged through the pause.

    def ready(self, messages: int) -> bool:
        """Return whether :meth:`turn` would return at once."""
        now_s = self._clock.monotonic()
        if self._line.locked() or now_s < self._pause.paused_until_s:
            return False
        self._recover(now_s=now_s)
        return (self._requests is None or self._requests.has(1)) and (
            self._messages is None or self._messages.has(messages)
        )

    def throttled(self, verdict: Verdict) -> None:
        """Hear that the API said "slower": everybody pauses, and goes on at a lower rate.

        Which of the two limits it was is not known, so both give way.
        """
        if not verdict.throttled:
            return
        now_s = self._clock.monotonic()
        self._pause = slowed(self._pause, retry_after_s=verdict.retry_after_s, now_s=now_s)
        for lane in (self._requests, self._messages):
            if lane is not None:
                lane.slow_down(retry_after_s=verdict.retry_after_s, now_s=now_s)

    async def _out_of_pause(self) -> None:
        while (left_s := self._pause.paused_until_s - self._clock.monotonic()) > 0:
            await self._clock.sleep(left_s)
        self._recover(now_s=self._clock.monotonic())

    def _recover(self, *, now_s: float) -> None:
        for lane in (self._requests, self._messages):
            if lane is not None:
                lane.recover(now_s=now_s)

    async def _permits(self, messages: int) -> None:
        if self._requests is not None:
            await self._requests.take(1)
        if self._messages is None:
            return
        taken_s = self._clock.monotonic()
        await self._messages.take(messages)
        aged_s = self._clock.monotonic() - taken_s
        if self._requests is not None and aged_s > 0:
            await self._requests.freshen(1, aged_s=aged_s)
