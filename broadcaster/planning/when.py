"""When a plan goes out, as people read it: first and last send time, zones, what is late already."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from broadcaster.core.timetable import SOONEST_US, Hold
from broadcaster.core.words import Reason
from broadcaster.core.zones import MINUTE_US, local, read_us, zoned
from broadcaster.job.model import Limits
from broadcaster.planning.timing import lead_us, timetable
from broadcaster.store.head import Head

_STAMP = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The times of a plan.

    Attributes:
        first, last: send times in UTC, to the second; ``None``: at once.
        first_shown, last_shown: the same by the job's clock and in UTC, for people.
        by_zone: recipients by time zone, most frequent first, where that decides about the time.
        waiting: rows that are left out because no time is known to suit them.
        passed: recipients whose time has passed: they go at once, or at the window's next opening.
        window, hold, not_after: as the job says.
        staged_minutes: how long before the first release a staged broadcast has to begin; 0: it is not staged.
    """

    first: str | None
    last: str | None
    first_shown: str
    last_shown: str
    by_zone: dict[str, int]
    waiting: int
    passed: int
    window: str
    hold: str
    not_after: str | None
    staged_minutes: int


def when(heads: Sequence[Head], *, batches: int, messages: int, now_us: int) -> When | None:
    """Return the times of a plan's parts; ``None`` where the job says nothing of times."""
    words = heads[0].schedule
    if not words:
        return None
    times: Counter[int] = Counter()
    zones: Counter[str] = Counter()
    for head in heads:
        times.update({read_us(each): count for each, count in head.times.items()})
        zones.update(head.zones)
    first, last = min(times, default=None), max(times, default=None)
    limits = Limits.model_validate(heads[0].limits)
    lead = lead_us(batches, messages, limits) // MINUTE_US if words.get("staged") else 0
    return When(
        first=_utc(first),
        last=_utc(last),
        first_shown=_shown(first, words["timezone"]),
        last_shown=_shown(last, words["timezone"]),
        by_zone=dict(zones.most_common()),
        waiting=sum(head.excluded.get(Reason.UNKNOWN_ZONE, 0) for head in heads),
        passed=sum(count for at, count in times.items() if at < now_us + SOONEST_US),
        window=timetable(words).text,
        hold=words.get("hold", Hold.API),
        not_after=words.get("not_after"),
        staged_minutes=lead,
    )


def _utc(moment: int | None) -> str | None:
    return None if moment is None else local(moment, UTC).isoformat(timespec="seconds")


def _shown(moment: int | None, zone: str) -> str:
    if moment is None:
        return ""
    here, utc = local(moment, zoned(zone)), local(moment, UTC)
    if here.utcoffset() == utc.utcoffset():
        return f"{utc:{_STAMP}} UTC"
    return f"{here:{_STAMP}} {zone} ({utc:{_STAMP}} UTC)"
