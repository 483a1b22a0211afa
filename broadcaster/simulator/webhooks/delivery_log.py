"""What was delivered to an endpoint, and how that went: ``GET /v3/webhooks/{id}/events``."""

import json
import sqlite3

from broadcaster.simulator.account import owner_of
from broadcaster.simulator.envelope import Answer, Refusal, moment, success
from broadcaster.simulator.pages import read_id, read_page
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.webhooks import store
from broadcaster.simulator.webhooks.store import Event


async def list_events(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/webhooks/{id}/events?page&page_size&search``, newest first, with the exact bodies."""
    name, owner, page = read_id(exchange.params), owner_of(parts, exchange), read_page(exchange.query)

    def job(connection: sqlite3.Connection) -> tuple[list[Event], int] | None:
        if store.find(connection, owner, name) is None:
            return None
        search = exchange.query.get("search", "")
        return store.events_of(connection, name, search=search, start=page.start, size=page.size)

    found = await parts.ledger.run(job)
    if found is None:
        raise Refusal(code="RESOURCE_008")
    events, total = found
    data = {"events": [_describe(event) for event in events], "pagination": page.describe(total)}
    return success(data, request_id=exchange.request_id)


def _describe(event: Event) -> dict[str, object]:
    return {
        "id": event.event_id,
        "event_type": event.event_type,
        "event_data": json.loads(event.body),
        "delivery_status": event.status,
        "delivery_attempts": event.attempts,
        "http_status_code": event.http_status,
        "error_message": event.error,
        "response_body": event.response,
        "created_at": moment(event.created_us),
        "processing_started_at": None if event.started_us is None else moment(event.started_us),
        "processing_completed_at": None if event.completed_us is None else moment(event.completed_us),
    }
