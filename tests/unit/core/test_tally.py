"""How far a run is, how fast it goes, and how long it takes still: told so that nobody is misled."""

import pytest

from broadcaster.core.sizes import duration_s
from broadcaster.core.tally import Pace, Progress, Span
from broadcaster.core.words import Status

LIMIT = 200


def steady(
    seconds: float, *, per_minute: float = LIMIT, size: int = 10, total: int = 1000, started_s: float = 0.3
) -> Progress:
    """Return the progress of a run after so many seconds at a steady pace; its first request ends at once."""
    progress = Progress(total=total * size, to_send=total, largest=size, started_s=started_s)
    beat_s, at_s = 60 / per_minute, started_s + 0.05
    while at_s <= started_s + seconds:
        progress = progress.add({Status.ACCEPTED: size}, now_s=at_s)
        at_s += beat_s
    return progress


def left_s(progress: Progress, *, now_s: float, limit: int | None = LIMIT, **given: float) -> float | None:
    return progress.seconds_left(now_s=now_s, requests_per_minute=limit, messages_per_minute=None, **given)


# ---- counts ---------------------------------------------------------------------------------------------------------


def test_counts_add_up_and_the_rest_is_to_go() -> None:
    progress = Progress(total=100, to_send=10, started_s=0)
    progress = progress.add({Status.ACCEPTED: 50, Status.REJECTED: 2}, now_s=1).add({Status.IN_DOUBT: 8}, now_s=2)

    assert (progress.accepted, progress.rejected, progress.in_doubt, progress.to_go) == (50, 2, 8, 40)
    assert progress.to_send == 8


def test_a_doubt_that_is_resolved_moves_and_leaves_the_total() -> None:
    progress = Progress(total=10, started_s=0).add({Status.IN_DOUBT: 4}, now_s=1)
    progress = progress.add({Status.IN_DOUBT: -4, Status.ACCEPTED: 4}, now_s=2)

    assert (progress.accepted, progress.in_doubt, progress.to_go) == (4, 0, 6)


def test_what_follows_from_a_split_is_still_to_be_sent() -> None:
    progress = Progress(total=10, to_send=3, started_s=0).add({Status.REJECTED: 1}, now_s=1, born=2)

    assert progress.to_send == 4


# ---- the rate -------------------------------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_last_minute() -> None:
    progress = Progress(total=10_000, started_s=0)
    for second in range(120):
        progress = progress.add({Status.ACCEPTED: 10 if second >= 60 else 1}, now_s=second + 0.5)

    assert progress.pace(now_s=120) == Pace(messages=600, requests=60)


@pytest.mark.parametrize("now_s", [6.3, 10.0, 20.5, 59.9, 61.2, 200.0])
@pytest.mark.parametrize("size", [1, 10, 1000])
def test_a_steady_run_shows_its_own_pace_from_the_first_seconds_on(size: int, now_s: float) -> None:
    pace = steady(now_s - 0.3, size=size).pace(now_s=now_s)

    assert pace is not None
    two = 2 * 60 / min(int(now_s) - 1, 60)
    assert LIMIT - two <= pace.requests <= LIMIT
    assert pace.messages == pytest.approx(pace.requests * size)


def test_a_burst_at_the_start_is_not_taken_for_a_rate() -> None:
    progress = Progress(total=100_000, started_s=100.2)
    for _ in range(8):
        progress = progress.add({Status.ACCEPTED: 1000}, now_s=100.6)

    assert progress.pace(now_s=100.7) is None
    assert progress.pace(now_s=105.9) is None
    assert progress.pace(now_s=106.1) is None
    assert progress.pace(now_s=161.1) == Pace(messages=0, requests=0)


def test_after_a_pause_the_rate_is_measured_anew() -> None:
    progress = steady(60).resumed(now_s=400.4)

    assert progress.pace(now_s=402) is None
    for step in range(21):
        progress = progress.add({Status.ACCEPTED: 10}, now_s=401 + step * 0.49)
    assert progress.pace(now_s=411) == Pace(messages=1200, requests=120)


def test_memory_is_bounded_by_the_horizon() -> None:
    progress = Progress(total=10**9, started_s=0)
    for step in range(5000):
        progress = progress.add({Status.ACCEPTED: 1}, now_s=step / 10)

    assert len(progress.recent) == 61
    assert progress.accepted == 5000


# ---- the time left --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now_s", [0.3, 1.0, 3.0, 9.9, 11.0, 30.0, 61.0, 150.0, 290.0])
def test_a_run_at_its_limit_tells_the_time_that_it_then_takes(now_s: float) -> None:
    told = left_s(steady(now_s - 0.3), now_s=now_s)
    true_s = 0.35 + 999 * 60 / LIMIT - now_s

    assert told == pytest.approx(true_s, rel=0.02, abs=0.7)


def test_before_the_first_answer_the_plan_is_what_is_known() -> None:
    planned_s = duration_s(1000, 10_000, requests_per_minute=LIMIT, messages_per_minute=0)

    assert left_s(steady(-1), now_s=0.3) == pytest.approx(planned_s, rel=0.01)


def test_a_limit_of_messages_counts_too() -> None:
    progress = Progress(total=10_000, to_send=1000, largest=10, started_s=0)
    told = progress.seconds_left(now_s=0.5, requests_per_minute=LIMIT, messages_per_minute=500)
    planned_s = duration_s(1000, 10_000, requests_per_minute=0, messages_per_minute=500, largest=10)

    assert told == pytest.approx(planned_s, rel=0.01)


@pytest.mark.parametrize(("per_minute", "limit"), [(50, 200), (20, 200), (600, 10_000)])
def test_a_run_that_is_slower_than_its_limit_tells_its_own_time(per_minute: int, limit: int) -> None:
    told = left_s(steady(60, per_minute=per_minute, size=1), now_s=60.3, limit=limit)

    assert told == pytest.approx((1000 - per_minute) * 60 / per_minute, rel=0.05)


def test_too_few_turns_say_nothing_against_the_limit() -> None:
    """At two requests a minute a minute may pass without one."""
    told = left_s(steady(70, per_minute=2, total=10, size=1), now_s=90, limit=2)

    assert told is not None
    assert told == pytest.approx(4 * 60, rel=0.3)


def test_a_raised_limit_is_believed_before_it_is_measured() -> None:
    progress = steady(60, per_minute=20, size=1)
    told = left_s(progress, now_s=60.5, limit=600, since_s=60.4)

    assert told == pytest.approx(980 * 60 / 600, rel=0.03)


def test_a_lowered_limit_is_believed_at_once() -> None:
    progress = steady(60, per_minute=200, size=1)
    told = left_s(progress, now_s=60.5, limit=20, since_s=60.4)

    assert told == pytest.approx(800 * 60 / 20, rel=0.03)


def test_a_wait_that_the_api_asks_for_is_added() -> None:
    progress = steady(60)
    without, with_wait = (left_s(progress, now_s=60.5, wait_s=each) for each in (0.0, 30.0))

    assert without is not None
    assert with_wait == pytest.approx(without + 30)


def test_a_run_without_answers_tells_no_time() -> None:
    assert left_s(steady(20), now_s=200) is None


@pytest.mark.parametrize(("now_s", "told"), [(3.0, False), (8.0, True)])
def test_without_a_limit_only_the_measured_rate_tells(now_s: float, *, told: bool) -> None:
    left = left_s(steady(now_s - 0.3, per_minute=600, size=1), now_s=now_s, limit=None)

    if told:
        assert left == pytest.approx((1000 - now_s * 10) / 10, rel=0.1)
    else:
        assert left is None


def test_a_finished_run_has_no_time_left() -> None:
    assert left_s(Progress(total=3, started_s=0).add({Status.ACCEPTED: 3}, now_s=1), now_s=900) == 0


# ---- the whole launch -----------------------------------------------------------------------------------------------


def test_the_mean_of_a_launch_counts_what_came_after_the_first() -> None:
    span = Span()
    for step in range(101):
        span = span.add(10, now_s=50 + step * 0.3)

    mean = span.mean()
    assert mean is not None
    assert mean.messages == pytest.approx(2000)
    assert mean.requests == pytest.approx(200)


def test_pauses_are_not_part_of_the_mean() -> None:
    span = Span().add(1, now_s=0).add(1, now_s=10).add(1, now_s=120)

    assert span.mean(held_s=100) == Pace(messages=6, requests=6)


def test_a_launch_that_was_too_short_has_no_mean() -> None:
    assert Span().mean() is None
    assert Span().add(9, now_s=1).mean() is None
    assert Span().add(9, now_s=1).add(9, now_s=5).mean() is None
    assert Span().add(9, now_s=1).add(9, now_s=30).mean(held_s=27) is None
