"""Scripted faults: each kind, and when a rule fires."""

import http.client
import json
import time
import uuid
from contextlib import closing
from typing import Any

import pytest
from support.sends import ANN, BOB, EVE, SEND, notice, rows
from support.simulator import PATIENCE_S, Simulator

from broadcaster.simulator.control import is_local
from broadcaster.simulator.faults import FaultError, Script
from broadcaster.simulator.rules import load_rules

ON_SEND = f"POST {SEND}"


@pytest.fixture
def faulty(sim: Simulator) -> Simulator:
    """The shared process, without rules of an earlier test."""
    sim.set_faults([])
    return sim


def executed(sim: Simulator, key: str) -> int:
    """How many messages were created under *key*."""
    return sum(row["idempotency_key"] == key for row in sim.messages())


@pytest.mark.parametrize(
    ("rule", "status", "code", "retry_after"),
    [
        pytest.param({"status": 503, "code": "SERVICE_001", "retry_after": 1}, 503, "SERVICE_001", "1", id="503"),
        pytest.param({"status": 429, "retry_after": 7}, 429, "BUSINESS_002", "7", id="429"),
        pytest.param({"status": 429, "retry_after": -5}, 429, "BUSINESS_002", "-5", id="a negative wait"),
        pytest.param({"status": 429, "retry_after": "soon"}, 429, "BUSINESS_002", "soon", id="a wait that is nonsense"),
        pytest.param(
            {"status": 503, "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"},
            503,
            "INTERNAL_005",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            id="a wait until a date",
        ),
        pytest.param({"status": 500}, 500, "INTERNAL_001", None, id="500"),
        pytest.param({"status": 502}, 502, "INTERNAL_003", None, id="502"),
        pytest.param({"status": 504}, 504, "INTERNAL_004", None, id="504"),
        pytest.param({"status": 408}, 408, "VALIDATION_001", None, id="408"),
        pytest.param({"status": 402}, 402, "BUSINESS_003", None, id="402"),
        pytest.param({"status": 429, "code": "LIMIT_001"}, 429, "LIMIT_001", None, id="a code of its own"),
    ],
)
def test_a_status_is_answered_and_nothing_executed(
    faulty: Simulator, rule: dict[str, Any], status: int, code: str, retry_after: str
) -> None:
    key = f"status-{uuid.uuid4()}"
    faulty.set_faults([{"on": ON_SEND, "nth": 1, "do": "status", **rule}])
    reply = faulty.call("POST", SEND, notice(), idempotency_key=key)
    assert (reply.status, reply.code, reply.headers.get("retry-after")) == (status, code, retry_after)
    assert executed(faulty, key) == 0
    again = faulty.call("POST", SEND, notice(), idempotency_key=key)
    assert again.status == 202
    assert "idempotent-replayed" not in again.headers


def test_a_status_can_bring_its_own_body_and_headers(faulty: Simulator) -> None:
    rule = {"do": "status", "status": 401, "body": "", "headers": {"X-Gateway": "g"}, "content_type": "text/plain"}
    faulty.set_faults([rule])
    reply = faulty.call("POST", SEND, notice())
    assert (reply.status, reply.body, reply.headers["x-gateway"]) == (401, b"", "g")
    assert reply.headers["content-type"] == "text/plain"


def test_a_redirect_can_be_scripted(faulty: Simulator) -> None:
    faulty.set_faults([{"do": "status", "status": 307, "headers": {"Location": "http://127.0.0.1:9/"}}])
    reply = faulty.call("POST", SEND, notice())
    assert (reply.status, reply.headers["location"]) == (307, "http://127.0.0.1:9/")


def test_a_dropped_request_is_not_executed(faulty: Simulator) -> None:
    faulty.set_faults([{"on": ON_SEND, "nth": 1, "do": "drop_before"}])
    with pytest.raises(ConnectionError):
        faulty.call("POST", SEND, notice(), idempotency_key="drop-1")
    assert executed(faulty, "drop-1") == 0
    logged = faulty.requests()[-1]
    assert (logged["fault"], logged["status"], logged["key"]) == ("drop_before", None, "drop-1")


def assert_replays_once(sim: Simulator, key: str) -> None:
    reply = sim.call("POST", SEND, notice(ANN, BOB), idempotency_key=key)
    assert reply.status == 202
    assert reply.headers["idempotent-replayed"] == "true"
    assert [row["to"] for row in rows(reply.body)] == [ANN, BOB]
    assert executed(sim, key) == 2


def test_an_answer_that_is_dropped_was_executed_and_is_remembered(faulty: Simulator) -> None:
    faulty.set_faults([{"on": ON_SEND, "nth": 1, "do": "drop_after_accept"}])
    with pytest.raises(ConnectionError):
        faulty.call("POST", SEND, notice(ANN, BOB), idempotency_key="drop-2")
    assert executed(faulty, "drop-2") == 2
    assert faulty.requests()[-1]["status"] is None
    assert_replays_once(faulty, "drop-2")


def test_a_truncated_answer_was_executed_and_is_remembered(faulty: Simulator) -> None:
    faulty.set_faults([{"on": ON_SEND, "nth": 1, "do": "truncate"}])
    with pytest.raises(http.client.IncompleteRead) as caught:
        faulty.call("POST", SEND, notice(ANN, BOB), idempotency_key="cut-1")
    assert caught.value.partial.startswith(b'{"success":true')
    assert_replays_once(faulty, "cut-1")


@pytest.mark.parametrize(
    ("rule", "status", "begins"),
    [
        pytest.param({"do": "status_after_accept"}, 502, b'{"success":false', id="a bad gateway"),
        pytest.param({"do": "status_after_accept", "status": 504, "body": "oops"}, 504, b"oops", id="with a body"),
        pytest.param({"do": "html"}, 200, b"<!doctype html>", id="a page of the hotel's network"),
        pytest.param({"do": "empty_body"}, 202, b"", id="an empty body"),
    ],
)
def test_another_answer_was_executed_and_is_remembered(
    faulty: Simulator, rule: dict[str, Any], status: int, begins: bytes
) -> None:
    key = f"other-{rule['do']}-{status}"
    faulty.set_faults([{"on": ON_SEND, "nth": [1], **rule}])
    reply = faulty.call("POST", SEND, notice(ANN, BOB), idempotency_key=key)
    assert reply.status == status
    assert reply.body[: len(begins) or None] == begins
    assert faulty.requests()[-1]["fault"] == rule["do"]
    assert_replays_once(faulty, key)


@pytest.mark.parametrize(
    ("rule", "to"),
    [
        pytest.param({"do": "omit_rows"}, [ANN], id="the last row is missing"),
        pytest.param({"do": "omit_rows", "rows": 5}, [], id="all rows are missing"),
        pytest.param({"do": "extra_row"}, [ANN, BOB, "+14155550199"], id="a row nobody asked for"),
        pytest.param({"do": "foreign_row", "to": EVE}, [EVE, BOB], id="a row about somebody else"),
        pytest.param({"do": "duplicate_id"}, [ANN, BOB], id="one id twice"),
    ],
)
def test_a_202_can_have_a_wrong_shape(faulty: Simulator, rule: dict[str, Any], to: list[str]) -> None:
    key = f"shape-{rule['do']}-{len(to)}"
    faulty.set_faults([{"on": ON_SEND, "nth": 1, **rule}])
    reply = faulty.call("POST", SEND, notice(ANN, BOB), idempotency_key=key)
    answered = rows(reply.body)
    assert reply.status == 202
    assert [row["to"] for row in answered] == to
    assert len({row["message_id"] for row in answered}) == len(to) - (rule["do"] == "duplicate_id")
    assert_replays_once(faulty, key)


def test_a_single_row_is_repeated_to_repeat_its_id(faulty: Simulator) -> None:
    faulty.set_faults([{"do": "duplicate_id"}])
    first, second = rows(faulty.call("POST", SEND, notice()).body)
    assert first == second


def test_a_fault_of_shape_leaves_a_refusal_alone(faulty: Simulator) -> None:
    faulty.set_faults([{"do": "omit_rows"}])
    assert faulty.call("POST", SEND, notice("x")).code == "VALIDATION_002"


@pytest.mark.parametrize(
    ("when", "created"), [pytest.param("after", 1, id="after executing"), pytest.param("before", 0, id="before")]
)
def test_a_slow_answer_leaves_the_request_unanswered_until_the_end(when: str, created: int) -> None:
    with Simulator(faults=[{"on": ON_SEND, "do": "slow", "delay_s": 600, "when": when}]) as sim:
        with closing(http.client.HTTPConnection(sim.url.removeprefix("http://"), timeout=0.05)) as connection:
            connection.request("POST", SEND, json.dumps(notice()), {"x-api-key": sim.key})
            until = time.monotonic() + PATIENCE_S
            while not sim.requests() or len(sim.messages()) < created:
                assert time.monotonic() < until
            with pytest.raises(TimeoutError):
                connection.getresponse()
            assert sim.close_stdin() == 0  # nor does it keep the process from going
        assert len(sim.messages()) == created
        assert [row["status"] for row in sim.requests()] == [None]
        assert sim.stderr() == ""


def test_a_slow_answer_arrives_in_the_end(faulty: Simulator) -> None:
    faulty.set_faults([{"do": "slow", "delay_s": 0.05}])
    reply = faulty.call("POST", SEND, notice())
    assert reply.status == 202
    assert int(reply.headers["x-response-time"].removesuffix("ms")) >= 50


def test_rules_can_be_replaced_while_it_runs_and_are_checked(faulty: Simulator) -> None:
    bad = faulty.call("PUT", "/_simulator/faults", [{"do": "explode"}], key=None)
    assert bad.status == 400
    assert "'do' must be one of" in bad.json["error"]
    assert faulty.call("PUT", "/_simulator/faults", b"[", key=None).status == 400
    assert faulty.call("PUT", "/_simulator/faults", [{"do": "html"}], key=None).json == {"rules": 1}
    assert faulty.call("GET", "/v3/me").body.startswith(b"<!doctype")


def test_the_control_door_counts_requests_and_messages() -> None:
    with Simulator(faults=[{"on": "GET /v3/*", "nth": 2, "do": "status", "status": 500}]) as sim:
        for _ in range(2):
            sim.call("GET", "/v3/me")
        sim.call("POST", SEND, notice(ANN, BOB))
        counts = sim.call("GET", "/_simulator/requests", key=None).json
        assert counts == {"total": 3, "by_status": {"200": 1, "202": 1, "500": 1}, "by_fault": {"status": 1}}
        assert sim.call("GET", "/_simulator/messages", key=None).json == {"count": 2}
        assert sim.call("GET", "/_simulator/else", key=None).status == 404
        assert len(sim.requests()) == 3  # its own door is not in the log


@pytest.mark.parametrize(
    ("remote", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("192.0.2.7", False), (None, False), ("nowhere", False)],
    ids=repr,
)
def test_the_control_door_is_for_this_machine_only(remote: str | None, *, local: bool) -> None:
    assert is_local(remote) is local


def fires(rules: list[dict[str, Any]], *requests: str, seed: int = 0) -> list[str | None]:
    script = Script(load_rules(rules), seed=seed)
    picked = [script.pick(*request.split(" ")) for request in requests]
    return [fault.kind.value if fault is not None else None for fault in picked]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        pytest.param({}, [1, 1, 1, 1, 1, 1], id="always"),
        pytest.param({"nth": 2}, [0, 1, 0, 0, 0, 0], id="the second"),
        pytest.param({"nth": [1, 5]}, [1, 0, 0, 0, 1, 0], id="the first and the fifth"),
        pytest.param({"every": 3}, [0, 0, 1, 0, 0, 1], id="every third"),
        pytest.param({"times": 2}, [1, 1, 0, 0, 0, 0], id="twice at most"),
        pytest.param({"every": 2, "times": 1}, [0, 1, 0, 0, 0, 0], id="every second, once at most"),
        pytest.param({"share": 0.0}, [0, 0, 0, 0, 0, 0], id="no share"),
        pytest.param({"share": 1.0}, [1, 1, 1, 1, 1, 1], id="the whole share"),
    ],
)
def test_a_rule_fires_when_its_conditions_hold(condition: dict[str, Any], expected: list[int]) -> None:
    fired = fires([{"do": "html", **condition}], *[ON_SEND] * 6)
    assert [int(kind is not None) for kind in fired] == expected


def test_a_rule_counts_only_the_requests_it_is_on() -> None:
    requests = ("GET /v3/me", ON_SEND, "GET /v3/messages/7", ON_SEND)
    assert fires([{"on": ON_SEND, "nth": 2, "do": "html"}], *requests) == [None, None, None, "html"]
    assert fires([{"on": "GET /v3/messages/*", "nth": 1, "do": "html"}], *requests) == [None, None, "html", None]
    assert fires([{"on": "* /v3/me", "do": "html"}], *requests) == ["html", None, None, None]


def test_the_first_rule_that_fires_wins_and_the_others_count_on() -> None:
    rules: list[dict[str, Any]] = [{"nth": 2, "do": "html"}, {"nth": [2, 3], "do": "truncate"}]
    assert fires(rules, *[ON_SEND] * 4) == [None, "html", "truncate", None]


def test_chance_repeats_with_its_seed_and_keeps_its_share() -> None:
    rules: list[dict[str, Any]] = [{"share": 0.1, "do": "html"}]
    many = [ON_SEND] * 5000
    once = fires(rules, *many, seed=1)
    assert fires(rules, *many, seed=1) == once
    assert fires(rules, *many, seed=2) != once
    assert 400 <= once.count("html") <= 600


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param({}, "must be a JSON list", id="an object"),
        pytest.param(["html"], "must be a JSON object", id="a list of words"),
        pytest.param([{"do": "html", "nth": "first"}], "'nth' must be", id="nth in words"),
        pytest.param([{"do": "html", "share": True}], "'share' must be", id="a share that is a boolean"),
        pytest.param([{"do": "html", "on": SEND}], "'on' must be", id="on without a method"),
        pytest.param([{"do": "status", "status": 100}], "from 200 to 599", id="a status that is no answer"),
        pytest.param([{"do": "slow", "when": "never"}], "before or after", id="an unknown moment"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(document: object, sentence: str) -> None:
    with pytest.raises(FaultError, match=sentence):
        load_rules(document)
