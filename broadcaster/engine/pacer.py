"""The pace of all requests, of all senders together.

Theory of operation. Turns are handed out one at a time, first come first served: a bucket alone would let small turns
pass large ones for ever. A turn first takes its permits of two leaky buckets, for requests and for messages, which
spread a limit over its minute; then it is written down in the *window*, which knows what the account spent in the last
minute, also by earlier runs and by others that run now, and refuses what would pass a limit. So the buckets may be made
anew whenever a rate changes. A 429 pauses everybody and lowers the rates; they climb back minute by minute. What the
answers' headers say of the limit is learned. Whoever waits looks up every moment, so that people at the controls are
heard at once.

Without any limit nothing is written down, and a turn costs next to nothing. Reads time from its clock and, in the
buckets, from the event loop; both must be the same clock.
"""

import asyncio
from dataclasses import replace

from broadcaster.clock import Clock
from broadcaster.core import pacing
from broadcaster.core.pacing import WINDOW_S, Limit, Rate, Standing, Told, paused_for, recovered
from broadcaster.core.values import Reply, Verdict
from broadcaster.core.window import Ceilings, Known
from broadcaster.engine.lane import LOOK_S, Lane
from broadcaster.engine.ports import Observe, Waiting, Window

_SLOWER = 429
_TELL_S = 2.0  # a longer wait would look like a hang to whoever has just started a run
_ASKED = "The API has asked this account to wait a moment ago."
_FULL = "The account's limit is used up by what was sent in the last minute; the run goes on when there is room."


class Pacer:
    """Hands out turns; the ``Budget`` port of this process.

    Args:
        requests_per_minute: 0 means no limit.
        messages_per_minute: 0 means no limit.
        largest: the most messages that one request carries.
        clock: the time.
        chosen: somebody chose the limit of requests; else it is a guess, and what the API says holds.
        window: the account's last minute. Without one, only the buckets hold.
        observe: hears once when this run has to wait for what was spent before it began, or beside it.
        share: of the account's limit of requests that is ours for good; the limits given are ours already, what
            answers name is the whole account's.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int,
        messages_per_minute: int,
        largest: int,
        clock: Clock,
        chosen: bool = True,
        window: Window | None = None,
        observe: Observe | None = None,
        share: float = 1.0,
    ) -> None:
        self._share = share
        self._standing = Standing(asked=requests_per_minute, chosen=chosen)
        self._deaf_until_us = -1  # what was learned before somebody set the limit holds no longer
        self._ceilings = Ceilings(requests=requests_per_minute, messages=messages_per_minute)
        self._requests = Lane(requests_per_minute, largest=1)
        self._messages = Lane(messages_per_minute, largest=max(1, largest))
        self._clock = clock
        self._window = window
        self._pool: str | None = None
        self._observe = observe
        self._line = asyncio.Lock()
        self._pause = Rate.of(1)  # of everybody, also when nothing is limited; only its pause is used
        self._going = asyncio.Event()
        self._going.set()
        self._told_lower = False  # the 429 that is heard now names a limit, which takes the place of half the rate

    def __repr__(self) -> str:
        limit = self.limit.requests_per_minute
        pace = "no limit" if limit is None else f"{limit}/min"
        held = ", held" if self.held else ""
        return f"<Pacer {pace}{held}{f', paused for {self.paused_for_s:.0f} s' if self.paused_for_s else ''}>"

    # ---- what is in force -------------------------------------------------------------------------------------------

    @property
    def limit(self) -> Limit:
        """The limits in force, and where the one of requests comes from."""
        now_s = self._clock.monotonic()
        requests, messages = (recovered(lane.rate, now_s=now_s) for lane in (self._requests, self._messages))
        return Limit(
            requests_per_minute=requests.per_minute or None,
            messages_per_minute=messages.per_minute or None,
            source=self._standing.in_force[1],
            slowed=requests.per_minute < requests.full or messages.per_minute < messages.full,
        )

    @property
    def paused_for_s(self) -> float:
        """How much longer everybody waits because the API asked for it; 0 when nobody does."""
        return max(0.0, self._pause.paused_until_s - self._clock.monotonic())

    @property
    def held(self) -> bool:
        """Whether somebody holds everybody back."""
        return not self._going.is_set()

    # ---- people at the controls -------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let nobody pass until :meth:`go`."""
        self._going.clear()

    def go(self) -> None:
        """Let everybody pass again."""
        self._going.set()

    def set_limit(self, requests_per_minute: int, *, since_us: int | None = None) -> None:
        """Go on at so many requests a minute; 0 means no limit. What the API says from now on still lowers it.

        With *since_us*, in µs since 1970, also what it said since then: somebody set the limit of an earlier process.
        """
        self._deaf_until_us = self._clock.reading()[0] if since_us is None else since_us
        self._stand(replace(self._standing, live=requests_per_minute, learned=None))
        self._join()  # it may be the first limit

    # ---- turns ------------------------------------------------------------------------------------------------------

    async def turn(self, messages: int) -> None:
        """Return when one request with so many messages may leave; first come, first served."""
        if self._free:
            return
        async with self._line:
            given = False
            try:
                await self._wait(messages)
                given = True
            finally:
                if not given and self._window is not None:
                    self._window.withdraw()

    async def at_once(self, messages: int) -> bool:
        """Take a turn if it needs no wait; return whether it was taken."""
        if self._free:
            return True
        if self._line.locked() or self._barred:
            return False
        self._recover()
        if not (self._requests.has(1) and self._messages.has(messages)):
            return False
        if self._spend_s(messages, patient=False):
            return False
        return await self._requests.take(1) and await self._messages.take(messages)  # at once: there was room

    @property
    def _free(self) -> bool:
        """Whether there is nothing at all to wait for."""
        return not self._ceilings and not self._barred

    @property
    def _barred(self) -> bool:
        until_s = self._pause.paused_until_s
        return not self._going.is_set() or (until_s > 0 and self._clock.monotonic() < until_s)

    async def _wait(self, messages: int) -> None:
        request = message = False
        while True:
            while self._barred:  # before a permit is taken: it counts from then
                await self._until_it_may_go_on()
            self._recover()
            request = request or await self._requests.take(1)
            message = request and (message or await self._messages.take(messages))
            if not message or self._barred:
                continue
            wait_s = self._spend_s(messages, patient=True)
            if not wait_s:
                return
            self._tell(_FULL, wait_s)
            await self._clock.sleep(min(wait_s, LOOK_S))

    def _tell(self, sentence: str, wait_s: float) -> None:
        if wait_s > _TELL_S and self._observe is not None:
            self._observe(Waiting(code="limit", sentence=sentence, wait_s=wait_s))
            self._observe = None

    async def _until_it_may_go_on(self) -> None:
        await self._going.wait()
        if (left_s := self.paused_for_s) > 0:
            await self._clock.sleep(min(left_s, LOOK_S))

    def _spend_s(self, messages: int, *, patient: bool) -> float:
        """Write a turn down and return 0, or return after how long to ask again."""
        if self._window is None or not self._ceilings:
            return 0.0
        turn = self._window.take(messages, ceilings=self._ceilings, patient=patient)
        self._know(turn.known)
        return turn.wait_s

    def _recover(self) -> None:
        now_s = self._clock.monotonic()
        for lane in (self._requests, self._messages):
            if lane.rate.per_minute < lane.rate.full:
                lane.become(recovered(lane.rate, now_s=now_s))

    # ---- what is heard ----------------------------------------------------------------------------------------------

    def belongs_to(self, pool: str) -> None:
        """Hear whose limit it is; what earlier runs learned of it holds from here on."""
        self._pool = pool
        self._join()

    def _join(self) -> None:
        """Spend in the account's minute from here on; whoever has no limit needs none."""
        if self._window is None or self._pool is None or not self._ceilings:
            return
        heard = self._standing.learned  # by the look-up that told whose key it is: newer than what is kept
        known = self._window.belongs_to(self._pool)
        self._know(known if heard is None else replace(known, learned=None))
        if heard is not None:
            self._window.learn(heard)

    def throttled(self, verdict: Verdict) -> None:
        """Hear that the API said "slower": everybody pauses, and goes on at a lower rate.

        Which of the two limits it was is not known, so both give way; unless the answer named a lower one.
        """
        if not verdict.throttled:
            return
        now_s, asked_s = self._clock.monotonic(), verdict.retry_after_s
        self._pause = pacing.slowed(self._pause, retry_after_s=asked_s, now_s=now_s)
        for lane in (self._requests, self._messages):
            rate = recovered(lane.rate, now_s=now_s)
            if lane.rate.full:
                lane.become(
                    paused_for(rate, self.paused_for_s, now_s=now_s)
                    if self._told_lower
                    else pacing.slowed(rate, retry_after_s=asked_s, now_s=now_s)
                )
        self._told_lower = False
        if self._window is not None and self._ceilings:
            self._window.pause(self.paused_for_s)

    def hear(self, reply: Reply) -> None:
        """Hear what an answer's headers say of the limit of requests; before :meth:`throttled`, if it is that too."""
        self._told_lower = False
        if not self._ceilings.requests or (said := pacing.told(reply.headers)) is None:
            return
        said = said.of(self._share)
        if said.limit is not None and self._may_learn(said.limit, reply):
            self._told_lower = reply.status == _SLOWER and said.limit < self._requests.rate.full
            self._learn(said.limit)
        if reply.status != _SLOWER and said.remaining is not None:
            self._hear_of_others(said, said.remaining, reply)

    def _may_learn(self, limit: int, reply: Reply) -> bool:
        if reply.status != _SLOWER or self._window is None:
            return True
        requests, messages = self._window.spent()
        return pacing.is_of_requests(
            limit, requests=requests, messages=messages, messages_limit=self._ceilings.messages
        )

    def _learn(self, limit: int) -> None:
        if limit != self._standing.learned:
            self._stand(replace(self._standing, learned=limit))
            if self._window is not None and self._pool is not None:
                self._window.learn(limit)

    def _hear_of_others(self, said: Told, remaining: int, reply: Reply) -> None:
        """Give room to whoever else uses the account, as far as the API counts them."""
        if self._window is None:
            return
        less = self._window.correct(limit=self._ceilings.requests, remaining=remaining, asked_at=reply.started)
        if less and not remaining and said.reset_s is not None:
            now_s = (reply.server_us or reply.ended.wall_us) / 1_000_000
            if (wait_s := min(said.reset_s - now_s, WINDOW_S)) > 0:
                self._pause = paused_for(self._pause, wait_s, now_s=self._clock.monotonic())

    def _know(self, known: Known) -> None:
        """Take over what this run or another one has learned."""
        if known.learned is not None and known.learned_us > self._deaf_until_us:
            self._stand(replace(self._standing, learned=known.learned))
        if known.paused_s > self.paused_for_s:
            if known.paused_s > self.paused_for_s + _TELL_S:  # another run's, then
                self._tell(_ASKED, known.paused_s)
            self._pause = paused_for(self._pause, known.paused_s, now_s=self._clock.monotonic())

    def _stand(self, standing: Standing) -> None:
        """Put the limit in force that follows from what is said of it."""
        if standing == self._standing:
            return
        self._standing = standing
        self._ceilings = replace(self._ceilings, requests=standing.account)
        if standing.in_force[0] != self._requests.rate.full:
            self._requests.become(Rate.of(standing.in_force[0]))
