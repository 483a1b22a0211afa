"""Listening on an address: connections that come to nothing are ended, and there are never too many.

aiohttp bounds a request's body once its head is there. Nothing bounds the head in all of its versions: a client that
sends one byte a minute, or none, would keep its connection for ever, and a few hundred of them all that there are. So a
connection starts with a deadline for its first head, and where too many are open a new one is closed at once.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from typing import cast

from aiohttp import web

from broadcaster.errors import ConfigError

HEAD_S = 10.0  # for the head of the first request
_IDLE_S = 75.0  # between requests; proxies keep theirs for 60
_MOST_CONNECTIONS = 500  # well below the usual limit of open files
_GRACE_S = 5.0  # for requests at work when it ends; they take milliseconds
_LINGER_S = 1.0  # to read away what is left of a refused body, so that the refusal can be read
_BACKLOG = 1024
_HEAD_END = b"\r\n\r\n"
# aiohttp writes tracebacks of clients' mistakes, with their addresses; what matters is counted by the application.
_SILENT = logging.Logger("broadcaster.http")  # noqa: LOG001 - of no tree, so that nobody's settings make it speak
_SILENT.addHandler(logging.NullHandler())


@contextlib.asynccontextmanager
async def listening(
    app: web.Application,
    *,
    host: str,
    port: int,
    head_s: float = HEAD_S,
    most_connections: int = _MOST_CONNECTIONS,
) -> AsyncIterator[str]:
    """Serve *app* for the length of the block; yield its URL. Requests at work are answered before it ends.

    Args:
        app: what answers.
        host: a name or an address.
        port: 0 takes any free one.
        head_s: for the head of a connection's first request.
        most_connections: that may be open at once.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    # Bodies stay as they came: they are signed so, and a small one could unpack to a very large one.
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_SILENT,
        auto_decompress=False,
        keepalive_timeout=_IDLE_S,
        lingering_time=_LINGER_S,
        shutdown_timeout=_GRACE_S,
    )
    await runner.setup()
    server = None
    try:
        inner = runner.server
        assert inner is not None  # noqa: S101 - set by `setup`
        connect = _Door(inner, head_s=head_s, most=most_connections)
        try:
            server = await asyncio.get_running_loop().create_server(connect, host, port, backlog=_BACKLOG)
        except (OSError, OverflowError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            raise ConfigError(f"cannot listen on {host} port {port}: {why}; choose another --host or --port") from error
        yield _url(host, server.sockets[0].getsockname()[1])
    finally:
        if server is not None:
            server.close()
        await runner.cleanup()


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Door:
    """Makes a protocol for each connection."""

    def __init__(self, server: web.Server, *, head_s: float, most: int) -> None:
        self._server = server
        self._head_s = head_s
        self._most = most

    def __call__(self) -> asyncio.Protocol:
        if len(self._server.connections) >= self._most:
            return _Closed()
        return _FirstHead(cast("asyncio.Protocol", self._server()), wait_s=self._head_s)


class _Closed(asyncio.Protocol):
    """A connection that is not wanted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _FirstHead(asyncio.Protocol):
    """A connection until the head of its first request is there: then *inner* has it alone."""

    def __init__(self, inner: asyncio.Protocol, *, wait_s: float) -> None:
        self._inner = inner
        self._wait_s = wait_s
        self._end = b""  # the last bytes that came
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._deadline = asyncio.get_running_loop().call_later(self._wait_s, transport.close)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if _HEAD_END in self._end + data:
            self._leave()
            if self._transport is not None:
                self._transport.set_protocol(self._inner)
        self._end = (self._end + data)[-len(_HEAD_END) + 1 :]
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
