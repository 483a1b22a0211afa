"""What a driver makes of the keeper's answers: the limit in force, and what was settled since the last look."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from broadcaster.core.pacing import Limit, Source
from broadcaster.engine.ports import Settled


@dataclass(slots=True)
class Pace:
    """The limit that all workers share, as it was seen last."""

    limit: Limit
    paused_for_s: float = 0.0

    def see(self, look: Mapping[str, Any]) -> None:
        """Take over what the keeper says."""
        requests, messages, source, slowed = look["limit"]
        self.limit = Limit(
            requests_per_minute=requests, messages_per_minute=messages, source=Source(source), slowed=slowed
        )
        self.paused_for_s = float(look["paused_s"])


def news(before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[Settled]:
    """Yield what was settled between two looks: an event for each request, and all deliveries in the last of them."""
    more = {name: count - before.get(name, 0) for name, count in now.items()}
    requests = more.pop("requests")
    for _ in range(requests - 1):
        yield Settled()
    if requests > 0:
        yield Settled(
            accepted=more["accepted"],
            rejected=more["rejected"],
            in_doubt=more["in_doubt"],
            earlier_launch=more["earlier_launch"],
            born=more["born"],
        )
