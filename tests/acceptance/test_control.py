"""``pause``, ``go``, ``rate`` from another terminal: followed at once, written down once, kept over restarts."""

import re
import signal
import sqlite3
from contextlib import closing
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from support.cli import Cli, Running, matches, once, sends, wait_until
from support.simulator import Simulator
from support.terminal import CTRL_C, Terminal

RUN = "runs/acceptance"
MANY = 60  # at ten a second: longer than a pause takes to be ordered and followed
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def begin(cli: Cli, sim: Simulator, *, people: int = MANY, per_minute: int = 600, after: int = 3) -> Running:
    """Start a run with a request for each person; return when so many have left."""
    cli.people(people)
    cli.job(limits={"batch_size": 1, "concurrency": 2, "requests_per_minute": per_minute})
    started = cli.start("run", "job.toml", "--yes", "--json")
    wait_until(lambda: len(sends(sim)) >= after, what="the first requests")
    return started


def orders(cli: Cli) -> list[tuple[Any, ...]]:
    """What the journal says people ordered."""
    with closing(sqlite3.connect(cli.home / RUN / "journal.sqlite", timeout=10)) as db:
        return db.execute("SELECT what, note FROM decision WHERE batch IS NULL ORDER BY id").fetchall()


def pause(cli: Cli, sim: Simulator) -> int:
    """Pause the run from another terminal; return how many requests had left when everything was answered."""
    paused = cli("pause", RUN)
    assert paused.code == 0, paused.stderr
    before = len(orders(cli))
    wait_until(lambda: orders(cli)[-1:] == [("pause", "")] or len(orders(cli)) > before, what="the pause is followed")
    wait_until(lambda: all(each["status"] is not None for each in sends(sim)), what="what was under way is answered")
    return len(sends(sim))


def finish(cli: Cli, sim: Simulator, started: Running, *, people: int = MANY) -> None:
    """Wait for the end; nobody is lost and nobody got it twice."""
    ended = started.result()
    assert ended.code == 0, ended.stderr
    assert ended.json["deliveries"]["accepted"] == people
    matches(cli.home / RUN, sim.messages())
    once(sim.messages())
    assert len(sends(sim)) == people


# ---- while it runs --------------------------------------------------------------------------------------------------


def test_a_pause_stops_new_requests_and_go_lets_them_go_on(cli: Cli, sim: Simulator) -> None:
    started = begin(cli, sim)
    left = pause(cli, sim)
    assert left < MANY

    # Each of these takes as long as a few requests would.
    status = cli("status", RUN)
    again = cli("pause", RUN)
    told = cli("status", RUN, "--json").json
    assert len(sends(sim)) == left
    assert "state      paused by " in status.stdout
    assert ": process " in status.stdout
    assert f"To end the pause: broadcaster go {RUN}" in status.stderr
    assert "is paused already, by " in again.stderr
    assert told["paused"].keys() == {"by", "since"}
    assert told["holder"] is not None
    assert told["deliveries"]["in_doubt"] == 0

    gone = cli("go", RUN)
    assert (gone.code, gone.stderr) == (0, f"{RUN} goes on.\n")
    wait_until(lambda: len(sends(sim)) > left, what="the run goes on")
    assert cli("rate", "6000", RUN).code == 0
    finish(cli, sim, started)
    assert orders(cli) == [("pause", ""), ("go", ""), ("rate", "6000")]
    assert cli("verify", RUN).code == 0


def test_what_was_ordered_is_told_on_the_runs_own_screen(cli: Cli, sim: Simulator) -> None:
    started = begin(cli, sim, people=20)
    pause(cli, sim)
    cli("go", RUN)
    cli("rate", "3000", RUN)
    ended = started.result()

    assert ended.code == 0
    lines = ended.stderr.splitlines()
    assert any(re.fullmatch(rf"paused by \S+@\S+ since \d\d:\d\d — broadcaster go {RUN}\. .*", each) for each in lines)
    assert any(each.endswith(" lets it go on") for each in lines)
    assert any(each.endswith(" set the limit to 3,000 requests/min") for each in lines)
    assert any(each.startswith("sent in ") for each in lines)


def test_a_rate_changes_the_pace_at_once(cli: Cli, sim: Simulator) -> None:
    started = begin(cli, sim, people=25, per_minute=120, after=4)
    raised = cli("rate", "1200", RUN)
    assert raised.stderr.splitlines()[0] == (
        f"{RUN} is limited to 1,200 requests a minute, also after a restart, until another 'broadcaster rate'."
    )
    finish(cli, sim, started, people=25)

    at_s = [each["received_us"] / 1e6 for each in sends(sim)]
    gaps = [later - earlier for earlier, later in pairwise(at_s)]
    assert median(gaps[:3]) > 3 * median(gaps[-8:])
    assert orders(cli) == [("rate", "1200")]


def test_of_orders_in_quick_succession_the_last_one_wins(cli: Cli, sim: Simulator) -> None:
    started = begin(cli, sim, people=40)
    for what in ("pause", "go", "pause", "go"):
        assert cli(what, RUN).code == 0
    assert cli("rate", "6000", RUN).code == 0
    finish(cli, sim, started, people=40)

    switches = [what for what, _ in orders(cli) if what != "rate"]
    assert switches == ["pause", "go"] * (len(switches) // 2)


def test_a_damaged_order_changes_nothing_while_it_runs_and_is_told_once(cli: Cli, sim: Simulator) -> None:
    started = begin(cli, sim, people=40)
    control = cli.home / RUN / "control.json"
    control.write_text('{"version": 1, "switch": {"what": "pau')
    left = len(sends(sim))
    wait_until(lambda: len(sends(sim)) >= left + 10, what="the run goes on")
    healed = cli("pause", RUN)
    assert "control.json could not be read and was written anew" in healed.stderr
    wait_until(lambda: orders(cli) == [("pause", "")], what="the pause is followed")
    cli("rate", "6000", RUN)
    cli("go", RUN)
    ended = started.result()

    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("control.json cannot be read, so that nobody knows") == 1


# ---- ends and starts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_a_paused_run_that_ends_is_not_gone_on_with_before_go(cli: Cli, sim: Simulator, name: str) -> None:
    started = begin(cli, sim, people=12)
    left = pause(cli, sim)
    started.signal(signal.Signals[name])
    ended = started.result()
    if name == "SIGKILL":
        assert ended.code == -9
    else:
        assert ended.code == 75
        assert ended.json["deliveries"] == {
            "accepted": left, "rejected": 0, "in_doubt": 0, "pending": 12 - left, "excluded": 0
        }  # fmt: skip
        assert f"First: broadcaster go {RUN}\nTo go on: broadcaster resume {RUN}" in ended.stderr

    refusals = [cli("resume", RUN), cli("run", "job.toml", "--yes"), cli("resume", RUN, "--yes", "--json")]
    for refused in refusals:
        assert refused.code == 75
        assert re.fullmatch(
            rf"Error: {RUN} is paused by \S+@\S+ since .*; nothing is sent before 'broadcaster go {RUN}'\n",
            refused.stderr,
        )
    assert len(sends(sim)) == left

    gone = cli("go", RUN)
    assert gone.stderr == (
        f"{RUN} is not paused any more.\nNobody is working on it. To send: broadcaster resume {RUN}\n"
    )
    resumed = cli("resume", RUN)
    assert resumed.code == 0, resumed.stderr
    matches(cli.home / RUN, sim.messages())
    assert len(sends(sim)) == 12
    assert orders(cli) == [("pause", ""), ("go", "")]


def test_a_rate_is_kept_after_a_restart_and_written_down_once(cli: Cli, sim: Simulator) -> None:
    started = begin(cli, sim, people=8, per_minute=600, after=2)
    assert cli("rate", "240", RUN).code == 0
    wait_until(lambda: orders(cli) == [("rate", "240")], what="the rate is followed")
    started.signal(signal.SIGINT)
    stopped = started.result()
    assert stopped.code == 75
    before = len(sends(sim))
    assert before < 7
    assert cli("status", RUN, "--json").json["rate"]["requests_per_minute"] == 240

    resumed = cli("resume", RUN)
    assert resumed.code == 0, resumed.stderr
    assert " set the limit to 240 requests/min" in resumed.stderr
    at_s = [each["received_us"] / 1e6 for each in sends(sim)[before:]]
    assert all(later - earlier > 0.2 for earlier, later in pairwise(at_s))
    assert orders(cli) == [("rate", "240")]


def test_a_rate_and_a_pause_before_the_first_message_hold_when_it_starts(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    rated, paused = cli("rate", "1", RUN), cli("pause", RUN)
    assert rated.stderr.endswith(f"Nobody is working on it. To send: broadcaster resume {RUN}\n")
    assert "Nobody is working on it, and 'resume' will not send before it may go on." in paused.stderr
    assert cli("run", "job.toml", "--yes").code == 75
    assert sim.requests() == []

    cli("go", RUN)
    assert cli("rate", "100000", RUN).code == 0
    assert cli("run", "job.toml", "--yes").code == 0
    assert orders(cli) == [("rate", "100000")]  # nobody has followed the others


def test_what_would_add_to_a_paused_run_is_refused_before_it_adds(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    sim.set_faults([{"on": "POST /v3/messages", "nth": [1], "do": "status", "status": 402, "code": "BUSINESS_003"}])
    assert cli("run", "job.toml", "--yes").code == 5
    sim.set_faults([])
    assert cli("pause", RUN).code == 0
    asked = len(sends(sim))
    cli.people(5)

    assert cli("run", "job.toml", "--yes", "--extend").code == 75
    assert cli("retry-failed", RUN, "--yes").code == 75
    assert not (cli.home / RUN / "plan-1.json").exists()
    assert len(sends(sim)) == asked


def test_a_damaged_order_refuses_a_start_until_it_is_given_anew(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    (cli.home / RUN / "control.json").write_text("pause")
    for command in (("run", "job.toml", "--yes"), ("resume", RUN, "--yes"), ("rate", "60", RUN)):
        refused = cli(*command)
        assert refused.code == 74
        assert "control.json cannot be read" in refused.stderr
        assert f"'broadcaster go {RUN}'" in refused.stderr
    status = cli("status", RUN)
    assert (status.code, "Warning: " in status.stderr) == (0, True)
    assert sim.requests() == []

    assert cli("go", RUN).code == 0
    assert cli("run", "job.toml", "--yes").code == 0


# ---- runs that cannot be steered ------------------------------------------------------------------------------------


def test_a_run_with_nothing_to_steer_is_refused(cli: Cli, sim: Simulator) -> None:
    (cli.home / "empty").mkdir()
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    for command in (("pause",), ("go",), ("rate", "60")):
        nowhere, unplanned, finished = (cli(*command, place) for place in ("runs/nowhere", "empty", RUN))
        assert (nowhere.code, "there is no such run directory" in nowhere.stderr) == (2, True)
        assert (unplanned.code, "holds no plan" in unplanned.stderr) == (2, True)
        assert (finished.code, f"everything in {RUN} is settled" in finished.stderr) == (2, True)
    assert not (cli.home / RUN / "control.json").exists()

    assert cli("purge", RUN, "--yes").code == 0
    for command in (("pause",), ("go",), ("rate", "60")):
        purged = cli(*command, RUN)
        assert (purged.code, "was purged" in purged.stderr) == (78, True)
    assert len(sends(sim)) == 1


def test_a_finished_run_that_was_paused_at_its_end_repeats_how_it_ended_and_may_go(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "slow", "delay_s": 2.0}])
    started = cli.start("run", "job.toml", "--yes", "--json")
    wait_until(lambda: len(sends(sim)) == 2, what="the last request")
    assert cli("pause", RUN).code == 0
    assert started.result().code == 0

    again = cli("run", "job.toml", "--yes")
    assert (again.code, "Everything in this run is settled" in again.stderr) == (0, True)
    assert cli("go", RUN).stderr.startswith(f"{RUN} is not paused any more.")
    assert cli("go", RUN).code == 2


@pytest.mark.parametrize("number", ["0", "-1", "100001", "fast", "1.5"])
def test_a_rate_that_is_none_is_a_usage_error(cli: Cli, number: str) -> None:
    refused = cli("rate", "--", number, RUN)
    assert refused.code == 2
    assert "Error: " in refused.stderr


# ---- in front of a screen -------------------------------------------------------------------------------------------


def test_a_terminal_shows_the_limit_the_pause_and_the_way_on_and_ctrl_c_still_ends_it(cli: Cli, sim: Simulator) -> None:
    cli.people(MANY)
    cli.job(limits={"batch_size": 1, "concurrency": 2, "requests_per_minute": 600})
    with Terminal(cli, "run", "job.toml", "--yes") as terminal:
        terminal.wait_for("limit 600 requests/min (configured)")
        terminal.wait_for(" left")
        wait_until(lambda: len(sends(sim)) > 1, what="the first requests")
        cli("pause", RUN)
        terminal.wait_for(f"— broadcaster go {RUN}")
        terminal.press(CTRL_C)
        assert terminal.end() == 75
    shown = _ESCAPES.sub("", terminal.shown)
    assert f"First: broadcaster go {RUN}" in shown
    progress = [line.rstrip() for line in re.split(r"[\r\n]+", shown) if " to go" in line or "limit " in line]
    assert progress
    assert max(map(len, progress)) < 120
    assert cli.statuses().keys() == {"accepted", "pending"}
