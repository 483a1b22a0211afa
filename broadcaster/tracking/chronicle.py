"""Telling others of a run while it works: its events into ``events.jsonl``, its figures into ``metrics.prom``.

Theory of operation. The loop only counts and puts events into a queue. A thread of its own writes: events at once,
progress every five seconds at most, and once a minute while nothing changes, so that a rate can be told from two lines;
the figures every second. When the run has ended everything told is in the files. Nothing here can fail a run.

It must not know numbers, keys or texts of messages: events are counts and codes, and sentences lose their numbers.
"""

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from broadcaster.clock import Clock, SystemClock, wall_us
from broadcaster.core.control import Order
from broadcaster.core.values import Tally
from broadcaster.core.words import Steering
from broadcaster.engine.ports import Event, Noticed, Ordered, Settled, Tested, Waiting
from broadcaster.errors import ExitCode
from broadcaster.phones import mask_in
from broadcaster.store.events import EventFile, tell_once
from broadcaster.store.metrics import Metric, exposition, write_metrics
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_TICK_S = 1.0
_PROGRESS_S = 5.0
_QUIET_S = 60.0  # between lines, and figures, of a run that waits
_SAME_WAIT_S = 30.0  # a storm of 429 is one line
_ORDERS = {Steering.PAUSE: "paused", Steering.GO: "going", Steering.RATE: "rate"}
_ENDINGS = {
    ExitCode.DONE: "finished",
    ExitCode.SOME_REJECTED: "finished",
    ExitCode.SOME_IN_DOUBT: "finished",
    ExitCode.HALTED: "halted",
}


def ending(code: ExitCode) -> str:
    """Return the event that a launch ends with: ``finished``, ``halted``, or ``stopped`` when it may go on."""
    return _ENDINGS.get(code, "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What is known of a running launch at one moment."""

    counts: Tally
    requests: int
    limit: int | None  # requests per minute; None: no limit
    paused: bool

    def facts(self) -> dict[str, Any]:
        """Return them as an event has them."""
        return {**asdict(self.counts), "requests": self.requests, "limit": self.limit, "paused": self.paused}


def tell_planned(plan: Plan) -> None:
    """Tell that the newest part of *plan* was frozen."""
    head = plan.parts[-1].head
    facts = {"part": head.part, "kind": head.kind, "recipients": head.recipients, "deliveries": head.deliveries}
    tell_once(plan.run_dir.events, "planned", {**facts, "excluded": head.excluded_in_manifest})


class Chronicle:
    """Hears every event of one launch; an ``Observe``.

    Args:
        run_dir: of the run; the caller holds its lock.
        campaign, mode: the labels of the figures.
        clock: for the distances between lines.
        tick_s: how often the thread looks.
    """

    def __init__(
        self, run_dir: RunDir, *, campaign: str, mode: str, clock: Clock | None = None, tick_s: float = _TICK_S
    ) -> None:
        self._run_dir = run_dir
        self._labels = {"campaign": campaign, "mode": mode}
        self._clock = clock or SystemClock()
        self._tick_s = tick_s
        self._file = EventFile(run_dir.events)
        self._told: queue.SimpleQueue[tuple[str, Mapping[str, Any], int] | None] = queue.SimpleQueue()
        self._known = Tally()
        self._accepted = self._rejected = self._in_doubt = 0
        self._requests: Callable[[], int] = lambda: 0
        self._limit: Callable[[], int | None] = lambda: None
        self._waits: dict[str, tuple[float, int]] = {}  # code → when it was told last, how often it came since
        self._tested: Mapping[str, Any] = {}  # how the canary stood when it was told last
        self._started_us: int | None = None
        self._code: ExitCode | None = None
        self._paused = False
        self._thread = threading.Thread(target=self._write, name="chronicle", daemon=True)

    def begin(self, counts: Tally, *, requests: Callable[[], int], limit: Callable[[], int | None]) -> None:
        """Start with what is known before the first message.

        Args:
            counts: of the run. What is in doubt from earlier launches is asked for again, and so pending.
            requests: how many this launch has sent so far.
            limit: the requests per minute in force; ``None`` for no limit. Both are called from a thread.
        """
        self._known, self._requests, self._limit = counts, requests, limit
        self._started_us = wall_us()
        self.tell("started", self.figures().facts())
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """See :class:`broadcaster.engine.ports.Observe`."""
        if isinstance(event, Settled):
            self._accepted += event.accepted
            self._rejected += event.rejected
            self._in_doubt += event.in_doubt
        elif isinstance(event, Waiting):
            self._waits_for(event)
        elif isinstance(event, Ordered):
            self._follows(event.order)
        elif isinstance(event, Noticed):
            self.tell("noticed", {"code": event.code})
        elif isinstance(event, Tested):
            self._tests(event)

    def _tests(self, event: Tested) -> None:
        found = event.standing
        facts = {
            "text": found.text,
            "verdict": str(event.verdict),
            "sent": found.sent,
            "well": found.well,
            "bad": found.bad + found.shaky,
            "open": found.open,
        }
        if facts != self._tested:
            self._tested = facts
            self.tell("canary", facts)

    def _follows(self, order: Order) -> None:
        if order.what is not Steering.RATE:
            self._paused = order.what is Steering.PAUSE
        self.tell(_ORDERS[order.what], self.figures().facts())

    def _waits_for(self, event: Waiting) -> None:
        now_s = self._clock.monotonic()
        last_s, times = self._waits.get(event.code, (None, 0))
        if last_s is not None and now_s - last_s < _SAME_WAIT_S:
            self._waits[event.code] = (last_s, times + 1)
            return
        self._waits[event.code] = (now_s, 0)
        self.tell("waiting", {"code": event.code, "wait_s": round(event.wait_s, 1), "times": times + 1})

    def tell(self, event: str, facts: Mapping[str, Any]) -> None:
        """Add an event of now; returns at once."""
        self._told.put((event, facts, wall_us()))

    def figures(self) -> Figures:
        """Return what is known now."""
        known = self._known
        total = known.pending + known.accepted + known.rejected + known.in_doubt
        accepted, rejected = known.accepted + self._accepted, known.rejected + self._rejected
        counts = Tally(
            pending=total - accepted - rejected - self._in_doubt,
            accepted=accepted,
            rejected=rejected,
            excluded=known.excluded,
            in_doubt=self._in_doubt,
        )
        return Figures(counts=counts, requests=self._requests(), limit=self._limit(), paused=self._paused)

    def end(self, code: ExitCode, *, counts: Tally | None = None, why: str | None = None) -> None:
        """Tell how the launch ended, and return when everything told is written; call it off the loop.

        Args:
            code: what the command is going to exit with.
            counts: of the run, as its journal has them; those of the events when it could not be read.
            why: the sentence of what stopped it.
        """
        self._paused = False
        figures = self.figures()
        figures = replace(figures, counts=counts or figures.counts)
        stopped = {"why": mask_in(why)} if why else {}
        self.tell(ending(code), {**figures.facts(), "exit_code": int(code), **stopped})
        self.leave()
        if self._thread.ident is not None:
            self._thread.join()
        while not self._told.empty():  # it never began
            self._write_all()
        self._file.write(durably=True)
        self._code = code
        write_metrics(self._run_dir.metrics, self._metrics(figures))

    def leave(self) -> None:
        """Let the thread end without a word about how the launch did. Harmless when said twice."""
        self._told.put(None)

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        told = self.figures()
        told_s = seen_s = self._clock.monotonic()
        seen = None
        while self._write_all(timeout_s=self._tick_s):
            now, now_s = self.figures(), self._clock.monotonic()
            if now_s - told_s >= (_PROGRESS_S if now != told else _QUIET_S):
                self._file.tell("progress", now.facts(), at_us=wall_us())
                self._file.write()
                told, told_s = now, now_s
            if now != seen or now_s - seen_s >= _PROGRESS_S:
                write_metrics(self._run_dir.metrics, self._metrics(now))
                seen, seen_s = now, now_s

    def _write_all(self, *, timeout_s: float = 0.0) -> bool:
        """Write what is told within so many seconds; return whether more may come."""
        try:
            next_told = self._told.get(timeout=timeout_s) if timeout_s else self._told.get_nowait()
            while next_told is not None:
                event, facts, at_us = next_told
                self._file.tell(event, facts, at_us=at_us)
                next_told = self._told.get_nowait()
        except queue.Empty:
            self._file.write()
            return True
        self._file.write()
        return False

    def _metrics(self, figures: Figures) -> str:
        counts = asdict(figures.counts)
        metrics = [
            Metric(
                name="broadcaster_deliveries",
                kind="gauge",
                help="Deliveries of the run by status.",
                samples=[({"status": status}, count) for status, count in counts.items()],
            ),
            _one("broadcaster_requests_total", "counter", "Requests of this launch to the API.", figures.requests),
            _one(
                "broadcaster_limit_requests_per_minute",
                "gauge",
                "Requests per minute that the launch allows itself, 0 for no limit.",
                figures.limit or 0,
            ),
            _one("broadcaster_run_active", "gauge", "1 while the launch works, else 0.", int(self._code is None)),
            _one("broadcaster_run_paused", "gauge", "1 while the run is paused, else 0.", int(figures.paused)),
            _one(
                "broadcaster_run_updated_timestamp_seconds",
                "gauge",
                "When these figures were written.",
                wall_us() / 1e6,
            ),
        ]
        if self._started_us is not None:
            name = "broadcaster_run_started_timestamp_seconds"
            metrics.append(_one(name, "gauge", "When the launch began to send.", self._started_us / 1e6))
        if self._code is not None:
            name = "broadcaster_run_exit_code"
            metrics.append(_one(name, "gauge", "What the launch ended with; see the README.", int(self._code)))
        return exposition(metrics, labels=self._labels)


def _one(name: str, kind: Any, text: str, value: float) -> Metric:
    return Metric(name=name, kind=kind, help=text, samples=[({}, value)])
