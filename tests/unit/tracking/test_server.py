"""The receiver over real HTTP: what it answers to what, that it answers after the disk, and that nobody can hold it."""

import asyncio
import base64
import gzip
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from broadcaster.core.receipts import Receipt
from broadcaster.errors import ConfigError
from broadcaster.job.settings import Secret
from broadcaster.store.receipts import ReceiptsWriter, read_states
from broadcaster.tracking.listening import listening
from broadcaster.tracking.server import COUNTS, LARGEST_BODY, Counts, Store, make_app
from broadcaster.tracking.signature import ID, SIGNATURE, TIMESTAMP

SECRET = Secret("whsec_" + base64.b64encode(bytes(range(32))).decode())
HOOK = "3f0c2a52-0000-4000-8000-000000000001"


def event(name: str = "m-1", status: str = "SENT", **others: object) -> bytes:
    payload = {"message_id": name, "message_status": status, "updated_at": "2026-05-28T20:26:40Z"}
    return json.dumps({"field": "message", "event": "message.sent", "payload": payload | others}).encode()


def headers(body: bytes, *, event_id: str = "e-1", at_s: int | None = None) -> dict[str, str]:
    at_s = int(time.time()) if at_s is None else at_s
    signature = Webhook(SECRET.reveal()).sign(HOOK, datetime.fromtimestamp(at_s, tz=UTC), body.decode(errors="replace"))
    return {ID: HOOK, TIMESTAMP: str(at_s), SIGNATURE: signature, "X-Webhook-Event-ID": event_id}


class Watched(ReceiptsWriter):
    """A writer that tells when it was handed something."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = asyncio.Event()

    async def add(self, receipts: Iterable[Receipt]) -> int:
        self.asked.set()
        return await super().add(receipts)


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A receiver that listens, with its file."""

    url: str
    store: Watched
    counts: Counts
    client: aiohttp.ClientSession

    async def post(self, body: bytes, given: Mapping[str, str] | None = None, *, method: str = "POST") -> int:
        async with self.client.request(
            method,
            f"{self.url}/webhooks/sent",
            data=io.BytesIO(body),
            headers=headers(body) if given is None else given,
        ) as reply:
            await reply.read()
            return reply.status

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = urlsplit(self.url)
        return await asyncio.open_connection(address.hostname, address.port)

    def states(self) -> dict[str, str]:
        states = read_states([self.store.path])
        return dict(zip(states["message_id"].to_pylist(), states["status"].to_pylist(), strict=True))


@asynccontextmanager
async def receiver(
    directory: Path, *, listen: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Receiver]:
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Watched(directory / "receipts.sqlite"))
        app = make_app(store=store, secrets=[SECRET], **options)
        url = await stack.enter_async_context(listening(app, host="127.0.0.1", port=0, **(listen or {})))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Receiver(url=url, store=store, counts=app[COUNTS], client=client)


# ---- what is answered -----------------------------------------------------------------------------------------------


async def test_a_receipt_is_kept_and_its_repetition_changes_nothing(tmp_path: Path) -> None:
    async with receiver(tmp_path) as it:
        assert await it.post(event()) == 200
        assert await it.post(event()) == 200
        assert await it.post(event(status="DELIVERED"), headers(event(status="DELIVERED"), event_id="e-2")) == 200
        assert it.states() == {"m-1": "DELIVERED"}
        assert it.counts == Counts(new=2, repeated=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    body: bytes = event()
    headers: Mapping[str, str] | None = None
    method: str = "POST"
    status: int
    counted: str = ""


LARGE = event(body="x" * LARGEST_BODY)
OLD = int(time.time()) - 1000
ROWS: dict[str, Row] = {
    "no signature": Row(headers={}, status=401, counted="401 a header of the signature is missing"),
    "a signature of something else": Row(
        headers=headers(event("m-2")), status=401, counted="401 no secret of ours fits"
    ),
    "an old signature": Row(
        headers=headers(event(), at_s=OLD), status=401, counted="401 the timestamp is too far from now"
    ),
    "no JSON": Row(body=b"{", status=400, counted="400 not JSON"),
    "no event": Row(body=b"{}", status=400, counted="400 no event: neither 'field' nor 'event'"),
    "nothing": Row(body=b"", status=400, counted="400 not JSON"),
    "no text": Row(body=b"\xff", status=401, counted="401 no secret of ours fits"),
    "packed": Row(
        body=gzip.compress(event()),
        headers={**headers(event()), "Content-Encoding": "gzip"},
        status=401,
        counted="401 no secret of ours fits",
    ),
    "another family": Row(body=b'{"field":"contact","event":"contact.opt_out"}', status=200),
    "an event that is new": Row(body=b'{"event":"hologram.sent"}', status=200),
    "too large": Row(body=LARGE, status=413, counted="413 too large"),
    "read": Row(method="GET", status=405),
    "replaced": Row(method="PUT", status=405),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_everything_else_is_refused_by_what_is_wrong_with_it(tmp_path: Path, row: Row) -> None:
    async with receiver(tmp_path) as it:
        assert await it.post(row.body, row.headers, method=row.method) == row.status
        assert dict(it.counts.refused) == ({row.counted: 1} if row.counted else {})
        assert it.counts.ignored == (1 if row.status == 200 else 0)
        assert it.states() == {}
        assert await it.post(event()) == 200  # the next one is none the worse for it


async def test_a_large_body_is_refused_also_when_nobody_says_its_length(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(LARGE), 1 << 16):
            yield LARGE[start : start + (1 << 16)]

    async with receiver(tmp_path) as it:
        url = f"{it.url}/webhooks/sent"
        async with it.client.post(url, data=pieces(), headers=headers(LARGE)) as reply:
            assert reply.status == 413


async def test_a_header_that_is_there_twice_is_in_doubt(tmp_path: Path) -> None:
    given = headers(event())
    async with receiver(tmp_path) as it:
        twice = [*given.items(), (SIGNATURE, given[SIGNATURE])]
        async with it.client.post(f"{it.url}/webhooks/sent", data=event(), headers=twice) as reply:
            assert reply.status == 401
            assert await reply.text() == "refused"  # whoever tries learns nothing


async def test_a_wider_tolerance_takes_an_older_signature(tmp_path: Path) -> None:
    async with receiver(tmp_path, tolerance_s=86_400) as it:
        assert await it.post(event(), headers(event(), at_s=OLD)) == 200


async def test_it_says_that_it_is_there(tmp_path: Path) -> None:
    async with receiver(tmp_path) as it, it.client.get(f"{it.url}/healthz") as reply:
        assert (reply.status, await reply.text()) == (200, "ok")


# ---- the disk comes first -------------------------------------------------------------------------------------------


async def test_nothing_is_acknowledged_before_it_is_on_disk(tmp_path: Path) -> None:
    async with receiver(tmp_path) as it:
        other = ReceiptsWriter(it.store.path)
        other._db.execute("BEGIN IMMEDIATE")  # nobody else can write now
        posted = asyncio.create_task(it.post(event()))
        await it.store.asked.wait()
        async with it.client.get(f"{it.url}/healthz") as reply:
            assert reply.status == 200  # it is there for others meanwhile
        assert not posted.done()
        assert it.states() == {}
        other._db.execute("ROLLBACK")
        assert await posted == 200
        other.close()
        assert it.states() == {"m-1": "SENT"}


async def test_a_full_disk_is_a_503_and_the_repetition_is_kept(tmp_path: Path) -> None:
    large = event(reason="x" * 250, message_id="m" * 128)
    async with receiver(tmp_path) as it:
        it.store._db.execute("PRAGMA max_page_count = 1")  # SQLite then says what it says of a full disk
        found = [await it.post(large, headers(large, event_id=f"e-{at}")) for at in range(30)]
        assert set(found) <= {200, 503}
        assert found[-1] == 503
        assert it.counts.unkept == found.count(503)
        assert "make room" in it.counts.trouble
        it.store._db.execute("PRAGMA max_page_count = 100000")
        assert {await it.post(large, headers(large, event_id=f"e-{at}")) for at in range(30)} == {200}
        assert it.counts.new == 30


class Overfull:
    """A store that is far behind."""

    waiting = 10_000

    async def add(self, receipts: Iterable[Receipt]) -> int:
        raise AssertionError(f"not asked: {receipts}")


class Broken:
    """A store with a bug, which has somebody's number in hand."""

    waiting = 0

    async def add(self, receipts: Iterable[Receipt]) -> int:
        raise RuntimeError(f"{receipts} +14155550123")


@pytest.mark.parametrize("store", [Overfull(), Broken()], ids=["too much at once", "a bug"])
async def test_what_cannot_be_kept_now_is_repeated_later_and_never_a_500(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(store=store, secrets=[SECRET])
    caplog.set_level(logging.DEBUG)
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession() as client,
        client.post(f"{url}/webhooks/sent", data=event(), headers=headers(event())) as reply,
    ):
        assert (reply.status, reply.headers["Retry-After"]) == (503, "30")
    assert "4155550123" not in caplog.text
    assert "AAEC" not in caplog.text


# ---- nobody can hold it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"POST /webhooks/sent HTTP/1.1\r\nHost: x\r\nx-slow: "], ids=["silent", "slow"])
async def test_a_connection_that_never_ends_its_head_is_closed(tmp_path: Path, sent: bytes) -> None:
    async with receiver(tmp_path, listen={"head_s": 0.05}) as it:
        reader, writer = await it.open()
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()
        assert await it.post(event()) == 200


async def test_a_connection_may_stay_once_its_head_was_there(tmp_path: Path) -> None:
    async with receiver(tmp_path, listen={"head_s": 0.05}) as it:
        reader, writer = await it.open()
        for cut in (b"GET /healthz HTTP/1.1\r\nHost: x\r", b"\n\r", b"\n"):
            writer.write(cut)
            await writer.drain()
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        silent, other = await it.open()
        assert await silent.read() == b""  # a deadline of the same length has passed
        other.close()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_body_that_never_ends_is_a_408(tmp_path: Path) -> None:
    async with receiver(tmp_path, read_s=0.05) as it:
        reader, writer = await it.open()
        writer.write(b"POST /webhooks/sent HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        assert dict(it.counts.refused) == {"408 too slow": 1}
        writer.close()


async def test_no_more_connections_are_open_than_allowed(tmp_path: Path) -> None:
    async with receiver(tmp_path, listen={"most_connections": 3}) as it:
        held = [await it.open() for _ in range(3)]
        reader, writer = await it.open()
        assert await reader.read() == b""
        writer.close()
        held[0][1].close()
        await held[0][1].wait_closed()
        status = 0
        while status != 200:  # until the server has noticed
            try:
                status = await it.post(event())
            except aiohttp.ClientError:
                await asyncio.sleep(0.001)
        for _, each in held[1:]:
            each.close()


@pytest.mark.parametrize("sent", [b"NONSENSE\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n"], ids=["words", "TLS"])
async def test_what_is_no_http_is_refused_in_silence(
    tmp_path: Path, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="aiohttp")
    async with receiver(tmp_path) as it:
        reader, writer = await it.open()
        writer.write(sent)
        assert b" 400 " in await reader.readline()
        writer.close()
    assert not caplog.records


async def test_requests_at_work_are_answered_before_it_ends(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        store = stack.enter_context(Watched(tmp_path / "receipts.sqlite"))
        other = stack.enter_context(ReceiptsWriter(store.path))
        async with listening(make_app(store=store, secrets=[SECRET]), host="127.0.0.1", port=0) as url:
            other._db.execute("BEGIN IMMEDIATE")
            posted = asyncio.create_task(_post(client, url))
            await store.asked.wait()
            asyncio.get_running_loop().call_later(0.05, other._db.execute, "ROLLBACK")  # while it is ending
        assert await posted == 200


async def _post(client: aiohttp.ClientSession, url: str) -> int:
    async with client.post(f"{url}/webhooks/sent", data=event(), headers=headers(event())) as reply:
        return reply.status


async def test_an_address_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    async with receiver(tmp_path) as it:
        port = urlsplit(it.url).port
        assert port is not None
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            async with listening(web.Application(), host="127.0.0.1", port=port):
                pass
