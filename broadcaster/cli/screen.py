"""What people see: the plan before confirming, progress, and the end. All of it goes to stderr."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from broadcaster.core import tally
from broadcaster.core.values import Tally
from broadcaster.core.words import Status
from broadcaster.engine.ports import Event, Settled, Waiting

if TYPE_CHECKING:
    from broadcaster.planning.preview import Preview

_SHOWN = 6  # countries, kinds of line: the rest is in --json
_LINE_EVERY_S = 10.0  # where no terminal is watching


def console() -> Console:
    """Return the console for people."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Say how long something takes."""
    if seconds < 1:
        return "less than a second"
    if seconds < 90:  # noqa: PLR2004 - beyond a minute and a half people count in minutes
        return f"{seconds:.0f} s"
    if seconds < 5400:  # noqa: PLR2004 - beyond an hour and a half in hours
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def show_plan(preview: "Preview", *, chosen: str = "", already_planned: int = 0) -> None:
    """Print a plan."""
    screen = console()
    for name, text in _plan_lines(preview, chosen, already_planned):
        screen.print(f"{name:<14}", text, markup=False)
    if len(preview.channels) > 1:
        count = len(preview.channels)
        screen.print(f"[bold]Every recipient gets {count} messages[/bold], one on each channel, and each is billed.")


def _plan_lines(preview: "Preview", chosen: str, already_planned: int) -> Iterator[tuple[str, str]]:
    yield "campaign", f"{preview.campaign} ({preview.mode})"
    yield "run directory", preview.run_dir
    yield "message", preview.message
    yield "channels", "the API picks (auto)" if preview.channels == ("auto",) else ", ".join(preview.channels)
    if chosen:
        yield "columns", chosen
    yield "rows", f"{preview.rows:,}"
    if already_planned:
        yield "", f"{already_planned:,} more are in the plan already"
    for reason, count in preview.excluded.items():
        yield "  excluded", f"{count:,} {reason.replace('_', ' ')}"
    yield "recipients", f"{preview.recipients:,}"
    each = "one recipient" if preview.largest_batch == 1 else f"up to {preview.largest_batch:,} recipients"
    yield "requests", f"{preview.requests:,} ({each} each)"
    yield "messages", f"{preview.messages:,}"
    limits = [f"{preview.requests_per_minute:,} requests a minute"] if preview.requests_per_minute else []
    limits += [f"{preview.messages_per_minute:,} messages a minute"] if preview.messages_per_minute else []
    yield "time", f"{duration(preview.duration_s)} at {' and '.join(limits) or 'no limit'}"
    if len(preview.by_channels) > 1:
        yield "by channel", _counted(preview.by_channels)
    yield "countries", _counted(preview.countries)
    of = f" of {preview.line_types_of:,} looked at" if preview.line_types_of < preview.recipients else ""
    yield "lines", f"{_counted(preview.line_types)}{of}"
    if {"sms", "auto"} & {word for written in preview.by_channels for word in written.split("+")}:
        at_most = "" if preview.encoding else "at most "
        yield (
            "SMS segments",
            f"{at_most}{preview.segments_each:,} each" + (f" ({preview.encoding})" if preview.encoding else ""),
        )
    for row in preview.first_excluded:
        where = f"{row.file} line {row.line:,}" if row.file else f"line {row.line:,}"
        yield "  excluded", row.error if row.error.startswith("line ") else f"{where}: {row.error}"
    for number, parameters in preview.examples:
        yield "  example", number if parameters == "{}" else f"{number}  {parameters}"


def _counted(counts: "dict[str, int]") -> str:
    """Say the most frequent of some counts, and how many more there are."""
    shown = [f"{name} {count:,}" for name, count in islice(counts.items(), _SHOWN)]
    left = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")


class Watcher:
    """Shows progress while a run sends: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = console()
        self._quiet = quiet
        self._fold: tally.Progress | None = None
        self._pacer: Any = None
        self._said: set[str] = set()
        self._ended = threading.Event()
        self._lines: threading.Thread | None = None
        self._bar: Progress | None = None
        self._task: Any = None
        self._in_doubt_before = 0

    def begin(self, counts: Tally, line: Any) -> None:
        """Start with what is known: *counts* before the first message."""
        total = counts.pending + counts.accepted + counts.rejected + counts.in_doubt
        self._fold = tally.Progress(
            total=total, started_s=time.monotonic(), accepted=counts.accepted, rejected=counts.rejected
        )
        self._pacer = line.pacer
        if self._quiet:
            return
        if self._console.is_terminal:
            self._bar = Progress(
                BarColumn(bar_width=24), TextColumn("{task.description}"), console=self._console, transient=True
            )
            self._task = self._bar.add_task("", total=total)
            self._bar.start()
            self._show()
        else:
            self._lines = threading.Thread(target=self._print_lines, name="progress", daemon=True)
            self._lines.start()

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        if isinstance(event, Settled) and self._fold is not None:
            counts = {
                Status.ACCEPTED: event.accepted,
                Status.REJECTED: event.rejected,
                Status.IN_DOUBT: event.in_doubt,
            }
            self._fold = self._fold.add(counts, now_s=time.monotonic())
            if event.earlier_launch:
                self._once("the API says that an earlier launch of this campaign had sent some of these messages")
        if isinstance(event, Waiting):
            self._once(f"waiting: {event.sentence or event.code}")
        self._show()

    def _once(self, sentence: str) -> None:
        if sentence not in self._said and not self._quiet:
            self._said.add(sentence)
            self._console.print(sentence)

    def _show(self) -> None:
        if self._bar is not None and self._fold is not None:
            done = self._fold.total - self._fold.to_go
            self._bar.update(self._task, completed=done, description=self.line())

    def line(self) -> str:
        """Say where the run is, in one line."""
        if self._fold is None:
            return "starting"
        now_s = time.monotonic()
        left_s = self._fold.seconds_left(now_s=now_s)
        limit = self._pacer.limit_in_force
        pace = f"limit {limit:,} requests/min" if limit else "no limit"
        return (
            f"{self._fold.accepted:,} accepted · {self._fold.rejected:,} rejected · {self._fold.in_doubt:,} in doubt · "
            f"{self._fold.to_go:,} to go · {self._fold.per_minute(now_s=now_s):,.0f}/min · {pace}"
            + (f" · {duration(left_s)} left" if left_s else "")
        )

    def _print_lines(self) -> None:
        while not self._ended.wait(_LINE_EVERY_S):
            self._console.print(self.line())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()
        if self._lines is not None:
            self._lines.join()


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal that something takes a while."""
    screen = console()
    if screen.is_terminal:
        with screen.status(what):
            yield
    else:
        yield
