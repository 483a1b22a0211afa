"""Following live orders while a run sends: pause, go, another rate.

Theory of operation. Somebody's orders lie where anybody may replace them; they are looked at again and again, off
the loop. What is ordered is done first, for whoever ordered it waits, then told, then written down. A pause holds the
pacer: nobody gets a turn, and so nobody claims, and what is under way ends by itself. What was written down
is handed in, so that a restart does not write the same order down twice. Orders that cannot be read change nothing.

It must not know where orders come from, nor where they are written down.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from broadcaster.clock import Clock
from broadcaster.core.control import Control, Order, news
from broadcaster.core.words import Steering
from broadcaster.engine.ports import Noticed, Observe, Ordered
from broadcaster.errors import BroadcasterError, first_of

LOOK_EVERY_S = 0.25
UNREADABLE = "control_unreadable"  # the code of the event


class Reins(Protocol):
    """What is held, let go and set; in this process the pacer."""

    def hold(self) -> None:
        """Let nobody pass until :meth:`go`."""

    def go(self) -> None:
        """Let everybody pass again."""

    def set_limit(self, requests_per_minute: int, *, since_us: int | None = None) -> None:
        """Go on at so many requests a minute, as somebody ordered at *since_us*, in µs since 1970."""


class Helm:
    """Follows the orders of one run.

    Args:
        look: returns the orders that hold; called in a thread. It raises a ``BroadcasterError`` when they cannot be
            read.
        known: what earlier processes followed and wrote down.
        pacer: is held, let go and set; the process's pacer, or whatever reaches those who send.
        record: writes an order down, durably.
        observe: hears of every order that was followed.
        clock: the time.
        every_s: between two looks.
    """

    def __init__(
        self,
        *,
        look: Callable[[], Control],
        known: Control,
        pacer: Reins,
        record: Callable[[Order], Awaitable[None]],
        observe: Observe,
        clock: Clock,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._look = look
        self._known = known
        self._pacer = pacer
        self._record = record
        self._observe = observe
        self._clock = clock
        self._every_s = every_s
        self._in_force = Control()  # in this process, which begins unpaused and at its own rate
        self._readable = True
        self._held_s = 0.0  # in pauses that have ended
        self._held_since_s: float | None = None

    def __repr__(self) -> str:
        state = "going" if self._held_since_s is None else "paused"
        return f"<Helm {state}, {self.held_s():.0f} s of pauses so far>"

    def held_s(self) -> float:
        """Return the seconds that this process has been paused so far: nobody asked the API anything in them."""
        now = 0.0 if self._held_since_s is None else self._clock.monotonic() - self._held_since_s
        return self._held_s + now

    async def follow(self) -> None:
        """Look and follow until cancelled.

        Raises:
            StoreError: an order could not be written down.
        """
        while True:
            await self.follow_once()
            await self._clock.sleep(self._every_s)

    async def follow_once(self) -> None:
        """Look once and follow what is new."""
        try:
            asked = await asyncio.to_thread(self._look)
        except BroadcasterError as error:
            if self._readable:
                sentence = f"{error.sentence}. Until then the run goes on as it is"
                self._observe(Noticed(code=UNREADABLE, sentence=sentence))
            self._readable = False
            return
        self._readable = True
        for order in news(asked, known=self._in_force):
            self._obey(order)
            self._in_force = self._in_force.after(order)
            self._observe(Ordered(order=order))
        for order in news(asked, known=self._known):
            await self._record(order)
            self._known = self._known.after(order)

    def _obey(self, order: Order) -> None:
        match order.what:
            case Steering.PAUSE:
                self._pacer.hold()
                if self._held_since_s is None:
                    self._held_since_s = self._clock.monotonic()
            case Steering.GO:
                self._pacer.go()
                self._held_s, self._held_since_s = self.held_s(), None
            case Steering.RATE:
                if order.per_minute is not None:  # for the type checker: a rate has one
                    self._pacer.set_limit(order.per_minute, since_us=order.at_us)


@asynccontextmanager
async def steered(helm: Helm) -> AsyncIterator[None]:
    """Let *helm* follow orders beside the block; what holds already is in force when the block begins.

    Raises:
        StoreError: an order could not be written down; the block was cancelled.
    """
    await helm.follow_once()
    try:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(helm.follow(), name="control")
            try:
                yield
            finally:
                following.cancel()
    except* BroadcasterError as errors:
        raise first_of(errors) from None
