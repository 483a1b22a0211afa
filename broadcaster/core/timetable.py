"""When a batch may go out: as planned, at another time because its own has passed, or never any more.

Theory of operation. A plan's send times are frozen, and the API takes only times that are a minute ahead or more. So a
batch whose turn comes too late is timed again: it goes at once if that suits, else at the next opening of the window.
Three things hold whatever happens: never before the time that was asked for, never outside the window in any zone that
the recipients may be in, never after ``not_after``.

Reads no clock: whoever asks says what time it is. Moments are microseconds since 1970.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum, auto

from broadcaster.core.windows import Window, is_open, opening
from broadcaster.core.zones import DAY_US, MINUTE_US, US, local, read_us, write, zoned

SOONEST_US = 60 * US
LATEST_US = 30 * DAY_US
"""How far ahead the API takes a send time."""
RETIMED = "retimed"  # the code of a batch that stands at another time now
_MARGIN_US = 15 * US  # between our decision and the API's: waiting for the claim, the network, its clock
_AHEAD_US = 2 * MINUTE_US  # of a new time, where the old one is too near


class Hold(StrEnum):
    """Who waits for the right moment."""

    API = auto()  # messages are handed over with their send time
    RUN = auto()  # messages go at once, and the run itself waits while the window is shut


@dataclass(frozen=True, slots=True)
class Retimed:
    """Another send time: as the API takes it; ``None``: at once."""

    send_at: str | None


@dataclass(frozen=True, slots=True)
class Stale:
    """Too late: the batch must not go out any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """What a job says of times. ``zone`` is its own; ``ahead_us``: how far ahead every new time has to be (staged)."""

    window: Window | None = None
    zone: str = "UTC"
    hold: Hold = Hold.API
    not_after_us: int | None = None
    ahead_us: int = 0
    text: str = ""  # the window as it was written

    def is_stale(self, now_us: int) -> bool:
        """Return whether it is too late for everything."""
        return self.not_after_us is not None and now_us >= self.not_after_us

    def shut_until_us(self, now_us: int) -> int | None:
        """Return when the run may go on, where it is the run that waits; ``None``: it need not wait."""
        if self.hold is not Hold.RUN or self.window is None:
            return None
        opens_us = opening(self.window, now_us, (zoned(self.zone),))
        return None if opens_us == now_us else opens_us

    def clock(self, moment_us: int) -> str:
        """Return a moment by the job's own clock, as people read it: ``2026-12-01 09:00 Europe/Berlin``."""
        return f"{local(moment_us, zoned(self.zone)):%Y-%m-%d %H:%M} {self.zone}"

    def due(self, send_at: str | None, zones: Sequence[str], *, now_us: int) -> Retimed | Stale | None:
        """Decide about a batch whose turn it is; ``None``: it goes as it is.

        Args:
            send_at: its time, as planned; ``None``: at once.
            zones: where its recipients may be; only a job with a window says so.
            now_us: the present.
        """
        if self.is_stale(now_us):
            return Stale()
        asked_us = None if send_at is None else read_us(send_at)
        if asked_us is not None and asked_us >= now_us + SOONEST_US + _MARGIN_US:
            return None
        window = self.window if zones and self.hold is Hold.API else None
        places = tuple(map(zoned, zones))
        if asked_us is None and (window is None or is_open(window, now_us, places)):
            return None
        earliest_us = max(now_us + self.ahead_us, asked_us or 0)
        moment = earliest_us if window is None else opening(window, earliest_us, places)
        if moment is not None and moment > now_us:
            moment = -(-max(moment, now_us + _AHEAD_US) // MINUTE_US) * MINUTE_US  # a whole minute
            moment = moment if window is None else opening(window, moment, places)
        if moment is None or (self.not_after_us is not None and moment > self.not_after_us):
            return Stale()
        return Retimed(write(moment, places[0] if places else UTC) if moment > now_us else None)
