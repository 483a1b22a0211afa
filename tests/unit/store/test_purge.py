"""Purging: personal data go whatever stands in the way, counts stay, and the campaign is never sent again."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.plans import T0, accepted, attempt, child_of, claim, divided, make_plan, people, phone, record, rejected

from broadcaster.app import purge as purging
from broadcaster.app.inspect import rebuild, status, verify
from broadcaster.app.purge import purge
from broadcaster.app.retry import add_retry
from broadcaster.core.words import Mode
from broadcaster.errors import BelongsToAnother, StoppedEarly, StoreDamaged
from broadcaster.store import account
from broadcaster.store.account import Launch, mark_purged, register
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import MANIFEST, read_manifest
from broadcaster.store.parquet import writing
from broadcaster.store.plan import Plan
from broadcaster.store.purge import clean_codes, count_rows, read_record, remove_files, scrub
from broadcaster.store.rundir import RunDir

NAMES = ("Adalberta", "Beatrix")
LAUNCH = Launch(
    account="a" * 64, mode="live", campaign="spring-sale", run="run-1", run_dir=Path("runs/x"), keys_sha256="k" * 64
)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A finished run with somebody accepted, refused by name and all together, and excluded."""
    named = [{**row, "id": f"customer-{row['id']}"} for row in people(8, name=NAMES)]
    rows = [*named, {"id": "secret-id", "mobile": "+1 415 55", "name": "Clementina"}]
    plan = make_plan(tmp_path, rows, {"message": {"parameters": {"name": "{name}"}}}, batch_size=4, mode=Mode.SIMULATED)
    one, two = plan.read_batches()
    child, whole = child_of(plan, one, [0, 2], number=-1)
    record(
        plan,
        claim(0),
        divided(one, blamed=[1, 3], children=[child]),
        claim(-1),
        attempt(1),
        accepted(whole, ids={to: f"message-{n}" for n, to in enumerate(whole.to)}),
        claim(1),
        rejected(two, code="Number +14155550105 is bad", sentence=f"{phone(5)} is bad"),
    )
    with closing(sqlite3.connect(plan.run_dir.journal)) as db, db:
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("account", LAUNCH.account), ("run", LAUNCH.run)])
    (plan.run_dir.simulator).write_bytes(phone(3).encode())
    return plan.run_dir


def bytes_of(run_dir: RunDir) -> dict[str, bytes]:
    """Return what the directory holds, without the files that SQLite makes for its readers."""
    files = (path for path in run_dir.path.rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files if not path.name.endswith(("-shm", "-wal"))}


def names_somebody(content: bytes) -> list[str]:
    """Return what in *content* says who somebody is."""
    words = [phone(n)[1:] for n in range(8)] + [
        *NAMES,
        "Clementina",
        "secret-id",
        "415 55",
        "customer-c",
        "f1-",
        "5550105",
    ]
    return [word for word in words if word.encode() in content]


def is_clean(run_dir: RunDir) -> None:
    assert sorted(path.name for path in run_dir.path.iterdir()) == [
        "manifest.parquet",
        "purged.json",
        "report.html",
        "run.lock",
        "summary.json",
    ]
    for name, content in bytes_of(run_dir).items():
        assert names_somebody(content) == [], name
    for row in pq.read_table(run_dir.manifest).to_pylist():  # Parquet compresses: look inside as well
        assert names_somebody(repr(row).encode()) == []


def test_nothing_names_anybody_any_more_and_the_counts_stay(run: RunDir) -> None:
    before = tally(Plan.open(run), Facts.read(Plan.open(run)))
    with run.locked():
        purged = purge(run)

    is_clean(run)
    assert purged.left == ()
    assert purged.record.done
    assert (before.accepted, before.rejected, before.excluded) == (2, 6, 1)
    assert status(run.path).conclusion.counts == before
    assert purged.record.rows == [
        {"status": "accepted", "reason": None, "channel": "auto", "rows": 2},
        {"status": "excluded", "reason": "invalid_number", "channel": "auto", "rows": 1},
        {"status": "rejected", "reason": "VALIDATION_002", "channel": "auto", "rows": 2},
        {"status": "rejected", "reason": "other", "channel": "auto", "rows": 4},
    ]
    assert purged.record.summary["batches"]["refusals"] == {"VALIDATION_002": 1, "other": 1}
    assert json.loads(run.summary.read_bytes()) == purged.record.summary


def test_a_purged_manifest_is_still_a_manifest(run: RunDir) -> None:
    with run.locked():
        purge(run)
    frame = read_manifest(run.path)

    assert list(frame["input_row"]) == list(range(9))
    assert frame["message_id"].notna().sum() == 2
    for name in ("recipient_id", "phone_input", "to", "error", "idempotency_key"):
        assert frame[name].isna().all(), name


@pytest.mark.parametrize("step", ["mark_purged", "scrub", "write_summary", "remove_files", "write_record"])
def test_a_purge_that_stops_anywhere_is_finished_by_the_next(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It stops when *step* is over, as a kill would stop it; ``write_record`` stops it at the very beginning."""
    home: Any = account if step == "mark_purged" else purging
    real: Any = getattr(home, step)

    def last(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, run.locked():
        patch.setattr(home, step, last)
        with pytest.raises(KeyboardInterrupt):
            purge(run)
    begun = read_record(run)
    assert begun is not None
    assert not begun.done
    refuses_everything(run)
    with run.locked():
        ended = purge(run)

    is_clean(run)
    assert ended.record.done
    assert (ended.record.rows, ended.record.purged_at) == (begun.rows, begun.purged_at)


def refuses_everything(run_dir: RunDir) -> None:
    for use in (lambda: Plan.open(run_dir), lambda: verify(run_dir.path), lambda: rebuild(run_dir.path)):
        with pytest.raises(BelongsToAnother, match="was purged"):
            use()


def test_a_purged_run_is_purged_again_without_a_change(run: RunDir) -> None:
    with run.locked():
        first = purge(run)
        before = bytes_of(run)
        assert purge(run) == first

    assert {name: content for name, content in bytes_of(run).items() if name != "manifest.parquet"} == {
        name: content for name, content in before.items() if name != "manifest.parquet"
    }
    refuses_everything(run)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        pytest.param(
            [], "nothing of .* was sent yet .4 deliveries are pending.*delete the directory", id="only planned"
        ),
        pytest.param([claim(0)], "2 deliveries are pending and 2 in doubt", id="in doubt and pending"),
        pytest.param(
            [claim(0), claim(1)], "0 deliveries are pending and 4 in doubt.*broadcaster resolve", id="in doubt"
        ),
    ],
)
def test_a_run_that_is_not_over_is_not_purged(tmp_path: Path, facts: list[Any], words: str) -> None:
    plan = make_plan(tmp_path, people(4), batch_size=2)
    record(plan, *facts)
    before = bytes_of(plan.run_dir)

    with pytest.raises(StoppedEarly, match=words):
        purge(plan.run_dir)
    assert bytes_of(plan.run_dir) == before


def test_a_retry_that_is_not_sent_yet_keeps_the_run_from_being_purged(run: RunDir) -> None:
    assert add_retry(Plan.open(run)) is not None

    with pytest.raises(StoppedEarly, match="6 deliveries are pending"):
        purge(run)


def test_files_of_somebody_else_are_left_and_named(run: RunDir) -> None:
    ours = [
        "plan-12.parquet",
        "batches-1.parquet",
        "journal.sqlite-wal",
        "receipts.sqlite",
        "events.jsonl",
    ]
    theirs = ["plan for monday.txt", "failed (copy).csv", "planning.json"]
    for name in (*ours, *theirs):
        (run.path / name).write_bytes(b"x")
    (run.path / ".broadcaster-left").mkdir()

    assert remove_files(run) == tuple(sorted(theirs))
    assert [path.name for path in run.path.iterdir() if path.name in ours or path.is_dir()] == []


def test_a_column_that_nobody_has_decided_about_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    cells: dict[str, Any] = {name: [None] for name in MANIFEST.names} | {
        "input_row": [3], "to": [phone(1)], "status": ["accepted"], "reason": ["VALIDATION_002"],
        "delivery_reason": [f"{phone(1)} is unreachable"], "delivery_status": ["failed"],
    }  # fmt: skip
    table = pa.Table.from_pydict(cells, schema=MANIFEST).append_column("contact_id", pa.array(["C-77"]))
    with writing(path, table.schema, note={"remark": phone(1)}) as writer:
        writer.write_table(table)
    scrub(path)

    (row,) = pq.read_table(path).to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "input_row": 3, "status": "accepted", "reason": "VALIDATION_002", "delivery_reason": "other",
        "delivery_status": "failed",
    }  # fmt: skip
    assert phone(1).encode() not in path.read_bytes()
    assert pq.read_schema(path).names == table.schema.names


@pytest.mark.parametrize(
    ("code", "kept"),
    [
        pytest.param("VALIDATION_002", "VALIDATION_002", id="a code of the API"),
        pytest.param("http_500", "http_500", id="a status"),
        pytest.param("no_answer", "no_answer", id="a word of ours"),
        pytest.param("14155550105", "other", id="a number"),
        pytest.param("BAD_4155550105", "other", id="a number in a code"),
        pytest.param("Ada is unknown", "other", id="a sentence"),
    ],
)
def test_reasons_stay_as_far_as_they_are_codes(code: str, kept: str) -> None:
    assert clean_codes({code: 2}) == {kept: 2}


def test_rows_are_counted_over_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    statuses = ["accepted", "rejected", "accepted", "accepted"]
    cells: dict[str, Any] = {name: [None] * 4 for name in MANIFEST.names} | {"status": statuses, "channel": ["sms"] * 4}
    with writing(path, MANIFEST) as writer:
        writer.write_table(pa.Table.from_pydict(cells, schema=MANIFEST), row_group_size=1)

    assert [(each["status"], each["rows"]) for each in count_rows(path)] == [("accepted", 3), ("rejected", 1)]


def test_the_campaign_of_a_purged_run_is_never_sent_again(run: RunDir) -> None:
    """Not even with the same plan inside the window, whose keys would protect."""
    register(LAUNCH, now_us=T0, window_s=3600)
    with run.locked():
        purge(run)

    for name in ("run-1", "run-2"):
        again = Launch(
            account=LAUNCH.account,
            mode="simulated",
            campaign="spring-sale",
            run=name,
            run_dir=run.path / "again",
            keys_sha256=LAUNCH.keys_sha256,
        )
        with pytest.raises(BelongsToAnother, match="personal data were purged"):
            register(again, now_us=T0 + 1, window_s=3600)


def test_a_purge_is_registered_without_a_launch_before_it_and_twice_is_once() -> None:
    mark_purged(LAUNCH, now_us=T0)
    mark_purged(LAUNCH, now_us=T0 + 1)

    with pytest.raises(BelongsToAnother, match="purged"):
        register(LAUNCH, now_us=T0 + 2, window_s=3600)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param(b"{", StoreDamaged, id="cut off"),
        pytest.param(b'{"version": 1}', StoreDamaged, id="half of it"),
        pytest.param(b'{"version": 2}', BelongsToAnother, id="of a later version"),
    ],
)
def test_a_record_that_cannot_be_read_is_not_taken_for_none(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    (tmp_path / "purged.json").write_bytes(content)

    with pytest.raises(error, match=r"purged\.json"):
        read_record(RunDir(tmp_path))
