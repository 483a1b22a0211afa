import asyncio

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given, settings
from hypothesis import strategies as st
from support.jumping import on_jumping_loop, worst_minute

from broadcaster.core.pacing import (
    Rate,
    Source,
    Standing,
    Told,
    bucket,
    is_of_requests,
    paused_for,
    recovered,
    slowed,
    told,
)


@pytest.mark.parametrize(
    ("per_minute", "largest", "capacity", "period_s"),
    [
        (1, 1, 1, 60.6),
        (200, 1, 1, 60.6 / 200),
        (399, 1, 1, 60.6 / 399),
        (400, 1, 2, 60.6 * 2 / 400),
        (10_000, 1, 26, 60.6 * 26 / 10_000),
        (10_000, 400, 400, 60.6 * 400 / 10_000),
        (60, 50, 50, 60.6 * 50 / 60),
        (60, 100, 100, 60.6 * 100 / 60),
    ],
)
def test_the_bucket_is_as_drawn(per_minute: int, largest: int, capacity: int, period_s: float) -> None:
    assert list(bucket(per_minute, largest=largest)) == pytest.approx([capacity, period_s])


def test_every_bucket_of_requests_is_fast_enough_and_keeps_a_first_minute_by_itself() -> None:
    for per_minute in range(1, 100_001):
        capacity, period_s = bucket(per_minute)
        assert 60 * capacity / period_s >= 0.99 * per_minute, per_minute
        # The worst minute begins with an empty bucket: all of it at once, then what leaks.
        assert capacity + int(60 * capacity / period_s) <= per_minute + 1, per_minute


@settings(max_examples=20, deadline=None)
@given(per_minute=st.integers(1, 2000))
def test_a_greedy_run_keeps_every_sliding_minute_by_the_bucket_alone(per_minute: int) -> None:
    async def main() -> list[tuple[float, int]]:
        limiter, given_at = AsyncLimiter(*bucket(per_minute)), []
        for _ in range(2 * per_minute):
            await limiter.acquire()
            given_at.append((asyncio.get_running_loop().time(), 1))
            await asyncio.sleep(0)
        return given_at

    assert worst_minute(on_jumping_loop(main)) <= per_minute


@pytest.mark.parametrize(("per_minute", "largest"), [(0, 1), (-5, 1), (10, 0)])
def test_a_bucket_without_a_limit_is_refused(per_minute: int, largest: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        bucket(per_minute, largest=largest)


# ---- which limit is in force ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("standing", "per_minute", "source", "account"),
    [
        pytest.param(Standing(asked=200), 200, "configured", 200, id="chosen"),
        pytest.param(Standing(asked=200, chosen=False), 200, "default", 200, id="nobody chose"),
        pytest.param(Standing(asked=200, learned=100), 100, "learned", 100, id="a lower one that was learned wins"),
        pytest.param(Standing(asked=200, learned=1000), 200, "configured", 200, id="a chosen one is a ceiling"),
        pytest.param(Standing(asked=200, learned=200), 200, "configured", 200, id="the same"),
        pytest.param(Standing(asked=200, chosen=False, learned=1000), 1000, "learned", 1000, id="a guess gives way up"),
        pytest.param(Standing(asked=200, chosen=False, learned=60), 60, "learned", 60, id="a guess gives way down"),
        pytest.param(Standing(asked=0, learned=60), 0, "configured", 0, id="chosen to have none"),
        pytest.param(Standing(asked=200, live=50), 50, "live", 200, id="slowed by hand, the account has more"),
        pytest.param(Standing(asked=200, live=500), 500, "live", 500, id="faster by hand"),
        pytest.param(Standing(asked=200, live=500, learned=300), 300, "learned", 300, id="learned after that"),
        pytest.param(Standing(asked=200, live=50, learned=300), 50, "live", 200, id="learned after that, and higher"),
        pytest.param(Standing(asked=200, live=0), 0, "live", 0, id="no limit by hand"),
        pytest.param(Standing(asked=0, live=50), 50, "live", 50, id="the first limit by hand"),
    ],
)
def test_in_force_is(standing: Standing, per_minute: int, source: str, account: int) -> None:
    assert (standing.in_force, standing.account) == ((per_minute, Source(source)), account)


LIMIT, REMAINING, RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="nothing is said"),
        pytest.param({RESET: "1764580000"}, None, id="only the end of something"),
        pytest.param({LIMIT: "200"}, (200, None, None), id="the limit alone"),
        pytest.param({LIMIT: " 200 ", REMAINING: "7", RESET: "1764580000"}, (200, 7, 1_764_580_000), id="all three"),
        pytest.param({LIMIT: "0", REMAINING: "0"}, (None, 0, None), id="a limit of nothing"),
        pytest.param({LIMIT: "-200"}, (None, None, None), id="below nothing"),
        pytest.param({LIMIT: "200.5"}, (None, None, None), id="a broken number"),
        pytest.param({LIMIT: "many", REMAINING: "some"}, (None, None, None), id="words"),
        pytest.param({LIMIT: "1000001"}, (None, None, None), id="beyond all measure"),
        pytest.param({LIMIT: "9" * 5000, RESET: "9" * 5000}, (None, None, None), id="thousands of digits"),
        pytest.param({LIMIT: "²³"}, (None, None, None), id="digits that are no ASCII"),
        pytest.param({LIMIT: "200, 200;w=60"}, (None, None, None), id="another grammar"),
    ],
)
def test_headers_tell(headers: dict[str, str], expected: tuple[int | None, ...] | None) -> None:
    said = told(headers)

    assert said == (None if expected is None else Told(limit=expected[0], remaining=expected[1], reset_s=expected[2]))


@pytest.mark.parametrize(
    ("limit", "requests", "messages", "messages_limit", "expected"),
    [
        pytest.param(100, 101, 101, 0, True, id="our requests explain it"),
        pytest.param(100, 90, 9000, 0, True, id="nearly, and somebody else had the rest"),
        pytest.param(100, 3, 3, 0, True, id="nothing of ours does: somebody else"),
        pytest.param(1000, 20, 1200, 0, False, id="our messages explain it"),
        pytest.param(1500, 20, 1500, 1500, False, id="it is the limit of messages that we know"),
        pytest.param(200, 150, 150_000, 0, True, id="most of the requests are ours"),
    ],
)
def test_a_429_names_the_limit_of_requests(
    limit: int,
    requests: int,
    messages: int,
    messages_limit: int,
    expected: bool,  # noqa: FBT001 - a column
) -> None:
    found = is_of_requests(limit, requests=requests, messages=messages, messages_limit=messages_limit)

    assert found is expected


# ---- giving way -----------------------------------------------------------------------------------------------------


def test_a_pause_alone_slows_nothing_and_the_longer_one_holds() -> None:
    rate = paused_for(paused_for(Rate.of(200), 30, now_s=100), 5, now_s=101)

    assert (rate.per_minute, rate.paused_until_s) == (200, 130)


def test_a_429_pauses_and_halves() -> None:
    rate = slowed(Rate.of(200), retry_after_s=30, now_s=100)

    assert (rate.per_minute, rate.paused_until_s) == (100, 130)


def test_a_429_that_does_not_say_how_long_pauses_all_the_same() -> None:
    assert slowed(Rate.of(200), retry_after_s=None, now_s=100).paused_until_s > 100


def test_many_429_of_one_moment_halve_once_and_the_longest_pause_holds() -> None:
    rate = slowed(Rate.of(200), retry_after_s=30, now_s=100)
    rate = slowed(rate, retry_after_s=60, now_s=101)
    rate = slowed(rate, retry_after_s=1, now_s=102)

    assert (rate.per_minute, rate.paused_until_s) == (100, 161)


def test_a_429_after_the_pause_halves_again() -> None:
    rate = slowed(slowed(Rate.of(200), retry_after_s=30, now_s=100), retry_after_s=30, now_s=131)

    assert rate.per_minute == 50


@pytest.mark.parametrize(
    ("after_s", "per_minute"), [(59, 100), (60, 120), (119, 120), (120, 140), (300, 200), (10_000, 200)]
)
def test_a_tenth_of_the_full_rate_comes_back_with_each_calm_minute(after_s: float, per_minute: int) -> None:
    rate = slowed(Rate.of(200), retry_after_s=30, now_s=100)

    assert recovered(rate, now_s=130 + after_s).per_minute == per_minute


@given(
    full=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 500), st.booleans(), st.floats(0.1, 3600)), max_size=30),
)
def test_the_rate_stays_between_one_and_the_full_one_and_pauses_never_shrink(
    full: int, steps: list[tuple[float, bool, float]]
) -> None:
    rate, now_s = Rate.of(full), 0.0
    for passed_s, throttled, retry_after_s in steps:
        now_s += passed_s
        before = rate
        rate = recovered(rate, now_s=now_s)
        assert rate.per_minute >= before.per_minute
        if throttled:
            rate = slowed(rate, retry_after_s=retry_after_s, now_s=now_s)
            assert rate.paused_until_s >= now_s + retry_after_s
        assert rate.paused_until_s >= before.paused_until_s
        assert 1 <= rate.per_minute <= full


@given(asked_s=st.lists(st.floats(0, 1000), max_size=20))
def test_asking_more_often_recovers_nothing_faster(asked_s: list[float]) -> None:
    start = slowed(Rate.of(200), retry_after_s=1, now_s=0)
    rate = start
    for now_s in sorted(asked_s):
        rate = recovered(rate, now_s=now_s)

    assert recovered(rate, now_s=1000).per_minute == recovered(start, now_s=1000).per_minute
