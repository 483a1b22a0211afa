"""A retry part: whom it has, how it is cut, and keys of a generation of its own."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.plans import TEMPLATE, accepted, claim, extend_plan, make_plan, people, phone, record, rejected

from broadcaster.app.retry import add_retry
from broadcaster.core.values import Batch
from broadcaster.errors import CountUnexpected, StoppedEarly
from broadcaster.planning.retry import preview_retry
from broadcaster.store.plan import Plan

NAMED: dict[str, dict[str, Any]] = {"message": {"channels": ["sms"], "parameters": {"name": "{name}"}}}


def settled(plan: Plan, *, refused: set[int]) -> Plan:
    """Settle what is not settled yet: *refused* batches are rejected, all others accepted."""
    open_batches = [batch for batch in plan.read_batches() if batch.id >= plan.parts[-1].head.first_batch]
    record(plan, *(claim(batch.id) for batch in open_batches))
    record(plan, *((rejected if batch.id in refused else accepted)(batch) for batch in open_batches))
    return plan


def again(plan: Plan, *, expect_recipients: int | None = None) -> Plan:
    longer = add_retry(plan, expect_recipients=expect_recipients)
    assert longer is not None
    return longer


def last(plan: Plan) -> list[tuple[Batch, list[int]]]:
    """Return the batches of the last part with their rows."""
    first = plan.parts[-1].head.first_batch
    return [(batch, rows.tolist()) for batch, rows in plan.read_with_rows() if batch.id >= first]


def test_rows_of_equal_parameters_meet_in_batches_no_larger_than_the_plans(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(9, name=["Ada", "Bea", "Ada"]), NAMED, batch_size=3)
    # Ada: rows 0 2 3 5 6 8 in batches 0 and 1; Bea: rows 1 4 7 in batch 2.
    longer = again(settled(plan, refused={0, 1, 2}))

    assert [(batch.id, rows, batch.parameters) for batch, rows in last(longer)] == [
        (3, [0, 2, 3], b'{"name":"Ada"}'),
        (4, [5, 6, 8], b'{"name":"Ada"}'),
        (5, [1, 4, 7], b'{"name":"Bea"}'),
    ]
    assert [batch.to for batch, _ in last(longer)] == [
        (phone(0), phone(2), phone(3)), (phone(5), phone(6), phone(8)), (phone(1), phone(4), phone(7)),
    ]  # fmt: skip


def test_groups_are_in_the_order_of_their_first_row_even_across_parts(tmp_path: Path) -> None:
    rows = people(6, name=["Ada", "Bea"])
    make_plan(tmp_path, rows[:4], NAMED, batch_size=2)
    settled(Plan.open(extend_plan(tmp_path, rows[:4], NAMED, batch_size=2).run_dir), refused={1})
    plan = settled(extend_plan(tmp_path, rows, NAMED, batch_size=2), refused={2, 3})
    longer = again(plan)

    # Refused: rows 1 and 3 (Bea, batch 1), then rows 4 (Ada) and 5 (Bea) of the extension.
    assert [(rows, batch.parameters) for batch, rows in last(longer)] == [
        ([1, 3], b'{"name":"Bea"}'), ([5], b'{"name":"Bea"}'), ([4], b'{"name":"Ada"}'),
    ]  # fmt: skip
    assert longer.parts[-1].head.generation == "r2"  # the number of the part, not of the retry
    assert not longer.run_dir.rows(2).exists()


def test_the_key_is_what_the_definition_says(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(2, name=["Ada"]), NAMED), refused={0})
    ((batch, _),) = last(again(plan))

    body = json.dumps(
        {
            "to": [phone(0), phone(1)],
            "channel": ["sms"],
            "template": {"id": TEMPLATE, "parameters": {"name": "Ada"}},
        },
        separators=(",", ":"),
    )
    scope = ["f1", "spring-sale", "r1", "live", "", "POST", "/v3/messages"]
    words = "\0".join([*scope, body])
    key = "f1-" + base64.b32encode(hashlib.sha256(words.encode()).digest()).decode().lower()[:40]
    assert batch.key == key
    assert batch.generation == "r1"
    assert batch.key != next(plan.read_batches()).key  # of the same body


def test_the_head_goes_on_with_the_numbers_and_brings_no_rows(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(5), batch_size=2), refused={0, 2})
    head = again(plan).parts[-1].head

    assert (head.kind, head.part, head.generation) == ("retry", 1, "r1")
    assert (head.rows, head.first_row, head.excluded, head.lists) == (0, 5, {}, ())
    assert (head.recipients, head.deliveries, head.batches, head.first_batch, head.largest_batch) == (3, 3, 2, 3, 2)
    assert (head.previous, list(head.sha256)) == (plan.fingerprint, ["batches-1.parquet"])
    assert head.identity == plan.head.identity


def test_a_plan_counts_everybody_once_however_often_they_are_retried(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(4), {"message": {"channels": ["sms", "rcs"]}}, batch_size=2), refused={1})
    longer = again(settled(again(plan), refused={2}))

    assert [part.head.generation for part in longer.parts] == ["0", "r1", "r2"]
    assert (longer.recipients, longer.deliveries, longer.rows, longer.batches) == (4, 8, 4, 4)
    assert longer.keys_sha256 not in {plan.keys_sha256, longer.head.keys_sha256}
    assert plan.keys_sha256 == plan.head.keys_sha256


def test_somebody_who_was_accepted_in_a_retry_is_not_retried_again(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(4), batch_size=1), refused={0, 2})
    second = settled(again(plan), refused={4})  # row 0 again; row 2 is accepted now

    assert [rows for _, rows in last(again(second))] == [[0]]


def test_the_preview_shows_the_retry_alone(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(4, name=["Ada", "Bea"]), NAMED, batch_size=2), refused={1})
    shown = preview_retry(again(plan), requests_per_minute=60, messages_per_minute=0)

    assert (shown.rows, shown.recipients, shown.requests, shown.messages, shown.excluded) == (2, 2, 1, 2, {})
    assert [parameters for _, parameters in shown.examples] == ['{"name":"Bea"}'] * 2


def test_nobody_refused_is_nothing_to_retry(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(3)), refused=set())

    assert add_retry(plan) is None
    assert len(Plan.open(plan.run_dir).parts) == 1


def test_a_run_with_something_pending_is_finished_first(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(4), batch_size=2)
    record(plan, claim(0), rejected(next(plan.read_batches())))

    with pytest.raises(StoppedEarly, match=r"2 deliveries are pending.*broadcaster resume"):
        add_retry(plan)
    assert not plan.run_dir.head(1).exists()


def test_what_is_in_doubt_is_left_alone_and_holds_up_nobody(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(4), batch_size=2)
    record(plan, claim(0), rejected(next(plan.read_batches())), claim(1))

    assert [rows for _, rows in last(again(plan))] == [[0, 1]]


def test_another_number_of_people_than_expected_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    plan = settled(make_plan(tmp_path, people(3)), refused={0})

    with pytest.raises(CountUnexpected, match=r"3 recipients.*says 2"):
        again(plan, expect_recipients=2)
    assert sorted(path.name for path in tmp_path.glob("run/*-1*")) == []
    assert again(plan, expect_recipients=3).recipients == 3
