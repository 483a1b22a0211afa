import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.window import WINDOW_US, Ceilings, wait_s

S = 1_000_000
NOW = 1000 * S
WINDOW_S = WINDOW_US / S


def ago(seconds: float, amount: int) -> tuple[int, int]:
    return NOW - round(seconds * S), amount


@pytest.mark.parametrize(
    ("spent", "limit", "amount", "expected_s"),
    [
        pytest.param([], 1, 1, 0.0, id="nothing was spent"),
        pytest.param([ago(1, 100)], 0, 1, 0.0, id="no limit"),
        pytest.param([ago(1, 100)], 100, 0, 0.0, id="nothing is asked for"),
        pytest.param([ago(30, 99)], 100, 1, 0.0, id="the last place of the minute"),
        pytest.param([ago(30, 100)], 100, 1, WINDOW_S - 30, id="a full minute, until its oldest spend leaves"),
        pytest.param([ago(50, 40), ago(30, 60)], 100, 40, WINDOW_S - 50, id="until as much has left as is needed"),
        pytest.param([ago(50, 40), ago(30, 60)], 100, 41, WINDOW_S - 30, id="one more needs the next to leave as well"),
        pytest.param([ago(WINDOW_S, 100)], 100, 100, 0.0, id="what is as old as the window has left it"),
        pytest.param([ago(50, 1), ago(20, 1)], 10, 50, WINDOW_S - 20, id="above the limit: an empty window"),
        pytest.param([], 10, 50, 0.0, id="above the limit, and the window is empty"),
        pytest.param([ago(50, 30), ago(1, 90)], 100, 1, WINDOW_S - 50, id="more was spent than is allowed now"),
        pytest.param([ago(-20, 5)], 5, 1, WINDOW_S + 20, id="a moment ahead counts from when it comes"),
    ],
)
def test_there_is_room_after(spent: list[tuple[int, int]], limit: int, amount: int, expected_s: float) -> None:
    assert wait_s(spent, limit=limit, amount=amount, now_us=NOW) == pytest.approx(expected_s)


@given(
    spent=st.lists(st.tuples(st.integers(0, 2 * WINDOW_US), st.integers(1, 50)), max_size=30),
    limit=st.integers(1, 200),
    amount=st.integers(1, 200),
)
def test_after_the_wait_the_minute_holds_it_and_a_moment_earlier_it_did_not(
    spent: list[tuple[int, int]], limit: int, amount: int
) -> None:
    now_us = 2 * WINDOW_US
    rows = sorted(spent)
    seconds = wait_s(rows, limit=limit, amount=amount, now_us=now_us)
    then_us = now_us + round(seconds * S)

    def held(at_us: int) -> int:
        return sum(each for us, each in rows if us > at_us - WINDOW_US)

    assert held(then_us) <= max(0, limit - amount)
    if seconds:
        assert held(then_us - 1) > max(0, limit - amount)


def test_ceilings_are_true_where_anything_is_limited() -> None:
    limits = [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [bool(Ceilings(requests=a, messages=b)) for a, b in limits] == [False, True, True, True]
