"""Which deliveries are in doubt, and what a look-up's evidence and a person's decision make of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.plans import T0, accepted, attempt, claim, make_plan, people, phone, record

from broadcaster.core.resolution import regroup
from broadcaster.core.values import Child, Decided, Evidence, Outcome
from broadcaster.core.words import Channel, Decision, State, Status
from broadcaster.store.audit import audit
from broadcaster.store.doubts import deliveries_in_doubt
from broadcaster.store.facts import PROVED, Facts, tally
from broadcaster.store.manifest import build_manifest, clashes_if_current, read_manifest
from broadcaster.store.plan import Plan
from broadcaster.store.writer import JournalWriter

BOTH = {"message": {"channels": ["sms", "whatsapp"]}}
SMS, WHATSAPP = Channel.SMS, Channel.WHATSAPP


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Three requests of two people on two channels: answered in part, without an answer, never sent."""
    plan = make_plan(tmp_path, people(6), BOTH, batch_size=2)
    one, two, _ = plan.read_batches()
    record(
        plan,
        claim(one.id),
        accepted(one, without=[(phone(0), "whatsapp"), (phone(1), "sms"), (phone(1), "whatsapp")]),
        claim(two.id, at_s=5),
        attempt(two.id, at_s=5),
    )
    return plan


def doubted(plan: Plan) -> list[tuple[int, tuple[tuple[int, Channel], ...]]]:
    return [(each.batch.id, each.deliveries) for each in deliveries_in_doubt(plan, Facts.read(plan))]


def seen(batch: int, position: int, channel: Channel) -> Evidence:
    message_id = f"seen-{batch}-{position}-{channel}"
    return Evidence(batch=batch, position=position, channel=channel, message_id=message_id, source="conversations")


def skip(batch: int) -> Decided:
    return Decided(at_us=T0, who="ada@desk", what=Decision.SKIP, batch=batch)


def counts(plan: Plan) -> dict[str, int]:
    """Count by tally and by manifest, which must agree, and pass the audit."""
    facts = Facts.read(plan)
    build_manifest(plan, facts, to=plan.run_dir.manifest)
    assert clashes_if_current(plan) == 0
    counted = tally(plan, facts)
    by_manifest = read_manifest(plan.run_dir.path)["status"].value_counts().to_dict()
    found = {str(each): getattr(counted, each) for each in Status if getattr(counted, each)}
    assert found == by_manifest
    assert audit(plan).difference is None
    return found


def decide(plan: Plan, *args: Any) -> None:
    async def write() -> None:
        with JournalWriter(plan.run_dir.journal, version="test") as journal:
            await journal.decide(*args)

    asyncio.run(write())


def test_what_an_answer_lacks_and_what_has_no_answer_is_in_doubt(plan: Plan) -> None:
    assert doubted(plan) == [
        (1, ((0, SMS), (0, WHATSAPP), (1, SMS), (1, WHATSAPP))),
        (0, ((0, WHATSAPP), (1, SMS), (1, WHATSAPP))),
    ]
    whole, part = deliveries_in_doubt(plan, Facts.read(plan))
    assert (whole.is_whole, whole.code, whole.claim is None) == (True, "SERVICE_001", False)
    assert (part.is_whole, part.claim) == (False, None)
    assert counts(plan) == {"accepted": 1, "in_doubt": 7, "pending": 4}


@pytest.mark.parametrize(
    ("evidence", "left", "expected"),
    [
        pytest.param(
            [(1, 0, SMS)],
            [(1, ((0, WHATSAPP), (1, SMS), (1, WHATSAPP))), (0, ((0, WHATSAPP), (1, SMS), (1, WHATSAPP)))],
            {"accepted": 2, "in_doubt": 6, "pending": 4},
            id="of a request without an answer",
        ),
        pytest.param(
            [(0, 1, SMS)],
            [(1, ((0, SMS), (0, WHATSAPP), (1, SMS), (1, WHATSAPP))), (0, ((0, WHATSAPP), (1, WHATSAPP)))],
            {"accepted": 2, "in_doubt": 6, "pending": 4},
            id="of a request whose answer lacks it",
        ),
        pytest.param(
            [(0, 1, SMS), (0, 0, WHATSAPP), (0, 1, WHATSAPP)],
            [(1, ((0, SMS), (0, WHATSAPP), (1, SMS), (1, WHATSAPP)))],
            {"accepted": 4, "in_doubt": 4, "pending": 4},
            id="of all that an answer lacks",
        ),
    ],
)
def test_evidence_settles_a_delivery(
    plan: Plan,
    evidence: list[tuple[int, int, Channel]],
    left: list[tuple[int, tuple[tuple[int, Channel], ...]]],
    expected: dict[str, int],
) -> None:
    record(plan, *(seen(*each) for each in evidence))

    assert doubted(plan) == left
    assert counts(plan) == expected
    manifest = read_manifest(plan.run_dir.path)
    ids = set(manifest["message_id"].dropna())
    assert {f"seen-{batch}-{position}-{channel}" for batch, position, channel in evidence} <= ids
    assert manifest.loc[manifest["status"] == "accepted", "reason"].isna().all()


def test_a_request_that_look_ups_show_whole_is_settled(plan: Plan) -> None:
    every = [seen(1, position, channel) for position in (0, 1) for channel in (SMS, WHATSAPP)]
    outcome = Outcome(
        batch=1, state=State.ACCEPTED, attempts=1, first_us=T0, settled_us=T0, code=PROVED, missing=len(every)
    )

    async def write() -> None:
        with JournalWriter(plan.run_dir.journal, version="test") as journal:
            await journal.prove(every, [outcome])

    asyncio.run(write())
    assert [batch for batch, _ in doubted(plan)] == [0]
    assert counts(plan) == {"accepted": 5, "in_doubt": 3, "pending": 4}


def test_skipping_what_an_answer_lacks_excludes_it(plan: Plan) -> None:
    record(plan, skip(0))

    assert [batch for batch, _ in doubted(plan)] == [1]
    assert counts(plan) == {"accepted": 1, "excluded": 3, "in_doubt": 4, "pending": 4}
    manifest = read_manifest(plan.run_dir.path)
    assert set(manifest.loc[manifest["status"] == "excluded", "reason"]) == {"skipped_in_doubt"}


def test_what_was_seen_before_it_was_skipped_stays_accepted(plan: Plan) -> None:
    record(plan, seen(1, 0, SMS), seen(0, 1, SMS), skip(0))
    outcome = Outcome(batch=1, state=State.SKIPPED, attempts=1, first_us=T0, settled_us=T0, code="skipped_in_doubt")
    decide(plan, [skip(1)], [outcome], [])

    assert doubted(plan) == []
    assert counts(plan) == {"accepted": 3, "excluded": 5, "pending": 4}


def part(number: int, parent: int, positions: tuple[int, ...], channels: tuple[Channel, ...]) -> Child:
    return Child(
        id=number,
        parent=parent,
        positions=positions,
        channels=channels,
        key=f"f1-{number}",
        cause="resend",
        generation="s1",
    )


def test_what_is_sent_anew_is_pending_until_it_is_settled_and_then_has_its_own_ids(plan: Plan) -> None:
    record(plan, seen(1, 0, SMS))
    resent = Outcome(batch=1, state=State.RESENT, attempts=1, first_us=T0, settled_us=T0, code="lost")
    whatsapp, both = part(-1, 1, (0,), (WHATSAPP,)), part(-2, 1, (1,), (SMS, WHATSAPP))
    lacking = part(-3, 0, (1,), (SMS, WHATSAPP))
    decide(plan, [], [resent], [whatsapp, both, lacking])

    assert doubted(plan) == [(0, ((0, WHATSAPP),))]
    assert counts(plan) == {"accepted": 2, "in_doubt": 1, "pending": 9}

    born = Facts.read(plan).children
    assert {number: each.generation for number, each in born.items()} == {-1: "s1", -2: "s1", -3: "s1"}
    record(plan, claim(-1), accepted(born[-1]), claim(-2), claim(-3), accepted(born[-3]))
    assert counts(plan) == {"accepted": 5, "in_doubt": 3, "pending": 4}
    assert [batch for batch, _ in doubted(plan)] == [-2, 0]


@pytest.mark.parametrize(
    ("deliveries", "parts"),
    [
        ([], {}),
        ([(0, SMS), (2, SMS)], {(SMS,): (0, 2)}),
        ([(1, SMS), (1, WHATSAPP), (0, SMS)], {(SMS,): (0,), (SMS, WHATSAPP): (1,)}),
        ([(0, WHATSAPP), (1, SMS), (2, WHATSAPP)], {(WHATSAPP,): (0, 2), (SMS,): (1,)}),
    ],
    ids=["nothing", "one channel", "some on one and some on both", "each on another"],
)
def test_deliveries_are_gathered_by_their_channels(
    deliveries: list[tuple[int, Channel]], parts: dict[tuple[Channel, ...], tuple[int, ...]]
) -> None:
    assert regroup(deliveries) == parts
