"""Webhook bodies in every shape that the API has had, and in shapes that no API has."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.core.receipts import Receipt
from broadcaster.simulator.webhooks.envelopes import wrap
from broadcaster.tracking.envelopes import Ignored, Malformed, read_event

US = 1_000_000
NOW_US = 1_780_000_100 * US
AT_US = 1_780_000_000 * US
AT = datetime.fromtimestamp(AT_US // US, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
LATER = datetime.fromtimestamp(AT_US // US + 7, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
MESSAGE = "019c2a52-0000-7000-8000-000000000001"
TO = "+14155550101"
PAYLOAD: dict[str, object] = {
    "message_status": "FAILED",
    "message_id": MESSAGE,
    "account_id": "7ba7b820-9dad-11d1-80b4-00c04fd430c9",
    "agent_id": None,
    "channel": "sms",
    "outbound_number": TO,
    "body": "Hello",
    "template_id": "7ba7b820-9dad-11d1-80b4-00c04fd430c8",
    "template_name": "order_update",
    "reason_code": "DELIVERY_003",
    "reason": "Not delivered",
    "updated_at": AT,
}


def read(document: object, *, event_id: str | None = "e-1") -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_event(body, event_id=event_id, received_us=NOW_US)


def one(document: object, *, event_id: str | None = "e-1") -> Receipt:
    (receipt,) = read(document, event_id=event_id)
    assert isinstance(receipt, Receipt)
    return receipt


def event(**payload: object) -> dict[str, object]:
    return {"field": "message", "event": "message.failed", "timestamp": LATER, "payload": {**PAYLOAD, **payload}}


# ---- the shapes -----------------------------------------------------------------------------------------------------

FULL = Receipt(
    message_id=MESSAGE,
    status="FAILED",
    channel="sms",
    code="DELIVERY_003",
    reason="Not delivered",
    updated_us=AT_US,
    event_key="id:e-1",
    source="webhook",
    to=TO,
)


@pytest.mark.parametrize(
    ("variant", "lost"),
    [
        pytest.param("a", {"code": None, "updated_us": AT_US + 7 * US}, id="a: flat"),
        pytest.param("b", {"code": None, "reason": None, "updated_us": AT_US + 7 * US}, id="b: an early payload"),
        pytest.param("c", {}, id="c: sub_type"),
        pytest.param("d", {}, id="d: today's"),
        pytest.param("e", {}, id="e: value"),
        pytest.param("f", {"code": None, "reason": None, "price": "0.0"}, id="f: the fat message"),
    ],
)
def test_every_shape_says_what_it_has(variant: str, lost: dict[str, Any]) -> None:
    _, body = wrap(
        variant, "message.failed", PAYLOAD, emitted_us=AT_US + 7 * US, number="+14155550199", request_id="req_1"
    )
    expected = {name: getattr(FULL, name) for name in FULL.__dataclass_fields__} | lost
    assert one(body) == Receipt(**expected)


def test_names_may_be_written_in_any_case() -> None:
    assert (
        one(
            {
                "Field": "Message",
                "Event": "Message.Failed",
                "Payload": {
                    "MessageStatus": "Failed",
                    "messageId": MESSAGE,
                    "Channel": "SMS",
                    "OutboundNumber": TO,
                    "reasonCode": "DELIVERY_003",
                    "REASON": "Not delivered",
                    "updatedAt": AT,
                },
            }
        )
        == FULL
    )


def test_the_fat_message_of_the_documentation_is_read() -> None:
    receipt = one(
        {
            "event": "message.status.updated",
            "data": {
                "id": MESSAGE,
                "customerId": "7ba7b820-9dad-11d1-80b4-00c04fd430c9",
                "contact": {"id": "c-1"},
                "template": {"id": "t-1"},
                "channel": "whatsapp",
                "messageBody": "Hello",
                "status": "delivered",
                "statusHistory": [{"status": "sent", "timestamp": LATER}, {"status": "delivered", "timestamp": AT}],
                "channelResponse": {"code": 1},
                "pricing": {"originalPrice": 0.0125, "correctedPrice": 0.0075, "currency": "USD"},
                "createdAt": LATER,
            },
        }
    )
    assert (receipt.status, receipt.channel, receipt.updated_us) == ("DELIVERED", "whatsapp", AT_US)
    assert (receipt.price, receipt.code, receipt.to) == ("0.0075", None, None)


def test_the_status_of_the_payload_counts_and_else_the_events_name() -> None:
    assert one({**event(), "event": "message.delivered"}).status == "FAILED"
    assert one({**event(message_status=None), "event": "message.delivered"}).status == "DELIVERED"


def test_a_status_that_nobody_knows_is_kept_as_it_is() -> None:
    assert one({**event(message_status="Pondered"), "event": "message.pondered"}).status == "PONDERED"


# ---- its parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"channel": "WhatsApp"}, {"channel": "whatsapp"}),
        ({"channel": None}, {"channel": None}),
        ({"channel": "sent"}, {"channel": None}),
        ({"channel": 7}, {"channel": None}),
        ({"reason": f"{TO} has opted out"}, {"reason": "(number) has opted out"}),
        ({"reason": "x\n\u202ey"}, {"reason": "x y"}),
        ({"reason": ""}, {"reason": None}),
        ({"reason_code": "no code"}, {"code": None}),
        ({"reason_code": None, "reason": None, "error": "Gone"}, {"code": None, "reason": "Gone"}),
        (
            {"reason_code": None, "reason": None, "error": {"code": "E1", "message": "Gone"}},
            {"code": "E1", "reason": "Gone"},
        ),
        ({"price": "0.0600"}, {"price": "0.0600"}),
        ({"price": 1}, {"price": "1"}),
        ({"price": 1e-07}, {"price": "0.0000001"}),
        ({"price": "free"}, {"price": None}),
        ({"price": True}, {"price": None}),
        ({"pricing": {"originalPrice": 0.06, "correctedPrice": None}}, {"price": "0.06"}),
        ({"outbound_number": "Ann"}, {"to": None}),
        ({"updated_at": "2026-05-28T22:26:40+02:00"}, {"updated_us": AT_US}),
        ({"updated_at": "2026-05-28T20:26:40"}, {"updated_us": AT_US}),
        ({"updated_at": "2026-05-28T20:26:40.25Z"}, {"updated_us": AT_US + 250_000}),
        ({"updated_at": AT_US // US}, {"updated_us": AT_US}),
        ({"updated_at": AT_US // 1000 + 1}, {"updated_us": AT_US + 1000}),
        ({"updated_at": None}, {"updated_us": AT_US + 7 * US}),
        ({"updated_at": "yesterday"}, {"updated_us": AT_US + 7 * US}),
        ({"updated_at": "2999-01-01T00:00:00Z"}, {"updated_us": AT_US + 7 * US}),
        ({"updated_at": "0001-01-01T00:00:00+14:00"}, {"updated_us": -62_135_647_200 * US}),
    ],
    ids=str,
)
def test_a_field_is_read_or_left_out(payload: dict[str, object], expected: Mapping[str, object]) -> None:
    receipt = one(event(**payload))
    assert {name: getattr(receipt, name) for name in expected} == expected


def test_without_any_moment_it_happened_when_it_came() -> None:
    document = event(updated_at=None)
    del document["timestamp"]
    assert one(document).updated_us == NOW_US


# ---- which event it is ----------------------------------------------------------------------------------------------


def test_the_event_id_is_the_key_and_else_the_bytes_are() -> None:
    assert one(event()).event_key == one(event(reason="other")).event_key == "id:e-1"
    assert one(event(), event_id="e-2").event_key != "id:e-1"
    for useless in (None, "", "x" * 129, "ü", "a b"):
        by_bytes = one(event(), event_id=useless).event_key
        assert by_bytes.startswith("sha256:")
        assert by_bytes == one(event(), event_id=None).event_key
        assert by_bytes != one(event(reason="other"), event_id=useless).event_key


@pytest.mark.parametrize("enclosed", [False, True], ids=["a list", "an object with a list"])
def test_a_batch_has_a_receipt_and_a_key_for_each(*, enclosed: bool) -> None:
    events = [event(message_id="m-1"), "nonsense", {"event": "link.clicked"}, event(message_id="m-2")]
    receipts = read({"events": events} if enclosed else events)
    assert [(each.message_id, each.event_key) for each in receipts] == [("m-1", "id:e-1/0"), ("m-2", "id:e-1/3")]


# ---- what is none ---------------------------------------------------------------------------------------------------

IGNORED: dict[str, object] = {
    "an opt-out": {"field": "contact", "event": "contact.opt_out", "payload": {"id": "c"}},
    "a template": {"field": "templates", "event": "templates.approved", "payload": {"id": "t"}},
    "a click": {"event": "link.clicked", "payload": {"message_id": MESSAGE}},
    "a call": {"field": "call", "sub_type": "call.ended", "value": {}},
    "a family that is new": {"field": "hologram", "event": "hologram.sent", "payload": {"message_id": MESSAGE}},
    "an inbound message": {
        "field": "message",
        "event": "message.received",
        "payload": {"message_status": "RECEIVED", "inbound_number": TO, "text": "STOP"},
    },
    "an inbound message, flat": {"field": "messages", "id": "m", "status": "received", "from": TO},
    "a batch of others": [{"event": "link.clicked"}, {"event": "call.ended"}],
}


@pytest.mark.parametrize("document", IGNORED.values(), ids=IGNORED.keys())
def test_other_events_are_ignored(document: object) -> None:
    assert isinstance(read(document), Ignored)


MALFORMED: dict[str, object] = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "a form": b"message_id=m&status=sent",
    "very deep": b"[" * 100_000,
    "null": None,
    "a number": 7,
    "a text": "message.sent",
    "an empty object": {},
    "an empty list": [],
    "an empty batch": {"events": []},
    "a list of numbers": [1, 2],
    "no family": {"payload": PAYLOAD},
    "no message": {"field": "message", "event": "message.sent"},
    "no id": {"field": "message", "event": "message.sent", "payload": {"message_status": "SENT"}},
    "an id that is none": event(message_id={"a": 1}),
    "an id with a line break": event(message_id="m\n1"),
    "a very long id": event(message_id="m" * 129),
    "no status": {"field": "message", "event": "message.status.updated", "payload": {"message_id": MESSAGE}},
    "a status that is no word": event(message_status="<script>"),
}


@pytest.mark.parametrize("document", MALFORMED.values(), ids=MALFORMED.keys())
def test_nonsense_is_told_from_events(document: object) -> None:
    assert isinstance(read(document), Malformed)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([10**400, AT, MESSAGE, "SENT"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*PAYLOAD, "field", "event", "payload", "value", "data", "events", "id", "status", "timestamp"]
            )
            | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=500, deadline=None)
@given(body=st.binary(max_size=300), event_id=st.none() | st.text())
def test_no_bytes_raise(body: bytes, event_id: str | None) -> None:
    assert isinstance(read_event(body, event_id=event_id, received_us=NOW_US), Malformed | Ignored | tuple)


@settings(max_examples=500, deadline=None)
@given(inner=st.dictionaries(st.sampled_from([*PAYLOAD, "pricing", "price", "error", "statusHistory"]), JSON), top=JSON)
def test_no_document_raises_and_what_is_read_can_be_stored(inner: dict[str, Any], top: Any) -> None:
    for document in (top, {"field": "message", "payload": {**PAYLOAD, **inner}}, {"field": "messages", **inner}):
        found = read(document)
        for receipt in found if isinstance(found, tuple) else ():
            assert receipt.message_id
            assert receipt.status == receipt.status.upper()
            assert -(2**63) <= receipt.updated_us <= NOW_US + 86_400 * US
            for text in (receipt.message_id, receipt.status, receipt.channel, receipt.code, receipt.reason):
                assert text is None or (text.isprintable() and text.encode())
