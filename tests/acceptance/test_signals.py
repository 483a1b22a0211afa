"""Stopping: the first signal finishes what is in flight, the second stops at once, and ``resume`` loses nobody."""

import os
import signal
import sqlite3

import pytest
from support.cli import Cli, Running, embedded_ledger, matches, once, restarted, sends, wait_until
from support.simulator import Simulator

PEOPLE = 9


def _slow(cli: Cli, sim: Simulator, *, delay_s: float) -> Running:
    """Start a run of nine requests, two at a time, the third and fourth of which are answered late."""
    cli.people(PEOPLE)
    cli.job(limits={"batch_size": 1, "concurrency": 2})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [3, 4], "do": "slow", "delay_s": delay_s}])
    started = cli.start("run", "job.toml", "--yes", "--json")
    wait_until(lambda: len(sends(sim)) >= 4, what="both senders at a slow request")
    return started


def _finish(cli: Cli, sim: Simulator) -> None:
    """Go on with the run; nobody is lost and nobody got it twice."""
    sim.set_faults([])
    ended = cli("resume", "runs/acceptance", "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json["complete"] is True
    assert len(sim.messages()) == PEOPLE
    matches(cli.home / "runs/acceptance", sim.messages())


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_finishes_what_is_in_flight(cli: Cli, sim: Simulator, name: str) -> None:
    started = _slow(cli, sim, delay_s=1.5)
    started.signal(signal.Signals[name])
    ended = started.result()
    assert ended.code == 75, ended.stderr
    assert "broadcaster resume runs/acceptance" in ended.stderr
    assert ended.json["deliveries"] == {"accepted": 4, "rejected": 0, "in_doubt": 0, "pending": 5, "excluded": 0}
    assert ended.json["complete"] is False
    assert cli.statuses() == {"accepted": 4, "pending": 5}
    matches(cli.home / "runs/acceptance", sim.messages())
    _finish(cli, sim)
    assert len(sends(sim)) == PEOPLE


def test_the_second_signal_stops_at_once_and_names_the_doubt(cli: Cli, sim: Simulator) -> None:
    started = _slow(cli, sim, delay_s=30.0)
    started.signal(signal.SIGINT)
    started.signal(signal.SIGTERM)
    ended = started.result()
    assert ended.code == 75, ended.stderr
    assert "broadcaster resume runs/acceptance" in ended.stderr
    assert ended.json["deliveries"] == {"accepted": 2, "rejected": 0, "in_doubt": 2, "pending": 5, "excluded": 0}
    status = cli("status", "runs/acceptance", "--json")
    assert (status.json["batches_in_doubt"], status.json["holder"]) == (2, None)
    with restarted(cli, sim) as again:  # or it would answer 409 as long as it works on the two requests
        _finish(cli, again)
    assert cli("verify", "runs/acceptance").code == 0


def test_a_signal_while_the_api_asks_to_wait_ends_the_waiting(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job(limits={"batch_size": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 429, "retry_after": 600}])
    started = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: any(each["status"] == 429 for each in sends(sim)), what="the 429")
    started.signal(signal.SIGINT)
    ended = started.result()
    assert ended.code == 75, ended.stderr
    assert "broadcaster resume runs/acceptance" in ended.stderr
    statuses = cli.statuses()
    assert set(statuses) <= {"accepted", "pending"}
    sim.set_faults([])
    assert cli("resume", "runs/acceptance").code == 0
    matches(cli.home / "runs/acceptance", sim.messages())


def test_a_stop_when_everything_is_answered_is_no_stop(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    sim.set_faults([{"on": "POST /v3/messages", "do": "slow", "delay_s": 1.5}])
    started = cli.start("run", "job.toml", "--yes", "--json")
    wait_until(lambda: sends(sim), what="the only request")
    started.signal(signal.SIGINT)
    ended = started.result()
    assert ended.code == 0, ended.stderr
    assert ended.json["complete"] is True


def test_a_signal_to_the_demo_leaves_the_simulator_alive_to_answer(cli: Cli) -> None:
    """Ctrl-C goes to everybody in the terminal's group: the embedded simulator must finish what is in flight."""
    cli.people(60)
    cli.job(limits={"batch_size": 1, "concurrency": 2, "requests_per_minute": 200})
    started = cli.start("run", "job.toml", "--yes", "--simulate", "--json")
    ledger = cli.home / "runs/acceptance.simulated/simulator.sqlite"

    def begun() -> bool:
        return ledger.exists() and bool(_count(cli))

    wait_until(begun, what="the first message")
    os.killpg(started.pid, signal.SIGINT)
    ended = started.result()
    assert ended.code == 75, ended.stderr
    assert ended.json["deliveries"]["in_doubt"] == 0
    assert "broadcaster resume runs/acceptance.simulated" in ended.stderr
    matches(cli.home / "runs/acceptance.simulated", embedded_ledger(cli.home / "runs/acceptance.simulated"))
    once(embedded_ledger(cli.home / "runs/acceptance.simulated"))


def _count(cli: Cli) -> int:
    try:
        return len(embedded_ledger(cli.home / "runs/acceptance.simulated"))
    except sqlite3.OperationalError:  # its tables are being made
        return 0
