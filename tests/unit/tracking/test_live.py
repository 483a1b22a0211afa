"""What the pages are told of real run directories: whole, while others write them, damaged, purged, gone, foreign."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.plans import accepted, claim, make_plan, people, record, rejected

from broadcaster.app.conclude import conclude
from broadcaster.core.control import Control, Order
from broadcaster.core.values import Tally
from broadcaster.core.words import Steering
from broadcaster.engine.ports import Ordered, Settled
from broadcaster.errors import ExitCode
from broadcaster.store.control import write_control
from broadcaster.store.facts import Facts
from broadcaster.store.plan import Plan
from broadcaster.store.purge import Record, write_record
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.chronicle import Chronicle, tell_planned
from broadcaster.tracking.live import RunReader, RunView, find_runs
from broadcaster.tracking.standing import Standing

NOW_S = time.time()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Six people in three batches of two, one of them invalid and one twice."""
    rows = [*people(6), {"id": "bad", "mobile": "12"}, {"id": "again", "mobile": people(1)[0]["mobile"]}]
    return make_plan(tmp_path, rows, batch_size=2)


@pytest.fixture
def reader() -> RunReader:
    return RunReader()


@pytest.fixture
def chronicle(plan: Plan) -> Iterator[Chronicle]:
    found = Chronicle(plan.run_dir, campaign=plan.head.campaign, mode=plan.head.mode, tick_s=0.005)
    yield found
    found.leave()


def look(reader: RunReader, plan: Plan) -> RunView:
    return reader.read("run", plan.run_dir.path, now_s=time.time())


def begin(chronicle: Chronicle) -> None:
    chronicle.begin(Tally(pending=6, excluded=2), requests=lambda: 5, limit=lambda: 200)


def settle(plan: Plan) -> None:
    """Accept two, reject two, and leave two in doubt."""
    first, second, third = plan.fetch([0, 1, 2]).values()
    record(plan, claim(first.id), accepted(first), claim(second.id), rejected(second), claim(third.id))


def test_a_plan_is_told_from_its_head(reader: RunReader, plan: Plan) -> None:
    tell_planned(plan)
    found = look(reader, plan)
    assert (found.campaign, found.mode, found.standing) == ("spring-sale", "live", Standing.PLANNED)
    assert found.counts == Tally(pending=6, excluded=2)
    assert [each["event"] for each in found.events] == ["planned"]
    assert found.planned_s is not None
    conclude(plan)  # what `plan` does besides
    assert look(reader, plan).standing is Standing.PLANNED
    assert look(reader, plan).counts == Tally(pending=6, excluded=2)


def test_a_run_at_work_is_told_from_its_events_and_newer_figures(
    reader: RunReader, plan: Plan, chronicle: Chronicle
) -> None:
    with plan.run_dir.locked():
        assert look(reader, plan).standing is Standing.PREPARING
        begin(chronicle)
        chronicle(Settled(accepted=4))
        seen: set[Any] = set()
        while not {"sending", 4} <= seen:  # the thread writes when it gets to it
            found = look(reader, plan)
            seen |= {str(found.standing), found.counts.accepted if found.counts else None}
        assert (found.limit, found.standing.works) == (200, True)
        chronicle(Ordered(order=Order(what=Steering.PAUSE, who="ann", at_us=1)))
        while look(reader, plan).standing is not Standing.PAUSED:
            pass
        counts = Tally(accepted=4, rejected=1, in_doubt=1, excluded=2)
        chronicle.end(ExitCode.SOME_IN_DOUBT, counts=counts, why="a reason")
        found = look(reader, plan)
    assert (found.standing, found.counts, found.why) == (Standing.IN_DOUBT, counts, "a reason")
    assert (found.requests, found.limit, found.left_s) == (0, None, None)
    assert [each["event"] for each in found.events] == ["finished", "paused", "started"]


def test_a_killed_run_has_its_journal_counted_once_for_each_change(
    reader: RunReader, plan: Plan, chronicle: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(chronicle)
    chronicle.leave()
    chronicle._thread.join()
    read: list[Plan] = []
    whole = Facts.read

    def counting(plan: Plan, **how: Any) -> Facts:
        read.append(plan)
        return whole(plan, **how)

    monkeypatch.setattr(Facts, "read", counting)
    settle(plan)
    found = look(reader, plan)
    assert found.standing is Standing.INTERRUPTED
    assert found.counts == Tally(accepted=2, rejected=2, in_doubt=2, excluded=2)
    for _ in range(5):
        assert look(reader, plan).counts == found.counts
    assert len(read) == 1
    record(plan, accepted(plan.fetch([2])[2]))
    again = look(reader, plan)
    assert again.counts == Tally(accepted=4, rejected=2, excluded=2)
    assert len(read) == 2


def test_a_journal_that_cannot_be_read_is_not_counted_and_the_rest_is_shown(
    reader: RunReader, plan: Plan, chronicle: Chronicle
) -> None:
    begin(chronicle)
    chronicle.leave()
    chronicle._thread.join()
    plan.run_dir.journal.write_bytes(b"x" * 5000)
    found = look(reader, plan)
    assert (found.standing, found.counts, found.campaign) == (Standing.INTERRUPTED, None, "spring-sale")


def test_what_is_concluded_after_the_last_event_counts(reader: RunReader, plan: Plan, chronicle: Chronicle) -> None:
    begin(chronicle)
    settle(plan)
    chronicle.end(ExitCode.SOME_IN_DOUBT, counts=Tally(accepted=2, rejected=2, in_doubt=2, excluded=2))
    assert look(reader, plan).standing is Standing.IN_DOUBT
    record(plan, accepted(plan.fetch([2])[2]))
    conclude(plan)  # as `reconcile` and `resolve` do
    found = look(reader, plan)
    assert (found.standing, found.counts) == (Standing.REJECTED, Tally(accepted=4, rejected=2, excluded=2))


def test_a_run_of_before_there_were_events_is_told_from_its_summary(reader: RunReader, plan: Plan) -> None:
    settle(plan)
    conclude(plan)
    found = look(reader, plan)
    assert found.standing is Standing.IN_DOUBT
    assert found.counts == Tally(accepted=2, rejected=2, in_doubt=2, excluded=2)
    assert found.changed_s is not None


def test_nothing_is_read_again_that_has_not_changed(
    reader: RunReader, plan: Plan, chronicle: Chronicle, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(chronicle)
    chronicle.end(ExitCode.DONE)
    conclude(plan)
    first = look(reader, plan)
    monkeypatch.setattr(Plan, "open", lambda _: pytest.fail("the plan was read again"))
    monkeypatch.setattr("broadcaster.tracking.live.read_events", lambda _: pytest.fail("the events were read again"))
    monkeypatch.setattr("broadcaster.tracking.live.json.loads", lambda _: pytest.fail("the summary was read again"))
    assert look(reader, plan) == first


def test_what_people_ordered_is_shown_also_of_a_run_that_stands_still(reader: RunReader, plan: Plan) -> None:
    control = Control().after(Order(what=Steering.PAUSE, who="ann@desk", at_us=5))
    write_control(plan.run_dir, control)
    assert look(reader, plan).control == control
    plan.run_dir.control.write_text("{")
    assert look(reader, plan).control == Control()


def test_a_purged_run_shows_its_counts(reader: RunReader, plan: Plan) -> None:
    settle(plan)
    concluded = conclude(plan)
    write_record(
        plan.run_dir,
        Record(
            campaign="spring-sale", mode="live", account=None, run=None, purged_at="2026-11-20T10:00:00+00:00",
            exit_code=4, batches=3, summary=concluded.summary, rows=[],
        ),
    )  # fmt: skip
    plan.run_dir.head(0).unlink()
    found = look(reader, plan)
    assert (found.standing, found.counts) == (Standing.PURGED, concluded.counts)
    assert found.changed_s == pytest.approx(1_795_168_800)


DAMAGE = {
    "a plan of somebody else's": ("plan.json", b'{"name": "webshop"}'),
    "half a plan": ("plan.json", b'{"version": 1, "camp'),
    "a plan of a later version": ("plan.json", b'{"version": 99}'),
    "a record of a purge that is none": ("purged.json", b"[]"),
    "a summary of somebody else's": ("summary.json", b'{"exit_code": "no", "deliveries": [1]}'),
    "events of somebody else's": (
        "events.jsonl",
        b'{"at":"2026-11-20T10:00:01Z","event":"stopped","exit_code":{},"why":["+14155550123"],"limit":{},"requests":"x"}\n',
    ),
    "figures of somebody else's": ("metrics.prom", b'broadcaster_run_updated_timestamp_seconds{a="b"} 9e99\n'),
    "orders of somebody else's": ("control.json", b"7"),
}


@pytest.mark.parametrize(("name", "content"), DAMAGE.values(), ids=DAMAGE)
def test_whatever_the_files_say_it_is_shown_somehow(reader: RunReader, plan: Plan, name: str, content: bytes) -> None:
    (plan.run_dir.path / name).write_bytes(content)
    (found,) = reader.read_all([plan.run_dir.path], now_s=NOW_S).values()
    unreadable = name in {"plan.json", "purged.json", "summary.json"}
    expected = {True: Standing.UNREADABLE, False: Standing.STOPPED if name == "events.jsonl" else Standing.PLANNED}
    assert found.standing is expected[unreadable]
    assert bool(found.why) == (unreadable or name == "events.jsonl")
    assert "55550123" not in found.why


def test_a_directory_that_vanishes_while_it_is_looked_at_is_no_failure(reader: RunReader, plan: Plan) -> None:
    assert look(reader, plan).standing is Standing.PLANNED
    shutil.rmtree(plan.run_dir.path)
    assert look(reader, plan).standing is Standing.UNREADABLE
    assert reader.read_all([plan.run_dir.path], now_s=NOW_S) == {}
    assert reader.read_all([plan.run_dir.path.parent / "nowhere"], now_s=NOW_S) == {}


def test_runs_are_found_in_directories_and_as_such_under_names_of_their_own(tmp_path: Path) -> None:
    for name in ("a/spring", "a/autumn", "b/spring", "a/.hidden", "a/notes", "alone"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / ("notes.txt" if name == "a/notes" else "plan.json")).touch()
    (tmp_path / "a" / "plan.json.bak").touch()
    (tmp_path / "a" / "loop").symlink_to("loop")
    found = find_runs([tmp_path / "a", tmp_path / "b", tmp_path / "alone", tmp_path / "nowhere"])
    assert found == {
        "autumn": tmp_path / "a" / "autumn",
        "spring": tmp_path / "a" / "spring",
        "spring~2": tmp_path / "b" / "spring",
        "alone": tmp_path / "alone",
    }


def test_a_run_in_the_working_directory_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spring").mkdir()
    (tmp_path / "spring" / "plan.json").touch()
    monkeypatch.chdir(tmp_path / "spring")
    assert find_runs([Path()]) == {"spring": Path()}


def test_runs_at_work_come_first_and_then_the_latest(reader: RunReader, tmp_path: Path) -> None:
    for at, name in enumerate(["older", "newer", "working"]):
        (tmp_path / name).mkdir()
        plan = make_plan(tmp_path / name, people(2))
        path = tmp_path / "runs" / name
        path.parent.mkdir(exist_ok=True)
        plan.run_dir.path.rename(path)
        words = {"at": f"2026-11-2{at}T10:00:00Z", "event": "started" if name == "working" else "finished"}
        if name == "working":
            words["at"] = "2026-11-01T10:00:00Z"
        (path / "events.jsonl").write_text(json.dumps({**words, "exit_code": 0}) + "\n")
        (path / "journal.sqlite").touch()
    with RunDir(tmp_path / "runs" / "working").locked():
        found = reader.read_all([tmp_path / "runs"], now_s=NOW_S)
    assert [(each.name, each.standing) for each in found.values()] == [
        ("working", Standing.SENDING),
        ("newer", Standing.FINISHED),
        ("older", Standing.FINISHED),
    ]


def test_looking_takes_no_lock_from_a_run_and_writes_nothing(
    reader: RunReader, plan: Plan, chronicle: Chronicle
) -> None:
    begin(chronicle)
    chronicle.leave()
    chronicle._thread.join()
    settle(plan)
    before = {path.name: path.stat().st_mtime_ns for path in plan.run_dir.path.iterdir()}
    look(reader, plan)
    with plan.run_dir.locked():
        pass
    after = {path.name: path.stat().st_mtime_ns for path in plan.run_dir.path.iterdir()}
    assert set(after) - set(before) <= {"journal.sqlite-shm", "journal.sqlite-wal", "run.lock"}
    assert {name: after[name] for name in before if not name.startswith(("journal", "run.lock"))} == {
        name: at for name, at in before.items() if not name.startswith(("journal", "run.lock"))
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_directory_that_may_not_be_read_is_passed_over(reader: RunReader, plan: Plan) -> None:
    plan.run_dir.path.chmod(0)
    try:
        assert reader.read_all([plan.run_dir.path.parent], now_s=NOW_S) == {}
    finally:
        plan.run_dir.path.chmod(0o700)
