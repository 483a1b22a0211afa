"""The first few messages decide about the rest: an accepted request is no delivered message.

The trap that this is for: with an empty balance, or a template that is not approved, the API accepts everything and
blocks it afterwards. Whoever reads only its answers sends the whole list into nothing.
"""

import json
import signal
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, NOTICE, PENDING, Cli, matches, once, sends, wait_until
from support.endpoint import endpoint, truth
from support.fiction import numbers
from support.simulator import Simulator

RUN = "runs/acceptance"
FAST = 10_000.0
"""A world in which everything that becomes of a message has become at once."""
SILENT: list[dict[str, Any]] = [
    {"on": f"GET /v3/{what}", "do": "status", "status": 404} for what in ("conversations", "messages/*")
]
"""An API that tells nothing about messages when it is asked."""


@contextmanager
def api(cli: Cli, **options: Any) -> Iterator[Simulator]:
    with Simulator(key=KEY, **{"lifecycle_speed": FAST, **options}) as simulator:
        cli.use(simulator)
        yield simulator


def job(
    cli: Cli, people: int = 200, *, canary: int = 25, wait: str = "60s", message: dict[str, Any] | None = None
) -> list[str]:
    """Write a list and a job with a canary; return the numbers."""
    to = cli.people(numbers(people))
    safety = {"canary": canary, "canary_wait": wait}
    cli.job(recipients={"default_region": "AU"}, safety=safety, message=message or {})
    return to


def told(cli: Cli, event: str) -> list[dict[str, Any]]:
    """Return these events of the run, oldest first."""
    path = cli.home / RUN / "events.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [found for found in map(json.loads, lines) if found["event"] == event]


def batch_sizes(sim: Simulator) -> list[int]:
    """Return how many messages each accepted request made, in order."""
    found: dict[str, int] = {}
    for row in sim.messages():
        found[row["request_id"]] = found.get(row["request_id"], 0) + 1
    return list(found.values())


def test_a_canary_that_does_well_lets_the_rest_go(cli: Cli) -> None:
    with api(cli) as sim:
        job(cli)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        assert (
            "canary         25 recipients first, in 1 request; what becomes of them within 60 s decides" in ended.stderr
        )
        assert "canary: 25 sent, 25 delivered; the others are messaged now" in ended.stderr
        assert "of it waiting for the canary" in ended.stderr
        asked = [(each["method"], each["path"].partition("?")[0]) for each in sim.requests()]
        assert asked[2:] == [("POST", "/v3/messages"), ("GET", "/v3/conversations"), ("POST", "/v3/messages")]
        messages = sim.messages()
        assert batch_sizes(sim) == [25, 175]
        assert [each["recipient"] for each in messages] != numbers(200)  # not simply the first ones
        matches(cli.home / RUN, messages)
        assert cli("verify", RUN).code == 0
        known = [row for row in cli.manifest() if row["delivery_status"] == "delivered"]
        assert len(known) == 25  # what was learned of them is kept


TRAPS: Mapping[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "an empty balance": ({"balance": 0}, None, "25 BUSINESS_003; the account's balance or quota is used up: top it up"),
    "a template nobody approved": (
        {},
        {"template_id": PENDING, "parameters": {"name": "x", "code": "y"}},
        "25 BUSINESS_005; the template is not approved for it: have it approved",
    ),
}


@pytest.mark.parametrize(("options", "message", "says"), TRAPS.values(), ids=TRAPS)
def test_the_trap_ends_with_25_messages_and_not_5000(
    cli: Cli, options: dict[str, Any], message: dict[str, Any] | None, says: str
) -> None:
    with api(cli, **options) as sim:
        job(cli, 5000, message=message)
        ended = cli("run", "job.toml", "--yes", "--no-preflight", "--json")
        assert ended.code == 5, ended.stderr
        assert says in ended.stderr
        assert "Nobody else was messaged" in ended.stderr
        assert f"'broadcaster resume {RUN}'" in ended.stderr
        assert len(sim.messages()) == 25
        assert ended.json["stopped_by"] == "canary_failed"
        assert cli.statuses() == {"accepted": 25, "pending": 4975}
        again = cli("resume", RUN, "--no-preflight")
        assert (again.code, len(sim.messages())) == (5, 25)  # judged again, and not sent again
        assert cli("verify", RUN).code == 0
        assert told(cli, "halted")[-1]["exit_code"] == 5


def test_whoever_mended_it_goes_on_by_a_recorded_decision_and_retries_the_canary(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "ledger.sqlite"
    with api(cli, state=state, balance=0) as sim:
        port = sim.url.rpartition(":")[2]
        job(cli)
        assert cli("run", "job.toml", "--yes").code == 5
    with api(cli, state=state, port=port) as sim:
        assert cli("resume", RUN).code == 5  # what was blocked stays blocked
        assert len(sim.messages()) == 25
        ended = cli("resume", RUN, "--skip-canary")
        assert ended.code == 0, ended.stderr
        assert len(sim.messages()) == 200
        once(sim.messages())
        with closing(sqlite3.connect(cli.home / RUN / "journal.sqlite")) as journal:
            ((who, what, note),) = journal.execute("SELECT who, what, note FROM decision").fetchall()
        assert "@" in who
        assert (what, note) == ("skip_canary", "0")
        assert cli("verify", RUN).code == 0
        assert cli("resume", RUN).code == 0  # and every reader knows the word
        assert cli("report", RUN).code == 0
        blocked = {row["to"] for row in cli.manifest() if row["delivery_status"] == "blocked"}
        assert len(blocked) == 25
        retried = cli("retry-failed", RUN, "--yes")
        assert retried.code == 0, retried.stderr
        assert {each["recipient"] for each in sim.messages()[200:]} == blocked
        assert len(sim.messages()) == 225


def test_what_was_sent_again_in_the_dashboard_lets_a_resume_go_on(cli: Cli, tmp_path: Path) -> None:
    """The canary was blocked; somebody topped the account up and had Sent send those messages again."""
    state = tmp_path / "ledger.sqlite"
    with api(cli, state=state, balance=0) as sim:
        port = sim.url.rpartition(":")[2]
        job(cli, canary=3)
        assert cli("run", "job.toml", "--yes").code == 5
    with api(cli, state=state, port=port) as sim:
        for each in sim.messages():
            assert sim.call("POST", f"/v3/messages/{each['message_id']}/resend").status < 300
        ended = cli("resume", RUN)
        assert ended.code == 0, ended.stderr
        assert len(sim.messages()) == 200


def test_half_of_the_canary_failing_stops_the_rest(cli: Cli) -> None:
    with api(cli, failed_share=0.5) as sim:
        job(cli)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 5, ended.stderr
        assert "DELIVERY_003" in ended.stderr
        assert len(sim.messages()) == 25


def test_one_dead_number_stops_nobody(cli: Cli) -> None:
    with api(cli, failed_share=0.03, seed=3) as sim:
        job(cli)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        failed = [each for each in truth(sim).values() if each["status"] == "FAILED"]
        assert failed
        assert len(sim.messages()) == 200


def test_those_who_opted_out_count_against_it(cli: Cli) -> None:
    with api(cli) as sim:
        to = job(cli, 10, canary=5)
        for number in to:
            contact = sim.call("POST", "/v3/contacts", {"phone_number": number}).json["data"]
            assert sim.call("PATCH", f"/v3/contacts/{contact['id']}", {"opt_out": True}).status == 200
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 5, ended.stderr
        assert "5 filtered (why: 5 BUSINESS_004)" in ended.stderr
        assert len(sim.messages()) == 5


def test_nobody_goes_on_without_knowing(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "ledger.sqlite"
    with api(cli, state=state, lifecycle_speed=0) as sim:  # nothing ever becomes of a message
        port = sim.url.rpartition(":")[2]
        job(cli, wait="1s")
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 5, ended.stderr
        assert "too little is known of the canary after 1 s: 25 sent, 25 open" in ended.stderr
        assert len(sim.messages()) == 25
    with api(cli, state=state, port=port) as sim:  # time goes on
        ended = cli("resume", RUN)
        assert ended.code == 0, ended.stderr
        assert "25 delivered" in ended.stderr
        assert len(sim.messages()) == 200
        once(sim.messages())


def test_an_api_that_cannot_be_asked_stops_it_too(cli: Cli) -> None:
    with api(cli) as sim:
        sim.set_faults(SILENT)
        job(cli, canary=3, wait="1s")
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 5, ended.stderr
        assert "too little is known" in ended.stderr
        assert len(sim.messages()) == 3


def test_webhooks_alone_are_enough(cli: Cli) -> None:
    with api(cli, lifecycle_speed=50) as sim, endpoint(cli, sim) as it:
        sim.set_faults(SILENT)
        job(cli)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        assert "the others are messaged now" in ended.stderr
        assert len(sim.messages()) == 200
        it.stop()


def test_who_is_killed_while_waiting_waits_on_and_sends_nothing_twice(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "ledger.sqlite"
    with api(cli, state=state, lifecycle_speed=0) as sim:
        port = sim.url.rpartition(":")[2]
        job(cli, wait="10m")
        running = cli.start("run", "job.toml", "--yes")
        wait_until(lambda: told(cli, "canary"), what="the wait for the canary")
        running.signal(signal.SIGKILL)
        assert running.result().code == -signal.SIGKILL
        again = cli.start("resume", RUN)
        wait_until(lambda: len(told(cli, "canary")) > 1, what="the second wait")
        again.signal(signal.SIGINT)
        ended = again.result()
        assert ended.code == 75, ended.stderr
        assert f"broadcaster resume {RUN}" in ended.stderr
        assert [len(sends(sim)), len(sim.messages())] == [1, 25]
    with api(cli, state=state, port=port) as sim:
        ended = cli("resume", RUN)
        assert ended.code == 0, ended.stderr
        assert len(sim.messages()) == 200
        once(sim.messages())
        matches(cli.home / RUN, sim.messages())


def test_an_extension_has_a_canary_of_its_own(cli: Cli) -> None:
    with api(cli) as sim:
        job(cli, 40, canary=5)
        assert cli("run", "job.toml", "--yes").code == 0
        cli.people(numbers(100))
        ended = cli("run", "job.toml", "--yes", "--extend")
        assert ended.code == 0, ended.stderr
        assert batch_sizes(sim) == [5, 35, 5, 55]
        once(sim.messages())
        assert cli("verify", RUN).code == 0


def test_a_canary_that_would_be_everybody_is_none(cli: Cli) -> None:
    with api(cli, balance=0) as sim:
        job(cli, 5, canary=5)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        assert "canary" not in ended.stderr
        assert len(sim.messages()) == 5


def test_each_group_of_parameters_has_its_share_of_the_canary(cli: Cli) -> None:
    with api(cli) as sim:
        to = numbers(60)
        rows = [f"{number},{('Ada', 'Bea', 'Cleo')[at % 3]}" for at, number in enumerate(to)]
        cli.write("people.csv", "\n".join(["phone,first_name", *rows, ""]))
        cli.job(
            recipients={"default_region": "AU"},
            message={"template_id": NOTICE, "parameters": {"name": "{first_name}"}},
            safety={"canary": 6},
        )
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        assert batch_sizes(sim) == [2, 2, 2, 18, 18, 18]


def test_a_simulated_run_asks_its_own_simulator(cli: Cli) -> None:
    job(cli, 60, canary=10)
    ended = cli("run", "job.toml", "--yes", "--simulate")
    assert ended.code == 0, ended.stderr
    assert "canary: 10 sent, 10 handed over; the others are messaged now" in ended.stderr


def test_sents_sandbox_delivers_nothing_and_nobody_waits_for_it(cli: Cli) -> None:
    with api(cli) as sim:
        job(cli, 60, canary=10)
        ended = cli("run", "job.toml", "--yes", "--sandbox")
        assert ended.code == 0, ended.stderr
        assert "nobody waits for the canary" in ended.stderr
        assert len(sends(sim)) == 2


# ---- while the rest is sent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param({"balance": 60}, "the account's balance or quota is used up: top it up", id="the money runs out"),
        pytest.param({"failed_share": 0.6}, "which passes safety.halt_count (10)", id="most of them fail"),
    ],
)
def test_receipts_stop_a_run_that_goes_wrong_in_the_middle(cli: Cli, options: dict[str, Any], says: str) -> None:
    """600 a minute is ten a second: what the first hundred become is known long before the others have left."""
    with api(cli, lifecycle_speed=100, **options) as sim, endpoint(cli, sim) as it:
        to = cli.people(numbers(3000))
        cli.job(recipients={"default_region": "AU"}, limits={"batch_size": 10, "requests_per_minute": 1800})
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 5, ended.stderr
        assert says in ended.stderr
        sent = len(sim.messages())
        assert 60 < sent < len(to)
        matches(cli.home / RUN, sim.messages())  # what was under way ended properly
        assert set(cli.statuses()) == {"accepted", "pending"}
        assert cli("verify", RUN).code == 0
        it.stop()


def test_after_a_halt_by_receipts_the_run_goes_on_once_it_is_mended(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "ledger.sqlite"
    with api(cli, state=state, lifecycle_speed=100, balance=30) as sim, endpoint(cli, sim) as it:
        port = sim.url.rpartition(":")[2]
        cli.people(numbers(1500))
        cli.job(recipients={"default_region": "AU"}, limits={"batch_size": 10, "requests_per_minute": 1800})
        assert cli("run", "job.toml", "--yes").code == 5
        it.stop()
    with api(cli, state=state, port=port) as sim, endpoint(cli, sim) as it:
        ended = cli("resume", RUN)
        assert ended.code == 0, ended.stderr
        assert len(sim.messages()) == 1500
        once(sim.messages())
        it.stop()
