"""What the simulator has received and given, as one document: behind the page, and for scripts."""

import sqlite3
import time
from collections.abc import Mapping
from typing import Any

from broadcaster.simulator.envelope import moment
from broadcaster.simulator.lifecycle import reached
from broadcaster.simulator.numbering import calling_code
from broadcaster.simulator.parts import Parts
from broadcaster.simulator.record import FIELDS, Message
from broadcaster.simulator.validate import AUTO

NEWEST = 50
_HIDDEN = "•"


async def overview(parts: Parts) -> Mapping[str, Any]:
    """Return the state of *parts*, at most a second old."""
    return await parts.board.show(lambda: _draw(parts), now_s=time.monotonic())


async def _draw(parts: Parts) -> Mapping[str, Any]:
    newest = await parts.ledger.run(lambda connection: _look(parts, connection))
    now_us = time.time_ns() // 1000
    tally = parts.tally
    return {
        "now": moment(now_us),
        "account_id": parts.ledger.account_id,
        "state": parts.settings.state,
        "profile": {"name": parts.script.name, "seed": parts.script.seed, "rules": len(parts.script)},
        "limits": {
            "requests_per_minute": parts.settings.requests_per_minute,
            "messages_per_minute": parts.settings.messages_per_minute,
        },
        "messages": {
            "count": tally.decisions.total(),
            "by_decision": dict(sorted(tally.decisions.items())),
            "newest": [_describe(parts, message, now_us=now_us) for message in newest],
        },
        "requests": {
            "count": tally.requests,
            "replays": tally.replays,
            "unanswered": tally.answers[None, None],
            "over_limit": dict(tally.over_limit),
            "answers": [
                {"status": status, "code": code, "count": count}
                for (status, code), count in sorted(tally.answers.items(), key=_by_status)
            ],
            "faults": dict(tally.faults.most_common()),
            "per_minute": [
                {
                    "minute": moment(at_us),
                    "requests": minute.requests,
                    "with_fault": minute.faulted,
                    "refused": minute.refused,
                }
                for at_us, minute in tally.minutes(now_us=now_us)
            ],
        },
    }


def _look(parts: Parts, connection: sqlite3.Connection) -> list[Message]:
    parts.tally.take_in(connection)
    query = f"SELECT {FIELDS} FROM message ORDER BY rowid DESC LIMIT ?"  # noqa: S608 - the columns are ours
    return [Message.of(row) for row in connection.execute(query, (NEWEST,))]


def mask(phone: str) -> str:
    """Return *phone* with its calling code and last two digits only."""
    code = "+" + calling_code(phone)
    return code + _HIDDEN * max(0, len(phone) - len(code) - 2) + phone[max(len(code), len(phone) - 2) :]


def _describe(parts: Parts, message: Message, *, now_us: int) -> Mapping[str, object]:
    last = reached(message.course(parts.settings.world, parts.catalogue), now_us=now_us)[-1]
    template = parts.catalogue.by_id(message.template_id) if message.template_id is not None else None
    return {
        "message_id": message.message_id,
        "to": mask(message.recipient),
        "channel": last.channel or (None if message.channel == AUTO else message.channel),
        "template": template.name if template is not None else None,
        "status": last.status,
        "reason_code": last.reason_code,
        "created_at": moment(message.created_us),
    }


def _by_status(entry: tuple[tuple[int | None, str | None], int]) -> tuple[int, str]:
    (status, code), _ = entry
    return status or 0, code or ""
