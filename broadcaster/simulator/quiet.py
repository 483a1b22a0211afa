"""Quiet hours: when nobody's phone may ring, by the clock of the recipient's region. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

_US = 1_000_000
_FORM = re.compile(r"(?:(\+\d{1,7})=)?(\d\d:\d\d)-(\d\d:\d\d)([+-]\d\d:\d\d)?", re.ASCII)


class QuietError(ValueError):
    """A text does not say which hours are quiet. Its own text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """No message from *start* until *end*, local time, to numbers that begin with *prefix*."""

    start: time
    end: time
    prefix: str = "+"
    offset: timedelta = timedelta(0)  # of local time from UTC


def parse_quiet_hours(text: str) -> QuietHours:
    """Read ``21:00-08:00`` (everybody, UTC) or ``+1=21:00-08:00-05:00`` (numbers of +1, whose clock is UTC-5).

    Raises:
        QuietError: it is of another form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise QuietError(f"{text!r} is not like 21:00-08:00 or +1=21:00-08:00-05:00")
    prefix, start, end, offset = match.groups()
    try:
        hours = QuietHours(
            start=time.fromisoformat(start), end=time.fromisoformat(end), prefix=prefix or "+", offset=_offset(offset)
        )
    except ValueError as error:
        raise QuietError(f"{text!r}: {error}") from None
    if hours.start == hours.end:
        raise QuietError(f"{text!r} would be quiet for ever")
    return hours


def quiet_until(recipient: str, moment_us: int, rules: Iterable[QuietHours]) -> int | None:
    """Return when the quiet hours end that *moment_us* lies in, ``None`` outside of any; the longest prefix decides."""
    found = max(
        (rule for rule in rules if recipient.startswith(rule.prefix)), key=lambda r: len(r.prefix), default=None
    )
    if found is None or moment_us >= 2**61:  # a moment that does not come
        return None
    local = datetime.fromtimestamp(moment_us / _US, tz=UTC) + found.offset
    clock = local.time()
    over_midnight = found.end < found.start
    inside = clock >= found.start or clock < found.end if over_midnight else found.start <= clock < found.end
    if not inside:
        return None
    end = datetime.combine(local.date(), found.end, tzinfo=UTC)
    if end <= local:
        end += timedelta(days=1)
    return int((end - found.offset).timestamp()) * _US


def _offset(text: str | None) -> timedelta:
    if text is None:
        return timedelta(0)
    hours, minutes = int(text[1:3]), int(text[4:6])
    return timedelta(hours=hours, minutes=minutes) * (-1 if text[0] == "-" else 1)
