"""One time limit for many exchanges, watched by one timer.

Theory of operation. Setting a timer for each request costs a tenth of the whole request, and next to none of them ever
goes off. All exchanges have the same limit, so they pass it in the order in which they began: one timer, set to the
oldest, is enough. What happens when it goes off is :class:`asyncio.Timeout`'s own business.
"""

import asyncio


class Deadlines:
    """Hands out limits of ``timeout_s`` each; whoever passes one gets a :class:`TimeoutError`."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._open: dict[asyncio.Timeout, float] = {}  # by when each ends; the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Deadlines of {self._timeout_s:g} s, {len(self._open)} open>"

    def begin(self) -> asyncio.Timeout:
        """Return a limit that counts from now: to be entered at once, and to be ended whatever happens."""
        limit, loop = asyncio.timeout(None), asyncio.get_running_loop()
        self._open[limit] = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_later(self._timeout_s, self._look)
        return limit

    def end(self, limit: asyncio.Timeout) -> None:
        """Forget a limit."""
        del self._open[limit]

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for limit, at_s in self._open.items():
            if at_s > loop.time():
                self._timer = loop.call_at(at_s, self._look)
                return
            if not limit.expired():
                limit.reschedule(at_s)  # it is past: the limit goes off
