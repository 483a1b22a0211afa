"""Where a run stands, told from what its files say. Pure: :mod:`broadcaster.tracking.live` reads the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Any

from broadcaster.core.values import Tally
from broadcaster.errors import ExitCode
from broadcaster.store.events import read_at

ENDINGS = frozenset({"finished", "halted", "stopped"})
_WORKING = frozenset({"started", "progress", "waiting", "paused", "going", "rate", "noticed", "canary"})
MINUTE_S = 60.0  # what a rate is over, like the API's own limit
_STATUSES = tuple(each.name for each in fields(Tally))


class Standing(StrEnum):
    """What a run is doing, for people."""

    PLANNED = auto()  # nothing was ever sent
    PREPARING = auto()  # a process holds the run and has not begun to send
    SENDING = auto()
    PAUSED = auto()
    INTERRUPTED = auto()  # its process is gone without a word
    STOPPED = auto()
    HALTED = auto()
    IN_DOUBT = auto()
    REJECTED = auto()  # finished, some rejected
    FINISHED = auto()
    PURGED = auto()
    UNREADABLE = auto()

    @property
    def works(self) -> bool:
        """Whether a process is working on the run."""
        return self in {Standing.PREPARING, Standing.SENDING, Standing.PAUSED}


_ENDS: Mapping[int, Standing] = MappingProxyType(
    {
        ExitCode.DONE: Standing.FINISHED,
        ExitCode.SOME_REJECTED: Standing.REJECTED,
        ExitCode.SOME_IN_DOUBT: Standing.IN_DOUBT,
        ExitCode.HALTED: Standing.HALTED,
    }
)


def standing(events: Sequence[Mapping[str, Any]], *, in_use: bool, code: Any, begun: bool) -> Standing:
    """Return where a run stands.

    Args:
        events: of ``events.jsonl``, oldest first.
        in_use: whether some process holds the run's lock.
        code: the exit code that a summary names, if that is newer than every event; ``None`` otherwise.
        begun: whether there is a journal.
    """
    told = [each["event"] for each in events]
    if code is None and told and told[-1] in _WORKING:
        if not in_use:
            return Standing.INTERRUPTED
        paused = next((each["paused"] for each in reversed(events) if "paused" in each), False)
        return Standing.PAUSED if paused is True else Standing.SENDING
    if code is None:
        ended = [each for each in events if each["event"] in ENDINGS]
        code = ended[-1].get("exit_code") if ended else None
    if in_use and (not told or told[-1] not in ENDINGS):
        return Standing.PREPARING
    if not begun or code is None:
        return Standing.PLANNED
    if told and told[-1] == "planned" and code == ExitCode.DONE:
        return Standing.STOPPED  # what was added to a finished run has not been sent
    return _ENDS.get(code, Standing.STOPPED) if isinstance(code, int) else Standing.STOPPED


def counts_of(told: Mapping[str, Any]) -> Tally | None:
    """Return the counts in an event or a summary; ``None`` when they are not all there."""
    found = {name: told.get(name) for name in _STATUSES}
    whole = all(type(each) is int and each >= 0 for each in found.values())
    return Tally(**found) if whole else None  # type: ignore[arg-type]  # looked at above


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A time between two lines of progress, in seconds since 1970, and what happened per minute in it."""

    start_s: float
    end_s: float
    requests_per_minute: float
    deliveries_per_minute: float
    limit: int | None


def stretches(events: Sequence[Mapping[str, Any]], *, since_s: float) -> tuple[Stretch, ...]:
    """Return how fast a run went, from one line with figures to the next of the same launch, oldest first.

    Args:
        events: oldest first.
        since_s: what ended before is left out.
    """
    found = []
    before: Mapping[str, Any] | None = None
    for each in events:
        counts = counts_of(each)
        if counts is None or type(each.get("requests")) is not int:
            continue
        if before is not None and each["event"] != "started" and read_at(each) > max(read_at(before), since_s):
            found.append(_stretch(before, each))
        before = each
    return tuple(found)


def _stretch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Stretch:
    start_s, end_s = read_at(before), read_at(after)
    settled = _settled(after) - _settled(before)
    limit = after.get("limit")
    return Stretch(
        start_s=start_s,
        end_s=end_s,
        requests_per_minute=max(0.0, (after["requests"] - before["requests"]) * 60 / (end_s - start_s)),
        deliveries_per_minute=max(0.0, settled * 60 / (end_s - start_s)),
        limit=limit if type(limit) is int else None,
    )


def _settled(told: Mapping[str, Any]) -> int:
    counts = counts_of(told) or Tally()
    return counts.accepted + counts.rejected + counts.in_doubt


def sent_between(found: Sequence[Stretch], start_s: float, end_s: float) -> float:
    """Return how many requests left between two moments."""
    return sum(each.requests_per_minute / 60 * _overlap_s(each, start_s, end_s) for each in found)


def deliveries_lately(found: Sequence[Stretch]) -> float:
    """Return deliveries per minute over the last minute of *found*."""
    if not found:
        return 0.0
    end_s = found[-1].end_s
    lengths = [(each, _overlap_s(each, end_s - MINUTE_S, end_s)) for each in found]
    return sum(each.deliveries_per_minute * length_s for each, length_s in lengths) / sum(
        length_s for _, length_s in lengths
    )


def _overlap_s(each: Stretch, start_s: float, end_s: float) -> float:
    return max(0.0, min(each.end_s, end_s) - max(each.start_s, start_s))


def seconds_left(counts: Tally, deliveries_per_minute: float) -> float | None:
    """Return the time to go at a rate; ``None`` where there is none to tell it from."""
    if not counts.pending:
        return 0.0
    return counts.pending * 60 / deliveries_per_minute if deliveries_per_minute > 0 else None
