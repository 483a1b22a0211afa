"""What a send creates and how it reads afterwards; the templates."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.sends import ANN, BOB, NOTICE, ORDER, PENDING, SEND, notice, order, rows
from support.simulator import Reply, Simulator

REJECTED = "3f2504e0-4f89-41d3-9a0c-0305e82c3305"
RENDERED = "Hi Ada, your order #7 has been confirmed."


def created(sim: Simulator, reply: Reply) -> list[dict[str, Any]]:
    """The ledger rows of one answer."""
    assert reply.status == 202, reply.body
    return [row for row in sim.messages() if row["request_id"] == reply.headers["x-request-id"]]


def test_there_is_one_message_per_recipient_and_channel(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, order(to=[ANN, BOB], channel=["sms", "whatsapp"]))

    pairs = [(ANN, "sms"), (ANN, "whatsapp"), (BOB, "sms"), (BOB, "whatsapp")]
    data = reply.json["data"]
    assert (data["status"], data["template_id"], data["template_name"]) == ("QUEUED", ORDER, "order_confirmation")
    assert [(row["to"], row["channel"]) for row in data["recipients"]] == pairs
    assert {row["body"] for row in data["recipients"]} == {RENDERED}
    assert [(row["recipient"], row["channel"]) for row in created(sim, reply)] == pairs
    assert [row["message_id"] for row in created(sim, reply)] == [row["message_id"] for row in data["recipients"]]
    assert "scheduled_at" not in data


def test_when_the_api_picks_the_channel_neither_channel_nor_body_is_shown(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, order())
    assert [(row["channel"], row["body"]) for row in rows(reply.body)] == [(None, None)]
    assert [(row["channel"], row["body"]) for row in created(sim, reply)] == [("auto", RENDERED)]


def test_the_picked_channel_can_be_shown_as_sent() -> None:
    with Simulator(auto_channel="sent") as sim:
        assert rows(sim.call("POST", SEND, notice()).body)[0]["channel"] == "sent"


def test_a_message_row_holds_what_was_asked(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, order(channel=["sms"]), idempotency_key="row-1")
    (row,) = created(sim, reply)
    assert abs(row["created_us"] / 1e6 - datetime.now(tz=UTC).timestamp()) < 60
    assert {name: row[name] for name in row if name not in {"created_us", "message_id", "request_id"}} == {
        "recipient": ANN,
        "channel": "sms",
        "template_id": ORDER,
        "body": RENDERED,
        "status": "QUEUED",
        "reason_code": None,
        "idempotency_key": "row-1",
        "profile_id": None,
        "scheduled_at": None,
        "release_us": None,
        "begun_us": None,
        "attempt": 1,
        "changed_us": None,
        "charged": 0,
        "media": None,
        "earlier": None,
    }


def test_a_number_twice_in_one_request_gets_it_twice(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, notice(ANN, ANN))
    assert [row["recipient"] for row in created(sim, reply)] == [ANN, ANN]


def test_message_ids_are_uuids_and_never_repeat(sim: Simulator) -> None:
    to = [f"+1415555{at:04d}" for at in range(1000)]
    ids = [row["message_id"] for _ in range(3) for row in rows(sim.call("POST", SEND, notice(*to)).body)]
    assert len(set(ids)) == 3000
    assert all(str(uuid.UUID(message)) == message for message in ids)


def test_a_long_text_is_escaped_as_the_real_serialiser_does(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, {"to": [ANN], "channel": ["sms"], "text": "\u0633"})
    assert b"\\u0633" in reply.body


def test_free_text_has_no_template(sim: Simulator) -> None:
    reply = sim.call("POST", SEND, {"to": [ANN], "channel": ["sms"], "text": "See you at noon."})
    assert reply.json["data"]["template_id"] is None
    assert [(row["template_id"], row["body"]) for row in created(sim, reply)] == [(None, "See you at noon.")]


def test_a_scheduled_message_is_held(sim: Simulator) -> None:
    later = (datetime.now(tz=UTC) + timedelta(hours=1)).isoformat()
    reply = sim.call("POST", SEND, notice(scheduled_at=later))
    assert (reply.json["data"]["status"], reply.json["data"]["scheduled_at"]) == ("QUEUED", later)
    assert [(row["status"], row["scheduled_at"]) for row in created(sim, reply)] == [("SCHEDULED", later)]
    message = rows(reply.body)[0]["message_id"]
    read = sim.call("GET", f"/v3/messages/{message}").json["data"]
    assert read["status"] == "SCHEDULED"
    assert datetime.fromisoformat(read["scheduled_at"]) == datetime.fromisoformat(later)


@pytest.mark.parametrize("template", [PENDING, REJECTED])
def test_an_unapproved_template_is_accepted_and_blocked(sim: Simulator, template: str) -> None:
    body = {"to": [ANN], "template": {"id": template, "parameters": {"name": "Ada", "code": "X"}}}
    reply = sim.call("POST", SEND, body)
    assert [(row["status"], row["reason_code"]) for row in created(sim, reply)] == [("BLOCKED", "BUSINESS_005")]


def test_an_unapproved_template_can_be_refused_instead() -> None:
    with Simulator(unapproved_template="refuse") as sim:
        body = {"to": [ANN], "template": {"id": PENDING, "parameters": {"name": "Ada", "code": "X"}}}
        assert (sim.call("POST", SEND, body).status, sim.call("POST", SEND, body).code) == (400, "BUSINESS_005")
        assert sim.messages() == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(order(sandbox=True, channel=["sms"]), id="a template of ours"),
        pytest.param({"to": [ANN], "template": {"id": "tmpl_123"}, "sandbox": True}, id="a template nobody has"),
        pytest.param({"to": [ANN], "template": {"id": ORDER}, "sandbox": True}, id="without the parameters"),
    ],
)
def test_a_sandbox_send_looks_nothing_up_and_creates_nothing(sim: Simulator, body: Mapping[str, object]) -> None:
    reply = sim.call("POST", SEND, body)
    assert created(sim, reply) == []
    assert reply.headers["x-sandbox"] == "true"
    assert [row["message_id"].startswith("msg_test_") for row in rows(reply.body)] == [True]


def test_a_sandbox_send_is_validated(sim: Simulator) -> None:
    assert sim.call("POST", SEND, notice("x", sandbox=True)).code == "VALIDATION_002"


def test_a_live_send_is_not_marked_as_sandbox(sim: Simulator) -> None:
    assert "x-sandbox" not in sim.call("POST", SEND, notice(sandbox=False)).headers


def test_a_message_can_be_read(sim: Simulator) -> None:
    message = rows(sim.call("POST", SEND, order(channel=["whatsapp"])).body)[0]["message_id"]
    data = sim.call("GET", f"/v3/messages/{message}").json["data"]
    expected = {"id": message, "phone": ANN, "channel": "whatsapp", "status": "QUEUED", "direction": "OUTBOUND"}
    assert {name: data[name] for name in expected} == expected
    assert (data["template_id"], data["template_name"]) == (ORDER, "order_confirmation")
    assert data["customer_id"] == sim.call("GET", "/v3/me").json["data"]["id"]
    assert data["message_body"]["content"] == RENDERED
    assert [event["status"] for event in data["events"]] == ["QUEUED"]
    assert data["events"][0]["timestamp"] == data["created_at"]


def test_templates_are_listed_by_pages(sim: Simulator) -> None:
    pages = [sim.call("GET", f"/v3/templates?page={page}&page_size=4").json["data"] for page in (1, 2, 3)]
    assert [[template["name"] for template in page["templates"]] for page in pages] == [
        ["order_confirmation", "spring_sale", "service_notice", "storm_alert"],
        ["winter_draft", "miracle_offer"],
        [],
    ]
    assert [page["pagination"]["has_more"] for page in pages] == [True, False, False]
    assert {name: pages[0]["pagination"][name] for name in ("page", "page_size", "total_count", "total_pages")} == {
        "page": 1,
        "page_size": 4,
        "total_count": 6,
        "total_pages": 2,
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        pytest.param("search=SPRING", ["spring_sale"], id="by a part of the name"),
        pytest.param("status=pending", ["winter_draft"], id="by status"),
        pytest.param("status=APPROVED&search=storm", ["storm_alert"], id="by both"),
        pytest.param("search=nothing", [], id="none found"),
    ],
)
def test_templates_are_searched(sim: Simulator, query: str, names: list[str]) -> None:
    data = sim.call("GET", f"/v3/templates?{query}").json["data"]
    assert [template["name"] for template in data["templates"]] == names


@pytest.mark.parametrize("query", ["page=0", "page_size=x", "page=-1"])
def test_a_page_must_be_a_positive_number(sim: Simulator, query: str) -> None:
    assert sim.call("GET", f"/v3/templates?{query}").code == "VALIDATION_005"


def test_a_template_tells_what_it_needs(sim: Simulator) -> None:
    data = sim.call("GET", f"/v3/templates/{ORDER.upper()}").json["data"]
    assert (data["id"], data["status"], data["is_published"]) == (ORDER, "APPROVED", True)
    assert data["variables"] == ["name", "order_id"]
    assert data["channels"] == ["sms", "whatsapp", "rcs"]
    assert sim.call("GET", f"/v3/templates/{NOTICE}").json["data"]["variables"] == []
    assert sim.call("GET", f"/v3/templates/{PENDING}").json["data"]["is_published"] is False


def test_templates_can_be_added_and_block_the_channels_they_lack() -> None:
    added = [{"id": "tmpl_1", "name": "ferry", "body": "Ferry {{n}} is late, {{n}}!", "channels": ["sms"]}]
    with Simulator(templates=json.dumps(added)) as sim:
        template = {"name": "ferry", "parameters": {"n": "7"}}
        reply = sim.call("POST", SEND, {"to": [ANN], "channel": ["sms", "rcs"], "template": template})
        assert [(row["channel"], row["status"], row["reason_code"], row["body"]) for row in sim.messages()] == [
            ("sms", "QUEUED", None, "Ferry 7 is late, 7!"),
            ("rcs", "BLOCKED", "BUSINESS_012", "Ferry 7 is late, 7!"),
        ]
        blocked = rows(reply.body)[1]["message_id"]
        event = sim.call("GET", f"/v3/messages/{blocked}").json["data"]["events"][-1]
        assert (event["status"], event["reason_code"]) == ("BLOCKED", "BUSINESS_012")
        assert sim.call("GET", "/v3/templates/tmpl_1").json["data"]["variables"] == ["n"]
