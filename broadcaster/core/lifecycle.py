"""Which state of a batch may follow which.

States are derived from the journal's facts; this table says which facts may be written next. What was once in doubt
never becomes rejected, split or pending again: a later refusal proves nothing about the earlier attempt. Whether a
repeat is allowed is decided elsewhere (:mod:`broadcaster.core.doubt`, or an operator's recorded decision).
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from types import MappingProxyType


class BatchState(StrEnum):
    """Where a batch stands."""

    PENDING = auto()  # no claim
    IN_FLIGHT = auto()  # claimed by a living process, and no attempt of it is unresolved
    IN_DOUBT = auto()  # claimed, and no authoritative answer
    ACCEPTED = auto()
    REJECTED = auto()
    SPLIT = auto()  # its children stand for it
    RESENT = auto()  # a person decided: its children stand for it
    SKIPPED = auto()  # a person decided: never again


class Event(StrEnum):
    """What can happen to a batch."""

    CLAIM = auto()  # the claim is durable
    RELEASE = auto()  # every attempt provably created nothing; the claim is deleted
    ACCEPT = auto()
    REJECT = auto()
    SPLIT = auto()
    LOSE = auto()  # an attempt is unresolved, or the process that held the claim is gone
    REPEAT = auto()  # the same key and bytes again
    PROVE = auto()  # a look-up or a receipt shows the messages
    RESEND = auto()  # a person decides to send it anew, under another key
    SKIP = auto()  # a person decides to leave it


class IllegalMove(ValueError):
    """The table has no such move: a bug, or a journal that contradicts itself."""


_SETTLED: Mapping[Event, BatchState] = MappingProxyType({})

TRANSITIONS: Mapping[BatchState, Mapping[Event, BatchState]] = MappingProxyType(
    {
        BatchState.PENDING: MappingProxyType({Event.CLAIM: BatchState.IN_FLIGHT}),
        BatchState.IN_FLIGHT: MappingProxyType(
            {
                Event.RELEASE: BatchState.PENDING,
                Event.ACCEPT: BatchState.ACCEPTED,
                Event.REJECT: BatchState.REJECTED,
                Event.SPLIT: BatchState.SPLIT,
                Event.LOSE: BatchState.IN_DOUBT,
            }
        ),
        BatchState.IN_DOUBT: MappingProxyType(
            {
                Event.REPEAT: BatchState.IN_DOUBT,
                Event.LOSE: BatchState.IN_DOUBT,
                Event.ACCEPT: BatchState.ACCEPTED,
                Event.PROVE: BatchState.ACCEPTED,
                Event.RESEND: BatchState.RESENT,
                Event.SKIP: BatchState.SKIPPED,
            }
        ),
        BatchState.ACCEPTED: _SETTLED,
        BatchState.REJECTED: _SETTLED,
        BatchState.SPLIT: _SETTLED,
        BatchState.RESENT: _SETTLED,
        BatchState.SKIPPED: _SETTLED,
    }
)


def advance(state: BatchState, event: Event) -> BatchState:
    """Return the state after *event*.

    Raises:
        IllegalMove: the table has no such move.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalMove(f"A batch that is {state} cannot {event}") from None
