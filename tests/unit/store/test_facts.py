"""Counting deliveries by status from plan and journal."""

from pathlib import Path
from typing import Any

import pytest
from support.plans import (
    accepted,
    attempt,
    child_of,
    claim,
    divided,
    extend_plan,
    make_plan,
    people,
    phone,
    record,
    rejected,
)

from broadcaster.core.values import Tally
from broadcaster.errors import StoreDamaged
from broadcaster.store.facts import Facts, tally, unsettled
from broadcaster.store.plan import Plan

TWO_CHANNELS: dict[str, dict[str, Any]] = {"message": {"channels": ["sms", "whatsapp"]}}


def counts(plan: Plan) -> Tally:
    return tally(plan, Facts.read(plan))


def test_before_anything_is_sent_all_is_pending_or_excluded(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [*people(3), {"id": "x", "mobile": "none"}], TWO_CHANNELS)

    assert counts(plan) == Tally(pending=6, excluded=2)
    assert counts(plan).total == 8


def test_each_batch_counts_its_deliveries_under_its_state(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(9), TWO_CHANNELS, batch_size=2)
    one, two, *_ = plan.read_batches()
    record(plan, *map(claim, range(4)), accepted(one), rejected(two), attempt(2))

    assert counts(plan) == Tally(accepted=4, rejected=4, in_doubt=8, pending=2)


def test_what_an_answer_does_not_mention_is_in_doubt(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(3), TWO_CHANNELS)
    (only,) = plan.read_batches()
    record(plan, accepted(only, without=[(phone(0), "sms"), (phone(2), "whatsapp")]))

    assert counts(plan) == Tally(accepted=4, in_doubt=2)


def test_a_split_counts_those_it_blames_and_leaves_the_others_to_its_children(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(6), TWO_CHANNELS)
    (parent,) = plan.read_batches()
    first, first_batch = child_of(plan, parent, [0, 2, 3, 5], number=-1)
    second, second_batch = child_of(plan, first_batch, [0, 1], number=-2)
    third, _ = child_of(plan, first_batch, [2], number=-3)
    record(
        plan,
        divided(parent, blamed=[1, 4], children=[first]),
        divided(first_batch, blamed=[3], children=[second, third]),
        accepted(second_batch),
    )

    assert counts(plan) == Tally(rejected=6, accepted=4, pending=2)


def test_parts_are_counted_together(tmp_path: Path) -> None:
    make_plan(tmp_path, [*people(2), {"id": "x", "mobile": "none"}])
    plan = extend_plan(tmp_path, [*people(5), {"id": "y", "mobile": "nobody"}])
    first, second = plan.read_batches()
    record(plan, accepted(first), claim(second.id))

    assert counts(plan) == Tally(accepted=2, in_doubt=3, excluded=2)


def test_what_a_run_goes_on_with_is_neither_settled_nor_claimed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(5), batch_size=1)
    batches = list(plan.read_batches())
    child, _ = child_of(plan, batches[3], [0], number=-1)
    record(plan, claim(0), claim(1), rejected(batches[1]), divided(batches[3], blamed=[], children=[child]), claim(-1))

    assert unsettled(plan, Facts.read(plan)).tolist() == [False, False, True, False, True]


def test_a_claim_of_a_batch_that_was_never_planned_is_damage(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    record(plan, claim(1))

    with pytest.raises(StoreDamaged, match="batch 1, which was never planned"):
        unsettled(plan, Facts.read(plan))


def test_attempts_are_counted_for_batches_that_have_some(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), batch_size=1)
    record(plan, attempt(0, 1), attempt(0, 2))
    facts = Facts.read(plan)

    assert (facts.tried(0), facts.tried(1)) == (2, 0)


def test_a_run_that_is_going_on_is_known_by_its_lock(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(1))
    record(plan, claim(0))
    with plan.run_dir.locked():
        assert Facts.read(plan).running
    assert not Facts.read(plan).running
