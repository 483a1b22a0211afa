"""The guard alone: who passes, who waits, and that every wait ends."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from support.answers import Answer, accepts, lost, refuses, says, unsent
from support.doubles import SECOND, ManualClock, Recorder, SteppingStop
from support.engine import MESSAGE, TERMS, make_batch

from broadcaster.core.breaker import BreakerPolicy
from broadcaster.core.retry import RetryBudget
from broadcaster.core.values import Instant
from broadcaster.engine.guard import Guard
from broadcaster.engine.stop import Stop
from broadcaster.engine.terms import Replays, Terms
from broadcaster.errors import BelongsToAnother, Unreachable

SENTENCE = "The API fails; one request at a time tries whether it answers again."
JUMPY = replace(TERMS, breaker=BreakerPolicy(in_a_row=3, rounds=0))
REQUEST = TERMS.operation.request(MESSAGE, make_batch(0))


@dataclass(slots=True, kw_only=True)
class Post:
    """A guard at its post. Its waits step the clock, unless the stop is a real one."""

    terms: Terms = JUMPY
    clock: ManualClock = field(default_factory=ManualClock)
    told: Recorder = field(default_factory=Recorder)
    real: bool = False
    stop: Stop = field(init=False)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.stop = Stop() if self.real else SteppingStop(self.clock)
        self.guard = Guard(terms=self.terms, senders=8, stop=self.stop, observe=self.told, clock=self.clock)

    def hear(self, *answers: Answer, batch: int = 99) -> None:
        for answer in answers:
            self.guard.hear(batch, answer(REQUEST, self.clock))

    async def probing(self, batch: int) -> None:
        """Open, and let *batch* be the one that tries."""
        self.hear(lost, lost, lost)
        self.clock.step(5)
        assert await self.guard.passes(batch)


FAILURES: dict[str, Answer] = {
    "lost": lost,
    "unsent": unsent,
    "500": refuses(500),
    "503 that did nothing": refuses(503, "SERVICE_001"),
    "a gateway's page": says(502, b"<h1>Bad Gateway</h1>"),
}
ANSWERS: dict[str, Answer] = {
    "accepted": accepts(),
    "refused": refuses(400, "VALIDATION_002"),
    "slower": refuses(429, "BUSINESS_002", retry_after_s=1),
    "a conflict": refuses(409, "CONFLICT_001"),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_failures_open_it_and_people_are_told(failure: Answer) -> None:
    post = Post()
    post.hear(failure, failure)
    assert (post.guard.closed, post.told.events) == (True, [])

    post.hear(failure)

    assert not post.guard.closed
    assert [(each.code, each.sentence, each.wait_s) for each in post.told.waits] == [("breaker", SENTENCE, 5.0)]


def test_eight_senders_have_to_fail_twice_each() -> None:
    post = Post(terms=TERMS)
    post.hear(*[lost] * 15)
    assert post.guard.closed

    post.hear(lost)

    assert not post.guard.closed


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_any_answer_between_failures_shows_that_the_api_lives(answer: Answer) -> None:
    post = Post()

    post.hear(lost, lost, answer, lost, lost)

    assert post.guard.closed


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_any_answer_to_the_probe_closes_it(answer: Answer) -> None:
    post = Post()
    await post.probing(7)

    post.hear(answer, batch=7)

    assert post.guard.closed


async def test_people_are_told_once_and_not_with_every_probe_that_fails() -> None:
    post = Post()
    await post.probing(7)
    post.hear(lost, batch=7)
    assert await post.guard.passes(8)
    post.hear(lost, batch=8)
    assert len(post.told.waits) == 1

    assert await post.guard.passes(9)
    post.hear(accepts(), batch=9)
    post.hear(lost, lost, lost)
    assert len(post.told.waits) == 2


async def test_nobody_is_told_that_a_run_that_drains_waits() -> None:
    post = Post()
    post.stop.drain()

    post.hear(lost, lost, lost)

    assert post.told.events == []


async def test_while_it_is_closed_everybody_passes_at_once() -> None:
    post = Post()

    assert [await post.guard.passes(number) for number in range(100)] == [True] * 100
    assert post.clock.monotonic() == 0


async def test_who_comes_while_it_is_open_waits_until_the_time_is_over() -> None:
    post = Post()
    post.hear(lost, lost, lost)

    assert await post.guard.passes(7)

    assert post.clock.monotonic() == 5
    assert (post.guard.holds(7), post.guard.holds(8)) == (True, False)


@pytest.mark.parametrize("ending", ["an answer", "a failure", "it never left"])
async def test_who_comes_while_another_tries_waits_for_how_that_ends(ending: str) -> None:
    post = Post()
    await post.probing(7)
    waiting = asyncio.ensure_future(post.guard.passes(8))
    await steps()
    assert not waiting.done()

    if ending == "it never left":
        post.guard.leave(7)
    else:
        post.hear(accepts() if ending == "an answer" else lost, batch=7)

    assert await waiting
    assert post.clock.monotonic() == (15 if ending == "a failure" else 5)


async def test_only_the_one_that_tries_can_free_its_place() -> None:
    post = Post()
    await post.probing(7)
    waiting = asyncio.ensure_future(post.guard.passes(8))

    post.guard.leave(6)
    post.hear(accepts(), batch=6)
    post.hear(lost, batch=6)
    await steps()

    assert not waiting.done()
    post.guard.leave(7)
    post.guard.leave(7)
    assert await waiting
    post.guard.leave(7)
    assert post.guard.holds(8)


@pytest.mark.parametrize("probing", [False, True], ids=["open", "half open"])
async def test_a_drain_ends_the_wait(*, probing: bool) -> None:
    post = Post(real=True)
    if probing:
        await post.probing(7)
    else:
        post.hear(lost, lost, lost)
    waiting = asyncio.ensure_future(post.guard.passes(8))
    await steps()

    post.stop.drain()

    assert await waiting is False


async def test_after_a_drain_nobody_passes() -> None:
    post = Post()
    post.stop.drain()

    assert not await post.guard.passes(7)


async def test_who_is_cancelled_while_it_waits_leaves_nobody_behind() -> None:
    post = Post(real=True)
    await post.probing(7)
    waiting = asyncio.ensure_future(post.guard.passes(8))
    await steps()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert asyncio.all_tasks() == {asyncio.current_task()}


# ---- silence --------------------------------------------------------------------------------------------------------


async def test_silence_counts_while_nobody_may_ask() -> None:
    post = Post(terms=replace(JUMPY, give_up_after_s=100, breaker=replace(JUMPY.breaker, open_s=3600)))
    post.hear(lost, lost)
    post.clock.step(40)
    post.hear(lost)

    assert not await post.guard.passes(7)

    assert type(post.stop.because) is Unreachable
    assert post.clock.monotonic() == 100


async def test_an_answer_from_before_it_opened_ends_the_silence_though_not_the_pause() -> None:
    post = Post(terms=replace(JUMPY, give_up_after_s=3, breaker=replace(JUMPY.breaker, open_s=50)))
    post.hear(lost, lost, lost, accepts())

    assert await post.guard.passes(7)

    assert post.stop.because is None
    assert post.clock.monotonic() == 50


async def test_a_silence_of_odd_length_ends_too() -> None:
    """Fractions of seconds do not add up exactly: what is left at the end may be less than the clock can tell."""
    for at in range(50):
        post = Post(terms=replace(JUMPY, give_up_after_s=at * 1.7 + 0.1, breaker=replace(JUMPY.breaker, open_s=1e6)))
        post.clock.step(at * 0.1 + 1e5 / 3)
        post.hear(lost, lost, lost)
        assert not await post.guard.passes(7)
        assert type(post.stop.because) is Unreachable


# ---- the retry budget -----------------------------------------------------------------------------------------------


def test_retries_are_hurried_as_long_as_the_budget_lasts() -> None:
    post = Post(terms=replace(TERMS, retry_budget=RetryBudget(left=2)))

    assert [post.guard.may_hurry() for _ in range(4)] == [True, True, False, False]


def test_accepted_batches_fill_the_budget() -> None:
    post = Post(terms=replace(TERMS, retry_budget=RetryBudget(left=0)))

    post.guard.accepted(repeated=True)
    assert [post.guard.may_hurry() for _ in range(2)] == [True, False]
    for _ in range(6):  # a fifth each
        post.guard.accepted(repeated=False)
    assert [post.guard.may_hurry() for _ in range(2)] == [True, False]


async def steps() -> None:
    """Let everybody go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("passed_s", "set_back_s", "leaves"),
    [
        pytest.param(99, 0, True, id="the other launch's keys protect still"),
        pytest.param(100, 0, False, id="they may not any more"),
        pytest.param(100, 50, False, id="and a wall clock that was set back changes nothing"),
        pytest.param(1, -99, False, id="one that was set forward is believed"),
    ],
)
async def test_replays_of_another_launch_end_when_its_keys_may_be_forgotten(
    passed_s: float,
    set_back_s: float,
    leaves: bool,  # noqa: FBT001 - a table's column
) -> None:
    clock = ManualClock()
    until = Instant(wall_us=clock.wall_us + 100 * SECOND, boot_us=100 * SECOND, boot="boot-1")
    post = Post(terms=replace(TERMS, replays=Replays(until=until, run_dir="/srv/first")), clock=clock)
    assert await post.guard.passes(7)
    clock.step(passed_s)
    clock.set_wall(-set_back_s)

    assert post.guard.holds(7) is leaves  # what was let through a moment ago
    assert await post.guard.passes(8) is leaves
    if not leaves:
        assert isinstance(post.stop.because, BelongsToAnother)
        assert "Go on with 'broadcaster resume /srv/first'" in post.stop.because.sentence
