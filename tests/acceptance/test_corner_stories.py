"""Rows of the corner-case table that take more than one fault to tell."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from support.cli import KEY, Cli, numbers, sends, wait_until
from support.proof import RUN, answer, campaign, error, prove, run, summary
from support.receiver import receiving
from support.simulator import Simulator, Stretch

from broadcaster.store.audit import audit
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_SEND = "POST /v3/messages"
_BAD = numbers(8, start=1000)  # the API refuses them, and does not say whom it means


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    """The one simulator of this module."""
    with Simulator(key=KEY, refuse_number=_BAD, details_form="to", in_flight_wait=0.1) as simulator:
        yield simulator


@pytest.fixture
def here(cli: Cli, api: Simulator) -> Stretch:
    """What the simulator, well again, hears from this test."""
    cli.use(api)
    api.set_faults([])
    return api.from_here()


def _job(cli: Cli, **tables: Any) -> None:
    cli.job(campaign=campaign(), **tables)


# ---- nothing was executed -------------------------------------------------------------------------------------------


@contextmanager
def _gone_after_me(account: dict[str, Any]) -> Iterator[int]:
    """Yield the port of an API that says who we are, and is not there for anything else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.socket.close()  # nobody listens by the time this is answered
            body = json.dumps({"success": True, "data": account}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield server.server_address[1]
        thread.join()


def test_a_refused_connection_is_no_doubt(cli: Cli) -> None:
    account = {"id": "one-and-the-same", "type": "organization", "name": "Ours"}
    cli.people(4)
    _job(cli, limits={"batch_size": 2}, safety={"give_up_after": "200ms"})
    with _gone_after_me(account) as port:
        reach = {"SENT_BASE_URL": f"http://127.0.0.1:{port}", "SENT_DM_API_KEY": KEY}
        ended = run(cli, "--no-preflight", env=reach)
    assert ended.code == 75, ended.stderr
    assert "connection_refused" in ended.stderr
    assert cli.statuses(RUN) == {"pending": 4}
    with Simulator(key=KEY, port=port, account=json.dumps(account)) as back:
        here = back.from_here()
        assert cli("resume", RUN, "--yes", env=reach).code == 0
        prove(cli, here)
        assert len(here.messages()) == 4


@pytest.mark.parametrize("says", ["name_not_found", "tls"])
def test_nothing_is_claimed_when_the_api_cannot_even_be_reached(cli: Cli, api: Simulator, says: str) -> None:
    cli.people(2)
    _job(cli)
    url = {"name_not_found": "https://nobody.invalid", "tls": api.url.replace("http://", "https://")}[says]
    reach = {"SENT_BASE_URL": url, "SENT_DM_API_KEY": KEY}
    started = cli.start("run", "job.toml", "--yes", "--run-dir", RUN, env=reach)
    assert started.process.stderr is not None
    assert any(f"({says})" in line for line in started.process.stderr)  # it says what it waits for
    started.signal(signal.SIGINT)
    assert started.result().code == 75
    assert cli.statuses(RUN) == {"pending": 2}
    assert {row["attempts"] for row in cli.manifest(RUN)} == {0}


# ---- ambiguous ------------------------------------------------------------------------------------------------------

_LIST_OF_STRINGS = json.dumps({"success": True, "data": {"recipients": ["m-1"]}})
AMBIGUOUS: tuple[dict[str, Any], ...] = (
    {"do": "drop_before"},
    {"do": "drop_after_accept"},
    {"do": "reset_before"},
    {"do": "reset_after_accept"},
    {"do": "truncate"},
    {"do": "cut_json"},
    {"do": "html"},
    {"do": "empty_body"},
    {"do": "empty_body", "status": 204},
    {"do": "wrong_shape", "shape": "null"},
    {"do": "wrong_shape", "shape": "object"},
    {"do": "wrong_shape", "shape": "names"},
    {"do": "status_after_accept", "status": 202, "body": error("INTERNAL_001")},
    {"do": "status_after_accept", "status": 200, "body": _LIST_OF_STRINGS},
    {"do": "status_after_accept", "status": 408, "body": ""},
    {"do": "status_after_accept", "status": 502, "body": "<h1>Bad Gateway</h1>", "content_type": "text/html"},
    {"do": "slow", "delay_s": 1.3},
)


def test_every_ambiguous_answer_repeats_the_same_key_and_bytes(cli: Cli, here: Stretch) -> None:
    """The API refuses a key with other bytes (409 CONFLICT_005), so that a replay proves the bytes."""
    count = 1 + len(AMBIGUOUS)  # the first is answered: then all the others are under way at once
    cli.people(count)
    _job(cli, limits={"batch_size": 1, "concurrency": count}, api={"timeout": "1s"})
    here.simulator.set_faults([{"on": _SEND, "nth": [at], **fault} for at, fault in enumerate(AMBIGUOUS, start=2)])
    ended = run(cli)
    assert ended.code == 0, ended.stderr
    prove(cli, here)
    assert len(here.messages()) == count
    received = here.sends()
    assert sorted(each["fault"] for each in received if each["fault"]) == sorted(each["do"] for each in AMBIGUOUS)
    assert len({each["key"] for each in received}) == count
    executed = {each["key"] for each in received if each["fault"] not in {None, "drop_before", "reset_before"}}
    assert {each["key"] for each in received if each["replayed"]} == executed
    assert summary(cli)["batches"]["accepted_by_an_earlier_launch"] == 0  # known to this journal: nothing to warn of
    assert "earlier launch" not in ended.stderr


def test_a_request_that_is_still_at_work_is_asked_for_again_after_five_seconds(cli: Cli, here: Stretch) -> None:
    cli.people(1)
    _job(cli, api={"timeout": "1s"})
    here.simulator.set_faults([{"on": _SEND, "nth": [1], "do": "slow", "delay_s": 3.0}])
    ended = run(cli)
    assert ended.code == 0, ended.stderr
    lost, conflict, replayed = here.sends()
    assert (conflict["status"], conflict["code"], replayed["replayed"]) == (409, "CONFLICT_001", 1)
    assert {lost["key"]} == {conflict["key"], replayed["key"]}
    assert replayed["received_us"] - conflict["received_us"] >= 5_000_000
    assert "still being processed" in ended.stderr
    prove(cli, here)


def test_a_request_that_is_still_at_work_stays_in_doubt_when_nobody_waits_for_it(cli: Cli, here: Stretch) -> None:
    cli.people(2)
    _job(cli, limits={"batch_size": 1})
    here.simulator.set_faults([{"on": _SEND, "nth": [1], "do": "status", "status": 409, "code": "CONFLICT_001"}])
    started = cli.start("run", "job.toml", "--yes", "--run-dir", RUN)
    wait_until(lambda: [each for each in here.sends() if each["status"]], what="the 409")
    started.signal(signal.SIGINT)
    ended = started.result()
    assert ended.code == 75, ended.stderr
    assert [(row["status"], row["reason"]) for row in cli.manifest(RUN)] == [
        ("in_doubt", "CONFLICT_001"),
        ("pending", None),
    ]


def test_doubt_outlives_the_process_and_a_refusal_never_settles_it(cli: Cli, here: Stretch) -> None:
    cli.people(2)
    _job(cli)
    here.simulator.set_faults([
        {"on": _SEND, "nth": [1], "do": "drop_after_accept"},
        {"on": _SEND, "nth": [2], "do": "status", "status": 401},
    ])  # fmt: skip
    assert run(cli).code == 77
    refusal = error("VALIDATION_002", {"to[0]": ["is not valid"]})
    here.simulator.set_faults([{"on": _SEND, "do": "status", "status": 400, "body": refusal}])
    ended = cli("resume", RUN)
    assert ended.code == 4, ended.stderr
    assert cli.statuses(RUN) == {"in_doubt": 2}
    assert len(here.sends()) == 3  # not split: one request
    prove(cli, here)


# ---- refusals -------------------------------------------------------------------------------------------------------

_POSITION_1 = ["must be a valid phone number"]
FORMS: dict[str, Any] = {  # each names the second of three; {number} and {digits} are put in
    "to[1]": {"to[1]": _POSITION_1},
    "to.1": {"to.1": _POSITION_1},
    "to with the number": {"to": ["'{number}' is not valid"]},
    "to with the number as people write it": {"to": ["{spaced} is not valid"]},
    "to with the number among others": {"to": ["Invalid: {number}, +1 202 555 0000"]},
    "to with the place in the text": {"to": ["to[1] is not valid"]},
    "one text instead of a list": {"to[1]": "is not valid"},
    "as .NET writes it": {"$.to[1]": _POSITION_1},
    "below the body": {"body.to[1]": _POSITION_1},
    "below the request": {"Request.To[1]": _POSITION_1},
    "a property of the entry": {"to[1].phone": _POSITION_1},
    "a list of objects": [{"field": "to[1]", "message": "is not valid"}],
    "beside another field": {"to[1]": _POSITION_1, "template": ["is fine"]},
}


def test_a_named_recipient_is_rejected_alone_in_every_form_of_details(cli: Cli, here: Stretch) -> None:
    forms = [*FORMS, "of the second version", "with 422"]
    to = cli.people(3 * len(forms))
    _job(cli, limits={"batch_size": 3, "concurrency": 1})
    rules = []
    for at, name in enumerate(forms):
        number = to[3 * at + 1]
        status = 422 if name == "with 422" else 400
        if name == "of the second version":
            body = json.dumps({"status": 400, "title": "Bad request", "errors": {"to[1]": _POSITION_1}})
        else:
            body = error("VALIDATION_002", FORMS.get(name, {"to[1]": _POSITION_1}))
        spaced = f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"
        body = body.replace("{number}", number).replace("{spaced}", spaced)
        rules.append({"on": _SEND, "nth": [2 * at + 1], "do": "status", "status": status, "body": body})
    here.simulator.set_faults(rules)
    ended = run(cli)
    assert ended.code == 3, ended.stderr
    refused = [row["to"] for row in cli.manifest(RUN) if row["status"] == "rejected"]
    assert {name: to[3 * at + 1] in refused for at, name in enumerate(forms)} == dict.fromkeys(forms, True)
    assert cli.statuses(RUN) == {"accepted": 2 * len(forms), "rejected": len(forms)}
    assert len(here.sends()) == 2 * len(forms)  # the refused batch and the rest of it, each once
    assert len({each["key"] for each in here.sends()}) == 2 * len(forms)  # another body has another key
    prove(cli, here)


def test_bad_numbers_that_are_not_named_are_found_by_halving_and_do_not_count_as_refusals_meanwhile(
    cli: Cli, here: Stretch
) -> None:
    """Some fifteen requests are refused for the sake of three people: only these are counted against the limits."""
    good = numbers(117)
    to = cli.people([*good[:10], _BAD[0], *good[10:70], _BAD[1], *good[70:], _BAD[2]])
    _job(cli, limits={"batch_size": 60, "concurrency": 1}, safety={"halt_count": 3, "halt_share": 0.0})
    ended = run(cli)
    assert ended.code == 3, ended.stderr
    assert [row["to"] for row in cli.manifest(RUN) if row["status"] == "rejected"] == [to[10], to[71], to[-1]]
    refused = sum(each["status"] == 400 for each in here.sends())
    assert 3 * 6 <= refused <= 3 * 7  # one in sixty: six or seven times halved
    prove(cli, here)


def test_halving_ends_with_its_budget(cli: Cli, here: Stretch) -> None:
    cli.people(64)
    _job(cli)
    here.simulator.set_faults([{"on": _SEND, "do": "status", "status": 400, "code": "VALIDATION_002"}])
    ended = run(cli)
    assert ended.code == 3, ended.stderr
    assert cli.statuses(RUN) == {"rejected": 64}
    assert len(here.sends()) == 41  # the batch itself, and forty
    assert here.messages() == []


def test_what_an_earlier_launch_rejected_counts_towards_the_limits_of_the_next(cli: Cli, here: Stretch) -> None:
    cli.people(110)
    _job(cli, limits={"batch_size": 10, "concurrency": 1}, safety={"halt_count": 1, "halt_share": 0.0})
    one = {"do": "status", "status": 400, "body": error("VALIDATION_002", {"to[0]": ["is not valid"]})}
    here.simulator.set_faults([
        {"on": _SEND, "nth": [1], **one},
        {"on": _SEND, "nth": [12], "do": "status", "status": 402},
    ])  # fmt: skip
    assert run(cli).code == 5
    assert cli.statuses(RUN) == {"accepted": 99, "rejected": 1, "pending": 10}
    here.simulator.set_faults([{"on": _SEND, "nth": [1], **one}])
    halted = cli("resume", RUN)
    assert halted.code == 5
    assert "2 of 101 deliveries were rejected" in halted.stderr
    assert cli.statuses(RUN) == {"accepted": 99, "rejected": 2, "pending": 9}
    prove(cli, here)


def test_the_lock_out_of_a_key_is_not_waited_for(cli: Cli, here: Stretch) -> None:
    """Of four requests under way the first is refused for the key, the others for too many refusals."""
    cli.people(8)
    _job(cli, limits={"batch_size": 1, "concurrency": 4})
    here.simulator.set_faults([
        {"on": _SEND, "nth": [2], "do": "status", "status": 401},
        {"on": _SEND, "nth": [3, 4, 5, 6, 7, 8], "do": "status", "status": 429, "retry_after": 3600},
    ])  # fmt: skip
    ended = run(cli)
    assert ended.code == 77, ended.stderr
    assert cli.statuses(RUN) == {"accepted": 1, "pending": 7}
    assert len(here.sends()) <= 5
    prove(cli, here)


def test_too_many_requests_are_never_a_failure(cli: Cli, here: Stretch) -> None:
    cli.people(3)
    strict = {"halt_count": 0, "halt_share": 0.0, "give_up_after": "200ms"}
    _job(cli, limits={"batch_size": 1, "concurrency": 1}, safety=strict)
    here.simulator.set_faults([{"on": _SEND, "nth": [2], "do": "status", "status": 429, "retry_after": 1}])
    ended = run(cli)
    assert ended.code == 0, ended.stderr
    assert [row["attempts"] for row in cli.manifest(RUN)] == [1, 2, 1]
    prove(cli, here)


def test_a_redirect_never_carries_the_key_away(cli: Cli, here: Stretch) -> None:
    cli.people(2)
    _job(cli)
    with receiving() as elsewhere:
        fault = {"do": "status", "status": 308, "headers": {"Location": elsewhere.url}}
        here.simulator.set_faults([{"on": _SEND, **fault}])
        ended = run(cli)
        assert ended.code == 2, ended.stderr
        assert elsewhere.arrived() == []
    assert "redirect" in ended.stderr
    assert cli.statuses(RUN) == {"pending": 2}
    assert len(here.sends()) == 1


# ---- the whole run --------------------------------------------------------------------------------------------------


def test_the_first_request_goes_alone_and_then_all_senders_at_once(cli: Cli, here: Stretch) -> None:
    cli.people(6)
    _job(cli, limits={"batch_size": 1, "concurrency": 4})
    here.simulator.set_faults([
        {"on": _SEND, "nth": [1], "do": "slow", "delay_s": 0.5},
        {"on": _SEND, "nth": [2, 3, 4, 5], "do": "slow", "delay_s": 30.0},
    ])  # fmt: skip
    started = cli.start("run", "job.toml", "--yes", "--run-dir", RUN)
    wait_until(lambda: len(here.sends()) == 5, what="four requests at a time")
    started.signal(signal.SIGKILL)
    started.result()
    first, second = (each["received_us"] for each in here.sends()[:2])
    assert second - first >= 500_000
    assert sends(here.simulator)[-1]["status"] is None  # none of the four had been answered


def test_a_message_id_that_stands_in_two_answers_is_an_alarm(cli: Cli, here: Stretch) -> None:
    to = cli.people(4)
    _job(cli, limits={"batch_size": 2, "concurrency": 1})
    bodies = (answer([(to[0], "m-1"), (to[1], "m-2")]), answer([(to[2], "m-3"), (to[3], "m-2")]))
    here.simulator.set_faults([
        {"on": _SEND, "nth": [at], "do": "status_after_accept", "status": 202, "body": body}
        for at, body in enumerate(bodies, start=1)
    ])  # fmt: skip
    ended = run(cli)
    for again in (ended, run(cli), cli("resume", RUN)):  # it does not go away
        assert (again.code, again.stdout) == (74, "")
        assert "stand for more than one delivery" in again.stderr
    difference = audit(Plan.open(RunDir(cli.home / RUN))).difference
    assert difference is not None
    assert "message id" in difference
