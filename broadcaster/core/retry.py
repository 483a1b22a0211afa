"""How long to wait before the next attempt: arithmetic only; waiting is the engine's."""

from dataclasses import dataclass

_MOST_STEPS = 60  # 2**60 is past any ceiling, and the power cannot overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential growth under a ceiling.

    Attributes:
        initial_s: the longest first wait; half a second is what the vendor's own client starts with.
        factor: growth per failure.
        ceiling_s: no computed wait is longer; short against the idempotency window, long for an API that restarts.
        jitter: share of the wait that chance may take away, so that senders do not come back together.
    """

    initial_s: float = 0.5
    factor: float = 2.0
    ceiling_s: float = 30.0
    jitter: float = 0.5


def delay_s(failed: int, *, policy: RetryPolicy, retry_after_s: float | None, rand: float) -> float:
    """Return the seconds to wait after the *failed*-th failure in a row (from 1).

    *retry_after_s*, the API's own word, wins whatever its size. *rand* is in [0, 1).
    """
    if retry_after_s is not None:
        return retry_after_s
    steps = min(max(failed, 1) - 1, _MOST_STEPS)
    return min(policy.ceiling_s, policy.initial_s * policy.factor**steps) * (1 - policy.jitter * rand)
