"""What becomes of a message over time. Pure: a function of the message, the seed and the rules; no clock, no storage.

Nothing is drawn when a message is sent. Its whole course follows from the seed, the recipient, the channel and the
attempt, so that the same list meets the same fate in every run, and a status is a matter of looking at the course at
some moment. The price: a state file that is opened with another seed, speed or share has another past.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.simulator.quiet import QuietHours, quiet_until

AUTO = "auto"
NEVER_US = 2**62  # a moment that does not come
US = 1_000_000

BY_SENDER = "SCHEDULED_BY_SENDER"
BY_QUIET_HOURS = "QUIET_HOURS"

_READABLE = frozenset({"whatsapp", "rcs"})
_UNREACHABLE = "DELIVERY_007"
_UNDELIVERED = "DELIVERY_003"
_PROCESSED_S = (0.05, 0.2)
_ROUTED_S = (0.05, 0.3)
_SENT_S = (0.2, 1.5)
_SETTLED_S = {"sms": (1.0, 8.0), "whatsapp": (0.5, 3.0), "rcs": (0.5, 4.0), "mms": (2.0, 15.0)}
_READ_S = (5.0, 60.0)
_REROUTED_S = (0.5, 2.0)
LONGEST_S = 120.0  # above the sum of all the above, a reroute included


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of a message: what it became, and when."""

    status: str
    at_us: int
    channel: str | None = None  # the one in use; None while none is picked
    reason_code: str | None = None
    scheduled_us: int | None = None  # SCHEDULED, CANCELLED: the moment it is, or was, held for
    schedule_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a message from the ledger. Moments are microseconds since 1970."""

    recipient: str
    channel: str  # AUTO: the platform picks
    routes: tuple[str, ...]  # what it may pick from, best first
    begun_us: int  # accepted, or sent again
    verdict: str = "QUEUED"  # BLOCKED, FILTERED: what it comes to instead of being sent
    reason_code: str | None = None
    scheduled_us: int | None = None  # asked for by the sender
    release_us: int | None = None  # when that hold really ends
    cancelled_us: int | None = None
    attempt: int = 1
    earlier: tuple[Change, ...] = ()  # before it was sent again


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """How the simulated world treats messages. ``speed`` 2 is twice as fast as life; 0: nothing ever happens."""

    seed: int = 0
    speed: float = 1.0
    failed_share: float = 0.0  # of the routes tried
    reroute_share: float = 0.5  # of those that failed under auto: tried again on the next channel
    read_share: float = 0.3  # of those delivered on a channel that tells
    quiet: tuple[QuietHours, ...] = ()

    def after(self, moment_us: int, wait_us: float) -> int:
        """Return the moment *wait_us* after *moment_us*, at this world's speed."""
        return NEVER_US if self.speed <= 0 or moment_us >= NEVER_US else moment_us + int(wait_us / self.speed)


def course(facts: Facts, world: Lifecycle) -> tuple[Change, ...]:
    """Return every change of a message in order of time, also those yet to come; never empty."""
    steps = _Steps(facts, world)
    steps.note("QUEUED")
    if facts.release_us is not None:
        steps.note("SCHEDULED", scheduled_us=facts.scheduled_us, schedule_reason=BY_SENDER)
        steps.at_us = facts.release_us
    if facts.verdict in {"BLOCKED", "FILTERED"}:
        steps.note(facts.verdict, reason_code=facts.reason_code)
    else:
        steps.travel()
    changes = [change for change in steps.changes if change.at_us < NEVER_US]
    if facts.cancelled_us is not None:
        changes = [change for change in changes if change.at_us <= facts.cancelled_us]
        held = next((change for change in reversed(changes) if change.scheduled_us is not None), None)
        called_off = held.scheduled_us if held is not None else facts.scheduled_us
        changes.append(Change(status="CANCELLED", at_us=facts.cancelled_us, scheduled_us=called_off))
    return (*facts.earlier, *changes)


def reached(changes: Sequence[Change], *, now_us: int) -> tuple[Change, ...]:
    """Return the changes that have happened by *now_us*; at least the first."""
    return tuple(change for change in changes if change.at_us <= now_us) or (changes[0],)


class _Steps:
    """A course under construction."""

    def __init__(self, facts: Facts, world: Lifecycle) -> None:
        self.at_us = facts.begun_us
        self.changes: list[Change] = []
        self._facts = facts
        self._world = world
        drawn = f"{world.seed}/{facts.recipient}/{facts.channel}/{facts.attempt}".encode()
        digest = hashlib.blake2b(drawn, digest_size=64).digest()
        self._chances = (int.from_bytes(digest[at : at + 2]) / 65536 for at in range(0, 64, 2))  # 32; a course takes 16
        self._channel: str | None = None if facts.channel == AUTO else facts.channel

    def note(
        self,
        status: str,
        *,
        reason_code: str | None = None,
        scheduled_us: int | None = None,
        schedule_reason: str | None = None,
    ) -> None:
        self.changes.append(
            Change(
                status=status,
                at_us=self.at_us,
                channel=self._channel,
                reason_code=reason_code,
                scheduled_us=scheduled_us,
                schedule_reason=schedule_reason,
            )
        )

    def travel(self) -> None:
        """From the queue to the recipient, by way of quiet hours and, under auto, a second channel."""
        self._respect_quiet_hours()
        auto = self._facts.channel == AUTO
        routes = self._facts.routes if auto else (self._facts.channel,)
        first = int(self._chance() ** 2 * len(routes))  # squared: mostly the best
        self._wait(_PROCESSED_S)
        self.note("PROCESSED")
        if self._try(routes[first]) or not auto or self._chance() >= self._world.reroute_share:
            return
        self._wait(_REROUTED_S)
        self.note("QUEUED")
        self._try(routes[(first + 1) % len(routes)])

    def _try(self, channel: str) -> bool:
        """One route; whether it delivered."""
        self._channel = channel
        self._wait(_ROUTED_S)
        self.note("ROUTED")
        fails, unreachable = self._chance() < self._world.failed_share, self._chance() < 0.5  # noqa: PLR2004 - a coin
        if fails and unreachable and channel in _READABLE:
            self._wait(_SENT_S)
            self.note("FAILED", reason_code=_UNREACHABLE)  # known before anything is handed over
            return False
        self._wait(_SENT_S)
        self.note("SENT")
        self._wait(_SETTLED_S.get(channel, _SETTLED_S["sms"]))
        self.note("FAILED" if fails else "DELIVERED", reason_code=_UNDELIVERED if fails else None)
        if not fails and channel in _READABLE and self._chance() < self._world.read_share:
            self._wait(_READ_S)
            self.note("READ")
        return not fails

    def _respect_quiet_hours(self) -> None:
        until_us = quiet_until(self._facts.recipient, self.at_us, self._world.quiet)
        if until_us is not None:
            self.note("SCHEDULED", scheduled_us=until_us, schedule_reason=BY_QUIET_HOURS)
            self.at_us = self._world.after(self.at_us, until_us - self.at_us)

    def _wait(self, bounds_s: tuple[float, float]) -> None:
        low, high = bounds_s
        self.at_us = self._world.after(self.at_us, (low + (high - low) * self._chance()) * US)

    def _chance(self) -> float:
        return next(self._chances)
