"""Pictures: well-formed, named for those who cannot see them, true to their numbers, and never markup from a word."""

import re
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import drawn

from broadcaster.report import charts
from broadcaster.report.figures import Group, Step, Timeline

SVG = "{http://www.w3.org/2000/svg}"
NAMED = {"name": "chart", "title": "Title", "description": "What is shown."}


def parsed(picture: str) -> ET.Element:
    return ET.fromstring(picture)  # noqa: S314 - our own


def texts(picture: str) -> list[str]:
    return ["".join(each.itertext()) for each in parsed(picture).iter(f"{SVG}text")]


def boxes(picture: str, key: str) -> list[dict[str, float]]:
    """Return position and size of the rectangles of a class; across in per cent, up and down in pixels."""
    return [
        {name: float(each.attrib[name].rstrip("%")) for name in ("x", "y", "width", "height")}
        for each in parsed(picture).iter(f"{SVG}rect")
        if key in each.attrib["class"].split()
    ]


def steps(*counts: int | None) -> list[Step]:
    names = ("On the list", "Eligible", "Accepted", "Sent", "Delivered", "Read")
    units = ("rows", "rows", "messages", "messages", "messages", "messages")
    return [
        Step(name=name, unit=unit, count=count, meaning="")
        for name, unit, count in zip(names, units, counts, strict=True)
    ]


def times(*values: int, step_s: int = 60, **more: Sequence[int]) -> Timeline:
    series = {"accepted": tuple(values), **{name: tuple(each) for name, each in more.items()}}
    return Timeline(start="2026-11-21T08:46:00+00:00", step_s=step_s, series=series)


def test_a_funnel_has_a_bar_as_long_as_each_count_and_says_of_what_it_is_a_share() -> None:
    picture = charts.funnel(steps(2000, 1900, 1000, 900, 800, 1), **NAMED)

    assert [box["width"] for box in boxes(picture, "step")] == [100, 95, 50, 45, 40, 0.05]
    assert texts(picture)[1::2] == [
        "2,000 rows",
        "1,900 · 95.0 % of the list",
        "1,000 · 52.6 % of eligible",
        "900 · 90.0 % of accepted",
        "800 · 80.0 % of accepted",
        "1 · 0.1 % of accepted",
    ]


def test_what_nobody_knows_is_an_empty_frame_and_no_bar_of_length_nothing() -> None:
    picture = charts.funnel(steps(10, 10, 10, None, None, None), **NAMED)

    assert len(boxes(picture, "step")) == 3
    assert len(boxes(picture, "unknown")) == 3
    assert texts(picture)[-1] == "not known: no receipts yet"


def test_a_group_is_one_bar_whose_parts_stand_side_by_side_and_fill_its_share_of_the_largest() -> None:
    rows = [
        Group(name="sms", outcomes={"delivered": 60, "read": 20, "failed": 15, "pending": 5}),
        Group(name="rcs", outcomes={"sent": 50}),
    ]
    picture = charts.groups(rows, told=True, **NAMED)

    assert [(box["x"], box["width"]) for box in boxes(picture, "segment")] == [(0, 80), (80, 15), (95, 5), (0, 50)]
    assert texts(picture) == ["sms", "100 · 80.0 % delivered", "rcs", "50 · 0 % delivered"]


def test_without_receipts_no_group_says_how_much_was_delivered() -> None:
    picture = charts.groups([Group(name="sms", outcomes={"accepted": 5})], told=False, **NAMED)

    assert texts(picture) == ["sms", "5"]


def test_columns_stand_on_each_other_on_the_base_and_end_at_their_value() -> None:
    picture = charts.columns(
        times(100, 40, rejected=(0, 60)), {"accepted": "accepted", "rejected": "rejected"}, **NAMED
    )
    (first, second), (above,) = boxes(picture, "accepted"), boxes(picture, "rejected")
    base = first["y"] + first["height"]

    assert first["y"] == pytest.approx(above["y"])  # 100 and 40 + 60
    assert second["y"] - (above["y"] + above["height"]) == pytest.approx(1, abs=0.02)  # the seam
    assert base == pytest.approx(second["y"] + second["height"], abs=1.01)
    assert texts(picture)[:4] == ["50", "100", "messages per minute", "08:46"]
    assert texts(picture)[-1] == "time (UTC), 21 November 2026"


def test_a_single_column_does_not_fill_the_picture() -> None:
    (box,) = boxes(charts.columns(times(5), {"accepted": "accepted"}, **NAMED), "accepted")

    assert box["width"] < 10


def test_the_limit_is_a_line_with_its_number_above_the_curve() -> None:
    picture = charts.line(times(50, 150), limit=200, **NAMED)
    (limit,) = [each for each in parsed(picture).iter(f"{SVG}line") if each.attrib["class"] == "limit"]
    (curve,) = parsed(picture).iter(f"{SVG}polyline")
    heights = [float(point.split(",")[1]) for point in curve.attrib["points"].split()]

    assert "limit 200" in texts(picture)
    assert float(limit.attrib["y1"]) - 42 == pytest.approx(0)  # the top of the plot
    assert heights == pytest.approx([112.5, 112.5, 37.5, 37.5])  # from the top; the plot is 150 high


def test_without_a_limit_there_is_no_line() -> None:
    assert 'class="limit"' not in charts.line(times(50), limit=0, **NAMED)


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (0, (1, 1)),
        (1, (1, 1)),
        (4, (1, 4)),
        (5, (2, 6)),
        (200, (50, 200)),
        (201, (100, 300)),
        (987_654, (500_000, 1_000_000)),
    ],
)
def test_an_axis_ends_at_a_round_number_that_holds_everything(largest: int, expected: tuple[int, int]) -> None:
    assert charts.scale(largest) == expected


@given(st.integers(0, 10**9))
def test_an_axis_has_at_most_four_lines_and_wastes_less_than_half(largest: int) -> None:
    step, top = charts.scale(largest)

    assert top >= largest
    assert top % step == 0
    assert 1 <= top // step <= 4
    assert top - step < max(largest, 1)


@given(st.text(max_size=40))
def test_no_word_is_ever_markup(words: str) -> None:
    figures = drawn(words)
    pictures = [
        charts.funnel([Step(name=words, unit=words, count=5, meaning="")], name=words, title=words, description=words),
        charts.groups(figures.channels, told=True, name="c", title=words, description=words),
        charts.columns(times(1), {"accepted": "accepted"}, name="c", title=words, description=words, unit=words),
        charts.line(times(1), limit=2, name="c", title=words, description=words),
    ]
    known = {"svg", "title", "desc", "rect", "text", "line", "polygon", "polyline"}
    for picture in pictures:
        tree = parsed(picture)
        assert {each.tag.removeprefix(SVG) for each in tree.iter()} <= known
        assert not [name for each in tree.iter() for name in each.attrib if name.startswith("on")]
        shown = "".join(each if each.isprintable() else " " for each in words)
        assert tree.find(f"{SVG}desc").text in {shown, None}  # type: ignore[union-attr]  # there is one


def test_every_picture_is_named_for_those_who_cannot_see_it() -> None:
    tree = parsed(charts.line(times(1, 2), limit=5, **NAMED))
    ids = {each.attrib["id"]: each.text for each in tree.iter() if "id" in each.attrib}

    assert tree.attrib["role"] == "img"
    assert [ids[name] for name in tree.attrib["aria-labelledby"].split()] == ["Title", "What is shown."]


@pytest.mark.parametrize("count", [1, 2, 6, 48])
@pytest.mark.parametrize("step_s", [1, 30, 60, 3600, 86_400])
def test_moments_below_a_plot_are_far_enough_apart_to_be_read_on_a_phone(count: int, step_s: int) -> None:
    """At 300 pixels, with 7 pixels for a character."""
    picture = charts.columns(times(*([1] * count), step_s=step_s), {"accepted": "accepted"}, **NAMED)
    found = [
        (float(each.attrib["x"].rstrip("%")) * 3, each.attrib["text-anchor"], 7 * len(each.text or ""))
        for each in parsed(picture).iter(f"{SVG}text")
        if re.match(r"\d\d(:| \w\w\w)", each.text or "")
    ]
    spans = sorted(
        (
            x - {"start": 0, "middle": 0.5, "end": 1}[anchor] * width,
            x + {"start": 1, "middle": 0.5, "end": 0}[anchor] * width,
        )
        for x, anchor, width in found
    )
    assert len(spans) == 3
    assert all(end + 4 <= start for (_, end), (start, _) in pairwise(spans)), spans
