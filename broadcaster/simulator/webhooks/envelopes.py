"""The body of an event, in each of the shapes the API had over time. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime

from broadcaster.simulator.lifecycle import US, Change
from broadcaster.simulator.record import REASONS, Message
from broadcaster.simulator.templates import Template

_LONGEST_BODY = 3072  # characters
_HELD = frozenset({"SCHEDULED", "CANCELLED"})
OLD_EVENT = "message.status.updated"


def second(us: int) -> str:
    """Return the moment *us* (microseconds since 1970) to the second, as events write it."""
    return datetime.fromtimestamp(us // US, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def request_id_of(event_id: str) -> str:
    """Return the request id that an event carries."""
    return f"req_{event_id.replace('-', '')[:16]}"


def payload_of(message: Message, change: Change, *, account: str, template: Template | None) -> dict[str, object]:
    """Return what is said about a *change* of *message*; what does not apply is left out."""
    said: dict[str, object] = {
        "message_status": change.status,
        "message_id": message.message_id,
        "account_id": account,
        "agent_id": None,
        "channel": change.channel or (None if message.channel == "auto" else message.channel),
        "outbound_number": message.recipient,
        "body": message.body[:_LONGEST_BODY] if message.body is not None else None,
    }
    if template is not None:
        said |= {"template_id": template.id, "template_name": template.name}
    if change.reason_code is not None:
        said |= {"reason_code": change.reason_code, "reason": REASONS.get(change.reason_code, "Not delivered")}
    if change.schedule_reason is not None and change.status == "SCHEDULED":
        said["schedule_reason"] = change.schedule_reason
    if change.scheduled_us is not None and change.status in _HELD:
        said["scheduled_at"] = second(change.scheduled_us)
    return {**said, "updated_at": second(change.at_us)}


def wrap(
    variant: str, event: str, payload: Mapping[str, object], *, emitted_us: int, number: str, request_id: str
) -> tuple[str, dict[str, object]]:
    """Return the event's name and its whole body.

    Args:
        variant: one of ``rules.ENVELOPES``.
        event: such as ``message.sent``.
        payload: of :func:`payload_of`, or of another family's event.
        emitted_us: now; what happened may be older.
        number: our own, that messages come from.
        request_id: goes into the newest shape.
    """
    family, said_at = event.partition(".")[0], second(emitted_us)
    if variant == "f" and family == "message":
        return OLD_EVENT, _fat(payload, said_at)
    if variant == "a" and family == "message":
        return event, _flat(payload, said_at, number)
    if variant == "b" and family == "message":
        names = ("account_id", "message_id", "message_status", "channel", "outbound_number", "template_id")
        inner: dict[str, object] = {name: payload.get(name) for name in names} | {"inbound_number": number}
        return event, {"field": "messages", "payload": inner, "timestamp": said_at}
    if variant == "c":
        return event, {"field": family, "sub_type": event, "payload": dict(payload), "timestamp": said_at}
    inner_name = "value" if variant == "e" else "payload"
    body: dict[str, object] = {
        "field": family,
        "event": event,
        "timestamp": said_at,
        inner_name: dict(payload),
        "request_id": request_id,
    }
    return event, body


def _flat(payload: Mapping[str, object], said_at: str, number: str) -> dict[str, object]:
    return {
        "field": "messages",
        "id": payload.get("message_id"),
        "status": str(payload.get("message_status")).lower(),
        "channel": payload.get("channel"),
        "to": payload.get("outbound_number"),
        "from": number,
        "template_id": payload.get("template_id"),
        "timestamp": said_at,
        "error": payload.get("reason"),
    }


def _fat(payload: Mapping[str, object], said_at: str) -> dict[str, object]:
    status = {"status": payload.get("message_status"), "timestamp": payload.get("updated_at")}
    return {
        "event": OLD_EVENT,
        "timestamp": said_at,
        "data": {
            "id": payload.get("message_id"),
            "customerId": payload.get("account_id"),
            "phoneNumber": payload.get("outbound_number"),
            "channel": payload.get("channel"),
            "templateId": payload.get("template_id"),
            "status": payload.get("message_status"),
            "statusHistory": [status],
            "pricing": {"originalPrice": 0.0, "correctedPrice": 0.0, "currency": "USD"},
        },
    }
