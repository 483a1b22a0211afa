"""How a handler changes the ledger: in one transaction, once for each idempotency key."""

import sqlite3
import time
from collections.abc import Callable

from broadcaster.simulator.envelope import Answer, Refusal
from broadcaster.simulator.idempotency import once
from broadcaster.simulator.parts import Exchange, Parts


async def write(parts: Parts, exchange: Exchange, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Run *work* in the ledger's thread and return its answer once it is durable, or as the key was answered before.

    *work* may raise ``Refusal``, but before it writes anything: others share its transaction.

    Raises:
        Refusal: *work* refused, or the key belongs to another request.
        sqlite3.Error: nothing happened.
    """

    def attempt(connection: sqlite3.Connection) -> Answer | Refusal:
        try:
            return work(connection)
        except Refusal as refusal:
            return refusal

    def job(connection: sqlite3.Connection) -> Answer | Refusal:
        return once(
            connection,
            exchange.identity,
            policy=parts.policy,
            now_us=time.time_ns() // 1000,
            request_id=exchange.request_id,
            execute=lambda: attempt(connection),
        )

    result = await parts.ledger.run(job)
    if isinstance(result, Refusal):
        raise result
    return result
