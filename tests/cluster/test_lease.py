"""One limit for all workers: the keeper on the scheduler, and the budget that asks it for every turn."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("distributed")

from support.doubles import ManualClock, SteppingStop
from support.jumping import LoopClock, on_jumping_loop, worst_minute

from broadcaster.cluster.lease import Keeper
from broadcaster.cluster.leased import FRESH_S, LOST_S, LeasedBudget, leased
from broadcaster.core.values import Instant, Reply, Verdict
from broadcaster.core.words import Action, Executed
from broadcaster.engine.ports import Noticed, Settled, Waiting
from broadcaster.engine.stop import Stop
from broadcaster.errors import Halted
from broadcaster.simulator.limits import SlidingWindow

RUN, POOL, DRIVER = "launch-1", "account-1", "client-1"
SLOWER = Verdict(action=Action.REPEAT, executed=Executed.NO, throttled=True, retry_after_s=4.0)


class World:
    """A keeper and its clock, and how the questions travel to it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.keeper = Keeper(self.clock)
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _: None  # what happens on the way there

    async def call(self, question: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """See ``broadcaster.cluster.leased.Call``."""
        await asyncio.sleep(0)
        self.asked.append(question)
        self.before(question)
        answer: dict[str, Any] = getattr(self.keeper, question)(**arguments)
        return answer

    def open(self, *, run: str = RUN, requests: int = 60, messages: int = 0, **more: Any) -> None:
        """Begin a run."""
        limits = {"requests": requests, "messages": messages, "largest": 1}
        usual: dict[str, Any] = {"pool": POOL, "client": DRIVER, "spent": (), "used_ago_s": None}
        self.keeper.open(run=run, limits=limits, **{**usual, **more})

    def budget(self, *, run: str = RUN, stop: Stop | None = None) -> LeasedBudget:
        """Return a worker's side."""
        return LeasedBudget(call=self.call, run=run, stop=stop or Stop(), clock=self.clock)


@pytest.fixture
def world() -> World:
    return World()


def reply(status: int = 202, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=b"", started=Instant(wall_us=0), ended=Instant(wall_us=0))


async def spin(times: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(times):
        await asyncio.sleep(0)


# ---- turns ----------------------------------------------------------------------------------------------------------


async def test_turns_of_all_workers_come_out_of_one_minute(world: World) -> None:
    world.open(requests=6)
    workers = [world.budget() for _ in range(3)]
    given: list[tuple[float, int]] = []

    async def send(number: int) -> None:
        while True:
            await workers[number].turn(1)
            given.append((world.clock.monotonic(), number))

    sending = [asyncio.ensure_future(send(number)) for number in range(3)]
    for _ in range(4 * 61):
        await spin()
        world.clock.step(0.25)
    for each in sending:
        each.cancel()
    await asyncio.wait(sending)
    assert 6 <= len(given) <= 7, "a minute and a second"
    assert sum(1 for at_s, _ in given if at_s < 60) == 6
    assert {number for _, number in given[:3]} == {0, 1, 2}, "first come, first served"


def test_no_minute_passes_the_limit_whoever_sends_how_many_at_once_and_however_long_a_turn_travels() -> None:
    """Judged by the API's own window. A 429 of something else, in the middle, slows all of them down."""
    limit, minutes, latency_s = 200, 4, 0.02

    async def story() -> list[tuple[float, int]]:
        clock, api, chance, sent = LoopClock(), SlidingWindow(limit), random.Random(9), list[tuple[float, int]]()
        keeper = Keeper(clock)
        limits = {"requests": limit, "messages": 0, "largest": 1}
        keeper.open(run=RUN, pool=POOL, client=DRIVER, limits=limits, spent=(), used_ago_s=None)

        async def call(question: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            await clock.sleep(chance.uniform(0, latency_s / 2))
            answer: dict[str, Any] = getattr(keeper, question)(**arguments)
            await clock.sleep(chance.uniform(0, latency_s / 2))
            return answer

        async def send(budget: LeasedBudget) -> None:
            while True:
                await budget.turn(1)
                api.take(1, now=clock.monotonic(), wall=0.0)  # raises what is too much
                sent.append((clock.monotonic(), 1))
                if len(sent) == limit * minutes // 2:
                    budget.throttled(SLOWER)

        workers = [LeasedBudget(call=call, run=RUN, stop=Stop(), clock=clock) for _ in range(4)]
        with suppress(TimeoutError):
            async with asyncio.timeout(60 * minutes), asyncio.TaskGroup() as group:
                for each in [*workers, *workers]:  # two shards of each process
                    group.create_task(send(each))
        return sent

    sent = on_jumping_loop(story)

    assert worst_minute(sent) <= limit
    middle = sent[limit * minutes // 2 - 1][0]
    before, after = ([at for at, _ in sent if begin <= at < begin + 30] for begin in (middle - 30, middle))
    assert len(before) > 0.9 * limit / 2
    assert len(after) < len(before) * 0.6, "half as fast, after a pause"


async def test_without_an_answer_there_is_no_turn(world: World) -> None:
    world.open()
    budget = world.budget()

    def cut_off(_: str) -> None:
        raise OSError("no route to the scheduler")

    world.before = cut_off
    waiting = asyncio.ensure_future(budget.turn(1))
    for _ in range(40):
        await spin()
        world.clock.step(0.25)
    assert not waiting.done()
    assert not await budget.at_once(1)
    world.before = lambda _: None
    world.clock.step(1)
    await asyncio.wait_for(waiting, 5)


async def test_an_answer_that_never_comes_is_none(world: World) -> None:
    world.open()

    async def silence(question: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        del question, arguments
        await asyncio.Event().wait()
        raise AssertionError

    budget = LeasedBudget(call=silence, run=RUN, stop=Stop(), clock=world.clock)
    assert not await budget.at_once(1)


async def test_a_turn_that_arrives_late_is_not_used(world: World) -> None:
    """It was counted when it was given; its request would leave in another minute."""
    world.open()
    budget = world.budget()
    world.before = lambda _: world.clock.step(FRESH_S + 0.01)
    assert not await budget.at_once(1)
    assert world.keeper.pools[POOL].held(now_s=world.clock.monotonic())[0] == 1
    world.before = lambda _: None
    world.clock.step(2)
    assert await budget.at_once(1)


async def test_a_worker_that_nobody_answers_for_a_minute_ends(world: World) -> None:
    world.open()
    stop = SteppingStop(world.clock)
    budget = world.budget(stop=stop)

    def cut_off(_: str) -> None:
        raise OSError

    world.before = cut_off
    await budget.at_once(1)
    world.clock.step(LOST_S - 1)
    await budget.at_once(1)
    assert not stop.draining
    world.clock.step(2)
    await budget.at_once(1)
    assert stop.draining
    assert stop.because is not None
    assert "cannot be reached" in stop.because.sentence


# ---- the end of a run -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (lambda keeper: keeper.stop(run=RUN, why="12 of 100 were rejected"), "12 of 100 were rejected"),
        (lambda keeper: keeper.leave(DRIVER), "its driver is gone"),
        (lambda keeper: keeper.close(run=RUN), "does not know the run"),
        (lambda keeper: keeper.runs.clear(), "does not know the run"),
    ],
    ids=["somebody halts it", "its driver is gone", "it has ended", "a new scheduler"],
)
async def test_a_run_that_is_over_gets_no_turn_and_drains(world: World, end: Callable[[Keeper], Any], why: str) -> None:
    world.open()
    stop = Stop()
    budget = world.budget(stop=stop)
    assert await budget.at_once(1)
    end(world.keeper)
    world.clock.step(10)
    assert not await budget.at_once(1)
    assert stop.because is not None
    assert why in stop.because.sentence
    assert stop.because.code == "stopped"
    assert not await stop.unless_drained(budget.turn(1))


async def test_a_launch_that_ended_does_not_end_the_next_one_of_its_account(world: World) -> None:
    world.open(requests=60)
    assert await world.budget().at_once(1)
    world.open(run="launch-2", client="client-2", requests=60)
    world.keeper.leave(DRIVER)
    later = world.budget(run="launch-2")
    assert not await later.at_once(1), "what the first one spent is spent"
    world.clock.step(1.1)
    assert await later.at_once(1)


@pytest.mark.parametrize(("ago_s", "wait_s"), [(0.0, 60), (45.0, 15)])
def test_a_new_scheduler_begins_as_if_the_last_minute_had_been_used(world: World, ago_s: float, wait_s: float) -> None:
    world.open(requests=100, used_ago_s=ago_s)
    answer = world.keeper.turn(run=RUN, who="a", messages=1, patient=True)
    assert answer["wait_s"] == pytest.approx(wait_s, abs=0.7)


def test_a_scheduler_that_has_kept_the_minute_knows_better(world: World) -> None:
    world.open(requests=100)
    world.keeper.turn(run=RUN, who="a", messages=1, patient=True)
    world.clock.step(5)
    world.open(run="launch-2", requests=100, used_ago_s=5.0, spent=[("look-ups@1", 0.1, 2, 0)])
    assert world.keeper.turn(run="launch-2", who="b", messages=1, patient=True) == {"wait_s": 0.0}
    assert world.keeper.pools[POOL].held(now_s=world.clock.monotonic())[0] == 4, "with what its driver has asked for"


def test_a_shard_that_is_begun_again_in_the_same_launch_is_known(world: World) -> None:
    """Its earlier owner is gone then, and need not be waited for."""
    world.open()
    assert [world.keeper.begin(run=RUN, shard=each)["again"] for each in (0, 1, 0)] == [False, False, True]
    world.open(run="launch-2")
    assert world.keeper.begin(run="launch-2", shard=0) == {"again": False}
    assert "does not know the run" in world.keeper.begin(run="launch-3", shard=0)["stop"]


# ---- what is heard --------------------------------------------------------------------------------------------------


async def test_a_429_of_one_worker_pauses_all_of_them_at_half_the_rate(world: World) -> None:
    world.open(requests=600)
    one, other = world.budget(), world.budget()
    assert await one.at_once(1)
    world.clock.step(1)
    one.hear(reply(429))
    one.throttled(SLOWER)
    assert not await one.at_once(1)
    assert "tell" in world.asked, "before it asks for another turn"
    assert not await other.at_once(1)
    world.clock.step(3.9)
    assert not await other.at_once(1)
    world.clock.step(0.2)
    assert await other.at_once(1)
    assert world.keeper.look(run=RUN)["limit"][0] == 300


async def test_a_429_is_told_although_nobody_asks_for_a_turn(world: World) -> None:
    world.open(requests=600)
    async with leased(world.call, run=RUN, stop=Stop(), clock=world.clock) as budget:
        budget.throttled(SLOWER)
        await spin()
        assert world.keeper.look(run=RUN)["paused_s"]


async def test_a_429_that_could_not_be_told_holds_for_whoever_heard_it(world: World) -> None:
    world.open(requests=600)
    budget = world.budget()

    def cut_off(question: str) -> None:
        if question == "tell":
            raise OSError

    world.before = cut_off
    budget.throttled(SLOWER)
    assert not await budget.at_once(1)
    world.before = lambda _: None
    assert not await budget.at_once(1)
    assert world.keeper.look(run=RUN)["paused_s"] == pytest.approx(4.0)


async def test_a_lower_limit_that_an_answer_names_is_kept_by_all(world: World) -> None:
    world.open(requests=600)
    async with leased(world.call, run=RUN, stop=Stop(), clock=world.clock) as budget:
        budget.hear(reply(x_ratelimit_limit="120"))
        budget.hear(reply(x_ratelimit_limit="120"))
    assert world.keeper.look(run=RUN)["limit"][:3] == (120, None, "learned")
    assert world.asked.count("tell") == 1


async def test_what_became_of_deliveries_is_counted_over_all_shards_however_often_it_is_told(world: World) -> None:
    world.open()
    for _ in range(2):
        async with leased(world.call, run=RUN, stop=Stop(), clock=world.clock) as budget:
            budget.observe(Settled(accepted=9, rejected=1, born=2))
            await budget.finish()
            budget.observe(Settled(in_doubt=3))
            budget.observe(Waiting(code="x", sentence="The API does not answer.", wait_s=1))
            budget.observe(Noticed(code="y", sentence="The API does not answer."))
            await budget.finish()
    look = world.keeper.look(run=RUN)
    assert look["counts"] == {
        "requests": 4,
        "accepted": 18,
        "rejected": 2,
        "in_doubt": 6,
        "earlier_launch": 0,
        "born": 4,
    }
    assert look["said"] == ["The API does not answer."]


async def test_an_error_of_the_block_is_itself_also_when_the_keeper_is_gone(world: World) -> None:
    world.open()

    def cut_off(_: str) -> None:
        raise OSError

    async def work() -> None:
        async with leased(world.call, run=RUN, stop=Stop(), clock=world.clock) as budget:
            world.before = cut_off
            budget.throttled(SLOWER)
            raise Halted

    with pytest.raises(Halted):
        await work()
