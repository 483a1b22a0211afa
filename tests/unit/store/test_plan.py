"""The plan on disk: a chain of frozen parts, read back as batches."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.plans import extend_plan, make_plan, people, phone

from broadcaster.core.split import child_batch
from broadcaster.core.values import Child
from broadcaster.core.words import Channel
from broadcaster.errors import BelongsToAnother, ConfigError, StoreDamaged
from broadcaster.planning import bodies
from broadcaster.store.head import Head, parse_channels
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

TABLES: dict[str, dict[str, Any]] = {
    "message": {"parameters": {"name": "{name}"}, "channels": ["whatsapp", "sms"]},
}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Seven recipients in batches of two, in row groups of two batches; an extension by two more."""
    monkeypatch.setattr(bodies, "_RECIPIENTS_PER_GROUP", 4)
    make_plan(tmp_path, people(7, name=["Ada"]), TABLES, batch_size=2)
    return extend_plan(tmp_path, people(9, name=["Ada"]), TABLES, batch_size=2)


def edit(path: Path, **values: object) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(found | {"checksum": None} | values), encoding="utf-8")


def test_batches_of_all_parts_come_in_sending_order(plan: Plan) -> None:
    batches = list(plan.read_batches())

    assert [batch.id for batch in batches] == list(range(5))
    assert [to for batch in batches for to in batch.to] == [phone(n) for n in range(9)]
    assert {batch.channels for batch in batches} == {(Channel.WHATSAPP, Channel.SMS)}
    assert {batch.parameters for batch in batches} == {b'{"name":"Ada"}'}
    assert (batches[0].deliveries, batches[0].send_at, batches[0].parent) == (4, None, None)


def test_rows_go_with_their_batches_and_count_over_the_parts(plan: Plan) -> None:
    assert [(batch.id, rows.tolist()) for batch, rows in plan.read_with_rows()] == [
        (0, [0, 1]),
        (1, [2, 3]),
        (2, [4, 5]),
        (3, [6]),
        (4, [7, 8]),
    ]


@pytest.mark.parametrize("wanted", [[], [0], [3], [1, 4], [4, 2, 0, 1, 3]])
def test_only_wanted_batches_are_fetched(plan: Plan, wanted: list[int]) -> None:
    every = {batch.id: batch for batch in plan.read_batches()}

    assert plan.fetch(wanted) == {number: every[number] for number in wanted}


def test_row_groups_of_which_nothing_is_wanted_are_only_asked_about(plan: Plan) -> None:
    asked: list[list[int]] = []

    def wanted(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
        asked.append(numbers.tolist())
        return np.equal(numbers, 2)

    assert [batch.id for batch in plan.read_batches(wanted)] == [2]
    assert asked == [[0, 1], [2, 3], [4]]


def test_sizes_are_deliveries_by_batch(plan: Plan) -> None:
    assert plan.sizes().tolist() == [4, 4, 4, 2, 4]
    assert (plan.rows, plan.batches, plan.deliveries) == (9, 5, 18)


def test_a_batch_is_its_parts(plan: Plan) -> None:
    assert [plan.part_of(number).head.part for number in range(5)] == [0, 0, 0, 0, 1]


def test_a_child_has_what_its_positions_say_and_all_else_of_its_parent(plan: Plan) -> None:
    parent = replace(next(plan.read_batches()), send_at="2026-12-01T09:00:00Z")
    child = child_batch(parent, Child(id=-4, parent=0, positions=(1,), key="f1-k", cause="c"))

    assert child == replace(parent, id=-4, key="f1-k", to=(parent.to[1],), parent=0)


def test_channels_survive_being_written() -> None:
    assert parse_channels("sms+whatsapp") == (Channel.SMS, Channel.WHATSAPP)
    assert parse_channels("auto") == (Channel.AUTO,)


def test_a_head_survives_being_written(plan: Plan) -> None:
    for part in plan.parts:
        assert Head.from_json(part.head.to_json(), path=Path("plan.json")) == part.head


def test_a_head_of_a_later_version_of_ours_with_more_words_is_read(plan: Plan) -> None:
    edit(plan.run_dir.head(1), something_new=1)

    assert len(Plan.open(plan.run_dir).parts) == 2


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda run_dir: edit(run_dir.head(0), campaign="other"), id="an edited first head"),
        pytest.param(lambda run_dir: edit(run_dir.head(1), previous=None), id="a second head that follows nothing"),
        pytest.param(lambda run_dir: edit(run_dir.head(1), part=2), id="a head under another part's name"),
        pytest.param(lambda run_dir: run_dir.head(0).write_bytes(b"{"), id="no JSON"),
        pytest.param(lambda run_dir: run_dir.head(0).write_bytes(b"[]"), id="no object"),
        pytest.param(lambda run_dir: run_dir.head(0).write_bytes(b'{"version": 1}'), id="an object of something else"),
        pytest.param(lambda run_dir: run_dir.head(0).write_bytes(b"\xff\xfe"), id="no text"),
        pytest.param(lambda run_dir: edit(run_dir.head(0), lists=[{"path": "x"}]), id="a list without its digest"),
    ],
)
def test_a_damaged_chain_is_refused(plan: Plan, damage: Any) -> None:
    damage(plan.run_dir)

    with pytest.raises(StoreDamaged):
        Plan.open(plan.run_dir)


def test_a_head_that_says_something_else_than_its_checksum_is_refused(plan: Plan) -> None:
    path = plan.run_dir.head(0)
    frozen = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(frozen | {"safety": frozen["safety"] | {"halt_count": 9}}), encoding="utf-8")

    with pytest.raises(StoreDamaged, match="not as it was frozen"):
        Plan.open(plan.run_dir)


def test_another_format_is_refused_as_anothers(plan: Plan) -> None:
    edit(plan.run_dir.head(0), version=2)

    with pytest.raises(BelongsToAnother, match="plan format 2"):
        Plan.open(plan.run_dir)


def test_without_a_head_there_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no plan"):
        Plan.open(RunDir(tmp_path))


def test_the_fingerprint_stands_for_the_whole_chain(tmp_path: Path) -> None:
    first = make_plan(tmp_path, people(2))
    before = first.fingerprint
    second = extend_plan(tmp_path, people(3))

    assert before != second.fingerprint
    assert second.parts[1].head.previous == before
