"""What receipts say stands in the manifest beside the messages they are about, and nowhere else."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import T0, accepted, make_plan, message_id, people, phone, record, rejected

from broadcaster.core.receipts import SETTLING_US, Receipt, is_over, merge_status, state_of
from broadcaster.planning import rowtable
from broadcaster.store import deliveries, spill
from broadcaster.store.audit import audit
from broadcaster.store.deliveries import Deliveries, Places, open_messages
from broadcaster.store.facts import Facts
from broadcaster.store.manifest import build_manifest, clashes_if_current, count_deliveries
from broadcaster.store.plan import Plan
from broadcaster.store.polls import note_polls, read_polls
from broadcaster.store.receipts import ReceiptsWriter, receipt_files, state_batches

SECOND = 1_000_000
DELIVERY = ["delivery_status", "delivery_channel", "delivery_reason", "delivery_updated_at"]


def receipt(message: str, status: str, at_s: float, **more: Any) -> Receipt:
    words: dict[str, Any] = {"channel": "SMS", "code": None, "reason": None, "source": "webhook", **more}
    updated_us = T0 + round(at_s * SECOND)
    return Receipt(
        message_id=message, status=status, updated_us=updated_us, event_key=f"{message}{status}{at_s}", **words
    )


def hear(path: Path, *receipts: Receipt) -> None:
    """Write receipts as ``serve`` and ``reconcile`` do."""

    async def write() -> None:
        with ReceiptsWriter(path) as writer:
            await writer.add(receipts)

    asyncio.run(write())


def sent(directory: Path, count: int = 6, **tables: Any) -> Plan:
    """Return the plan of a run whose every message was accepted, two to a request."""
    plan = make_plan(directory, people(count), tables, batch_size=2)
    record(plan, *(accepted(batch) for batch in plan.read_batches()))
    return plan


def built(plan: Plan) -> list[dict[str, Any]]:
    build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)
    found: list[dict[str, Any]] = pq.read_table(plan.run_dir.manifest).to_pylist()
    return found


def own(plan: Plan) -> Path:
    return plan.run_dir.path / "receipts.sqlite"


def mid(n: int, channel: str = "sms") -> str:
    return message_id(phone(n), channel)


SMS: dict[str, Any] = {"message": {"channels": ["sms"]}}


# ---- finding ids ---------------------------------------------------------------------------------------------------


@given(
    known=st.lists(st.text(min_size=1), unique=True),
    asked=st.lists(st.one_of(st.none(), st.text(min_size=1))),
    cut=st.integers(1, 5),
)
def test_ids_are_found_where_they_stand_in_the_stream(known: list[str], asked: list[str | None], cut: int) -> None:
    places = Places(pa.array(known[at : at + cut], pa.string()) for at in range(0, len(known), cut))
    asked += known
    expected = [known.index(each) if each in known else -1 for each in asked]
    assert places.find(pa.array(asked, pa.string())).tolist() == expected


def test_ids_whose_hashes_agree_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "hash", len, raising=False)  # the second hash is that of the word backwards
    monkeypatch.setattr(deliveries, "_backwards", lambda word: int(word[::-1]))
    places = Places([pa.array(["11", "12", "13"]), pa.array(["21", "5", "22"])])
    assert places.find(pa.array(["22", "13", "31", "11", "6", "21", "5"])).tolist() == [5, 2, -1, 0, -1, 3, 4]


# ---- the manifest's columns ----------------------------------------------------------------------------------------

STORIES: dict[str, tuple[list[Receipt], tuple[Any, ...]]] = {
    "nothing was heard": ([], (None, None, None, None)),
    "one word": ([receipt(mid(1), "SENT", 5)], ("sent", "sms", None, 5)),
    "the order in which they come does not matter": (
        [receipt(mid(1), "DELIVERED", 9), receipt(mid(1), "SENT", 5)],
        ("delivered", "sms", None, 9),
    ),
    "a failure that was rerouted": (
        [
            receipt(mid(1), "FAILED", 5, code="DELIVERY_007", channel="WHATSAPP"),
            receipt(mid(1), "QUEUED", 7, channel=None),
        ],
        ("queued", None, None, 7),
    ),
    "why it did not arrive": (
        [receipt(mid(1), "FAILED", 5, code="DELIVERY_003", reason="Unreachable", channel="whatsapp")],
        ("failed", "whatsapp", "DELIVERY_003", 5),
    ),
    "a sentence where there is no code": (
        [receipt(mid(1), "BLOCKED", 5, reason="The balance is used up")],
        ("blocked", "sms", "The balance is used up", 5),
    ),
    "a word that nobody knows": ([receipt(mid(1), "TELEPORTED", 5)], ("teleported", "sms", None, 5)),
    "somebody else's message": ([receipt("another", "DELIVERED", 5)], (None, None, None, None)),
}


@pytest.mark.parametrize(("heard", "expected"), STORIES.values(), ids=STORIES)
def test_the_manifest_says_what_became_of_a_message(
    tmp_path: Path, heard: list[Receipt], expected: tuple[Any, ...]
) -> None:
    plan = sent(tmp_path, **SMS)
    hear(own(plan), receipt(mid(2), "READ", 3, channel="rcs"), *heard)
    rows = built(plan)
    *words, at_s = expected
    assert [rows[1][name] for name in DELIVERY[:3]] == words
    moment = rows[1]["delivery_updated_at"]
    assert moment is None if at_s is None else moment.timestamp() * SECOND == T0 + at_s * SECOND
    assert [rows[2][name] for name in DELIVERY[:3]] == ["read", "rcs", None]
    assert all(row[name] is None for row in (*rows[:1], *rows[3:]) for name in DELIVERY)


def test_every_channel_and_every_row_group_has_its_own_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowtable, "ROW_GROUP", 4)
    monkeypatch.setattr(spill, "ROW_SHIFT", 2)
    plan = sent(tmp_path, 11, message={"channels": ["whatsapp", "sms"]})
    hear(own(plan), *(receipt(mid(n, "sms"), "DELIVERED", n) for n in range(11)))
    hear(own(plan), *(receipt(mid(n, "whatsapp"), f"WORD{n}", n, channel="whatsapp") for n in range(0, 11, 3)))
    found = {(row["input_row"], row["channel"]): row["delivery_status"] for row in built(plan)}
    assert found == {(n, "sms"): "delivered" for n in range(11)} | {
        (n, "whatsapp"): f"word{n}" if n % 3 == 0 else None for n in range(11)
    }


def test_the_files_of_the_run_and_above_it_are_folded(tmp_path: Path) -> None:
    plan = sent(tmp_path, **SMS)
    hear(own(plan), receipt(mid(0), "SENT", 1), receipt(mid(1), "DELIVERED", 9))
    hear(plan.run_dir.path.parent / "receipts.sqlite", receipt(mid(0), "DELIVERED", 4), receipt(mid(1), "SENT", 2))
    rows = built(plan)
    assert [row["delivery_status"] for row in rows[:3]] == ["delivered", "delivered", None]
    assert count_deliveries(plan.run_dir.manifest) == {"none": 4, "delivered": 2}


def test_receipts_that_come_before_the_answer_wait_for_it(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), SMS, batch_size=1)
    first, second = plan.read_batches()
    hear(own(plan), receipt(mid(0), "DELIVERED", 4), receipt(mid(1), "DELIVERED", 4))
    record(plan, accepted(first))
    assert [row["delivery_status"] for row in built(plan)] == ["delivered", None]
    record(plan, accepted(second))
    assert [row["delivery_status"] for row in built(plan)] == ["delivered", "delivered"]


def test_what_was_rejected_has_no_delivery_and_is_not_counted(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), SMS, batch_size=1)
    first, second = plan.read_batches()
    record(plan, accepted(first), rejected(second))
    hear(own(plan), receipt(mid(1), "DELIVERED", 4))
    assert [row["delivery_status"] for row in built(plan)] == [None, None]
    assert count_deliveries(plan.run_dir.manifest) == {"none": 1}


# ---- being up to date, and the proof of it --------------------------------------------------------------------------


def test_a_new_receipt_makes_the_manifest_old_and_a_repeated_one_does_not(tmp_path: Path) -> None:
    plan = sent(tmp_path, **SMS)
    built(plan)
    assert clashes_if_current(plan) == 0
    hear(own(plan), receipt(mid(0), "SENT", 1))
    assert clashes_if_current(plan) is None
    built(plan)
    assert clashes_if_current(plan) == 0
    hear(own(plan), receipt(mid(0), "SENT", 1))
    assert clashes_if_current(plan) == 0


def test_verify_proves_the_delivery_columns(tmp_path: Path) -> None:
    plan = sent(tmp_path, **SMS)
    built(plan)
    assert "the manifest's delivery columns are what the receipts say" not in audit(plan).checked
    hear(own(plan), receipt(mid(0), "SENT", 1))
    built(plan)
    checked = audit(plan)
    assert (checked.difference, checked.checked[-1]) == (
        None,
        "the manifest's delivery columns are what the receipts say",
    )
    table = pq.read_table(plan.run_dir.manifest)
    at = table.schema.get_field_index("delivery_status")
    forged = ["delivered", *table["delivery_status"].to_pylist()[1:]]
    pq.write_table(table.set_column(at, table.schema.field(at), [forged]), plan.run_dir.manifest)
    assert "row 0 has another delivery_status" in str(audit(plan).difference)


def test_verify_says_when_receipts_have_come_since_and_still_proves_the_rest(tmp_path: Path) -> None:
    plan = sent(tmp_path, **SMS)
    built(plan)
    hear(own(plan), receipt(mid(0), "SENT", 1))
    checked = audit(plan)
    assert checked.difference is None
    assert "receipts have come since" in checked.checked[-1]
    table = pq.read_table(plan.run_dir.manifest)
    at = table.schema.get_field_index("message_id")
    forged = ["forged", *table["message_id"].to_pylist()[1:]]
    pq.write_table(table.set_column(at, table.schema.field(at), [forged]), plan.run_dir.manifest)
    assert "row 0 has another message_id" in str(audit(plan).difference)


# ---- whom to ask next ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["QUEUED", "SENT", "DELIVERED", "READ", "FAILED", "BLOCKED", "FILTERED", "ODD"])
@pytest.mark.parametrize("age_us", [0, SETTLING_US, SETTLING_US + 1])
def test_what_is_over_is_over_for_all_who_ask(tmp_path: Path, status: str, age_us: int) -> None:
    heard = receipt("m", status, 0)
    hear(tmp_path / "receipts.sqlite", heard)
    known = Deliveries(state_batches(receipt_files(tmp_path)))
    expected = is_over(merge_status(None, heard), now_us=heard.updated_us + age_us)
    assert expected == is_over(state_of(heard), now_us=heard.updated_us + age_us)
    over = known.over(pa.array(["m", "another", None]), now_us=heard.updated_us + age_us)
    assert over.tolist() == [expected, False, False]


def test_those_who_were_not_asked_for_come_first_and_then_the_longest_ago(tmp_path: Path) -> None:
    plan = sent(tmp_path, 7, **SMS)
    hear(own(plan), receipt(mid(2), "DELIVERED", 1), receipt(mid(3), "SENT", 1))
    note_polls(plan.run_dir.path, [mid(3), mid(5)], at_us=T0 + 30)
    note_polls(plan.run_dir.path, [mid(0)], at_us=T0 + 20)
    note_polls(plan.run_dir.path, [mid(5)], at_us=T0 + 10)  # the later word replaces the earlier

    def asked(most: int) -> tuple[Sequence[str], int]:
        return open_messages(plan, Facts.read(plan, whole=False), now_us=T0 + SECOND, most=most)

    assert asked(99) == ([mid(n) for n in (1, 4, 6, 5, 0, 3)], 6)
    assert asked(2) == ([mid(1), mid(4)], 6)


def test_a_run_that_nobody_asked_about_has_no_polls(tmp_path: Path) -> None:
    assert [len(each) for each in read_polls(tmp_path)] == [0, 0]
    hear(tmp_path / "receipts.sqlite", receipt("m", "SENT", 1))
    assert [len(each) for each in read_polls(tmp_path)] == [0, 0]
    plan = make_plan(tmp_path, people(2), SMS)
    assert open_messages(plan, Facts.read(plan, whole=False), now_us=T0, most=9) == ([], 0)
