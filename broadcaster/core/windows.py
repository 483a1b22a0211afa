"""Sending windows: the hours of the week in which messages may go out.

The grammar, as in ``Mon-Fri 09:00-12:00,14:00-18:00, Sat 10:00-14:00``: entries with ``,`` between them, each of days
and hours. Days are ``Mon`` to ``Sun``, ranges of them (``Fri-Mon`` goes over the weekend), or several with spaces
between them. An entry without days has those of the entry before it; the first one without has every day. Hours are
``HH:MM-HH:MM``, the end not included, ``24:00`` for the end of a day. An end before its beginning is on the next day:
``Fri 22:00-02:00`` ends on Saturday.

A window is about what clocks show. In the night in which they go back, an hour that they show twice is in the window
twice; an hour that they leave out is in no window.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from broadcaster.core.zones import DAY_US, MINUTE_US, local, written_us

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60  # minutes
_WEEK = 7 * _DAY
_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.ASCII)
_FARTHEST_US = 15 * DAY_US  # two weeks hold every opening there is, also one that falls into the hour clocks leave out
Span = tuple[int, int]


class WindowError(ValueError):
    """A text is no window; its own text says why."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the week as spans of minutes since Monday 00:00, in order and apart from each other."""

    spans: tuple[Span, ...]

    def shows(self, clock: datetime) -> bool:
        """Return whether a clock that shows this is in the window."""
        minute = clock.weekday() * _DAY + clock.hour * 60 + clock.minute
        return any(begin <= minute < end for begin, end in self.spans)


def parse_window(text: str) -> Window:
    """Read a window; see the module.

    Raises:
        WindowError: it is none.
    """
    days = tuple(range(7))
    minutes = bytearray(_WEEK)
    for number, entry in enumerate(text.split(",")):
        hours = _HOURS.search(entry)
        if hours is None or entry[hours.end() :].strip():
            raise WindowError(f"{entry.strip()!r} has no hours at its end such as 09:00-20:00")
        named = entry[: hours.start()].split()
        if named:
            days = tuple(day for word in named for day in _days(word))
        begin, end = _minute(hours[1], hours[2], last=False), _minute(hours[3], hours[4], last=True)
        if begin == end:
            raise WindowError(f"{hours[0]} of entry {number + 1} begins when it ends; every hour is 00:00-24:00")
        length = (end - begin) % _DAY or _DAY
        for day in days:
            for minute in range(day * _DAY + begin, day * _DAY + begin + length):
                minutes[minute % _WEEK] = 1
    return Window(tuple(_spans(minutes)))


def is_open(window: Window, moment: int, zones: Sequence[tzinfo]) -> bool:
    """Return whether a moment is in the window in all *zones*."""
    return all(window.shows(local(moment, each)) for each in zones)


def opening(window: Window, since: int, zones: Sequence[tzinfo]) -> int | None:
    """Return the first moment from *since* on that is in the window in all *zones*; ``None``: there is none."""
    moment = since
    while moment - since <= _FARTHEST_US:
        found = [_opening(window, moment, each) for each in zones]
        if None in found:
            return None
        latest = max((each for each in found if each is not None), default=moment)
        if latest == moment:
            return moment
        moment = latest
    return None


def _opening(window: Window, since: int, zone: tzinfo) -> int | None:
    """Return the first moment from *since* on that is in the window in one zone."""
    if is_open(window, since, (zone,)):
        return since
    shown = local(since, zone).replace(tzinfo=None)
    monday = datetime.combine(shown.date(), datetime.min.time()) - timedelta(days=shown.weekday())
    for week in range(3):
        moments = (
            moment
            for begin, _ in window.spans
            for moment in _moments(monday + timedelta(weeks=week, minutes=begin), zone)
            if moment >= since and is_open(window, moment, (zone,))
        )
        first = min(moments, default=None)
        if first is not None:
            return first
    return None


def _moments(shown: datetime, zone: tzinfo) -> Iterator[int]:
    """Yield the moments at which a clock comes to show something: two when it is put back, that of a leap over it."""
    first, second = (written_us(shown.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    yield first
    yield second
    if second < first:  # left out: the clock leaps between the two
        before = local(second, zone).utcoffset()
        while first - second > MINUTE_US:
            middle = (first + second) // 2 // MINUTE_US * MINUTE_US
            if local(middle, zone).utcoffset() == before:
                second = middle
            else:
                first = middle
        yield first


def _days(word: str) -> list[int]:
    names = word.lower().split("-")
    if not 1 <= len(names) <= 2 or any(name not in _DAYS for name in names):  # noqa: PLR2004 - from and to
        raise WindowError(f"{word!r} is no day; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, or Mon-Fri")
    first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
    return [day % 7 for day in range(first, last + 1 if last >= first else last + 8)]


def _minute(hour: str, minute: str, *, last: bool) -> int:
    found = int(hour) * 60 + int(minute)
    if int(minute) >= 60 or found > (_DAY if last else _DAY - 1):  # noqa: PLR2004 - minutes
        raise WindowError(f"{hour}:{minute} is no time of the day")
    return found


def _spans(minutes: bytearray) -> Iterator[Span]:
    at = 0
    while (begin := minutes.find(1, at)) >= 0:
        end = minutes.find(0, begin)
        at = end if end >= 0 else _WEEK
        yield begin, at
