"""The lines that people read while a run sends: honest, short enough, and never a surprise."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.doubles import ManualClock

from broadcaster.cli.progress import WIDEST, Watcher, limit_text
from broadcaster.core.control import Order
from broadcaster.core.pacing import Limit, Source
from broadcaster.core.tally import Ahead
from broadcaster.core.values import Tally
from broadcaster.core.words import Steering
from broadcaster.engine.ports import Concluding, Noticed, Ordered, Settled, Waiting


def limit(requests: int | None = 200, messages: int | None = None, source: str = "default") -> Limit:
    return Limit(requests_per_minute=requests, messages_per_minute=messages, source=Source(source))


@dataclass(slots=True)
class Pacer:
    """As much of a pacer as people are told of."""

    limit: Limit = field(default_factory=limit)
    paused_for_s: float = 0.0


@dataclass(slots=True)
class Line:
    pacer: Pacer = field(default_factory=Pacer)


@dataclass(slots=True)
class Show:
    """A run that is being watched, at 200 requests a minute with ten messages each."""

    watcher: Watcher
    clock: ManualClock
    line: Line

    def send(self, seconds: float, *, per_minute: float = 200, messages: int = 10) -> None:
        """Let time pass at a steady pace."""
        for _ in range(round(seconds * per_minute / 60)):
            self.clock.step(60 / per_minute)
            self.watcher(Settled(accepted=messages))

    def order(self, what: str, per_minute: int | None = None) -> None:
        at_us = self.clock.wall_us
        self.watcher(Ordered(order=Order(what=Steering(what), who="ada@desk", at_us=at_us, per_minute=per_minute)))

    @property
    def counts(self) -> str:
        return self.watcher.lines()[0]

    @property
    def pace(self) -> str:
        return self.watcher.lines()[1]


@pytest.fixture
def show() -> Iterator[Show]:
    clock, line = ManualClock(), Line()
    with Watcher(Path("runs/spring sale"), clock=clock) as watcher:
        watcher.begin(Tally(pending=10_000), line, Ahead(requests=1000, messages=10_000, largest=10))
        yield Show(watcher, clock, line)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (limit(), "limit 200 requests/min (default)"),
        (limit(10_000, source="configured"), "limit 10,000 requests/min (configured)"),
        (limit(60, source="live"), "limit 60 requests/min (live)"),
        (limit(60, 5000, "learned"), "limit 60 requests/min and 5,000 messages/min (learned)"),
        (limit(None, 5000, "configured"), "limit 5,000 messages/min (configured)"),
        (limit(None, source="configured"), "no limit"),
        (
            Limit(requests_per_minute=100, messages_per_minute=None, source=Source("configured"), slowed=True),
            "limit 100 requests/min (configured, slowed by the API)",
        ),
    ],
    ids=["default", "configured", "live", "both", "messages only", "none", "slowed"],
)
def test_the_limit_in_force_is_told_with_where_it_came_from(found: Limit, expected: str) -> None:
    assert limit_text(found) == expected


def test_at_first_the_time_is_the_plans_and_no_rate_is_claimed(show: Show) -> None:
    assert show.watcher.lines() == [
        "0 accepted · 0 rejected · 0 in doubt · 10,000 to go · 5 min 3 s left",
        "limit 200 requests/min (default)",
    ]
    show.send(1)
    assert show.pace == "limit 200 requests/min (default)"


def test_a_run_at_its_limit_shows_its_rate_the_limit_and_the_time_left(show: Show) -> None:
    show.send(75)

    assert show.counts.startswith("2,500 accepted · 0 rejected · 0 in doubt · 7,500 to go · 3 min 4")
    assert show.pace == "2,000 messages/min, 200 requests/min · limit 200 requests/min (default)"


def test_what_nobody_asks_for_again_is_not_to_go() -> None:
    with Watcher(Path("run"), clock=ManualClock()) as watcher:
        counts = Tally(pending=50, accepted=30, rejected=5, in_doubt=15, excluded=7)
        watcher.begin(counts, Line(), Ahead(requests=6, messages=60))  # ten of the fifteen in doubt are repeated

        assert watcher.lines()[0].startswith("30 accepted · 5 rejected · 5 in doubt · 60 to go")


def test_a_changed_limit_changes_the_time_left_at_once(show: Show) -> None:
    show.send(60)
    show.line.pacer.limit = limit(20, source="live")

    assert "40 min left" in show.counts
    assert show.pace.endswith("limit 20 requests/min (live)")

    show.send(30, per_minute=20)
    show.line.pacer.limit = limit(2000, source="live")
    assert " 24 s left" in show.counts


def test_a_pause_names_who_when_and_the_command_and_no_rate(show: Show) -> None:
    show.send(30)
    show.order("pause")
    show.clock.step(7200)

    counts, pause = show.watcher.lines()
    assert counts == "1,000 accepted · 0 rejected · 0 in doubt · 9,000 to go"
    assert pause.startswith("paused by ada@desk since ")
    assert pause.endswith(" — broadcaster go 'runs/spring sale'")


def test_after_a_pause_the_rate_is_measured_anew(show: Show) -> None:
    show.send(30)
    show.order("pause")
    show.clock.step(300)
    show.order("go")
    assert show.pace == "limit 200 requests/min (default)"

    show.send(30)
    assert show.pace == "1,966 messages/min, 197 requests/min · limit 200 requests/min (default)"
    assert " 4 min" in show.counts


def test_a_wait_that_the_api_asks_for_is_shown_and_counted(show: Show) -> None:
    show.send(60)
    before = show.counts
    show.line.pacer.paused_for_s = 45

    assert show.pace.endswith(" · the API asks to wait 45 s")
    assert show.counts != before


def test_orders_are_told_when_they_are_followed(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    show.order("pause")
    show.order("rate", 60)
    show.order("go")

    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("paused by ada@desk since ")
    assert told[0].endswith("broadcaster go 'runs/spring sale'. What is under way ends properly")
    assert told[1:] == ["ada@desk set the limit to 60 requests/min", "ada@desk lets it go on"]


def test_the_same_wait_is_told_once_and_a_notice_each_time(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        show.watcher(Waiting(code="lost", sentence="No answer [bold].", wait_s=1))
        show.watcher(Noticed(code="x", sentence="control.json cannot be read"))

    assert capsys.readouterr().err.splitlines() == [
        "waiting: No answer [bold].",
        "control.json cannot be read",
        "control.json cannot be read",
    ]


def test_no_line_is_wider_than_a_terminal_however_large_the_run() -> None:
    clock, line = ManualClock(), Line(Pacer(limit(100_000, 100_000_000, "configured"), paused_for_s=3599))
    with Watcher(Path("runs/spring-sale-2026"), clock=clock) as watcher:
        counts = Tally(pending=98_000_000, accepted=1_000_000_000, rejected=98_765_432, in_doubt=98_765_432)
        watcher.begin(counts, line, Ahead(requests=10**8, messages=98_000_000, largest=1000))
        clock.step(2)
        for _ in range(500):
            clock.step(0.02)
            watcher(Settled(accepted=1000))

        assert max(map(len, watcher.lines())) <= WIDEST


def test_off_a_terminal_both_lines_are_one_where_it_fits(show: Show, capsys: pytest.CaptureFixture[str]) -> None:
    show.watcher._print()
    show.send(75)
    show.watcher._print()

    one, *two = capsys.readouterr().err.splitlines()
    assert one.endswith(" left · limit 200 requests/min (default)")
    assert len(two) == 2
    assert two[0].endswith(" left · 2,000 messages/min, 200 requests/min")
    assert two[1] == "  limit 200 requests/min (default)"


def test_the_end_tells_how_long_it_took_and_how_fast_it_was(show: Show) -> None:
    assert show.watcher.ended() is None
    show.send(60)
    show.order("pause")
    show.clock.step(40)
    show.order("go")
    show.send(30)

    assert show.watcher.ended() == (
        "sent in 2 min 10 s, 40 s of it paused, on average 2,000 messages/min, 200 requests/min"
    )


def test_a_short_run_claims_no_average(show: Show) -> None:
    show.send(0.9)

    assert show.watcher.ended() == "sent in less than a second"


def test_writing_files_afterwards_is_told_and_is_not_counted_as_sending(show: Show) -> None:
    show.send(60)
    show.watcher(Concluding())
    told = show.watcher.ended()
    show.clock.step(600)

    assert show.pace == "nothing more is sent; writing the manifest and the report"
    assert told is not None
    assert told.startswith("sent in 60 s")
    assert show.watcher.ended() == told
