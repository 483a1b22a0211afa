"""Without webhooks: ``reconcile`` asks what became of accepted messages, and the manifest says what the API says."""

import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, sends, wait_until
from support.simulator import Simulator

RUN = "runs/acceptance"
LIST = {"on": "GET /v3/conversations", "do": "status", "status": 404}
"""An API without a list of messages: each is asked for by its id."""
FINAL = {"delivered", "read", "blocked", "filtered", "cancelled"}


@contextmanager
def api(cli: Cli, **options: Any) -> Iterator[Simulator]:
    """An API in which everything happens at once, unless *options* say otherwise."""
    with Simulator(key=KEY, **{"lifecycle_speed": 10_000.0, **options}) as simulator:
        cli.use(simulator)
        yield simulator


def send(cli: Cli, people: int, *, channels: list[str] | None = None, **limits: int) -> list[str]:
    """Send to so many people; return their numbers."""
    to = cli.people(people)
    cli.job(message={"channels": channels}, limits={"batch_size": 50, **limits})
    assert cli("run", "job.toml", "--yes").code in {0, 3}
    return to


def truth(sim: Simulator, message_id: str) -> dict[str, Any]:
    """Return what the API says of a message now, in the manifest's words."""
    data = sim.call("GET", f"/v3/messages/{message_id}").json["data"]
    channel = data["channel"]
    return {
        "delivery_status": data["status"].lower(),
        "delivery_channel": channel,
        "delivery_reason": data.get("reason_code"),
        "delivery_updated_at": datetime.fromisoformat(data["events"][-1]["timestamp"]),
    }


def equals_the_truth(cli: Cli, sim: Simulator) -> Counter[str]:
    """Compare the manifest with the API, row by row; return how many have which status."""
    counts: Counter[str] = Counter()
    for row in cli.manifest():
        if row["message_id"] is None:
            told: Mapping[str, Any] = dict.fromkeys(
                ("delivery_status", "delivery_channel", "delivery_reason", "delivery_updated_at")
            )
        else:
            told = truth(sim, row["message_id"])
            counts[told["delivery_status"]] += 1
        assert {name: row[name] for name in told} == told, row["input_row"]
    return counts


def looked_up(sim: Simulator) -> Counter[str]:
    """Return how often each message was asked for by its id."""
    paths = [each["path"] for each in sim.requests() if each["method"] == "GET"]
    return Counter(path.rpartition("/")[2] for path in paths if path.startswith("/v3/messages/"))


def asked(sim: Simulator) -> int:
    return len([each for each in sim.requests() if each["method"] == "GET"])


@pytest.mark.parametrize("listed", [True, False], ids=["by the list", "one by one"])
def test_the_delivery_columns_equal_what_the_api_says_row_by_row(cli: Cli, *, listed: bool) -> None:
    with api(cli, failed_share=0.3, refuse_number=["+14155550103"]) as sim:
        send(cli, 300)
        sends_before, before = len(sends(sim)), asked(sim)
        sim.set_faults([] if listed else [LIST])
        ended = cli("reconcile", RUN)
        assert ended.code == 3, ended.stderr
        assert "299 accepted deliveries may still change: at most 299 look-ups" in ended.stderr
        assert "299 messages" in ended.stderr
        assert asked(sim) - before == (1 + 3 if listed else 1 + 1 + 299)  # who we are, the list, each
        sim.set_faults([])
        counts = equals_the_truth(cli, sim)
        assert {"delivered", "read", "failed"} <= counts.keys()
        assert len(sends(sim)) == sends_before
        verified = cli("verify", RUN)
        assert verified.code == 0, verified.stderr
        assert "delivery columns are what the receipts say" in verified.stdout
        assert f"{counts['delivered']} delivered" in cli("status", RUN).stdout
        assert cli("status", RUN, "--json").json["receipts"] == counts


def test_statuses_progress_and_only_what_may_still_change_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    state = tmp_path / "ledger.sqlite"
    with api(cli, state=state, lifecycle_speed=0) as sim:
        port = sim.url.rpartition(":")[2]
        send(cli, 120, channels=["sms"])
        assert cli("reconcile", RUN).code == 0
        assert equals_the_truth(cli, sim) == {"queued": 120}
    with api(cli, state=state, port=port) as sim:  # time goes on
        assert cli("reconcile", RUN).code == 0
        assert equals_the_truth(cli, sim) == {"delivered": 120}
        before = asked(sim)
        ended = cli("reconcile", RUN)
        assert (ended.code, asked(sim)) == (0, before)
        assert "nothing was asked" in ended.stderr


def test_a_limit_is_gone_on_from_and_nobody_is_asked_for_twice(cli: Cli) -> None:
    with api(cli) as sim:
        send(cli, 60, channels=["sms"])
        sim.set_faults([LIST])
        first = cli("reconcile", RUN, "--limit", "21", "--json")
        counts = {"asked": 21, "told": 20, "unknown": 0, "unreadable": 0, "left": 40, "ended_by": None}
        assert {name: first.json["look_ups"][name] for name in counts} == counts  # one request was for the list
        assert first.json["receipts"] == {"none": 40, "delivered": 20}
        assert f"To go on: broadcaster reconcile {RUN}" in first.stderr
        assert cli("reconcile", RUN).code == 0
        assert looked_up(sim) == dict.fromkeys((row["message_id"] for row in cli.manifest()), 1)
        assert equals_the_truth(cli, sim) == {"delivered": 60}


def test_ctrl_c_keeps_what_was_learned(cli: Cli) -> None:
    with api(cli) as sim:
        send(cli, 150, channels=["sms"], requests_per_minute=6000, concurrency=4)
        sim.set_faults([LIST])
        started = cli.start("reconcile", RUN)
        wait_until(lambda: len(looked_up(sim)) >= 20, what="twenty look-ups")
        started.signal(signal.SIGINT)
        ended = started.result()
        assert ended.code == 75, ended.stderr
        assert "what was learned is kept" in ended.stderr
        known = {row["message_id"] for row in cli.manifest() if row["delivery_status"] in FINAL}
        assert 16 <= len(known) < 150  # all but those on their way
        assert cli("reconcile", RUN).code == 0
        again = {each for each, times in looked_up(sim).items() if times > 1}
        assert not again & known
        assert len(again) <= 4
        assert equals_the_truth(cli, sim) == {"delivered": 150}


def test_what_became_of_them_can_be_asked_while_the_run_sends(cli: Cli) -> None:
    with api(cli) as sim:
        cli.people(400)
        cli.job(limits={"batch_size": 1, "requests_per_minute": 600})
        running = cli.start("run", "job.toml", "--yes")
        wait_until(lambda: len(sends(sim)) >= 5, what="five messages")
        ended = cli("reconcile", RUN, "--limit", "2", "--json")
        assert ended.code == 0, ended.stderr
        assert "What is in doubt waits" in ended.stderr
        assert "is being sent by process" in ended.stderr
        assert ended.json["look_ups"]["told"] >= 1
        assert cli("reconcile", RUN, "--no-poll").code == 75
        running.signal(signal.SIGINT)
        assert running.result().code == 75
        told = [row for row in cli.manifest() if row["delivery_status"] == "delivered"]
        assert len(told) >= ended.json["look_ups"]["told"]  # the manifest at the end of the run has it
        assert cli("verify", RUN).code == 0


def test_a_message_that_the_api_does_not_show_yet_is_asked_for_again(cli: Cli) -> None:
    with api(cli) as sim:
        send(cli, 3, channels=["sms"])
        sim.set_faults(
            [{"on": "GET /v3/messages/*", "nth": [1], "do": "status", "status": 404, "code": "RESOURCE_003"}]
        )
        first = cli("reconcile", RUN)
        assert first.code == 0, first.stderr
        assert "1 are not known to the API, or not yet" in first.stderr
        assert cli("reconcile", RUN).code == 0
        assert equals_the_truth(cli, sim) == {"delivered": 3}


REFUSALS: dict[str, tuple[dict[str, Any], int, str]] = {
    "the key is refused": ({"on": "GET /v3/me", "do": "status", "status": 401, "code": "AUTH_002"}, 77, "refuses"),
    "the key is refused on the way": (
        {"on": "GET /v3/messages/*", "nth": [2], "do": "status", "status": 401, "code": "AUTH_002"}, 77, "refuses",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "code", "says"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_ends_it_with_a_sentence(cli: Cli, fault: dict[str, Any], code: int, says: str) -> None:
    with api(cli) as sim:
        send(cli, 3, channels=["sms"])
        sim.set_faults([fault])
        ended = cli("reconcile", RUN)
        assert ended.code == code, ended.stderr
        assert says in ended.stderr
        sim.set_faults([])
        assert cli("reconcile", RUN).code == 0
        assert equals_the_truth(cli, sim) == {"delivered": 3}


def test_another_accounts_key_learns_nothing(cli: Cli) -> None:
    with api(cli) as sim:
        send(cli, 2, channels=["sms"])
        port = sim.url.rpartition(":")[2]
    with api(cli, port=port):  # another account at the same address
        assert cli("reconcile", RUN).code == 78
    assert {row["delivery_status"] for row in cli.manifest()} == {None}


def test_sents_sandbox_keeps_no_messages_and_is_not_asked(cli: Cli) -> None:
    with api(cli) as sim:
        cli.people(2)
        cli.job(message={"channels": ["sms"]})
        assert cli("run", "job.toml", "--yes", "--sandbox").code == 0
        before = asked(sim)
        ended = cli("reconcile", f"{RUN}.sandbox")
        assert (ended.code, asked(sim)) == (0, before)


def test_a_simulated_run_can_be_asked_after_without_an_account(cli: Cli) -> None:
    cli.people(3)
    cli.job(message={"channels": ["sms"]})
    assert cli("run", "job.toml", "--yes", "--simulate").code == 0
    ended = cli("reconcile", f"{RUN}.simulated")
    assert ended.code == 0, ended.stderr
    assert all(row["delivery_status"] for row in cli.manifest(f"{RUN}.simulated"))


def test_a_purged_run_keeps_what_became_of_its_messages(cli: Cli) -> None:
    with api(cli):
        send(cli, 3, channels=["sms"])
        assert cli("reconcile", RUN).code == 0
        assert cli("purge", RUN, "--yes").code == 0
    assert [(row["to"], row["delivery_status"], row["delivery_channel"]) for row in cli.manifest()] == [
        (None, "delivered", "sms")
    ] * 3
    assert not (cli.home / RUN / "receipts.sqlite").exists()
