"""The limit of an account as a worker sees it: every turn is asked for, and without an answer nothing leaves.

Theory of operation. A turn is one question to whoever keeps the limit (:mod:`broadcaster.core.leases`), and the answer
holds for this moment only: one that took long is not used, because it was counted when it was given and the request
would leave in another minute. So nothing is kept in stock, and a worker that is cut off stops by itself, with whatever
it had been given a moment ago. What is heard of the limit, and what became of deliveries, is told the other way: a 429
before the next turn is asked for, the rest twice a second, as totals, so that telling it twice does no harm.

Knows nothing of how the question travels.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from broadcaster.clock import Clock
from broadcaster.core import pacing
from broadcaster.core.leases import Heard
from broadcaster.core.values import Reply, Verdict
from broadcaster.engine.ports import Event, Noticed, Settled, Waiting
from broadcaster.engine.stop import Stop
from broadcaster.errors import BroadcasterError, StoppedEarly, first_of

COUNTED = ("requests", "accepted", "rejected", "in_doubt", "earlier_launch", "born")
ANSWER_S = 1.0  # how long an answer is waited for
FRESH_S = 0.25  # how old a turn may be when it arrives: with the claim's own time less than the window's allowance
LOST_S = 60.0  # without any answer: the shard ends here, and somebody else or a later launch goes on with it
_LOOK_S = 0.25  # between two questions at most: a place in the line is kept for a second
_AGAIN_S = 0.01  # before a turn that came too late is asked for again
_TELL_S = 0.5
_TOLD = 20  # sentences of one shard that are passed on
_SLOWER = 429

Call = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


class LeasedBudget:
    """The ``Budget`` port of one shard.

    Args:
        call: asks whoever keeps the limit: the name of a question, its arguments, the answer. It may raise anything.
        run: of which run this is a shard.
        stop: is drained when the keeper says that the run is over, or says nothing for a minute.
        clock: the time.
    """

    def __init__(self, *, call: Call, run: str, stop: Stop, clock: Clock) -> None:
        self._call = call
        self._run = run
        self._stop = stop
        self._clock = clock
        self._who = uuid.uuid4().hex
        self._line = asyncio.Lock()
        self._silent_since_s: float | None = None
        self._held_s = 0.0  # in holds that have ended
        self._held_since_s: float | None = None
        self._paused_until_s = 0.0  # by a 429 of our own, which the keeper may not have heard of
        self._named: int | None = None  # a limit, by the headers of the answer that is heard now
        self._heard: list[Heard] = []
        self._limit: int | None = None  # as it was told last
        self._counts = dict.fromkeys(COUNTED, 0)
        self._said: list[str] = []
        self._told: tuple[dict[str, int], int] = (dict(self._counts), 0)
        self._news = asyncio.Event()

    def __repr__(self) -> str:
        state = "" if self._silent_since_s is None else ", nobody answers"
        return f"<LeasedBudget of {self._run}{state}>"

    def held_s(self) -> float:
        """Return the seconds that people have held the run so far, as far as turns were asked for."""
        now = 0.0 if self._held_since_s is None else self._clock.monotonic() - self._held_since_s
        return self._held_s + now

    # ---- turns ------------------------------------------------------------------------------------------------------

    async def turn(self, messages: int) -> None:
        """Return when one request with so many messages may leave; first come, first served over all workers."""
        async with self._line:
            while (wait_s := await self._ask(messages, patient=True)) > 0:
                await self._clock.sleep(min(wait_s, _LOOK_S))

    async def at_once(self, messages: int) -> bool:
        """Take a turn if it needs no wait; return whether it was taken."""
        return not self._line.locked() and await self._ask(messages, patient=False) == 0

    async def _ask(self, messages: int, *, patient: bool) -> float:
        """Return 0 when a turn was given, else after how long to ask again."""
        began_s = self._clock.monotonic()
        if self._stop.draining:
            return _LOOK_S
        if began_s < self._paused_until_s and any(each.throttled for each in self._heard) and not await self._tell():
            return _LOOK_S
        asked_s = self._clock.monotonic()
        answer = await self._answer("turn", messages=messages, patient=patient, who=self._who)
        if answer is None:
            return _LOOK_S
        self._hold(held=bool(answer.get("held")))
        wait_s = float(answer["wait_s"])
        if not wait_s and self._clock.monotonic() - asked_s > FRESH_S:
            return _AGAIN_S
        return wait_s

    def _hold(self, *, held: bool) -> None:
        if held and self._held_since_s is None:
            self._held_since_s = self._clock.monotonic()
        elif not held:
            self._held_s, self._held_since_s = self.held_s(), None

    async def _answer(self, question: str, **arguments: Any) -> Mapping[str, Any] | None:
        """Return the keeper's answer, or ``None`` when there is none, or the run is over."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._call(question, {"run": self._run, **arguments})
        except Exception:  # noqa: BLE001 - whatever is wrong with the keeper, or on the way: no answer, no turn
            self._unheard()
            return None
        self._silent_since_s = None
        if (why := answer.get("stop")) is not None:
            self._stop.drain(StoppedEarly(str(why)))
            return None
        return answer

    def _unheard(self) -> None:
        now_s = self._clock.monotonic()
        if self._silent_since_s is None:
            self._silent_since_s = now_s
        elif now_s - self._silent_since_s > LOST_S:
            self._stop.drain(StoppedEarly("the scheduler of the cluster cannot be reached; nothing is sent without it"))

    # ---- what is heard ----------------------------------------------------------------------------------------------

    def hear(self, reply: Reply) -> None:
        """Hear what an answer's headers say of the limit; before :meth:`throttled` of the same answer."""
        said = pacing.told(reply.headers)
        self._named = said.limit if said is not None else None
        if said is None or reply.status == _SLOWER:
            return
        if said.remaining is not None or said.limit not in {None, self._limit}:
            self._limit = said.limit or self._limit
            # Only the last word counts; what a 429 said is kept until it is told.
            kept = [each for each in self._heard if each.throttled]
            self._heard = [*kept, Heard(limit=said.limit, remaining=said.remaining)]

    def throttled(self, verdict: Verdict) -> None:
        """Hear that the API said "slower": the keeper is told at once, and slows everybody down."""
        if not verdict.throttled:
            return
        heard = Heard(throttled=True, retry_after_s=verdict.retry_after_s, limit=self._named)
        self._named = None
        if heard not in self._heard:  # several of one moment are one
            self._heard.append(heard)
        self._paused_until_s = self._clock.monotonic() + (verdict.retry_after_s or _TELL_S)
        self._news.set()

    def observe(self, event: Event) -> None:
        """Count what happens, for whoever watches the whole run."""
        match event:
            case Settled():
                self._counts["requests"] += 1
                for name in COUNTED[1:]:
                    self._counts[name] += getattr(event, name)
            case Waiting(sentence=sentence) | Noticed(sentence=sentence):
                if sentence and sentence not in self._said and len(self._said) < _TOLD:
                    self._said.append(sentence)
            case _:
                pass

    # ---- telling ----------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Tell what is new, twice a second and at once after a 429, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_TELL_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            if not await self._tell():
                await self._clock.sleep(_LOOK_S)

    async def _tell(self) -> bool:
        """Tell what is new; return whether it was heard."""
        heard, counts, said = list(self._heard), dict(self._counts), len(self._said)
        if not heard and (counts, said) == self._told:
            return True
        answer = await self._answer(
            "tell", who=self._who, heard=[asdict(each) for each in heard], counts=counts, said=self._said[:said]
        )
        if answer is None:
            return False
        self._heard = [each for each in self._heard if each not in heard]
        self._told = (counts, said)
        return True

    async def finish(self) -> None:
        """Tell what is left to tell, if somebody hears it."""
        await self._tell()


@asynccontextmanager
async def leased(call: Call, *, run: str, stop: Stop, clock: Clock) -> AsyncIterator[LeasedBudget]:
    """Yield a budget that tells what it hears beside the block. The arguments are those of :class:`LeasedBudget`."""
    budget = LeasedBudget(call=call, run=run, stop=stop, clock=clock)
    try:
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(budget.follow(), name="lease")
            try:
                yield budget
            finally:
                telling.cancel()
    except* BroadcasterError as errors:  # of the block
        raise first_of(errors) from None
    finally:
        await budget.finish()
