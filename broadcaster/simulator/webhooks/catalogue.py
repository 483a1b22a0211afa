"""Which events there are, and ``GET /v3/webhooks/event-types``."""

from collections.abc import Mapping
from types import MappingProxyType

from broadcaster.simulator.envelope import Answer, success
from broadcaster.simulator.pages import read_page
from broadcaster.simulator.parts import Exchange, Parts

FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "message": (
            "queued",
            "routed",
            "sent",
            "delivered",
            "read",
            "failed",
            "filtered",
            "blocked",
            "scheduled",
            "cancelled",
            "received",
        ),
        "templates": ("approved", "rejected", "paused"),
        "contact": ("opt_in", "opt_out", "help", "custom_keyword"),
        "channel": ("updated",),
        "link": ("clicked", "downloaded", "expired", "revoked"),
        "call": ("started", "ended"),
    }
)
"""Family → its events. Only those of messages that we send happen here; the others can be subscribed to and tested."""

_SENDABLE = frozenset(FAMILIES["message"]) - {"received"}


def event_of(status: str) -> str | None:
    """Return the name of the event of a message's *status*; ``None``: there is none, as for PROCESSED."""
    return f"message.{status.lower()}" if status.lower() in _SENDABLE else None


def is_event(name: str) -> bool:
    """Whether *name* is an event with its family, such as ``message.sent``."""
    family, _, event = name.partition(".")
    return event in FAMILIES.get(family, ())


async def list_event_types(parts: Parts, exchange: Exchange) -> Answer:
    """Answer ``GET /v3/webhooks/event-types``: the families, each with its events."""
    del parts
    page = read_page(exchange.query)
    families = list(FAMILIES.items())
    data = {
        "event_types": [_describe(*family) for family in families[page.start : page.start + page.size]],
        "pagination": page.describe(len(families)),
    }
    return success(data, request_id=exchange.request_id)


def _describe(family: str, events: tuple[str, ...]) -> dict[str, object]:
    inner = [_entry(event, f"{family}.{event}", f"A {family} event: {event}.", None) for event in events]
    return _entry(family, family, f"All events about: {family}.", inner)


def _entry(name: str, event_type: str, description: str, inner: list[dict[str, object]] | None) -> dict[str, object]:
    return {
        "name": name,
        "display_name": name.replace("_", " ").capitalize(),
        "description": description,
        "event_type": event_type,
        "is_active": True,
        "sub_types": inner,
    }
