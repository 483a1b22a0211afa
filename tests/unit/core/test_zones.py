from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from broadcaster.core.zones import clockwork, local, moment_us, parse_instant, read_us, write, zone, zoned

BERLIN = zoned("Europe/Berlin")


def utc(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("name", "day", "at", "expected"),
    [
        pytest.param("Europe/Berlin", "2026-12-01", "10:00", "2026-12-01T09:00", id="winter"),
        pytest.param("Europe/Berlin", "2026-07-01", "10:00", "2026-07-01T08:00", id="summer"),
        pytest.param("Europe/Berlin", "2026-03-29", "02:30", "2026-03-29T01:30", id="a gap: later, at 03:30"),
        pytest.param("Europe/Berlin", "2026-10-25", "02:30", "2026-10-25T00:30", id="a fold: the first time"),
        pytest.param("America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30", id="a fold of another day"),
        pytest.param("Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:45", id="a gap of half an hour"),
        pytest.param("UTC+5:30", "2026-12-01", "10:00", "2026-12-01T04:30", id="a fixed offset"),
        pytest.param("UTC-3", "2026-12-01", "22:00", "2026-12-02T01:00", id="the next day in UTC"),
    ],
)
def test_a_local_time_is_the_moment_at_which_the_clock_shows_it(name: str, day: str, at: str, expected: str) -> None:
    assert moment_us(date.fromisoformat(day), time.fromisoformat(at), zoned(name)) == utc(expected)


@pytest.mark.parametrize("name", ["Mars/Base", "", "UTC+15", "UTC5", "../etc/passwd", "Europe", "utc+1"])
def test_what_is_no_zone_is_none(name: str) -> None:
    assert zone(name) is None


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("2026-12-01T09:00+01:00", True),
        ("2026-12-01T09:00:30Z", True),
        ("2026-12-01 09:00-05:00", True),
        ("2026-12-01T09:00", False),
        ("2026-12-01", False),
        ("tomorrow", False),
        ("2026-02-30T09:00Z", False),
    ],
)
def test_a_moment_needs_an_offset(text: str, is_one: bool) -> None:  # noqa: FBT001 - a column of the table
    assert (parse_instant(text) is not None) is is_one


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Europe/Berlin", "2026-12-01T10:00:00+01:00"),
        ("UTC", "2026-12-01T09:00:00Z"),
        ("Asia/Kolkata", "2026-12-01T14:30:00+05:30"),
    ],
)
def test_a_moment_is_written_with_the_offset_of_its_zone_and_read_again(name: str, written: str) -> None:
    moment = utc("2026-12-01T09:00")
    assert write(moment, zoned(name)) == written
    assert read_us(written) == moment
    assert local(moment, zoned(name)).tzinfo == ZoneInfo(name)


def test_clocks_are_told_apart_by_what_they_will_show_while_a_message_may_be_held() -> None:
    in_february, in_december = date(2026, 2, 20), date(2026, 12, 1)

    assert clockwork("America/Denver", in_december) == clockwork("America/Phoenix", in_december)
    assert clockwork("America/Denver", in_february) != clockwork("America/Phoenix", in_february)  # the 8th of March
    assert clockwork("Europe/London", in_december) == clockwork("Europe/Jersey", in_december)
