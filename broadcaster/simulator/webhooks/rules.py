"""What of the webhooks can be switched, and chance that repeats with its seed. Pure."""

import random
from dataclasses import dataclass

ENVELOPES = ("a", "b", "c", "d", "e", "f")
"""Shapes of an event's body, as the API had them over time; ``d`` is today's."""
STAMPS = ("fresh", "original")
_CAP = 60  # first delays: the longest wait between two attempts
_DISORDER_S = (0.05, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRules:
    """How events are delivered. Shares are from 0 to 1."""

    envelope: str = "d"  # one of ENVELOPES
    retry_s: float = 60.0  # before the first retry; doubles with each
    retry_stamp: str = "fresh"  # a retry is signed anew, or is the first attempt again: one of STAMPS
    duplicates: float = 0.0  # of the events: delivered twice
    disorder: float = 0.0  # of the events: held back, so that later ones overtake them
    sensitive_per_minute: int = 0  # tests and rotations of a secret; 0: no limit

    def wait_s(self, attempt: int) -> float:
        """Return the seconds from the failed *attempt* (from 1) to the next."""
        return self.retry_s * min(2.0 ** (attempt - 1), _CAP)

    def is_doubled(self, name: str, *, seed: int) -> bool:
        """Whether the event of that *name* is delivered twice; *name* must be the same in every run."""
        return random.Random(f"{seed}/twice/{name}").random() < self.duplicates  # noqa: S311 - repeatable on purpose

    def held_back_s(self, name: str, *, seed: int, speed: float) -> float:
        """Return for how many seconds the event of that *name* is held back, in a world of that *speed*."""
        chance = random.Random(f"{seed}/late/{name}")  # noqa: S311 - repeatable on purpose
        if chance.random() >= self.disorder:
            return 0.0
        least, most = _DISORDER_S
        return max(least, chance.uniform(least, most) / max(1.0, speed))
