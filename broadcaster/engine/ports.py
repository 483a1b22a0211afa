"""What the engine needs from others: four ports, and the events it tells.

A shard on a cluster swaps two of them; nothing here names a library.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broadcaster.core import canary
from broadcaster.core.control import Order
from broadcaster.core.values import (
    Attempt,
    Blame,
    Child,
    Claim,
    Instant,
    Lost,
    Outcome,
    Reply,
    Request,
    Unsent,
    Verdict,
    quick,
)
from broadcaster.core.window import Ceilings, Known, Turn


class Send(Protocol):
    """One HTTP exchange. Never raises for the network's sake."""

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        """Send *request* once."""


class Budget(Protocol):
    """The account's rate limit."""

    async def turn(self, messages: int) -> None:
        """Return when one request with so many messages may leave; first come, first served."""

    async def at_once(self, messages: int) -> bool:
        """Take a turn if it needs no wait; return whether it was taken."""

    def hear(self, reply: Reply) -> None:
        """Hear what an answer's headers say of the limit; to be called before :meth:`throttled` of the same answer."""

    def throttled(self, verdict: Verdict) -> None:
        """Hear that the API said "slower": everybody pauses, and goes on at a lower rate."""


class Window(Protocol):
    """What an account spent in the last minute, by whatever run on this machine, and what is known of its limit."""

    def take(self, messages: int, *, ceilings: Ceilings, patient: bool) -> Turn:
        """Write one request with so many messages down, if the last minute has room for it.

        A *patient* caller asks until it gets its turn or withdraws.
        """

    def withdraw(self) -> None:
        """Hear that nobody waits any more."""

    def belongs_to(self, pool: str) -> Known:
        """Hear whose limit it is: what was spent before is that account's."""

    def learn(self, limit: int) -> None:
        """Keep the limit of requests that the API names."""

    def pause(self, seconds: float) -> None:
        """Let every run of the account wait."""

    def spent(self) -> tuple[int, int]:
        """Return requests and messages of the account's last minute."""

    def correct(self, *, limit: int, remaining: int, asked_at: Instant) -> bool:
        """Write down what was spent elsewhere, by what the API says is left; return whether that was anything new."""


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


@quick
class Settled:
    """A request ended, and its deliveries got their status, durably.

    ``earlier_launch``: accepted, but not by anything this journal sent. ``born``: requests that follow from it, for
    those of its deliveries that have no status yet. ``batch``: the one that was accepted, for whoever asks the journal.
    """

    accepted: int = 0
    rejected: int = 0
    in_doubt: int = 0
    earlier_launch: int = 0
    born: int = 0
    code: str = ""
    sentence: str = ""
    batch: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """An attempt settled nothing; the same request goes again after a while."""

    code: str
    sentence: str
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """What a person ordered of the run is in force."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """Something that people should know; the run goes on as before."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """The canary stands like this, and ``left_s`` are left of the wait. Nothing is sent until it is decided."""

    standing: canary.Standing
    left_s: float
    verdict: canary.Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluding:
    """Nothing more is sent by this launch; the run's files are brought up to date."""


Event = Settled | Waiting | Ordered | Noticed | Tested | Concluding


class Observe(Protocol):
    """Somebody who watches."""

    def __call__(self, event: Event, /) -> None:
        """Hear of an event; must return at once."""
