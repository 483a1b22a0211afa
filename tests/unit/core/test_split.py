import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.split import Split, cut_after_400


@pytest.mark.parametrize(
    ("positions", "blamed", "left", "expected"),
    [
        pytest.param((0, 1, 2, 3), (1, 3), 5, Split(rejected=(1, 3), children=((0, 2),)), id="the named are rejected"),
        pytest.param((0, 1), (0, 1), 5, Split(rejected=(0, 1)), id="all are named"),
        pytest.param((0, 1), (1,), 0, Split(rejected=(1,), children=((0,),)), id="naming costs no bisection"),
        pytest.param((0, 1, 2), (), 5, Split(children=((0, 1), (2,))), id="nobody is named"),
        pytest.param((0,), (), 5, Split(rejected=(0,)), id="one alone is the culprit"),
        pytest.param((0, 1, 2), (), 0, Split(rejected=(0, 1, 2)), id="the budget is spent"),
        pytest.param((0, 1), (7,), 5, Split(children=((0,), (1,))), id="somebody else is named"),
        pytest.param((4, 7, 9), (7,), 5, Split(rejected=(7,), children=((4, 9),)), id="positions need not be dense"),
    ],
)
def test_after_a_400(positions: tuple[int, ...], blamed: tuple[int, ...], left: int, expected: Split) -> None:
    assert cut_after_400(positions, blamed=blamed, bisections_left=left) == expected


@given(
    positions=st.lists(st.integers(0, 50), unique=True).map(sorted),
    blamed=st.sets(st.integers(0, 50)),
    left=st.integers(0, 2),
)
def test_nobody_is_lost_or_doubled_and_every_cut_makes_progress(
    positions: list[int], blamed: set[int], left: int
) -> None:
    cut = cut_after_400(positions, blamed=blamed, bisections_left=left)

    assert sorted((*cut.rejected, *(each for child in cut.children for each in child))) == positions
    assert all(0 < len(child) < len(positions) for child in cut.children)
    assert all(list(child) == sorted(child) for child in cut.children)
