"""What was sent to one contact and how it went: ``GET /v3/contacts/{id}/message-summary``."""

import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection

from broadcaster.simulator import contact_store as store
from broadcaster.simulator.account import account_id, owner_of
from broadcaster.simulator.envelope import Answer, Refusal, moment, success
from broadcaster.simulator.lifecycle import reached
from broadcaster.simulator.pages import read_id
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.record import FIELDS, Message

_GOOD = frozenset({"SENT", "DELIVERED", "READ"})


async def show_summary(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/contacts/{id}/message-summary``: counts, times, and percentages for each channel."""
    name, owner = read_id(exchange.params), owner_of(parts, exchange)

    def job(connection: sqlite3.Connection) -> list[Message] | None:
        store.take_in(connection, account_id(parts.settings, parts.ledger.account_id))
        contact = store.find_contact(connection, owner, name)
        if contact is None:
            return None
        query = f"SELECT {FIELDS} FROM message WHERE profile_id IS ? AND recipient = ? ORDER BY rowid"  # noqa: S608 - ours
        return [Message.of(row) for row in connection.execute(query, (exchange.profile, contact.phone))]

    messages = await parts.ledger.run(job)
    if messages is None:
        raise Refusal(code="RESOURCE_001")
    ends = defaultdict(list)
    for message in messages:
        last = reached(message.course(parts.settings.world, parts.catalogue), now_us=time.time_ns() // 1000)[-1]
        if last.channel is not None:
            ends[last.channel].append(last.status)
    data = {
        "contact_id": name,
        "message_count": len(messages),
        "first_message_at": moment(messages[0].created_us) if messages else None,
        "last_message_at": moment(messages[-1].created_us) if messages else None,
        "channels_used": sorted(ends),
        "channel_scores": [
            {
                "channel": channel,
                "success_score": _percent(statuses, _GOOD),
                "fail_score": _percent(statuses, {"FAILED"}),
            }
            for channel, statuses in sorted(ends.items())
        ],
    }
    return success(data, request_id=exchange.request_id)


def _percent(statuses: list[str], wanted: Collection[str]) -> int:
    return round(100 * sum(status in wanted for status in statuses) / len(statuses))
