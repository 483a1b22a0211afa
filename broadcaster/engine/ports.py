"""What the engine needs from others: four ports, and the events it tells.

A shard on a cluster swaps two of them; nothing here names a library.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broadcaster.core.values import Attempt, Blame, Child, Claim, Lost, Outcome, Reply, Request, Unsent, Verdict


class Send(Protocol):
    """One HTTP exchange. Never raises for the network's sake."""

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        """Send *request* once."""


class Budget(Protocol):
    """The account's rate limit."""

    async def turn(self, messages: int) -> None:
        """Return when one request with so many messages may leave; first come, first served."""

    def ready(self, messages: int) -> bool:
        """Return whether :meth:`turn` would return at once."""

    def throttled(self, verdict: Verdict) -> None:
        """Hear that the API said "slower": everybody pauses, and goes on at a lower rate."""


class Journal(Protocol):
    """Durable facts: every method returns when they are on disk."""

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Record that these batches' bytes may leave; replaces earlier claims of the same batches."""

    async def note(self, attempt: Attempt) -> None:
        """Record an attempt that settled nothing; the claim stands."""

    async def release(self, batch: int) -> None:
        """Take a claim back: all attempts of the batch are recorded, and all created nothing."""

    async def settle(self, outcome: Outcome, children: Sequence[Child] = (), blames: Sequence[Blame] = ()) -> None:
        """Record how a batch ended, with what follows from it, in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Deliveries got their status, durably. ``earlier_launch``: accepted, but not by anything this journal sent."""

    accepted: int = 0
    rejected: int = 0
    in_doubt: int = 0
    earlier_launch: int = 0
    code: str = ""
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An attempt settled nothing; the same request goes again after a while."""

    code: str
    sentence: str
    wait_s: float


Event = Settled | Waiting


class Observe(Protocol):
    """Somebody who watches."""

    def __call__(self, event: Event, /) -> None:
        """Hear of an event; must return at once."""
