"""An API that misbehaves: whatever can be settled is, nobody is messaged twice, and doubt is named."""

import csv
import json
from itertools import pairwise
from typing import Any

import pytest
from support.cli import KEY, NOTICE, Cli, matches, numbers, once, sends
from support.simulator import Simulator

_SEND = "POST /v3/messages"

SURVIVED: dict[str, list[dict[str, Any]]] = {
    "429 with Retry-After": [{"on": _SEND, "nth": [2], "do": "status", "status": 429, "retry_after": 1}],
    "503 SERVICE_001": [{"on": _SEND, "nth": [1, 3], "do": "status", "status": 503, "code": "SERVICE_001"}],
    "500 before anything was done": [{"on": _SEND, "nth": [1, 2, 4], "do": "status", "status": 500}],
    "502 with a page": [
        {
            "on": _SEND,
            "nth": [2],
            "do": "status",
            "status": 502,
            "body": "<h1>Bad Gateway</h1>",
            "content_type": "text/html",
        }
    ],
    "connections that drop before": [{"on": _SEND, "nth": [1, 3], "do": "drop_before"}],
    "connections that drop after": [{"on": _SEND, "nth": [1, 3], "do": "drop_after_accept"}],
    "answers cut in half": [{"on": _SEND, "nth": [1, 3], "do": "truncate"}],
    "a hotel's page instead of the answer": [{"on": _SEND, "nth": [1, 3], "do": "html"}],
    "no body": [{"on": _SEND, "nth": [2], "do": "empty_body"}],
    "500 after everything was done": [{"on": _SEND, "nth": [1, 3], "do": "status_after_accept", "status": 500}],
    "504 after everything was done": [{"on": _SEND, "nth": [2], "do": "status_after_accept", "status": 504}],
    "an answer that comes after our patience": [{"on": _SEND, "nth": [2], "do": "slow", "delay_s": 2.5}],
}


@pytest.mark.parametrize("name", SURVIVED)
def test_everybody_gets_it_once_in_spite_of(cli: Cli, sim: Simulator, name: str) -> None:
    cli.people(6)
    patience = {"timeout": "2s"} if SURVIVED[name][0]["do"] == "slow" else {}
    cli.job(limits={"batch_size": 2}, api=patience)
    sim.set_faults(SURVIVED[name])
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert len(sim.messages()) == 6
    matches(cli.home / "runs/acceptance", sim.messages())
    assert sum(each["fault"] is not None for each in sends(sim)) == len(SURVIVED[name][0]["nth"])
    assert len({each["key"] for each in sends(sim)}) == 3  # a repetition has the key of the first attempt
    assert max(row["attempts"] for row in cli.manifest()) > 1
    assert "waiting: " in ended.stderr


def test_retry_after_holds_for_everybody(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 1, "concurrency": 4})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "status", "status": 429, "retry_after": 1}])
    assert cli("run", "job.toml", "--yes").code == 0
    received = [(each["received_us"], each["status"]) for each in sends(sim)]
    at = next(at for at, (_, status) in enumerate(received) if status == 429)
    # Whatever was on its way already comes within an instant; the rest waits for the second.
    waits = [(us - received[at][0]) / 1e6 for us, _ in received[at + 1 :]]
    assert [wait for wait in waits if 0.6 < wait < 0.9] == []
    assert max(waits) >= 0.9


def test_an_api_that_is_down_is_left_alone_until_one_request_finds_it_well_again(cli: Cli, sim: Simulator) -> None:
    cli.people(30)
    cli.job(limits={"batch_size": 1, "concurrency": 8})
    sim.set_faults([{"on": _SEND, "nth": list(range(2, 18)), "do": "status", "status": 500}])  # all senders, twice
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("one request at a time tries whether it answers again") == 1
    received_s = [each["received_us"] / 1e6 for each in sends(sim)]
    assert len(received_s) == 30 + 16
    pauses = [later - earlier for earlier, later in pairwise(received_s)]
    (paused,) = (at for at, pause in enumerate(pauses) if pause > 4)  # for five seconds, and never again
    assert paused >= 16  # after the last failure
    matches(cli.home / "runs/acceptance", sim.messages())


BROKEN: dict[str, dict[str, Any]] = {
    "somebody of the batch twice": {"do": "foreign_row", "to": numbers(1, start=4)[0]},
    "a row too many": {"do": "extra_row"},
    "one id for two": {"do": "duplicate_id"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_contradicts_the_request_halts_the_run(cli: Cli, sim: Simulator, name: str) -> None:
    cli.people(8)
    cli.job(limits={"batch_size": 2, "concurrency": 1})
    sim.set_faults([{"on": _SEND, "nth": [2], **BROKEN[name]}])
    ended = cli("run", "job.toml", "--yes")
    assert (ended.code, ended.stdout) == (5, "")
    assert "not asked for" in ended.stderr
    assert cli.statuses() == {"accepted": 2, "in_doubt": 2, "pending": 4}
    assert len(sends(sim)) == 2
    assert cli("resume", "runs/acceptance").code == 0  # the API's memory of the key has the true answer
    matches(cli.home / "runs/acceptance", sim.messages())


def test_a_number_that_the_api_writes_differently_is_still_the_one_that_was_asked_for(cli: Cli, sim: Simulator) -> None:
    to = cli.people(4)
    cli.job(limits={"batch_size": 2})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "foreign_row"}])
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 0, ended.stderr
    assert [row["to"] for row in cli.manifest()] == to
    matches(cli.home / "runs/acceptance", sim.messages())


def test_who_is_missing_in_an_answer_stays_in_doubt_and_is_never_sent_to_again(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 3, "concurrency": 1})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "omit_rows", "rows": 2}])
    ended = cli("run", "job.toml", "--yes", "--json")
    assert ended.code == 4, ended.stderr
    assert ended.json["deliveries"] == {"accepted": 4, "rejected": 0, "in_doubt": 2, "pending": 0, "excluded": 0}
    assert [(row["status"], row["reason"], row["message_id"] is None) for row in cli.manifest()[4:]] == [
        ("in_doubt", "missing_in_answer", True)
    ] * 2
    for command in (("run", "job.toml", "--yes", "--json"), ("resume", "runs/acceptance", "--json")):
        again = cli(*command)
        assert (again.code, again.json["deliveries"]) == (4, ended.json["deliveries"])
    assert len(sends(sim)) == 2
    once(sim.messages())
    assert cli("verify", "runs/acceptance").code == 0


@pytest.mark.parametrize("form", ["to.3", "to"])
def test_a_refused_number_is_rejected_alone_however_the_api_names_it(cli: Cli, form: str) -> None:
    to = cli.people(7)
    cli.job()
    with Simulator(key=KEY, refuse_number=[to[3]], details_form=form) as sim:
        cli.use(sim)
        ended = cli("run", "job.toml", "--yes")
        assert ended.code == 3, ended.stderr
        matches(cli.home / "runs/acceptance", sim.messages())
    assert [row["to"] for row in cli.manifest() if row["status"] == "rejected"] == [to[3]]
    assert cli.statuses() == {"accepted": 6, "rejected": 1}


def test_a_refused_number_is_listed_for_correction(cli: Cli) -> None:
    to = cli.people(7)
    cli.job(recipients={"id": "code"})
    with Simulator(key=KEY, refuse_number=[to[3]]) as sim:
        cli.use(sim)
        ended = cli("run", "job.toml", "--yes", "--json")
        assert ended.code == 3, ended.stderr
        assert ended.json["deliveries"] == {"accepted": 6, "rejected": 1, "in_doubt": 0, "pending": 0, "excluded": 0}
        (row,) = [row for row in cli.manifest() if row["status"] == "rejected"]
        assert (row["to"], row["recipient_id"], row["reason"], row["message_id"]) == (
            to[3],
            "N-3",
            "VALIDATION_002",
            None,
        )
        assert row["error"]
        assert row["http_status"] == 400
        before = len(sends(sim))
        again = cli("run", "job.toml", "--yes")
        assert (again.code, len(sends(sim))) == (3, before)
    assert "runs/acceptance/failed.csv" in ended.stderr
    with (cli.home / "runs/acceptance/failed.csv").open(encoding="utf-8-sig", newline="") as file:
        (listed,) = csv.DictReader(file)
    assert {name: listed[name] for name in ("phone", "first_name", "code", "channel", "reason")} == {
        "phone": to[3], "first_name": "Name3", "code": "N-3", "channel": "sms", "reason": "VALIDATION_002",
    }  # fmt: skip
    with Simulator(key=KEY) as later:  # once the number is fine, the file is a list like any other
        cli.use(later)
        arguments = ("--campaign", "corrected", "--template-id", NOTICE, "--channel", "sms", "--yes")
        corrected = cli("send", "runs/acceptance/failed.csv", *arguments)
        assert corrected.code == 0, corrected.stderr
        assert [each["recipient"] for each in later.messages()] == [to[3]]


def test_too_many_refusals_halt_the_run(cli: Cli) -> None:
    to = cli.people(150)
    cli.job(limits={"batch_size": 10, "concurrency": 1})
    with Simulator(key=KEY, refuse_number=to[60:]) as sim:
        cli.use(sim)
        ended = cli("run", "job.toml", "--yes", "--json")
        assert ended.code == 5, ended.stderr
        assert "safety.halt_count" in ended.stderr
        assert "safety.halt_share" in ended.stderr
        assert ended.json["deliveries"] == {"accepted": 60, "rejected": 40, "in_doubt": 0, "pending": 50, "excluded": 0}
        matches(cli.home / "runs/acceptance", sim.messages())


STOPPED: dict[str, tuple[int, dict[str, Any], tuple[str, ...]]] = {
    "an empty balance": (5, {"status": 402, "code": "BUSINESS_003"}, ("balance",)),
    "a template that is withdrawn": (2, {"status": 404, "code": "RESOURCE_002"}, ("template",)),
    "another body under the key": (5, {"status": 409, "code": "CONFLICT_005"}, ("idempotency key",)),
    "a redirect": (2, {"status": 307, "headers": {"Location": "http://127.0.0.1:9/"}}, ("redirect",)),
}


@pytest.mark.parametrize("name", STOPPED)
def test_the_run_stops_at_the_first_answer_that_speaks_of(cli: Cli, sim: Simulator, name: str) -> None:
    code, answer, says = STOPPED[name]
    cli.people(6)
    cli.job(limits={"batch_size": 2, "concurrency": 1})
    sim.set_faults([{"on": _SEND, "nth": [2], "do": "status", **answer}])
    ended = cli("run", "job.toml", "--yes")
    assert (ended.code, ended.stdout) == (code, "")
    assert [word for word in (*says, "broadcaster resume runs/acceptance") if word not in ended.stderr] == []
    assert len(sends(sim)) == 2
    assert cli.statuses() == {"accepted": 2, "pending": 4}


def test_an_api_that_stays_silent_is_given_up(cli: Cli, sim: Simulator) -> None:
    cli.people(4)
    cli.job(limits={"batch_size": 2}, safety={"give_up_after": "1s"})
    sim.set_faults([{"on": _SEND, "do": "status_after_accept", "status": 500}])
    ended = cli("run", "job.toml", "--yes", "--json")
    assert ended.code == 75, ended.stderr
    assert "broadcaster resume runs/acceptance" in ended.stderr
    assert ended.json["deliveries"]["in_doubt"] == 2
    sim.set_faults([])
    assert cli("resume", "runs/acceptance").code == 0
    assert len(sim.messages()) == 4
    matches(cli.home / "runs/acceptance", sim.messages())


@pytest.mark.parametrize("do", ["html", "drop_before"])
def test_nothing_is_sent_when_the_api_does_not_say_who_we_are(cli: Cli, sim: Simulator, do: str) -> None:
    cli.people(2)
    cli.job()
    sim.set_faults([{"on": "GET /v3/me", "do": do}])
    ended = cli("run", "job.toml", "--yes")
    assert ended.code in {5, 75}
    assert ended.stdout == ""
    assert "API" in ended.stderr
    assert sends(sim) == []
    assert cli.statuses() == {"pending": 2}


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_the_api_repeats_of_our_secrets_is_not_passed_on(cli: Cli, sim: Simulator, status: int) -> None:
    """Errors of APIs quote what they were given: here the key and somebody's number."""
    (to,) = cli.people(1)
    cli.job()
    said = f"Bad value '{to}' ({to[1:]}) for key {cli.environment['SENT_DM_API_KEY']}."
    error = {"success": False, "data": None, "error": {"code": "VALIDATION_003", "message": said}}
    sim.set_faults([{"on": _SEND, "do": "status", "status": status, "body": json.dumps(error)}])
    ended = cli("run", "job.toml", "--yes")  # looked through for both
    assert ended.code in {2, 3, 77}
    assert "Bad value" in ended.stderr + str(cli.manifest())
