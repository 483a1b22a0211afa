"""One request on a connection of aiohttp's pool, without its session.

Theory of operation. A session prepares each request for whatever may come of it: redirects, cookies, middleware,
traces, headers merged and checked anew. None of that applies here, and it costs a third of what a small request costs.
So the headers that all requests share are written once, and bytes go to the connection's transport. Connecting, the
pool, TLS and the parser stay aiohttp's own, asked for as its session asks for them. Unlike a session this repeats
nothing: a connection that turns out to be closed is the caller's to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPMethod, HTTPStatus

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

_BODYLESS = frozenset({HTTPMethod.GET, HTTPMethod.HEAD})


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; ``body`` is ``None`` where it is larger than the caller wants."""

    status: int
    headers: Mapping[str, str]  # asked without regard to case
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Target:
    """How to reach the host, and what the heads of all requests share: what stands before a path, and the headers."""

    request: aiohttp.ClientRequest
    before_path: bytes
    headers: bytes = field(repr=False)  # with the credentials


class Wire:
    """Sends requests to one address, over a pool of connections that it owns.

    Args:
        base_url: without a path.
        headers: of every request; never shown.
        connector: the pool.
        connect_s: seconds to open a connection.
        largest: bytes of a body that is read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        connector: aiohttp.BaseConnector,
        connect_s: float,
        largest: int,
    ) -> None:
        self._base_url = base_url
        self._headers = headers
        self._connector = connector
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s)
        self._largest = largest

    def __repr__(self) -> str:
        return f"<Wire {'closed' if self._connector.closed else 'open'}>"

    async def close(self) -> None:
        """Close the pool."""
        await self._connector.close()

    async def exchange(self, method: str, path: str, *, body: bytes, key: str | None) -> Answer:
        """Send one request and read its answer.

        Raises:
            aiohttp.ClientError, HttpProcessingError, OSError: what the network does.
            ValueError: a header would break the request.
        """
        target = self._target
        written = b"%b %b%b HTTP/1.1\r\n%b" % (method.encode("ascii"), target.before_path, _value(path), target.headers)
        if key is not None:
            written += b"Idempotency-Key: %b\r\n" % _value(key)
        if body:
            written += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        elif method not in _BODYLESS:
            written += b"Content-Length: 0\r\n\r\n"
        else:
            written += b"\r\n"
        try:
            connection = await self._connector.connect(target.request, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(*error.args) from None
        try:
            answer = await self._on(connection, written)
        except BaseException:
            connection.close()
            raise
        if answer.body is None:
            connection.close()
        else:
            connection.release()  # to the pool, unless either side wants it closed
        return answer

    async def _on(self, connection: aiohttp.connector.Connection, written: bytes) -> Answer:
        protocol = _leave(connection, written)
        message, content = await protocol.read()
        while message.code < HTTPStatus.OK and message.code != HTTPStatus.SWITCHING_PROTOCOLS:
            message, content = await protocol.read()
        return Answer(message.code, message.headers, await self._body(message.headers, content))

    async def _body(self, headers: Mapping[str, str], content: aiohttp.StreamReader) -> bytes | None:
        """Read a body to its end; ``None`` once it is larger than what is wanted."""
        stated = headers.get("Content-Length", "")
        if stated.isascii() and stated.isdigit() and int(stated) <= self._largest and "Content-Encoding" not in headers:
            return await content.read()
        chunks, size = [], 0
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > self._largest:
                return None
            chunks.append(chunk)
        return b"".join(chunks)

    @cached_property
    def _target(self) -> _Target:
        url = URL(self._base_url)
        # What aiohttp itself would send: with the host's name, and credentials that the address carries.
        request = aiohttp.ClientRequest(HTTPMethod.GET, url, headers=self._headers)
        lines = [name.encode("ascii") + b": " + _value(value) for name, value in request.headers.items()]
        return _Target(request, _value(url.raw_path.rstrip("/")), b"\r\n".join([*lines, b""]))


def _leave(connection: aiohttp.connector.Connection, written: bytes) -> ResponseHandler:
    """Hand the bytes of a request over; return what reads the answer."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("The connection is closed")
    protocol.set_response_params(read_until_eof=True)
    transport.write(written)
    return protocol


def _value(text: str) -> bytes:
    """Return what stands in one line of a head as bytes.

    Raises:
        ValueError: it would end the line, or is no ASCII; the text itself is not shown.
    """
    if not text.isascii() or "\r" in text or "\n" in text or "\0" in text:
        raise ValueError("A line of a request's head has a line break, or a character outside ASCII")
    return text.encode("ascii")
