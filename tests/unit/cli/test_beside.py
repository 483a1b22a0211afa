"""Several runs, one exit code."""

import pytest

from broadcaster.cli.beside import gravest


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param([], 0, id="nobody had anything to do"),
        pytest.param([0, 0], 0, id="all is well"),
        pytest.param([0, 3], 3, id="some were rejected"),
        pytest.param([4, 3], 4, id="doubt is worse than a rejection"),
        pytest.param([4, 75], 75, id="there is something left to send"),
        pytest.param([75, 5], 5, id="a halt, with something left to send elsewhere"),
        pytest.param([75, 1], 1, id="a bug is told, whatever else"),
        pytest.param([75, 2], 2, id="a mistake in what was asked for"),
        pytest.param([77, 74, 75], 77, id="of several grave ones the last"),
    ],
)
def test_the_gravest_end_of_several_is_told(codes: list[int], expected: int) -> None:
    assert gravest(codes) == expected
