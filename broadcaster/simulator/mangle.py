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
    return _reshaped(fault, answer)


def _reshaped(fault: Fault, answer: Answer) -> Answer:
    if fault.kind is Kind.CUT_JSON:
        return replace(answer, body=answer.body[: len(answer.body) // 2])
    reshape = _SHAPES.get(fault.kind)
    if reshape is None or not answer.succeeded:
        return answer
    document = json.loads(answer.body)
    if not isinstance(document["data"], dict) or not document["data"].get("recipients"):
        return answer
    reshape(document, fault)
    return replace(answer, body=encode(document))


def _omit(document: dict[str, Any], fault: Fault) -> None:
    rows = document["data"]["recipients"]
    del rows[max(0, len(rows) - fault.rows) :]


def _add(document: dict[str, Any], fault: Fault) -> None:
    rows = document["data"]["recipients"]
    rows.append({**rows[0], "to": fault.to, "message_id": message_ids(1)[0]})


def _readdress(document: dict[str, Any], fault: Fault) -> None:
    document["data"]["recipients"][0]["to"] = fault.to


def _repeat_id(document: dict[str, Any], fault: Fault) -> None:
    """The last row takes the first one's id; a single row comes twice."""
    del fault
    rows = document["data"]["recipients"]
    if len(rows) == 1:
        rows.append(copy.copy(rows[0]))
    rows[-1]["message_id"] = rows[0]["message_id"]


def _reform(document: dict[str, Any], fault: Fault) -> None:
    """Another form, as a gateway or a next version might have it."""
    rows = document["data"]["recipients"]
    if fault.shape == "null":
        document["data"] = None
    elif fault.shape == "object":
        document["data"]["recipients"] = {row["to"]: row["message_id"] for row in rows}
    else:
        document["data"]["recipients"] = [{"id": row["message_id"], "phone": row["to"]} for row in rows]


def _pad(document: dict[str, Any], fault: Fault) -> None:
    document["data"]["padding"] = " " * fault.size


_SHAPES: Mapping[Kind, Callable[[dict[str, Any], Fault], None]] = MappingProxyType(
    {
        Kind.OMIT_ROWS: _omit,
        Kind.EXTRA_ROW: _add,
        Kind.FOREIGN_ROW: _readdress,
        Kind.DUPLICATE_ID: _repeat_id,
        Kind.WRONG_SHAPE: _reform,
        Kind.BLOAT: _pad,
    }
)
