import pytest

from broadcaster.core.tally import Progress
from broadcaster.core.words import Status


def test_counts_add_up_and_the_rest_is_to_go() -> None:
    progress = Progress(total=100, started_s=0)
    progress = progress.add({Status.ACCEPTED: 50, Status.REJECTED: 2}, now_s=1).add({Status.IN_DOUBT: 8}, now_s=2)

    assert (progress.accepted, progress.rejected, progress.in_doubt, progress.to_go) == (50, 2, 8, 40)


def test_a_doubt_that_is_resolved_moves_and_leaves_the_total() -> None:
    progress = Progress(total=10, started_s=0).add({Status.IN_DOUBT: 4}, now_s=1)
    progress = progress.add({Status.IN_DOUBT: -4, Status.ACCEPTED: 4}, now_s=2)

    assert (progress.accepted, progress.in_doubt, progress.to_go) == (4, 0, 6)


def test_the_rate_is_that_of_the_last_minute() -> None:
    progress = Progress(total=10_000, started_s=0)
    for second in range(120):
        progress = progress.add({Status.ACCEPTED: 10 if second >= 60 else 1}, now_s=second)

    assert progress.per_minute(now_s=119) == 600


def test_a_young_run_tells_its_rate_from_its_own_time() -> None:
    progress = Progress(total=10_000, started_s=100).add({Status.ACCEPTED: 50}, now_s=110)

    assert progress.per_minute(now_s=110) == pytest.approx(300)
    assert progress.seconds_left(now_s=110) == pytest.approx((10_000 - 50) / 5)


def test_without_a_rate_the_time_left_is_not_told() -> None:
    progress = Progress(total=100, started_s=0).add({Status.ACCEPTED: 10}, now_s=5)

    assert Progress(total=100, started_s=0).seconds_left(now_s=5) is None
    assert progress.seconds_left(now_s=500) is None


def test_a_finished_run_has_no_time_left() -> None:
    assert Progress(total=3, started_s=0).add({Status.ACCEPTED: 3}, now_s=1).seconds_left(now_s=900) == 0


def test_memory_is_bounded_by_the_horizon() -> None:
    progress = Progress(total=10**9, started_s=0)
    for step in range(5000):
        progress = progress.add({Status.ACCEPTED: 1}, now_s=step / 10)

    assert len(progress.recent) <= 60
    assert progress.accepted == 5000
