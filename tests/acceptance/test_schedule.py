"""Scheduled campaigns end to end: what the simulator's ledger says of send times, checked against zoneinfo."""

import json
import signal
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.calendar import moved
from support.cli import KEY, Cli, matches, once, restarted, sends, wait_until
from support.simulator import Simulator

RUN = "runs/acceptance"
CLOCKS = {  # number → the zone whose clock decides; a mobile or toll-free number has it from its own column
    "+14155550101": "America/Los_Angeles",
    "+13035550102": "America/Denver",
    "+13125550103": "America/Chicago",
    "+12125550104": "America/New_York",
    "+18085550105": "Pacific/Honolulu",
    "+19075550106": "America/Anchorage",
    "+442079460107": "Europe/London",
    "+14165550108": "Europe/Berlin",
    "+16045550109": "Asia/Kolkata",
    "+15145550110": "Australia/Lord_Howe",
    "+15875550111": "America/St_Johns",
    "+12045550112": "Pacific/Auckland",
}
NAMED = {number for number, zone in CLOCKS.items() if zone.startswith(("Europe/B", "Asia", "Aus", "Pacific/A"))}
NAMED |= {"+15875550111", "+19075550106"}


def people(cli: Cli) -> None:
    rows = [f"{number},{zone if number in NAMED else ''}" for number, zone in CLOCKS.items()]
    cli.write("people.csv", "\n".join(["phone,tz", *rows, ""]))


def scheduled(sim: Simulator) -> dict[str, datetime]:
    return {each["recipient"]: datetime.fromisoformat(each["scheduled_at"]) for each in sim.messages()}


def ahead(**by: int) -> str:
    return (datetime.now(tz=UTC) + timedelta(**by)).isoformat(timespec="seconds")


@pytest.mark.parametrize(
    ("begins", "day", "at"),
    [
        pytest.param("2026-10-23T12:00", "2026-10-25", "02:30", id="clocks go back in Europe: shown twice in Berlin"),
        pytest.param("2026-10-30T12:00", "2026-11-01", "01:30", id="clocks go back in America: shown twice in Denver"),
        pytest.param("2027-03-12T12:00", "2027-03-14", "02:30", id="clocks leap in America: never shown in New York"),
        pytest.param("2026-10-02T08:00", "2026-10-04", "02:15", id="clocks leap by half an hour on Lord Howe Island"),
    ],
)
def test_everybody_gets_it_when_their_own_clock_shows_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: str, day: str, at: str
) -> None:
    cli = Cli(tmp_path)
    then = datetime.fromisoformat(begins).replace(tzinfo=UTC)
    change = moved(tmp_path / "clocks", to=then, environment=cli.environment)
    cli.environment |= change
    for name, value in change.items():
        monkeypatch.setenv(name, value)  # for the simulator
    with Simulator(key=KEY, command=True) as sim:  # a process from nothing: the others share a clock that is not moved
        cli.use(sim)
        people(cli)
        cli.job(recipients={"timezone": "tz"}, schedule={"send_at_local": at})
        ended = cli("run", "job.toml", "--yes", "--date", day)
        assert ended.code == 0, ended.stderr
        found = scheduled(sim)
        matches(cli.home / RUN, sim.messages())
    for number, zone in CLOCKS.items():
        clock = datetime.combine(date.fromisoformat(day), time.fromisoformat(at), tzinfo=ZoneInfo(zone))
        assert found[number] == clock.astimezone(UTC), zone  # of a fold the first, of a gap the later
        assert found[number].astimezone(UTC) > then
    assert cli("verify", RUN).code == 0


def test_a_window_moves_what_would_come_at_night(cli: Cli, sim: Simulator) -> None:
    people(cli)
    day = (datetime.now(tz=UTC) + timedelta(days=3)).date()
    cli.job(
        recipients={"timezone": "tz"},
        schedule={"send_at": f"{day}T12:00:00+00:00", "window": "09:00-20:00"},
    )
    ended = cli("run", "job.toml", "--yes", "--json")
    assert ended.code == 0, ended.stderr
    found = scheduled(sim)
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    for number, zone in CLOCKS.items():
        shown = found[number].astimezone(ZoneInfo(zone))
        assert time(9) <= shown.time() < time(20)
        assert noon <= found[number] < noon + timedelta(days=1)
    assert found["+442079460107"] == noon  # the window is open there


def test_the_plan_shows_first_and_last_time_zones_and_whom_no_time_suits(cli: Cli) -> None:
    people(cli)
    cli.write("people.csv", (cli.home / "people.csv").read_text() + "+18005550113,\n+14155550114,Mars/Base\n")
    day = (datetime.now(tz=UTC) + timedelta(days=3)).date()
    cli.job(
        timezone="Europe/Berlin",
        recipients={"timezone": "tz"},
        schedule={"send_at_local": "10:00", "window": "Mon-Sun 09:00-20:00"},
    )
    ended = cli("run", "job.toml", "--dry-run", "--date", str(day), "--json")
    assert ended.code == 0, ended.stderr
    shown = ended.json["schedule"]
    assert datetime.fromisoformat(shown["first"]) == datetime.combine(
        day, time(10), tzinfo=ZoneInfo("Pacific/Auckland")
    )
    assert datetime.fromisoformat(shown["last"]) == datetime.combine(day, time(10), tzinfo=ZoneInfo("Pacific/Honolulu"))
    assert shown["by_zone"]["Europe/Berlin"] == 1
    assert shown["waiting"] == 1
    assert ended.json["excluded"] == {"invalid_timezone": 1, "unknown_zone": 1}
    for words in ("send time", "Europe/Berlin (", " UTC)", "time zones", "window", "1 row waits for a zone"):
        assert words in ended.stderr


def test_a_second_launch_makes_the_same_requests(cli: Cli, sim: Simulator) -> None:
    people(cli)
    day = (datetime.now(tz=UTC) + timedelta(days=2)).date()
    cli.job(recipients={"timezone": "tz"}, schedule={"send_at_local": "10:00"})
    assert cli("run", "job.toml", "--yes", "--date", str(day)).code == 0
    elsewhere = cli(
        "run", "job.toml", "--yes", "--date", str(day), "--run-dir", "elsewhere/run", env={"XDG_STATE_HOME": ""}
    )
    assert elsewhere.code == 0, elsewhere.stderr
    once(sim.messages())
    assert len(sim.messages()) == len(CLOCKS)


def test_a_time_that_has_passed_when_the_run_goes_on_is_made_up_for_at_once(cli: Cli, sim: Simulator) -> None:
    numbers = cli.people(6)
    cli.job(limits={"batch_size": 2}, schedule={"send_at_local": "00:00", "unknown_zone": "UTC"})
    planned = cli("plan", "job.toml", "--date", str((datetime.now(tz=UTC) - timedelta(days=1)).date()))
    assert planned.code == 0, planned.stderr
    assert "the time of 6 recipients has passed already: they are sent at once" in planned.stderr

    ended = cli("resume", RUN, "--yes")

    assert ended.code == 0, ended.stderr
    assert {each["recipient"]: each["scheduled_at"] for each in sim.messages()} == dict.fromkeys(numbers)
    matches(cli.home / RUN, sim.messages())
    assert cli("verify", RUN).code == 0
    assert cli("resume", RUN).code == 0
    once(sim.messages())


def test_killed_between_two_retimed_requests_nobody_gets_it_twice(cli: Cli, sim: Simulator) -> None:
    cli.people(40)
    cli.job(
        limits={"batch_size": 1, "requests_per_minute": 1200},
        schedule={"send_at_local": "00:00", "unknown_zone": "UTC"},
    )
    day = str((datetime.now(tz=UTC) - timedelta(days=1)).date())
    started = cli.start("run", "job.toml", "--yes", "--date", day)
    wait_until(lambda: len(sim.messages()) > 5, what="the first messages")
    started.signal(signal.SIGKILL)
    started.result()
    ended = cli("resume", RUN)
    assert ended.code == 0, ended.stderr
    once(sim.messages())
    assert len(sim.messages()) == 40
    assert cli("verify", RUN).code == 0


def test_a_stale_schedule_does_not_go_out(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(schedule={"not_after": ahead(seconds=-5)})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 5
    assert "has passed; nothing was planned" in ended.stderr
    assert not sim.requests()


def test_a_plan_that_became_stale_stays_pending_and_a_later_end_lets_it_go(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(schedule={"not_after": ahead(hours=1)})
    assert cli("plan", "job.toml").code == 0
    cli.job(schedule={"not_after": ahead(seconds=-5)})

    ended = cli("run", "job.toml", "--yes", "--json")

    assert ended.code == 5
    assert ended.json["stopped_by"] == "schedule_stale"
    assert ended.stderr.endswith("Or give it another campaign name\n"), "nobody has got it yet"
    assert cli.statuses() == {"pending": 6}
    assert not sends(sim)
    cli.job(schedule={"not_after": ahead(hours=1)})
    assert cli("run", "job.toml", "--yes").code == 0
    assert len(sim.messages()) == 6


def test_where_it_is_too_late_what_helps_is_named_and_not_resume(tmp_path: Path, sim: Simulator, cli: Cli) -> None:
    cli.people(2)
    cli.job(schedule={"not_after": ahead(hours=1)})
    assert cli("run", "job.toml", "--yes").code == 0
    cli.people(3)
    assert cli("plan", "job.toml", "--extend").code == 0
    afterwards = Cli(cli.home)  # without a launcher: its processes find their clocks moved
    afterwards.use(sim)
    by = timedelta(hours=2)
    later = moved(tmp_path / "clocks", to=datetime.now(tz=UTC) + by, environment=afterwards.environment)
    for command, code in ((("resume", RUN, "--yes"), 5), (("status", RUN), 0)):
        ended = afterwards(*command, env=later)
        assert ended.code == code, ended.stderr
        assert f"To go on: broadcaster resume {RUN}" not in ended.stderr
        assert "give the job a later schedule.not_after and run it again" in ended.stderr
        assert f"another campaign name, and name {RUN}/manifest.parquet in its recipients.suppress" in ended.stderr
    assert len(sim.messages()) == 2


@pytest.mark.parametrize(
    ("reused_key", "code", "status"), [("replay", 0, "accepted"), ("conflict", 4, "in_doubt")], ids=["older", "newer"]
)
def test_two_machines_that_put_it_at_two_other_times_message_nobody_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reused_key: str, code: int, status: str
) -> None:
    """One finds the window open, the other finds it shut; the API compares the bodies of a key, or does not."""
    hours = {"open": datetime(2026, 11, 30, 20, 30, tzinfo=UTC), "shut": datetime(2026, 12, 1, 2, 0, tzinfo=UTC)}
    for name, now in hours.items():
        user = Cli(tmp_path / name)  # without a launcher: its processes find their clocks moved
        user.home.mkdir()
        change = moved(tmp_path / f"clock-{name}", to=now, environment=user.environment)
        user.environment |= change
        for variable, value in change.items():
            monkeypatch.setenv(variable, value)  # for the simulator
        with Simulator(tmp_path / "sim.sqlite", key=KEY, command=True, reused_key=reused_key) as sim:
            user.use(sim)
            user.people(["+12125550120", "+12125550121"])
            schedule = {"send_at_local": "10:00", "window": "Mon-Fri 09:00-20:00"}
            user.job(schedule=schedule, timezone="America/New_York")
            ended = user("run", "job.toml", "--yes", "--date", "2026-11-30")
            assert ended.code == (0 if name == "open" else code), ended.stderr
            once(sim.messages())
            assert len(sim.messages()) == 2
    assert user.statuses() == {status: 2}
    assert user("verify", RUN).code == 0


def _hours(begin: int, end: int) -> str:
    """Return a window that begins and ends so many hours from now."""
    now = datetime.now(tz=UTC)
    return f"{now + timedelta(hours=begin):%H}:00-{now + timedelta(hours=end):%H}:00"


def test_while_the_window_is_shut_a_run_that_does_not_wait_says_when_to_come_back(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(schedule={"window": _hours(3, 4), "hold": "run"})
    ended = cli("run", "job.toml", "--yes", "--no-wait", "--json")
    assert ended.code == 75
    assert ended.json["stopped_by"] == "window_shut"
    opens = datetime.strptime(ended.json["come_back_at"], "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC)
    assert timedelta(hours=2) <= opens - datetime.now(tz=UTC) <= timedelta(hours=3)
    assert cli.statuses() == {"pending": 6}
    assert not sim.requests()


def test_a_run_that_waits_for_its_window_can_be_stopped(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(schedule={"window": _hours(3, 4), "hold": "run"})
    waiting = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: len(sim.requests()) >= 2, what="the look-ups")  # then it waits
    waiting.signal(signal.SIGINT)
    ended = waiting.result()
    assert ended.code == 75
    assert not sends(sim)


def test_an_open_window_does_not_hold_a_run_up(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(schedule={"window": "00:00-24:00", "hold": "run"})
    assert cli("run", "job.toml", "--yes").code == 0
    assert Counter(each["scheduled_at"] for each in sim.messages()) == {None: 6}


@pytest.mark.parametrize(
    ("schedule", "why"),
    [
        pytest.param({"send_at": ahead(days=31)}, "more than 30 days ahead", id="too far"),
        pytest.param({"send_at": ahead(seconds=-10)}, "has passed or is less than a minute ahead", id="passed"),
        pytest.param({"send_at": ahead(minutes=20), "staged": True}, "needs 30 minutes before its first", id="staged"),
    ],
)
def test_a_time_that_cannot_be_kept_is_refused_before_anything_is_kept(
    cli: Cli, idle: Simulator, schedule: dict[str, object], why: str
) -> None:
    cli.use(idle)
    cli.people(2)
    cli.job(schedule=schedule)
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 2
    assert why in ended.stderr
    assert not (cli.home / RUN / "plan.json").exists()
    assert not idle.requests()


def test_who_was_refused_is_retried_for_the_same_time(cli: Cli) -> None:
    numbers = cli.people(3)
    at = ahead(hours=2)
    with Simulator(key=KEY, refuse_number=[numbers[1]]) as strict:
        cli.use(strict)
        cli.job(schedule={"send_at": at})
        assert cli("run", "job.toml", "--yes").code == 3
        with restarted(cli, strict) as sim:
            ended = cli("retry-failed", RUN, "--yes")
            assert ended.code == 0, ended.stderr
            assert "send time" in ended.stderr
            assert set(scheduled(sim).values()) == {datetime.fromisoformat(at)}
            once(sim.messages())
    assert len(json.loads((cli.home / RUN / "plan-1.json").read_text())["times"]) == 1


def test_a_canary_goes_first_where_the_run_itself_waits_for_its_window(cli: Cli) -> None:
    with Simulator(key=KEY, lifecycle_speed=1000) as sim:
        cli.use(sim)
        people(cli)
        cli.job(schedule={"window": "Mon-Sun 00:00-24:00", "hold": "run"}, safety={"canary": 3, "canary_wait": "60s"})
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        assert "the run waits while it is shut" in ended.stderr
        assert "canary: 3 sent" in ended.stderr
        assert "the others are messaged now" in ended.stderr
        sizes = Counter(each["request_id"] for each in sim.messages())
        assert list(sizes.values()) == [3, len(CLOCKS) - 3]
        once(sim.messages())
