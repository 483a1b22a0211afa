"""Quotes end where their cells end, however the file is cut into blocks."""

import csv
import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.errors import ListUnusable
from broadcaster.lists.quotes import Quotes


def check(text: bytes, cuts: list[int], delimiter: str = ",") -> str | None:
    """The refusal of *text*, given in pieces."""
    quotes = Quotes("list.csv", delimiter)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    try:
        for start, end in pairwise(edges):
            quotes.check(text[start:end], last=False)
        quotes.check(b"", last=True)
    except ListUnusable as error:
        return error.sentence
    return None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(b'a,b\n1,"x"\n2,y"z"\n', None, id="right"),
        pytest.param(b'a,b\n1,"x"', None, id="closed by the end of the file"),
        pytest.param(b'a,b\n1,"', 2, id="open at the end"),
        pytest.param(b'a,b\n1,"""', 2, id="a doubled quote is no end"),
        pytest.param(b'a,b\n1,"x"y\n', 2, id="text after the quote"),
        pytest.param(b'a,b\n"1\n\n2"\n3,"x\n4,"y"\n', 5, id="closed by another cell's quote"),
    ],
)
def test_a_wrong_quote_is_named_with_the_line_of_its_cell(text: bytes, line: int | None) -> None:
    for cuts in ([], list(range(len(text)))):
        told = check(text, cuts)
        assert (told is None) == (line is None)
        assert line is None or f"opens a cell in line {line} " in str(told)


@given(st.text('a",\n', max_size=24), st.lists(st.integers(0, 24), max_size=6))
def test_the_verdict_does_not_depend_on_the_cuts(text: str, cuts: list[int]) -> None:
    assert check(text.encode(), cuts) == check(text.encode(), [])


@given(st.text('a",\n', max_size=24))
def test_a_file_is_right_exactly_when_a_strict_reader_takes_it(text: str) -> None:
    try:
        list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        assert check(text.encode(), [])
    else:
        assert check(text.encode(), []) is None
