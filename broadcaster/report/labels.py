"""Numbers, shares and moments as people read them. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from broadcaster.report.figures import Timeline

_DAY_S = 86_400
_MINUTE_S = 60
_HOUR_S = 3600
_SHARP = 0.1  # per cent: below, and that close to 100, "0.0 %" and "100.0 %" would lie
NOT_KNOWN = "not known"
NOTHING = "\N{EN DASH}"


def number(value: int | None) -> str:
    """Return a count with separators between the thousands."""
    return NOT_KNOWN if value is None else f"{value:,}"


def compact(value: int) -> str:
    """Return a count for an axis: 1,500 as ``1.5k``."""
    for size, name in ((1_000_000, "M"), (1000, "k")):
        if value >= size:
            return f"{value / size:.2f}".rstrip("0").rstrip(".") + name
    return str(value)


def share(part: int | None, whole: int) -> str:
    """Return a share in per cent; never 0 or 100 unless it is."""
    if part is None or not whole:
        return NOTHING
    if part in {0, whole}:
        return "100 %" if part else "0 %"
    per_cent = 100 * part / whole
    if per_cent < _SHARP:
        return "< 0.1 %"
    return "> 99.9 %" if 100 - _SHARP < per_cent < 100 else f"{per_cent:.1f} %"  # noqa: PLR2004 - per cent


def step_name(seconds: int) -> str:
    """Return the length of a bar: ``second``, ``5 minutes``."""
    for size, name in ((7 * _DAY_S, "week"), (_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute"), (1, "second")):
        if seconds >= size and not seconds % size:
            count = seconds // size
            return name if count == 1 else f"{count} {name}s"
    return f"{seconds} seconds"


def ticks(times: Timeline, places: int) -> Iterator[tuple[float, str]]:
    """Yield a few moments with their place on an axis of so many *places*, from 0 to 1."""
    start = datetime.fromisoformat(times.start)
    for half in (0, 1, 2):
        place = places * half // 2
        yield place / places, _clock(start + timedelta(seconds=place * times.step_s), times, places)


def moment(written: str | None) -> str:
    """Return an ISO moment as people read it, in UTC."""
    if not written:
        return NOT_KNOWN
    return f"{datetime.fromisoformat(written).astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def day_of(written: str) -> str:
    """Return the day of a moment."""
    return f"{datetime.fromisoformat(written).astimezone(UTC):%d %B %Y}".lstrip("0")


def duration(started: str, ended: str | None) -> str:
    """Return how long something took."""
    if ended is None:
        return NOT_KNOWN
    seconds = int((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())
    if seconds < 1:
        return "under a second"
    minutes, seconds = divmod(seconds, _MINUTE_S)
    hours, minutes = divmod(minutes, _MINUTE_S)
    parts = [f"{hours:,} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds else ""]
    return " ".join(each for each in parts if each)


def size(count: int) -> str:
    """Return a number of bytes."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _clock(when: datetime, times: Timeline, places: int) -> str:
    if places * times.step_s > _DAY_S:
        return f"{when:%d %b %H:%M}" if times.step_s < _DAY_S else f"{when:%d %b}"
    return f"{when:%H:%M:%S}" if times.step_s < _MINUTE_S else f"{when:%H:%M}"
