"""An event loop whose time jumps from timer to timer: an hour of pacing takes as long as its arithmetic."""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")
T0 = 1_764_580_000_000_000  # a moment, in µs since 1970
_BEGIN_S = 1000.0


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting for a timer, remembers how long the wait would have been."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("Nothing will ever happen again")
            self.skipped_s += timeout
        # Time never stands still: aiolimiter asks for waits that are shorter than a float can add.
        self.skipped_s += 1e-9
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it would wait."""

    def __init__(self) -> None:
        self._waits = _NoWaiting()
        super().__init__(self._waits)

    def time(self) -> float:
        return _BEGIN_S + self._waits.skipped_s


class LoopClock:
    """The loop's time as the program's clock. ``boot`` is ``None`` on a platform that does not tell."""

    def __init__(self, boot: str | None = "boot-1") -> None:
        self.boot = boot
        self._wall_offset_s = 0.0
        self._booted_s = 0.0

    def reading(self) -> tuple[int, int | None, str | None]:
        """See ``broadcaster.clock.Clock``."""
        passed_s = self.monotonic()
        wall_us = T0 + int((passed_s + self._wall_offset_s) * 1_000_000)
        return wall_us, None if self.boot is None else int((passed_s - self._booted_s) * 1_000_000), self.boot

    def monotonic(self) -> float:
        """See ``broadcaster.clock.Clock``."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """See ``broadcaster.clock.Clock``."""
        await asyncio.sleep(seconds)

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock, as a person or a time server does."""
        self._wall_offset_s += by_s

    def restart(self, boot: str) -> None:
        """Start the machine anew."""
        self.boot, self._booted_s = boot, self.monotonic()


def on_jumping_loop(main: Callable[[], Coroutine[None, None, T]]) -> T:
    """Run *main* to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(main())


def now_s() -> float:
    """Return the loop's time."""
    return asyncio.get_running_loop().time()


def worst_minute(sent: Iterable[tuple[float, int]]) -> int:
    """Return the most that was sent in any sixty seconds: moments in seconds, and amounts."""
    inside: deque[tuple[float, int]] = deque()
    held = worst = 0
    for at_s, amount in sorted(sent):
        inside.append((at_s, amount))
        held += amount
        while inside[0][0] <= at_s - 60:
            held -= inside.popleft()[1]
        worst = max(worst, held)
    return worst
