"""Progress as a fold: counts so far, the rate of late, the time left. Reads no clock, prints nothing.

Theory of operation. Settled requests are counted by whole second, and a rate is what was counted in the last sixty of
them. The second in which a launch begins, or goes on after a pause, belongs to no rate, so that a burst at the start is
not taken for a speed; and as long as there are fewer than sixty, one request is left out, because the seconds may hold
one more than their share. So a limit that is kept never looks passed. The time left is what the limits need for the
rest, unless the run is clearly slower than they are; then it is what the run needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broadcaster.core.sizes import duration_s
from broadcaster.core.words import Status

_HORIZON_S = 60  # the rate is that of the last minute, like the API's own limit
_LEAST_S = 5  # a rate of less time than that is chance
_LEAST_REQUESTS = 2  # or of fewer requests
_JUDGED_S = 10.0  # and of less than that says nothing against the limits
_JUDGED_TURNS = 5  # nor do fewer turns than these
_SLOWER = 1.1  # times the limits' own time: by less than that the run is as fast as they let it be


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What a launch has before it: so many requests with so many messages in all, *largest* in one at most."""

    requests: int
    messages: int
    largest: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast something goes, per minute."""

    messages: float
    requests: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a launch is. Times are seconds of one monotonic clock.

    Attributes:
        total: deliveries, those that are settled already or that nobody will settle included.
        to_send: requests that have not ended.
        largest: the most messages in one of them.
        started_s: when the launch began, or went on after a pause.
        accepted, rejected, in_doubt: deliveries by what is known of them.
        recent: settled deliveries and requests by whole second, as far back as the last minute reaches.
    """

    total: int
    to_send: int = 0
    largest: int = 1
    started_s: float
    accepted: int = 0
    rejected: int = 0
    in_doubt: int = 0
    recent: tuple[tuple[int, int, int], ...] = ()

    @property
    def to_go(self) -> int:
        """Deliveries that nothing is known of yet."""
        return max(0, self.total - self.accepted - self.rejected - self.in_doubt)

    def add(self, counts: Mapping[Status, int], *, now_s: float, born: int = 0) -> "Progress":
        """Return the progress after a request ended with *counts* more deliveries, and *born* follow from it.

        A doubt that was resolved counts -1 there.
        """
        accepted = counts.get(Status.ACCEPTED, 0)
        rejected = counts.get(Status.REJECTED, 0)
        in_doubt = counts.get(Status.IN_DOUBT, 0)
        second, settled, requests = int(now_s), accepted + rejected + in_doubt, 1
        recent = self.recent
        if recent and recent[-1][0] == second:
            recent, settled, requests = recent[:-1], settled + recent[-1][1], requests + recent[-1][2]
        else:
            recent = tuple(entry for entry in recent if entry[0] >= second - _HORIZON_S)
        return replace(
            self,
            to_send=max(0, self.to_send - 1 + born),
            accepted=self.accepted + accepted,
            rejected=self.rejected + rejected,
            in_doubt=self.in_doubt + in_doubt,
            recent=(*recent, (second, settled, requests)),
        )

    def resumed(self, *, now_s: float) -> "Progress":
        """Return the progress of a run that goes on after a pause: rates are measured anew."""
        return replace(self, started_s=now_s, recent=())

    def pace(self, *, now_s: float) -> Pace | None:
        """Return the rate of the last minute, or of a younger run so far; ``None`` while that would be chance."""
        seconds, messages, requests = self._counted(now_s=now_s, since_s=self.started_s)
        if seconds >= _HORIZON_S:
            return Pace(messages=messages, requests=requests)
        if seconds < _LEAST_S or requests < _LEAST_REQUESTS:
            return None
        share = (requests - 1) / requests
        return Pace(messages=messages * share * 60 / seconds, requests=(requests - 1) * 60 / seconds)

    def seconds_left(
        self,
        *,
        now_s: float,
        requests_per_minute: int | None,
        messages_per_minute: int | None,
        since_s: float | None = None,
        wait_s: float = 0.0,
    ) -> float | None:
        """Return the time to go; ``None`` while there is nothing to tell it from.

        Args:
            now_s: the present.
            requests_per_minute: the limit in force; ``None`` for no limit.
            messages_per_minute: the same for messages.
            since_s: when the limits became what they are: what was measured before says nothing of them.
            wait_s: nobody may send before that has passed.
        """
        if self.to_go <= 0:
            return 0.0
        requests = max(1, self.to_send)
        limited_s = duration_s(
            requests + 1,  # a full bucket gives a turn away, and it is not full any more
            self.to_go + self.largest,
            requests_per_minute=requests_per_minute or 0,
            messages_per_minute=messages_per_minute or 0,
            largest=self.largest,
        )
        seconds, messages, _ = self._counted(now_s=now_s, since_s=self.started_s if since_s is None else since_s)
        if limited_s and seconds < max(_JUDGED_S, _JUDGED_TURNS * limited_s / requests):
            return wait_s + limited_s
        if seconds < _LEAST_S or messages <= 0:
            return None
        needed_s = self.to_go * seconds / messages
        return wait_s + (limited_s if needed_s <= _SLOWER * limited_s else needed_s)

    def _counted(self, *, now_s: float, since_s: float) -> tuple[int, int, int]:
        """Return over how many whole seconds was counted, what they held of messages, and of requests."""
        end = int(now_s)
        began = max(int(max(since_s, self.started_s)) + 1, end - _HORIZON_S)
        held = [entry for entry in self.recent if began <= entry[0] < end]
        return max(0, end - began), sum(entry[1] for entry in held), sum(entry[2] for entry in held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What ended between the first and the last request of a launch.

    Attributes:
        first_s, last_s: when they ended; ``None`` before any did.
        messages, requests: what ended after the first.
    """

    first_s: float | None = None
    last_s: float | None = None
    messages: int = 0
    requests: int = 0

    def add(self, messages: int, *, now_s: float) -> "Span":
        """Return the span after a request with so many messages ended."""
        if self.first_s is None:
            return replace(self, first_s=now_s, last_s=now_s)
        return replace(self, last_s=now_s, messages=self.messages + messages, requests=self.requests + 1)

    def mean(self, *, held_s: float = 0.0) -> Pace | None:
        """Return the mean rate without the time of pauses; ``None`` when it was too short to tell."""
        if self.first_s is None or self.last_s is None or self.last_s - self.first_s - held_s < _LEAST_S:
            return None
        per_minute = 60 / (self.last_s - self.first_s - held_s)
        return Pace(messages=self.messages * per_minute, requests=self.requests * per_minute)
