"""Surplus copies among held messages: people whom a run messages anyway, and who would be messaged once more.

A copy is one only if no journal of ours explains it, and only of a delivery that is accepted already: the one message
of a delivery in doubt is no surplus. Asks nobody and knows no clock.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from broadcaster.api.history import Sighting
from broadcaster.core.words import Channel
from broadcaster.tracking.evidence import Doubt, explains

_HELD = "SCHEDULED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What tells a run's messages: to whom they went and on which channels, with which template, and when."""

    accepted: Mapping[str, tuple[Channel, ...]]
    template_id: str | None
    template_name: str | None
    since_us: int
    until_us: int


def surplus(sightings: Iterable[Sighting], sent: Sent, *, known_ids: Container[str]) -> list[str]:
    """Return the ids of held messages that only look like this run's."""
    return [
        each.message_id
        for each in sightings
        if each.status == _HELD and each.message_id not in known_ids and _is_alike(each, sent)
    ]


def _is_alike(sighting: Sighting, sent: Sent) -> bool:
    phone = sighting.phone or ""
    return any(
        explains(
            sighting,
            Doubt(
                batch=0,
                position=0,
                channel=channel,
                to=phone,
                since_us=sent.since_us,
                until_us=sent.until_us,
                template_id=sent.template_id,
                template_name=sent.template_name,
            ),
        )
        for channel in sent.accepted.get(phone, ())
    )
