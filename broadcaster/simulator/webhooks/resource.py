"""Webhooks, managed: ``/v3/webhooks`` and below. What is delivered is the courier's business, but for a test."""

import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from broadcaster.simulator.account import account_id, owner_of, sending_number
from broadcaster.simulator.envelope import Answer, Refusal, encode, moment, no_content, success
from broadcaster.simulator.lifecycle import US
from broadcaster.simulator.pages import read_id, read_page
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.templates import BUILT_IN
from broadcaster.simulator.validate import parse_json
from broadcaster.simulator.webhooks import store
from broadcaster.simulator.webhooks.catalogue import FAMILIES, is_event
from broadcaster.simulator.webhooks.envelopes import request_id_of, second, wrap
from broadcaster.simulator.webhooks.post import now_us
from broadcaster.simulator.webhooks.reading import read_fields
from broadcaster.simulator.webhooks.signing import hide, new_secret
from broadcaster.simulator.webhooks.store import Event, Webhook
from broadcaster.simulator.writes import write

_CREATED = 201
_SANDBOX = {"X-Sandbox": "true"}
_USUAL_RETRIES = 3
_USUAL_TIMEOUT_S = 30
_SPECIMEN = "message.delivered"


async def create_webhook(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/webhooks``: 201, with the signing secret in full for the only time."""

    def work(connection: sqlite3.Connection) -> Answer:
        document, now = parse_json(exchange.body), now_us()
        usual: dict[str, Any] = {
            "endpoint_url": None,
            "event_types": tuple(FAMILIES),
            "event_filters": None,
            "retry_count": _USUAL_RETRIES,
            "timeout_s": _USUAL_TIMEOUT_S,
        }
        hook = Webhook(
            **{**usual, **read_fields(document, new=True)},
            webhook_id=str(uuid.uuid4()),
            owner=owner_of(parts, exchange),
            secret=new_secret(),
            is_active=True,
            since_us=now,
            failures=0,
            created_us=now,
            updated_us=now,
        )
        sandbox = document.get("sandbox") is True
        if not sandbox:
            store.save(connection, hook)
        return _answer(exchange, hook, status=_CREATED, in_full=True, sandbox=sandbox)

    return await _changed(parts, exchange, work)


async def list_webhooks(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/webhooks?page&page_size&search&is_active``, newest first."""
    page, owner, query = read_page(exchange.query), owner_of(parts, exchange), exchange.query
    wanted = {"": None, "true": True, "false": False}
    if query.get("is_active", "").lower() not in wanted:
        raise Refusal(code="VALIDATION_001", details={"is_active": ["must be true or false"]})
    found, total = await parts.ledger.run(
        lambda connection: store.select(
            connection,
            owner,
            search=query.get("search", ""),
            is_active=wanted[query.get("is_active", "").lower()],
            start=page.start,
            size=page.size,
        )
    )
    data = {"webhooks": [describe(hook) for hook in found], "pagination": page.describe(total)}
    return success(data, request_id=exchange.request_id)


async def show_webhook(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/webhooks/{id}``."""
    return _answer(exchange, await parts.ledger.run(_finder(parts, exchange)))


async def update_webhook(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``PUT`` and ``PATCH /v3/webhooks/{id}``: what is given replaces what was there."""

    def change(hook: Webhook, document: Mapping[str, object]) -> Webhook:
        return replace(hook, **read_fields(document, new=False), updated_us=now_us())

    return await _change(parts, exchange, change)


async def toggle_webhook(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``PATCH /v3/webhooks/{id}/toggle-status``: off forgets what waits; on begins anew, with no failures."""

    def change(hook: Webhook, document: Mapping[str, object]) -> Webhook:
        wanted = document.get("is_active")
        if not isinstance(wanted, bool):
            raise Refusal(code="VALIDATION_001", details={"is_active": ["'is_active' must be a boolean"]})
        now = now_us()
        since_us = now if wanted and not hook.is_active else hook.since_us
        return replace(
            hook, is_active=wanted, since_us=since_us, failures=0 if wanted else hook.failures, updated_us=now
        )

    return await _change(parts, exchange, change)


async def rotate_secret(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/webhooks/{id}/rotate-secret``: a new secret, in full; the old one is dead at once."""
    _take_sensitive(parts)

    def work(connection: sqlite3.Connection) -> Answer:
        hook = replace(_finder(parts, exchange)(connection), secret=new_secret(), updated_us=now_us())
        sandbox = _document(exchange).get("sandbox") is True
        if not sandbox:
            store.save(connection, hook)
        headers = _SANDBOX if sandbox else {}
        return success({"signing_secret": hook.secret}, request_id=exchange.request_id, headers=headers)

    return await _changed(parts, exchange, work)


async def delete_webhook(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``DELETE /v3/webhooks/{id}``: 204, also for what is called a sandbox request."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)
    if not await parts.ledger.run(lambda connection: store.drop(connection, owner, name)):
        raise Refusal(code="RESOURCE_008")
    parts.bell.set()
    return no_content()


async def test_webhook(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/webhooks/{id}/test``: deliver a specimen once, and say what came of it.

    Raises:
        Refusal: 404 ``RESOURCE_008``; 400 ``BUSINESS_010`` for one that is off or has no address.
    """
    _take_sensitive(parts)
    hook, document = await parts.ledger.run(_finder(parts, exchange)), _document(exchange)
    event_type = document.get("event_type") or _SPECIMEN
    if not isinstance(event_type, str) or not (is_event(event_type) or event_type in FAMILIES):
        raise Refusal(code="VALIDATION_006", details={"event_type": ["is no event type"]})
    if not hook.is_active or hook.endpoint_url is None:
        raise Refusal(code="BUSINESS_010")
    if document.get("sandbox") is True:
        return _said(exchange, succeeded=True, message="Nothing was sent: sandbox.", headers=_SANDBOX)
    event = _specimen(parts, hook, event_type if is_event(event_type) else f"{event_type}.{FAMILIES[event_type][0]}")
    stamp_s = now_us() // US
    outcome = await parts.post.deliver(hook, event, stamp_s=stamp_s)
    ended = replace(
        event,
        status=store.DELIVERED if outcome.succeeded else store.FAILED,
        attempts=1,
        stamp_s=stamp_s,
        completed_us=now_us(),
        http_status=outcome.status,
        error=outcome.error,
        response=outcome.response,
    )
    await parts.ledger.run(lambda connection: store.add_events(connection, [ended]))
    sentence = "The test event was delivered." if outcome.succeeded else f"The test event failed: {outcome.error}."
    return _said(exchange, succeeded=outcome.succeeded, message=sentence)


def describe(hook: Webhook, *, in_full: bool = False) -> dict[str, object]:
    """Return a webhook as the API shows it; the secret only *in_full* when it is new."""
    return {
        "id": hook.webhook_id,
        "customer_id": hook.owner,
        "display_name": hook.display_name,
        "endpoint_url": hook.endpoint_url,
        "signing_secret": hook.secret if in_full else hide(hook.secret),
        "is_active": hook.is_active,
        "event_types": list(hook.event_types),
        "event_filters": None if hook.event_filters is None else dict(hook.event_filters),
        "retry_count": hook.retry_count,
        "timeout_seconds": hook.timeout_s,
        "consecutive_failures": hook.failures,
        "last_delivery_attempt_at": None if hook.attempted_us is None else moment(hook.attempted_us),
        "last_successful_delivery_at": None if hook.delivered_us is None else moment(hook.delivered_us),
        "created_at": moment(hook.created_us),
        "updated_at": moment(hook.updated_us),
    }


def _finder(parts: Parts, exchange: Exchange) -> Callable[[sqlite3.Connection], Webhook]:
    """A job that finds the webhook of the path, or refuses with 404 ``RESOURCE_008``."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)

    def find(connection: sqlite3.Connection) -> Webhook:
        hook = store.find(connection, owner, name)
        if hook is None:
            raise Refusal(code="RESOURCE_008")
        return hook

    return find


async def _change(
    parts: Parts, exchange: Exchange, change: Callable[[Webhook, Mapping[str, object]], Webhook]
) -> Answer:
    def work(connection: sqlite3.Connection) -> Answer:
        document = parse_json(exchange.body)
        hook = change(_finder(parts, exchange)(connection), document)
        sandbox = document.get("sandbox") is True
        if not sandbox:
            store.save(connection, hook)
            if not hook.is_active:
                store.give_up(connection, hook.webhook_id, now_us=now_us())
        return _answer(exchange, hook, sandbox=sandbox)

    return await _changed(parts, exchange, work)


async def _changed(parts: Parts, exchange: Exchange, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Do *work* once per key, and wake the courier: there may be somebody new to deliver to."""
    answer = await write(parts, exchange, work)
    parts.bell.set()
    return answer


def _answer(
    exchange: Exchange, hook: Webhook, *, status: int = 200, in_full: bool = False, sandbox: bool = False
) -> Answer:
    headers = _SANDBOX if sandbox else {}
    return success(describe(hook, in_full=in_full), request_id=exchange.request_id, status=status, headers=headers)


def _said(exchange: Exchange, *, succeeded: bool, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    return success({"success": succeeded, "message": message}, request_id=exchange.request_id, headers=headers or {})


def _document(exchange: Exchange) -> Mapping[str, object]:
    return parse_json(exchange.body) if exchange.body.strip() else {}


def _take_sensitive(parts: Parts) -> None:
    parts.sensitive.take(1, now=time.monotonic(), wall=time.time())


def _specimen(parts: Parts, hook: Webhook, event: str) -> Event:
    settings, now, event_id = parts.settings, now_us(), str(uuid.uuid4())
    payload: dict[str, object] = {"account_id": account_id(settings, parts.ledger.account_id)}
    family, _, name = event.partition(".")
    if family == "message":
        payload |= {
            "message_status": name.upper(),
            "message_id": str(uuid.uuid4()),
            "agent_id": None,
            "channel": "sms",
            "outbound_number": "+14155550199",
            "body": "This is a test event.",
            "template_id": BUILT_IN[0].id,
            "template_name": BUILT_IN[0].name,
            "updated_at": second(now),
        }
    event_type, body = wrap(
        settings.webhooks.envelope,
        event,
        payload,
        emitted_us=now,
        number=sending_number(settings),
        request_id=request_id_of(event_id),
    )
    return Event(
        event_id=event_id,
        webhook_id=hook.webhook_id,
        event_type=event_type,
        body=encode(body).decode(),
        name="test",
        status=store.PENDING,
        attempts=0,
        created_us=now,
        next_us=None,
        started_us=now,
    )
