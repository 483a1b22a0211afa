"""What the pages show of runs, read from their files: also while others write them, and when they are damaged or gone.

Theory of operation. A look at a run that has not changed costs a few ``stat``: whatever was read is kept by size and
time of its file. Counts come from the last event or the figures, which the run itself keeps; only a run whose process
died without a word has its journal read, once. A lock is asked for only where the events say that somebody works. No
run is locked for longer than that question takes, and nothing is written.

It must not know pages. No number, name or key is in what it returns.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from broadcaster.core.control import Control
from broadcaster.core.values import Tally
from broadcaster.errors import BroadcasterError, StoreDamaged
from broadcaster.phones import mask_in
from broadcaster.store.control import read_control
from broadcaster.store.events import read_at, read_events, written_at
from broadcaster.store.facts import Facts, tally
from broadcaster.store.metrics import read_metrics
from broadcaster.store.plan import Plan
from broadcaster.store.purge import read_record
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.standing import (
    MINUTE_S,
    Standing,
    Stretch,
    counts_of,
    deliveries_lately,
    seconds_left,
    sent_between,
    standing,
    stretches,
)

T = TypeVar("T")
_SHOWN_S = 900.0 + MINUTE_S  # of the rate: a quarter of an hour, and what the first minute of it is told from
_NEWER_S = 0.001  # a summary is written before the event that ends its launch
_SIGNS = ("plan.json", "purged.json", "journal.sqlite")  # that a directory is a run's
_MOST_RUNS = 500
_NO_ORDERS = Control()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as it is shown. Times are seconds since 1970.

    Attributes:
        name: in addresses; one of its kind on the page.
        path: as it was given to ``serve``.
        counts: deliveries by status; ``None`` where nobody can tell.
        changed_s: the last sign of life; ``None`` without any.
        requests: what left in the last minute, and ``limit`` what may.
        left_s: until the end at the present rate; ``None`` where it cannot be told.
        control: what people ordered.
        why: what stopped it, or what is wrong with its files.
        events: the last ones, newest first, without progress.
        report: whether ``report.html`` is there.
    """

    name: str
    path: Path
    campaign: str
    mode: str = ""
    standing: Standing
    counts: Tally | None = None
    changed_s: float | None = None
    planned_s: float | None = None
    requests: int = 0
    limit: int | None = None
    left_s: float | None = None
    control: Control = _NO_ORDERS
    why: str = ""
    stretches: tuple[Stretch, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    report: bool = False


def find_runs(directories: Sequence[Path]) -> dict[str, Path]:
    """Return the run directories in *directories*, which may be such themselves, by the name to show them under.

    Directories that cannot be read, and whatever is no run, are passed over.
    """
    found: dict[str, Path] = {}
    for directory in directories:
        for path in [directory] if _is_run(directory) else _inside(directory):
            name = path.name or path.absolute().name
            again, unique = 1, name
            while unique in found:
                again += 1
                unique = f"{name}~{again}"
            if len(found) < _MOST_RUNS:
                found[unique] = path
    return found


def _inside(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if not path.name.startswith(".") and _is_run(path))
    except OSError:
        return []


def _is_run(path: Path) -> bool:
    return any(os.path.exists(path / sign) for sign in _SIGNS)  # noqa: PTH110 - never raises, unlike Path.exists


class RunReader:
    """Reads runs, and remembers what has not changed. For one thread at a time."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, str], tuple[object, Any]] = {}

    def read_all(self, directories: Sequence[Path], *, now_s: float) -> dict[str, RunView]:
        """Return every run in *directories* by name, those with the latest sign of life first."""
        found = find_runs(directories)
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] in set(found.values())}
        views = [self.read(name, path, now_s=now_s) for name, path in found.items()]
        views.sort(key=lambda each: (not each.standing.works, -(each.changed_s or each.planned_s or 0.0), each.name))
        return {each.name: each for each in views}

    def read(self, name: str, path: Path, *, now_s: float) -> RunView:
        """Return what is known of the run in *path*; whatever is wrong with it is part of that."""
        try:
            return self._read(name, RunDir(path), now_s)
        except BroadcasterError as error:
            why = mask_in(error.sentence)
        except OSError as error:
            why = f"{path}: {error.strerror}"
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            why = f"{path}: its files are not those of a run of this version"
        return RunView(name=name, path=path, campaign=name, standing=Standing.UNREADABLE, why=why)

    def _read(self, name: str, run_dir: RunDir, now_s: float) -> RunView:
        record = self._once(run_dir, "purged", (run_dir.purged,), lambda: read_record(run_dir))
        if record is not None:
            return RunView(
                name=name,
                path=run_dir.path,
                campaign=record.campaign,
                mode=record.mode,
                standing=Standing.PURGED,
                counts=record.counts,
                changed_s=_moment(record.purged_at),
            )
        heads = tuple(run_dir.head(part) for part in range(_parts(run_dir)))
        plan = self._once(run_dir, "plan", heads, lambda: Plan.open(run_dir))
        summary, summary_s = self._once(run_dir, "summary", (run_dir.summary,), lambda: _summary(run_dir.summary))
        events = self._events(run_dir)
        told_s = max((read_at(each) for each in events if each["event"] != "planned"), default=0.0)
        newer = summary if summary_s > told_s + _NEWER_S else None
        where = standing(
            events,
            in_use=_may_work(events, newer) and run_dir.is_in_use(),
            code=newer.get("exit_code") if newer else None,
            begun=told_s > 0 or run_dir.journal.exists(),
        )
        last = events[-1] if events else {}
        fast = stretches(events, since_s=(now_s if where.works else read_at(last)) - _SHOWN_S)
        counts = self._counts(run_dir, plan, where, events, newer)
        return RunView(
            name=name,
            path=run_dir.path,
            campaign=plan.head.campaign,
            mode=plan.head.mode,
            standing=where,
            counts=counts,
            changed_s=max(told_s, summary_s if newer else 0.0) or None,
            planned_s=plan.head.planned_us / 1e6,
            requests=round(sent_between(fast, now_s - MINUTE_S, now_s)) if where.works else 0,
            limit=_limit(last) if where.works else None,
            left_s=seconds_left(counts, deliveries_lately(fast)) if counts and where is Standing.SENDING else None,
            control=_control(run_dir),
            why=mask_in(str((newer or last).get("why") or "")),
            stretches=fast,
            events=tuple(each for each in reversed(events) if each["event"] not in {"progress", "figures"}),
            report=os.path.exists(run_dir.path / "report.html"),  # noqa: PTH110 - see above
        )

    def _events(self, run_dir: RunDir) -> list[dict[str, Any]]:
        """Return the last events, and the figures as one more where they are newer."""
        events = self._once(run_dir, "events", (run_dir.events,), lambda: read_events(run_dir.events))
        figures = self._once(run_dir, "metrics", (run_dir.metrics,), lambda: _figures(run_dir.metrics))
        working = events and events[-1]["event"] not in {"planned", "finished", "halted", "stopped"}
        if figures and working and read_at(figures) > read_at(events[-1]):
            return [*events, figures]
        return events

    def _counts(
        self,
        run_dir: RunDir,
        plan: Plan,
        where: Standing,
        events: Sequence[Mapping[str, Any]],
        newer: Mapping[str, Any] | None,
    ) -> Tally | None:
        if where is Standing.INTERRUPTED:
            wal = run_dir.journal.with_name(f"{run_dir.journal.name}-wal")
            return self._once(run_dir, "facts", (run_dir.journal, wal), lambda: _facts(plan))
        if newer is not None:
            return counts_of(newer["deliveries"])
        told = (counts for each in reversed(events) if (counts := counts_of(each)) is not None)
        planned = Tally(pending=plan.deliveries, excluded=sum(part.head.excluded_in_manifest for part in plan.parts))
        return next(told, planned)

    def _once(self, run_dir: RunDir, what: str, paths: Sequence[Path], read: Callable[[], T]) -> T:
        """Return what *read* returned when *paths* were as they are now."""
        stamp = tuple(_stamp(path) for path in paths)
        kept = self._kept.get((run_dir.path, what))
        if kept is not None and kept[0] == stamp:
            found: T = kept[1]
            return found
        found = read()
        self._kept[run_dir.path, what] = (stamp, found)
        return found


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if not found.st_size:
        return None  # whoever reads a journal leaves an empty log beside it
    return found.st_ino, found.st_size, found.st_mtime_ns


def _parts(run_dir: RunDir) -> int:
    part = 0
    while run_dir.head(part).exists():
        part += 1
    return max(1, part)


def _may_work(events: Sequence[Mapping[str, Any]], newer: object) -> bool:
    return newer is None and (not events or events[-1]["event"] not in {"finished", "halted", "stopped"})


def _summary(path: Path) -> tuple[dict[str, Any], float]:
    """Return ``summary.json`` and when it was written; nothing when there is none, or another's."""
    try:
        words = json.loads(path.read_bytes())
        return (words, path.stat().st_mtime) if isinstance(words, dict) else ({}, 0.0)
    except (OSError, ValueError):
        return {}, 0.0


def _figures(path: Path) -> dict[str, Any] | None:
    """Return ``metrics.prom`` in the form of an event; ``None`` when it says too little."""
    found = read_metrics(path)
    at_s = found.get(("broadcaster_run_updated_timestamp_seconds", ""))
    if at_s is None or not 0 < at_s < 1e11:  # noqa: PLR2004 - the year 5138: whatever can be a date
        return None
    counts = {status: int(value) for (name, status), value in found.items() if name == "broadcaster_deliveries"}
    requests = int(found.get(("broadcaster_requests_total", ""), 0))
    limit = int(found.get(("broadcaster_limit_requests_per_minute", ""), 0)) or None
    paused = found.get(("broadcaster_run_paused", "")) == 1
    return {
        "at": written_at(int(at_s * 1e6)),
        "event": "progress",
        **counts,
        "requests": requests,
        "limit": limit,
        "paused": paused,
    }


def _facts(plan: Plan) -> Tally | None:
    """Return the counts as the journal has them; ``None`` when it cannot be read, which ``verify`` would explain."""
    try:
        return tally(plan, Facts.read(plan, whole=False))
    except BroadcasterError:
        return None


def _control(run_dir: RunDir) -> Control:
    try:
        return read_control(run_dir)
    except StoreDamaged:
        return Control()  # the run itself stops over it and says so


def _limit(told: Mapping[str, Any]) -> int | None:
    limit = told.get("limit")
    return limit if type(limit) is int and limit > 0 else None


def _moment(text: str) -> float | None:
    return read_at({"at": text}) or None
