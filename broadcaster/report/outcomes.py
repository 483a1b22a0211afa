"""From the manifest's words to one outcome for each message, and to the seven parts that a picture shows. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from broadcaster.core.words import Status
from broadcaster.report.figures import Outcome

_TOLD = {
    "read": Outcome.READ,
    "delivered": Outcome.DELIVERED,
    "sent": Outcome.SENT,
    "failed": Outcome.FAILED,
    "blocked": Outcome.BLOCKED,
    "filtered": Outcome.FILTERED,
    "cancelled": Outcome.CANCELLED,
}
_UNTOLD = {
    Status.PENDING: Outcome.PENDING,
    Status.REJECTED: Outcome.REJECTED,
    Status.EXCLUDED: Outcome.EXCLUDED,
    Status.IN_DOUBT: Outcome.IN_DOUBT,
}
NOT_DELIVERED = frozenset({Outcome.FAILED, Outcome.BLOCKED, Outcome.FILTERED, Outcome.CANCELLED})
DELIVERED = frozenset({Outcome.READ, Outcome.DELIVERED})
SENT = DELIVERED | {Outcome.SENT}
ACCEPTED = SENT | NOT_DELIVERED | {Outcome.UNDER_WAY, Outcome.ACCEPTED}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a stacked bar: *key* is its CSS class, *name* stands in legends and tables."""

    key: str
    name: str
    outcomes: frozenset[Outcome]


PARTS = (
    Part("delivered", "delivered", DELIVERED),
    Part("sent", "sent, not confirmed", frozenset({Outcome.SENT})),
    Part("accepted", "accepted, no word yet", frozenset({Outcome.ACCEPTED, Outcome.UNDER_WAY})),
    Part("lost", "not delivered", NOT_DELIVERED),
    Part("rejected", "rejected", frozenset({Outcome.REJECTED})),
    Part("doubt", "in doubt", frozenset({Outcome.IN_DOUBT})),
    Part("pending", "pending", frozenset({Outcome.PENDING})),
)
"""All outcomes of eligible messages, in the order of the bars."""


def outcome_of(status: str, delivery_status: str | None) -> Outcome:
    """Return the outcome of a manifest row; a receipt proves that the API accepted it."""
    known = _UNTOLD.get(Status(status))
    if known is not None:
        return known
    if not delivery_status:
        return Outcome.ACCEPTED
    return _TOLD.get(delivery_status.lower(), Outcome.UNDER_WAY)


def parts_of(outcomes: Mapping[str, int]) -> dict[str, int]:
    """Return the counts by the key of their part, every part named."""
    return {part.key: sum(outcomes.get(each, 0) for each in part.outcomes) for part in PARTS}


def used_parts(outcomes: Mapping[str, int]) -> list[Part]:
    """Return the parts that are there: without any receipt nobody may read "0 delivered"."""
    counts = parts_of(outcomes)
    return [part for part in PARTS if counts[part.key]]


def total(outcomes: Mapping[str, int], wanted: frozenset[Outcome]) -> int:
    """Return how many have one of the *wanted* outcomes."""
    return sum(outcomes.get(each, 0) for each in wanted)
