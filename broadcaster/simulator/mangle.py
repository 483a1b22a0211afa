"""What a fault makes of an answer that was given in earnest. Pure: drops are made on the wire."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from broadcaster.simulator.envelope import Answer, Refusal, code_for, encode, refused
from broadcaster.simulator.faults import Fault, Kind
from broadcaster.simulator.ids import message_ids

_BAD_GATEWAY = 502
_PAGE = b"<!doctype html><title>Please sign in</title><h1>Welcome to the hotel network</h1>"


def scripted(fault: Fault, *, request_id: str) -> Answer:
    """Return the answer that a ``status`` or ``status_after_accept`` fault asks for."""
    status = fault.status or _BAD_GATEWAY
    answer = refused(Refusal(code=fault.code or code_for(status), status=status), request_id=request_id)
    if fault.body is not None:
        answer = replace(answer, body=fault.body.encode(), code=fault.code)
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    return replace(answer.with_headers(headers), content_type=fault.content_type or answer.content_type)


def mangle(fault: Fault, answer: Answer, *, request_id: str) -> Answer:
    """Return what is sent instead of *answer*. Faults of shape leave anything but a successful send alone."""
    if fault.kind is Kind.STATUS_AFTER_ACCEPT:
        return scripted(fault, request_id=request_id)
    if fault.kind is Kind.HTML:
        body = _PAGE if fault.body is None else fault.body.encode()
        return Answer(status=fault.status or 200, body=body, content_type=fault.content_type or "text/html")
    if fault.kind is Kind.EMPTY_BODY:
        return replace(answer, status=fault.status or answer.status, body=b"")
    reshape = _SHAPES.get(fault.kind)
    if reshape is None or not answer.succeeded:
        return answer
    document = json.loads(answer.body)
    rows = document["data"].get("recipients") if isinstance(document["data"], dict) else None
    if not rows:
        return answer
    reshape(rows, fault)
    return replace(answer, body=encode(document))


def _omit(rows: list[dict[str, Any]], fault: Fault) -> None:
    del rows[max(0, len(rows) - fault.rows) :]


def _add(rows: list[dict[str, Any]], fault: Fault) -> None:
    rows.append({**copy.copy(rows[0]), "to": fault.to, "message_id": message_ids(1)[0]})


def _readdress(rows: list[dict[str, Any]], fault: Fault) -> None:
    rows[0]["to"] = fault.to


def _repeat_id(rows: list[dict[str, Any]], fault: Fault) -> None:
    """The last row takes the first one's id; a single row comes twice."""
    del fault
    if len(rows) == 1:
        rows.append(copy.copy(rows[0]))
    rows[-1]["message_id"] = rows[0]["message_id"]


_SHAPES: Mapping[Kind, Callable[[list[dict[str, Any]], Fault], None]] = MappingProxyType(
    {
        Kind.OMIT_ROWS: _omit,
        Kind.EXTRA_ROW: _add,
        Kind.FOREIGN_ROW: _readdress,
        Kind.DUPLICATE_ID: _repeat_id,
    }
)
