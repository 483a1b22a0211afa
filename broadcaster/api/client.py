"""One HTTP exchange with the API: a request goes in, and what came of it comes out, never an error of the network.

Redirects are not followed (aiohttp would forward the key), nothing is retried, no cookie is kept, no proxy or netrc of
the environment is used. Compression is not asked for: answers are small, and cannot grow in our hands.
"""

import asyncio
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from broadcaster.api.deadlines import Deadlines
from broadcaster.api.failures import NETWORK_ERRORS, failure
from broadcaster.api.wire import Wire
from broadcaster.clock import Clock
from broadcaster.core.classify import ANSWER_TOO_LARGE
from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent

LARGEST_ANSWER = 32 * 1024 * 1024  # bytes; the largest honest answer is a few megabytes
_CONNECT_S = 5.0  # as the vendor's own client: an address that does not answer by then will not


class Client:
    """The ``Send`` port over HTTP; an async context manager that owns one pool of connections.

    Args:
        base_url: of the API, without the path.
        credentials: headers such as ``x-api-key``; never shown.
        timeout_s: for a whole exchange, from looking for a connection to the last byte of the answer.
        connections: how many exchanges may go on at once.
        clock: for the instants in the results.
        resolver: looks names up; ``None`` for the system's.

    Raises:
        ValueError: *base_url* is no address.
    """

    def __init__(
        self,
        *,
        base_url: str,
        credentials: Mapping[str, str],
        timeout_s: float,
        connections: int,
        clock: Clock,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._host = URL(base_url).host  # all that is shown: the address may carry a password
        self._credentials = credentials
        self._deadlines = Deadlines(timeout_s)
        self._connections = connections
        self._clock = clock
        self._resolver = resolver
        self._wire: Wire | None = None
        self.exchanges = 0  # begun so far, whatever became of them

    def __repr__(self) -> str:
        return f"<Client {self._host} {'closed' if self._wire is None else 'open'}>"

    async def __aenter__(self) -> Self:
        self._wire = Wire(
            self._base_url,
            headers={
                **self._credentials,
                "User-Agent": f"broadcaster/{_version()}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            connector=aiohttp.TCPConnector(limit=self._connections, resolver=_Prompt(self._resolver)),
            connect_s=_CONNECT_S,
            largest=LARGEST_ANSWER,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        """Send *request* once; the network's errors become values.

        Raises:
            RuntimeError: the client is not open.
        """
        if self._wire is None:
            raise RuntimeError("The client is not open")
        self.exchanges += 1
        started, deadline = self._now(), self._deadlines.begin()
        try:
            async with deadline:
                answer = await self._wire.exchange(request.method, request.path, body=request.body, key=request.key)
            if answer.body is None:
                return Lost(reason=ANSWER_TOO_LARGE, started=started, ended=self._now())
            return Reply(
                status=answer.status, headers=answer.headers, body=answer.body, started=started, ended=self._now()
            )
        except NETWORK_ERRORS as error:
            # Only the word goes on: the error itself knows the request's headers, and with them the key.
            failed = failure(error)
        finally:
            self._deadlines.end(deadline)
        if failed.left:
            return Lost(reason=failed.reason, started=started, ended=self._now())
        return Unsent(reason=failed.reason, started=started, ended=self._now())

    def _now(self) -> Instant:
        return Instant.at(self._clock.reading())


class _Prompt(AbstractResolver):
    """Looks names up, and gives up in time: no byte has left then."""

    def __init__(self, resolver: AbstractResolver | None) -> None:
        self._resolver = resolver or aiohttp.DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._resolver.resolve(host, port, family)
        except TimeoutError:
            raise OSError(None, "The name cannot be looked up in time") from None

    async def close(self) -> None:
        await self._resolver.close()


def _version() -> str:
    try:
        return version("broadcaster")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0"
