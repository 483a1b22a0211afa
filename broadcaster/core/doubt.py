"""Whether a batch with an unresolved attempt may be sent again: only while the API surely remembers its key.

The age of a claim is bounded by clocks that lie in different ways. Inside one start of the machine the boot clock
tells: nobody can set it, and it counts through sleep, but not while a snapshot of the machine lies on a disk. Otherwise
the wall clock tells. The API's own clock can make an age larger, never smaller. Where a claim is from another
machine, whose clock is some minutes ahead of ours, the API's clock tells, and what the two disagree about is added to
the age. Whatever cannot be bounded counts as too old.

Reads no clock itself.
"""

from dataclasses import dataclass

from broadcaster.core.values import Claim, Instant
from broadcaster.core.words import Repeat

MARGIN_SHARE = 1 / 24  # of the window that we stay away from its end: one hour of a day
_US = 1_000_000
_APART_US = 600 * _US  # clocks of two machines; one that is farther back was set back, and then nothing is sure
_TELLS_US = 2 * _US  # the API tells whole seconds, and by the clocks of several machines: so little is no step back


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """The answer: allowed, or refused for a reason that people can read ("" when allowed)."""

    allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


_ALLOWED = Repetition(allowed=True)


def may_repeat(
    claim: Claim,
    now: Instant,
    *,
    server_us: int | None,
    window_s: float,
    margin_s: float,
    repeat: Repeat,
) -> Repetition:
    """Decide whether the request of *claim* may leave once more, with its key and its bytes.

    Args:
        claim: since when the batch may have been executed.
        now: the present on this machine's clocks.
        server_us: the API's latest own time, in µs since 1970; ``None`` before its first answer.
        window_s: how long the API remembers a key.
        margin_s: how much earlier we stop, for clocks that disagree and requests that arrive late.
        repeat: what protects a repeated request.
    """
    if repeat is Repeat.NATURAL:
        return _ALLOWED
    if repeat is Repeat.NEVER:
        return Repetition(allowed=False, reason="Nothing protects this request from being executed twice.")
    age_us = _age_us(claim, now, server_us=server_us)
    if isinstance(age_us, str):
        return Repetition(allowed=False, reason=age_us)
    if age_us >= (window_s - margin_s) * _US:
        return Repetition(allowed=False, reason="The API may no longer remember the idempotency key.")
    return _ALLOWED


def _age_us(claim: Claim, now: Instant, *, server_us: int | None) -> int | str:
    """Return the largest age that a usable clock tells, or the reason why none does."""
    since = claim.since
    told_us = 0 if server_us is None or claim.server_us is None else server_us - claim.server_us
    if since.boot_us is not None and now.boot_us is not None and since.boot is not None and since.boot == now.boot:
        age_us = now.boot_us - since.boot_us
        return max(age_us, told_us) if age_us >= 0 else "The machine's clock has gone backwards since the attempt."
    wall_us = now.wall_us - since.wall_us
    if server_us is not None and claim.server_us is not None and told_us > -_TELLS_US and -_APART_US < wall_us < 0:
        return max(told_us, 0) - wall_us  # two machines, or one whose clock was set right
    if wall_us < 0:
        return "The clock has gone backwards since the attempt."
    if server_us is not None and claim.server_us is not None:
        return max(wall_us, told_us)
    if since.boot is None or now.boot is None:
        # Nothing tells whether the wall clock was set in between.
        return "No clock tells how long ago the attempt was."
    return wall_us
