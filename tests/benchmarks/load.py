"""A load generator of its own process: as many single-recipient sends as a server answers, over connections kept alive.

``python load.py URL --seconds S --connections N`` prints one JSON line: requests answered with 202, other answers, and
the seconds they took. A raw protocol, because a client library would be what is measured.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import cast
from urllib.parse import urlsplit

_BODY = (
    '{"to":["+1415555%04d"],"template":{"id":"7ba7b820-9dad-11d1-80b4-00c04fd430c8",'
    '"parameters":{"name":"Ada","order_id":"%d"}},"channel":["sms"]}'
)
_HEAD = (
    "POST /v3/messages HTTP/1.1\r\nHost: %s\r\nx-api-key: simulator\r\nUser-Agent: load\r\nAccept: application/json\r\n"
    "Accept-Encoding: identity\r\nIdempotency-Key: bench-%s-%d\r\nContent-Length: %d\r\nContent-Type: application/json"
    "\r\n\r\n"
)


class Load:
    """What all connections share: the next request, and what was answered."""

    def __init__(self, host: str, *, run: str, until: float) -> None:
        self.until = until
        self.statuses: Counter[bytes] = Counter()
        self._host = host
        self._run = run
        self._numbers = count()

    def next(self) -> bytes:
        n = next(self._numbers)
        body = _BODY % (100 + n % 100, n)
        return ((_HEAD % (self._host, self._run, n, len(body))) + body).encode()


class Connection(asyncio.Protocol):
    """One request after the other, each as soon as the one before is answered."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport only looks like one
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._load.next())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        self._load.statuses[head[9:12]] += 1
        if time.monotonic() < self._load.until:
            self._transport.write(self._load.next())
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(error)


async def generate(url: str, *, run: str, seconds: float, connections: int) -> dict[str, float]:
    """Keep *connections* busy for *seconds* and return what came of it."""
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    load = Load(address.netloc, run=run, until=began + seconds)
    opened = [
        (await loop.create_connection(lambda: Connection(load), str(address.hostname), address.port or 80))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(connection.done for connection in opened))
    accepted = load.statuses.pop(b"202", 0)
    return {"accepted": accepted, "other": sum(load.statuses.values()), "seconds": time.monotonic() - began}


def main() -> int:
    """Generate load as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--run", default="0", help="part of the idempotency keys")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=48)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        work = generate(given.url, run=given.run, seconds=given.seconds, connections=given.connections)
        print(json.dumps(runner.run(work)))  # noqa: T201 - the line is the interface
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
