"""A fixed share of the limits: what a process without anybody to ask takes, by counting on a clock that jumps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jumping import T0, LoopClock, on_jumping_loop

from broadcaster.app.parts import Access
from broadcaster.cluster.line import shard_line, shared_limits
from broadcaster.core.pacing import parse_share, part_of
from broadcaster.core.values import Instant, Reply
from broadcaster.engine.ports import Budget
from broadcaster.engine.stop import Stop
from broadcaster.errors import ConfigError
from broadcaster.job.model import Limits
from broadcaster.job.settings import Secret
from broadcaster.simulator.limits import SlidingWindow

_MINUTES = 5
_TO = Access(base_url="http://127.0.0.1:9", identity="here", place="here", key=Secret("k"), profile=None)


@pytest.mark.parametrize(
    ("text", "share"), [("1/64", 1 / 64), ("0.25", 0.25), ("1", 1.0), (" 1/3 ", 1 / 3), ("5e-1", 0.5)]
)
def test_a_share_is_a_number_or_a_fraction(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "0", "-1/4", "2", "3/2", "1/0", "quarter", "nan", "inf", "1/4/2", "1,5"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no share"):
        parse_share(text)


@given(limit=st.integers(0, 1_000_000), shards=st.integers(1, 500))
def test_equal_shares_keep_a_limit_together_and_waste_less_than_one_each(limit: int, shards: int) -> None:
    mine = part_of(limit, share=parse_share(f"1/{shards}"))

    assert limit - shards < mine * shards <= limit


def test_a_share_of_a_limit_is_chosen_whoever_chose_the_limit() -> None:
    shared = shared_limits(Limits(), share=0.25, largest=1000)

    assert (shared.requests_per_minute, shared.messages_per_minute) == (50, 0)  # none stays none
    assert "requests_per_minute" in shared.model_fields_set


@pytest.mark.parametrize(
    ("limits", "share", "says"),
    [
        pytest.param(
            {"requests_per_minute": 10}, 1 / 64, "less than one a minute", id="less than one request a minute"
        ),
        pytest.param(
            {"messages_per_minute": 2000}, 0.25, "the largest request has 1000", id="less than one request has"
        ),
    ],
)
def test_a_share_that_nothing_fits_into_is_refused(limits: dict[str, int], share: float, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        shared_limits(Limits(**limits), share=share, largest=1000)


@asynccontextmanager
async def _lines(count: int, limits: Limits, *, share: float) -> AsyncIterator[list[Budget]]:
    """Yield the budgets of so many shards, each as a process of its own has it."""
    async with AsyncExitStack() as stack:
        found = []
        for index in range(count):
            opened = shard_line(
                _TO,
                limits=limits,
                budget=None,
                share=share,
                name=f"shard {index}",
                largest=1,
                timeout_s=1.0,
                clock=LoopClock(),
                stop=Stop(),
                observe=lambda _: None,
            )
            line = await stack.enter_async_context(opened)
            line.belongs_to("account")
            found.append(line.budget)
        yield found


def _answer(headers: dict[str, str]) -> Reply:
    now = Instant(wall_us=T0)
    return Reply(status=202, headers=headers, body=b"", started=now, ended=now)


async def _send(budget: Budget, api: SlidingWindow, counts: list[int], headers: dict[str, str]) -> None:
    """Send as fast as *budget* allows; the API refuses what passes its limit."""
    clock, counted = LoopClock(), len(counts)
    counts.append(0)
    while True:
        await budget.turn(1)
        api.take(1, now=clock.monotonic(), wall=0.0)
        counts[counted] += 1
        budget.hear(_answer(headers))


async def _minutes(budgets: list[Budget], api: SlidingWindow, headers: dict[str, str]) -> list[int]:
    """Return how many requests each of *budgets* lets out in five minutes."""
    counts: list[int] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(_MINUTES * 60), asyncio.TaskGroup() as group:
            for budget in budgets:
                group.create_task(_send(budget, api, counts, headers))
    return counts


def test_a_quarter_of_the_limit_is_a_quarter_of_the_pace() -> None:
    async def story() -> list[int]:
        async with _lines(1, Limits(requests_per_minute=200), share=0.25) as budgets:
            return await _minutes(budgets, SlidingWindow(50), {})

    (sent,) = on_jumping_loop(story)

    assert 0.97 * 50 * _MINUTES <= sent <= 50 * _MINUTES + 1


def test_four_quarters_pass_no_minute_of_the_limit_and_use_nearly_all_of_it() -> None:
    async def story() -> list[int]:
        async with _lines(4, Limits(requests_per_minute=200), share=0.25) as budgets:
            return await _minutes(budgets, SlidingWindow(200), {})

    sent = on_jumping_loop(story)  # the API's own window would have refused what is too much

    assert 0.97 * 200 * _MINUTES <= sum(sent) <= 200 * _MINUTES
    assert max(sent) - min(sent) <= 2


def test_of_a_limit_that_the_api_names_a_share_is_taken() -> None:
    headers = {"x-ratelimit-limit": "100"}

    async def story() -> list[int]:
        async with _lines(4, Limits(requests_per_minute=200), share=0.25) as budgets:
            for budget in budgets:
                budget.hear(_answer(headers))
            return await _minutes(budgets, SlidingWindow(100), headers)

    sent = on_jumping_loop(story)

    assert 0.95 * 100 * _MINUTES <= sum(sent) <= 100 * _MINUTES
