"""Who may be messaged again: those whom the API refused, by the latest word, and nobody else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.plans import (
    Settling,
    accepted,
    attempt,
    child_of,
    claim,
    divided,
    make_plan,
    people,
    phone,
    record,
    rejected,
)

from broadcaster.app.retry import add_retry
from broadcaster.core.values import Batch
from broadcaster.core.words import State
from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import BATCHES, Plan
from broadcaster.store.refusals import refused_rows, unfounded

Tell = Callable[[Plan, Batch], list[Any]]


def split_whose_child_is(settle: Callable[[Batch], Any]) -> Tell:
    """Blame the first; the others are a child that ends as *settle* says."""

    def tell(plan: Plan, batch: Batch) -> list[Any]:
        child, whole = child_of(plan, batch, [1, 2, 3], number=-1)
        return [claim(batch.id), divided(batch, blamed=[0], children=[child]), claim(-1), settle(whole)]

    return tell


def decided(state: State, settle: Callable[[Batch], Any] | None) -> Tell:
    """Let a person decide about a batch in doubt; what is sent anew ends as *settle* says."""

    def tell(plan: Plan, batch: Batch) -> list[Any]:
        children = [child_of(plan, batch, [0, 1, 2, 3], number=-1)] if settle else []
        outcome = replace(divided(batch, blamed=[]).outcome, state=state)
        facts = [claim(batch.id), attempt(batch.id), Settling(outcome=outcome, children=tuple(c for c, _ in children))]
        return [*facts, *(fact for child, whole in children for fact in (claim(child.id), settle(whole)))]  # type: ignore[misc]  # children only with settle

    return tell


def split_twice(plan: Plan, batch: Batch) -> list[Any]:
    child, whole = child_of(plan, batch, [0, 2, 3], number=-1)
    grandchild, half = child_of(plan, whole, [0, 2], number=-2)
    return [
        claim(batch.id), divided(batch, blamed=[1], children=[child]),
        claim(-1), divided(whole, blamed=[1], children=[grandchild]),
        claim(-2), accepted(half),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("tell", "rows"),
    [
        pytest.param(lambda _, __: [], [], id="pending: nobody"),
        pytest.param(lambda _, batch: [attempt(batch.id)], [], id="released after an attempt: nobody"),
        pytest.param(lambda _, batch: [claim(batch.id)], [], id="in doubt: nobody"),
        pytest.param(lambda _, batch: [claim(batch.id), attempt(batch.id)], [], id="in doubt after attempts: nobody"),
        pytest.param(lambda _, batch: [claim(batch.id), accepted(batch)], [], id="accepted: nobody"),
        pytest.param(
            lambda _, batch: [claim(batch.id), accepted(batch, without=[(phone(1), "auto")])],
            [],
            id="missing in an accepting answer: nobody",
        ),
        pytest.param(lambda _, batch: [claim(batch.id), rejected(batch)], [0, 1, 2, 3], id="rejected: everybody"),
        pytest.param(split_whose_child_is(accepted), [0], id="split: whom the API named"),
        pytest.param(split_whose_child_is(rejected), [0, 1, 2, 3], id="split and its child rejected: everybody"),
        pytest.param(split_whose_child_is(lambda batch: attempt(batch.id)), [0], id="a child in doubt: not its people"),
        pytest.param(decided(State.RESENT, rejected), [], id="resent and refused then: the first may have arrived"),
        pytest.param(decided(State.RESENT, accepted), [], id="resent and accepted: nobody"),
        pytest.param(decided(State.SKIPPED, None), [], id="skipped: nobody"),
        pytest.param(split_twice, [1, 2], id="a child split again: positions count in the child"),
    ],
)
def test_refused_is_whom_the_last_answer_refused(tmp_path: Path, tell: Tell, rows: list[int]) -> None:
    plan = make_plan(tmp_path, people(4))
    (batch,) = plan.read_batches()
    record(plan, *tell(plan, batch))

    assert refused_rows(plan, Facts.read(plan)).tolist() == rows


def test_the_excluded_are_never_refused_and_rows_are_counted_with_them(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [{"id": "x", "mobile": "none"}, *people(2), people(1)[0]])
    (batch,) = plan.read_batches()
    record(plan, claim(0), rejected(batch))

    assert refused_rows(plan, Facts.read(plan)).tolist() == [1, 2]


def retried(base: Path) -> Plan:
    """Four people, two refused, and a retry of those two that is not sent yet."""
    plan = make_plan(base, people(4))
    (batch,) = plan.read_batches()
    child, whole = child_of(plan, batch, [0, 2], number=-1)
    record(plan, claim(0), divided(batch, blamed=[1, 3], children=[child]), claim(-1), accepted(whole))
    longer = add_retry(plan)
    assert longer is not None
    return longer


@pytest.mark.parametrize(
    ("tell", "rows", "counts"),
    [
        pytest.param(lambda _: [], [], (2, 0, 0, 2), id="pending"),
        pytest.param(lambda batch: [claim(batch.id)], [], (2, 0, 2, 0), id="in doubt"),
        pytest.param(lambda batch: [claim(batch.id), accepted(batch)], [], (4, 0, 0, 0), id="accepted"),
        pytest.param(lambda batch: [claim(batch.id), rejected(batch)], [1, 3], (2, 2, 0, 0), id="refused again"),
        pytest.param(
            lambda batch: [claim(batch.id), accepted(batch, without=[(phone(3), "auto")])],
            [],
            (3, 0, 1, 0),
            id="one is missing in the answer",
        ),
    ],
)
def test_the_word_of_the_retry_replaces_the_word_before(
    tmp_path: Path, tell: Callable[[Batch], list[Any]], rows: list[int], counts: tuple[int, int, int, int]
) -> None:
    plan = retried(tmp_path)
    record(plan, *tell(plan.fetch([1])[1]))
    facts = Facts.read(plan)
    made = build_manifest(plan, facts, to=plan.run_dir.manifest)
    found = tally(plan, facts)

    assert refused_rows(plan, facts).tolist() == rows
    assert (found.accepted, found.rejected, found.in_doubt, found.pending) == counts
    assert made.counts == {name: getattr(found, name) for name in made.counts}
    assert found.total == 4
    assert audit(plan).difference is None


def test_a_manifest_row_has_the_key_of_the_batch_with_the_last_word(tmp_path: Path) -> None:
    plan = retried(tmp_path)
    again = plan.fetch([1])[1]
    build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)

    rows = pq.read_table(plan.run_dir.manifest).to_pylist()
    assert [row["idempotency_key"] == again.key for row in rows] == [False, True, False, True]
    assert [(row["status"], row["reason"], row["error"]) for row in rows if row["to"] in again.to] == [
        ("pending", None, None)
    ] * 2


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        pytest.param({"rows": [[0, 3]]}, "row 0 again, which nobody had refused", id="somebody who was accepted"),
        pytest.param({"rows": [[1, 1]]}, "twice in one retry", id="a row twice in a batch"),
        pytest.param({"rows": [[1, 9]]}, "that the plan does not have", id="a row beyond the plan"),
        pytest.param({"to": [[phone(1), phone(0)]]}, "other numbers than its rows", id="somebody else's number"),
        pytest.param({"rows": [[3, 1]]}, "other numbers than its rows", id="rows exchanged"),
    ],
)
def test_a_retry_of_anybody_else_is_named(tmp_path: Path, edit: dict[str, Any], words: str) -> None:
    plan = retried(tmp_path)
    path = plan.run_dir.batches(1)
    columns = pq.read_table(path).to_pydict() | edit
    pq.write_table(pq.read_table(path).from_pydict(columns, schema=BATCHES), path, write_page_checksum=True)

    assert words in next(unfounded(plan, Facts.read(plan)), "")


def test_a_sound_retry_gives_no_reason_to_complain(tmp_path: Path) -> None:
    plan = retried(tmp_path)

    assert list(unfounded(plan, Facts.read(plan))) == []
