"""What can still be done about a message: ``POST /v3/messages/{id}/cancel`` and ``…/resend``."""

import sqlite3
import time

from broadcaster.simulator.account import account_id
from broadcaster.simulator.envelope import Answer, Refusal, success
from broadcaster.simulator.lifecycle import reached
from broadcaster.simulator.message_view import describe
from broadcaster.simulator.pages import read_id
from broadcaster.simulator.parts import Exchange, Parts
from broadcaster.simulator.policies import Draft, give_back, judge
from broadcaster.simulator.record import Message, dump_changes, find
from broadcaster.simulator.writes import write

_FINISHED = frozenset({"BLOCKED", "FAILED", "DELIVERED", "READ"})  # not FILTERED, not CANCELLED: those are final
_ACCEPTED = 202


async def cancel_message(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/messages/{id}/cancel``: 200 for what is held, or was called off before.

    Raises:
        Refusal: 404 ``RESOURCE_003``; 400 ``BUSINESS_006`` for a message that is not held, or no more.
    """
    message_id = read_id(exchange.params)

    def work(connection: sqlite3.Connection) -> Answer:
        now_us = time.time_ns() // 1000
        message = _found(connection, message_id)
        if message.status != "CANCELLED":
            happened = reached(message.course(parts.settings.world, parts.catalogue), now_us=now_us)
            if happened[-1].status != "SCHEDULED":
                raise Refusal(code="BUSINESS_006", message="Only a message that is still held can be cancelled.")
            connection.execute(
                "UPDATE message SET status = 'CANCELLED', changed_us = ?, charged = 0 WHERE message_id = ?",
                (now_us, message_id),
            )
            if message.charged:
                give_back(connection, 1)
        data = describe(parts, _found(connection, message_id), now_us=now_us)
        return success(data, request_id=exchange.request_id)

    return await write(parts, exchange, work)


async def resend_message(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``POST /v3/messages/{id}/resend``: 202, a new attempt under the same id, judged and paid for anew.

    Raises:
        Refusal: 404 ``RESOURCE_003``; 400 ``BUSINESS_006`` for a message under way, filtered or cancelled.
    """
    message_id = read_id(exchange.params)

    def work(connection: sqlite3.Connection) -> Answer:
        now_us = time.time_ns() // 1000
        message = _found(connection, message_id)
        course = message.course(parts.settings.world, parts.catalogue)
        happened = reached(course, now_us=now_us)
        if len(happened) < len(course) or happened[-1].status not in _FINISHED:
            raise Refusal(code="BUSINESS_006", message="Only a finished message can be sent again.")
        account = account_id(parts.settings, parts.ledger.account_id)
        draft = Draft(
            owner=message.profile_id or account,
            account=account,
            template=parts.catalogue.by_id(message.template_id) if message.template_id is not None else None,
            pairs=[(message.recipient, message.channel)],
        )
        ((status, reason_code),), (paid,) = judge(connection, parts.settings, draft, now_us=now_us)
        connection.execute(
            "UPDATE message SET status = ?, reason_code = ?, charged = ?, release_us = NULL, begun_us = ?,"
            " changed_us = ?, attempt = attempt + 1, earlier = ? WHERE message_id = ?",
            (status, reason_code, paid, now_us, now_us, dump_changes(happened), message_id),
        )
        data = describe(parts, _found(connection, message_id), now_us=now_us)
        return success(data, request_id=exchange.request_id, status=_ACCEPTED)

    return await write(parts, exchange, work)


def _found(connection: sqlite3.Connection, message_id: str) -> Message:
    message = find(connection, message_id)
    if message is None:
        raise Refusal(code="RESOURCE_003")
    return message
