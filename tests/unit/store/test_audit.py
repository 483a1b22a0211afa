"""``verify``: each thing that can be tampered with is named, and nothing is named where nothing is wrong."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.plans import (
    accepted,
    attempt,
    child_of,
    claim,
    divided,
    extend_plan,
    make_plan,
    message_id,
    people,
    phone,
    record,
    rejected,
    reseal,
)

from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts
from broadcaster.store.manifest import build_manifest
from broadcaster.store.parquet import writing
from broadcaster.store.plan import Plan

BOTH: dict[str, dict[str, Any]] = {"message": {"channels": ["sms", "whatsapp"], "parameters": {"name": "{name}"}}}
Tamper = Callable[[Plan], object]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A run with everything in it: accepted, rejected, split, in doubt, pending, excluded, an extension."""
    rows = [*people(16, name=["Ada"]), {"id": "x", "mobile": "none", "name": "Ada"}]
    make_plan(tmp_path, rows, BOTH, batch_size=4)
    plan = extend_plan(tmp_path, [*rows, *people(20, name=["Ada"])[16:]], BOTH, batch_size=4)
    one, two, three, *_ = plan.read_batches()
    child, child_batch = child_of(plan, three, [1, 3], number=-1)
    record(
        plan,
        *map(claim, range(4)),
        accepted(one, without=[(phone(1), "sms")]),
        rejected(two),
        divided(three, blamed=[0, 2], children=[child]),
        claim(-1),
        accepted(child_batch),
        attempt(3),
    )
    build(plan)
    return plan


def build(plan: Plan) -> None:
    build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)


def sql(*statements: str, rebuild: bool = False) -> Tamper:
    """Tamper with the journal; with *rebuild*, make the manifest agree."""

    def tamper(plan: Plan) -> None:
        with closing(sqlite3.connect(plan.run_dir.journal)) as db, db:
            for statement in statements:
                db.execute(statement)
            reseal(db)
        if rebuild:
            build(plan)

    return tamper


def manifest_cell(row: int, column: str, value: object) -> Tamper:
    """Write the manifest anew with one other cell, and with checksums that fit."""

    def tamper(plan: Plan) -> None:
        table = pq.read_table(plan.run_dir.manifest)
        cells = table[column].to_pylist()
        cells[row] = value
        at = table.schema.get_field_index(column)
        write(
            plan.run_dir.manifest,
            table.set_column(at, table.schema.field(column), pa.array(cells, table.schema.field(column).type)),
        )

    return tamper


def manifest_table(change: Callable[[pa.Table], pa.Table]) -> Tamper:
    return lambda plan: write(plan.run_dir.manifest, change(pq.read_table(plan.run_dir.manifest)))


def write(path: Path, table: pa.Table) -> None:
    with writing(path, table.schema) as writer:
        writer.write_table(table)


def batches_edited(change: Callable[[list[dict[str, Any]]], object]) -> Tamper:
    """Change the first part's batches and freeze the part and its successor anew, so that every digest fits."""

    def tamper(plan: Plan) -> None:
        path = plan.run_dir.batches(0)
        table = pq.read_table(path)
        rows = table.to_pylist()
        change(rows)
        write(path, pa.Table.from_pylist(rows, schema=table.schema))
        freeze_anew(plan)

    return tamper


def freeze_anew(plan: Plan) -> None:
    previous = None
    for part in range(len(plan.parts)):
        head = plan.run_dir.head(part)
        words = json.loads(head.read_bytes())
        words |= {"previous": previous, "checksum": None}
        words["sha256"] = {name: sha256(plan.run_dir.path / name) for name in words["sha256"]}
        head.write_text(json.dumps(words), encoding="utf-8")
        previous = sha256(head)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def id_of_another(plan: Plan) -> None:
    """Give a delivery the message id of another batch's, and make the manifest agree."""
    with closing(sqlite3.connect(plan.run_dir.journal)) as db, db:
        ((body,),) = db.execute("SELECT body FROM answer WHERE batch = -1").fetchall()
        body = body.replace(message_id(phone(9), "sms").encode(), message_id(phone(0), "sms").encode())
        db.execute("UPDATE answer SET body = ? WHERE batch = -1", (body,))
        reseal(db)
    build(plan)


def exchange(rows: list[dict[str, Any]]) -> None:
    """Give two batches each other's first recipient, rows and numbers alike: only the keys can tell."""
    for name in ("rows", "to"):
        rows[0][name][0], rows[1][name][0] = rows[1][name][0], rows[0][name][0]


def test_a_run_with_everything_in_it_passes(plan: Plan) -> None:
    found = audit(Plan.open(plan.run_dir))

    assert found.difference is None
    assert len(found.checked) == len(set(found.checked)) == 5
    assert not list(plan.run_dir.path.glob(".*"))


def test_a_plan_that_was_never_sent_passes(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(3))
    build(plan)

    assert audit(plan).difference is None


@pytest.mark.parametrize(
    ("tamper", "passed", "words"),
    [
        # The plan's files.
        pytest.param(
            lambda plan: append(plan.run_dir.rows(0), b"x"), 0, "plan.parquet is not the file", id="a byte more in rows"
        ),
        pytest.param(
            lambda plan: append(plan.run_dir.batches(1), b"x"),
            0,
            "batches-1.parquet is not the file",
            id="a later part",
        ),
        pytest.param(lambda plan: plan.run_dir.rows(0).unlink(), 0, "plan.parquet is missing", id="no rows"),
        # Membership.
        pytest.param(
            batches_edited(lambda rows: rows[1]["rows"].__setitem__(0, 0)),
            1,
            "repeats a row",
            id="a row in two batches",
        ),
        pytest.param(
            batches_edited(lambda rows: rows[0]["rows"].__setitem__(1, 0)), 1, "repeats a row", id="a row twice in one"
        ),
        pytest.param(
            batches_edited(lambda rows: rows[0]["rows"].__setitem__(0, 16)),
            1,
            "row 0 of the plan is in batch 0 by the one table and in -1 by the other",
            id="an excluded row in a batch",
        ),
        pytest.param(
            batches_edited(lambda rows: rows.pop(1)), 1, "row 4 of the plan is in batch 1", id="a batch that is gone"
        ),
        # Keys.
        pytest.param(
            batches_edited(lambda rows: rows[1].update(parameters='{"name":"Eve"}')),
            2,
            "batch 1 does not encode",
            id="another parameter",
        ),
        pytest.param(
            batches_edited(lambda rows: rows[0]["to"].__setitem__(2, "+14155550199")),
            2,
            "batch 0 does not encode",
            id="another number",
        ),
        pytest.param(
            batches_edited(lambda rows: rows[2].update(idempotency_key=rows[0]["idempotency_key"])),
            2,
            "batch 2 does not encode",
            id="another batch's key",
        ),
        # The journal.
        pytest.param(sql("INSERT INTO claim VALUES (99, 1, 1, 1, 1, 0)"), 3, "batch 99", id="a claim of nothing"),
        pytest.param(sql("INSERT INTO claim VALUES (-9, 1, 1, 1, 1, 0)"), 3, "batch -9", id="a claim of no child"),
        pytest.param(sql("DELETE FROM answer WHERE batch = 0"), 3, "batch 0 is accepted without", id="no answer"),
        pytest.param(
            sql("UPDATE outcome SET state = 'rejected' WHERE batch = 0"),
            3,
            "the other way round",
            id="an answer too many",
        ),
        pytest.param(sql("UPDATE outcome SET state = 'lost'"), 3, "does not fit the plan", id="an unknown state"),
        pytest.param(sql("UPDATE child SET parent = 77"), 3, "does not fit the plan", id="a child of nobody"),
        pytest.param(
            sql("UPDATE child SET positions = x'63000000'"),
            3,
            "does not fit the plan",
            id="a position beyond the parent",
        ),
        pytest.param(
            lambda plan: plan.run_dir.journal.write_bytes(b"x" * 4096), 3, "journal.sqlite", id="a journal that is none"
        ),
        pytest.param(sql("PRAGMA user_version = 9"), 3, "journal format 9", id="another format"),
        # The manifest.
        pytest.param(lambda plan: plan.run_dir.manifest.unlink(), 4, "is missing; 'broadcaster manifest", id="none"),
        pytest.param(manifest_cell(9, "status", "accepted"), 4, "row 9 has another status", id="another status"),
        pytest.param(manifest_cell(3, "message_id", "msg-x"), 4, "row 3 has another message_id", id="another id"),
        pytest.param(manifest_cell(0, "to", None), 4, "row 0 has another to", id="a number that is gone"),
        pytest.param(manifest_cell(41, "part", 0), 4, "row 41 has another part", id="another part"),
        pytest.param(manifest_table(lambda table: table.slice(1)), 4, "rows; plan and journal make", id="a row less"),
        pytest.param(
            manifest_table(lambda table: table.drop_columns(["error"])), 4, "other columns", id="a column less"
        ),
        pytest.param(
            manifest_table(lambda table: table.set_column(4, "channel", table["channel"].cast(pa.large_string()))),
            4,
            "other columns",
            id="a column of another type",
        ),
        pytest.param(
            sql("INSERT INTO attempt (batch, n, executed, crc) SELECT parent, 1, 'unknown', 0 FROM child LIMIT 1"),
            3,
            "split although an earlier attempt may have executed",
            id="a split after a doubt",
        ),
        pytest.param(lambda plan: append(plan.run_dir.manifest, b"x"), 4, "cannot be read", id="no Parquet any more"),
        pytest.param(sql("DELETE FROM claim WHERE batch = 3"), 4, "another status", id="a claim that is gone"),
        pytest.param(
            sql("UPDATE outcome SET missing = 0", rebuild=True), 4, "the journal has", id="a count that does not fit"
        ),
        pytest.param(sql("DELETE FROM blame", rebuild=True), 4, "rejected deliveries", id="nobody is blamed"),
        pytest.param(
            id_of_another,
            4,
            "1 message ids stand for more than one delivery",
            id="one id for two deliveries",
        ),
        pytest.param(
            sql("UPDATE answer SET body = x'7b7d' WHERE batch = -1"),
            4,
            "answer to batch -1 cannot be read",
            id="no answer to it",
        ),
        pytest.param(batches_edited(exchange), 1, "by the one table and in", id="two recipients exchanged"),
    ],
)
def test_what_was_tampered_with_is_named(plan: Plan, tamper: Tamper, passed: int, words: str) -> None:
    tamper(plan)
    found = audit(Plan.open(plan.run_dir))

    assert found.difference is not None
    assert words in found.difference
    assert len(found.checked) == passed
    assert not list(plan.run_dir.path.glob(".verify*"))


def test_a_manifest_in_other_row_groups_says_the_same(plan: Plan) -> None:
    table = pq.read_table(plan.run_dir.manifest)
    with writing(plan.run_dir.manifest, table.schema) as writer:
        writer.write_table(table, row_group_size=3)

    assert audit(plan).difference is None


def test_the_same_number_in_two_batches_is_named(plan: Plan) -> None:
    path = plan.run_dir.rows(0)
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[5]["to"] = rows[0]["to"]
    write(path, pa.Table.from_pylist(rows, schema=table.schema))
    freeze_anew(plan)

    assert "the same number in two batches" in (audit(Plan.open(plan.run_dir)).difference or "")


def test_a_run_whose_journal_is_gone_does_not_pass(plan: Plan) -> None:
    for path in plan.run_dir.path.glob("journal*"):
        path.unlink()

    assert "another status" in (audit(plan).difference or "")
