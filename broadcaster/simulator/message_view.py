"""How messages are shown: ``GET /v3/messages/{id}``, its activities, and the conversations. Only reads."""

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from broadcaster.simulator import contact_store as store
from broadcaster.simulator.account import account_id, owner_of, sending_number
from broadcaster.simulator.envelope import Answer, Refusal, moment, success
from broadcaster.simulator.lifecycle import Change, reached
from broadcaster.simulator.numbering import calling_code, national, region_of
from broadcaster.simulator.pages import read_id, read_page
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.record import FIELDS, REASONS, Message, find
from broadcaster.simulator.validate import AUTO

_SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "QUEUED": "Message accepted",
        "PROCESSED": "Message prepared",
        "ROUTED": "Channel chosen",
        "SCHEDULED": "Message held",
        "SENT": "Handed to the provider",
        "DELIVERED": "Delivered",
        "READ": "Read by the recipient",
        "FAILED": "Delivery failed",
        "BLOCKED": "Not sent: the account does not allow it",
        "FILTERED": "Not sent: the recipient does not want it",
        "CANCELLED": "Called off",
    }
)
_NO_PRICE = "0.0000"


async def show_message(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/messages/{id}``."""
    message = await _wanted(parts, exchange)
    return success(describe(parts, message, now_us=time.time_ns() // 1000), request_id=exchange.request_id)


async def show_activities(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/messages/{id}/activities``: all that happened so far, newest first."""
    page, message = read_page(exchange.query), await _wanted(parts, exchange)
    happened = reached(message.course(parts.settings.world, parts.catalogue), now_us=time.time_ns() // 1000)[::-1]
    shown = happened[page.start : page.start + page.size]
    data = {
        "message_id": message.message_id,
        "activities": [_activity(parts, change) for change in shown],
        "pagination": page.describe(len(happened)),
    }
    return success(data, request_id=exchange.request_id)


async def list_conversations(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/conversations?page&page_size``: the messages of all conversations, newest first."""
    return await _list(parts, exchange, "profile_id IS ?", (exchange.profile,))


async def show_conversation(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/conversations/{id}``: the messages of one contact, whose id it is."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)

    def job(connection: sqlite3.Connection) -> store.Contact | None:
        store.take_in(connection, account_id(parts.settings, parts.ledger.account_id))
        return store.find_contact(connection, owner, name)

    contact = await parts.ledger.run(job)
    if contact is None:
        raise Refusal(code="RESOURCE_013", message="Conversation not found")
    return await _list(parts, exchange, "profile_id IS ? AND recipient = ?", (exchange.profile, contact.phone))


async def _list(parts: Parts, exchange: Exchange, matching: str, values: Sequence[object]) -> Answer:
    page = read_page(exchange.query)

    def job(connection: sqlite3.Connection) -> tuple[list[Message], int]:
        (total,) = connection.execute(f"SELECT count(*) FROM message WHERE {matching}", values).fetchone()  # noqa: S608
        query = f"SELECT {FIELDS} FROM message WHERE {matching} ORDER BY rowid DESC LIMIT ? OFFSET ?"  # noqa: S608 - ours
        rows = connection.execute(query, (*values, page.size, page.start)).fetchall()
        return [Message.of(row) for row in rows], total

    found, total = await parts.ledger.run(job)
    now_us = time.time_ns() // 1000
    data = {
        "messages": [describe(parts, message, now_us=now_us) for message in found],
        "pagination": page.describe(total),
    }
    return success(data, request_id=exchange.request_id)


async def _wanted(parts: Parts, exchange: Exchange) -> Message:
    message_id = read_id(exchange.params)
    message = await parts.ledger.run(lambda connection: find(connection, message_id))
    if message is None:
        raise Refusal(code="RESOURCE_003")
    return message


def describe(parts: Parts, message: Message, *, now_us: int) -> dict[str, object]:
    """Return a message as it stands at *now_us*."""
    happened = reached(message.course(parts.settings.world, parts.catalogue), now_us=now_us)
    last = happened[-1]
    held = [change.scheduled_us for change in happened if change.scheduled_us is not None]
    template = parts.catalogue.by_id(message.template_id) if message.template_id is not None else None
    owner = message.profile_id or account_id(parts.settings, parts.ledger.account_id)
    phone = message.recipient
    return {
        "id": message.message_id,
        "customer_id": owner,
        "contact_id": store.contact_id(owner, phone),
        "phone": phone,
        "phone_international": f"+{calling_code(phone)} {national(phone)}",
        "region_code": region_of(phone),
        "template_id": message.template_id,
        "template_name": template.name if template is not None else None,
        "template_category": template.category if template is not None else None,
        "channel": last.channel or (None if message.channel == AUTO else message.channel),
        "message_body": _body(message),
        "status": last.status,
        "direction": "OUTBOUND",
        "created_at": moment(message.created_us),
        "price": 0.0,
        "active_contact_price": 0.0,
        "events": [_event(change) for change in happened],
        **_reason(last),
        **({"scheduled_at": moment(held[-1])} if held else {}),
    }


def _body(message: Message) -> dict[str, object]:
    urls = json.loads(message.media) if message.media is not None else []
    attachments = [
        {"url": url, "mediaType": None, "mimeType": None, "sizeBytes": None, "sourceHashSha256": None} for url in urls
    ]
    return {
        "header": None,
        "headerMedia": None,
        "content": message.body,
        "footer": None,
        "buttons": [],
        "media": attachments or None,
        "subject": None,
    }


def _event(change: Change) -> dict[str, object]:
    return {
        "status": change.status,
        "timestamp": moment(change.at_us),
        "description": _SENTENCES.get(change.status),
        **_reason(change),
    }


def _activity(parts: Parts, change: Change) -> dict[str, object]:
    held = {} if change.scheduled_us is None else {"scheduled_at": moment(change.scheduled_us)}
    priced = {"price": _NO_PRICE, "active_contact_price": _NO_PRICE, "from": sending_number(parts.settings)}
    return {**_event(change), **priced, **held}


def _reason(change: Change) -> dict[str, str | None]:
    """Code and sentence; left out where there is nothing to explain."""
    if change.reason_code is None:
        return {}
    return {"reason_code": change.reason_code, "reason": REASONS.get(change.reason_code)}
