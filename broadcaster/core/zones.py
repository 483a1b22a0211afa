"""Time zones: from a local time to a moment and back. The only reader of the zone database.

Moments are microseconds since 1970 (UTC). A zone is a name: of the IANA database, or a fixed offset such as
``UTC+5:30``.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

US = 1_000_000
MINUTE_US = 60 * US
DAY_US = 86_400 * US
_FIXED = re.compile(r"UTC([+-])(\d{1,2})(?::([0-5]\d))?", re.ASCII)
_FARTHEST = timedelta(hours=14)  # from UTC, to either side
_PROBED_DAYS = 40  # the API holds a message for 30; nothing is timed farther ahead than that and a week
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_OFFSETS = ("+00:00", "-00:00")


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo | None:
    """Return the zone of that name, ``None`` when there is none."""
    if (fixed := _FIXED.fullmatch(name)) is not None:
        offset = timedelta(hours=int(fixed[2]), minutes=int(fixed[3] or 0))
        return timezone(-offset if fixed[1] == "-" else offset) if offset <= _FARTHEST else None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # an impossible name, a directory of the database, an unknown zone
        return None


def zoned(name: str) -> tzinfo:
    """Return the zone of a name that was checked before.

    Raises:
        ValueError: there is none: the zone database of this machine lacks it.
    """
    found = zone(name)
    if found is None:
        raise ValueError(f"the zone database of this machine does not have {name!r}")
    return found


def moment_us(day: date, at: time, where: tzinfo, *, fold: int = 0) -> int:
    """Return the moment at which clocks *where* show that time.

    A time that a clock shows twice is its first moment; one that it leaves out is as much later as the clock leaps.
    With *fold* 1 it is the second, or as much earlier.
    """
    return written_us(datetime.combine(day, at.replace(fold=fold), tzinfo=where))


def local(moment: int, where: tzinfo) -> datetime:
    """Return what clocks *where* show at a moment, to the microsecond."""
    return (_EPOCH + timedelta(microseconds=moment)).astimezone(where)


def written_us(instant: datetime) -> int:
    """Return the moment of an *instant* that has an offset."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def parse_instant(text: str) -> datetime | None:
    """Read a date with a time and an explicit offset, such as ``2026-12-01T09:00+01:00``; ``None``: it is none."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return None if found.tzinfo is None else found


def write(moment: int, where: tzinfo) -> str:
    """Write a moment to the second, with the offset *where*: ``2026-12-01T09:00:00+01:00``."""
    shown = local(moment, where).isoformat(timespec="seconds")
    return shown[:19] + "Z" if shown.endswith(_UTC_OFFSETS) else shown


def read_us(text: str) -> int:
    """Return the moment that :func:`write` wrote."""
    return written_us(datetime.fromisoformat(text))


@lru_cache(maxsize=4096)
def clockwork(name: str, first_day: date) -> tuple[int, ...]:
    """Return what tells clocks apart from *first_day* on: the offset, in seconds, of each of the following days.

    Zones of equal clockwork show the same time for as long as a message may be held.
    """
    where = zoned(name)
    noon = datetime.combine(first_day, time(12), tzinfo=UTC)
    days = (noon + timedelta(days=ahead) for ahead in range(-1, _PROBED_DAYS))
    return tuple(round((each.astimezone(where).utcoffset() or timedelta()).total_seconds()) for each in days)
