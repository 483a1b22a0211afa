from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.timetable import LATEST_US, SOONEST_US, Hold, Retimed, Stale, Timetable
from broadcaster.core.windows import is_open, parse_window
from broadcaster.core.zones import DAY_US, MINUTE_US, read_us, write, zoned

WINDOW = parse_window("Mon-Fri 09:00-20:00")
BERLIN = ("Europe/Berlin",)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("table", "send_at", "zones", "now", "expected"),
    [
        pytest.param({}, None, (), "2026-12-01T12:00", None, id="no time: as it is"),
        pytest.param({}, "2026-12-01T13:00:00Z", (), "2026-12-01T12:00", None, id="well ahead: as it is"),
        pytest.param({}, "2026-12-01T11:00:00Z", (), "2026-12-01T12:00", Retimed(None), id="passed: at once"),
        pytest.param(
            {},
            "2026-12-01T12:00:30Z",
            (),
            "2026-12-01T12:00",
            Retimed("2026-12-01T12:02:00Z"),
            id="too near: not early",
        ),
        pytest.param(
            {"window": WINDOW}, "2026-12-01T08:00:00Z", BERLIN, "2026-12-01T12:00", Retimed(None), id="passed, and open"
        ),
        pytest.param(
            {"window": WINDOW},
            "2026-12-01T08:00:00Z",
            BERLIN,
            "2026-12-01T19:30",
            Retimed("2026-12-02T09:00:00+01:00"),
            id="passed, and shut",
        ),
        pytest.param(
            {"window": WINDOW},
            None,
            BERLIN,
            "2026-12-04T19:30",
            Retimed("2026-12-07T09:00:00+01:00"),
            id="at once, but it shut meanwhile",
        ),
        pytest.param(
            {"window": WINDOW, "not_after_us": at("2026-12-02T00:00")},
            "2026-12-01T08:00:00Z",
            BERLIN,
            "2026-12-01T19:30",
            Stale(),
            id="opens after the end",
        ),
        pytest.param(
            {"not_after_us": at("2026-12-01T12:00")}, "2026-12-01T13:00:00Z", (), "2026-12-01T12:00", Stale(), id="over"
        ),
        pytest.param(
            {"window": parse_window("09:00-11:00")},
            "2026-12-01T08:00:00Z",
            ("Europe/Berlin", "Asia/Tokyo"),
            "2026-12-01T12:00",
            Stale(),
            id="no opening suits all",
        ),
        pytest.param(
            {"ahead_us": 30 * MINUTE_US},
            "2026-12-01T11:00:00Z",
            (),
            "2026-12-01T12:00",
            Retimed("2026-12-01T12:30:00Z"),
            id="staged: never at once",
        ),
        pytest.param(
            {"window": WINDOW, "hold": Hold.RUN}, None, (), "2026-12-05T12:00", None, id="the run waits itself"
        ),
    ],
)
def test_a_batch_goes_as_it_is_or_at_the_next_time_that_suits_or_never(
    table: dict[str, object], send_at: str | None, zones: tuple[str, ...], now: str, expected: object
) -> None:
    assert Timetable(**table).due(send_at, zones, now_us=at(now)) == expected  # type: ignore[arg-type]  # a table


@pytest.mark.parametrize(
    ("hold", "now", "expected"),
    [
        (Hold.RUN, "2026-12-01T12:00", None),
        (Hold.RUN, "2026-12-04T19:30", "2026-12-07T08:00"),
        (Hold.API, "2026-12-04T19:30", None),
    ],
)
def test_a_run_waits_for_its_own_window_only(hold: Hold, now: str, expected: str | None) -> None:
    table = Timetable(window=WINDOW, zone="Europe/Berlin", hold=hold)
    assert table.shut_until_us(at(now)) == (None if expected is None else at(expected))


START = at("2026-10-01T00:00")
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
moments = st.integers(0, 60 * DAY_US // 1_000_000).map(lambda second: START + second * 1_000_000)


@given(
    st.none() | moments,
    st.lists(st.sampled_from(ZONES), max_size=2, unique=True),
    moments,
    st.none() | moments,
    st.booleans(),
)
def test_no_batch_ever_goes_early_outside_its_window_or_after_the_end(
    asked: int | None,
    zones: list[str],
    now: int,
    end: int | None,
    has_window: bool,  # noqa: FBT001 - drawn
) -> None:
    window = WINDOW if has_window else None
    table = Timetable(window=window, not_after_us=end)
    send_at = None if asked is None else write(asked, UTC)

    due = table.due(send_at, zones, now_us=now)

    places = [zoned(each) for each in zones]
    match due:
        case None:  # as it is: the API takes the time, or it is at once and the window is open
            assert asked is None or asked >= now + SOONEST_US
            assert asked is not None or window is None or is_open(window, now, places)
        case Retimed(send_at=None):
            assert asked is None or asked <= now
            assert window is None or is_open(window, now, places)
            assert end is None or now < end
        case Retimed(send_at=str() as again):
            moment = read_us(again)
            assert now + SOONEST_US < moment < now + LATEST_US + 60 * DAY_US
            assert asked is None or moment >= asked
            assert window is None or is_open(window, moment, places)
            assert end is None or moment <= end
        case Stale():
            assert end is not None or has_window
