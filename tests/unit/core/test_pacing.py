from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.core.pacing import Rate, bucket, recovered, slowed, weight


def greedy(per_minute: int, *, turns: list[int], largest: int = 1) -> list[tuple[float, int]]:
    """When each turn is let through by aiolimiter's leaky bucket, with the next turn always waiting."""
    capacity, period_s = bucket(per_minute, largest=largest)
    now_s, level, sent = 0.0, 0.0, []
    for amount in turns:
        takes = weight(amount, per_minute=per_minute, capacity=capacity)
        wait_s = max(0.0, level + takes - capacity) * period_s / capacity
        now_s += wait_s
        level = max(0.0, level - wait_s * capacity / period_s) + takes
        sent.append((now_s, amount))
    return sent


def worst_minute(sent: list[tuple[float, int]]) -> int:
    inside: deque[tuple[float, int]] = deque()
    held = worst = 0
    for at_s, amount in sent:
        inside.append((at_s, amount))
        held += amount
        while inside[0][0] <= at_s - 60:
            held -= inside.popleft()[1]
        worst = max(worst, held)
    return worst


@pytest.mark.parametrize(
    ("per_minute", "largest", "capacity", "period_s"),
    [
        (1, 1, 1, 60.6),
        (200, 1, 1, 60.6 / 200),
        (1200, 1, 1, 60.6 / 1200),
        (1201, 1, 2, 60.6 * 2 / 1199),
        (10_000, 1, 9, 60.6 * 9 / 9991),
        (10_000, 400, 400, 60.6 * 400 / 9600),
        (60, 30, 30, 60.6),
        (60, 31, 31, 60.6),
        (60, 50, 50, 60.6),
        (60, 100, 100, 60.6),
    ],
)
def test_the_bucket_is_as_drawn(per_minute: int, largest: int, capacity: int, period_s: float) -> None:
    assert list(bucket(per_minute, largest=largest)) == pytest.approx([capacity, period_s])


def test_no_request_limit_lets_more_than_itself_through_a_minute() -> None:
    for per_minute in range(1, 10_001):
        capacity, period_s = bucket(per_minute)
        # The worst minute begins with an empty bucket: all of it at once, then what leaks.
        assert capacity + int(60 * capacity / period_s) <= per_minute, per_minute


def test_every_request_limit_is_used_to_97_percent_or_more() -> None:
    for per_minute in range(1, 10_001):
        capacity, period_s = bucket(per_minute)
        assert 60 * capacity / period_s >= 0.97 * per_minute, per_minute


@settings(max_examples=30, deadline=None)
@given(per_minute=st.integers(1, 3000))
def test_a_greedy_run_keeps_every_sliding_minute(per_minute: int) -> None:
    assert worst_minute(greedy(per_minute, turns=[1] * (3 * per_minute))) <= per_minute


@settings(max_examples=60, deadline=None)
@given(per_minute=st.integers(2, 20_000), data=st.data())
def test_a_message_limit_is_kept_with_batches_of_all_sizes(per_minute: int, data: st.DataObject) -> None:
    largest = data.draw(st.integers(1, min(1000, per_minute)))
    turns = data.draw(st.lists(st.integers(1, largest), min_size=1, max_size=200))

    assert worst_minute(greedy(per_minute, turns=turns * 3, largest=largest)) <= per_minute


def test_batches_of_four_percent_still_use_95_percent_of_a_message_limit() -> None:
    capacity, period_s = bucket(10_000, largest=400)

    assert 60 * capacity / period_s >= 0.95 * 10_000


def test_where_the_limit_is_tiny_each_turn_takes_the_whole_bucket() -> None:
    assert weight(3, per_minute=60, capacity=50) == 50
    assert weight(3, per_minute=1000, capacity=50) == 3
    assert [at_s for at_s, _ in greedy(60, turns=[10, 50, 1], largest=50)] == pytest.approx([0.0, 60.6, 121.2])


def test_a_request_without_messages_takes_nothing_of_their_bucket() -> None:
    assert weight(0, per_minute=60, capacity=50) == 0


def test_more_than_a_bucket_holds_counts_as_all_of_it() -> None:
    assert weight(80, per_minute=1000, capacity=50) == 50


@pytest.mark.parametrize(("per_minute", "largest"), [(0, 1), (-5, 1), (10, 0)])
def test_a_bucket_without_a_limit_is_refused(per_minute: int, largest: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        bucket(per_minute, largest=largest)


def test_a_429_pauses_and_halves() -> None:
    rate = slowed(Rate.full(200), retry_after_s=30, now_s=100)

    assert (rate.per_minute, rate.paused_until_s) == (100, 130)


def test_a_429_that_does_not_say_how_long_pauses_all_the_same() -> None:
    assert slowed(Rate.full(200), retry_after_s=None, now_s=100).paused_until_s > 100


def test_many_429_of_one_moment_halve_once_and_the_longest_pause_holds() -> None:
    rate = slowed(Rate.full(200), retry_after_s=30, now_s=100)
    rate = slowed(rate, retry_after_s=60, now_s=101)
    rate = slowed(rate, retry_after_s=1, now_s=102)

    assert (rate.per_minute, rate.paused_until_s) == (100, 161)


def test_a_429_after_the_pause_halves_again() -> None:
    rate = slowed(slowed(Rate.full(200), retry_after_s=30, now_s=100), retry_after_s=30, now_s=131)

    assert rate.per_minute == 50


@pytest.mark.parametrize(
    ("after_s", "per_minute"), [(59, 100), (60, 120), (119, 120), (120, 140), (300, 200), (10_000, 200)]
)
def test_a_tenth_of_the_configured_rate_comes_back_with_each_calm_minute(after_s: float, per_minute: int) -> None:
    rate = slowed(Rate.full(200), retry_after_s=30, now_s=100)

    assert recovered(rate, now_s=130 + after_s).per_minute == per_minute


@given(
    configured=st.integers(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 500), st.booleans(), st.floats(0.1, 3600)), max_size=30),
)
def test_the_rate_stays_between_one_and_what_was_configured_and_pauses_never_shrink(
    configured: int, steps: list[tuple[float, bool, float]]
) -> None:
    rate, now_s = Rate.full(configured), 0.0
    for passed_s, throttled, retry_after_s in steps:
        now_s += passed_s
        before = rate
        rate = recovered(rate, now_s=now_s)
        assert rate.per_minute >= before.per_minute
        if throttled:
            rate = slowed(rate, retry_after_s=retry_after_s, now_s=now_s)
            assert rate.paused_until_s >= now_s + retry_after_s
        assert rate.paused_until_s >= before.paused_until_s
        assert 1 <= rate.per_minute <= configured


@given(asked_s=st.lists(st.floats(0, 1000), max_size=20))
def test_asking_more_often_recovers_nothing_faster(asked_s: list[float]) -> None:
    start = slowed(Rate.full(200), retry_after_s=1, now_s=0)
    rate = start
    for now_s in sorted(asked_s):
        rate = recovered(rate, now_s=now_s)

    assert recovered(rate, now_s=1000).per_minute == recovered(start, now_s=1000).per_minute
