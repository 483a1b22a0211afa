"""One request on a connection of aiohttp's pool, without its session.

Theory of operation. A session prepares each request for whatever may come of it: redirects, cookies, middleware,
traces, headers merged and checked anew. None of that applies here, and it costs a third of what a small request costs.
So the head of a request is made once for each path, and its bytes go to the connection's transport. Connecting, the
pool, TLS and the parser stay aiohttp's own, asked for as its session asks for them. Unlike a session this repeats
nothing: a connection that turns out to be closed is the caller's to judge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """A method and a path: how to reach the host, and the part of the head that all its requests share."""

    request: aiohttp.ClientRequest
    head: bytes = field(repr=False)  # holds the credentials


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
        self._targets: dict[tuple[str, str], _Target] = {}

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
        target = self._targets.get((method, path))
        if target is None:
            target = self._targets[method, path] = self._target(method, path)
        written = target.head
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

    def _target(self, method: str, path: str) -> _Target:
        url = URL(self._base_url + path, encoded=True)
        # What aiohttp itself would send: with the host's name, and credentials that the address carries.
        request = aiohttp.ClientRequest(method, url, headers=self._headers)
        fields = [(name, value) for name, value in request.headers.items() if name != "Content-Length"]
        lines = [f"{method} {url.raw_path_qs} HTTP/1.1".encode("ascii")]
        lines += [name.encode("ascii") + b": " + _value(value) for name, value in fields]
        return _Target(request, b"\r\n".join([*lines, b""]))


def _leave(connection: aiohttp.connector.Connection, written: bytes) -> ResponseHandler:
    """Hand the bytes of a request over; return what reads the answer."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or transport is None or transport.is_closing():
        raise aiohttp.ClientConnectionResetError("The connection is closed")
    protocol.set_response_params(read_until_eof=True)
    transport.write(written)
    return protocol


def _value(text: str) -> bytes:
    """Return a header's value as bytes.

    Raises:
        ValueError: it would end the header; the text itself is not shown.
    """
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError("A header's value has a line break")
    return text.encode("utf-8")
