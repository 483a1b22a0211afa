"""What keeps a run from hammering an API that fails: the breaker, the retry budget, and giving up after long silence.

And what keeps it inside its hours: where a window is the run's own business, nobody passes while it is shut; after
``not_after`` nobody ever does.

Theory of operation. One guard hears every result of a run. While the breaker is closed everybody passes. While it is
open nobody does: who is next in line waits here, before its turn and before its claim, so that nothing ages and nothing
is dropped. Then one request goes alone, and whatever becomes of it frees its place. A drain ends every wait; so does a
silence longer than the run's patience, because nobody else would notice it while nobody sends.
"""

import asyncio
import math
from collections.abc import Callable

from broadcaster.clock import Clock
from broadcaster.core.breaker import (
    Breaker,
    answered,
    freed,
    heard,
    holds,
    left_s,
    may_pass,
    passed,
    slot_end_s,
)
from broadcaster.core.retry import given_back, taken
from broadcaster.core.values import Instant, Lost, Reply, Unsent
from broadcaster.engine.ports import Noticed, Observe, Waiting
from broadcaster.engine.stop import Stop
from broadcaster.engine.terms import Replays, Terms
from broadcaster.errors import BelongsToAnother, ScheduleStale, Unreachable, WindowShut

BREAKER = "breaker"  # the code of the event
WINDOW = "window_shut"  # of another one
_OPENED = "The API fails; one request at a time tries whether it answers again."
_SERVER_ERROR = 500
_LOOK_S = 30.0  # between two looks at a wall clock, which a sleeping machine or its user may have moved
_TICK_S = 0.001  # no wait is shorter: a rest below the clock's resolution would never pass


class Guard:
    """What all senders of a run know together of the API's health."""

    def __init__(
        self,
        *,
        terms: Terms,
        senders: int,
        stop: Stop,
        observe: Observe,
        clock: Clock,
        held_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._policy = terms.breaker.among(senders)
        self._timetable = terms.timetable
        self._patient = terms.patient
        self._replays = terms.replays
        self._told_us: int | None = None  # until when, of the wait that people were told of last
        self._give_up_after_s = terms.give_up_after_s
        self._stop = stop
        self._observe = observe
        self._clock = clock
        self._held_s = held_s  # seconds in which people paused the run: whoever asks nothing hears nothing
        self._breaker = Breaker()
        self._answers = 0  # of the slot that lasts until _slot_end_s, not yet in the breaker: the usual case is cheap
        self._answered_s = self._slot_end_s = 0.0
        self._retries = terms.retry_budget
        self._silent_since_s: float | None = None  # the first failure since the API last answered, by _awake_s
        self._decided = asyncio.Event()  # no probe is on its way

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self._breaker.probe is None else "probing"
        return f"<Guard {state}, {self._retries.left:.0f} retries left>"

    # ---- who may leave ----------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether everybody passes without a wait."""
        return self._breaker.closed

    async def passes(self, batch: int) -> bool:
        """Wait until *batch* may leave, but not beyond a drain; return whether it may.

        Whoever was let through is heard of with :meth:`hear`, or leaves with :meth:`leave`.
        """
        while not self._stop.draining:
            if await self._rest():
                continue
            now_s = self._clock.monotonic()
            if may_pass(self._breaker, now_s=now_s):
                self._become(passed(self._breaker, batch, now_s=now_s))
                return True
            if self._breaker.probe is None:
                rest_s = min(left_s(self._breaker, now_s=now_s), self._patience_s())
                await self._stop.sleep(max(_TICK_S, rest_s))
                self.give_up_if_silent()
            else:
                await self._stop.unless_drained(self._until_decided())
        return False

    def holds(self, batch: int) -> bool:
        """Return whether *batch* may still leave; a breaker that opened after its pass takes it back."""
        if self._opens_us() is not None or self._timetable.is_stale(self._wall_us()) or self._unprotected():
            self.leave(batch)  # it lines up again, and waits or ends there
            return False
        return holds(self._breaker, batch)

    def leave(self, batch: int) -> None:
        """Hear that *batch* is not on its way any more, whatever became of it. Harmless when said twice."""
        if self._breaker.probe is not None:
            self._become(freed(self._breaker, batch))

    async def _rest(self) -> bool:
        """Wait a while if the hours are not right, or drain the run where waiting does not help; return whether so."""
        if self.end_if_too_late():
            return True
        if (replays := self._unprotected()) is not None:
            self._stop.drain(
                BelongsToAnother(
                    f"this campaign was begun from {replays.run_dir}, and the API may have forgotten by now who got it "
                    f"from there: nothing more goes out from here. Go on with 'broadcaster resume {replays.run_dir}'"
                )
            )
            return True
        table, now_us = self._timetable, self._wall_us()
        opens_us = table.shut_until_us(now_us)
        if opens_us is None:
            return False
        until = table.clock(opens_us)
        if table.is_stale(opens_us):
            self._stop.drain(ScheduleStale(f"the window is shut until {until}, which is after schedule.not_after"))
        elif not self._patient:
            self._stop.drain(
                WindowShut(f"the window ({table.text}) is shut until {until}; come back then", until=until)
            )
        else:
            if opens_us != self._told_us:
                self._told_us = opens_us
                self._observe(
                    Noticed(code=WINDOW, sentence=f"The window ({table.text}) is shut: waiting until {until}.")
                )
            await self._stop.sleep(min((opens_us - now_us) / 1e6, _LOOK_S))
            self._silent_since_s = None  # who asks nothing hears nothing
        return True

    def end_if_too_late(self) -> bool:
        """Drain the run when nothing may go out any more; return whether so."""
        if not self._timetable.is_stale(self._wall_us()):
            return False
        self._stop.drain(ScheduleStale("schedule.not_after has passed; nothing more goes out"))
        return True

    def _unprotected(self) -> Replays | None:
        """Return whose keys have protected everybody, once they may not any more."""
        replays = self._replays
        return replays if replays is not None and replays.are_over(Instant.at(self._clock.reading())) else None

    def _opens_us(self) -> int | None:
        return self._timetable.shut_until_us(self._wall_us())

    def _wall_us(self) -> int:
        return self._clock.reading()[0]

    async def _until_decided(self) -> None:
        await self._decided.wait()

    def _become(self, breaker: Breaker) -> None:
        self._breaker = breaker
        if breaker.probe is None:
            self._decided.set()
        else:
            self._decided.clear()

    # ---- what became of it ------------------------------------------------------------------------------------------

    def hear(self, batch: int, result: Reply | Lost | Unsent) -> None:
        """Take the result of *batch*'s request. Any status below 500 shows that the API lives."""
        alive = isinstance(result, Reply) and result.status < _SERVER_ERROR
        now_s, was_closed = self._clock.monotonic(), self.closed
        if alive:
            self._silent_since_s = None
            if was_closed and not self._breaker.in_a_row:
                self._count_answer(now_s)
                return
        elif self._silent_since_s is None:
            self._silent_since_s = self._awake_s()
        self._take_answers_in()
        self._become(heard(self._breaker, batch, answered=alive, now_s=now_s, policy=self._policy))
        if was_closed and not self.closed and not self._stop.draining:  # once, and not with every probe that fails
            self._observe(Waiting(code=BREAKER, sentence=_OPENED, wait_s=self._breaker.open_s))

    def _count_answer(self, now_s: float) -> None:
        if now_s >= self._slot_end_s:
            self._take_answers_in()
            self._slot_end_s = slot_end_s(now_s, policy=self._policy)
        self._answers += 1
        self._answered_s = now_s

    def _take_answers_in(self) -> None:
        if self._answers:
            counted, self._answers = self._answers, 0
            self._become(answered(self._breaker, counted, now_s=self._answered_s, policy=self._policy))

    def give_up_if_silent(self) -> None:
        """Drain the run when the API has not answered for longer than its patience."""
        awake_s = self._awake_s()
        if self._silent_since_s is not None and awake_s - self._silent_since_s >= self._give_up_after_s:
            minutes = (awake_s - self._silent_since_s) / 60
            self._stop.drain(Unreachable(f"the API has not answered for {minutes:.0f} minutes"))

    def _patience_s(self) -> float:
        """Return how much longer the silence may last."""
        since_s = self._silent_since_s
        return math.inf if since_s is None else self._give_up_after_s - (self._awake_s() - since_s)

    def _awake_s(self) -> float:
        """Return the time on a clock that stands still while people pause the run."""
        return self._clock.monotonic() - self._held_s()

    # ---- repeating --------------------------------------------------------------------------------------------------

    def may_hurry(self) -> bool:
        """Take a retry from the budget; return whether there was one. Without, it goes all the same, but later."""
        hurried = not self._retries.empty
        self._retries = taken(self._retries)
        return hurried

    def accepted(self, *, repeated: bool) -> None:
        """Hear that a batch was accepted, *repeated* or at its first attempt."""
        self._retries = given_back(self._retries, repeated=repeated)
