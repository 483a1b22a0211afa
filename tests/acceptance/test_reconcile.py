"""Look-ups turn doubt into knowledge, and never absence into proof."""

import json
from typing import Any

from support.cli import Cli, matches, sends
from support.simulator import Simulator

RUN = "runs/acceptance"
_SEND = "POST /v3/messages"


def doubtful(cli: Cli, sim: Simulator, *, arrived: bool, campaign: str = "acceptance") -> None:
    """Send six people in requests of two; the last answer is lost, with or without the messages."""
    cli.people(6)
    cli.job(campaign=campaign, limits={"batch_size": 2, "concurrency": 1}, api={"idempotency_window": "1s"})
    do = "drop_after_accept" if arrived else "drop_before"
    outage = {"on": _SEND, "nth": list(range(4, 400)), "do": "drop_before"}
    sim.set_faults([{"on": _SEND, "nth": [3], "do": do}, outage])
    assert cli("run", "job.toml", "--yes").code == 4
    sim.set_faults([])


def ids(cli: Cli, run: str = RUN) -> set[Any]:
    return {row["message_id"] for row in cli.manifest(run) if row["message_id"] is not None}


def test_what_is_found_is_accepted_with_its_message_id(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim, arrived=True)
    requests = len(sends(sim))
    ended = cli("reconcile", RUN)
    assert ended.code == 0, ended.stderr
    assert "2 of 2 deliveries in doubt were found" in ended.stderr
    matches(cli.home / RUN, sim.messages())
    assert ids(cli) == {each["message_id"] for each in sim.messages()}
    assert cli("verify", RUN).code == 0
    assert len(sends(sim)) == requests  # looking is not sending
    assert cli("resume", RUN, "--yes").code == 0
    assert len(sim.messages()) == 6


def test_what_is_not_found_stays_in_doubt(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim, arrived=False)
    ended = cli("reconcile", RUN)
    assert ended.code == 4, ended.stderr
    assert "0 of 2 deliveries in doubt were found" in ended.stderr
    assert "look again in a minute" in ended.stderr
    assert cli.statuses() == {"accepted": 4, "in_doubt": 2}
    assert cli("verify", RUN).code == 0


def test_messages_that_another_run_here_explains_prove_nothing(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim, arrived=False)
    cli.job("other.toml", campaign="other", limits={"batch_size": 2})
    assert cli("run", "other.toml", "--yes").code == 0  # the same people, template and channel, a moment later
    ended = cli("reconcile", RUN)
    assert ended.code == 4, ended.stderr
    assert "0 of 2 deliveries in doubt were found" in ended.stderr


def test_a_run_whose_journal_is_gone_is_named(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim, arrived=True)
    cli.job("other.toml", campaign="other", limits={"batch_size": 2})
    assert cli("run", "other.toml", "--yes").code == 0
    for each in (cli.home / "runs/other").iterdir():
        each.unlink()
    ended = cli("reconcile", RUN)
    assert ended.code == 0, ended.stderr
    assert "runs/other could not be read" in ended.stderr
    assert "2 more messages fit" in ended.stderr


def test_nothing_in_doubt_asks_nobody(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job()
    assert cli("run", "job.toml", "--yes").code == 0
    asked = len(sim.requests())
    ended = cli("reconcile", RUN, "--no-poll")
    assert ended.code == 0
    assert "Nothing is in doubt" in ended.stderr
    assert len(sim.requests()) == asked


def test_another_accounts_key_is_refused(cli: Cli, sim: Simulator) -> None:
    doubtful(cli, sim, arrived=True)
    with Simulator(key=sim.key, account=json.dumps({"id": "11111111-2222-4333-8444-555555555555"})) as other:
        cli.use(other)
        ended = cli("reconcile", RUN)
    assert ended.code == 78, ended.stderr
    assert cli.statuses() == {"accepted": 4, "in_doubt": 2}
