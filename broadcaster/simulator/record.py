"""A message as the ledger keeps it, and the facts that its course follows from."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from broadcaster.simulator.lifecycle import US, Change, Facts, Lifecycle, course
from broadcaster.simulator.templates import Catalogue

_ROUTES = ("sms", "whatsapp", "rcs")
FIELDS = (
    "message_id, recipient, channel, template_id, body, status, reason_code, profile_id, created_us, scheduled_at,"
    " release_us, begun_us, attempt, changed_us, charged, media, earlier"
)
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "BUSINESS_003": "Insufficient balance",
        "BUSINESS_005": "Template is not approved",
        "BUSINESS_012": "Template is not active on this channel",
        "BUSINESS_029": "The sender number is not active",
        "BUSINESS_004": "The contact has opted out",
        "CONVERSATION_TEMPLATE_REQUIRED": "Free-form text needs an open conversation; send a template",
        "WHATSAPP_TEMPLATE_REQUIRED": "Free-form text on WhatsApp needs an open conversation; send a template",
        "DELIVERY_003": "The message could not be delivered",
        "DELIVERY_007": "The recipient is not registered on this channel",
    }
)
"""What a reason code means, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One row of the ledger. ``status`` is what was decided about it, not what has become of it since."""

    message_id: str
    recipient: str
    channel: str
    template_id: str | None
    body: str | None
    status: str
    reason_code: str | None
    profile_id: str | None
    created_us: int
    scheduled_at: str | None  # as it was asked for
    release_us: int | None  # when that hold ends
    begun_us: int | None  # when it was last sent again
    attempt: int
    changed_us: int | None  # when somebody last cancelled it or sent it again
    charged: int
    media: str | None  # a JSON list of addresses
    earlier: str | None  # its changes before it was sent again, as JSON

    @classmethod
    def of(cls, row: Sequence[Any]) -> "Message":
        """Return the message in a *row* of :data:`FIELDS`."""
        return cls(**dict(zip(_NAMES, row, strict=True)))

    @property
    def scheduled_us(self) -> int | None:
        """The moment the sender asked for."""
        if self.scheduled_at is None:
            return None
        return int(datetime.fromisoformat(self.scheduled_at).timestamp() * US)

    def course(self, world: Lifecycle, catalogue: Catalogue) -> tuple[Change, ...]:
        """Return all changes of this message, also those to come."""
        template = catalogue.by_id(self.template_id) if self.template_id is not None else None
        routes = _ROUTES if template is None else tuple(name for name in _ROUTES if name in template.channels)
        facts = Facts(
            recipient=self.recipient,
            channel=self.channel,
            routes=routes or _ROUTES,
            begun_us=self.begun_us or self.created_us,
            verdict=self.status,
            reason_code=self.reason_code,
            scheduled_us=self.scheduled_us if self.release_us is not None else None,
            release_us=self.release_us,
            cancelled_us=self.changed_us if self.status == "CANCELLED" else None,
            attempt=self.attempt,
            earlier=load_changes(self.earlier),
        )
        return course(facts, world)


_NAMES = tuple(name.strip() for name in FIELDS.split(","))


def find(connection: sqlite3.Connection, message_id: str) -> Message | None:
    """Return the message of that id."""
    row = connection.execute(f"SELECT {FIELDS} FROM message WHERE message_id = ?", (message_id,)).fetchone()  # noqa: S608 - the columns are ours
    return None if row is None else Message.of(row)


def dump_changes(changes: Iterable[Change]) -> str:
    """Return *changes* as the ledger keeps them."""
    return json.dumps([asdict(change) for change in changes])


def load_changes(text: str | None) -> tuple[Change, ...]:
    """Return the changes in what :func:`dump_changes` wrote; none for ``None``."""
    return () if text is None else tuple(Change(**entry) for entry in json.loads(text))
