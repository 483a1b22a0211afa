"""``events.jsonl`` and ``metrics.prom``: whole lines in order, whatever the disk does, in forms that others read."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from support import exposition as strict

from broadcaster.store.events import EventFile, read_at, read_events, tell_once, written_at
from broadcaster.store.metrics import Metric, exposition, read_metrics, write_metrics

AT = 1_764_580_000_123_456


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tell(file: EventFile, *names: str) -> None:
    for name in names:
        file.tell(name, {"n": len(name)}, at_us=AT)


def test_every_event_is_a_line_in_the_order_of_telling(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    tell(file, "planned", "started")
    assert file.write()
    tell(file, "finished")
    assert file.write(durably=True)
    assert lines(path) == [
        {"at": "2025-12-01T09:06:40.123Z", "event": name, "n": len(name)} for name in ("planned", "started", "finished")
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_moment_is_read_as_it_was_written() -> None:
    assert read_at({"at": written_at(AT)}) == pytest.approx(AT / 1e6, abs=0.001)
    assert read_at({"at": "yesterday"}) == read_at({}) == read_at({"at": 5}) == 0.0


def test_a_second_process_goes_on_behind_the_first_and_behind_its_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tell_once(path, "planned", {})
    with path.open("ab") as file:
        file.write(b'{"at":"2025-12-01T09:06:40Z","event":"prog')
    tell_once(path, "started", {})
    assert [each["event"] for each in read_events(path)] == ["planned", "started"]
    assert path.read_bytes().count(b"\n") == 3


def test_what_the_disk_refuses_is_written_when_it_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "not there yet" / "events.jsonl"
    file = EventFile(path)
    tell(file, "started", "progress")
    assert not file.write(durably=True)
    path.parent.mkdir()
    tell(file, "finished")
    assert file.write(durably=True)
    assert [each["event"] for each in lines(path)] == ["started", "progress", "finished"]


def test_a_disk_that_takes_half_a_line_gets_the_whole_line_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    tell(file, "started", "finished")
    whole = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, line: whole(descriptor, line[:10]))
        assert not file.write()
    assert file.write()
    assert [each["event"] for each in read_events(path)] == ["started", "finished"]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a directory", "a pipe"])
def test_what_is_no_file_takes_no_events_and_keeps_nobody_waiting(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "events.jsonl"
    make(path)
    assert not tell_once(path, "planned", {})


def test_a_disk_that_never_gives_way_costs_no_more_memory_than_a_thousand_lines(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "nowhere" / "events.jsonl")
    for _ in range(5000):
        tell(file, "progress")
        assert not file.write()
    assert repr(file).endswith("1000 lines owed>")


def test_a_reader_looks_at_the_end_only_and_passes_over_what_is_no_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    tell(file, *(f"e{n:05}" for n in range(2000)))
    file.write()
    with path.open("ab") as raw:
        raw.write(b'\xff\xfe\n[1]\n{"event":"x"}\n{"at":"2025-12-01T09:06:40Z","event":5}\n' + b"[" * 5000 + b"\n\n")
    found = [each["event"] for each in read_events(path, tail=20_000)]
    assert found == [f"e{n:05}" for n in range(2000 - len(found), 2000)]
    assert 100 < len(found) < 500


@pytest.mark.parametrize("make", [str, Path.mkdir, os.mkfifo], ids=["nothing", "a directory", "a pipe"])
def test_what_is_no_file_has_no_events_and_keeps_nobody_waiting(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "events.jsonl"
    make(path)
    assert read_events(path) == []


METRICS = [
    Metric(
        name="broadcaster_deliveries",
        kind="gauge",
        help="Deliveries.",
        samples=[({"status": "accepted"}, 12), ({"status": "in_doubt"}, 0)],
    ),
    Metric(name="broadcaster_requests_total", kind="counter", help="Requests.", samples=[({}, 7)]),
    Metric(name="broadcaster_run_updated_timestamp_seconds", kind="gauge", help="When.", samples=[({}, 1.5e9 + 0.25)]),
]


def test_figures_are_read_by_a_strict_reader_as_they_are(tmp_path: Path) -> None:
    awkward = 'a "b" \\ c\nd } , status="x"'
    found = strict.read(exposition(METRICS, labels={"campaign": awkward, "mode": "live"}))
    common = {("campaign", awkward), ("mode", "live")}
    assert found["broadcaster_deliveries"].samples == {
        frozenset(common | {("status", "accepted")}): 12,
        frozenset(common | {("status", "in_doubt")}): 0,
    }
    assert (found["broadcaster_requests_total"].kind, found["broadcaster_deliveries"].kind) == ("counter", "gauge")
    path = tmp_path / "metrics.prom"
    assert write_metrics(path, exposition(METRICS, labels={"campaign": "spring", "mode": "live"}))
    assert read_metrics(path) == {
        ("broadcaster_deliveries", "accepted"): 12,
        ("broadcaster_deliveries", "in_doubt"): 0,
        ("broadcaster_requests_total", ""): 7,
        ("broadcaster_run_updated_timestamp_seconds", ""): 1.5e9 + 0.25,
    }


def test_figures_are_replaced_as_a_whole_and_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "metrics.prom"
    assert write_metrics(path, "first\n")
    with path.open(encoding="utf-8") as reader:
        assert write_metrics(path, "second\n")
        assert reader.read() == "first\n"
    assert path.read_text(encoding="utf-8") == "second\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    path.mkdir()
    (path / "taken").touch()
    assert not write_metrics(path, "third\n")
    assert [each.name for each in tmp_path.iterdir()] == ["metrics.prom"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"# only words\n", b'x{a="1"} NaN-ish\n', b"x 5\n"])
def test_figures_that_are_not_ours_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.prom"
    path.write_bytes(content)
    assert read_metrics(path) == {}
    assert read_metrics(tmp_path / "nothing") == {}
