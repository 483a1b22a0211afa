"""How long to wait before the next attempt, and how many may be hurried: arithmetic only; waiting is the engine's.

The budget never refuses a retry: when it is empty, retries take their time.
"""

from dataclasses import dataclass, replace

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


def delay_s(
    failed: int, *, policy: RetryPolicy, retry_after_s: float | None, rand: float, hurried: bool = True
) -> float:
    """Return the seconds to wait after the *failed*-th failure in a row (from 1).

    *retry_after_s*, the API's own word, wins whatever its size. *rand* is in [0, 1). Unless *hurried*, the wait starts
    where it would stop growing.
    """
    if retry_after_s is not None:
        return retry_after_s
    steps = min(max(failed, 1) - 1, _MOST_STEPS)
    grown_s = policy.initial_s * policy.factor**steps if hurried else policy.ceiling_s
    return min(policy.ceiling_s, grown_s) * (1 - policy.jitter * rand)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How many retries a whole run may still make without taking their time.

    The amounts are those of the AWS clients. While less than about three in ten requests fail, as much comes back as is
    taken; from there up to half of them the budget slows the run down, and beyond that the breaker does.

    Attributes:
        left: in retries.
        most: what it starts with, and never passes.
        at_once: what comes back for a batch that is accepted at its first attempt.
        in_the_end: what comes back for one that was repeated.
    """

    left: float = 100.0
    most: float = 100.0
    at_once: float = 0.2
    in_the_end: float = 1.0

    @property
    def empty(self) -> bool:
        """Whether the next retry has to take its time."""
        return self.left < 1


def taken(budget: RetryBudget) -> RetryBudget:
    """Return what is left after a retry; nothing of an empty budget."""
    return budget if budget.empty else replace(budget, left=budget.left - 1)


def given_back(budget: RetryBudget, *, repeated: bool) -> RetryBudget:
    """Return what is left after a batch was accepted, *repeated* or at its first attempt."""
    if budget.left == budget.most:
        return budget  # the usual case
    back = budget.in_the_end if repeated else budget.at_once
    return replace(budget, left=min(budget.most, budget.left + back))
