"""The events that webhooks receive, judged by the official SDK's own models of them, in strict mode."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic
import pytest
import sent_dm
from sent_dm.types.message_event import MessageEvent
from support.receiver import receiving
from support.sends import ANN, BOB, EVE, PENDING, SEND, notice
from support.simulator import Simulator

ALWAYS = {"message_status", "message_id", "account_id", "agent_id", "channel", "outbound_number", "body", "updated_at"}
OF_A_TEMPLATE = {"template_id", "template_name"}
OF_A_STATUS = {
    "message.failed": {"reason_code", "reason"},
    "message.blocked": {"reason_code", "reason"},
    "message.scheduled": {"scheduled_at", "schedule_reason"},
    "message.cancelled": {"scheduled_at"},
}
"""What the SDK says is there on some events only."""


def judge(document: Any, *, event: str, of_a_template: bool = True) -> None:
    """Fail unless *document* is an event as the SDK declares it, with every field that belongs to it and no other."""
    raw = pydantic.TypeAdapter(object).dump_json(document)
    judged = MessageEvent.model_validate_json(raw, strict=True)
    assert judged.payload is not None
    assert judged.model_fields_set == {"event", "field", "payload", "request_id", "timestamp"}
    assert not judged.model_extra
    assert not judged.payload.model_extra
    expected = ALWAYS | OF_A_STATUS.get(event, set()) | (OF_A_TEMPLATE if of_a_template else set())
    assert judged.payload.model_fields_set == expected
    assert (judged.field, judged.event) == ("message", event)


EVENTS = {
    "message.queued",
    "message.routed",
    "message.sent",
    "message.delivered",
    "message.read",
    "message.failed",
    "message.blocked",
    "message.scheduled",
    "message.cancelled",
}


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_every_event_is_what_the_sdk_declares() -> None:
    options: dict[str, Any] = {"lifecycle_speed": 500, "read_share": 1, "failed_share": 0.3, "seed": 1}
    with (
        receiving() as receiver,
        Simulator(**options) as sim,
        closing(sent_dm.Sent(api_key=sim.key, base_url=sim.url, max_retries=0)) as sdk,
    ):
        sdk.webhooks.create(display_name="All", endpoint_url=receiver.url, event_types=["message"])
        many = [f"+1415555{at:04d}" for at in range(110, 140)]
        sdk.messages.send(to=[ANN, *many], channel=["whatsapp"], template={"id": notice()["template"]["id"]})
        parameters = {"code": "X", "name": "Ada"}
        sdk.messages.send(to=[BOB], channel=["sms"], template={"id": PENDING, "parameters": parameters})
        held = sdk.messages.send(
            to=[EVE],
            channel=["sms"],
            template={"id": notice()["template"]["id"]},
            scheduled_at=datetime.now(tz=UTC) + timedelta(minutes=5),
        )
        assert held.data is not None
        assert held.data.recipients
        sim.call("POST", f"{SEND}/{held.data.recipients[0].message_id}/cancel")
        deliveries = receiver.until(
            lambda arrived: {each.headers["x-webhook-event-type"] for each in arrived} >= EVENTS
        )
    for delivery in deliveries:
        judge(delivery.json, event=delivery.headers["x-webhook-event-type"])
    assert {delivery.json["event"] for delivery in deliveries} == EVENTS


def test_free_text_belongs_to_no_template() -> None:
    with receiving() as receiver, Simulator(lifecycle_speed=0, text_gate="off") as sim:
        sim.call("POST", "/v3/webhooks", {"display_name": "x", "endpoint_url": receiver.url})
        sim.call("POST", SEND, {"to": [ANN], "text": "Hello"})
        (delivery,) = receiver.arrived(1)
        judge(delivery.json, event="message.queued", of_a_template=False)


def test_the_sdk_reads_the_log_as_events() -> None:
    with (
        receiving() as receiver,
        Simulator(lifecycle_speed=0) as sim,
        closing(sent_dm.Sent(api_key=sim.key, base_url=sim.url, max_retries=0)) as sdk,
    ):
        hook = sdk.webhooks.create(display_name="x", endpoint_url=receiver.url).data
        assert hook is not None
        assert hook.id is not None
        sim.call("POST", SEND, notice(ANN, BOB))
        receiver.arrived(2)
        entries = list(sdk.webhooks.list_events(hook.id, page_size=1))
        assert len(entries) == 2
        assert {type(entry.event_data) for entry in entries} == {MessageEvent}


@pytest.mark.parametrize(
    ("method", "error", "code"),
    [
        pytest.param("retrieve", sent_dm.NotFoundError, "RESOURCE_008", id="404"),
        pytest.param("test", sent_dm.NotFoundError, "RESOURCE_008", id="404 of a test"),
    ],
)
def test_a_webhook_that_is_not_there_is_the_sdks_own_error(
    sim: Simulator, method: str, error: type[sent_dm.APIStatusError], code: str
) -> None:
    with (
        closing(sent_dm.Sent(api_key=sim.key, base_url=sim.url, max_retries=0)) as sdk,
        pytest.raises(error) as caught,
    ):
        getattr(sdk.webhooks, method)("00000000-0000-7000-8000-000000000000")
    assert caught.value.response.json()["error"]["code"] == code
