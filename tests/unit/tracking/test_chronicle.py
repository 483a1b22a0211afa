"""The chronicle of a launch: nothing that is told is lost, little is written, nothing on the disk can harm it."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from support import exposition as strict
from support.cli import wait_until
from support.doubles import ManualClock

from broadcaster.core.canary import Standing, Verdict
from broadcaster.core.control import Order
from broadcaster.core.values import Tally
from broadcaster.core.words import Steering
from broadcaster.engine.ports import Noticed, Ordered, Probed, Settled, Waiting
from broadcaster.errors import ExitCode
from broadcaster.store.events import read_events
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.chronicle import Chronicle

BEFORE = Tally(pending=90, accepted=5, rejected=1, excluded=3, in_doubt=4)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def chronicle(tmp_path: Path, clock: ManualClock) -> Chronicle:
    return Chronicle(RunDir(tmp_path), campaign="spring", mode="live", clock=clock, tick_s=0.005)


def begin(chronicle: Chronicle, *, requests: list[int] | None = None) -> None:
    sent = requests or [0]
    chronicle.begin(BEFORE, requests=lambda: sent[-1], limit=lambda: 200)


def told(tmp_path: Path, event: str = "") -> list[dict[str, Any]]:
    return [each for each in read_events(tmp_path / "events.jsonl", tail=1 << 24) if event in {"", each["event"]}]


def figures(tmp_path: Path) -> dict[str, float]:
    """The figures by name, deliveries by status."""
    found = strict.read((tmp_path / "metrics.prom").read_text(encoding="utf-8"))
    flat = {}
    for name, family in found.items():
        for labels, value in family.samples.items():
            assert {("campaign", "spring"), ("mode", "live")} <= labels
            flat[dict(labels).get("status", name)] = value
    return flat


def test_a_launch_is_told_from_its_start_to_its_end(chronicle: Chronicle, tmp_path: Path) -> None:
    begin(chronicle, requests=[2])
    chronicle(Settled(accepted=10))
    chronicle(Settled(rejected=2))
    chronicle(Settled(in_doubt=3))
    chronicle.end(ExitCode.SOME_IN_DOUBT, counts=Tally(pending=0, accepted=20, rejected=3, excluded=3, in_doubt=1))
    started, finished = told(tmp_path)
    for each in (started, finished):
        del each["at"]
    assert started == {
        "event": "started",
        "pending": 94,  # what was in doubt is asked for again
        "accepted": 5,
        "rejected": 1,
        "excluded": 3,
        "in_doubt": 0,
        "requests": 2,
        "limit": 200,
        "paused": False,
    }
    assert finished == {
        "event": "finished",
        "pending": 0,
        "accepted": 20,
        "rejected": 3,
        "excluded": 3,
        "in_doubt": 1,
        "requests": 2,
        "limit": 200,
        "paused": False,
        "exit_code": 4,
    }
    shown = figures(tmp_path)
    assert [shown[name] for name in ("pending", "accepted", "rejected", "excluded", "in_doubt")] == [0, 20, 3, 3, 1]
    assert shown["broadcaster_requests_total"] == 2
    assert shown["broadcaster_limit_requests_per_minute"] == 200
    assert (shown["broadcaster_run_active"], shown["broadcaster_run_exit_code"]) == (0, 4)
    started_s, updated_s = (shown[f"broadcaster_run_{word}_timestamp_seconds"] for word in ("started", "updated"))
    assert 1.7e9 < started_s <= updated_s


ENDINGS = {
    ExitCode.DONE: "finished",
    ExitCode.SOME_REJECTED: "finished",
    ExitCode.SOME_IN_DOUBT: "finished",
    ExitCode.HALTED: "halted",
    ExitCode.STOPPED: "stopped",
    ExitCode.REFUSED: "stopped",
    ExitCode.STORE: "stopped",
}


@pytest.mark.parametrize(("code", "event"), ENDINGS.items(), ids=str)
def test_the_last_event_says_how_it_ended(chronicle: Chronicle, tmp_path: Path, code: ExitCode, event: str) -> None:
    chronicle.end(code, why="+14155550123 was it")  # it never began
    (last,) = told(tmp_path)
    assert (last["event"], last["exit_code"], last["why"]) == (event, code, "+1••••••••23 was it")


def test_everything_told_is_written_in_order_whoever_tells_it(chronicle: Chronicle, tmp_path: Path) -> None:
    begin(chronicle)

    def tell(word: str) -> None:
        for n in range(2000):
            chronicle.tell(word, {"n": n})

    tellers = [threading.Thread(target=tell, args=(word,)) for word in ("one", "two")]
    for each in tellers:
        each.start()
    for each in tellers:
        each.join()
    chronicle.end(ExitCode.DONE)
    for word in ("one", "two"):
        assert [each["n"] for each in told(tmp_path, word)] == list(range(2000))
    assert told(tmp_path)[-1]["event"] == "finished"


def test_progress_is_written_every_five_seconds_at_most_and_once_a_minute_at_least(
    chronicle: Chronicle, tmp_path: Path, clock: ManualClock
) -> None:
    begin(chronicle)

    def settled(count: int) -> None:
        """Settle so many more, and return when the thread has seen it."""
        before = figures(tmp_path)["accepted"] if (tmp_path / "metrics.prom").exists() else 5
        chronicle(Settled(accepted=count))
        wait_until(
            lambda: (tmp_path / "metrics.prom").exists() and figures(tmp_path)["accepted"] == before + count,
            what="the figures are current",
        )

    for passed_s, lines in [(0, 0), (4.9, 0), (0.2, 1), (4.8, 1), (0.3, 2)]:
        settled(1)  # first: once time has passed, the thread may write at any moment
        clock.step(passed_s)
        wait_until(lambda lines=lines: len(told(tmp_path, "progress")) >= lines, what="progress")  # type: ignore[misc]  # bound
        assert len(told(tmp_path, "progress")) == lines
    clock.step(59)
    updated = figures(tmp_path)["broadcaster_run_updated_timestamp_seconds"]
    wait_until(lambda: figures(tmp_path)["broadcaster_run_updated_timestamp_seconds"] > updated, what="a sign of life")
    assert len(told(tmp_path, "progress")) == 2
    clock.step(2)
    wait_until(lambda: len(told(tmp_path, "progress")) == 3, what="a line although nothing changes")
    chronicle.end(ExitCode.DONE)
    assert [each["accepted"] for each in told(tmp_path, "progress")] == [8, 10, 10]


def test_a_storm_of_the_same_refusal_is_a_line_every_half_minute(
    chronicle: Chronicle, tmp_path: Path, clock: ManualClock
) -> None:
    begin(chronicle)
    for _ in range(70):
        for code in ("BUSINESS_002", "SERVICE_001"):
            chronicle(Waiting(code=code, sentence="+14155550123 has to wait", wait_s=4.25))
        clock.step(1)
    chronicle.end(ExitCode.DONE)
    waits = [(each["code"], each["times"], each["wait_s"]) for each in told(tmp_path, "waiting")]
    assert waits == [(code, times, 4.2) for times in (1, 30, 30) for code in ("BUSINESS_002", "SERVICE_001")]
    assert "55550123" not in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


def test_orders_are_told_with_the_figures_and_without_who_gave_them(chronicle: Chronicle, tmp_path: Path) -> None:
    begin(chronicle)
    for what, per_minute in ((Steering.PAUSE, None), (Steering.RATE, 50), (Steering.GO, None)):
        chronicle(Ordered(order=Order(what=what, who="ann@desk", at_us=1, per_minute=per_minute)))
    chronicle(Noticed(code="control_unreadable", sentence="x"))
    chronicle.end(ExitCode.DONE)
    events = told(tmp_path)[1:-1]
    assert [(each["event"], each.get("paused")) for each in events] == [
        ("paused", True),
        ("rate", True),
        ("going", False),
        ("noticed", None),
    ]
    assert "ann" not in (tmp_path / "events.jsonl").read_text(encoding="utf-8")


def test_a_pause_is_seen_in_the_figures(chronicle: Chronicle, tmp_path: Path) -> None:
    begin(chronicle)
    chronicle(Ordered(order=Order(what=Steering.PAUSE, who="ann@desk", at_us=1)))
    path = tmp_path / "metrics.prom"
    wait_until(lambda: path.exists() and figures(tmp_path)["broadcaster_run_paused"] == 1, what="the figures")
    chronicle.end(ExitCode.STOPPED)
    assert figures(tmp_path)["broadcaster_run_paused"] == 0


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directories", "pipes"])
def test_a_disk_that_takes_nothing_harms_nobody(chronicle: Chronicle, tmp_path: Path, make: Any) -> None:
    make(tmp_path / "events.jsonl")
    (tmp_path / "metrics.prom").mkdir()
    (tmp_path / "metrics.prom" / "taken").touch()
    begin(chronicle)
    chronicle(Settled(accepted=10))
    chronicle.end(ExitCode.DONE)
    assert chronicle.figures().counts.accepted == 15


def test_a_launch_that_ends_without_a_word_leaves_no_thread(chronicle: Chronicle, tmp_path: Path) -> None:
    begin(chronicle)
    chronicle.leave()
    wait_until(lambda: "chronicle" not in {each.name for each in threading.enumerate()}, what="no thread")
    assert [each["event"] for each in told(tmp_path)] == ["started"]


def test_lines_are_json_that_any_reader_takes(chronicle: Chronicle, tmp_path: Path) -> None:
    begin(chronicle)
    chronicle.end(ExitCode.HALTED, why='a "word"\nand Ümläute \u2028')
    raw = (tmp_path / "events.jsonl").read_bytes()
    assert [json.loads(line)["event"] for line in raw.splitlines()] == ["started", "halted"]


def test_the_canary_is_told_when_it_stands_otherwise_and_not_at_every_look(
    chronicle: Chronicle, tmp_path: Path
) -> None:
    begin(chronicle)
    for well, verdict in ((0, Verdict.WAIT), (0, Verdict.WAIT), (1, Verdict.WAIT), (1, Verdict.WAIT), (2, Verdict.GO)):
        found = Standing(sent=2, well=well, open=2 - well, words={"delivered": well} if well else {}, codes={})
        chronicle(Probed(standing=found, left_s=9, verdict=verdict))
    chronicle.end(ExitCode.DONE)

    assert [(each["text"], each["verdict"], each["well"], each["open"]) for each in told(tmp_path, "canary")] == [
        ("2 sent, 2 open", "wait", 0, 2),
        ("2 sent, 1 delivered, 1 open", "wait", 1, 1),
        ("2 sent, 2 delivered", "go", 2, 0),
    ]
