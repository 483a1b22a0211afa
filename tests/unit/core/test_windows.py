from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.windows import Window, WindowError, is_open, opening, parse_window
from broadcaster.core.zones import MINUTE_US, zoned

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kolkata",
    "Pacific/Auckland", "America/St_Johns", "Pacific/Apia", "UTC-3",
]  # fmt: skip
WINDOWS = [
    "Mon-Fri 09:00-20:00",
    "09:00-20:00",
    "Mon-Fri 09:00-12:00,14:00-18:00, Sat 10:00-14:00",
    "Fri-Mon 22:00-02:00",
    "Sun 00:00-24:00",
    "Sun 02:15-03:05",  # the hour that clocks leave out in spring
    "Sun 01:10-01:20",
    "Tue 00:00-00:01",
    "Mon-Sun 00:00-24:00",
]


def at(text: str, zone: tzinfo = UTC) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * 1_000_000


def minutes(*hours: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((begin * 60, end * 60) for begin, end in hours)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        pytest.param("Mon 09:00-20:00", [(9, 20)], id="one day"),
        pytest.param("mon tue 09:00-20:00", [(9, 20), (33, 44)], id="two days, in lower case"),
        pytest.param("Mon 09:00-12:00,14:00-18:00", [(9, 12), (14, 18)], id="two spans of a day"),
        pytest.param("Mon 09:00-12:00,Tue 14:00-18:00", [(9, 12), (38, 42)], id="two entries"),
        pytest.param("Mon 09:00-12:00,11:00-13:00", [(9, 13)], id="spans that overlap are one"),
        pytest.param("Mon 22:00-02:00", [(22, 26)], id="over midnight"),
        pytest.param("Sun 22:00-02:00", [(0, 2), (166, 168)], id="over the end of the week"),
        pytest.param("Sat-Mon 00:00-24:00", [(0, 24), (120, 168)], id="days over the end of the week"),
        pytest.param("00:00-24:00", [(0, 168)], id="always"),
        pytest.param(" Mon  9:00 - 10:00 ", [(9, 10)], id="spaces and one digit"),
    ],
)
def test_a_window_is_hours_of_the_week(text: str, hours: list[tuple[int, int]]) -> None:
    assert parse_window(text).spans == minutes(*hours)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Mon-Fri", "'Mon-Fri' has no hours at its end"),
        ("Mon-Fri 9-20", "has no hours at its end"),
        ("Mon 09:00-10:00,", "'' has no hours at its end"),
        ("09:00-10:00 Mon", "has no hours at its end"),
        ("Moon 09:00-10:00", "'Moon' is no day"),
        ("Mon-Tue-Wed 09:00-10:00", "'Mon-Tue-Wed' is no day"),
        ("Mon 09:00-09:00", "begins when it ends"),
        ("Mon 24:00-09:00", "24:00 is no time of the day"),
        ("Mon 09:00-24:01", "24:01 is no time of the day"),
        ("Mon 09:61-10:00", "09:61 is no time of the day"),
    ],
)
def test_what_is_no_window_is_answered_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(WindowError, match=why):
        parse_window(text)


@pytest.mark.parametrize(
    ("window", "zones", "since", "expected"),
    [
        pytest.param("Mon-Fri 09:00-20:00", ["UTC"], "2026-12-01T12:00", "2026-12-01T12:00", id="open: now"),
        pytest.param("Mon-Fri 09:00-20:00", ["UTC"], "2026-12-01T20:00", "2026-12-02T09:00", id="the end is not in it"),
        pytest.param("Mon-Fri 09:00-20:00", ["UTC"], "2026-12-04T21:00", "2026-12-07T09:00", id="after the weekend"),
        pytest.param(
            "09:00-20:00", ["Europe/Berlin", "America/New_York"], "2026-12-01T09:00", "2026-12-01T14:00", id="in both"
        ),
        pytest.param(
            "09:00-11:00", ["Europe/Berlin", "America/New_York"], "2026-12-01T09:00", None, id="never in both"
        ),
        pytest.param(
            "Sun 02:15-03:05",
            ["Europe/Berlin"],
            "2026-03-28T12:00",
            "2026-03-29T01:00",
            id="opens in the hour left out",
        ),
        pytest.param(
            "Sun 02:30-02:45", ["Europe/Berlin"], "2026-03-28T12:00", "2026-04-05T00:30", id="is in the hour left out"
        ),
        pytest.param(
            "Sun 02:30-02:45", ["Europe/Berlin"], "2026-10-25T00:45", "2026-10-25T01:30", id="opens twice in a night"
        ),
    ],
)
def test_the_next_opening_suits_all_zones(window: str, zones: list[str], since: str, expected: str | None) -> None:
    found = opening(parse_window(window), at(since), [zoned(each) for each in zones])
    assert found == (None if expected is None else at(expected))


moments = st.integers(0, 400 * 24 * 60).map(lambda minute: at("2026-01-01T00:00") + minute * MINUTE_US)


@given(st.sampled_from(WINDOWS), st.sampled_from(ZONES), moments)
def test_an_opening_is_the_first_minute_that_the_clock_of_the_zone_has_in_the_window(
    text: str, name: str, since: int
) -> None:
    window, zone = parse_window(text), zoned(name)

    found = opening(window, since, [zone])

    assert found is not None
    assert found >= since
    inside = _minutes(window)
    assert _minute(datetime.fromtimestamp(found / 1e6, tz=zone)) in inside
    if found > since:  # nothing before it: looked at minute by minute, but no farther back than a night with a change
        earlier = max(since, found - 8 * 60 * MINUTE_US)
        before = range(earlier + (-earlier) % MINUTE_US, found, MINUTE_US)
        assert not any(_minute(datetime.fromtimestamp(each / 1e6, tz=zone)) in inside for each in before)


@given(
    st.sampled_from(WINDOWS), st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True), moments, moments
)
def test_openings_never_go_back_and_suit_every_zone(text: str, names: list[str], one: int, other: int) -> None:
    window, zones = parse_window(text), [zoned(each) for each in names]
    earlier, later = sorted((one, other))

    first, second = opening(window, earlier, zones), opening(window, later, zones)

    for found, since in ((first, earlier), (second, later)):
        assert found is None or (found >= since and is_open(window, found, zones))
    if first is not None and second is not None:
        assert first <= second


def _minute(shown: datetime) -> int:
    monday = shown.replace(hour=0, minute=0) - timedelta(days=shown.weekday())
    return (shown.date() - monday.date()).days * 24 * 60 + shown.hour * 60 + shown.minute


def _minutes(window: Window) -> set[int]:
    return {minute for begin, end in window.spans for minute in range(begin, end)}
