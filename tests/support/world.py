"""A small world to send in: an API that remembers keys for a day, faults on order, a machine that crashes, odd clocks.

The API is the oracle: it knows who was really messaged, however the answer got lost. It also checks, with every request
that arrives, what the sender must never do.
"""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from enum import StrEnum, auto
from typing import NoReturn

from broadcaster.core.split import child_batch
from broadcaster.core.values import Batch, Reply, Request
from broadcaster.engine.stop import Stop
from support.answers import Answer, Result, accepts, lost, refuses, says, unsent
from support.doubles import FreeBudget, ManualClock
from support.engine import DAY_S, HOUR_S
from support.memory import MemoryJournal

LATE_S = 600.0  # how much later than it was sent a request may be executed; far inside the margin


class Fault(StrEnum):
    """What may become of a request."""

    NONE = auto()
    SLOW = auto()  # executed and answered after a minute
    UNSENT = auto()
    LOST_BEFORE = auto()  # never arrived, and nobody knows
    LOST_AFTER = auto()  # executed, and the answer is lost
    LATE = auto()  # lost for us, and executed some minutes later
    GARBAGE = auto()  # executed, and the answer cannot be read
    FOREIGN = auto()  # executed, and the answer speaks of somebody else
    CONFLICT = auto()  # executed, and the answer is a conflict that nobody documents
    FAILED_BEFORE = auto()  # 500 before anything was done
    FAILED_AFTER = auto()  # 502 of a gateway; the API goes on and executes
    NO_MEMORY = auto()  # 503 SERVICE_001: nothing was done
    SLOWER = auto()  # 429
    REFUSED_KEY = auto()  # 401
    REFUSED_ONE = auto()  # 400 naming the first recipient, before any memory is looked at
    REFUSED_ALL = auto()  # 400 about the parameters, before any memory is looked at
    DRAIN = auto()  # somebody asks to stop; the request itself is executed and answered
    ABORT = auto()  # somebody asks twice
    CRASH = auto()  # the machine is gone, with every fact that no commit has reached
    DISK = auto()  # the next fact cannot be written
    SET_BACK = auto()  # executed and answered, while somebody sets the wall clock back


AMBIGUOUS = frozenset({
    Fault.LOST_BEFORE, Fault.LOST_AFTER, Fault.LATE, Fault.GARBAGE, Fault.FOREIGN, Fault.CONFLICT,
    Fault.FAILED_BEFORE, Fault.FAILED_AFTER, Fault.ABORT, Fault.CRASH, Fault.DISK,
})  # fmt: skip


# What is answered before the API has done anything, and what becomes of its answer after it has.
INSTEAD: Mapping[Fault, Answer] = {
    Fault.UNSENT: unsent,
    Fault.LOST_BEFORE: lost,
    Fault.LATE: lost,
    Fault.FAILED_BEFORE: refuses(500, "INTERNAL_001"),
    Fault.NO_MEMORY: refuses(503, "SERVICE_001"),
    Fault.SLOWER: refuses(429, "BUSINESS_002", retry_after_s=30),
    Fault.REFUSED_KEY: refuses(401, "AUTH_002"),
    Fault.REFUSED_ONE: refuses(400, "VALIDATION_002", to=[0]),
    Fault.REFUSED_ALL: refuses(400, "VALIDATION_008"),
}
AFTERWARDS: Mapping[Fault, Answer] = {
    Fault.LOST_AFTER: lost,
    Fault.GARBAGE: says(202, b'{"success": true, "da'),
    Fault.FAILED_AFTER: refuses(502),
    Fault.FOREIGN: accepts(instead=dict.fromkeys(range(1000), "+442079460123")),
    Fault.CONFLICT: refuses(409),
}


class Impossible(AssertionError):
    """The sender did what it must never do."""


@dataclass(slots=True)
class World:
    """Clocks, journal and API: what outlives a process. ``bad`` numbers are always refused, by name or not."""

    planned: Sequence[Batch]
    clock: ManualClock
    bad: frozenset[str] = frozenset()
    named: bool = True
    window_s: float = DAY_S
    margin_s: float = HOUR_S
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    messaged: Counter[str] = field(default_factory=Counter)
    ids: dict[str, str] = field(default_factory=dict)  # recipient → id of the message that was really created
    doubtful_since_s: dict[str, float] = field(default_factory=dict)  # key → its earliest ambiguous attempt
    clock_was_set: bool = False
    _memory: dict[str, tuple[float, bytes]] = field(default_factory=dict)  # key → when, and the answer's body
    _late: dict[str, tuple[float, Request]] = field(default_factory=dict)  # key → when it will be executed
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def now_s(self) -> float:
        """The true time, that nobody can set."""
        return self.clock.monotonic()

    @property
    def server_us(self) -> int:
        """The API's own time, that nobody can set either."""
        return 1_764_580_000_000_000 + round(self.now_s * 1_000_000)

    def pass_time(self, seconds: float) -> None:
        """Let true time pass; what is late is executed on its way."""
        self.clock.step(seconds)
        self.catch_up()

    def set_wall(self, by_s: float) -> None:
        """Set the machine's wall clock; everything else goes on."""
        self.clock_was_set = True
        self.clock.set_wall(by_s)

    def catch_up(self) -> None:
        """Execute what is due."""
        for key, (due_s, request) in list(self._late.items()):
            if due_s <= self.now_s:
                del self._late[key]
                self._execute(request, at_s=due_s)

    def may_still_execute(self, key: str) -> bool:
        """Whether a request of *key* is on its way."""
        return key in self._late

    def arrive(self, request: Request, fault: Fault) -> Result:
        """Take a request in: do what the fault says, answer."""
        result = self._arrive(request, fault)
        if not isinstance(result, Reply):
            return result
        date = format_datetime(datetime.fromtimestamp(self.server_us // 1_000_000, tz=UTC), usegmt=True)
        return replace(result, headers={**result.headers, "date": date})

    def _arrive(self, request: Request, fault: Fault) -> Result:
        self.catch_up()
        key = request.key or ""
        if fault is Fault.FOREIGN and request.messages == 1:
            fault = Fault.GARBAGE  # for one recipient, another number is one that the API rewrote: nothing foreign
        if fault in AMBIGUOUS:
            self.doubtful_since_s.setdefault(key, self.now_s)
        if fault is Fault.LATE:
            self.send_late(request)
        if fault is Fault.SLOW:
            self.pass_time(60)
        if fault is Fault.SET_BACK:
            self.set_wall(-20 * HOUR_S)
        if fault in INSTEAD:
            return INSTEAD[fault](request, self.clock)
        result = self._answer(request)
        return AFTERWARDS[fault](request, self.clock) if fault in AFTERWARDS else result

    def send_late(self, request: Request) -> None:
        """Execute a request later, unless one of its key is on its way."""
        self._late.setdefault(request.key or "", (self.now_s + LATE_S, request))

    def check(self, key: str) -> None:
        """Look at the sender the moment its first byte leaves.

        Raises:
            Impossible: it must not leave.
        """
        batch = self.known()[key]
        if batch.id not in {claim.batch for claim in self.journal.open_claims()}:
            raise Impossible(f"I1: a request of batch {batch.id} without a durable claim")
        since_s = self.doubtful_since_s.get(key)
        if since_s is not None and self.now_s - since_s >= self.window_s - self.margin_s:
            raise Impossible(f"I2: batch {batch.id} again, {(self.now_s - since_s) / HOUR_S:.1f} h after its doubt")

    def _answer(self, request: Request) -> Result:
        key, to = request.key or "", json.loads(request.body)["to"]
        at_s, body = self._memory.get(key, (0.0, b""))
        if body and self.now_s - at_s < self.window_s:
            return says(202, body)(request, self.clock)
        if key in self._late:
            return refuses(409, "CONFLICT_001", retry_after_s=60)(request, self.clock)
        bad = [position for position, number in enumerate(to) if number in self.bad]
        if bad:
            return refuses(400, "VALIDATION_002", to=bad if self.named else [])(request, self.clock)
        return says(202, self._execute(request, at_s=self.now_s))(request, self.clock)

    def _execute(self, request: Request, *, at_s: float) -> bytes:
        key, to = request.key or "", json.loads(request.body)["to"]
        remembered_s, body = self._memory.get(key, (0.0, b""))
        if body and at_s - remembered_s < self.window_s:
            return body
        if any(number in self.bad for number in to):  # a late one that is refused, and nobody hears of it
            return b""
        rows = []
        for number in to:
            self.messaged[number] += 1
            self.ids[number] = f"m-{next(self._numbers)}"
            rows.append({"to": number, "message_id": self.ids[number], "channel": "sms"})
        body = json.dumps({"success": True, "data": {"recipients": rows}}).encode()
        self._memory[key] = at_s, body
        return body

    def known(self) -> dict[str, Batch]:
        """Every batch by its key, children included."""
        found = {batch.id: batch for batch in self.planned}
        for child in self.journal.children.values():
            found[child.id] = child_batch(found[child.parent], child)
        return {batch.key: batch for batch in found.values()}


class Wire:
    """The ``Send`` of one process: passes requests on to the world, with a fault for each in turn."""

    def __init__(self, world: World, faults: Sequence[Fault], *, stop: Stop, crash: Callable[[], None]) -> None:
        self._world = world
        self._faults = iter(faults)
        self._stop = stop
        self._crash = crash
        self._sent = 0

    async def __call__(self, request: Request) -> Result:
        """See ``broadcaster.engine.ports.Send``."""
        fault = next(self._faults, Fault.NONE)
        self._sent += 1
        odd = bool(self._sent % 2)
        self._world.check(request.key or "")
        executed = False
        try:
            await asyncio.sleep(0)
            if fault in {Fault.ABORT, Fault.CRASH} and odd:
                await self._end(fault)
            result = self._world.arrive(request, fault)
            executed = True
            if fault is Fault.DISK:
                self._world.journal.fail_at = self._world.journal.calls
            if fault in {Fault.ABORT, Fault.CRASH}:
                await self._end(fault)
            if fault is Fault.DRAIN:
                self._stop.drain()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._world.doubtful_since_s.setdefault(request.key or "", self._world.now_s)
            if not executed and odd:  # the bytes had left
                self._world.send_late(request)
            raise
        return result

    async def _end(self, fault: Fault) -> NoReturn:
        self._stop.abort() if fault is Fault.ABORT else self._crash()
        await asyncio.Event().wait()
        raise AssertionError("nobody came to end this")


class SlowTurns(FreeBudget):
    """A limit that takes so long, on the true clock, for each turn in turn; then it is free."""

    def __init__(self, world: World, waits_s: Sequence[float]) -> None:
        super().__init__()
        self._world = world
        self._waits_s = list(waits_s)

    async def at_once(self, messages: int) -> bool:
        """See ``broadcaster.engine.ports.Budget``."""
        if self._waits_s and self._waits_s[0] > 0:
            return False
        await self.turn(messages)
        return True

    async def turn(self, messages: int) -> None:
        """See ``broadcaster.engine.ports.Budget``."""
        del messages
        wait_s = self._waits_s.pop(0) if self._waits_s else 0.0
        if wait_s:
            await asyncio.sleep(0)
            self._world.pass_time(wait_s)
