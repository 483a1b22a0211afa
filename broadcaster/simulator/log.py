"""The request log: every HTTP request received, also the refused ones. It never holds an API key."""

import sqlite3
from collections.abc import Mapping

from broadcaster.simulator.envelope import Answer
from broadcaster.simulator.idempotency import KEY_HEADER
from broadcaster.simulator.parts import Exchange, Parts

_LONGEST = 255  # of a path or key written down: a client may send anything


def note_receipt(parts: Parts, exchange: Exchange) -> None:
    """Write *exchange* down, in order of receipt; nobody waits for it."""

    def job(connection: sqlite3.Connection) -> None:
        exchange.n = _insert(connection, exchange)

    parts.ledger.post(job)


async def note_answer(parts: Parts, exchange: Exchange, answer: Answer | None) -> None:
    """Complete the entry before the answer leaves; ``None``: the connection is closed without one.

    Raises:
        sqlite3.Error: it could not be written.
    """

    def job(connection: sqlite3.Connection) -> None:
        facts = (
            answer.status if answer is not None else None,
            answer.code if answer is not None else None,
            exchange.recipients,
            exchange.fault,
            exchange.replayed,
        )
        statement = (
            "UPDATE request SET status = ?, code = ?, recipients = ?, fault = ?, replayed = ?"
            " WHERE n = ? AND request_id = ?"
        )
        for _ in range(2):  # again after an insert, when the first one was rolled back with its neighbours
            if connection.execute(statement, (*facts, exchange.n, exchange.request_id)).rowcount:
                return
            exchange.n = _insert(connection, exchange)

    await parts.ledger.run(job)


async def count_requests(parts: Parts) -> Mapping[str, object]:
    """Return how many requests were received, by status (``none``: unanswered) and by fault."""

    def job(connection: sqlite3.Connection) -> Mapping[str, object]:
        by_status = dict(connection.execute("SELECT coalesce(status, 'none'), count(*) FROM request GROUP BY status"))
        by_fault = dict(connection.execute("SELECT fault, count(*) FROM request WHERE fault NOT NULL GROUP BY fault"))
        return {"total": sum(by_status.values()), "by_status": by_status, "by_fault": by_fault}

    return await parts.ledger.run(job)


async def count_messages(parts: Parts) -> int:
    """Return how many messages the ledger holds."""

    def job(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM message").fetchone()[0])

    return await parts.ledger.run(job)


def _insert(connection: sqlite3.Connection, exchange: Exchange) -> int | None:
    key = exchange.headers.get(KEY_HEADER)
    row = (
        exchange.received_us,
        exchange.method,
        exchange.path[:_LONGEST],
        None if key is None else key[:_LONGEST],
        exchange.request_id,
        exchange.fault,
    )
    statement = "INSERT INTO request (received_us, method, path, key, request_id, fault) VALUES (?, ?, ?, ?, ?, ?)"
    return connection.execute(statement, row).lastrowid
