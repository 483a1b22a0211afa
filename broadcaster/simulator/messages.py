"""Messages: ``POST /v3/messages`` and ``GET /v3/messages/{id}``.

What a send creates is one ledger row per (recipient, channel), written in the same transaction as its idempotency key.
What becomes of a message later is not decided here: a row starts QUEUED, SCHEDULED or BLOCKED and stays so.
"""

import sqlite3
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from broadcaster.simulator.account import account_id
from broadcaster.simulator.envelope import Answer, Refusal, moment, success
from broadcaster.simulator.idempotency import once
from broadcaster.simulator.ids import message_ids, sandbox_ids
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.templates import APPROVED, Template
from broadcaster.simulator.validate import AUTO, AUTO_WORD, Send, parse_json, parse_send

_INSERT = (
    "INSERT INTO message (message_id, recipient, channel, template_id, body, status, reason_code, idempotency_key,"
    " request_id, profile_id, created_us, scheduled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REASONS = MappingProxyType(
    {"BUSINESS_005": "Template is not approved", "BUSINESS_012": "Template is not active on this channel"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A send that passed every check, with the template it uses."""

    send: Send
    template: Template | None  # None: free text, or a sandbox send of a template we do not have


async def send_message(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/messages``: 202 once the messages are durable, or as the key was answered before."""
    order = _order(parts, exchange)
    if isinstance(order, Refusal) and exchange.identity is None:
        raise order
    amount = 0 if isinstance(order, Refusal) else order.send.messages
    share = parts.messages.take(amount, now=time.monotonic(), wall=time.time())
    now_us = time.time_ns() // 1000

    def job(connection: sqlite3.Connection) -> Answer | Refusal:
        # The key comes before the checks, as in a middleware: what was accepted once stays accepted, although a
        # scheduled time has passed since.
        return once(
            connection,
            exchange.identity,
            policy=parts.policy,
            now_us=now_us,
            request_id=exchange.request_id,
            execute=lambda: order if isinstance(order, Refusal) else _execute(connection, parts, exchange, order),
        )

    result = await parts.ledger.run(job)
    if isinstance(result, Refusal) or "Idempotent-Replayed" in result.headers:
        parts.messages.give_back(share)
    if isinstance(result, Refusal):
        raise result
    return result


async def show_message(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/messages/{id}``."""
    try:
        message_id = str(uuid.UUID(exchange.params["id"]))
    except ValueError:
        raise Refusal(code="VALIDATION_001", details={"id": ["must be a valid UUID"]}) from None

    def job(connection: sqlite3.Connection) -> tuple[str | int | None, ...] | None:
        columns = "recipient, channel, template_id, body, status, reason_code, created_us, scheduled_at"
        query = f"SELECT {columns} FROM message WHERE message_id = ?"  # noqa: S608 - the columns are ours
        row: tuple[str | int | None, ...] | None = connection.execute(query, (message_id,)).fetchone()
        return row

    row = await parts.ledger.run(job)
    if row is None:
        raise Refusal(code="RESOURCE_003")
    return success(_describe(parts, message_id, row), request_id=exchange.request_id)


def _order(parts: Parts, exchange: Exchange) -> _Order | Refusal:
    """Check a request against the rules and the templates; a refusal is returned, since a kept answer comes first."""
    try:
        document = parse_json(exchange.body)
        to = document.get("to")
        exchange.recipients = len(to) if isinstance(to, list) else None
        send = parse_send(document, rules=parts.settings.rules, now=datetime.now(tz=UTC))
        template = parts.catalogue.find(send.template_id, send.template_name) if send.text is None else None
        if send.text is None and not send.sandbox:  # a sandbox send looks nothing up
            if template is None:
                raise Refusal(code="RESOURCE_002")  # noqa: TRY301 - one way out for every refusal
            template.require(send.parameters)
            if template.status != APPROVED and parts.settings.unapproved_template == "refuse":
                raise Refusal(code="BUSINESS_005")  # noqa: TRY301 - as above
    except Refusal as refusal:
        return refusal
    return _Order(send=send, template=template)


def _execute(connection: sqlite3.Connection, parts: Parts, exchange: Exchange, order: _Order) -> Answer:
    """Create the messages of *order* and return the 202. Runs in the ledger's thread, inside its transaction."""
    send, template = order.send, order.template
    text = send.text if template is None else template.render(send.parameters)
    ids = iter((sandbox_ids if send.sandbox else message_ids)(send.messages))
    pairs = [(next(ids), number, channel) for number in send.to for channel in send.channels]
    if not send.sandbox:
        states = {channel: _first_state(send, template, channel) for channel in send.channels}
        template_id = template.id if template is not None else None
        key = exchange.identity.key if exchange.identity is not None else None
        shared = (key, exchange.request_id, exchange.profile, time.time_ns() // 1000, send.scheduled_at)
        rows = [
            (message_id, number, channel, template_id, text, *states[channel], *shared)
            for message_id, number, channel in pairs
        ]
        connection.executemany(_INSERT, rows)
    unrouted = None if parts.settings.auto_channel == "null" else AUTO_WORD
    data: dict[str, object] = {
        "status": "QUEUED",
        "template_id": send.template_id if template is None else template.id,
        "template_name": send.template_name if template is None else template.name,
        "recipients": [
            {
                "message_id": message_id,
                "to": number,
                "channel": unrouted if channel == AUTO else channel,
                "body": None if channel == AUTO else text,
            }
            for message_id, number, channel in pairs
        ],
    }
    if send.scheduled_at is not None:
        data["scheduled_at"] = send.scheduled_at
    headers = {"X-Sandbox": "true"} if send.sandbox else {}
    return success(data, request_id=exchange.request_id, status=202, headers=headers)


def _first_state(send: Send, template: Template | None, channel: str) -> tuple[str, str | None]:
    """Status and reason code of a new message."""
    if template is not None and template.status != APPROVED:
        return "BLOCKED", "BUSINESS_005"
    if template is not None and channel not in {AUTO, "mms", *template.channels}:
        return "BLOCKED", "BUSINESS_012"
    return ("QUEUED" if send.scheduled_at is None else "SCHEDULED"), None


def _describe(parts: Parts, message_id: str, row: tuple[str | int | None, ...]) -> dict[str, object]:
    """``data`` of ``GET /v3/messages/{id}``."""
    recipient, channel, template_id, body, status, reason_code, created_us, scheduled_at = row
    template = parts.catalogue.by_id(str(template_id)) if template_id is not None else None
    customer = account_id(parts.settings, parts.ledger.account_id)
    created_at = moment(int(created_us or 0))
    reason = {"reason_code": reason_code, "reason": _REASONS.get(str(reason_code))}
    held = {} if scheduled_at is None else {"scheduled_at": scheduled_at}
    return {
        "id": message_id,
        "customer_id": customer,
        "contact_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{customer}/{recipient}")),
        "phone": recipient,
        "phone_international": recipient,
        "region_code": None,  # would need a numbering plan
        "template_id": template_id,
        "template_name": template.name if template is not None else None,
        "template_category": template.category if template is not None else None,
        "channel": None if channel == AUTO else channel,
        "message_body": {"header": None, "content": body, "footer": None, "buttons": []},
        "status": status,
        "direction": "OUTBOUND",
        "created_at": created_at,
        "price": 0.0,
        "active_contact_price": 0.0,
        "events": [{"status": status, "timestamp": created_at, "description": None, **reason}],
        **reason,
        **held,
    }
