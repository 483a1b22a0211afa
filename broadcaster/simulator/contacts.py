"""Contacts: ``/v3/contacts`` and below."""

import re
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import replace

from broadcaster.simulator import contact_store as store
from broadcaster.simulator.account import owner_of
from broadcaster.simulator.envelope import Answer, Refusal, moment, no_content, success
from broadcaster.simulator.numbering import calling_code, national, region_of
from broadcaster.simulator.pages import read_id, read_page
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.validate import PHONE, parse_json
from broadcaster.simulator.writes import write

_CHANNELS = ("sms", "whatsapp")
_CREATED = 201
_SANDBOX = {"X-Sandbox": "true"}
_NOT_DIGITS = re.compile(r"[^0-9+]")


async def list_contacts(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/contacts?page&page_size&search&phone&channel``, newest first."""
    query, page, owner = exchange.query, read_page(exchange.query), owner_of(parts, exchange)
    if query.get("channel") not in {None, "", *_CHANNELS}:
        raise Refusal(code="VALIDATION_006", details={"channel": ["must be sms or whatsapp"]})
    part = _NOT_DIGITS.sub("", query.get("phone") or query.get("search") or "")
    if query.get("search") and not part:
        part = "-"  # letters: a contact has no name to find

    def job(connection: sqlite3.Connection) -> tuple[list[store.Contact], int]:
        store.take_in(connection, owner_of(parts, None))
        return store.list_contacts(connection, owner, part=part, start=page.start, size=page.size)

    found, total = await parts.ledger.run(job)
    data = {"contacts": [_describe(contact, owner) for contact in found], "pagination": page.describe(total)}
    return success(data, request_id=exchange.request_id)


async def show_contact(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/contacts/{id}``."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)

    def job(connection: sqlite3.Connection) -> store.Contact | None:
        store.take_in(connection, owner_of(parts, None))
        return store.find_contact(connection, owner, name)

    contact = await parts.ledger.run(job)
    if contact is None:
        raise Refusal(code="RESOURCE_001")
    return success(_describe(contact, owner), request_id=exchange.request_id)


async def create_contact(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/contacts``: 201, or 409 ``RESOURCE_007`` for a number that was ever written to."""
    owner = owner_of(parts, exchange)

    def work(connection: sqlite3.Connection) -> Answer:
        document = parse_json(exchange.body)
        phone, now_us = _phone(document.get("phone_number")), time.time_ns() // 1000
        if document.get("sandbox") is True:
            name = store.contact_id(owner, phone)
            made = store.Contact(
                contact_id=name, phone=phone, default_channel=None, opt_out=False, created_us=now_us, updated_us=now_us
            )
            return _answer(exchange, made, owner, status=_CREATED, headers=_SANDBOX)
        store.take_in(connection, owner_of(parts, None))
        contact = store.add_contact(connection, owner, phone, now_us=now_us)
        if contact is None:
            raise Refusal(code="RESOURCE_007", message="A contact with this phone number already exists.")
        return _answer(exchange, contact, owner, status=_CREATED)

    return await write(parts, exchange, work)


async def update_contact(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``PATCH /v3/contacts/{id}`` with ``default_channel`` or ``opt_out``."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)

    def work(connection: sqlite3.Connection) -> Answer:
        document = parse_json(exchange.body)
        changes = _changes(document)
        store.take_in(connection, owner_of(parts, None))
        contact = store.find_contact(connection, owner, name)
        if contact is None:
            raise Refusal(code="RESOURCE_001")
        changed = replace(contact, **changes, updated_us=time.time_ns() // 1000)  # type: ignore[arg-type]  # checked
        if document.get("sandbox") is True:
            return _answer(exchange, changed, owner, headers=_SANDBOX)
        store.save_contact(connection, changed)
        return _answer(exchange, changed, owner)

    return await write(parts, exchange, work)


async def delete_contact(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``DELETE /v3/contacts/{id}``: 204."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)
    sandbox = bool(exchange.body) and parse_json(exchange.body).get("sandbox") is True

    def job(connection: sqlite3.Connection) -> bool:
        store.take_in(connection, owner_of(parts, None))
        if sandbox:
            return store.find_contact(connection, owner, name) is not None
        return store.drop_contact(connection, owner, name)

    if not await parts.ledger.run(job):
        raise Refusal(code="RESOURCE_001")
    return no_content().with_headers(_SANDBOX) if sandbox else no_content()


def _phone(given: object) -> str:
    if given is None:
        raise Refusal(code="VALIDATION_004", details={"phone_number": ["'phone_number' is required"]})
    if not isinstance(given, str) or not PHONE.fullmatch(given):
        complaint = "must be a valid phone number in E.164 format"
        raise Refusal(code="VALIDATION_002", details={"phone_number": [complaint]})
    return given


def _changes(document: Mapping[str, object]) -> dict[str, object]:
    channel, opt_out = document.get("default_channel"), document.get("opt_out")
    if channel not in {None, *_CHANNELS}:
        raise Refusal(code="VALIDATION_006", details={"default_channel": ["must be sms or whatsapp"]})
    if opt_out is not None and not isinstance(opt_out, bool):
        raise Refusal(code="VALIDATION_001", details={"opt_out": ["'opt_out' must be a boolean"]})
    given = {"default_channel": channel, "opt_out": opt_out}
    return {name: value for name, value in given.items() if value is not None}


def _answer(
    exchange: Exchange,
    contact: store.Contact,
    owner: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    data = _describe(contact, owner)
    return success(data, request_id=exchange.request_id, status=status, headers=headers or {})


def _describe(contact: store.Contact, owner: str) -> dict[str, object]:
    phone, code, rest = contact.phone, calling_code(contact.phone), national(contact.phone)
    return {
        "id": contact.contact_id,
        "customer_id": owner,
        "phone_number": phone,
        "format_e164": phone,
        "format_international": f"+{code} {rest}",
        "format_national": rest,
        "format_rfc": f"tel:+{code}-{rest}",
        "country_code": code,
        "region_code": region_of(phone),
        "available_channels": ",".join(_CHANNELS),
        "default_channel": contact.default_channel,
        "opt_out": contact.opt_out,
        "is_inherited": False,
        "created_at": moment(contact.created_us),
        "updated_at": moment(contact.updated_us),
    }
