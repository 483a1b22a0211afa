"""Whose row is whose: each is one plan's, whatever the column says."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.planning.share import MINE, NOBODYS, OTHERS, Share

NAMES = ("acme", "Acme", "zenith")
CELLS = st.lists(st.sampled_from(["acme", " acme\t", "Acme", "zenith", "acmee", "", " "]), max_size=20)


@given(CELLS)
def test_each_row_is_in_exactly_one_plan_and_told_of_there(cells: list[str]) -> None:
    found = [Share(name=name, names=NAMES).of(pa.array(cells, pa.string())) for name in NAMES]

    assert (np.sum([each != OTHERS for each in found], axis=0) == 1).all()
    for name, each in zip(NAMES, found, strict=True):
        assert [cell.strip() == name for cell in cells] == (each == MINE).tolist()
    assert [cell.strip() not in NAMES for cell in cells] == (found[0] == NOBODYS).tolist()
