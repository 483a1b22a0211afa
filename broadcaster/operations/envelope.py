"""The API's error envelope, in every form that was seen, and the headers that matter.

Nothing here raises on what an API says: bodies may be empty, cut off, HTML, or of an older version of the API. What
cannot be read is left out, and the status speaks. Texts of the API reach people without numbers, ids and keys.

Knows nothing of what an answer leads to: that is :mod:`broadcaster.core.classify`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from broadcaster.core.values import Heard, Reply
from broadcaster.core.words import Shape

# The longest lock-out that the API documents; a wait beyond it is a mistake of somebody's.
LONGEST_RETRY_AFTER_S = 3600.0
_LONGEST_SENTENCE = 300  # characters: enough for a sentence, too short for a page of HTML

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_SLOWER = 429
_SECONDS = re.compile(r"\d{1,15}(\.\d+)?", re.ASCII)
_RECIPIENT = re.compile(r"(?:\$\.?)?(?:(?:body|request)\.)?to(?:[\[.](\d+)\]?(?:[.\[].*)?)?", re.IGNORECASE)
_FIELD = re.compile(r"(?:\$\.?)?(?:(?:body|request)\.)?([A-Za-z_]+)", re.IGNORECASE)
_INDEX = re.compile(r"\bto\[(\d+)\]", re.IGNORECASE)
_NUMBER = re.compile(r"\+?\d(?:[\s().-]{0,3}\d){6,}")  # seven digits or more may be a phone number
_SECRET = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b(?:sk|whsec)_\w+|\bf1-[a-z2-7]{10,}", re.IGNORECASE
)
_UNKNOWN = "\ufffd"
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class _Envelope(msgspec.Struct):
    """Version 3 has ``error`` and ``meta``; version 2 had problem details at the top. Anything may be anything."""

    error: Any = None
    meta: Any = None
    code: Any = None
    title: Any = None
    detail: Any = None
    message: Any = None
    errors: Any = None


_ENVELOPES = msgspec.json.Decoder(_Envelope)


def hear_error(to: Sequence[str], reply: Reply) -> Heard:
    """Return what an answer says that is no success.

    Args:
        to: the recipients asked for; ``blamed`` holds positions among them.
        reply: the answer, of any status but 2xx.
    """
    envelope = _envelope(reply.body)
    error = envelope.error if isinstance(envelope.error, dict) else {}
    code = _first_text(error.get("code"), envelope.code)
    sentence = _first_text(
        error.get("message"), envelope.error, envelope.detail, envelope.message, envelope.title, error.get("detail")
    )
    named = [*_named(error.get("details")), *_named(envelope.errors)]
    blamed = {position for field, texts in named for position in _blamed(to, field, texts)}
    about = {
        _CAMEL.sub("_", match[1]).lower()
        for field, _ in named
        if not _RECIPIENT.fullmatch(field) and (match := _FIELD.match(field))
    }
    return Heard(
        status=reply.status,
        shape=Shape.ERROR,
        code=code if _CODE.fullmatch(code) else "",
        sentence=discreet(sentence),
        blamed=tuple(sorted(blamed)),
        about=frozenset(about),
        retry_after_s=retry_after_s(reply),
        request_id=request_id(envelope.meta, reply.headers),
        replayed=replayed(reply.headers),
    )


def retry_after_s(reply: Reply) -> float | None:
    """Return how long the API asks to wait, above 0 and at most an hour; ``None`` when it says nothing usable.

    ``Retry-After`` may be seconds or an HTTP date; a 429 without it may name the end of its window instead. Moments are
    compared with the API's own clock where the answer tells it.
    """
    value = reply.headers.get("retry-after", "").strip()
    if not value and reply.status != _SLOWER:
        return None
    now_s = (reply.server_us or reply.ended.wall_us) / 1_000_000
    if _SECONDS.fullmatch(value):
        wait_s = float(value)
    elif (at_s := _date_s(value)) is not None:
        wait_s = at_s - now_s
    elif reply.status == _SLOWER and _SECONDS.fullmatch(  # elsewhere the window is not what we wait for
        reset := reply.headers.get("x-ratelimit-reset", "").strip()
    ):
        wait_s = float(reset) - now_s
    else:
        return None
    return min(wait_s, LONGEST_RETRY_AFTER_S) if wait_s > 0 else None


def request_id(meta: object, headers: Mapping[str, str]) -> str:
    """Return the API's name for a request, from the body or else the header; "" when unknown."""
    named = meta.get("request_id") if isinstance(meta, dict) else None
    return named if isinstance(named, str) and named else headers.get("x-request-id", "")


def replayed(headers: Mapping[str, str]) -> str:
    """Return the first request's id when an answer comes from the idempotency cache ("?" if not named), else ""."""
    if headers.get("idempotent-replayed", "").strip().lower() != "true":
        return ""
    return headers.get("x-original-request-id", "").strip() or "?"


def discreet(text: str) -> str:
    """Return *text* on one line, not too long, without phone numbers, ids and keys."""
    text = _NUMBER.sub("(number)", _SECRET.sub("(id)", _UNPRINTABLE.sub(" ", text).strip()))
    if not text.isprintable():  # what no font has, or half a character
        text = "".join(each if each.isprintable() else _UNKNOWN for each in text)
    return text if len(text) <= _LONGEST_SENTENCE else text[: _LONGEST_SENTENCE - 1] + "…"


def _envelope(body: bytes) -> _Envelope:
    try:
        return _ENVELOPES.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Envelope()


def _first_text(*values: object) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _named(details: object) -> Iterator[tuple[str, list[str]]]:
    """Yield field and texts from a map field → texts, or from a list of objects that name their field."""
    if isinstance(details, dict):
        for field, texts in details.items():
            yield str(field), _texts(texts)
    elif isinstance(details, list):
        for each in details:
            if isinstance(each, dict):
                field = _first_text(each.get("field"), each.get("path"), each.get("name"))
                yield field, _texts([each.get("message"), each.get("reason"), each.get("detail")])


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def _blamed(to: Sequence[str], field: str, texts: Sequence[str]) -> Iterator[int]:
    """Yield the positions that one field's error names: by number if a text holds one of ours, else by index."""
    match = _RECIPIENT.fullmatch(field)
    if match is None:
        return
    numbers = {_digits(found) for text in texts for found in _NUMBER.findall(text)}
    by_number = [position for position, number in enumerate(to) if _digits(number) in numbers] if numbers else []
    if by_number:
        yield from by_number
        return
    indexes = [match[1]] if match[1] else [found for text in texts for found in _INDEX.findall(text)]
    yield from (int(index) for index in indexes if len(index) <= len(str(len(to))) and int(index) < len(to))


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def _date_s(value: str) -> float | None:
    """Return an HTTP date in seconds since 1970."""
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
