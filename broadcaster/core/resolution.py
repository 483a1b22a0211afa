"""What follows from a person's decision about deliveries in doubt.

Whatever the API still remembers is repeated with its own key, whoever decides what; only the rest gets new keys.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from broadcaster.core.values import Batch, Child, Claim, Outcome
from broadcaster.core.words import Channel, Decision, State

Delivery = tuple[int, Channel]  # position in the batch, channel
SKIPPED = ("skipped_in_doubt", "a person decided not to send it again; whether it was sent is not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubted:
    """A batch of which *deliveries* are in doubt, after so many *attempts*.

    ``claim`` is ``None`` when there is an answer that lacks them. ``since_us`` is the start of the earliest attempt
    that may have created them; *code* and *sentence* are the last word about it.
    """

    batch: Batch
    deliveries: tuple[Delivery, ...]
    claim: Claim | None
    since_us: int
    attempts: int
    code: str
    sentence: str

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the batch is known."""
        return len(self.deliveries) == self.batch.deliveries


def follow(
    doubted: Doubted, what: Decision, *, protected: bool, generation: str, at_us: int
) -> tuple[Outcome | None, tuple[Child, ...]]:
    """Return how the batch ends, if it does, and what is sent anew; the parts have neither numbers nor keys yet.

    Args:
        doubted: the batch.
        what: the decision.
        protected: the batch's own key still protects a repeat.
        generation: of what is sent anew.
        at_us: when the decision was made.
    """
    if what is Decision.SKIP:
        return _ended(doubted, State.SKIPPED, SKIPPED, at_us), ()
    if protected:
        return None, ()
    children = tuple(
        Child(
            id=0,
            parent=doubted.batch.id,
            positions=positions,
            key="",
            cause=str(what),
            channels=channels,
            generation=generation,
        )
        for channels, positions in regroup(doubted.deliveries).items()
    )
    return _ended(doubted, State.RESENT, (doubted.code, doubted.sentence), at_us), children


def regroup(deliveries: Iterable[Delivery]) -> dict[tuple[Channel, ...], tuple[int, ...]]:
    """Gather single deliveries into parts: the positions of each set of channels."""
    channels: dict[int, list[Channel]] = {}
    for position, channel in deliveries:
        channels.setdefault(position, []).append(channel)
    parts: dict[tuple[Channel, ...], list[int]] = {}
    for position, wanted in sorted(channels.items()):
        parts.setdefault(tuple(wanted), []).append(position)
    return {wanted: tuple(positions) for wanted, positions in parts.items()}


def _ended(doubted: Doubted, state: State, word: tuple[str, str], at_us: int) -> Outcome | None:
    if doubted.claim is None:  # settled already: the decision alone tells
        return None
    return Outcome(
        batch=doubted.batch.id,
        state=state,
        attempts=max(1, doubted.attempts),
        first_us=doubted.since_us,
        settled_us=at_us,
        code=word[0],
        sentence=word[1],
    )
