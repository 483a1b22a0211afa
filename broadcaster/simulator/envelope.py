"""What every answer looks like: the envelope, the error codes, the common headers.

Pure: it is told the request's id, and knows nothing of HTTP machinery or storage.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType

API_VERSION = "v3"
JSON_TYPE = "application/json; charset=utf-8"
_DOC_URL = "https://docs.sent.dm/errors/"
_TO_MICROSECONDS = len("2026-01-15T09:00:00.000000")
_NOTHING: Mapping[str, str] = MappingProxyType({})

CODES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "AUTH_002": (401, "Invalid or missing API key."),
        "AUTH_004": (403, "This API key is not permitted to do that."),
        "VALIDATION_001": (400, "Request validation failed"),
        "VALIDATION_002": (400, "Invalid phone number"),
        "VALIDATION_003": (400, "Invalid GUID format"),
        "VALIDATION_004": (400, "Request validation failed"),
        "VALIDATION_005": (400, "Value is out of range"),
        "VALIDATION_006": (400, "Invalid enum value"),
        "VALIDATION_007": (400, "Invalid Idempotency-Key: 1 to 255 letters, digits, hyphens or underscores."),
        "VALIDATION_008": (400, "Invalid template variable value"),
        "RESOURCE_001": (404, "Contact not found"),
        "RESOURCE_002": (404, "Template not found"),
        "RESOURCE_003": (404, "Message not found"),
        "RESOURCE_007": (409, "Resource already exists"),
        "RESOURCE_008": (404, "Webhook not found"),
        "RESOURCE_013": (404, "Resource not found"),
        "RESOURCE_014": (404, "Profile not found"),
        "BUSINESS_002": (429, "Rate limit exceeded"),
        "BUSINESS_003": (402, "Insufficient balance to send message."),
        "BUSINESS_005": (400, "Template is not approved"),
        "BUSINESS_006": (400, "The message's state does not allow this"),
        "BUSINESS_010": (400, "The webhook is inactive"),
        "CONFLICT_001": (409, "A request with this Idempotency-Key is still being processed."),
        "CONFLICT_005": (409, "This Idempotency-Key was already used for a different request."),
        "CONFLICT_006": (409, "The template is in review"),
        "LIMIT_001": (429, "Too many scheduled messages are held for this account."),
        "SERVICE_001": (503, "The idempotency store is unavailable; the request was not executed."),
        "INTERNAL_001": (500, "Failed to queue message for processing."),
        "INTERNAL_002": (500, "Database error"),
        "INTERNAL_003": (502, "External service error"),
        "INTERNAL_004": (504, "Operation timed out"),
        "INTERNAL_005": (503, "Service unavailable"),
    }
)
"""Error code → (HTTP status, default message)."""

_CODE_OF_STATUS: Mapping[int, str] = MappingProxyType(
    {
        401: "AUTH_002",
        402: "BUSINESS_003",
        403: "AUTH_004",
        404: "RESOURCE_013",
        409: "CONFLICT_001",
        429: "BUSINESS_002",
        502: "INTERNAL_003",
        503: "INTERNAL_005",
        504: "INTERNAL_004",
    }
)
_SERVER_ERROR = 500
_ENCODER = json.JSONEncoder(separators=(",", ":"))  # json.dumps would make one for every answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, ready for the wire: *body* goes out byte for byte."""

    status: int
    body: bytes
    code: str | None = None  # the error's code; None on success
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE

    @property
    def succeeded(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the definition of 2xx

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Return this answer with *headers* added."""
        return replace(self, headers={**self.headers, **headers})


@dataclass(slots=True, kw_only=True, eq=False)
class Refusal(Exception):
    """The API says no: an error code, and what goes with it.

    ``details`` maps a field to its complaints; ``status`` is the code's own unless given.
    """

    code: str
    message: str | None = None
    details: Mapping[str, list[str]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None


def new_request_id() -> str:
    """Return a fresh request id."""
    return "req_" + secrets.token_hex(8)


def timestamp(at: datetime | None = None) -> str:
    """Return *at* (UTC, default now) the way .NET writes it: seven decimals and an explicit offset."""
    text = (at or datetime.now(tz=UTC)).isoformat(timespec="microseconds")  # several times faster than strftime
    return f"{text[:_TO_MICROSECONDS]}0{text[_TO_MICROSECONDS:]}"


def moment(us: int) -> str:
    """Return the timestamp of *us* microseconds since 1970."""
    return timestamp(datetime.fromtimestamp(us / 1_000_000, tz=UTC))


def success(
    data: object, *, request_id: str, status: int = 200, headers: Mapping[str, str] = _NOTHING
) -> Answer:  # the shape of SEED002
    """Return a successful answer holding *data*."""
    document = {"success": True, "data": data, "error": None, "meta": _meta(request_id)}
    return Answer(status=status, body=encode(document), headers=headers)


def no_content() -> Answer:
    """Return a 204: done, nothing to say."""
    return Answer(status=204, body=b"")


def refused(refusal: Refusal, *, request_id: str) -> Answer:
    """Return the error answer of *refusal*."""
    status, message = CODES.get(refusal.code, (400, "Request failed"))
    error = {
        "code": refusal.code,
        "message": refusal.message or message,
        "details": dict(refusal.details) if refusal.details is not None else None,
        "doc_url": _DOC_URL + refusal.code,
    }
    document = {"success": False, "data": None, "error": error, "meta": _meta(request_id)}
    return Answer(
        status=refusal.status or status, body=encode(document), code=refusal.code, headers=dict(refusal.headers)
    )


def code_for(status: int) -> str:
    """Return the code that fits an HTTP *status* when none is given."""
    return _CODE_OF_STATUS.get(status, "INTERNAL_001" if status >= _SERVER_ERROR else "VALIDATION_001")


def encode(document: object) -> bytes:
    """Return compact JSON. Non-ASCII is escaped, as the real backend's serialiser does: it makes answers long."""
    return _ENCODER.encode(document).encode()


def _meta(request_id: str) -> dict[str, str]:
    return {"request_id": request_id, "timestamp": timestamp(), "version": API_VERSION}
