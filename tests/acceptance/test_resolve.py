"""Deliveries in doubt: listed with what is known, and ended by a person's recorded decision only."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from support.cli import Cli, Result, matches, sends
from support.simulator import Simulator
from support.terminal import Terminal

RUN = "runs/acceptance"
_SEND = "POST /v3/messages"
_LOST = {"on": _SEND, "nth": [3], "do": "drop_after_accept"}  # the third request arrives; its answer does not
_SHORT = {"idempotency_window": "1s"}


def doubtful(cli: Cli, sim: Simulator, **tables: Any) -> Result:
    """Send six people in requests of two, one of which is past its window when the API answers again."""
    cli.people(6)
    cli.job(limits={"batch_size": 2, "concurrency": 1}, **{"api": _SHORT, **tables})
    outage = {"on": _SEND, "nth": list(range(4, 400)), "do": "drop_before"}
    sim.set_faults([_LOST, outage])
    ended = cli("run", "job.toml", "--yes")
    sim.set_faults([])
    return ended


def decisions(cli: Cli) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(cli.home / RUN / "journal.sqlite")) as db:
        return db.execute("SELECT who, what, batch, note FROM decision").fetchall()


def test_what_is_past_the_window_is_in_doubt_and_listed(cli: Cli, sim: Simulator) -> None:
    ended = doubtful(cli, sim)
    assert ended.code == 4, ended.stderr
    assert cli.statuses() == {"accepted": 4, "in_doubt": 2}
    again = cli("resume", RUN, "--yes")
    assert (again.code, cli.statuses()) == (4, {"accepted": 4, "in_doubt": 2})  # never decided by itself

    listed = cli("resolve", RUN)
    assert listed.code == 4
    assert "2 deliveries of 1 requests are in doubt" in listed.stderr
    assert "request 2, sent 20" in listed.stderr
    assert "may no longer remember" in listed.stderr
    (known,) = cli("resolve", RUN, "--json").json["in_doubt"]
    assert (known["batch"], known["deliveries"], known["key_protects"]) == (2, 2, False)
    assert decisions(cli) == []


def test_skip_ends_it_and_says_who_and_why(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim)
    ended = cli("resolve", RUN, "--skip", "--note", "the offer is over", "--yes")
    assert ended.code == 0, ended.stderr
    assert cli.statuses() == {"accepted": 4, "excluded": 2}
    assert {row["reason"] for row in cli.manifest() if row["status"] == "excluded"} == {"skipped_in_doubt"}
    ((who, what, batch, note),) = decisions(cli)
    assert "@" in who
    assert (what, batch, note) == ("skip", 2, "the offer is over")
    assert cli("verify", RUN).code == 0
    before = len(sends(sim))
    assert cli("resume", RUN, "--yes").code == 0
    assert len(sends(sim)) == before


def test_resend_sends_anew_under_a_new_key(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim)
    ended = cli("resolve", RUN, "--resend", "--yes")
    assert ended.code == 75, ended.stderr
    assert f"broadcaster resume {RUN}" in ended.stderr
    assert cli.statuses() == {"accepted": 4, "pending": 2}
    assert cli("verify", RUN).code == 0

    assert cli("resume", RUN, "--yes").code == 0
    assert cli.statuses() == {"accepted": 6}
    assert cli("verify", RUN).code == 0
    keys = {each["key"] for each in sends(sim)}
    assert len(keys) == 4
    # The first copy had arrived: that is what the person accepted.
    assert len(sim.messages()) == 8
    assert [(what, batch) for _, what, batch, _ in decisions(cli)] == [("resend", 2)]


def test_inside_the_window_a_resend_keeps_the_key_and_nobody_gets_it_twice(cli: Cli, sim: Simulator) -> None:
    ended = doubtful(cli, sim, api={}, safety={"give_up_after": "1s"})
    assert ended.code == 75, ended.stderr
    ended = cli("resolve", RUN, "--resend", "--yes")
    assert ended.code == 4, ended.stderr
    assert cli("resume", RUN, "--yes").code == 0
    assert len(sim.messages()) == 6
    matches(cli.home / RUN, sim.messages())
    assert len({each["key"] for each in sends(sim)}) == 3


@pytest.mark.parametrize("what", ["--skip", "--resend"])
def test_the_recipients_that_an_answer_lacks_are_decided_about_alone(cli: Cli, sim: Simulator, what: str) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 3}, message={"channels": ["sms", "whatsapp"]})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "omit_rows"}])
    assert cli("run", "job.toml", "--yes").code == 4
    lacking = cli.statuses()["in_doubt"]
    assert lacking
    requests = len(sends(sim))

    ended = cli("resolve", RUN, what, "--yes")
    assert cli("verify", RUN).code == 0
    if what == "--skip":
        assert ended.code == 0
        assert cli.statuses() == {"accepted": 12 - lacking, "excluded": lacking}
        return
    assert cli.statuses() == {"accepted": 12 - lacking, "pending": lacking}
    assert cli("resume", RUN, "--yes").code == 0
    assert cli.statuses() == {"accepted": 12}
    assert cli("verify", RUN).code == 0
    assert len(sends(sim)) == requests + 1
    assert len(sim.messages()) == 12 + lacking  # the answer lacked them, the ledger did not


def test_nothing_in_doubt_is_said(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    assert cli("resolve", RUN).code == 0
    ended = cli("resolve", RUN, "--skip", "--yes")
    assert ended.code == 0
    assert "there is nothing to decide" in ended.stderr
    assert len(sim.messages()) == 2


def test_a_decision_is_asked_for_and_no_decides_nothing(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim)
    unasked = cli("resolve", RUN, "--skip")
    assert unasked.code == 2
    assert "--yes" in unasked.stderr
    with Terminal(cli, "resolve", RUN, "--resend") as terminal:
        terminal.wait_for("gets it twice. [y/N]")
        terminal.press("n\n")
        assert terminal.end() == 75
    assert decisions(cli) == []
    assert cli.statuses() == {"accepted": 4, "in_doubt": 2}


def test_a_server_error_can_be_held_instead_of_repeated(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 2}, safety={"on_5xx": "hold"})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "status", "status": 500}])
    assert cli("run", "job.toml", "--yes").code == 4
    assert cli.statuses() == {"accepted": 4, "in_doubt": 2}
    assert len(sends(sim)) == 3
    assert cli("resolve", RUN).stderr.count("INTERNAL_001") == 1
