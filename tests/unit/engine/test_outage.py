"""The whole sending loop while the API is down: it is asked rarely, nobody is dropped, and every end is as usual."""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from support.answers import Answer, Result, accepts, lost, raises, refuses, unsent
from support.doubles import CountingBudget, Hanging, ManualClock
from support.engine import DAY_S, HOUR_S, TERMS, Bench, batches, make_batch

from broadcaster.core.breaker import BreakerPolicy
from broadcaster.core.lifecycle import BatchState
from broadcaster.core.retry import RetryBudget, RetryPolicy
from broadcaster.core.values import Batch, Claim, Request
from broadcaster.engine.guard import BREAKER
from broadcaster.engine.stop import Stop
from broadcaster.engine.work import Task
from broadcaster.errors import Unreachable

SENDERS = 8
AT_ONCE = RetryPolicy(initial_s=0.0, ceiling_s=0.0)
NEVER = BreakerPolicy(in_a_row=10**9, least=10**9)
FAILURES = {"lost": lost, "unsent": unsent, "500": refuses(500), "SERVICE_001": refuses(503, "SERVICE_001")}


class WaitingStop(Stop):
    """A stop whose waits last until the clock gets there."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self._until_s: set[float] = set()

    async def sleep(self, seconds: float) -> None:
        """See ``Stop.sleep``."""
        self._until_s.add(self._clock.monotonic() + seconds)
        await self.unless_drained(self._clock.sleep(seconds))

    async def let_time_pass(self) -> None:
        """Step the clock to the next wait's end whenever everybody waits, until cancelled."""
        while True:
            await steps(40)
            now_s = self._clock.monotonic()
            self._until_s = {until_s for until_s in self._until_s if until_s > now_s}
            if self._until_s:
                self._clock.step(min(self._until_s) - now_s)


@dataclass(slots=True, kw_only=True)
class Outage(Bench):
    """A bench in true time whose API is down for a while, after it has answered *first* requests."""

    concurrency: int = SENDERS
    first: int = 20
    down_s: float = 600.0
    failing: Answer = lost
    asked_s: list[float] = field(default_factory=list)  # when the API was asked while it was down
    _began_s: float | None = None

    def __post_init__(self) -> None:
        # Not super(): the class that dataclasses make for the slots is another one.
        Bench.__post_init__(self)
        self.stop = WaitingStop(self.clock)

    async def api(self, request: Request) -> Result:
        """Answer like an API that is down for a while."""
        if len(self.send.seen) < self.first:
            return await self.send(request)
        now_s = self.clock.monotonic()
        self._began_s = now_s if self._began_s is None else self._began_s
        if now_s - self._began_s >= self.down_s:
            return await self.send(request)
        self.asked_s.append(now_s - self._began_s)
        self.send.script(request.key or "", self.failing)
        return await self.send(request)

    async def survive(self, *tasks: Batch | Task) -> None:
        """Deliver *tasks* through it."""
        assert isinstance(self.stop, WaitingStop)
        passing = asyncio.ensure_future(self.stop.let_time_pass())
        try:
            await self.run(*tasks, send=self.api)
        finally:
            passing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await passing

    @property
    def openings(self) -> int:
        """How often people were told."""
        return sum(each.code == BREAKER for each in self.heard.waits)


@pytest.mark.parametrize("failing", FAILURES.values(), ids=FAILURES)
async def test_an_api_that_is_down_is_asked_rarely_and_afterwards_everybody_gets_it(failing: Answer) -> None:
    outage = Outage(failing=failing)

    await outage.survive(*batches(100))

    rounds, probes = outage.asked_s[:16], outage.asked_s[16:]
    assert max(rounds) < 2
    assert len(probes) < 15  # in ten minutes
    assert all(later - earlier >= 5 for earlier, later in pairwise(probes))
    assert outage.heard.counts == {"accepted": 200}
    assert set(outage.journal.outcomes) == set(outage.journal.claims) == set(range(100))
    assert (outage.openings, outage.stop.because) == (1, None)


async def test_without_a_breaker_it_would_be_asked_ten_times_as_often() -> None:
    outage = Outage(terms=replace(TERMS, breaker=NEVER))

    await outage.survive(*batches(100))

    assert len(outage.asked_s) > 150
    assert outage.heard.counts == {"accepted": 200}


async def test_nothing_is_claimed_while_nobody_may_ask() -> None:
    outage = Outage(failing=unsent, first=1)

    await outage.survive(*batches(40))

    claims = [line for line in outage.journal.lines if line.startswith("claim")]
    assert sum(len(line.split()) - 1 for line in claims) == len(outage.send.seen)


async def test_an_api_that_comes_back_is_found_within_a_minute() -> None:
    outage = Outage(down_s=1000)

    await outage.survive(*batches(60))

    back_s = next(seen.at_s for seen in outage.send.seen if seen.at_s >= 1000)
    assert back_s <= 1061
    after = [seen.at_s for seen in outage.send.seen if seen.at_s > back_s]
    assert max(after, default=back_s) - back_s <= 60


async def test_two_outages_are_told_twice_and_each_begins_with_a_short_pause() -> None:
    bench = Bench(terms=replace(TERMS, breaker=BreakerPolicy(in_a_row=2, rounds=0)))
    bench.answer(accepts(), *[lost] * 4, accepts(), *[lost] * 2)

    await bench.run(*batches(4))

    told = [each for each in bench.heard.waits if each.code == BREAKER]
    assert [each.wait_s for each in told] == [5.0, 5.0]
    assert bench.heard.counts == {"accepted": 8}


async def test_an_api_that_half_answers_slows_the_run_down_and_nobody_is_lost() -> None:
    outage = Outage(first=0, down_s=0)
    for batch in batches(300):
        outage.send.script(batch.key, *[lost, refuses(500)][: batch.id % 3])

    await outage.survive(*batches(300))

    assert outage.openings > 0
    assert outage.heard.counts == {"accepted": 600}


async def test_one_answer_more_or_less_of_one_restart_opens_nothing() -> None:
    outage = Outage(down_s=0.1)

    await outage.survive(*batches(200))

    assert len(outage.asked_s) == SENDERS
    assert (outage.openings, outage.heard.counts) == (0, {"accepted": 400})


# ---- other ends -----------------------------------------------------------------------------------------------------


def jumpy(*, open_s: float = HOUR_S, **changes: object) -> Bench:
    """A bench with real waits: two failures in a row, and whoever is not woken waits for an hour."""
    policy = BreakerPolicy(in_a_row=2, rounds=0, open_s=open_s, longest_s=open_s)
    bench = Bench(concurrency=SENDERS, terms=replace(TERMS, breaker=policy, **changes))  # type: ignore[arg-type]
    bench.stop = Stop()
    return bench


async def opening(bench: Bench) -> None:
    """Return when people are told that it is open."""
    await bench.heard.waited.wait()
    await steps(200)
    assert BREAKER in {each.code for each in bench.heard.waits}


async def test_a_drain_while_it_is_open_ends_the_run_at_once() -> None:
    bench = jumpy()
    bench.answer(accepts(), *[lost] * SENDERS)

    async def meanwhile() -> None:
        await opening(bench)
        bench.stop.drain()

    await bench.run_beside(meanwhile(), *batches(100))

    states = bench.journal.states(range(100))
    assert states[0] is BatchState.ACCEPTED
    assert [number for number in states if states[number] is BatchState.IN_DOUBT] == list(range(1, 1 + SENDERS))
    assert len(bench.send.seen) == 1 + SENDERS


@pytest.mark.parametrize("end", ["drain", "abort"])
async def test_a_run_that_is_stopped_while_the_probe_is_on_its_way_ends_as_usual(end: str) -> None:
    bench = jumpy(open_s=0.0, retry=AT_ONCE)
    bench.answer(accepts(), *[unsent] * SENDERS)
    hanging = bench.send.hanging = Hanging("arriving", numbers=[1 + SENDERS])

    async def meanwhile() -> None:
        await hanging.reached()
        await steps(50)
        assert bench.send.under_way == 1
        if end == "abort":
            bench.stop.abort()
            return
        bench.stop.drain()
        hanging.released.set()

    await bench.run_beside(meanwhile(), *batches(100))

    assert len(bench.send.seen) == 2 + SENDERS
    assert len(bench.journal.outcomes) == (2 if end == "drain" else 1)
    assert len(bench.journal.open_claims()) == (0 if end == "drain" else SENDERS)  # an abort takes nothing back


async def test_a_bug_in_the_probe_ends_everything() -> None:
    bench = jumpy(open_s=0.0, retry=AT_ONCE)
    bench.answer(accepts(), *[unsent] * SENDERS, raises(LookupError("a bug")))

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await bench.run(*batches(100))

    assert len(bench.send.seen) == 2 + SENDERS


async def test_a_run_gives_up_while_it_is_open() -> None:
    policy = BreakerPolicy(in_a_row=2, rounds=0, open_s=HOUR_S, longest_s=HOUR_S)
    outage = Outage(terms=replace(TERMS, breaker=policy, give_up_after_s=900), down_s=DAY_S)

    await outage.survive(*batches(100))

    assert type(outage.stop.because) is Unreachable
    assert str(outage.stop.because) == "the API has not answered for 15 minutes"
    assert outage.clock.monotonic() == 900
    assert 2 <= len(outage.asked_s) <= SENDERS
    assert outage.heard.counts == {"accepted": 40, "in_doubt": 2 * len(outage.asked_s)}


async def test_a_replay_whose_window_ends_while_it_is_open_is_left_in_doubt_and_the_next_one_tries() -> None:
    policy = BreakerPolicy(in_a_row=2, rounds=0, open_s=2 * HOUR_S)
    bench = Bench(terms=replace(TERMS, breaker=policy, give_up_after_s=DAY_S))
    old = Task(batch=make_batch(0), claim=Claim(batch=0, since=bench.clock.now, server_us=bench.clock.wall_us))
    bench.journal.claims[0] = Claim(batch=0, since=bench.clock.now, server_us=bench.clock.wall_us)
    bench.clock.step(22 * HOUR_S)
    bench.answer(lost, lost)

    await bench.run(old, *batches(3)[1:])

    assert bench.journal.states(range(3)) == {
        0: BatchState.IN_DOUBT,
        1: BatchState.ACCEPTED,
        2: BatchState.ACCEPTED,
    }
    assert [seen.at_s for seen in bench.send.seen[2:]] == [bench.send.seen[1].at_s + 2 * HOUR_S] * 2


async def test_a_turn_that_was_waited_for_while_the_api_began_to_fail_is_no_reason_to_ask() -> None:
    budget = CountingBudget(turns=3)
    bench = jumpy()
    bench.budget = budget
    bench.answer(accepts(), lost, lost)
    hanging = bench.send.hanging = Hanging("answering", numbers=[1, 2])

    async def meanwhile() -> None:
        await hanging.reached(2)
        await budget.asked()  # by the fourth batch
        hanging.released.set()
        await opening(bench)
        await budget.give(10)
        await steps(50)
        assert len(bench.send.seen) == 3
        assert set(bench.journal.claims) == {0, 1, 2}
        bench.stop.drain()

    await bench.run_beside(meanwhile(), *batches(20))

    assert bench.journal.states([3]) == {3: BatchState.PENDING}


# ---- the retry budget -----------------------------------------------------------------------------------------------


async def test_when_the_budget_is_empty_retries_take_their_time_and_nobody_is_dropped() -> None:
    bench = Bench(terms=replace(TERMS, retry_budget=RetryBudget(left=2, at_once=0, in_the_end=0)))
    bench.answer(*[lost] * 4, accepts(), lost)

    await bench.run(*batches(2))

    assert [each.wait_s for each in bench.heard.waits] == [0.5, 1, 30, 30, 30]
    assert bench.heard.counts == {"accepted": 4}


async def test_batches_that_are_accepted_pay_for_the_retries_of_others() -> None:
    bench = Bench(terms=replace(TERMS, retry_budget=RetryBudget(left=0, at_once=0.25)))
    bench.answer(accepts(), accepts(), lost, accepts(), lost, lost, accepts())

    await bench.run(*batches(4))

    # Too little came back for the first wait; with the batch that it was for came enough for one more.
    assert [each.wait_s for each in bench.heard.waits] == [30, 0.5, 30]
    assert bench.heard.counts == {"accepted": 8}


async def test_the_apis_own_word_is_kept_though_the_budget_is_empty() -> None:
    bench = Bench(terms=replace(TERMS, retry_budget=RetryBudget(left=0)))
    bench.answer(refuses(429, "BUSINESS_002", retry_after_s=3), refuses(503, retry_after_s=70))

    await bench.run(make_batch(0))

    assert [each.wait_s for each in bench.heard.waits] == [3, 70]


async def steps(count: int) -> None:
    """Let everybody go as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)
