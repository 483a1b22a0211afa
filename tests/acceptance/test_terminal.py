"""In front of a screen: the question, the progress bar, Ctrl-C, a window that closes."""

import phonenumbers
import pytest
from support.cli import PATIENCE_S, Cli, matches, sends, wait_until
from support.simulator import Simulator
from support.terminal import CTRL_C, Terminal

_MANY = 10_001


def test_yes_sends_and_a_bar_shows_what_matters(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 2})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [3], "do": "slow", "delay_s": 0.5}])
    with Terminal(cli, "run", "job.toml") as terminal:
        terminal.wait_for("Send to 6 people? [y/N]")
        assert sim.requests() == []
        terminal.press("y\n")
        assert terminal.end() == 0
    for word in ("━", "accepted", "rejected", "in doubt", "to go", "no limit"):
        assert word in terminal.shown, word
    matches(cli.home / "runs/acceptance", sim.messages())
    assert len(sim.messages()) == 6


@pytest.mark.parametrize("keys", ["n\n", "\n", CTRL_C, "\x04"], ids=["n", "enter alone", "ctrl-c", "ctrl-d"])
def test_anything_but_yes_sends_nothing_and_keeps_no_plan(cli: Cli, sim: Simulator, keys: str) -> None:
    cli.people(3)
    cli.job()
    with Terminal(cli, "run", "job.toml") as terminal:
        terminal.wait_for("[y/N]")
        terminal.press(keys)
        assert terminal.end() == 75
    assert sim.requests() == []
    assert not (cli.home / "runs/acceptance/plan.json").exists()
    assert not (cli.home / "runs/acceptance/plan.parquet").exists()


def test_no_to_a_plan_that_was_made_before_keeps_it(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    with Terminal(cli, "run", "job.toml") as terminal:
        terminal.wait_for("[y/N]")
        terminal.press("n\n")
        assert terminal.end() == 75
    assert "runs/acceptance stays" in terminal.shown
    assert (cli.home / "runs/acceptance/plan.json").exists()
    assert sim.requests() == []


def test_an_extension_is_asked_for_and_no_takes_it_back(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    cli.people(5)
    with Terminal(cli, "run", "job.toml", "--extend") as terminal:
        terminal.wait_for("Send to 2 more people?")
        terminal.press("n\n")
        assert terminal.end() == 75
    assert len(sim.messages()) == 3
    assert not (cli.home / "runs/acceptance/plan-1.json").exists()
    assert cli("verify", "runs/acceptance").code == 0


def test_more_than_ten_thousand_are_confirmed_by_their_number(cli: Cli, sim: Simulator) -> None:
    cli.people(_numbers(_MANY))
    cli.job()
    with Terminal(cli, "run", "job.toml") as terminal:
        terminal.wait_for("Type the number of recipients")
        terminal.press("y\n")
        assert terminal.end() == 75
    assert sim.requests() == []
    with Terminal(cli, "run", "job.toml") as terminal:
        terminal.wait_for("Type the number of recipients")
        terminal.press("10,001\n")
        assert terminal.end() == 0
    assert len(sim.messages()) == _MANY


def test_ctrl_c_while_sending_drains_and_says_how_to_go_on(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "slow", "delay_s": 1.5}])
    with Terminal(cli, "run", "job.toml", "--yes") as terminal:
        wait_until(lambda: len(sends(sim)) == 2, what="the slow request")
        terminal.press(CTRL_C)
        assert terminal.end() == 75
    assert "To go on: broadcaster resume runs/acceptance" in terminal.shown
    assert cli.statuses() == {"accepted": 2, "pending": 4}


def test_a_window_that_closes_drains_the_run(cli: Cli, sim: Simulator) -> None:
    """An ssh connection breaks: SIGHUP comes, and there is nothing left to print to."""
    cli.people(6)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [2], "do": "slow", "delay_s": 1.5}])
    with Terminal(cli, "run", "job.toml", "--yes") as terminal:
        wait_until(lambda: len(sends(sim)) == 2, what="the slow request")
        terminal.close()
        assert terminal.end() == 75
    assert cli.statuses() == {"accepted": 2, "pending": 4}
    assert cli("resume", "runs/acceptance").code == 0
    matches(cli.home / "runs/acceptance", sim.messages())
    assert len(sends(sim)) == 6


def test_a_reader_that_leaves_does_not_end_the_run(cli: Cli, sim: Simulator) -> None:
    """As in ``broadcaster run … 2>&1 | head -1``."""
    cli.people(6)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([
        {"on": "POST /v3/messages", "nth": [2], "do": "slow", "delay_s": 0.5},
        {"on": "POST /v3/messages", "nth": [3], "do": "status", "status": 503, "code": "SERVICE_001", "retry_after": 0},
    ])  # fmt: skip
    started = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: len(sends(sim)) == 2, what="the slow request")
    assert started.process.stderr is not None
    started.process.stderr.close()
    assert started.process.wait(PATIENCE_S) == 0
    started.process.communicate()
    matches(cli.home / "runs/acceptance", sim.messages())
    assert len(sim.messages()) == 6


def _numbers(count: int) -> list[str]:
    """Return so many valid numbers that are reserved for fiction."""
    areas = (f"+1{area}55501" for area in range(201, 990))
    valid = [area for area in areas if phonenumbers.is_valid_number(phonenumbers.parse(f"{area}42"))]
    return [f"{area}{last:02}" for area in valid for last in range(100)][:count]
