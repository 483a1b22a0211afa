"""Sending: ``POST /v3/messages``.

What a send creates is one ledger row per (recipient, channel), written in the same transaction as its idempotency key.
A row keeps what was decided here and now (QUEUED, SCHEDULED, BLOCKED, FILTERED); what becomes of it follows from that.
"""

import json
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from broadcaster.simulator.account import account_id
from broadcaster.simulator.envelope import Answer, Refusal, success
from broadcaster.simulator.idempotency import once
from broadcaster.simulator.ids import message_ids, sandbox_ids
from broadcaster.simulator.lifecycle import US
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.policies import Draft, check_held, judge
from broadcaster.simulator.templates import APPROVED, Template
from broadcaster.simulator.validate import AUTO, AUTO_WORD, Send, parse_json, parse_send

_INSERT = (
    "INSERT INTO message (message_id, recipient, channel, status, reason_code, charged, template_id, body,"
    " idempotency_key, request_id, profile_id, created_us, scheduled_at, release_us, media)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """A send that passed every check, with the template it uses."""

    send: Send
    template: Template | None  # None: free text, or a sandbox send of a template we do not have


async def send_message(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/messages``: 202 once the messages are durable, or as the key was answered before."""
    return await send_document(parts, exchange, None)


async def send_document(parts: Parts, exchange: Exchange, document: Mapping[str, object] | None) -> Answer:
    """Send as *document* says, ``None``: as the body of the request says.

    Raises:
        Refusal: nothing was sent.
    """
    order = _order(parts, exchange, document)
    if isinstance(order, Refusal) and exchange.identity is None:
        raise order
    amount = 0 if isinstance(order, Refusal) else order.send.messages
    share = parts.messages.of(exchange.owner).take(amount, now=time.monotonic(), wall=time.time())
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
        parts.messages.of(exchange.owner).give_back(share)
    if isinstance(result, Refusal):
        raise result
    return result


def _order(parts: Parts, exchange: Exchange, document: Mapping[str, object] | None) -> _Order | Refusal:
    """Check a request against the rules and the templates; a refusal is returned, since a kept answer comes first."""
    try:
        document = parse_json(exchange.body) if document is None else document
        to = document.get("to")
        exchange.recipients = len(to) if isinstance(to, list) else None
        send = parse_send(document, rules=parts.settings.rules, now=datetime.fromtimestamp(time.time(), tz=UTC))
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


def _execute(connection: sqlite3.Connection, parts: Parts, exchange: Exchange, order: _Order) -> Answer | Refusal:
    """Create the messages of *order* and return the 202. Runs in the ledger's thread, inside its transaction."""
    send, template = order.send, order.template
    text = send.text if template is None else template.render(send.parameters)
    pairs = [(number, channel) for number in send.to for channel in send.channels]
    ids = (sandbox_ids if send.sandbox else message_ids)(len(pairs))
    if not send.sandbox:
        try:
            _create(connection, parts, exchange, order, dict(zip(ids, pairs, strict=True)), text=text)
        except Refusal as refusal:
            return refusal
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
            for message_id, (number, channel) in zip(ids, pairs, strict=True)
        ],
    }
    if send.scheduled_at is not None:
        data["scheduled_at"] = send.scheduled_at
    headers = {"X-Sandbox": "true"} if send.sandbox else {}
    return success(data, request_id=exchange.request_id, status=202, headers=headers)


def _create(
    connection: sqlite3.Connection,
    parts: Parts,
    exchange: Exchange,
    order: _Order,
    pairs: Mapping[str, tuple[str, str]],
    *,
    text: str | None,
) -> None:
    """Write one row for each message id of *pairs*.

    Raises:
        Refusal: an account's policy forbids the whole; nothing was written.
    """
    send, now_us = order.send, time.time_ns() // 1000
    account = account_id(parts.settings, parts.ledger.account_id)
    release_us = None
    if send.scheduled_at is not None:
        scheduled_us = int(datetime.fromisoformat(send.scheduled_at).timestamp() * US)
        release_us = parts.settings.world.after(now_us, scheduled_us - now_us)
        check_held(connection, parts.settings, len(pairs), now_us=now_us)
    draft = Draft(
        owner=exchange.profile or account, account=account, template=order.template, pairs=tuple(pairs.values())
    )
    verdicts, paid = judge(connection, parts.settings, draft, now_us=now_us)
    template_id = order.template.id if order.template is not None else None
    key = exchange.identity.key if exchange.identity is not None else None
    media = json.dumps(send.media_urls) if send.media_urls else None
    shared = (
        template_id,
        text,
        key,
        exchange.request_id,
        exchange.profile,
        now_us,
        send.scheduled_at,
        release_us,
        media,
    )
    unhindered = "QUEUED" if release_us is None else "SCHEDULED"
    rows = [
        (message_id, number, channel, unhindered if status == "QUEUED" else status, reason_code, pays, *shared)
        for (message_id, (number, channel)), (status, reason_code), pays in zip(
            pairs.items(), verdicts, paid, strict=True
        )
    ]
    connection.executemany(_INSERT, rows)
