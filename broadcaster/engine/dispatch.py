"""The one line in which every attempt waits for its turn and, where it needs one, for its claim.

Theory of operation. The pace is taken *before* the claim: a claim must not age while its request waits. Whoever is at
the head waits until the guard lets it pass, and for the limit; those behind it whose turn needs no wait join it, and
the claims of the group are committed together: one fsync serves many. First come, first served, so that a large batch
is never starved by small ones.

A process may stand still between its claim and its bytes: a machine that sleeps, or is moved. Meanwhile somebody else
may have sent the batch, the API may have forgotten that, and it may be night. So a claim is good for a minute; one that
is older when it is to be used is taken back, and its batch lines up again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from broadcaster.clock import Clock
from broadcaster.core.values import Batch, Claim, Instant
from broadcaster.engine.guard import Guard
from broadcaster.engine.ports import Budget, Journal
from broadcaster.engine.servertime import ServerTime
from broadcaster.engine.stop import Stop

_GOOD_S = 60.0  # a claim, from before it is written: longer than a store that is far away may take for it


class Late(Exception):
    """The send time of the batch has passed while it waited: no claim, nothing was sent."""


class Drained(Exception):
    """The run drains: no turn, no claim, nothing was sent."""


@dataclass(slots=True)
class _Wish:
    batch: Batch
    messages: int
    needs_claim: bool
    granted: "asyncio.Future[Claim | None]"


def _deliveries(batch: Batch) -> int:
    return batch.deliveries


class Dispatcher:
    """Grants turns and claims, in order."""

    def __init__(
        self,
        *,
        budget: Budget,
        guard: Guard,
        journal: Journal,
        clock: Clock,
        stop: Stop,
        server_time: ServerTime,
        weight: Callable[[Batch], int] = _deliveries,
        is_late: Callable[[Batch], bool] = lambda _batch: False,
        good_s: float = _GOOD_S,
    ) -> None:
        self._budget = budget
        self._guard = guard
        self._journal = journal
        self._clock = clock
        self._stop = stop
        self._server_time = server_time
        self._weight = weight  # of a batch on the limit of messages
        self._is_late = is_late
        self._good_s = min(good_s, _GOOD_S)
        self._line: deque[_Wish] = deque()  # bounded by the number of senders: one wish each
        self._arrived = asyncio.Event()

    async def admit(self, batch: Batch, *, needs_claim: bool) -> Claim | None:
        """Return when the batch's bytes may leave; the new claim when one was needed.

        Raises:
            Drained: when the run drains first.
            Late: when it needs a claim, and its send time has passed.
        """
        granted: asyncio.Future[Claim | None] = asyncio.get_running_loop().create_future()
        self._line.append(_Wish(batch, self._weight(batch), needs_claim, granted))
        self._arrived.set()
        return await granted

    async def run(self) -> None:
        """Serve the line until cancelled."""
        while True:
            while not self._line:
                self._arrived.clear()
                await self._arrived.wait()
            first = self._line.popleft()
            if not await self._turn(first):
                self._refuse(first)
                continue
            group = [first]
            # A breaker that is not closed lets one pass at a time.
            while self._line and self._guard.closed and await self._budget.at_once(self._line[0].messages):
                group.append(self._line.popleft())
            await self._grant(group)

    async def _turn(self, wish: _Wish) -> bool:
        """Wait until the guard and the limit let a batch pass, but not beyond a drain; return whether both did."""
        while await self._guard.passes(wish.batch.id):
            if not await self._budget.at_once(wish.messages) and not await self._stop.unless_drained(
                self._budget.turn(wish.messages)
            ):
                return False
            if self._guard.holds(wish.batch.id):
                return True
            # The API began to fail while this turn waited: the turn is lost, nothing was claimed.
        return False

    async def _grant(self, group: list[_Wish]) -> None:
        for gone in (wish for wish in group if wish.granted.done()):  # its sender is gone, so that it sends nothing
            self._guard.leave(gone.batch.id)
        group = [wish for wish in group if not wish.granted.done()]
        for late in (wish for wish in group if wish.needs_claim and self._is_late(wish.batch)):
            self._guard.leave(late.batch.id)
            late.granted.set_exception(Late())
        group = [wish for wish in group if not wish.granted.done()]
        since, server_us = Instant.at(self._clock.reading()), self._server_time.now_us()
        claims = {
            wish.batch.id: Claim(batch=wish.batch.id, since=since, server_us=server_us)
            for wish in group
            if wish.needs_claim
        }
        if claims:
            await self._journal.claim(list(claims.values()))
            if self._stood_still(since):
                await self._take_back(group)
                return
        for wish in group:
            if wish.granted.done():
                self._guard.leave(wish.batch.id)
            else:
                wish.granted.set_result(claims.get(wish.batch.id))

    def _stood_still(self, since: Instant) -> bool:
        """Whether a claim of that moment is too old to be used, by any clock that counts through sleep."""
        now = Instant.at(self._clock.reading())
        passed_us = now.wall_us - since.wall_us
        if now.boot_us is not None and since.boot_us is not None:
            passed_us = max(passed_us, now.boot_us - since.boot_us)
        return passed_us > self._good_s * 1_000_000

    async def _take_back(self, group: list[_Wish]) -> None:
        """Let a group line up again, of which nothing was sent."""
        for wish in group:
            self._guard.leave(wish.batch.id)
            if wish.needs_claim:
                await self._journal.release(wish.batch.id)
        self._line.extendleft(reversed(group))

    def _refuse(self, wish: _Wish) -> None:
        if not wish.granted.done():
            wish.granted.set_exception(Drained())
