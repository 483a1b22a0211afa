"""What the API remembers of messages: the account's list, newest first, and one message by its id.

Answers are decoded tolerantly, since they have changed before: property names and words in any casing, times with or
without a zone or as a number, fields that are missing. What cannot be read of one entry is not told; a page whose list
cannot be found at all is an error, because it must never look like "there is nothing".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

from broadcaster.api.asking import UNREADABLE, Sending, data_of, find, get, refused
from broadcaster.api.fields import count_of, phone_of, text_of
from broadcaster.core.values import Heard
from broadcaster.errors import ContractBroken

LARGEST_PAGE = 100
_NOT_FOUND = 404
_AUTO = "sent"  # the API's word for a channel that it picks itself
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MILLISECONDS = 1e11  # a number above is no count of seconds (year 5138), one below no count of milliseconds (1973)
_LATEST = 1e14  # in either unit; no time of this world is later


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A status that a message has had, in upper case: since when, with which code, and why; ``None`` if not told."""

    status: str
    at_us: int | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A message as the API shows it; ``None`` where it does not tell.

    ``phone`` is "+" and digits. ``channel`` is lower case, ``auto`` where the API says that it picks; ``direction`` and
    ``status`` are upper case. ``whole``: channel and template were spoken of, so that a ``None`` means that there is
    none, not that nothing was said. ``price`` is a decimal number, as it is told. ``steps`` are all statuses so far, in
    the order in which they are told; ``code`` and ``reason`` belong to ``status``.
    """

    message_id: str
    phone: str | None = None
    channel: str | None = None
    direction: str | None = None
    status: str | None = None
    template_id: str | None = None
    template_name: str | None = None
    created_us: int | None = None
    whole: bool = False
    code: str | None = None
    reason: str | None = None
    price: str | None = None
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the list.

    ``pages`` is how many there are, where it is told; ``asked_us`` when this one was asked for, by our clock.
    """

    sightings: tuple[Sighting, ...]
    has_more: bool
    pages: int | None
    asked_us: int


async def conversations(ask: Sending, *, page: int, page_size: int = LARGEST_PAGE) -> Page:
    """Return a page of all messages of the account, newest first.

    Args:
        ask: sends the request.
        page: from 1.
        page_size: entries; the API may give fewer. Those without an id are left out.

    Raises:
        AccountRefused, Unreachable, RequestRefused, ContractBroken: as :func:`broadcaster.api.lookups.me`.
    """
    reply = await get(ask, f"/v3/conversations?page={page}&page_size={page_size}")
    data = data_of(reply)
    told = _told(data)
    entries = told.get("messages", told.get("items")) if isinstance(data, dict) else data
    if entries is None and ("messages" in told or "items" in told):
        entries = []  # a list that is said to be null
    if not isinstance(entries, list):
        raise ContractBroken(UNREADABLE)
    found = (_sighting(_told(entry)) for entry in entries)
    pagination = _told(told.get("pagination"))
    more, pages = pagination.get("hasmore"), count_of(pagination.get("totalpages"))
    if not isinstance(more, bool):
        more = pages is None or page < pages  # where nothing is said, the next page will show
    return Page(
        sightings=tuple(each for each in found if each is not None),
        has_more=more and bool(entries),
        pages=pages,
        asked_us=reply.started.wall_us,
    )


async def message(ask: Sending, id: str) -> Sighting | None:  # noqa: A002 - as the API calls it
    """Return a message by its id; ``None`` when the API does not know it, or not yet.

    Raises:
        AccountRefused, Unreachable, RequestRefused, ContractBroken: as :func:`broadcaster.api.lookups.me`.
    """
    reply = await find(ask, f"/v3/messages/{quote(id, safe='')}")
    if isinstance(reply, Heard):
        if reply.status == _NOT_FOUND:
            return None
        raise refused(reply)
    data = data_of(reply)
    if not isinstance(data, dict):
        raise ContractBroken(UNREADABLE)
    return _sighting({**_told(data), "id": id}, whole=True)


def _told(entry: object) -> dict[str, object]:
    """Return the properties of a JSON object by names without case and underscores; none for anything else."""
    return {name.replace("_", "").lower(): value for name, value in entry.items()} if isinstance(entry, dict) else {}


def _sighting(told: Mapping[str, object], *, whole: bool = False) -> Sighting | None:
    message_id = text_of(told.get("id")) or text_of(told.get("messageid"))
    if message_id is None:
        return None
    channel = (text_of(told.get("channel")) or "").lower()
    return Sighting(
        message_id=message_id,
        phone=phone_of(told.get("phone")) or phone_of(told.get("phoneinternational")),
        channel="auto" if channel == _AUTO else channel or None,
        direction=(text_of(told.get("direction")) or "").upper() or None,
        status=(text_of(told.get("status")) or "").upper() or None,
        template_id=text_of(told.get("templateid")),
        template_name=text_of(told.get("templatename")),
        created_us=_moment_us(told.get("createdat")),
        whole=whole or {"channel", "templateid", "templatename"} <= told.keys(),
        code=text_of(told.get("reasoncode")),
        reason=text_of(told.get("reason")),
        price=_price(told.get("price")),
        steps=tuple(_steps(told.get("events"))),
    )


def _steps(events: object) -> Iterator[Step]:
    """Yield what can be read of a message's past; an entry without a status is none."""
    for event in events if isinstance(events, list) else ():
        told = _told(event)
        status = text_of(told.get("status"))
        if status is not None:
            yield Step(
                status=status.upper(),
                at_us=_moment_us(told.get("timestamp")),
                code=text_of(told.get("reasoncode")),
                reason=text_of(told.get("reason")),
            )


def _price(value: object) -> str | None:
    """Return a price as a decimal number without an exponent: from a number, or from a text that is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return f"{price:f}" if price.is_finite() and price >= 0 else None


def _moment_us(value: object) -> int | None:
    """Return µs since 1970: from ISO 8601, in UTC unless it names a zone, or from seconds or milliseconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * (1_000 if value > _MILLISECONDS else 1_000_000)) if 0 < value < _LATEST else None
    try:
        at = datetime.fromisoformat(text_of(value) or "")
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
