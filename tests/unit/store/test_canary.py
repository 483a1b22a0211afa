"""Which gates are closed, and what the journal knows of the messages that are to open them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.plans import (
    T0,
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

from broadcaster.core.canary import IN_DOUBT, REJECTED, Probe
from broadcaster.core.control import Control, followed
from broadcaster.core.values import Batch, Decided, Evidence
from broadcaster.core.words import Channel, Decision, State, Waiver
from broadcaster.store.audit import audit
from broadcaster.store.canary import Gate, canary_settled_us, closed_gates, probes
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan

SAFETY: dict[str, dict[str, Any]] = {"safety": {"canary": 4}, "message": {"channels": ["sms"]}}
Tell = Callable[[Plan, Batch], list[Any]]


def planned(base: Path) -> Plan:
    """Twelve people, four of them the canary (batch 0), the others in two requests."""
    return make_plan(base, people(12), SAFETY, batch_size=4)


def gates(plan: Plan) -> list[tuple[int, range, range]]:
    return [(each.part, each.canary, each.rest) for each in closed_gates(plan, Facts.read(plan, whole=False))]


CLOSED = [(0, range(1), range(1, 3))]


def test_a_gate_is_closed_until_something_behind_it_was_claimed(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert gates(plan) == CLOSED
    record(plan, claim(0), accepted(plan.fetch([0])[0]))
    assert gates(plan) == CLOSED
    record(plan, claim(2))
    assert gates(plan) == []


def test_a_gate_is_passed_when_something_behind_it_was_settled(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    record(plan, claim(1), rejected(plan.fetch([1])[1]))

    assert gates(plan) == []


def test_a_plan_without_a_canary_has_no_gate(tmp_path: Path) -> None:
    assert gates(make_plan(tmp_path, people(3))) == []


def test_each_part_has_its_own_gate_and_its_own_waiver(tmp_path: Path) -> None:
    planned(tmp_path)
    plan = extend_plan(tmp_path, people(20), SAFETY, batch_size=4)
    assert [each[0] for each in gates(plan)] == [0, 1]
    waived = Decided(at_us=T0, who="ada@desk", what=Waiver.SKIP_CANARY, batch=None, note="0")
    record(plan, waived)

    assert [each[0] for each in gates(plan)] == [1]
    with JournalReader(plan.run_dir.journal) as journal:
        assert list(journal.waivers()) == [waived]
        assert followed(journal.orders()) == Control()  # it is no order
        assert list(journal.decisions()) == []


def test_a_waiver_is_nothing_that_verify_stumbles_over(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    record(plan, Decided(at_us=T0, who="ada@desk", what=Waiver.SKIP_CANARY, batch=None, note="0"))
    build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)

    assert audit(plan).difference is None


def split(settle: Callable[[Batch], Any]) -> Tell:
    """Refuse the first by name; the others are a part that ends as *settle* says."""

    def tell(plan: Plan, batch: Batch) -> list[Any]:
        child, whole = child_of(plan, batch, [1, 2, 3], number=-1)
        return [claim(0), divided(batch, blamed=[0], children=[child]), claim(-1), settle(whole)]

    return tell


def resent(settle: Callable[[Batch], Any]) -> Tell:
    """Nobody knows; a person lets it be sent again, and that ends as *settle* says."""

    def tell(plan: Plan, batch: Batch) -> list[Any]:
        child, whole = child_of(plan, batch, [0, 1, 2, 3], number=-1)
        told = divided(batch, blamed=[], children=[child])
        again = replace(told, outcome=replace(told.outcome, state=State.RESENT))
        return [claim(0), attempt(0), again, claim(-1), settle(whole)]

    return tell


def kind(probe: Probe) -> str:
    return probe.settled_as or "accepted"


@pytest.mark.parametrize(
    ("tell", "expected"),
    [
        pytest.param(lambda _, __: [], {IN_DOUBT: 4}, id="nothing was sent: nothing is known"),
        pytest.param(lambda _, __: [claim(0)], {IN_DOUBT: 4}, id="in doubt"),
        pytest.param(lambda _, batch: [claim(0), accepted(batch)], {"accepted": 4}, id="accepted"),
        pytest.param(lambda _, batch: [claim(0), rejected(batch)], {REJECTED: 4}, id="rejected"),
        pytest.param(
            lambda _, batch: [claim(0), accepted(batch, without=[(batch.to[1], "sms")])],
            {"accepted": 3, IN_DOUBT: 1},
            id="one is missing in the answer",
        ),
        pytest.param(split(accepted), {REJECTED: 1, "accepted": 3}, id="one refused by name"),
        pytest.param(split(rejected), {REJECTED: 4}, id="the others refused too"),
        pytest.param(split(lambda batch: attempt(batch.id)), {REJECTED: 1, IN_DOUBT: 3}, id="the others in doubt"),
        pytest.param(resent(accepted), {"accepted": 4}, id="sent again by a decision"),
        pytest.param(
            lambda _, __: [
                claim(0),
                Evidence(batch=0, position=2, channel=Channel.SMS, message_id="seen", source="list"),
                Decided(at_us=T0, who="ada", what=Decision.SKIP, batch=0),
            ],
            {"accepted": 1, IN_DOUBT: 3},
            id="one was seen at the API",
        ),
    ],
)
def test_every_message_of_the_canary_is_known_as_the_journal_knows_it(
    tmp_path: Path, tell: Tell, expected: dict[str, int]
) -> None:
    plan = planned(tmp_path)
    record(plan, *tell(plan, plan.fetch([0])[0]), claim(1))
    found = probes(plan, Facts.read(plan, whole=False), [Gate(part=0, canary=range(1), rest=range(1, 3))])

    assert Counter(map(kind, found)) == expected


def test_ids_and_codes_come_with_them(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    batch = plan.fetch([0])[0]
    record(plan, claim(0), accepted(batch))
    found = probes(plan, Facts.read(plan, whole=False), closed_gates(plan, Facts.read(plan, whole=False)))

    assert [each.message_id for each in found] == [f"msg-{to[1:]}-sms" for to in batch.to]
    assert not any(each.may_reroute for each in found)
    assert phone(1) in batch.to


def test_the_wait_counts_from_the_last_answer(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    (gate,) = closed_gates(plan, Facts.read(plan, whole=False))
    record(plan, claim(0))
    assert canary_settled_us(plan, [gate]) is None
    settling = accepted(plan.fetch([0])[0])
    record(plan, settling)

    assert canary_settled_us(plan, [gate]) == settling.outcome.settled_us
