"""What the API still holds can be called off: paced, resumable, and told honestly."""

import re
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from support.cli import KEY, NOTICE, Cli, embedded_ledger, wait_until
from support.simulator import Simulator

RUN = "runs/acceptance"
_LAST = {"on": "POST /v3/messages/{id}/cancel", "nth": list(range(25, 41)), "do": "slow"}
"""Of forty, those that are still on their way when more are done than are under way at once."""


def hold(cli: Cli, count: int, **by: int) -> None:
    """Hand messages over that are released so much later."""
    cli.people(count)
    at = (datetime.now(tz=UTC) + timedelta(**by)).isoformat(timespec="seconds")
    cli.job(limits={"batch_size": 10, "requests_per_minute": 0}, schedule={"send_at": at})
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr


def states(sim: Simulator) -> dict[str, int]:
    return dict(Counter(each["status"] for each in sim.messages()))


def cancels(sim: Simulator) -> list[str]:
    return [each["path"] for each in sim.requests() if each["path"].endswith("/cancel")]


def test_everything_that_is_held_is_cancelled_once(cli: Cli, sim: Simulator) -> None:
    hold(cli, 25, hours=2)

    ended = cli("cancel", RUN, "--yes", "--json")

    assert ended.code == 0, ended.stderr
    assert "25 messages are held, the first is released" in ended.stderr
    assert "25 of them can be reached before their release" in ended.stderr
    assert "25 cancelled · 0 too late · 0 failed" in ended.stderr
    assert ended.json == {
        "held": 25, "reachable": 25, "released": 0, "cancelled": 25, "too_late": 0, "failed": 0, "left": 0,
        "pending": 0, "in_doubt": 0, "ended_by": None,
    }  # fmt: skip
    assert states(sim) == {"CANCELLED": 25}
    assert {(row["status"], row["delivery_status"]) for row in cli.manifest()} == {("accepted", "cancelled")}
    assert cli("verify", RUN).code == 0
    again = cli("cancel", RUN, "--yes")
    assert again.code == 0
    assert "there is nothing to cancel" in again.stderr
    assert len(cancels(sim)) == 25


def test_who_is_killed_halfway_goes_on_with_what_is_left(cli: Cli, sim: Simulator) -> None:
    hold(cli, 40, hours=2)
    sim.set_faults([{**_LAST, "delay_s": 30.0}])
    started = cli.start("cancel", RUN, "--yes")
    wait_until(lambda: states(sim).get("CANCELLED", 0) >= 20, what="more than are under way at once")
    started.signal(signal.SIGKILL)
    started.result()
    sim.set_faults([])
    done = states(sim)["CANCELLED"]
    assert done < 40

    ended = cli("cancel", RUN, "--yes", "--json")

    assert ended.code == 0, ended.stderr
    assert 40 - done <= ended.json["held"] < 40  # what was written down is not asked for again
    assert states(sim) == {"CANCELLED": 40}


def test_ctrl_c_keeps_what_was_cancelled(cli: Cli, sim: Simulator) -> None:
    hold(cli, 40, hours=2)
    sim.set_faults([{**_LAST, "delay_s": 2.0}])
    started = cli.start("cancel", RUN, "--yes")
    wait_until(lambda: states(sim).get("CANCELLED", 0) >= 20, what="more than are under way at once")
    started.signal(signal.SIGINT)
    ended = started.result()
    assert ended.code == 75
    assert "were not asked for. To go on: broadcaster cancel" in ended.stderr
    assert Counter(row["delivery_status"] for row in cli.manifest())["cancelled"] >= 20 - 8  # under way


def test_what_was_released_is_too_late_and_said_so(cli: Cli) -> None:
    with Simulator(key=KEY, lifecycle_speed=4000) as fast:  # two hours pass in two seconds
        cli.use(fast)
        hold(cli, 10, hours=2)
        wait_until(lambda: _released(fast), what="the release")
        ended = cli("cancel", RUN, "--yes", "--json")
    assert ended.code == 3
    assert ended.json["too_late"] == 10
    assert "10 were released before they could be cancelled: they go out" in ended.stderr


def _released(sim: Simulator) -> bool:
    ids = [each["message_id"] for each in sim.messages()]
    return all(sim.call("GET", f"/v3/messages/{each}").json["data"]["status"] != "SCHEDULED" for each in ids)


def test_what_nobody_can_reach_in_time_is_said_beforehand(cli: Cli, sim: Simulator) -> None:
    cli.people(60)
    at = (datetime.now(tz=UTC) + timedelta(minutes=2)).isoformat(timespec="seconds")
    cli.job("slow.toml", campaign="slow", limits={"requests_per_minute": 30}, schedule={"send_at": at})
    assert cli("run", "slow.toml", "--yes").code == 0
    ended = cli("cancel", "runs/slow")
    assert ended.code == 2  # nobody can be asked
    told = re.search(r"(\d+) of them can be reached before their release", ended.stderr)
    assert told is not None
    assert 20 <= int(told[1]) <= 31  # a minute of thirty, and the first at once
    assert "add --yes to cancel without asking" in ended.stderr
    assert not cancels(sim)
    assert sim.messages()


def test_messages_without_a_send_time_are_not_held(cli: Cli, sim: Simulator) -> None:
    cli.people(5)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    asked = len(sim.requests())
    ended = cli("cancel", RUN, "--yes")
    assert ended.code == 0
    assert "there is nothing to cancel" in ended.stderr
    assert len(sim.requests()) == asked


def test_what_is_held_for_quiet_hours_can_be_cancelled_once_a_receipt_says_so(cli: Cli) -> None:
    now = datetime.now(tz=UTC)
    quiet = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    with Simulator(key=KEY, quiet_hours=[quiet]) as sim:
        cli.use(sim)
        cli.people(5)
        cli.job()
        assert cli("run", "job.toml", "--yes").code == 0
        assert cli("reconcile", RUN).code == 0
        ended = cli("cancel", RUN, "--yes")
        assert ended.code == 0, ended.stderr
        assert states(sim) == {"CANCELLED": 5}


def test_a_run_that_is_still_being_sent_has_to_be_stopped_first(cli: Cli, sim: Simulator) -> None:
    cli.people(40)
    at = (datetime.now(tz=UTC) + timedelta(hours=2)).isoformat(timespec="seconds")
    cli.job(limits={"batch_size": 1, "requests_per_minute": 120}, schedule={"send_at": at})
    running = cli.start("run", "job.toml", "--yes")
    wait_until(sim.messages, what="the first message")
    ended = cli("cancel", RUN, "--yes")
    running.signal(signal.SIGINT)
    running.result()
    assert ended.code == 75
    assert "Stop it first" in ended.stderr
    assert not cancels(sim)
    after = cli("cancel", RUN, "--yes")
    assert after.code == 0
    assert "deliveries were never handed over: 'broadcaster resume' would" in after.stderr


def test_another_accounts_key_cancels_nothing(cli: Cli, sim: Simulator) -> None:
    hold(cli, 5, hours=2)
    with Simulator(key=KEY) as other:
        cli.use(other)
        ended = cli("cancel", RUN, "--yes")
        assert ended.code == 78
        assert not cancels(other)
    assert "CANCELLED" not in states(sim)


def test_a_staged_broadcast_is_checked_and_called_off_before_any_phone_rings(cli: Cli) -> None:
    cli.people(30)
    at = (datetime.now(tz=UTC) + timedelta(hours=2)).isoformat(timespec="seconds")
    cli.job(schedule={"send_at": at, "staged": True})
    ended = cli("run", "job.toml", "--simulate", "--yes")
    assert ended.code == 0, ended.stderr
    assert "everything is handed over 30 minutes or more before the first release" in ended.stderr
    assert "Nothing is released before" in ended.stderr
    run = "runs/acceptance.simulated"
    assert cli("verify", run).code == 0
    assert cli("cancel", run, "--yes").code == 0
    assert {each["status"] for each in embedded_ledger(cli.home / run)} == {"CANCELLED"}


def test_surplus_copies_of_a_staged_broadcast_are_cancelled_and_nothing_else(cli: Cli, sim: Simulator) -> None:
    hold(cli, 12, hours=2)
    mine = {each["message_id"] for each in sim.messages()}
    twice = [each["recipient"] for each in sim.messages()[:3]]
    at = (datetime.now(tz=UTC) + timedelta(hours=2)).isoformat(timespec="seconds")
    copy = {"to": [*twice, "+13055550190"], "channel": ["sms"], "template": {"id": NOTICE}, "scheduled_at": at}
    assert sim.call("POST", "/v3/messages", copy).status == 202  # nobody here knows of it

    ended = cli("cancel", RUN, "--surplus", "--yes", "--json")

    assert ended.code == 0, ended.stderr
    assert "3 held messages are surplus copies" in ended.stderr
    assert ended.json["cancelled"] == 3
    gone = {each["message_id"] for each in sim.messages() if each["status"] == "CANCELLED"}
    assert len(gone) == 3
    assert not gone & mine
    assert cli("verify", RUN).code == 0
    assert "No held message is a surplus copy" in cli("cancel", RUN, "--surplus", "--yes").stderr


def test_copies_that_another_run_here_explains_are_no_surplus(cli: Cli, sim: Simulator) -> None:
    hold(cli, 5, hours=2)
    at = (datetime.now(tz=UTC) + timedelta(hours=2)).isoformat(timespec="seconds")
    cli.job("other.toml", campaign="other", schedule={"send_at": at})
    assert cli("run", "other.toml", "--yes").code == 0  # the same people, template and channel
    ended = cli("cancel", RUN, "--surplus", "--yes")
    assert ended.code == 0
    assert "No held message is a surplus copy" in ended.stderr
    assert not cancels(sim)


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_a_directory_without_a_run_is_named(cli: Cli, where: str) -> None:
    ended = cli("cancel", where, "--yes")
    assert ended.code == 2
    assert where in ended.stderr
