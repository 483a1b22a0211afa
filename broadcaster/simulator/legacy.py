"""The first version of the API, still served: ``POST /v1/messages/phone`` and ``POST /v1/messages/contact``.

One recipient a call, no idempotency, and an empty 204 for an answer: nothing to follow the message by.
"""

import sqlite3
import uuid
from collections.abc import Mapping

from broadcaster.simulator import contact_store as store
from broadcaster.simulator.account import account_id
from broadcaster.simulator.envelope import Answer, Refusal, no_content
from broadcaster.simulator.messages import send_document
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.validate import parse_json

SENDER_HEADER = "x-sender-id"


async def send_to_phone(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v1/messages/phone`` with ``phoneNumber``, ``templateId`` and ``templateVariables``."""
    _check_sender(exchange)
    document = parse_json(exchange.body)
    return await _send(parts, exchange, document, to=_required(document, "phoneNumber"))


async def send_to_contact(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v1/messages/contact`` with ``contactId``, ``templateId`` and ``templateVariables``."""
    _check_sender(exchange)
    document = parse_json(exchange.body)
    name, account = _required(document, "contactId").lower(), account_id(parts.settings, parts.ledger.account_id)

    def job(connection: sqlite3.Connection) -> store.Contact | None:
        store.take_in(connection, account)
        return store.find_contact(connection, account, name)

    contact = await parts.ledger.run(job)
    if contact is None:
        raise Refusal(code="RESOURCE_001")
    return await _send(parts, exchange, document, to=contact.phone)


async def _send(parts: Parts, exchange: Exchange, document: Mapping[str, object], *, to: str) -> Answer:
    variables = document.get("templateVariables") or document.get("messageBody") or {}
    template = {"id": _required(document, "templateId"), "parameters": variables}
    await send_document(parts, exchange, {"to": [to], "template": template})
    return no_content()


def _check_sender(exchange: Exchange) -> None:
    """Both credentials are needed; the second one only has to look like one."""
    try:
        uuid.UUID(exchange.headers.get(SENDER_HEADER, ""))
    except ValueError:
        raise Refusal(code="AUTH_002", message="Invalid or missing sender id.") from None


def _required(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise Refusal(code="VALIDATION_004", details={name: [f"'{name}' is required"]})
    return value
