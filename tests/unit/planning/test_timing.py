"""When each row of a list goes out, checked against zoneinfo; and that the requests say so."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import freeze, make_job, make_plan, people, phone, write_csv

from broadcaster.app.prepare import Ask, prepare
from broadcaster.core.windows import is_open, parse_window
from broadcaster.core.words import Mode
from broadcaster.core.zones import DAY_US, MINUTE_US, read_us, zoned
from broadcaster.errors import BelongsToAnother, ConfigError, ListUnusable, ScheduleStale
from broadcaster.job.model import Limits, Schedule
from broadcaster.planning.slots import BAD_ZONE, LATE, NO_SLOT, NO_ZONE, Timed, ZoneNames
from broadcaster.planning.timing import Timing, check_staged, check_times, lead_us
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

DAY = date(2026, 12, 1)
SAN_FRANCISCO, NEW_YORK, TOLL_FREE = 14155550101, 12125550101, 18005550101
LONDON, GB_MOBILE, PERTH, AU_MOBILE = 442079460101, 447700900101, 61893770000, 61491570156


def timing(day: date = DAY, zone: str = "UTC", **schedule: Any) -> Timing:
    return Timing(schedule=Schedule.model_validate(schedule), day=day, zone=zone)


def times(timed: Timed) -> list[str | int]:
    return [timed.slots[code].send_at if code >= 0 else int(code) for code in timed.codes.tolist()]


def planned(numbers: list[int], **schedule: Any) -> list[str | int]:
    return times(timing(**schedule).slots(np.array(numbers, dtype=np.int64), None, None))


@pytest.mark.parametrize(
    ("number", "schedule", "expected"),
    [
        pytest.param(NEW_YORK, {"send_at": "2026-12-01T09:00+01:00"}, "2026-12-01T09:00:00+01:00", id="one moment"),
        pytest.param(NEW_YORK, {"send_at_local": "10:00"}, "2026-12-01T10:00:00-05:00", id="one zone"),
        pytest.param(GB_MOBILE, {"send_at_local": "10:00"}, "2026-12-01T10:00:00Z", id="four zones, one clock"),
        pytest.param(AU_MOBILE, {"send_at_local": "10:00"}, NO_ZONE, id="several clocks"),
        pytest.param(0, {"send_at_local": "10:00"}, NO_ZONE, id="no number"),
        pytest.param(
            AU_MOBILE,
            {"send_at_local": "10:00", "window": "08:00-20:00"},
            "2026-12-01T14:00:00+10:30",
            id="the last of them, in the window of all",
        ),
        pytest.param(
            AU_MOBILE, {"send_at_local": "10:00", "window": "10:00-12:00"}, NO_ZONE, id="no hour suits all of them"
        ),
        pytest.param(
            AU_MOBILE,
            {"send_at_local": "10:00", "unknown_zone": "strictest"},
            "2026-12-01T14:00:00+10:30",
            id="strictest",
        ),
        pytest.param(
            TOLL_FREE,
            {"send_at_local": "10:00", "unknown_zone": "strictest", "window": "10:00-11:00"},
            NO_ZONE,
            id="strictest has no time either",
        ),
        pytest.param(
            TOLL_FREE,
            {"send_at_local": "10:00", "unknown_zone": "UTC-5"},
            "2026-12-01T10:00:00-05:00",
            id="as if there",
        ),
        pytest.param(
            883510000000001,
            {"send_at_local": "10:00", "unknown_zone": "strictest"},
            "2026-12-01T10:00:00-12:00",
            id="world",
        ),
        pytest.param(NEW_YORK, {"window": "Mon-Fri 09:00-20:00"}, "2026-12-01T09:00:00-05:00", id="a window alone"),
        pytest.param(
            SAN_FRANCISCO,
            {"send_at": "2026-12-01T12:00Z", "window": "09:00-20:00"},
            "2026-12-01T09:00:00-08:00",
            id="a moment at night: the next opening",
        ),
        pytest.param(
            LONDON,
            {"send_at": "2026-12-01T12:00Z", "window": "09:00-20:00"},
            "2026-12-01T12:00:00Z",
            id="a moment in the window",
        ),
        pytest.param(
            SAN_FRANCISCO, {"send_at_local": "10:00", "not_after": "2026-12-01T17:59Z"}, LATE, id="after the end"
        ),
        pytest.param(NEW_YORK, {"window": "09:00-20:00", "hold": "run"}, NO_SLOT, id="the run waits"),
    ],
)
def test_a_number_goes_out_at_the_time_that_suits_all_zones_it_may_be_in(
    number: int, schedule: dict[str, str], expected: str | int
) -> None:
    assert planned([number], **schedule) == [expected]


@pytest.mark.parametrize(
    ("day", "number", "expected"),
    [
        pytest.param(date(2026, 3, 8), NEW_YORK, "2026-03-08T03:30:00-04:00", id="a gap: later"),
        pytest.param(date(2026, 11, 1), NEW_YORK, "2026-11-01T02:30:00-05:00", id="no fold at that time"),
        pytest.param(date(2026, 3, 29), LONDON, "2026-03-29T02:30:00+01:00", id="another day of change"),
    ],
)
def test_days_on_which_clocks_change_have_their_own_offset(day: date, number: int, expected: str) -> None:
    assert times(timing(day=day, send_at_local="02:30").slots(np.array([number]), None, None)) == [expected]


def test_a_column_of_the_list_knows_better_than_the_number() -> None:
    names = ZoneNames()
    own = names.number(pa.array(["", " Asia/Tokyo ", "Mars/Base", None, "UTC+2"], pa.string()))

    timed = timing(send_at_local="10:00").slots(np.full(5, NEW_YORK), own, names)

    assert times(timed) == [
        "2026-12-01T10:00:00-05:00",
        "2026-12-01T10:00:00+09:00",
        BAD_ZONE,
        "2026-12-01T10:00:00-05:00",
        "2026-12-01T10:00:00+02:00",
    ]
    assert timed.counts(np.array([0, 1, 3, 4]))[1] == {"America/New_York": 2, "Asia/Tokyo": 1, "UTC+2": 1}


REGIONS = {
    "+12125550101": "America/New_York",
    "+14155550101": "America/Los_Angeles",
    "+13125550101": "America/Chicago",
    "+13035550101": "America/Denver",
    "+442079460101": "Europe/London",
    "+4930123456": "Europe/Berlin",
    "+81312345678": "Asia/Tokyo",
    "+918012345678": "Asia/Calcutta",
    "+6493001234": "Pacific/Auckland",
}


@given(
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.times().map(lambda each: each.replace(second=0, microsecond=0)),
    st.sampled_from(["", "Mon-Fri 09:00-20:00", "10:00-11:00", "Fri 22:00-03:00"]),
)
def test_no_planned_time_is_early_or_outside_the_window_by_the_clock_of_the_recipient(
    day: date, clock: time, window: str
) -> None:
    schedule: dict[str, Any] = {"send_at_local": f"{clock:%H:%M}", **({"window": window} if window else {})}
    numbers = np.array([int(number[1:]) for number in REGIONS], dtype=np.int64)

    found = times(timing(day=day, **schedule).slots(numbers, None, None))

    for send_at, zone in zip(found, REGIONS.values(), strict=True):
        shown = datetime.fromisoformat(str(send_at)).astimezone(ZoneInfo(zone))
        asked = datetime.combine(day, clock, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        assert shown >= asked
        assert shown - asked < timedelta(days=8)
        if window:
            assert is_open(parse_window(window), read_us(str(send_at)), (zoned(zone),))
        else:
            assert shown == asked


# ---- a whole plan ---------------------------------------------------------------------------------------------------

AHEAD = (datetime.now(tz=UTC) + timedelta(days=2)).date()


def batches(plan: Plan) -> list[tuple[str | None, tuple[str, ...], tuple[str, ...]]]:
    return [(batch.send_at, batch.zones, batch.to) for batch in plan.read_batches()]


def test_people_of_one_time_share_requests_whose_bodies_and_keys_have_it(tmp_path: Path) -> None:
    rows = [{"id": f"c{at}", "mobile": phone(100 * (at % 3) + at)} for at in range(6)]  # +1 415, 212, 303

    (tmp_path / "local").mkdir()

    plan = make_plan(tmp_path, rows, {"schedule": {"send_at": f"{AHEAD}T09:00:00Z", "window": "00:00-24:00"}})
    local = make_plan(tmp_path / "local", rows, {"schedule": {"send_at_local": "10:00"}})

    assert [len(to) for _, _, to in batches(local)] == [2, 2, 2]
    assert len({send_at for send_at, _, _ in batches(local)}) == 3
    assert {zones for _, zones, _ in batches(local)} == {()}  # without a window another time suits at once
    assert {zones for _, zones, _ in batches(plan)} == {
        ("America/Los_Angeles",),
        ("America/New_York",),
        ("America/Denver",),
    }
    assert sum(plan.head.times.values()) == 6


def test_rows_that_have_no_time_are_left_out_with_the_reason(tmp_path: Path) -> None:
    rows = people(4, tz=["", "Mars/Base", "Europe/Paris", "Pacific/Honolulu"])
    rows.append({"id": "c9", "mobile": "+18005550199", "tz": ""})

    plan = _plan_on(tmp_path, rows, AHEAD, f"{AHEAD}T19:00:00Z")

    assert plan.excluded == {"invalid_timezone": 1, "unknown_zone": 1, "too_late": 1}
    assert plan.head.zones == {"America/Los_Angeles": 1, "Europe/Paris": 1}
    assert plan.head.day == AHEAD.isoformat()


@pytest.mark.parametrize(
    ("mobile", "end", "reason"),
    [
        pytest.param("+18005550199", "19:00", "unknown_zone", id="in nobody's zone"),
        pytest.param("+14155550101", "10:00", "too_late", id="after the end"),
    ],
)
def test_where_no_time_suits_anybody_nobody_is_messaged_at_once(
    tmp_path: Path, mobile: str, end: str, reason: str
) -> None:
    with pytest.raises(ListUnusable, match=rf"none of the 1 rows can be messaged \(1 {reason.replace('_', ' ')}\)"):
        _plan_on(tmp_path, [{"id": "a", "mobile": mobile, "tz": ""}], AHEAD, f"{AHEAD}T{end}:00Z")


def _plan_on(base: Path, rows: list[dict[str, str]], day: date, end: str) -> Plan:
    write_csv(base / "list.csv", rows)
    job = make_job(base, {"recipients": {"timezone": "tz"}, "schedule": {"send_at_local": "10:00", "not_after": end}})
    where = RunDir(base / "run")
    where.create()
    ask = Ask(mode=Mode.LIVE, run_dir=where.path, day=day)
    return prepare(job, ask, run_dir=where, campaign=job.campaign, profile=None).plan


def test_another_time_is_another_job_but_a_later_end_is_not(tmp_path: Path) -> None:
    write_csv(tmp_path / "list.csv", people(2))
    job = make_job(tmp_path, {"schedule": {"send_at": f"{AHEAD}T09:00:00Z"}})
    freeze(tmp_path, job)

    later_end = make_job(tmp_path, {"schedule": {"send_at": f"{AHEAD}T09:00:00Z", "not_after": f"{AHEAD}T10:00:00Z"}})
    assert not freeze(tmp_path, later_end).fresh
    for schedule in ({"send_at": f"{AHEAD}T09:30:00Z"}, {}):
        with pytest.raises(BelongsToAnother, match="schedule"):
            freeze(tmp_path, make_job(tmp_path, {"schedule": schedule}))


def test_a_plan_without_a_schedule_says_nothing_of_times(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    head = json.loads(plan.run_dir.head(0).read_bytes())
    assert (head["schedule"], head["times"], head["zones"], head["day"]) == ({}, {}, {}, None)
    assert "schedule" not in head["identity"]
    assert batches(plan) == [(None, (), (phone(0), phone(1)))]


def test_nothing_is_planned_after_the_end(tmp_path: Path) -> None:
    with pytest.raises(ScheduleStale, match="has passed; nothing was planned"):
        make_plan(tmp_path, people(2), {"schedule": {"not_after": "2026-01-01T00:00Z"}})
    assert not (tmp_path / "run" / "plan.json").exists()


NOW = 1_764_580_000_000_000


@pytest.mark.parametrize(
    ("send_at", "fresh", "why"),
    [
        pytest.param("2025-12-01T09:07:00Z", True, "has passed or is less than a minute ahead", id="too near"),
        pytest.param("2025-12-01T09:07:00Z", False, None, id="late, and begun: it is timed again"),
        pytest.param("2025-12-01T09:08:00Z", True, None, id="a minute ahead"),
        pytest.param("2025-12-31T09:00:00Z", True, None, id="thirty days ahead"),
        pytest.param("2025-12-31T09:08:00Z", False, "more than 30 days ahead", id="too far"),
    ],
)
def test_times_that_the_api_does_not_take_are_refused_before_anything_is_sent(
    send_at: str,
    fresh: bool,  # noqa: FBT001 - a column of the table
    why: str | None,
) -> None:
    def check() -> None:
        check_times([send_at], schedule=Schedule(send_at=send_at), now_us=NOW, fresh=fresh)

    if why is None:
        check()
    else:
        with pytest.raises(ConfigError, match=why):
            check()


@pytest.mark.parametrize(
    ("batches", "messages", "minutes"),
    [
        pytest.param(1, 60, 30, id="a small one: half an hour at least"),
        pytest.param(1000, 1_000_000, 60, id="five minutes to send, forty to cancel what a crash can leave"),
        pytest.param(100_000, 100_000, 520, id="one by one"),
    ],
)
def test_a_staged_broadcast_begins_so_long_before_its_release(batches: int, messages: int, minutes: int) -> None:
    lead = lead_us(batches, messages, Limits())
    assert lead == minutes * MINUTE_US
    release = ["2025-12-02T09:00:00Z", "2025-12-02T12:00:00Z"]
    check_staged(release, lead_us=lead, now_us=read_us(release[0]) - lead)
    with pytest.raises(ConfigError, match="is too near; 2025-12-02T09:05:00Z is not"):
        check_staged(release, lead_us=lead, now_us=read_us(release[0]) - lead + MINUTE_US)
    assert lead < DAY_US
