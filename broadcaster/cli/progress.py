"""What people see while a run sends: a bar on a terminal, a line every ten seconds elsewhere, and how fast it was.

Events only count; a thread of its own looks at the counts and prints, so that a thousand answers a second cost nothing
here. All of it goes to stderr.
"""

import shlex
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from broadcaster.cli.screen import console, duration
from broadcaster.clock import Clock, SystemClock
from broadcaster.core import canary, tally
from broadcaster.core.control import Order
from broadcaster.core.pacing import Limit
from broadcaster.core.values import Tally
from broadcaster.core.words import Status, Steering
from broadcaster.engine.ports import Concluding, Event, Noticed, Ordered, Probed, Settled, Waiting

if TYPE_CHECKING:
    from broadcaster.store.plan import Plan

WIDEST = 119  # columns: a line is no longer, whatever its counts
_LINE_EVERY_S = 10.0  # where no terminal is watching
_DRAW_EVERY_S = 0.25
_BAR = 24
_ROOM_FOR_BAR = 100  # columns: the counts go before the bar
_QUICK_S = 1.0
_BETWEEN = " · "
_CONCLUDING = "nothing more is sent; writing the manifest and the report"


def things_of(plan: "Plan") -> str:
    """Return what a run is counted in."""
    return "messages" if plan.head.asked.sends_messages else "contacts"


def pace_text(pace: tally.Pace | None, *, things: str = "messages") -> str:
    """Say how fast something goes; nothing when that is not known."""
    return "" if pace is None else f"{pace.messages:,.0f} {things}/min, {pace.requests:,.0f} requests/min"


def limit_text(limit: Limit) -> str:
    """Say which limits are in force and where they came from."""
    named = {"requests": limit.requests_per_minute, "messages": limit.messages_per_minute}
    limits = [f"{count:,} {name}/min" for name, count in named.items() if count]
    slowed = ", slowed by the API" if limit.slowed else ""
    return f"limit {' and '.join(limits)} ({limit.source}{slowed})" if limits else "no limit"


def filled(parts: Sequence[str], *, widest: int) -> list[str]:
    """Put *parts* into as few lines as hold them; a part that is wider has a line of its own."""
    lines: list[str] = []
    for part in filter(None, parts):
        longer = f"{lines[-1]}{_BETWEEN}{part}" if lines else part
        if lines and len(longer) <= widest:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _bar_width(width: int) -> int:
    return _BAR if width >= _ROOM_FOR_BAR else 0


class Watcher:
    """Shows progress of the run in *run_dir* while it sends; an ``Observe``."""

    def __init__(
        self, run_dir: Path | str, *, things: str = "messages", clock: Clock | None = None, in_lumps: bool = False
    ) -> None:
        """Begin; *in_lumps*: what happens is heard late and together, so that a mean of it would mislead."""
        self._things = things
        self._in_lumps = in_lumps
        self._clock = clock or SystemClock()
        self._console = console()
        self._where = shlex.quote(str(run_dir))
        self._fold: tally.Progress | None = None
        self._began_s = 0.0
        self._sent_s: float | None = None  # since when only files are written
        self._span = tally.Span()
        self._pacer: Any = None
        self._limit: Limit | None = None  # as it was last seen
        self._limit_since_s = 0.0
        self._paused: Order | None = None
        self._paused_since_s = self._held_s = 0.0
        self._tested: Probed | None = None  # while nobody is messaged because of the canary
        self._tested_since_s = self._waited_s = 0.0
        self._said: set[str] = set()
        self._ended = threading.Event()
        self._printer: threading.Thread | None = None
        self._bar: Progress | None = None
        self._task: Any = None

    def begin(self, counts: Tally, line: Any, ahead: tally.Ahead) -> None:
        """Start with what is known: *counts* before the first message, and what is *ahead* of this launch."""
        self._pacer = line.pacer
        self._began_s = self._limit_since_s = self._clock.monotonic()
        self._limit = self._pacer.limit
        self._fold = tally.Progress(
            total=counts.pending + counts.accepted + counts.rejected + counts.in_doubt,
            to_send=ahead.requests,
            largest=ahead.largest,
            started_s=self._began_s,
            accepted=counts.accepted,
            rejected=counts.rejected,
            in_doubt=max(0, counts.pending + counts.in_doubt - ahead.messages),  # nobody asks for those again
        )
        if self._console.is_terminal:
            columns = [BarColumn(bar_width=_BAR)] if _bar_width(self._console.width) else []
            text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=False, overflow="fold"))
            self._bar = Progress(*columns, text, console=self._console, transient=True, auto_refresh=False)
            self._task = self._bar.add_task("", total=self._fold.total)
            self._bar.start()
            self._draw()
        every_s, tell = (_DRAW_EVERY_S, self._draw) if self._bar is not None else (_LINE_EVERY_S, self._print)
        self._printer = threading.Thread(target=self._tell_every, args=(every_s, tell), name="progress", daemon=True)
        self._printer.start()

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        match event:
            case Settled():
                self._settled(event)
            case Waiting():
                self._once(f"waiting: {event.sentence or event.code}")
            case Ordered():
                self._ordered(event.order)
            case Noticed():
                self.say(event.sentence)
            case Probed():
                self._tests(event)
            case Concluding():
                self._sent_s = self._clock.monotonic()

    def _tests(self, event: Probed) -> None:
        now_s = self._clock.monotonic()
        if self._tested is None:
            self._tested_since_s = now_s
        self._tested = event
        if event.verdict is canary.Verdict.WAIT:
            return
        self._waited_s, self._tested = self._waited_s + now_s - self._tested_since_s, None
        if self._fold is not None:
            self._fold = self._fold.resumed(now_s=now_s)
        well = "the others are messaged now" if event.verdict is canary.Verdict.GO else "nobody else is messaged"
        self.say(f"canary: {event.standing.text}; {well}")

    def _settled(self, event: Settled) -> None:
        now_s = self._clock.monotonic()
        counts = {Status.ACCEPTED: event.accepted, Status.REJECTED: event.rejected, Status.IN_DOUBT: event.in_doubt}
        if self._fold is not None:
            self._fold = self._fold.add(counts, now_s=now_s, born=event.born)
            self._span = self._span.add(sum(counts.values()), now_s=now_s)
        if event.earlier_launch:
            self._once("the API says that an earlier launch of this campaign had sent some of these messages")

    def _ordered(self, order: Order) -> None:
        now_s = self._clock.monotonic()
        match order.what:
            case Steering.PAUSE:
                if self._paused is None:
                    self._paused_since_s = now_s
                self._paused = order
                self.say(f"{self._paused_text(order)}. What is under way ends properly")
            case Steering.GO:
                self._held_s, self._paused = self.held_s(now_s=now_s), None
                if self._fold is not None:
                    self._fold = self._fold.resumed(now_s=now_s)
                self.say(f"{order.who} lets it go on")
            case Steering.RATE:
                self.say(f"{order.who} set the limit to {order.per_minute or 0:,} requests/min")

    def _once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self.say(sentence)

    def say(self, sentence: str) -> None:
        """Print what people should read besides."""
        self._console.print(sentence, markup=False)

    def held_s(self, *, now_s: float) -> float:
        """Return the seconds of pauses so far."""
        return self._held_s + (now_s - self._paused_since_s if self._paused is not None else 0.0)

    # ---- the lines --------------------------------------------------------------------------------------------------

    def lines(self, *, widest: int = WIDEST) -> list[str]:
        """Say where the run is: first the counts, then how fast it goes, or who paused it."""
        return [line for parts in self._parts() for line in filled(parts, widest=widest)]

    def _parts(self) -> tuple[list[str], list[str]]:
        fold = self._fold
        if fold is None:
            return ["starting"], []
        now_s = self._clock.monotonic()
        known = f"{fold.accepted:,} accepted · {fold.rejected:,} rejected · {fold.in_doubt:,} in doubt"
        counts = f"{known} · {fold.to_go:,} to go"
        if self._sent_s is not None:
            return [counts], [_CONCLUDING]
        if (order := self._paused) is not None:
            return [counts], [self._paused_text(order)]
        if (tested := self._tested) is not None:
            return [counts], [f"canary: {tested.standing.text}, {duration(tested.left_s)} left"]
        limit = self._pacer.limit
        if limit != self._limit:
            self._limit, self._limit_since_s = limit, now_s
        wait_s = self._pacer.paused_for_s
        left_s = fold.seconds_left(
            now_s=now_s,
            requests_per_minute=limit.requests_per_minute,
            messages_per_minute=limit.messages_per_minute,
            since_s=self._limit_since_s,
            wait_s=wait_s,
        )
        left = f"{duration(left_s)} left" if left_s else ""
        wait = f"the API asks to wait {duration(wait_s)}" if wait_s else ""
        return [counts, left], [pace_text(fold.pace(now_s=now_s), things=self._things), limit_text(limit), wait]

    def _paused_text(self, order: Order) -> str:
        since = order.since(now_us=self._clock.reading()[0])
        return f"paused by {order.who} since {since} — broadcaster go {self._where}"

    def ended(self) -> str | None:
        """Say how long the launch sent, and how fast; ``None`` when nothing was sent."""
        span, now_s = self._span, self._clock.monotonic() if self._sent_s is None else self._sent_s
        if span.first_s is None or self._fold is None:
            return None
        held_s, waited_s = self.held_s(now_s=now_s), self._waited_s
        paused = f", {duration(held_s)} of it paused" if held_s >= _QUICK_S else ""
        paused += f", {duration(waited_s)} of it waiting for the canary" if waited_s >= _QUICK_S else ""
        mean = "" if self._in_lumps else pace_text(span.mean(held_s=held_s + waited_s), things=self._things)
        verb = "sent" if self._things == "messages" else "done"
        return f"{verb} in {duration(now_s - self._began_s)}{paused}" + (f", on average {mean}" if mean else "")

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _tell_every(self, seconds: float, tell: Any) -> None:
        while not self._ended.wait(seconds):
            tell()

    def _draw(self) -> None:
        fold, bar = self._fold, self._bar
        if fold is not None and bar is not None:
            lines = self.lines(widest=min(WIDEST, self._console.width - _bar_width(self._console.width) - 1))
            bar.update(self._task, completed=fold.total - fold.to_go, description="\n".join(lines))
            bar.refresh()

    def _print(self) -> None:
        counts, pace = self._parts()
        self.say("\n  ".join(filled([*counts, *pace], widest=WIDEST)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._printer is not None:
            self._printer.join()
        if self._bar is not None:
            self._bar.stop()
