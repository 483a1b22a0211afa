"""The order of sending, and where batches begin and end."""

import numpy as np
import pytest

from broadcaster.planning.group import cut


def batches(codes: list[int], largest: int) -> list[list[int]]:
    order, starts, ends = cut(np.array(codes, dtype=np.int64), largest=largest)
    return [order[start:end].tolist() for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("codes", "largest", "expected"),
    [
        pytest.param([], 2, [], id="nobody"),
        pytest.param([7], 2, [[0]], id="one"),
        pytest.param([5, 5, 5], 3, [[0, 1, 2]], id="exactly full"),
        pytest.param([5, 5, 5, 5], 3, [[0, 1, 2], [3]], id="one over"),
        pytest.param([5, 5, 5], 1, [[0], [1], [2]], id="one recipient per request"),
        pytest.param([9, 1, 9, 4, 1], 10, [[0, 2], [1, 4], [3]], id="groups come in the order of their first row"),
        pytest.param(
            [9, 1, 9, 1, 9, 9, 1], 2, [[0, 2], [4, 5], [1, 3], [6]], id="a group is cut in the order of the list"
        ),
        pytest.param([2**62, 0, 2**62], 2, [[0, 2], [1]], id="codes may be far apart"),
    ],
)
def test_groups_and_cuts(codes: list[int], largest: int, expected: list[list[int]]) -> None:
    assert batches(codes, largest) == expected


def test_the_batches_lie_end_to_end() -> None:
    order, starts, ends = cut(np.arange(100, dtype=np.int64) % 7, largest=3)

    assert starts[0] == 0
    assert ends[-1] == len(order) == 100
    assert starts[1:].tolist() == ends[:-1].tolist()
