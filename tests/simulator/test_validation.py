"""What ``POST /v3/messages`` refuses. One malformed thing refuses the whole request, and nothing is created."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.sends import ANN, BOB, EVE, NOTICE, ORDER, SEND, notice, order
from support.simulator import Simulator

from broadcaster.simulator.envelope import Refusal
from broadcaster.simulator.validate import Rules, parse_send

BASIC = {"name": "Ada", "order_id": "7"}


def ahead(**distance: float) -> str:
    return (datetime.now(tz=UTC) + timedelta(**distance)).isoformat()


def filled(**parameters: object) -> dict[str, Any]:
    return {"to": [ANN], "template": {"id": ORDER, "parameters": {**BASIC, **parameters}}}


@pytest.mark.parametrize(
    ("body", "code", "fields"),
    [
        pytest.param({}, "VALIDATION_004", ["to", "template"], id="an empty object lacks both"),
        pytest.param({**notice(), "to": []}, "VALIDATION_004", ["to"], id="nobody to send to"),
        pytest.param({**notice(), "to": None}, "VALIDATION_004", ["to"], id="to is null"),
        pytest.param({**notice(), "to": ANN}, "VALIDATION_001", ["to"], id="to is one string"),
        pytest.param({**notice(), "to": [ANN] * 1001}, "VALIDATION_001", ["to"], id="1001 recipients"),
        pytest.param(notice(ANN, "4155550100"), "VALIDATION_002", ["to[1]"], id="a number without a plus"),
        pytest.param(notice("+0155550100"), "VALIDATION_002", ["to[0]"], id="a country code of zero"),
        pytest.param(notice("+141555"), "VALIDATION_002", ["to[0]"], id="six digits"),
        pytest.param(notice("+1415555010012345"), "VALIDATION_002", ["to[0]"], id="sixteen digits"),
        pytest.param(notice(ANN + "\n"), "VALIDATION_002", ["to[0]"], id="a trailing newline"),
        pytest.param(notice("+1415555\u0660100"), "VALIDATION_002", ["to[0]"], id="a digit of another script"),
        pytest.param({**notice(), "to": [14155550100]}, "VALIDATION_002", ["to[0]"], id="a number that is no string"),
        pytest.param(notice("x", BOB, "y"), "VALIDATION_002", ["to[0]", "to[2]"], id="every bad number is named"),
        pytest.param(notice(channel=["sms", "fax"]), "VALIDATION_006", ["channel"], id="an unknown channel"),
        pytest.param(notice(channel=["SMS"]), "VALIDATION_006", ["channel"], id="a channel in capitals"),
        pytest.param(notice(channel=["sms", "sent"]), "VALIDATION_006", ["channel"], id="sent beside a channel"),
        pytest.param(notice(channel="sms"), "VALIDATION_001", ["channel"], id="a channel that is no list"),
        pytest.param(notice(channel=[["sms"]]), "VALIDATION_006", ["channel"], id="a list in the channels"),
        pytest.param(notice(channels={"sent": []}), "VALIDATION_006", ["channels"], id="sender numbers for sent"),
        pytest.param({"to": [ANN]}, "VALIDATION_004", ["template"], id="neither template nor text"),
        pytest.param(notice(text="hello"), "VALIDATION_001", ["text"], id="both template and text"),
        pytest.param({"to": [ANN], "text": "  "}, "VALIDATION_001", ["text"], id="a blank text"),
        pytest.param({"to": [ANN], "text": 7}, "VALIDATION_001", ["text"], id="a text that is a number"),
        pytest.param({"to": [ANN], "template": "x"}, "VALIDATION_001", ["template"], id="a template that is a string"),
        pytest.param({"to": [ANN], "template": {}}, "VALIDATION_004", ["template.id"], id="a template without a name"),
        pytest.param(
            {"to": [ANN], "template": {"id": 7}}, "VALIDATION_001", ["template.id"], id="a template id that is a number"
        ),
        pytest.param(
            {"to": [ANN], "template": {"id": ORDER, "parameters": ["Ada"]}},
            "VALIDATION_001",
            ["template.parameters"],
            id="positional parameters",
        ),
        pytest.param(
            {"to": [ANN], "template": {"id": ORDER, "parameters": {"name": "Ada"}}},
            "VALIDATION_004",
            ["template.parameters.order_id"],
            id="a variable that is not given",
        ),
        pytest.param(filled(order_id=7), "VALIDATION_008", ["template.parameters.order_id"], id="a number as value"),
        pytest.param(filled(name=None), "VALIDATION_008", ["template.parameters.name"], id="null as value"),
        pytest.param(filled(name="a\nb"), "VALIDATION_008", ["template.parameters.name"], id="a newline"),
        pytest.param(filled(name="a\tb"), "VALIDATION_008", ["template.parameters.name"], id="a tab"),
        pytest.param(filled(name="a     b"), "VALIDATION_008", ["template.parameters.name"], id="five spaces"),
        pytest.param(
            filled(header_image="http://example.com/a.png"),
            "VALIDATION_008",
            ["template.parameters.header_image"],
            id="a header image that is not https",
        ),
        pytest.param(notice(sandbox="yes"), "VALIDATION_001", ["sandbox"], id="sandbox as a string"),
        pytest.param(notice(scheduled_at=5), "VALIDATION_001", ["scheduled_at"], id="a schedule that is a number"),
        pytest.param(
            notice(scheduled_at="2999-01-01T10:00:00"), "VALIDATION_001", ["scheduled_at"], id="a time without offset"
        ),
        pytest.param(
            notice(scheduled_at="2999-02-31T10:00:00Z"), "VALIDATION_001", ["scheduled_at"], id="a day that is not"
        ),
        pytest.param(notice(scheduled_at=ahead(days=31)), "VALIDATION_005", ["scheduled_at"], id="31 days ahead"),
        pytest.param(notice(scheduled_at=ahead(days=-1)), "VALIDATION_005", ["scheduled_at"], id="yesterday"),
        pytest.param(notice(channel=["mms"]), "VALIDATION_004", ["media_urls"], id="mms without media"),
        pytest.param(
            notice(channel=["mms"], media_urls=["a.png"]), "VALIDATION_001", ["media_urls"], id="media that is no URL"
        ),
    ],
)
def test_a_request_is_refused(sim: Simulator, body: object, code: str, fields: list[str]) -> None:
    before = sim.call("GET", "/_simulator/messages").json

    reply = sim.call("POST", SEND, body)

    assert (reply.status, reply.code) == (400, code)
    details = reply.json["error"]["details"]
    assert list(details) == fields
    assert all(isinstance(line, str) for lines in details.values() for line in lines)
    assert sim.call("GET", "/_simulator/messages").json == before


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(notice(*[f"+1415555{at:04d}" for at in range(1000)]), id="1000 recipients"),
        pytest.param(notice("+1415555", "+141555501001234"), id="seven and fifteen digits"),
        pytest.param(notice(channel=None), id="a null channel"),
        pytest.param(notice(channel=[]), id="an empty list of channels"),
        pytest.param(notice(channel=["sent"]), id="sent alone"),
        pytest.param(notice(channels={"sms": [{"from": ["+14155550199"]}]}), id="sender numbers"),
        pytest.param({"to": [ANN], "text": "hello"}, id="free text"),
        pytest.param({"to": [ANN], "template": {"name": "service_notice"}}, id="a template by name"),
        pytest.param({"to": [ANN], "template": {"id": NOTICE, "name": "service_notice"}}, id="by id and its name"),
        pytest.param(filled(name="a    b"), id="four spaces"),
        pytest.param(filled(unheard_of="x"), id="a parameter that the template does not know"),
        pytest.param(filled(name=""), id="an empty value"),
        pytest.param(notice(scheduled_at=ahead(days=29)), id="29 days ahead"),
        pytest.param(notice(channel=["mms"], media_urls=["https://example.com/a.png"]), id="mms with media"),
        pytest.param(notice(channel=["sms"], media_urls=["https://example.com/a.png"]), id="media that sms ignores"),
    ],
)
def test_a_request_is_accepted(sim: Simulator, body: object) -> None:
    assert sim.call("POST", SEND, body).status == 202


@pytest.mark.parametrize(
    "template",
    [
        pytest.param({"id": "3f2504e0-4f89-41d3-9a0c-0305e82cffff"}, id="an id we do not have"),
        pytest.param({"id": "tmpl_123"}, id="an id of another form"),
        pytest.param({"name": "nothing_of_ours"}, id="a name we do not have"),
        pytest.param({"id": NOTICE, "name": "spring_sale"}, id="an id and another one's name"),
    ],
)
def test_an_unknown_template_is_not_found(sim: Simulator, template: dict[str, str]) -> None:
    reply = sim.call("POST", SEND, {"to": [ANN], "template": template})
    assert (reply.status, reply.code) == (404, "RESOURCE_002")


@pytest.mark.parametrize(
    ("scheduled_at", "code"),
    [
        pytest.param("2026-12-01T09:00:59Z", "VALIDATION_005", id="a second too soon"),
        pytest.param("2026-12-01T09:01:00Z", None, id="a minute ahead"),
        pytest.param("2026-12-01T10:01:00+01:00", None, id="a minute ahead, elsewhere"),
        pytest.param("2026-12-01T10:00:00+01:00", "VALIDATION_005", id="now, elsewhere"),
        pytest.param("2026-12-31T09:00:00.0000000Z", None, id="30 days ahead, in seven decimals"),
        pytest.param("2026-12-31T09:00:01Z", "VALIDATION_005", id="a second too late"),
        pytest.param("2026-12-01", "VALIDATION_001", id="a date"),
        pytest.param("2026-12-01 10:00+00:00", "VALIDATION_001", id="a blank for the T"),
    ],
)
def test_a_schedule_lies_between_one_minute_and_thirty_days_ahead(scheduled_at: str, code: str | None) -> None:
    now = datetime(2026, 12, 1, 9, tzinfo=UTC)
    try:
        found = parse_send(notice(scheduled_at=scheduled_at), rules=Rules(), now=now).scheduled_at
    except Refusal as refusal:
        found = refusal.code
    assert found == (code or scheduled_at)


def test_numbers_can_be_refused_by_name_and_spoil_the_whole_batch() -> None:
    with Simulator(refuse_number=[BOB, EVE]) as sim:
        reply = sim.call("POST", SEND, notice(ANN, BOB, "+14155550103", EVE))
        assert (reply.status, reply.code) == (400, "VALIDATION_002")
        assert list(reply.json["error"]["details"]) == ["to[1]", "to[3]"]
        assert sim.messages() == []
        assert sim.call("POST", SEND, notice(ANN)).status == 202


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        pytest.param("to[3]", {"to[1]": 1, "to[2]": 1}, id="with brackets"),
        pytest.param("to.3", {"to.1": 1, "to.2": 1}, id="with dots"),
        pytest.param("to", {"to": 2}, id="naming nobody"),
    ],
)
def test_the_form_of_details_is_a_switch(form: str, fields: dict[str, int]) -> None:
    with Simulator(details_form=form) as sim:
        details = sim.call("POST", SEND, notice(ANN, "x", "y")).json["error"]["details"]
    assert {field: len(lines) for field, lines in details.items()} == fields


def test_a_complaint_never_repeats_a_phone_number(sim: Simulator) -> None:
    assert b"00100200" not in sim.call("POST", SEND, notice("+00100200300")).body


def test_the_log_counts_the_recipients_of_refused_requests_too(sim: Simulator) -> None:
    sim.call("POST", SEND, order(to=[ANN, "x", BOB]))
    assert [sim.requests()[-1][name] for name in ("status", "code", "recipients")] == [400, "VALIDATION_002", 3]
