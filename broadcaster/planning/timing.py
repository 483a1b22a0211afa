"""When each row goes out: from a job's schedule and the zones of its numbers to slots, one for each send time.

Theory of operation. Nothing here is decided row by row. A row's *candidates* are the zones that it may be in: the one
that its own column names, else those that its number's first digits allow. There are some hundreds of different sets of
them at most; each is decided once, and rows are mapped. A time must suit every zone of a set. Moments follow from the
job and its logical date, never from the present, so that planning again makes the same requests.

With a window, a slot also remembers its zones: if its time passes before it is sent, another one must suit them too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, time, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.sizes import duration_s
from broadcaster.core.timetable import LATEST_US, SOONEST_US, Hold, Timetable
from broadcaster.core.windows import Window, opening, parse_window
from broadcaster.core.zones import (
    MINUTE_US,
    US,
    clockwork,
    local,
    moment_us,
    parse_instant,
    read_us,
    write,
    written_us,
    zoned,
)
from broadcaster.errors import ConfigError
from broadcaster.job.model import Limits, Schedule
from broadcaster.phones.zones import zones_of
from broadcaster.planning.slots import BAD_ZONE, LATE, NO_SLOT, NO_ZONE, Slot, Timed, ZoneNames

# Where nobody knows better, a number may be anywhere: the clocks of the whole world, by the hour.
_UNKNOWN = "unknown"
_LOOKING_US = 10 * MINUTE_US  # for people to look at a staged broadcast
_LEAST_LEAD_US = 30 * MINUTE_US
_STEP_US = 5 * MINUTE_US
_WORLD = tuple(f"UTC{hours:+d}" for hours in range(-12, 15))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A job's schedule, ready to be applied. ``day`` is the logical date, ``zone`` the job's own."""

    schedule: Schedule
    day: date
    zone: str

    @property
    def is_local(self) -> bool:
        """Whether the recipients' own clocks matter."""
        return Hold(self.schedule.hold) is not Hold.RUN and bool(self.schedule.send_at_local or self.schedule.window)

    def slots(self, numbers: NDArray[np.int64], own: NDArray[np.int32] | None, names: ZoneNames | None) -> Timed:
        """Return the slot of every row.

        Args:
            numbers: E.164 digits; 0 where there is none.
            own: the number of the zone that the row's own column names, if there is a column.
            names: what these numbers stand for.
        """
        nowhere = np.broadcast_to(np.int32(0), len(numbers))
        if not self.is_local:
            send_at = parse_instant(self.schedule.send_at or "")
            if send_at is None:
                return Timed(np.broadcast_to(np.int32(NO_SLOT), len(numbers)), (), nowhere)
            only = Slot(write(written_us(send_at), send_at.tzinfo or UTC))
            return Timed(nowhere, (only,), nowhere)
        found = zones_of(numbers if own is None else np.where(own == 0, numbers, 0))
        sets = [*found.sets, *((name,) for name in (names.names[1:] if names else ()))]
        candidates = found.codes
        if own is not None:
            candidates = np.where(own > 0, own + len(found.sets) - 1, candidates).astype(np.int32)
        decided = np.full(len(sets), NO_ZONE, dtype=np.int32)
        places: dict[tuple[object, ...], int] = {}
        slots: list[Slot] = []
        there = np.flatnonzero(np.bincount(candidates, minlength=len(sets)))
        for at in there.tolist():
            slot = self._slot(sets[at])
            if isinstance(slot, int):
                decided[at] = slot
                continue
            alike = (slot.send_at, *sorted({clockwork(name, self.day) for name in slot.zones}))
            decided[at] = places.setdefault(alike, len(slots))
            if decided[at] == len(slots):
                slots.append(slot)
        codes = decided[candidates]
        if own is not None:
            codes[own < 0] = BAD_ZONE
        return Timed(codes, tuple(slots), candidates, tuple(map(_label, sets)))

    # ---- one set of zones -------------------------------------------------------------------------------------------

    def _slot(self, zones: tuple[str, ...]) -> Slot | int:
        """Return when to send to a number that may be in any of *zones*, or why not at all."""
        unknown = self.schedule.unknown_zone
        moment = self._suits(zones) if zones else None
        if moment is None and unknown == "strictest":
            zones = zones or _WORLD
            moment = self._strictest(zones)
        elif moment is None and unknown != "exclude":
            zones = (unknown,)
            moment = self._suits(zones)
        if moment is None:
            return NO_ZONE
        if self._not_after_us is not None and moment > self._not_after_us:
            return LATE
        return Slot(write(moment, zoned(zones[0])), zones if self._window is not None else ())

    def _suits(self, zones: tuple[str, ...]) -> int | None:
        """Return the time that suits all *zones*: the same moment in each, or the first of the window in all."""
        places = tuple(map(zoned, zones))
        asked = [self._asked_us(each) for each in places]
        window = self._window
        if window is None:
            return asked[0] if len(set(asked)) == 1 else None
        moment = opening(window, max(asked), places)
        late = (
            moment is not None
            and len(set(asked)) > 1
            and any(local(moment, each).date() > self._day_in(each) for each in places)
        )
        return None if late else moment

    def _strictest(self, zones: tuple[str, ...]) -> int | None:
        """Return the first moment at which the time has come in all *zones*, in the window of all of them."""
        places = tuple(map(zoned, zones))
        latest = max(map(self._asked_us, places))
        return latest if self._window is None else opening(self._window, latest, places)

    def _asked_us(self, where: tzinfo) -> int:
        """Return the moment before which nobody *where* is to be messaged."""
        if self.schedule.send_at is not None:
            return read_us(self.schedule.send_at)
        clock = time.fromisoformat(self.schedule.send_at_local) if self.schedule.send_at_local else time()
        return moment_us(self.day, clock, where)

    def _day_in(self, where: tzinfo) -> date:
        return local(self._asked_us(where), where).date()

    @property
    def _window(self) -> Window | None:
        return parse_window(self.schedule.window) if self.schedule.window else None

    @property
    def _not_after_us(self) -> int | None:
        return None if self.schedule.not_after is None else read_us(self.schedule.not_after)


def timetable(words: dict[str, Any]) -> Timetable:
    """Return what a run has to keep, by what a plan remembers: :func:`remembered`."""
    schedule = Schedule.model_validate({name: value for name, value in words.items() if name in Schedule.model_fields})
    return Timetable(
        window=parse_window(schedule.window) if schedule.window else None,
        zone=words.get("timezone", "UTC"),
        hold=Hold(schedule.hold),
        not_after_us=None if schedule.not_after is None else read_us(schedule.not_after),
        ahead_us=_LEAST_LEAD_US if schedule.staged else 0,
        text=schedule.window,
    )


def remembered(schedule: Schedule, *, zone: str) -> dict[str, Any]:
    """Return what a plan remembers of a job's schedule; nothing where there is none."""
    return {**schedule.model_dump(mode="json"), "timezone": zone} if schedule.is_used else {}


def check_times(send_at: Sequence[str], *, schedule: Schedule, now_us: int, fresh: bool) -> None:
    """Refuse times that the API does not take.

    Args:
        send_at: of a plan.
        schedule: of its job.
        now_us: the present.
        fresh: nothing of the plan was sent yet: a moment that has passed is a mistake. Else it is sent late.

    Raises:
        ConfigError: one is more than 30 days ahead, or the one moment of a new plan has passed.
    """
    if not send_at:
        return
    moments = {read_us(each): each for each in send_at}
    if max(moments) > now_us + LATEST_US:
        latest = moments[max(moments)]
        key = next((name for name in ("send_at", "send_at_local") if getattr(schedule, name)), "window")
        raise ConfigError(
            f"schedule.{key}: {latest} is more than 30 days ahead, and the API holds messages no longer. Start the run "
            f"after {write(max(moments) - LATEST_US, UTC)}, by cron or another scheduler"
        )
    if fresh and schedule.send_at is not None and max(moments) < now_us + SOONEST_US:
        raise ConfigError(
            f"schedule.send_at: {schedule.send_at} has passed or is less than a minute ahead; name a later moment, or "
            "leave send_at out to send at once"
        )


def lead_us(batches: int, messages: int, limits: Limits) -> int:
    """Return how long before its first release a staged broadcast has to begin, rounded up to five minutes.

    That is the time to hand everything over, to look at it, and to cancel the copies that a crash can leave: one for
    each message of the requests under way.
    """
    per_minute = limits.requests_per_minute
    sending_s = duration_s(
        batches, messages, requests_per_minute=per_minute, messages_per_minute=limits.messages_per_minute
    )
    copies = min(messages, limits.concurrency * -(-messages // max(1, batches)))
    cancelling_s = duration_s(copies, 0, requests_per_minute=per_minute, messages_per_minute=0)
    needed_us = int((sending_s + cancelling_s) * US) + _LOOKING_US
    return -(-max(needed_us, _LEAST_LEAD_US) // _STEP_US) * _STEP_US


def check_staged(times: Iterable[str], *, lead_us: int, now_us: int) -> None:
    """Refuse a staged broadcast whose first release is too near.

    Raises:
        ConfigError: it names a moment that would do.
    """
    first_us = min(map(read_us, times), default=None)
    if first_us is not None and first_us < now_us + lead_us:
        enough = -(-(now_us + lead_us) // _STEP_US) * _STEP_US
        raise ConfigError(
            f"schedule.staged: this broadcast needs {lead_us // MINUTE_US} minutes before its first release, to be "
            f"handed over, checked and corrected; {write(first_us, UTC)} is too near; {write(enough, UTC)} is not"
        )


def _label(zones: tuple[str, ...]) -> str:
    if not zones:
        return _UNKNOWN
    return zones[0] if len(zones) == 1 else f"{zones[0]} and {len(zones) - 1} more"
