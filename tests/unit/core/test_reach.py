import pytest

from broadcaster.core.reach import within_reach

MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("releases", "per_minute", "expected"),
    [
        pytest.param([10 * MINUTE] * 5, 60, 5, id="time enough"),
        pytest.param([2 * MINUTE] * 100, 60, 61, id="a minute before its release it may be on its way"),
        pytest.param([MINUTE - 1] * 5, 60, 0, id="nothing in the last minute"),
        pytest.param([MINUTE - 1] * 5 + [3 * MINUTE] * 5, 60, 5, id="what is lost costs no time"),
        pytest.param([3 * MINUTE] * 1000, 0, 1000, id="no limit"),
        pytest.param([3 * MINUTE, None, None], 60, 3, id="nobody knows when"),
        pytest.param([], 60, 0, id="nothing held"),
    ],
)
def test_as_many_are_in_reach_as_the_rate_lets_through_in_time(
    releases: list[int | None], per_minute: int, expected: int
) -> None:
    assert within_reach(releases, now_us=0, per_minute=per_minute) == expected
