"""Progress as a fold: counts so far, the rate of late, the time left. Reads no clock, prints nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broadcaster.core.words import Status

_HORIZON_S = 60  # the rate is that of the last minute, like the API's own limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. Times are seconds of one monotonic clock.

    Attributes:
        total: deliveries to settle.
        started_s: when the run began.
        accepted, rejected, in_doubt: deliveries by what is known of them.
        recent: settled deliveries by whole second, over the horizon; at most one entry per second.
    """

    total: int
    started_s: float
    accepted: int = 0
    rejected: int = 0
    in_doubt: int = 0
    recent: tuple[tuple[int, int], ...] = ()

    @property
    def to_go(self) -> int:
        """Deliveries that nothing is known of yet."""
        return self.total - self.accepted - self.rejected - self.in_doubt

    def add(self, counts: Mapping[Status, int], *, now_s: float) -> "Progress":
        """Return the progress after *counts* more deliveries; a doubt that was resolved counts -1 there."""
        accepted = counts.get(Status.ACCEPTED, 0)
        rejected = counts.get(Status.REJECTED, 0)
        in_doubt = counts.get(Status.IN_DOUBT, 0)
        second, settled = int(now_s), accepted + rejected + in_doubt
        recent = tuple(entry for entry in self.recent if entry[0] > second - _HORIZON_S)
        if recent and recent[-1][0] == second:
            recent, settled = recent[:-1], settled + recent[-1][1]
        return replace(
            self,
            accepted=self.accepted + accepted,
            rejected=self.rejected + rejected,
            in_doubt=self.in_doubt + in_doubt,
            recent=(*recent, (second, settled)),
        )

    def per_minute(self, *, now_s: float) -> float:
        """Return settled deliveries per minute over the last minute, or since the start of a younger run."""
        oldest = int(now_s) - _HORIZON_S
        settled = sum(count for second, count in self.recent if second > oldest)
        elapsed_s = min(float(_HORIZON_S), max(1.0, now_s - self.started_s))
        return settled * 60 / elapsed_s

    def seconds_left(self, *, now_s: float) -> float | None:
        """Return the time to go at the present rate; ``None`` while there is no rate to tell it from."""
        if self.to_go <= 0:
            return 0.0
        rate = self.per_minute(now_s=now_s)
        return self.to_go * 60 / rate if rate > 0 else None
