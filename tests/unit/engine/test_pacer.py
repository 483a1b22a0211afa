"""The pacer on a loop whose time jumps from timer to timer: an hour of pacing takes no time."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from itertools import pairwise
from typing import TypeVar

import pytest

from broadcaster.core.values import Verdict
from broadcaster.core.words import Action, Executed
from broadcaster.engine.pacer import Pacer
from broadcaster.engine.ports import Budget

T = TypeVar("T")


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting for a timer, remembers how long the wait would have been."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("Nothing will ever happen again")
            self.skipped_s += timeout
        self.skipped_s += (
            1e-9  # time never stands still: aiolimiter asks for waits that are shorter than a float can add
        )
        return ready


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while it would wait."""

    def __init__(self) -> None:
        self._waits = _NoWaiting()
        super().__init__(self._waits)

    def time(self) -> float:
        return 1000.0 + self._waits.skipped_s


class _LoopClock:
    """The loop's time as the program's clock."""

    def reading(self) -> tuple[int, int | None, str | None]:
        return int(self.monotonic() * 1_000_000), None, None

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def on_jumping_loop(main: Callable[[], Coroutine[None, None, T]]) -> T:
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(main())


def pacer(requests: int = 0, messages: int = 0, largest: int = 1) -> Pacer:
    return Pacer(requests_per_minute=requests, messages_per_minute=messages, largest=largest, clock=_LoopClock())


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def turns(budget: Budget, amounts: list[int]) -> list[float]:
    """When each turn was given."""
    given = []
    for amount in amounts:
        await budget.turn(amount)
        given.append(now_s())
    return given


def worst_minute(sent: list[tuple[float, int]]) -> int:
    return max(sum(amount for at_s, amount in sent if start <= at_s < start + 60) for start, _ in sent)


def slower(retry_after_s: float | None = None, *, throttled: bool = True) -> Verdict:
    return Verdict(
        action=Action.REPEAT, executed=Executed.NO, code="x", retry_after_s=retry_after_s, throttled=throttled
    )


@pytest.mark.parametrize("per_minute", [1, 7, 100, 200, 1500])
def test_no_sliding_minute_passes_the_request_limit_and_nearly_all_of_it_is_used(per_minute: int) -> None:
    async def main() -> list[float]:
        return await turns(pacer(requests=per_minute), [1] * (2 * per_minute + 1))

    given = on_jumping_loop(main)

    assert worst_minute([(at_s, 1) for at_s in given]) <= per_minute
    assert (len(given) - 1) / (given[-1] - given[0]) * 60 >= 0.97 * per_minute


def test_no_sliding_minute_passes_either_limit_when_both_hold() -> None:
    amounts = [1, 40, 7, 40, 40, 2, 13, 40] * 40

    async def main() -> list[float]:
        return await turns(pacer(requests=60, messages=1000, largest=40), amounts)

    given = on_jumping_loop(main)

    assert worst_minute([(at_s, 1) for at_s in given]) <= 60
    assert worst_minute(list(zip(given, amounts, strict=True))) <= 1000


def test_a_request_permit_counts_from_its_use_and_not_from_a_wait_for_messages() -> None:
    """Small turns after a long wait for messages must not go out in a burst with the one that waited."""

    async def main() -> list[float]:
        return await turns(pacer(requests=60, messages=600, largest=300), [300, 300, 1, 1, 1])

    given = on_jumping_loop(main)

    assert all(later - earlier >= 1.0 for earlier, later in pairwise(given))


def test_without_limits_nobody_waits() -> None:
    async def main() -> tuple[float, int | None, bool]:
        budget = pacer()
        given = await turns(budget, [1000] * 100)
        return given[-1] - given[0], budget.limit_in_force, budget.ready(1000)

    assert on_jumping_loop(main) == (0.0, None, True)


def test_only_the_message_limit_holds_when_there_is_no_other() -> None:
    async def main() -> tuple[list[float], int | None]:
        budget = pacer(messages=1000, largest=40)
        return await turns(budget, [40] * 50), budget.limit_in_force

    given, limit = on_jumping_loop(main)

    assert worst_minute([(at_s, 40) for at_s in given]) <= 1000
    assert limit is None


def test_a_request_without_messages_waits_for_no_message_limit() -> None:
    async def main() -> float:
        given = await turns(pacer(messages=60, largest=50), [50, 0, 0, 0])
        return given[-1] - given[0]

    assert on_jumping_loop(main) == 0.0


def test_a_turn_for_more_than_the_largest_batch_is_given_all_the_same() -> None:
    async def main() -> list[float]:
        return await turns(pacer(messages=1000, largest=40), [400, 1])

    assert len(on_jumping_loop(main)) == 2


def test_first_come_is_first_served_whatever_the_amounts() -> None:
    async def main() -> list[int]:
        budget, served = pacer(messages=1000, largest=100), list[int]()

        async def sender(number: int, amount: int) -> None:
            await budget.turn(amount)
            served.append(number)

        async with asyncio.TaskGroup() as group:
            for number, amount in enumerate([100, 1, 100, 1, 1, 100, 1]):
                group.create_task(sender(number, amount))
        return served

    assert on_jumping_loop(main) == [0, 1, 2, 3, 4, 5, 6]


def test_ready_says_whether_a_turn_would_be_immediate() -> None:
    async def main() -> tuple[bool, bool, bool]:
        budget = pacer(requests=60)
        before = budget.ready(1)
        await budget.turn(1)
        after = budget.ready(1)
        await asyncio.sleep(2)
        return before, after, budget.ready(1)

    assert on_jumping_loop(main) == (True, False, True)


def test_ready_speaks_for_the_message_limit_too() -> None:
    async def main() -> tuple[bool, bool]:
        budget = pacer(messages=1000, largest=40)
        await budget.turn(30)
        return budget.ready(10), budget.ready(11)

    assert on_jumping_loop(main) == (True, False)


def test_nobody_passes_somebody_who_waits() -> None:
    async def main() -> bool:
        budget = pacer(messages=1000, largest=40)
        await budget.turn(40)
        async with asyncio.TaskGroup() as group:
            group.create_task(budget.turn(40))
            await asyncio.sleep(0)
            return budget.ready(0)

    assert on_jumping_loop(main) is False


def test_a_429_pauses_everybody_and_halves_the_rate() -> None:
    async def main() -> tuple[float, int | None, bool, list[float]]:
        budget = pacer(requests=200)
        await budget.turn(1)
        began_s = now_s()
        budget.throttled(slower(30))
        ready, limit = budget.ready(1), budget.limit_in_force
        given = await turns(budget, [1] * 11)
        return given[0] - began_s, limit, ready, given

    waited_s, limit, ready, given = on_jumping_loop(main)

    assert waited_s >= 30
    assert (limit, ready) == (100, False)
    assert (given[-1] - given[0]) / 10 == pytest.approx(60.6 / 100)


def test_the_pace_after_a_pause_begins_with_no_burst() -> None:
    async def main() -> list[float]:
        budget = pacer(requests=10_000)
        budget.throttled(slower(30))
        return await turns(budget, [1] * 20)

    given = on_jumping_loop(main)

    assert all(later - earlier > 0.01 for earlier, later in pairwise(given))


def test_a_pause_holds_also_who_already_waits_for_a_permit() -> None:
    async def main() -> float:
        budget = pacer(requests=60)
        await budget.turn(1)
        began_s = now_s()
        async with asyncio.TaskGroup() as group:
            group.create_task(budget.turn(1))
            await asyncio.sleep(0.5)
            budget.throttled(slower(30))
        return now_s() - began_s

    assert on_jumping_loop(main) >= 30.5


def test_a_longer_pause_that_is_told_during_a_pause_is_kept() -> None:
    async def main() -> float:
        budget = pacer(requests=600)
        began_s = now_s()
        budget.throttled(slower(10))
        async with asyncio.TaskGroup() as group:
            group.create_task(budget.turn(1))
            await asyncio.sleep(5)
            budget.throttled(slower(60))
        return now_s() - began_s

    assert on_jumping_loop(main) >= 65


def test_a_pause_holds_where_nothing_is_limited() -> None:
    async def main() -> float:
        budget = pacer()
        began_s = now_s()
        budget.throttled(slower(30))
        await budget.turn(1)
        return now_s() - began_s

    assert on_jumping_loop(main) == pytest.approx(30)


def test_the_rate_climbs_back_minute_by_minute() -> None:
    async def main() -> list[int | None]:
        budget = pacer(requests=200)
        budget.throttled(slower(30))
        await asyncio.sleep(30)
        limits = []
        for _ in range(7):
            limits.append(budget.limit_in_force)
            await asyncio.sleep(60)
        return limits

    assert on_jumping_loop(main) == [100, 120, 140, 160, 180, 200, 200]


def test_after_the_climb_the_whole_rate_is_used_again() -> None:
    async def main() -> list[float]:
        budget = pacer(requests=200)
        budget.throttled(slower(30))
        await asyncio.sleep(600)
        return await turns(budget, [1] * 101)

    given = on_jumping_loop(main)

    assert (given[-1] - given[0]) / 100 == pytest.approx(60.6 / 200)


def test_both_limits_give_way() -> None:
    async def main() -> list[float]:
        budget = pacer(requests=10_000, messages=1000, largest=40)
        budget.throttled(slower(30))
        return await turns(budget, [40] * 10)

    given = on_jumping_loop(main)

    assert 9 * 40 / (given[-1] - given[0]) * 60 <= 500


def test_a_verdict_that_is_no_matter_of_speed_changes_nothing() -> None:
    async def main() -> tuple[bool, int | None]:
        budget = pacer(requests=200)
        budget.throttled(slower(30, throttled=False))
        return budget.ready(1), budget.limit_in_force

    assert on_jumping_loop(main) == (True, 200)


def test_who_gives_up_waiting_leaves_the_line_to_the_others() -> None:
    async def main() -> float:
        budget = pacer(requests=60)
        await budget.turn(1)
        began_s = now_s()
        impatient = asyncio.ensure_future(budget.turn(1))
        patient = asyncio.ensure_future(budget.turn(1))
        await asyncio.sleep(0.1)
        impatient.cancel()
        await _cancelled(impatient)
        await patient
        return now_s() - began_s

    assert on_jumping_loop(main) == pytest.approx(1.01)


async def _cancelled(task: Awaitable[None]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_repr_tells_the_state() -> None:
    async def main() -> tuple[str, str, str]:
        budget = pacer(requests=200)
        before = repr(budget)
        budget.throttled(slower(30))
        return before, repr(budget), repr(pacer())

    assert on_jumping_loop(main) == ("<Pacer 200/min>", "<Pacer 100/min, paused for 30 s>", "<Pacer no limit>")
