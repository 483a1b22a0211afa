"""The client against a tiny server on loopback that says, or fails to say, exactly what a test needs."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from broadcaster.api import client as client_module
from broadcaster.api.client import Client
from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent

KEY = "sk_live_CANARY"
POST = Request(method="POST", path="/v3/messages", body=b'{"to":["+14155550100"]}', key="f1-abc", messages=1)
OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-Request-Id: req_1\r\n\r\n{}"

Handler = Callable[["Exchange"], Awaitable[None]]


class SteppingClock:
    """Wall time that moves by one second each time it is read."""

    def __init__(self) -> None:
        self._wall_us = 1_800_000_000_000_000

    def reading(self) -> tuple[int, int | None, str | None]:
        self._wall_us += 1_000_000
        return self._wall_us, None, None

    def monotonic(self) -> float:
        return self._wall_us / 1_000_000

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"The client never waits ({seconds} s)")


@dataclass
class Exchange:
    """One request as it came over the wire, and the means to answer it."""

    head: bytes
    body: bytes
    writer: asyncio.StreamWriter

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


@dataclass
class Wire:
    """A server that hands each request to the next handler and remembers what it got."""

    handlers: list[Handler]
    url: str = ""
    seen: list[Exchange] = field(default_factory=list)
    serving: list[asyncio.Task[None]] = field(default_factory=list)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.append(asyncio.create_task(self._serve(reader, writer), name=f"connection-{len(self.serving)}"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head=head, body=b"", writer=writer)
                exchange.body = await reader.readexactly(int(exchange.headers.get("content-length", 0)))
                self.seen.append(exchange)
                await self.handlers.pop(0)(exchange)  # then keep the connection until the client ends it
                if writer.is_closing():
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def wire(*handlers: Handler) -> AsyncIterator[Wire]:
    served = Wire(list(handlers))
    server = await asyncio.start_server(served.accept, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()
        await server.wait_closed()
        if served.serving:
            await asyncio.wait(served.serving)


def says(data: bytes) -> Handler:
    async def answer(exchange: Exchange) -> None:
        await exchange.say(data)

    return answer


def client(url: str, *, timeout_s: float = 10.0, resolver: AbstractResolver | None = None) -> Client:
    return Client(
        base_url=url,
        credentials={"x-api-key": KEY, "x-profile-id": "p-1"},
        timeout_s=timeout_s,
        connections=4,
        clock=SteppingClock(),
        resolver=resolver,
    )


async def exchange_with(*handlers: Handler, request: Request = POST, timeout_s: float = 10.0) -> Reply | Lost | Unsent:
    async with wire(*handlers) as served, client(served.url, timeout_s=timeout_s) as send:
        return await send(request)


async def test_a_complete_answer_is_a_reply_with_lower_case_header_names() -> None:
    result = await exchange_with(says(OK))

    assert isinstance(result, Reply)
    assert (result.status, result.body, result.headers["x-request-id"]) == (202, b"{}", "req_1")


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + OK, id="after hints"
        ),
        pytest.param(
            b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", id="in chunks"
        ),
        pytest.param(OK.replace(b"1.1", b"1.0"), id="HTTP/1.0"),
        pytest.param(
            OK.replace(b"X-Request-Id", b"Connection: close\r\nX-Request-Id"), id="the last on its connection"
        ),
    ],
)
async def test_an_answer_may_be_written_in_many_ways_and_the_next_request_gets_its_own(written: bytes) -> None:
    async with wire(says(written), says(OK)) as served, client(served.url) as send:
        results = [await send(POST), await send(POST)]

    assert [(type(each), getattr(each, "body", b"")) for each in results] == [(Reply, b"{}")] * 2
    kept = b"HTTP/1.0" not in written and b"close" not in written
    assert len(served.serving) == (1 if kept else 2)


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async def until_the_end(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 202 Accepted\r\n\r\n{}")
        exchange.writer.close()

    result = await exchange_with(until_the_end)

    assert isinstance(result, Reply)
    assert result.body == b"{}"


async def test_an_address_may_carry_credentials_of_its_own() -> None:
    async with wire(says(OK)) as served, client(served.url.replace("//", "//ada:secret@")) as send:
        await send(POST)

    assert served.seen[0].headers["authorization"] == "Basic YWRhOnNlY3JldA=="
    assert served.seen[0].headers["host"] == served.url.removeprefix("http://")


async def test_a_header_cannot_be_smuggled_in() -> None:
    async with wire() as served, client(served.url) as send:
        with pytest.raises(ValueError, match="line break"):
            await send(replace(POST, key="f1-abc\r\nX-Other: 1"))

    assert served.seen == []


async def test_the_request_carries_bytes_key_and_credentials_as_they_are() -> None:
    async with wire(says(OK)) as served, client(served.url) as send:
        await send(POST)

    exchange = served.seen[0]
    assert exchange.head.startswith(b"POST /v3/messages HTTP/1.1\r\n")
    assert exchange.body == POST.body
    named = ("x-api-key", "x-profile-id", "idempotency-key", "content-type", "accept-encoding")
    assert [exchange.headers[name] for name in named] == [KEY, "p-1", "f1-abc", "application/json", "identity"]
    assert exchange.headers["user-agent"].startswith("broadcaster/")


async def test_a_look_up_has_neither_key_nor_body() -> None:
    async with wire(says(OK)) as served, client(served.url + "/") as send:
        await send(Request(method="GET", path="/v3/templates?search=a%2Fb%20c&page=1"))

    exchange = served.seen[0]
    assert exchange.head.startswith(b"GET /v3/templates?search=a%2Fb%20c&page=1 HTTP/1.1\r\n")
    assert {"idempotency-key", "content-type"} & set(exchange.headers) == set()


async def test_a_result_says_when_it_began_and_ended() -> None:
    result = await exchange_with(says(OK))

    assert (result.started, result.ended) == (
        Instant(wall_us=1_800_000_001_000_000),
        Instant(wall_us=1_800_000_002_000_000),
    )


async def test_a_redirect_is_not_followed_and_the_key_stays_here() -> None:
    async with wire(says(OK)) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url}/\r\nContent-Length: 0\r\n\r\n".encode()
        result = await exchange_with(says(moved))

    assert isinstance(result, Reply)
    assert result.status == 307
    assert elsewhere.seen == []


async def test_cookies_are_not_kept() -> None:
    cookie = b"HTTP/1.1 202 Accepted\r\nSet-Cookie: session=1\r\nContent-Length: 2\r\n\r\n{}"
    async with wire(says(cookie), says(OK)) as served, client(served.url) as send:
        await send(POST)
        await send(POST)

    assert "cookie" not in served.seen[1].headers


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(says(OK)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        result = await exchange_with(says(OK))

    assert isinstance(result, Reply)
    assert proxy.seen == []


# ---- nothing, or only a part, comes back -----------------------------------------------------------------------------


async def closes(exchange: Exchange) -> None:
    exchange.writer.close()


async def resets(exchange: Exchange) -> None:
    exchange.reset()


async def cuts_off(exchange: Exchange) -> None:
    await exchange.say(b'HTTP/1.1 202 Accepted\r\nContent-Length: 500\r\n\r\n{"success":true')
    exchange.writer.close()


async def cuts_off_a_chunk(exchange: Exchange) -> None:
    await exchange.say(b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{}")
    exchange.writer.close()


async def resets_midway(exchange: Exchange) -> None:
    await exchange.say(b'HTTP/1.1 202 Accepted\r\nContent-Length: 500\r\n\r\n{"success":true')
    exchange.reset()


@pytest.mark.parametrize(
    ("handler", "reasons"),
    [
        pytest.param(closes, {"connection_closed"}, id="closed without an answer"),
        pytest.param(resets, {"connection_broken", "connection_closed"}, id="reset without an answer"),
        pytest.param(cuts_off, {"answer_cut_off"}, id="cut off in the body"),
        pytest.param(cuts_off_a_chunk, {"answer_cut_off"}, id="cut off in a chunk"),
        pytest.param(resets_midway, {"answer_cut_off", "connection_broken"}, id="reset in the body"),
        pytest.param(says(b"what?\r\n\r\n"), {"answer_malformed"}, id="not http"),
        pytest.param(says(OK[:30]), {"timeout"}, id="silent in the head"),
        pytest.param(says(OK[:-1]), {"timeout"}, id="silent in the body"),
    ],
)
async def test_an_answer_is_lost_when_it_is(handler: Handler, reasons: set[str]) -> None:
    result = await exchange_with(handler, timeout_s=0.3)

    assert isinstance(result, Lost)
    assert result.reason in reasons


async def test_an_answer_that_drips_for_ever_is_lost_when_the_time_is_over() -> None:
    async def drips(exchange: Exchange) -> None:
        await exchange.say(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n")
        while not exchange.writer.is_closing():
            await exchange.say(b"x")
            await asyncio.sleep(0.01)  # the pace of the fault, not a synchronisation

    result = await exchange_with(drips, timeout_s=0.3)

    assert (type(result), getattr(result, "reason", "")) == (Lost, "timeout")


async def test_a_kept_connection_that_the_server_closes_loses_a_post_and_never_repeats_it() -> None:
    async with wire(says(OK), closes, says(OK)) as served, client(served.url) as send:
        first = await send(POST)
        second = await send(POST)

    assert isinstance(first, Reply)
    assert isinstance(second, Lost)
    assert (len(served.serving), len(served.seen)) == (1, 2)


async def test_an_answer_larger_than_any_honest_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LARGEST_ANSWER", 1000)
    just_fits = b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    too_large = b"HTTP/1.1 202 Accepted\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001

    assert isinstance(await exchange_with(says(just_fits)), Reply)
    result = await exchange_with(says(too_large))
    assert (type(result), getattr(result, "reason", "")) == (Lost, "answer_too_large")


# ---- no byte leaves --------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_unsent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer here
        async with client(f"http://127.0.0.1:{taken.getsockname()[1]}") as send:
            result = await send(POST)

    assert (type(result), getattr(result, "reason", "")) == (Unsent, "connection_refused")


async def test_a_name_that_is_not_found_is_unsent() -> None:
    class Nowhere(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError(f"{host}:{port} {family}")

        async def close(self) -> None:
            pass

    async with client("http://api.invalid", resolver=Nowhere()) as send:
        result = await send(POST)

    assert (type(result), getattr(result, "reason", "")) == (Unsent, "name_not_found")


async def test_a_name_that_is_looked_up_for_ever_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            await asyncio.Event().wait()
            raise AssertionError(f"{host}:{port} {family}")

        async def close(self) -> None:
            pass

    monkeypatch.setattr("broadcaster.api.client._CONNECT_S", 0.05)
    async with client("http://api.invalid", resolver=Slow()) as send:
        result = await send(POST)

    assert (type(result), getattr(result, "reason", "")) == (Unsent, "name_not_found")


async def test_a_server_that_speaks_no_tls_is_unsent_and_sees_no_request() -> None:
    async with wire(says(OK)) as served:
        greeted = asyncio.Event()

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert KEY.encode() not in await reader.read(4096)
            writer.write(OK)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            greeted.set()

        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with server, client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as send:
            result = await send(POST)
            await greeted.wait()

    assert isinstance(result, Unsent)
    assert result.reason in {"tls", "connection_refused"}
    assert served.seen == []


# ---- the rest --------------------------------------------------------------------------------------------------------


async def test_a_cancelled_exchange_is_cancelled_and_not_an_answer() -> None:
    arrived, never = asyncio.Event(), asyncio.Event()

    async def hangs(_: Exchange) -> None:
        arrived.set()
        with contextlib.suppress(asyncio.CancelledError):
            await never.wait()

    async with wire(hangs) as served, client(served.url) as send:
        sending = asyncio.ensure_future(send(POST))
        await arrived.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        never.set()


async def test_the_key_is_in_no_result_and_no_repr() -> None:
    async with wire(closes) as served, client(served.url) as send:
        lost = await send(POST)
        shown = repr(send) + repr(lost) + repr(POST)

    assert KEY not in shown
    assert repr(client("https://user:secret@api.example:8443")) == "<Client api.example closed>"


async def test_a_client_that_is_not_open_says_so() -> None:
    closed = client("http://127.0.0.1:9")

    with pytest.raises(RuntimeError, match="not open"):
        await closed(POST)


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        client("http://api.example:port")
