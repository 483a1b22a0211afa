"""Where a run stands and how fast it goes, told from events alone; and the words and the picture for it."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from broadcaster.core.values import Tally
from broadcaster.store.events import written_at
from broadcaster.tracking.ratechart import draw, minutes, scale
from broadcaster.tracking.standing import (
    Standing,
    Stretch,
    counts_of,
    deliveries_lately,
    seconds_left,
    sent_between,
    standing,
    stretches,
)
from broadcaster.tracking.words import LABELS, NEXT, ago, duration, moment, percent, sentence

T0 = 1_764_580_020  # a full minute


def told(event: str, at_s: float = 0, **facts: Any) -> dict[str, Any]:
    return {"at": written_at(round((T0 + at_s) * 1e6)), "event": event, **facts}


def line(at_s: float, *, requests: int, settled: int = 0, event: str = "progress", limit: int | None = 60) -> Any:
    counts = {"pending": 1000 - settled, "accepted": settled, "rejected": 0, "excluded": 0, "in_doubt": 0}
    return told(event, at_s, **counts, requests=requests, limit=limit)


STARTED = told("started", 1, paused=False)
STANDINGS: dict[str, tuple[Sequence[Any], bool, int | None, bool, Standing]] = {
    "nothing but a plan": ([], False, None, False, Standing.PLANNED),
    "planned, and told so": ([told("planned")], False, 75, False, Standing.PLANNED),
    "a process holds it": ([told("planned")], True, None, False, Standing.PREPARING),
    "sending": ([STARTED, told("progress", 2)], True, None, True, Standing.SENDING),
    "waiting for the API": ([STARTED, told("waiting", 2)], True, None, True, Standing.SENDING),
    "paused": ([STARTED, told("paused", 2, paused=True)], True, None, True, Standing.PAUSED),
    "paused for long": ([told("progress", 2, paused=True), told("waiting", 3)], True, None, True, Standing.PAUSED),
    "let go": ([told("paused", 2, paused=True), told("going", 3, paused=False)], True, None, True, Standing.SENDING),
    "killed": ([STARTED, told("progress", 2)], False, None, True, Standing.INTERRUPTED),
    "killed in a pause": ([STARTED, told("paused", 2, paused=True)], False, None, True, Standing.INTERRUPTED),
    "finished": ([STARTED, told("finished", 2, exit_code=0)], False, None, True, Standing.FINISHED),
    "finished, some rejected": ([STARTED, told("finished", 2, exit_code=3)], False, None, True, Standing.REJECTED),
    "finished, some in doubt": ([STARTED, told("finished", 2, exit_code=4)], False, None, True, Standing.IN_DOUBT),
    "halted": ([STARTED, told("halted", 2, exit_code=5)], False, None, True, Standing.HALTED),
    "stopped": ([STARTED, told("stopped", 2, exit_code=75)], False, None, True, Standing.STOPPED),
    "the key was refused": ([told("stopped", 2, exit_code=77)], False, None, True, Standing.STOPPED),
    "a code nobody knows": ([told("stopped", 2, exit_code=99)], False, None, True, Standing.STOPPED),
    "a code that is none": ([told("stopped", 2, exit_code=[])], False, None, True, Standing.STOPPED),
    "finished and being verified": ([told("finished", 2, exit_code=0)], True, None, True, Standing.FINISHED),
    "no events, an old summary": ([], False, 3, True, Standing.REJECTED),
    "resolved since": ([told("finished", 2, exit_code=4)], False, 0, True, Standing.FINISHED),
    "killed, and counted since": ([STARTED, told("progress", 2)], False, 75, True, Standing.STOPPED),
    "an extension of a finished run": (
        [told("finished", 1, exit_code=0), told("planned", 2)], False, None, True, Standing.STOPPED,
    ),
    "an extension that is counted": (
        [told("finished", 1, exit_code=0), told("planned", 2)], False, 75, True, Standing.STOPPED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "in_use", "code", "begun", "where"), STANDINGS.values(), ids=STANDINGS)
def test_where_a_run_stands(
    events: Sequence[Any], where: Standing, *, in_use: bool, code: int | None, begun: bool
) -> None:
    assert standing(events, in_use=in_use, code=code, begun=begun) is where


def test_every_standing_has_a_word_and_nothing_else_has() -> None:
    assert set(LABELS) == set(Standing)
    assert all(each.word for each in LABELS.values())
    assert set(NEXT) < set(Standing)
    assert not [each for each in NEXT if each.works]


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ({"pending": 1, "accepted": 2, "rejected": 3, "excluded": 4, "in_doubt": 5}, (1, 2, 3, 4, 5)),
        ({"pending": 1, "accepted": 2, "rejected": 3, "excluded": 4}, None),
        ({"pending": 1, "accepted": "2", "rejected": 3, "excluded": 4, "in_doubt": 5}, None),
        ({"pending": -1, "accepted": 2, "rejected": 3, "excluded": 4, "in_doubt": 5}, None),
        ({"pending": True, "accepted": 2, "rejected": 3, "excluded": 4, "in_doubt": 5}, None),
    ],
)
def test_counts_are_whole_or_none(words: dict[str, Any], counts: tuple[int, ...] | None) -> None:
    found = counts_of(words)
    if counts is None:
        assert found is None
    else:
        pending, accepted, rejected, excluded, in_doubt = counts
        assert found == Tally(
            pending=pending, accepted=accepted, rejected=rejected, excluded=excluded, in_doubt=in_doubt
        )


def test_speed_is_told_from_one_line_to_the_next_and_not_across_launches() -> None:
    events = [
        line(0, requests=0, event="started"),
        line(5, requests=10, settled=50),
        told("waiting", 6),
        line(15, requests=20, settled=60),
        line(100, requests=2, settled=60, event="started"),
        line(110, requests=12, settled=160, limit=None),
    ]
    found = stretches(events, since_s=0)
    assert [(each.start_s - T0, each.end_s - T0, each.limit) for each in found] == [
        (0, 5, 60), (5, 15, 60), (100, 110, None),
    ]  # fmt: skip
    assert [each.requests_per_minute for each in found] == [120, 60, 60]
    assert [each.deliveries_per_minute for each in found] == [600, 60, 600]
    assert stretches(events, since_s=T0 + 15) == found[2:]
    assert sent_between(found, T0, T0 + 15) == pytest.approx(20)
    assert sent_between(found, T0 + 10, T0 + 105) == pytest.approx(10)
    assert sent_between([], T0, T0 + 60) == 0


def test_lines_that_go_backwards_or_say_too_little_are_no_speed() -> None:
    assert stretches([line(5, requests=5), line(5, requests=9), line(3, requests=20)], since_s=0) == ()
    assert stretches([told("started"), told("progress", 5)], since_s=0) == ()
    (only,) = stretches([line(0, requests=9), line(60, requests=3)], since_s=0)
    assert only.requests_per_minute == 0


def test_the_time_left_is_that_of_the_last_minute() -> None:
    events = [line(0, requests=0), line(60, requests=60, settled=600), line(120, requests=61, settled=620)]
    assert deliveries_lately(stretches(events, since_s=0)) == pytest.approx(20)
    assert deliveries_lately(()) == 0
    assert seconds_left(Tally(pending=40), 20) == 120
    assert seconds_left(Tally(pending=40), 0) is None
    assert seconds_left(Tally(accepted=40), 0) == 0


def steady(per_minute: float, *, until_s: int, limit: int | None = 60) -> list[Stretch]:
    return [
        Stretch(
            start_s=T0 + at,
            end_s=T0 + at + 5,
            requests_per_minute=per_minute,
            deliveries_per_minute=per_minute,
            limit=limit,
        )
        for at in range(0, until_s, 5)
    ]


def test_the_picture_rises_for_a_minute_and_then_shows_what_left_in_each() -> None:
    picture = draw(steady(60, until_s=120), end_s=T0 + 120, width=1040, name="wide")
    points = re.search(r'<path class="area" d="([^"]+)"', picture)
    assert points is not None
    heights = [float(y) for y in re.findall(r"L[\d.]+ ([\d.]+)", points[1])]
    floor, top = 174.0, 14.0
    assert heights[0] == floor
    assert heights[-1] == min(heights) == pytest.approx(floor - 60 / 80 * (floor - top), abs=0.1)
    assert heights == sorted(heights, reverse=True)
    assert picture.count('<line class="limit"') == 1
    assert "Requests in a minute, over 2 minutes" in picture
    assert 'aria-labelledby="wide-t wide-d"' in picture


@pytest.mark.parametrize(("age_s", "span"), [(30, 2), (120, 2), (130, 5), (301, 15), (5000, 15)])
def test_the_picture_is_as_long_as_the_run_is_old(age_s: int, span: int) -> None:
    picture = draw(steady(60, until_s=age_s), end_s=T0 + age_s, width=340, name="narrow")
    assert f"over {span} minutes" in picture
    xs = [float(x) for x in re.findall(r"[LM]([\d.]+) ", picture)]
    assert 48 <= min(xs) <= max(xs) <= 332


def test_a_limit_that_changes_is_two_lines_and_none_is_none() -> None:
    found = [*steady(60, until_s=30), *[each for each in steady(60, until_s=60, limit=30) if each.start_s >= T0 + 30]]
    assert draw(found, end_s=T0 + 60, width=340, name="n").count('class="limit"') == 2
    assert "limit" not in draw(steady(60, until_s=30, limit=None), end_s=T0 + 30, width=340, name="n")
    assert "path" not in draw([], end_s=T0, width=340, name="n")


def test_the_table_has_a_row_for_each_minute_newest_first() -> None:
    rows = minutes(steady(60, until_s=150), end_s=T0 + 150)
    assert [(each.start_s - T0, each.requests, each.limit) for each in rows] == [
        (120, 30, 60),
        (60, 60, 60),
        (0, 60, 60),
    ]
    assert len(minutes(steady(60, until_s=5000), end_s=T0 + 5000)) == 15


@pytest.mark.parametrize(
    ("largest", "top"), [(0, 4), (4, 4), (5, 8), (9, 12), (13, 20), (41, 80), (81, 120), (200, 200), (399_000, 400_000)]
)
def test_the_axis_ends_at_a_round_number(largest: int, top: int) -> None:
    assert scale(largest) == top


SENTENCES = {
    "Planned: 1,200 recipients, 12 rows excluded": told("planned", recipients=1200, excluded=12),
    "Started: 1,200 to send": told("started", pending=1200),
    "Waiting: the API asks for fewer requests (BUSINESS_002)": told("waiting", code="BUSINESS_002", times=1),
    "Waiting: INTERNAL_001, 30 times": told("waiting", code="INTERNAL_001", times=30),
    "Paused": told("paused"),
    "Goes on": told("going"),
    "Limit: 50 requests a minute": told("rate", limit=50),
    "Finished with exit code 0": told("finished", exit_code=0),
    "Halted with exit code 5: too many": told("halted", exit_code=5, why="too many"),
    "Stopped with exit code ?": told("stopped"),
    "Started: ? to send": told("started", pending="many"),
    "a word of a later version": told("a word of a later version"),
}


@pytest.mark.parametrize(("words", "event"), SENTENCES.items(), ids=SENTENCES)
def test_an_event_in_words(words: str, event: dict[str, Any]) -> None:
    assert sentence(event) == words


def test_times_and_shares_in_words() -> None:
    assert [ago(each) for each in (0, 59, 60, 3599, 3600, 100_000, 200_000)] == [
        "just now", "just now", "1 minute ago", "60 minutes ago", "1 hour ago", "28 hours ago", "2 days ago",
    ]  # fmt: skip
    assert [duration(each) for each in (5, 60, 5000, 6000, 200_000)] == [
        "less than a minute", "about 1 min", "about 83 min", "about 1.7 h", "about 2 days",
    ]  # fmt: skip
    assert [percent(part, 100_000) for part in (0, 50_000, 99_999, 100_000)] == ["0.0 %", "50.0 %", "99.9 %", "100 %"]
    assert percent(0, 0) == "100 %"
    assert moment(T0, now_s=T0 + 60) == "09:07:00"
    assert moment(T0, now_s=T0 + 86_400) == "2025-12-01 09:07:00"
