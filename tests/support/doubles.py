"""Hand-written stand-ins for what the engine talks to: an API, a rate limit, a clock, somebody who watches.

None of them takes time, and none of them guesses: they do what the test said, one step of the event loop at a time.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from broadcaster.core.values import Instant, Reply, Request, Verdict
from broadcaster.engine.ports import Event, Settled, Waiting
from broadcaster.engine.stop import Stop
from support.answers import Answer, Result, accepts
from support.memory import MemoryJournal

T0 = 1_764_580_000_000_000  # a moment, in µs since 1970
SECOND = 1_000_000


class ManualClock:
    """A clock that stands still until it is stepped. ``boot`` is ``None`` on a platform that does not tell."""

    def __init__(self, *, wall_us: int = T0, boot: str | None = "boot-1") -> None:
        self.wall_us = wall_us
        self.boot = boot
        self.boot_us = 0
        self._passed_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def reading(self) -> tuple[int, int | None, str | None]:
        """See ``broadcaster.clock.Clock``."""
        return self.wall_us, self.boot_us if self.boot else None, self.boot

    def monotonic(self) -> float:
        """See ``broadcaster.clock.Clock``."""
        return self._passed_s

    async def sleep(self, seconds: float) -> None:
        """Wait until somebody has stepped the clock so far."""
        woken = asyncio.Event()
        self._sleepers.append((self._passed_s + seconds, woken))
        self.step(0)
        await woken.wait()

    def step(self, seconds: float) -> None:
        """Let time pass on every clock, and wake whoever has slept long enough."""
        self.wall_us += round(seconds * SECOND)
        self.boot_us += round(seconds * SECOND)
        self._passed_s += seconds
        for until_s, woken in self._sleepers:
            if until_s <= self._passed_s:
                woken.set()
        self._sleepers = [sleeper for sleeper in self._sleepers if not sleeper[1].is_set()]

    def set_wall(self, by_s: float) -> None:
        """Set the wall clock, as a person or a time server does: the other clocks do not move."""
        self.wall_us += round(by_s * SECOND)

    def restart(self, boot: str) -> None:
        """Start the machine anew."""
        self.boot, self.boot_us = boot, 0

    @property
    def now(self) -> Instant:
        """The present, as values have it."""
        return Instant.at(self.reading())


class SteppingStop(Stop):
    """A stop whose waits step the clock instead of taking time. ``slept_s`` keeps them."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.slept_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """See ``Stop.sleep``."""
        self.slept_s.append(seconds)
        if not self.draining:
            self._clock.step(seconds)
        await asyncio.sleep(0)


# ---- the API --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that arrived, and what the journal held at that moment."""

    key: str
    body: bytes
    claimed: frozenset[int]
    settled: frozenset[int]
    at_s: float

    @property
    def to(self) -> tuple[str, ...]:
        """Whom it is for."""
        return tuple(json.loads(self.body)["to"])


class Hanging:
    """Holds requests up in a named phase: ``arriving`` (nothing is decided yet) or ``answering`` (all is)."""

    def __init__(self, phase: str, *, numbers: Iterable[int] | None = None) -> None:
        self.phase = phase
        self.released = asyncio.Event()
        self._numbers = None if numbers is None else set(numbers)  # by order of arrival, from 0; None: all
        self._waiting = 0
        self._changed = asyncio.Condition()

    async def hold(self, number: int, phase: str) -> None:
        """Wait here, when it is for this request and this phase."""
        if phase != self.phase or (self._numbers is not None and number not in self._numbers):
            return
        async with self._changed:
            self._waiting += 1
            self._changed.notify_all()
        try:
            await self.released.wait()
        finally:
            self._waiting -= 1

    async def reached(self, count: int = 1) -> None:
        """Return when so many requests hang."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting >= count)


class ScriptedSend:
    """Answers in turn, or by key; when the script is over it accepts. ``seen`` has every request in order of arrival.

    ``most_under_way`` is how many were unanswered at once.
    """

    def __init__(self, *answers: Answer, clock: ManualClock, journal: MemoryJournal | None = None) -> None:
        self._in_turn = deque(answers)
        self._by_key: dict[str, deque[Answer]] = defaultdict(deque)
        self._clock = clock
        self._journal = journal
        self.hanging: Hanging | None = None
        self.after: Callable[[int], None] | None = None  # called with the number of a request before it is answered
        self.seen: list[Seen] = []
        self.under_way = 0
        self.most_under_way = 0

    def script(self, key: str, *answers: Answer) -> None:
        """Answer the requests of *key* like this; it goes before what is answered in turn."""
        self._by_key[key].extend(answers)

    async def __call__(self, request: Request) -> Result:
        """See ``broadcaster.engine.ports.Send``."""
        number = len(self.seen)
        journal = self._journal
        self.seen.append(
            Seen(
                key=request.key or "",
                body=request.body,
                claimed=frozenset(journal.claims if journal else ()),
                settled=frozenset(journal.outcomes if journal else ()),
                at_s=self._clock.monotonic(),
            )
        )
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self._pass("arriving", number)
            if self.after is not None:
                self.after(number)
            script = self._by_key[request.key or ""] or self._in_turn
            result = (script.popleft() if script else accepts())(request, self._clock)
            await self._pass("answering", number)
            return result
        finally:
            self.under_way -= 1

    async def _pass(self, phase: str, number: int) -> None:
        await asyncio.sleep(0)
        if self.hanging is not None:
            await self.hanging.hold(number, phase)


# ---- the limit and the watcher --------------------------------------------------------------------------------------


class FreeBudget:
    """No limit at all."""

    def __init__(self) -> None:
        self.heard: list[Verdict] = []

    async def turn(self, messages: int) -> None:
        """See ``broadcaster.engine.ports.Budget``."""

    async def at_once(self, messages: int) -> bool:
        """See ``broadcaster.engine.ports.Budget``."""
        await self.turn(messages)
        return True

    def hear(self, reply: Reply) -> None:
        """See ``broadcaster.engine.ports.Budget``."""

    def throttled(self, verdict: Verdict) -> None:
        """See ``broadcaster.engine.ports.Budget``."""
        self.heard.append(verdict)


class CountingBudget(FreeBudget):
    """So many turns at first, more by :meth:`give`. ``turns`` has the weight of each that was taken."""

    def __init__(self, turns: int = 0) -> None:
        super().__init__()
        self.turns: list[int] = []
        self._left = turns
        self._waiting = 0
        self._changed = asyncio.Condition()

    async def turn(self, messages: int) -> None:
        """See ``broadcaster.engine.ports.Budget``."""
        if self._left == 0:
            async with self._changed:
                self._waiting += 1
                self._changed.notify_all()
                try:
                    await self._changed.wait_for(lambda: self._left > 0)
                finally:
                    self._waiting -= 1
        self._left -= 1
        self.turns.append(messages)

    async def at_once(self, messages: int) -> bool:
        """See ``broadcaster.engine.ports.Budget``."""
        if self._left == 0:
            return False
        await self.turn(messages)
        return True

    async def give(self, turns: int = 1) -> None:
        """Allow so many more."""
        async with self._changed:
            self._left += turns
            self._changed.notify_all()

    async def asked(self) -> None:
        """Return when somebody waits for a turn."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting > 0 and self._left == 0)


@dataclass(slots=True)
class Recorder:
    """Keeps what it hears. ``waited`` is set with the first wait before another attempt."""

    events: list[Event] = field(default_factory=list)
    waited: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, event: Event, /) -> None:
        """See ``broadcaster.engine.ports.Observe``."""
        self.events.append(event)
        if isinstance(event, Waiting):
            self.waited.set()

    @property
    def counts(self) -> dict[str, int]:
        """Deliveries by what was told of them; nothing where nothing was told."""
        total: dict[str, int] = defaultdict(int)
        for each in self.events:
            if isinstance(each, Settled):
                for name in ("accepted", "rejected", "in_doubt", "earlier_launch"):
                    total[name] += getattr(each, name)
        return {name: count for name, count in total.items() if count}

    @property
    def waits(self) -> list[Waiting]:
        """The waits that were told."""
        return [each for each in self.events if isinstance(each, Waiting)]
