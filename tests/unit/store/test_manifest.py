"""The manifest: one row per input row and channel, whatever became of it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.plans import (
    SECOND,
    T0,
    Settling,
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
)

from broadcaster.core.values import Batch
from broadcaster.core.words import Status
from broadcaster.errors import StoreDamaged, StoreError
from broadcaster.planning import rowtable
from broadcaster.store import manifest, spill
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import Made, build_manifest, clashes_if_current, read_manifest
from broadcaster.store.plan import Plan

# design.md §3, "Manifest": names and types that scripts depend on.
COLUMNS = {
    "input_row": "int64",
    "recipient_id": "string",
    "phone_input": "string",
    "to": "string",
    "channel": "string",
    "status": "string",
    "reason": "string",
    "error": "string",
    "message_id": "string",
    "idempotency_key": "string",
    "request_id": "string",
    "http_status": "int32",
    "attempts": "int32",
    "first_attempt_at": "timestamp[us, tz=UTC]",
    "settled_at": "timestamp[us, tz=UTC]",
    "delivery_status": "string",
    "delivery_channel": "string",
    "delivery_reason": "string",
    "delivery_updated_at": "timestamp[us, tz=UTC]",
    "part": "int16",
}
BOTH: dict[str, dict[str, Any]] = {"message": {"channels": ["whatsapp", "sms"]}}

Row = dict[str, Any]


def build(plan: Plan) -> Made:
    return build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)


def rows_of(plan: Plan) -> list[Row]:
    """Build the manifest; the counts that it reports are checked against its rows and the journal's tally."""
    made = build(plan)
    rows: list[Row] = pq.read_table(plan.run_dir.manifest).to_pylist()
    counted = tally(plan, Facts.read(plan))
    for status in Status:
        assert made.counts[status] == getattr(counted, status) == sum(row["status"] == status for row in rows), status
    assert made.clashes == 0
    return rows


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp((T0 + seconds * SECOND) / SECOND, tz=UTC)


def pick(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def accepted_with(batch: Batch, body: bytes) -> Settling:
    settling = accepted(batch)
    return replace(settling, outcome=replace(settling.outcome, answer=body))


def test_the_schema_is_exactly_the_documented_one(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(1))
    build(plan)

    assert {field.name: str(field.type) for field in pq.read_schema(plan.run_dir.manifest)} == COLUMNS


def test_a_plan_of_which_nothing_was_sent_is_pending_and_excluded(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [*people(1), {"id": "x", "mobile": ""}, {"id": "y", "mobile": " (415) 555-0100"}])
    (batch,) = plan.read_batches()
    pending, invalid, duplicate = rows_of(plan)

    nothing = dict.fromkeys(COLUMNS)
    assert pending == nothing | {
        "input_row": 0,
        "recipient_id": "c0",
        "phone_input": phone(0),
        "to": phone(0),
        "channel": "auto",
        "status": "pending",
        "idempotency_key": batch.key,
        "attempts": 0,
        "part": 0,
    }
    assert invalid == nothing | {
        "input_row": 1,
        "recipient_id": "x",
        "phone_input": "",
        "channel": "auto",
        "status": "excluded",
        "reason": "invalid_number",
        "error": invalid["error"],
        "part": 0,
    }
    assert invalid["error"]
    assert duplicate == nothing | {
        "input_row": 2,
        "recipient_id": "y",
        "phone_input": " (415) 555-0100",
        "to": phone(0),
        "channel": "auto",
        "status": "excluded",
        "reason": "duplicate",
        "error": "the same number as input row 0",
        "part": 0,
    }


def test_an_accepted_delivery_has_its_message_id_and_its_answers_words(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(3), batch_size=2)
    first, second = plan.read_batches()
    record(plan, claim(0), accepted(first), claim(1), accepted(second))
    rows = rows_of(plan)

    assert [row["message_id"] for row in rows] == [message_id(phone(n), "auto") for n in range(3)]
    assert [row["request_id"] for row in rows] == ["req-0", "req-0", "req-1"]
    for row in rows:
        assert pick(row, "status", "reason", "error", "http_status", "attempts") == ("accepted", None, None, 202, 1)
        assert pick(row, "first_attempt_at", "settled_at") == (at(1), at(2))
    assert [row["idempotency_key"] for row in rows] == [first.key, first.key, second.key]


def test_a_rejected_delivery_says_why_and_has_no_message_id(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    (only,) = plan.read_batches()
    record(plan, claim(0), rejected(only, code="BUSINESS_003", sentence="no balance", attempts=3))

    for row in rows_of(plan):
        assert pick(row, "status", "reason", "error") == ("rejected", "BUSINESS_003", "no balance")
        assert pick(row, "message_id", "http_status", "attempts", "request_id") == (None, 422, 3, "req-0")
        assert pick(row, "first_attempt_at", "settled_at") == (at(3), at(4))


def test_a_claim_without_an_outcome_is_in_doubt_and_says_what_is_known(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), batch_size=1)
    record(plan, claim(0, at_s=7), claim(1, at_s=7), attempt(1, 1, at_s=7, http=503, code="SERVICE_001"))
    bare, tried = rows_of(plan)

    assert pick(bare, "status", "reason", "attempts", "http_status") == ("in_doubt", "no_answer", 1, None)
    assert "no answer is known" in bare["error"]
    assert pick(bare, "first_attempt_at", "settled_at") == (at(7), None)
    assert pick(tried, "status", "reason", "error") == ("in_doubt", "SERVICE_001", "attempt 1 of batch 1")
    assert pick(tried, "attempts", "http_status", "first_attempt_at") == (1, 503, at(7))


def test_an_attempt_whose_claim_was_taken_back_is_pending_and_counted(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(1))
    record(plan, attempt(0, 1, at_s=2, http=429), attempt(0, 2, at_s=5, http=429))
    (row,) = rows_of(plan)

    assert pick(row, "status", "attempts", "http_status", "first_attempt_at") == ("pending", 2, 429, at(2))


def test_channels_are_sorted_and_each_has_its_own_message_id(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [*people(2), {"id": "x", "mobile": "none"}], BOTH)
    (only,) = plan.read_batches()
    record(plan, accepted(only))
    rows = rows_of(plan)

    assert [pick(row, "input_row", "channel", "message_id") for row in rows] == [
        (0, "sms", message_id(phone(0), "sms")),
        (0, "whatsapp", message_id(phone(0), "whatsapp")),
        (1, "sms", message_id(phone(1), "sms")),
        (1, "whatsapp", message_id(phone(1), "whatsapp")),
        (2, "sms", None),
        (2, "whatsapp", None),
    ]


def test_rows_that_an_answer_does_not_mention_are_in_doubt_and_the_others_are_not(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), BOTH)
    (only,) = plan.read_batches()
    record(plan, accepted(only, without=[(phone(0), "sms"), (phone(1), "whatsapp")]))
    rows = rows_of(plan)

    assert [pick(row, "status", "reason", "message_id") for row in rows] == [
        ("in_doubt", "missing_in_answer", None),
        ("accepted", None, message_id(phone(0), "whatsapp")),
        ("accepted", None, message_id(phone(1), "sms")),
        ("in_doubt", "missing_in_answer", None),
    ]
    assert {row["request_id"] for row in rows} == {"req-0"}


def test_a_split_rejects_whom_the_api_named_and_the_others_follow_their_children(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(8), BOTH)
    (parent,) = plan.read_batches()
    first, first_batch = child_of(plan, parent, [0, 2, 3, 5, 6, 7], number=-1)
    second, second_batch = child_of(plan, first_batch, [0, 1], number=-2)  # rows 0 and 2
    third, third_batch = child_of(plan, first_batch, [2], number=-3)  # row 3
    fourth, _ = child_of(plan, first_batch, [4, 5], number=-4)  # rows 6 and 7
    record(
        plan,
        divided(parent, blamed=[1, 4], children=[first]),
        divided(first_batch, blamed=[3], children=[second, third, fourth]),
        claim(-2),
        accepted(second_batch, without=[(phone(2), "sms")]),
        claim(-3),
    )
    rows = rows_of(plan)
    by_row = {n: [row for row in rows if row["input_row"] == n] for n in range(8)}

    assert {n: [row["status"] for row in by_row[n]] for n in range(8)} == {
        0: ["accepted", "accepted"],
        1: ["rejected", "rejected"],
        2: ["in_doubt", "accepted"],
        3: ["in_doubt", "in_doubt"],
        4: ["rejected", "rejected"],
        5: ["rejected", "rejected"],
        6: ["pending", "pending"],
        7: ["pending", "pending"],
    }
    assert {row["reason"] for n in (1, 4, 5) for row in by_row[n]} == {"VALIDATION_002"}
    assert {row["error"] for n in (1, 4, 5) for row in by_row[n]} == {"the number is not valid"}
    keys = {n: {row["idempotency_key"] for row in by_row[n]} for n in range(8)}
    assert (keys[0], keys[1], keys[3]) == ({second_batch.key}, {parent.key}, {third_batch.key})
    assert (keys[5], keys[6]) == ({first_batch.key}, {fourth.key})
    assert [row["message_id"] for row in by_row[0]] == [message_id(phone(0), each) for each in ("sms", "whatsapp")]


def test_rows_find_their_outcome_over_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowtable, "ROW_GROUP", 4)
    monkeypatch.setattr(spill, "ROW_SHIFT", 2)
    tables = {"message": {"parameters": {"name": "{name}"}, "channels": ["whatsapp", "sms"]}}
    plan = make_plan(tmp_path, people(23, name=["Ada", "Bea", "Cid"]), tables, batch_size=3)
    batches = list(plan.read_batches())
    record(plan, *(accepted(batch) if batch.id % 2 else rejected(batch) for batch in batches[:-1]))
    fate = {to: (batch.id, batch.key) for batch in batches for to in batch.to}
    rows = rows_of(plan)

    assert [pick(row, "input_row", "channel") for row in rows] == [
        (n, channel) for n in range(23) for channel in ("sms", "whatsapp")
    ]
    for row in rows:
        batch, key = fate[row["to"]]
        expected = "pending" if batch == batches[-1].id else "accepted" if batch % 2 else "rejected"
        sent = message_id(row["to"], row["channel"]) if expected == "accepted" else None
        assert pick(row, "status", "idempotency_key", "message_id") == (expected, key, sent), row["input_row"]


def test_an_extension_follows_with_its_own_input_rows_and_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowtable, "ROW_GROUP", 2)
    monkeypatch.setattr(spill, "ROW_SHIFT", 1)
    make_plan(tmp_path, people(3), batch_size=2)
    plan = extend_plan(tmp_path, people(8), batch_size=2)
    batches = list(plan.read_batches())
    record(plan, *map(accepted, batches[:3]))
    rows = rows_of(plan)

    assert [pick(row, "part", "input_row", "to") for row in rows] == [
        *((0, n, phone(n)) for n in range(3)),
        *((1, n, phone(n)) for n in range(3, 8)),
    ]
    assert [row["status"] for row in rows] == ["accepted"] * 5 + ["pending"] * 3
    assert [row["message_id"] for row in rows[:5]] == [message_id(phone(n), "auto") for n in range(5)]


def test_a_number_that_the_api_wrote_in_another_way_keeps_our_form(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    (only,) = plan.read_batches()
    settling = accepted(only)
    assert settling.outcome.answer is not None
    body = settling.outcome.answer.replace(phone(1).encode(), b"+1 (415) 555-0101")
    record(plan, accepted_with(only, body))
    rows = rows_of(plan)

    assert [row["to"] for row in rows] == [phone(0), phone(1)]
    assert rows[1]["status"] == "accepted"


def test_an_answer_that_cannot_be_read_is_damage_and_leaves_the_old_manifest(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    build(plan)
    before = plan.run_dir.manifest.read_bytes()
    (only,) = plan.read_batches()
    record(plan, accepted_with(only, b'{"success":true'))

    with pytest.raises(StoreDamaged, match="the answer to batch 0 cannot be read"):
        build(plan)
    assert plan.run_dir.manifest.read_bytes() == before
    assert not list(plan.run_dir.path.glob(".manifest*"))


def test_message_ids_that_stand_twice_over_the_run_are_counted(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(6), batch_size=2)
    one, two, three = plan.read_batches()
    record(plan, accepted(one), accepted(two, ids={phone(2): message_id(phone(0), "auto")}), accepted(three))

    assert build(plan).clashes == 1


def test_building_again_makes_the_same_bytes(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(5), BOTH, batch_size=2)
    one, two, three = plan.read_batches()
    record(plan, accepted(one), rejected(two), claim(three.id))
    build(plan)
    first = plan.run_dir.manifest.read_bytes()
    build(plan)

    assert plan.run_dir.manifest.read_bytes() == first
    assert plan.run_dir.manifest.stat().st_mode & 0o777 == 0o600
    assert not list(plan.run_dir.path.glob(".*"))


def test_a_manifest_is_current_until_plan_or_journal_say_more(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(4), batch_size=2)
    one, two = plan.read_batches()
    seen = [clashes_if_current(plan) == 0]
    build(plan)
    seen.append(clashes_if_current(plan) == 0)
    for fact in (claim(0), attempt(0), accepted(one), claim(1), divided(two, blamed=[0, 1])):
        record(plan, fact)
        seen.append(clashes_if_current(plan) == 0)
        build(plan)
        seen.append(clashes_if_current(plan) == 0)
    longer = extend_plan(tmp_path, people(5), batch_size=2)
    seen.append(clashes_if_current(longer) == 0)

    assert seen == [False, True] + [False, True] * 5 + [False]


def test_a_disk_that_refuses_leaves_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make_plan(tmp_path, people(2))
    build(plan)
    before = plan.run_dir.manifest.read_bytes()
    (only,) = plan.read_batches()
    record(plan, accepted(only))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "_join", refuse)
    with pytest.raises(StoreError, match="No space left"):
        build(plan)
    assert plan.run_dir.manifest.read_bytes() == before
    assert clashes_if_current(plan) is None
    assert not list(plan.run_dir.path.glob(".*"))


def test_a_disk_that_is_full_in_the_first_pass_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(tmp_path, people(2))
    (only,) = plan.read_batches()
    record(plan, accepted(only))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill.Spill, "_writer", refuse)
    with pytest.raises(StoreError, match="No space left"):
        build(plan)


@pytest.mark.parametrize("column", ["input_row", "to", "status", "message_id", "settled_at"])
def test_a_flipped_byte_is_found_and_never_read_as_another_value(tmp_path: Path, column: str) -> None:
    plan = make_plan(tmp_path, people(60), BOTH, batch_size=7)
    record(plan, *map(accepted, plan.read_batches()))
    build(plan)
    with pq.ParquetFile(plan.run_dir.manifest) as file:
        chunk = file.metadata.row_group(0).column(list(COLUMNS).index(column))
    last_byte = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1
    content = bytearray(plan.run_dir.manifest.read_bytes())
    content[last_byte] ^= 0x10
    plan.run_dir.manifest.write_bytes(content)

    with pytest.raises(StoreDamaged, match="CRC"):
        read_manifest(plan.run_dir.path)


def test_pandas_gets_nullable_strings_and_integers(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [*people(2), {"id": "x", "mobile": "none"}])
    (only,) = plan.read_batches()
    record(plan, accepted(only))
    build(plan)
    frame = read_manifest(plan.run_dir.path)

    texts = [name for name, kind in COLUMNS.items() if kind == "string"]
    assert list(frame.columns) == list(COLUMNS)
    assert {frame[name].dtype for name in texts} == {pd.StringDtype()}
    assert {name: str(frame[name].dtype) for name in ("input_row", "http_status", "attempts", "part")} == {
        "input_row": "Int64",
        "http_status": "Int32",
        "attempts": "Int32",
        "part": "Int16",
    }
    assert str(frame["settled_at"].dtype) == "datetime64[us, UTC]"
    assert frame["http_status"].isna().tolist() == [False, False, True]
    assert frame["to"].isna().tolist() == [False, False, True]
    assert frame.loc[0, "to"] == phone(0)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match=r"manifest\.parquet"):
        read_manifest(tmp_path)
