"""What a webhook's body says, in each of the shapes that the API has had: receipts, or why there are none.

Theory of operation. The shapes differ in where the message is (at the top, or under ``payload``, ``value``, ``data``)
and in what its fields are called; so each field has a list of names, and the message is looked for where its id is.
Names are compared without case and underscores. Nothing here raises, whatever the bytes are: what cannot be a receipt
is one of two values, :class:`Ignored` for what is well made and not for us, :class:`Malformed` for nonsense.

Knows nothing of HTTP, signatures and files. Texts of the API get to the store without numbers, ids and keys.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeGuard

import msgspec

from broadcaster.core.receipts import ORDER, Receipt
from broadcaster.operations.envelope import discreet

SOURCE = "webhook"
_US = 1_000_000
_DAY_US = 86_400 * _US
_MOST_EVENTS = 1000  # in one body; a batch of events is documented nowhere
_LARGEST = 10**15  # of any number that is read
_MILLISECONDS_FROM = 100_000_000_000  # larger numbers are no seconds: they would be the year 5138
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_ -]{0,63}", re.ASCII)
_EVENT_ID = re.compile(r"[!-~]{1,128}")
_NUMBER = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
_PRICE = re.compile(r"-?\d{1,12}(\.\d{1,12})?", re.ASCII)
_FOLDED = str.maketrans("", "", "_- ")

_INSIDE = ("payload", "value", "data", "message")
_MESSAGE_ID = ("messageid", "id")
_STATUS = ("messagestatus", "status")
_UPDATED = ("updatedat", "statusupdatedat")
_TO = ("outboundnumber", "to", "phonenumber", "phone", "recipient")
_OURS = frozenset({"message", "messages"})  # families
_INBOUND = frozenset({"RECEIVED", "INBOUND"})
_STATUS_OF: Mapping[str, str] = MappingProxyType({f"message.{word.lower()}": word for word in ORDER})
_AUTO = frozenset({"sent", "auto"})  # words for "the API picks", and no channel
_Folded = Mapping[str, Any]

_JSON = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Ignored:
    """A well-made event that says nothing about a message of ours; it is acknowledged."""

    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """No event at all; it is refused."""

    reason: str


def read_event(body: bytes, *, event_id: str | None, received_us: int) -> tuple[Receipt, ...] | Ignored | Malformed:
    """Return the receipts in a webhook's body, never none; or why there is none to keep.

    Args:
        body: as it came.
        event_id: of the header ``X-Webhook-Event-ID``; without, equal bodies are the same event.
        received_us: now; stands for a moment that the event does not tell, or tells wrongly by more than a day.
    """
    try:
        document = _JSON.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Malformed("not JSON")
    events = _events(document)
    if not events:
        return Malformed("no event")
    key = (
        f"id:{event_id}" if event_id and _EVENT_ID.fullmatch(event_id) else f"sha256:{hashlib.sha256(body).hexdigest()}"
    )
    read = [
        _read(event, key=key if len(events) == 1 else f"{key}/{at}", received_us=received_us)
        for at, event in enumerate(events)
    ]
    receipts = tuple(each for each in read if isinstance(each, Receipt))
    if receipts:
        return receipts
    return next((each for each in read if isinstance(each, Ignored)), None) or _first_malformed(read)


def _first_malformed(read: Sequence[Receipt | Ignored | Malformed]) -> Malformed:
    return next((each for each in read if isinstance(each, Malformed)), Malformed("no event"))


def _events(document: object) -> Sequence[object]:
    """The events of a body: itself, or those in the list that it is or has."""
    if isinstance(document, dict):
        listed = _fold(document).get("events")
        return [document] if not isinstance(listed, list) else listed[:_MOST_EVENTS]
    return document[:_MOST_EVENTS] if isinstance(document, list) else ()


def _read(event: object, *, key: str, received_us: int) -> Receipt | Ignored | Malformed:
    if not isinstance(event, dict):
        return Malformed("an event is no object")
    top = _fold(event)
    name = _text(top, "event", "subtype", "eventtype", "type").lower()
    family = _text(top, "field").lower() or name.partition(".")[0]
    if not family:
        return Malformed("no event: neither 'field' nor 'event'")
    if family not in _OURS:
        return Ignored("an event of another family")
    return _receipt(_message(top), top, name, key=key, received_us=received_us)


def _receipt(said: _Folded, top: _Folded, name: str, *, key: str, received_us: int) -> Receipt | Ignored | Malformed:
    """Read *said* of the event *name*, whose envelope is *top*."""
    status = _text(said, *_STATUS).upper() or _STATUS_OF.get(name, "")
    if status in _INBOUND or name == "message.received":
        return Ignored("an inbound message")
    message_id = _text(said, *_MESSAGE_ID)
    if not _ID.fullmatch(message_id):
        return Malformed("no message id")
    if not _WORD.fullmatch(status):
        return Malformed("no status")
    error = said.get("error")
    inner = _fold(error) if isinstance(error, dict) else {}
    return Receipt(
        message_id=message_id,
        status=status,
        channel=_channel(said),
        code=_code(_text(said, "reasoncode", "errorcode") or _text(inner, "code", "reasoncode")),
        reason=discreet(_text(said, "reason", "error", "errormessage") or _text(inner, "message", "reason")) or None,
        updated_us=_updated_us(said, top, received_us=received_us),
        event_key=key,
        source=SOURCE,
        price=_price(said),
        to=_to(said),
    )


def _message(top: _Folded) -> _Folded:
    """Where the message is: in the first of its places that is an object, else at the top."""
    return next((_fold(inner) for name in _INSIDE if isinstance(inner := top.get(name), dict)), top)


def _fold(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with its names without case, underscores and hyphens; of two that are the same so, the first."""
    folded: dict[str, Any] = {}
    for name, value in found.items():
        folded.setdefault(name.translate(_FOLDED).lower(), value)
    return folded


def _text(found: _Folded, *names: str) -> str:
    """Return the first of these fields that is a text with something in it, or ""."""
    values = (found.get(name) for name in names)
    return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")


def _code(text: str) -> str | None:
    return text if _ID.fullmatch(text) else None


def _channel(said: _Folded) -> str | None:
    word = _text(said, "channel").lower()
    return word if _WORD.fullmatch(word) and word not in _AUTO else None


def _to(said: _Folded) -> str | None:
    number = _text(said, *_TO)
    return number if _NUMBER.fullmatch(number) else None


def _price(said: _Folded) -> str | None:
    """Return what the message cost: the corrected price where there is one."""
    pricing = said.get("pricing")
    inner = _fold(pricing) if isinstance(pricing, dict) else said
    for name in ("correctedprice", "originalprice", "price"):
        value = inner.get(name)
        text = format(Decimal(repr(value)), "f") if _is_number(value) else value
        if isinstance(text, str) and _PRICE.fullmatch(text):
            return text
    return None


def _is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is one that can be reckoned with: JSON also has numbers of a thousand digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _updated_us(said: _Folded, top: _Folded, *, received_us: int) -> int:
    """Return when the status was reached; the moment of the event where that is not told, else now."""
    for moment in _moments(said, top):
        told_us = _moment_us(moment)
        if told_us is not None and told_us <= received_us + _DAY_US:  # nobody's clock is a day fast
            return told_us
    return received_us


def _moments(said: _Folded, top: _Folded) -> Iterator[object]:
    yield from (said.get(name) for name in _UPDATED)
    statuses = said.get("statushistory")
    if isinstance(statuses, list) and statuses and isinstance(statuses[-1], dict):
        yield _fold(statuses[-1]).get("timestamp")
    yield said.get("timestamp")
    yield top.get("timestamp")


def _moment_us(value: object) -> int | None:
    """Return a moment in microseconds since 1970: ISO 8601 (UTC where no zone is told), seconds, or milliseconds."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
            return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            return None
    if _is_number(value) and 0 < value < _MILLISECONDS_FROM * 1000:
        return int(value * (_US if value < _MILLISECONDS_FROM else 1000))
    return None
