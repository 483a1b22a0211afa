"""How many receipts a second ``broadcaster serve`` takes on one core: signed, over HTTP, on disk when acknowledged.

The server has core 0 for itself and the load generator core 1 (where ``taskset`` is there and there are two), so that
neither is measured instead of the other. Every round is a process and a file of its own. Where others use the machine
as well, the rate by the server's own processor time says more than the clock's. ``python -m tests.benchmarks.receipts
URL`` is the load generator.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from .load import Connection, Load, _loop_factory
from .simulator import Rate, _can_pin, _describe, _processor_s, _start

_KEY = bytes(range(32))
_SECRET = "whsec_" + base64.b64encode(_KEY).decode()
_HOOK = "3f0c2a52-0000-4000-8000-000000000001"
_SECONDS = 4.0
_CONNECTIONS = 48
_PATIENCE_S = 60.0  # for one round; only a hang reaches it
_STATUSES = ("QUEUED", "ROUTED", "SENT", "DELIVERED")
_BODY = (
    '{"field":"message","event":"message.%s","timestamp":"2026-11-21T08:00:00Z","payload":{"message_status":"%s",'
    '"message_id":"%s","account_id":"7ba7b820-9dad-11d1-80b4-00c04fd430c9","agent_id":null,"channel":"sms",'
    '"outbound_number":"+14155550100","body":"Dear customer, your order is on its way and comes tomorrow.",'
    '"template_id":"7ba7b820-9dad-11d1-80b4-00c04fd430c8","template_name":"order_update",'
    '"updated_at":"2026-11-21T08:00:%02dZ"},"request_id":"req_7ba7b8209dad11d1"}'
)
_HEAD = (
    "POST /webhooks/sent HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nContent-Type: application/json\r\n"
    "x-webhook-id: %s\r\nx-webhook-timestamp: %d\r\nx-webhook-signature: v1,%s\r\nx-webhook-event-type: message.%s\r\n"
    "X-Webhook-Event-ID: %s\r\nContent-Length: %d\r\n\r\n"
)


async def measure(*, rounds: int) -> list[str]:
    """Return the figures as lines."""
    lines = [f"{_CONNECTIONS} connections, {_SECONDS:g} s a round, {rounds} rounds; pinned: {_can_pin()}"]
    rates = [await _round() for _ in range(rounds)]
    for name, found in (
        ("by the clock:      ", [rate.by_clock for rate in rates]),
        ("by processor time: ", [rate.by_processor for rate in rates]),
    ):
        lines.append(f"receipts, {name} {_describe(found).replace('requests/s', 'receipts/s')}")
    return lines


async def _round() -> Rate:
    with tempfile.TemporaryDirectory() as scratch:
        command = ["-m", "broadcaster", "serve", scratch, "--port", "0"]
        server = await _start(command, core=0, environment={"SENT_WEBHOOK_SECRET": _SECRET})
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                url = (await server.stdout.readline()).decode().split(";")[0].split()[-1]
                before_s = _processor_s(server.pid)
                arguments = ["-m", "tests.benchmarks.receipts", url]
                load = await _start(arguments, core=1)
                told, _ = await load.communicate()
                used_s = _processor_s(server.pid) - before_s
        finally:
            server.terminate()
            await server.wait()
        result = json.loads(told)
        with closing(sqlite3.connect(Path(scratch, "receipts.sqlite"))) as db:
            (kept,) = db.execute("SELECT count(*) FROM receipt").fetchone()
    if result["other"] or kept != result["accepted"]:
        raise RuntimeError(f"not every receipt was kept: {result}, {kept} in the file")
    return Rate(by_clock=kept / result["seconds"], by_processor=kept / used_s if used_s else 0.0)


class Receipts(Load):
    """What all connections share: the next receipt, four for each message, and what was answered."""

    def __init__(self, host: str, *, until: float) -> None:
        super().__init__(host, run="", until=until)
        self._stamp = int(time.time())

    def next(self) -> bytes:
        number = next(self._numbers)
        status = _STATUSES[number % len(_STATUSES)]
        message = UUID(bytes=hashlib.md5(b"%d" % (number // len(_STATUSES)), usedforsecurity=False).digest())
        body = _BODY % (status.lower(), status, message, number % 60)
        signed = f"{_HOOK}.{self._stamp}.{body}".encode()
        signature = base64.b64encode(hmac.digest(_KEY, signed, hashlib.sha256)).decode()
        event = UUID(bytes=hashlib.md5(signed, usedforsecurity=False).digest())  # as random as the API's
        head = _HEAD % (self._host, _HOOK, self._stamp, signature, status.lower(), event, len(body))
        return (head + body).encode()


async def generate(url: str) -> dict[str, float]:
    """Keep the connections busy and return what came of it."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    load = Receipts(address.netloc, until=began + _SECONDS)
    opened = [
        (await loop.create_connection(lambda: Connection(load), str(address.hostname), address.port or 80))[1]
        for _ in range(_CONNECTIONS)
    ]
    await asyncio.gather(*(connection.done for connection in opened))
    accepted = load.statuses.pop(b"200", 0)
    return {"accepted": accepted, "other": sum(load.statuses.values()), "seconds": time.monotonic() - began}


def main() -> int:
    """Generate load for the URL on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        print(json.dumps(runner.run(generate(given.url))))  # noqa: T201 - the line is the interface
    return 0


if __name__ == "__main__":
    sys.exit(main())
