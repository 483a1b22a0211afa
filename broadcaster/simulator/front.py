"""One HTTP exchange, from receipt to answer: the only place that knows the order of things.

Received → written down → fault picked → key checked → rate limit → profile → route → turn of the idempotency key →
handler → fault again → written down → sent. A handler that started is finished whether or not the client still listens.
"""

import asyncio
import logging
import socket
import sqlite3
import struct
import time
from collections.abc import Mapping

from aiohttp import web

from broadcaster.simulator.account import account_id, account_type
from broadcaster.simulator.auth import authenticate, profile_of
from broadcaster.simulator.control import answer_control, is_control
from broadcaster.simulator.envelope import API_VERSION, Answer, Refusal, new_request_id, refused
from broadcaster.simulator.faults import NOT_EXECUTED, RESETS, UNANSWERED, Fault, Kind
from broadcaster.simulator.idempotency import REPLAY_HEADER, identify
from broadcaster.simulator.log import note_answer, note_receipt
from broadcaster.simulator.mangle import mangle, scripted
from broadcaster.simulator.parts import Exchange, Handler, Parts
from broadcaster.simulator.routes import find_handler

_LOGGER = logging.getLogger(__name__)


class Front:
    """Serves every request of one simulator."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer *request*, or close its connection where a fault says so."""
        started = time.monotonic()
        exchange = _open_exchange(request)
        fault: Fault | None = None
        try:
            exchange.body, refusal = await _read_body(request)
            if refusal is not None:
                note_receipt(self._parts, exchange)
                answer = await self._noted(exchange, refused(refusal, request_id=exchange.request_id))
            elif is_control(exchange):
                answer = await answer_control(self._parts, exchange, remote=request.remote)
            else:
                fault = self._parts.script.pick(exchange.method, exchange.path, now_s=started)
                exchange.fault = fault.kind.value if fault is not None else None
                note_receipt(self._parts, exchange)
                answer = await self._noted(exchange, await self._answer(exchange, fault))
        except ConnectionError:  # the client left in the middle of its request: nothing was received
            answer = None
        except Exception:
            _LOGGER.exception("A bug in the simulator.")
            answer = refused(Refusal(code="INTERNAL_001"), request_id=exchange.request_id)
        return await _send(request, answer, fault, headers=_common_headers(exchange, started))

    async def _answer(self, exchange: Exchange, fault: Fault | None) -> Answer | None:
        """The answer after the fault had its way; ``None``: close the connection without one."""
        if fault is not None and fault.kind in NOT_EXECUTED:
            return None if fault.kind in UNANSWERED else scripted(fault, request_id=exchange.request_id)
        try:
            answer = await self._admit(exchange, fault)
        except Refusal as refusal:
            answer = refused(refusal, request_id=exchange.request_id)
        if exchange.profile is not None:
            answer = answer.with_headers({"X-Profile-Id": exchange.profile})
        if fault is None:
            return answer
        if fault.kind in UNANSWERED:
            return None
        return mangle(fault, answer, request_id=exchange.request_id)

    async def _admit(self, exchange: Exchange, fault: Fault | None) -> Answer:
        """Check who asks and how often, then let the handler answer in its key's turn."""
        parts, settings, now = self._parts, self._parts.settings, time.monotonic()
        exchange.owner = authenticate(
            exchange.headers, key=settings.key, known=settings.profile_ids, lockout=parts.lockout, now=now
        )
        parts.requests.of(exchange.owner).take(1, now=now, wall=time.time())
        named = profile_of(
            exchange.headers,
            known=settings.profile_ids,
            account_id=account_id(settings, parts.ledger.account_id),
            account_type=account_type(settings) if exchange.owner is None else "profile",
        )
        exchange.profile = exchange.owner or named
        handler = find_handler(exchange)
        scope = exchange.profile or "" if settings.idempotency_scope == "profile" else exchange.owner or ""
        exchange.identity = identify(exchange.method, exchange.path, exchange.headers, exchange.body, scope=scope)
        slow = fault if fault is not None and fault.kind is Kind.SLOW else None
        async with parts.turns.take(exchange.identity):
            if slow is not None and slow.when == "before":
                await asyncio.sleep(slow.delay_s)
            answer = await self._handle(handler, exchange)
            if slow is not None and slow.when == "after":
                await asyncio.sleep(slow.delay_s)
        return answer

    async def _handle(self, handler: Handler, exchange: Exchange) -> Answer:
        try:
            answer = await handler(self._parts, exchange)
        except Refusal as refusal:
            return refused(refusal, request_id=exchange.request_id)
        except sqlite3.Error:
            _LOGGER.exception("The ledger failed; the request was rolled back.")
            return refused(Refusal(code="SERVICE_001"), request_id=exchange.request_id)
        except Exception:
            _LOGGER.exception("A bug in the simulator; the request was rolled back.")
            return refused(Refusal(code="INTERNAL_001"), request_id=exchange.request_id)
        exchange.replayed = REPLAY_HEADER in answer.headers
        return answer

    async def _noted(self, exchange: Exchange, answer: Answer | None) -> Answer | None:
        """Write the answer down before it leaves: who reads it may look at the log next."""
        try:
            await note_answer(self._parts, exchange, answer)
        except sqlite3.Error:
            _LOGGER.exception("The request log could not be written.")
            return refused(Refusal(code="INTERNAL_002"), request_id=exchange.request_id)
        self._parts.tally.note(
            received_us=exchange.received_us,
            status=None if answer is None else answer.status,
            code=None if answer is None else answer.code,
            fault=exchange.fault,
            replayed=exchange.replayed,
        )
        return answer


def _open_exchange(request: web.BaseRequest) -> Exchange:
    return Exchange(
        method=request.method,
        path=request.path,
        query=request.query,
        headers=request.headers,
        body=b"",
        request_id=new_request_id(),
        received_us=time.time_ns() // 1000,
    )


async def _read_body(request: web.BaseRequest) -> tuple[bytes, Refusal | None]:
    """The whole body, or why it is not acceptable as HTTP."""
    if request.client_max_size and (request.content_length or 0) > request.client_max_size:
        return b"", Refusal(code="VALIDATION_001", message="The request body is too large.", status=413)  # unread
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        return await request.read(), None
    except web.HTTPRequestEntityTooLarge:
        return b"", Refusal(code="VALIDATION_001", message="The request body is too large.", status=413)
    except web.RequestPayloadError:
        return b"", Refusal(code="VALIDATION_001", message="The request body cannot be decoded.")


def _common_headers(exchange: Exchange, started: float) -> dict[str, str]:
    return {
        "X-Request-Id": exchange.request_id,
        "X-API-Version": API_VERSION,
        "X-Response-Time": f"{(time.monotonic() - started) * 1000:.0f}ms",
        "Server": "sent-simulator",
    }


async def _send(
    request: web.BaseRequest, answer: Answer | None, fault: Fault | None, *, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Put *answer* on the wire; ``None`` closes the connection, a ``truncate`` fault does so half-way."""
    if answer is None:
        _hang_up(request, reset=fault is not None and fault.kind in RESETS)
        return web.Response()  # never arrives
    everything = {**headers, "Content-Type": answer.content_type, **answer.headers}
    if fault is None or fault.kind is not Kind.TRUNCATE:
        return web.Response(status=answer.status, body=answer.body, headers=everything)
    response = web.StreamResponse(status=answer.status, headers=everything)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    _hang_up(request)
    return response


def _hang_up(request: web.BaseRequest, *, reset: bool = False) -> None:
    if request.transport is None:
        return
    if reset:
        # No lingering: the kernel forgets what was written and sends RST instead of FIN.
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    else:
        request.transport.close()  # what was written before still leaves
