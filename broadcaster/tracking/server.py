"""The HTTP side of receipts: ``POST /webhooks/sent`` and ``GET /healthz``, as an application that can have more routes.

A webhook is acknowledged after its receipts are on disk, never before. What each answer leads to at Sent's decides
which one is given: a 2xx ends the event, anything else repeats it, and ten failures in a row switch the endpoint off.
So what is well signed and not for us gets a 200; a disk that refuses, or too much at once, a 503; and nothing a 500.
Answers and counts say nothing that was not known before: no number, no secret, no reason why a signature is not good.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import hdrs, web

from broadcaster.clock import wall_us
from broadcaster.core.receipts import Receipt
from broadcaster.errors import StoreError
from broadcaster.job.settings import Secret
from broadcaster.tracking.envelopes import Ignored, Malformed, read_event
from broadcaster.tracking.signature import ID, SIGNATURE, TIMESTAMP, Signatures

PATH = "/webhooks/sent"
USUAL_TOLERANCE_S = 300.0  # as Sent's documentation has it
LARGEST_BODY = 1 << 20  # bytes; an event has at most a few thousand
READ_S = 10.0  # for the body of one request
_MOST_WAITING = 10_000  # receipts that are not on disk yet: at some point it is better to let Sent repeat them
_RETRY_AFTER_S = "30"
_EVENT_ID = "x-webhook-event-id"
_LOGGER = logging.getLogger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Store(Protocol):
    """Where receipts go: a :class:`broadcaster.store.receipts.ReceiptsWriter`."""

    @property
    def waiting(self) -> int:
        """How many were handed in and are not on disk yet."""

    async def add(self, receipts: Iterable[Receipt]) -> int:
        """Write them down, durably; return how many were new. Raise ``StoreError`` when that fails."""


@dataclass(slots=True)
class Counts:
    """What arrived since the start. ``refused`` counts by reason: a few words each."""

    new: int = 0  # receipts
    repeated: int = 0
    ignored: int = 0  # events
    unkept: int = 0  # receipts answered with 503: Sent repeats them
    trouble: str = ""  # why, the last time
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Grows with everything that arrives."""
        return self.new + self.repeated + self.ignored + self.unkept + self.refused.total()


COUNTS: web.AppKey[Counts] = web.AppKey("counts", Counts)


def make_app(
    *,
    store: Store | None,
    secrets: Sequence[Secret],
    tolerance_s: float = USUAL_TOLERANCE_S,
    body_limit: int = LARGEST_BODY,
    read_s: float = READ_S,
) -> web.Application:
    """Return the application; its counts are at :data:`COUNTS`. Other rooms may add routes to it.

    Serve it by :func:`broadcaster.tracking.listening.listening`, which leaves bodies as they are signed.

    Args:
        store: stays the caller's to close, after the application. Without one, webhooks are not received at all.
        secrets: any of them may have signed.
        tolerance_s: between a webhook's timestamp and now.
        body_limit: of a request's body, in bytes; for every route.
        read_s: how long the body of a webhook may take to arrive.

    Raises:
        ConfigError: a secret is not usable.
    """
    app = web.Application(client_max_size=body_limit, middlewares=[_never_500])
    app[COUNTS] = counts = Counts()
    app.router.add_get("/healthz", _is_well)
    if store is None:
        return app
    webhooks = _Webhooks(store, Signatures(secrets, tolerance_s=tolerance_s), counts, body_limit, read_s)
    app.router.add_post(PATH, webhooks.receive)
    return app


class _Webhooks:
    """Answers webhooks."""

    def __init__(self, store: Store, signatures: Signatures, counts: Counts, body_limit: int, read_s: float) -> None:
        self._store = store
        self._signatures = signatures
        self._counts = counts
        self._body_limit = body_limit
        self._read_s = read_s

    async def receive(self, request: web.Request) -> web.Response:
        """Take a webhook in, from its bytes to the disk."""
        body = await self._body(request)
        if isinstance(body, web.Response):
            return body
        headers = {name: value for name in (ID, TIMESTAMP, SIGNATURE) if (value := _only(request, name)) is not None}
        received_us = wall_us()
        objection = self._signatures.objection(body, headers, now_s=received_us / 1e6)
        if objection is not None:
            return self._refuse(401, objection)
        event = read_event(body, event_id=_only(request, _EVENT_ID), received_us=received_us)
        if isinstance(event, Malformed):
            return self._refuse(400, event.reason)
        if isinstance(event, Ignored):
            self._counts.ignored += 1
            return web.Response(text="ignored")
        return await self._keep(event)

    async def _body(self, request: web.Request) -> bytes | web.Response:
        if (request.content_length or 0) > self._body_limit:
            return self._refuse(413, "too large", hang_up=True)  # unread
        try:
            async with asyncio.timeout(self._read_s):
                return await request.read()
        except TimeoutError:
            return self._refuse(408, "too slow", hang_up=True)
        except web.HTTPRequestEntityTooLarge:
            return self._refuse(413, "too large", hang_up=True)
        except web.RequestPayloadError:
            return self._refuse(400, "not HTTP", hang_up=True)

    async def _keep(self, receipts: Sequence[Receipt]) -> web.Response:
        if self._store.waiting + len(receipts) > _MOST_WAITING:
            self._counts.trouble = "more come at once than the disk takes"
            return self._later(len(receipts))
        try:
            new = await self._store.add(receipts)
        except StoreError as error:
            self._counts.trouble = error.sentence
            return self._later(len(receipts))
        self._counts.new += new
        self._counts.repeated += len(receipts) - new
        return web.Response(text="kept")

    def _later(self, receipts: int) -> web.Response:
        self._counts.unkept += receipts
        return web.Response(status=503, text="not kept", headers={hdrs.RETRY_AFTER: _RETRY_AFTER_S})

    def _refuse(self, status: int, reason: str, *, hang_up: bool = False) -> web.Response:
        self._counts.refused[f"{status} {reason}"] += 1
        response = web.Response(status=status, text="refused")
        if hang_up:
            response.force_close()
        return response


def _only(request: web.Request, name: str) -> str | None:
    """Return a header that is there once; of two, nobody can say which one was meant."""
    values = request.headers.getall(name, ())
    return values[0] if len(values) == 1 else None


async def _is_well(request: web.Request) -> web.Response:
    del request
    return web.Response(text="ok")


@web.middleware
async def _never_500(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn a bug into a 503, so that Sent repeats what was not kept; say where it is, and not what it had in hand."""
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001 - the last net
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        _LOGGER.error("a bug: %s at %s; the request was answered with 503", type(error).__name__, where)  # noqa: TRY400
        return web.Response(status=503, text="not kept", headers={hdrs.RETRY_AFTER: _RETRY_AFTER_S})
