"""How many parts a text is billed as."""

import pytest

from broadcaster.core.segments import most_segments, segments


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", (1, "GSM-7"), id="nothing is one part all the same"),
        pytest.param("a" * 160, (1, "GSM-7"), id="one part, full"),
        pytest.param("a" * 161, (2, "GSM-7"), id="one character over: several parts have less room each"),
        pytest.param("a" * 306, (2, "GSM-7"), id="two parts, full"),
        pytest.param("a" * 307, (3, "GSM-7"), id="three parts"),
        pytest.param("\u00e9\u00fc\u00d1\u00a7 " * 32, (1, "GSM-7"), id="letters that the alphabet has"),
        pytest.param("\u20ac" * 80, (1, "GSM-7"), id="a euro sign takes two places"),
        pytest.param("\u20ac" * 81, (2, "GSM-7"), id="and so fills a part twice as fast"),
        pytest.param("\u0436" * 70, (1, "UCS-2"), id="a letter that it has not: seventy in one part"),
        pytest.param("\u0436" * 71, (2, "UCS-2"), id="seventy-one in two"),
        pytest.param("\U0001f600" * 35, (1, "UCS-2"), id="an emoji takes two places"),
        pytest.param("\U0001f600" * 36, (2, "UCS-2"), id="thirty-six of them two parts"),
        pytest.param("a" * 100 + "\u2019", (2, "UCS-2"), id="one typographic apostrophe doubles the bill"),
    ],
)
def test_parts_of_a_text(text: str, found: tuple[int, str]) -> None:
    assert segments(text) == found


@pytest.mark.parametrize(("length", "most"), [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (320, 5)])
def test_a_text_of_a_length_has_no_more_parts_than_it_would_have_in_unicode(length: int, most: int) -> None:
    assert most_segments(length) == most
    assert segments("\u0436" * length)[0] == most
