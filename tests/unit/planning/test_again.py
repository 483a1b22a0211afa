"""Whom a retry has: what was refused, and what by its receipts did not arrive and may be tried again; nobody else."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.plans import (
    accepted,
    attempt,
    child_of,
    claim,
    divided,
    make_plan,
    message_id,
    people,
    phone,
    record,
    rejected,
)
from support.receipts import hear, tell, word

from broadcaster.app.retry import add_retry, choose_retry
from broadcaster.core.words import Channel, State
from broadcaster.planning.again import Selection
from broadcaster.planning.retry import preview_retry
from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan
from broadcaster.store.refusals import unfounded
from broadcaster.store.spread import CHANNELS

SMS: dict[str, dict[str, Any]] = {"message": {"channels": ["sms"]}}
BOTH: dict[str, dict[str, Any]] = {"message": {"channels": ["sms", "whatsapp"]}}


def sent(base: Path, count: int = 4, tables: dict[str, dict[str, Any]] | None = None) -> Plan:
    """Return the plan of a run in which everybody was accepted, in one request."""
    plan = make_plan(base, people(count), tables or SMS)
    for batch in plan.read_batches():
        record(plan, claim(batch.id), accepted(batch))
    return plan


def say(plan: Plan, words: dict[int, str], *, channel: str = "sms") -> None:
    """Let receipts say so of the person in a row."""
    tell(plan.run_dir.receipts, {message_id(phone(row), channel): text for row, text in words.items()})


def chosen_rows(found: Selection) -> dict[int, list[str]]:
    """Return the channels on which each chosen row is sent again."""
    return {
        row: [str(channel) for at, channel in enumerate(CHANNELS) if mask >> at & 1]
        for row, mask in enumerate(found.masks.tolist())
        if mask
    }


@pytest.mark.parametrize(
    ("told", "again", "label"),
    [
        ("DELIVERED", False, None),
        ("READ", False, None),
        ("SENT", False, None),
        ("QUEUED", False, None),
        ("SCHEDULED", False, None),
        ("BLOCKED BUSINESS_003", True, "blocked (BUSINESS_003)"),
        ("BLOCKED BUSINESS_005", True, "blocked (BUSINESS_005)"),
        ("BLOCKED", True, "blocked"),
        (
            "BLOCKED CONVERSATION_TEMPLATE_REQUIRED",
            False,
            "free text needs an open conversation (CONVERSATION_TEMPLATE_REQUIRED)",
        ),
        ("FAILED DELIVERY_003", True, "failed (DELIVERY_003)"),
        ("FAILED", True, "failed"),
        ("FAILED DELIVERY_007", False, "not on this channel: --channel names another (DELIVERY_007)"),
        ("FAILED CHANNEL_002", False, "cannot be reached (CHANNEL_002)"),
        ("FILTERED BUSINESS_004", False, "must not be messaged (BUSINESS_004)"),
        ("FILTERED", False, "must not be messaged"),
        ("FILTERED ERR_ROUTE_DENIED", False, "forbidden by a rule of the account (ERR_ROUTE_DENIED)"),
        ("CANCELLED", False, "were cancelled"),
    ],
)
def test_the_last_word_decides_who_gets_it_again(tmp_path: Path, told: str, label: str | None, *, again: bool) -> None:
    plan = sent(tmp_path)
    say(plan, {1: told})
    found = choose_retry(plan)

    assert chosen_rows(found) == ({1: ["sms"]} if again else {})
    assert (found.again, found.left_out) == (
        ({label: 1} if again else {}), ({label: 1} if label and not again else {}),
    )  # fmt: skip


def test_without_any_word_nobody_gets_it_again(tmp_path: Path) -> None:
    found = choose_retry(sent(tmp_path))

    assert (found.recipients, found.again, found.left_out) == (0, {}, {})


def test_a_failure_where_the_api_picks_is_left_alone_until_no_other_route_can_come(tmp_path: Path) -> None:
    plan = sent(tmp_path, 2, {"message": {"channels": []}})
    young = word(message_id(phone(0), "auto"), "FAILED", at_us=time.time_ns() // 1000)
    hear(plan.run_dir.receipts, young, word(message_id(phone(1), "auto"), "FAILED"))
    found = choose_retry(plan)

    assert chosen_rows(found) == {1: ["auto"]}
    assert list(found.left_out) == ["failed a few minutes ago: another route may be tried"]


def test_a_failure_on_a_named_channel_is_settled_at_once(tmp_path: Path) -> None:
    plan = sent(tmp_path, 1)
    hear(plan.run_dir.receipts, word(message_id(phone(0), "sms"), "FAILED", at_us=time.time_ns() // 1000))

    assert chosen_rows(choose_retry(plan)) == {0: ["sms"]}


def test_only_the_channel_that_failed_is_tried_again(tmp_path: Path) -> None:
    plan = sent(tmp_path, 2, BOTH)
    say(plan, {0: "FAILED", 1: "DELIVERED"})
    say(plan, {0: "DELIVERED", 1: "BLOCKED"}, channel="whatsapp")

    assert chosen_rows(choose_retry(plan)) == {0: ["sms"], 1: ["whatsapp"]}


@pytest.mark.parametrize(
    ("told", "channel", "expected"),
    [
        ("FAILED DELIVERY_007", Channel.WHATSAPP, {0: ["whatsapp"]}),
        ("FAILED DELIVERY_007", Channel.SMS, {}),
        ("FAILED DELIVERY_003", Channel.WHATSAPP, {0: ["whatsapp"]}),
        ("FAILED DELIVERY_003", Channel.SMS, {0: ["sms"]}),
        ("FILTERED", Channel.WHATSAPP, {}),
        ("DELIVERED", Channel.WHATSAPP, {}),
    ],
)
def test_another_channel_can_be_named(
    tmp_path: Path, told: str, channel: Channel, expected: dict[int, list[str]]
) -> None:
    plan = sent(tmp_path)
    say(plan, {0: told})

    assert chosen_rows(choose_retry(plan, channel=channel)) == expected


def test_who_has_a_message_on_the_named_channel_gets_no_second_one(tmp_path: Path) -> None:
    plan = sent(tmp_path, 3, BOTH)
    say(plan, {0: "FAILED", 1: "FAILED", 2: "FAILED"})
    say(plan, {0: "DELIVERED", 1: "FAILED"}, channel="whatsapp")  # of row 2 nothing is known there
    found = choose_retry(plan, channel=Channel.WHATSAPP)

    assert chosen_rows(found) == {1: ["whatsapp"]}
    assert found.left_out["have a message on that channel"] == 2


def test_the_channel_that_the_api_had_picked_is_the_same_channel(tmp_path: Path) -> None:
    plan = sent(tmp_path, 1, {"message": {"channels": []}})
    hear(plan.run_dir.receipts, word(message_id(phone(0), "auto"), "FAILED", code="DELIVERY_007", via="whatsapp"))

    assert chosen_rows(choose_retry(plan, channel=Channel.WHATSAPP)) == {}
    assert chosen_rows(choose_retry(plan, channel=Channel.SMS)) == {0: ["sms"]}


def test_the_refused_are_joined_by_those_whom_it_did_not_reach(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(4), SMS, batch_size=2)
    first, second = plan.read_batches()
    record(plan, claim(0), accepted(first), claim(1), rejected(second))
    say(plan, {0: "DELIVERED", 1: "BLOCKED BUSINESS_003"})
    found = choose_retry(plan)

    assert chosen_rows(found) == {1: ["sms"], 2: ["sms"], 3: ["sms"]}
    assert found.again == {"rejected (BUSINESS_003)": 2, "blocked (BUSINESS_003)": 1}
    assert found.replaced == {"rejected": 2, "accepted": 1}


def test_who_was_refused_for_having_opted_out_is_left_alone(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), SMS)
    (batch,) = plan.read_batches()
    record(plan, claim(0), rejected(batch, code="BUSINESS_004"))
    found = choose_retry(plan)

    assert (found.recipients, found.left_out) == (0, {"must not be messaged (BUSINESS_004)": 2})


def resent(plan: Plan, settle: Callable[[Any], Any]) -> None:
    """Let a person decide to send a request in doubt again; that ends as *settle* says."""
    (batch,) = plan.read_batches()
    child, whole = child_of(plan, batch, range(len(batch.to)), number=-1)
    outcome = replace(divided(batch, blamed=[]).outcome, state=State.RESENT)
    record(plan, claim(0), attempt(0), replace(divided(batch, blamed=[], children=[child]), outcome=outcome))
    record(plan, claim(-1), settle(whole))


def test_what_was_ever_in_doubt_is_never_retried_whatever_became_of_the_second_attempt(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2), SMS)
    resent(plan, accepted)
    say(plan, {0: "FAILED", 1: "BLOCKED BUSINESS_003"})
    found = choose_retry(plan)

    assert (found.recipients, found.left_out) == (0, {"may have arrived by an earlier attempt": 2})


# ---- the part that follows ------------------------------------------------------------------------------------------


def retry(plan: Plan, *, channel: Channel | None = None) -> Plan:
    longer = add_retry(plan, chosen=choose_retry(plan, channel=channel))
    assert longer is not None
    return longer


def manifest(plan: Plan) -> list[tuple[int, str, str, str | None]]:
    """Build the manifest, check it with counts and audit, and return its rows."""
    facts = Facts.read(plan)
    made = build_manifest(plan, facts, to=plan.run_dir.manifest)
    counted = tally(plan, facts)
    assert made.counts == {status: getattr(counted, status) for status in made.counts}
    assert audit(plan).difference is None
    rows = pq.read_table(plan.run_dir.manifest).to_pylist()
    return [(row["input_row"], row["channel"], row["status"], row["delivery_status"]) for row in rows]


def settle_retry(plan: Plan, *, suffix: str = "-again") -> None:
    for batch in plan.read_batches():
        if batch.id >= plan.parts[-1].head.first_batch:
            ids = {to: message_id(to, str(batch.channels[0])) + suffix for to in batch.to}
            record(plan, claim(batch.id), accepted(batch, ids=ids))


def test_on_the_same_channel_the_new_word_replaces_the_old_one(tmp_path: Path) -> None:
    plan = sent(tmp_path, 3)
    say(plan, {0: "DELIVERED", 1: "BLOCKED", 2: "FAILED"})
    longer = retry(plan)
    assert manifest(longer) == [
        (0, "sms", "accepted", "delivered"), (1, "sms", "pending", None), (2, "sms", "pending", None),
    ]  # fmt: skip
    settle_retry(longer)
    assert manifest(longer) == [
        (0, "sms", "accepted", "delivered"), (1, "sms", "accepted", None), (2, "sms", "accepted", None),
    ]  # fmt: skip
    assert (longer.deliveries, longer.recipients) == (3, 3)
    assert choose_retry(longer).recipients == 0


def test_another_channel_adds_a_row_and_the_old_word_stays(tmp_path: Path) -> None:
    plan = sent(tmp_path, 3)
    say(plan, {0: "DELIVERED", 1: "FAILED DELIVERY_007", 2: "FILTERED"})
    longer = retry(plan, channel=Channel.WHATSAPP)
    settle_retry(longer)
    assert manifest(longer) == [
        (0, "sms", "accepted", "delivered"),
        (1, "sms", "accepted", "failed"),
        (1, "whatsapp", "accepted", None),
        (2, "sms", "accepted", "filtered"),
    ]
    assert (longer.deliveries, longer.recipients) == (4, 3)
    assert [part.head.added for part in longer.parts] == [0, 1]


def test_who_was_sent_it_on_another_channel_is_judged_by_that_message_alone(tmp_path: Path) -> None:
    plan = sent(tmp_path, 2)
    say(plan, {0: "FAILED DELIVERY_003", 1: "FAILED DELIVERY_003"})
    longer = retry(plan, channel=Channel.WHATSAPP)
    settle_retry(longer, suffix="")
    tell(
        plan.run_dir.receipts,
        {message_id(phone(0), "whatsapp"): "DELIVERED", message_id(phone(1), "whatsapp"): "BLOCKED"},
    )
    found = choose_retry(longer)

    assert chosen_rows(found) == {1: ["whatsapp"]}
    assert found.left_out == {"were sent again on another channel": 2}
    settle_retry(again := retry(longer))
    assert len(manifest(again)) == 4


def test_a_later_word_after_the_retry_changes_nothing_of_what_it_rested_on(tmp_path: Path) -> None:
    """A message that was failed for good arrives all the same: late, but no reason to doubt the plan."""
    plan = sent(tmp_path, 2)
    say(plan, {0: "FAILED DELIVERY_003"})
    longer = retry(plan)
    settle_retry(longer)
    tell(plan.run_dir.receipts, {message_id(phone(0), "sms"): "DELIVERED"})
    (plan.run_dir.receipts).rename(tmp_path / "elsewhere.sqlite")
    manifest(longer)


def test_parameters_and_generation_are_kept_apart_and_batches_are_no_larger(tmp_path: Path) -> None:
    tables: dict[str, dict[str, Any]] = {"message": {"channels": ["sms"], "parameters": {"name": "{name}"}}}
    plan = make_plan(tmp_path, people(6, name=["Ada", "Bea"]), tables, batch_size=2)
    for batch in plan.read_batches():
        record(plan, claim(batch.id), accepted(batch))
    say(plan, dict.fromkeys(range(6), "BLOCKED"))
    longer = retry(plan, channel=Channel.RCS)
    born = [each for each in longer.read_batches() if each.id >= longer.parts[-1].head.first_batch]

    assert [(len(each.to), each.parameters, each.channels, each.generation) for each in born] == [
        (2, b'{"name":"Ada"}', (Channel.RCS,), "r1"),
        (1, b'{"name":"Ada"}', (Channel.RCS,), "r1"),
        (2, b'{"name":"Bea"}', (Channel.RCS,), "r1"),
        (1, b'{"name":"Bea"}', (Channel.RCS,), "r1"),
    ]


def test_the_preview_shows_the_retry_alone_and_why_it_has_whom(tmp_path: Path) -> None:
    plan = sent(tmp_path, 4)
    say(plan, {0: "FAILED DELIVERY_007", 1: "BLOCKED", 2: "FILTERED"})
    chosen = choose_retry(plan, channel=Channel.RCS)
    longer = add_retry(plan, chosen=chosen)
    assert longer is not None
    shown = preview_retry(longer, requests_per_minute=60, messages_per_minute=0, chosen=chosen)

    assert (shown.rows, shown.recipients, shown.messages, shown.requests) == (2, 2, 2, 1)
    assert shown.again == {"failed (DELIVERY_007)": 1, "blocked": 1}
    assert shown.left_out == {"must not be messaged": 1}


def edited(plan: Plan, edit: dict[str, Any]) -> None:
    path = plan.run_dir.rows(1)
    table = pq.read_table(path)
    pq.write_table(table.from_pydict(table.to_pydict() | edit, schema=table.schema), path, write_page_checksum=True)


@pytest.mark.parametrize(
    "edit",
    [{"status": ["DELIVERED"]}, {"reason": ["BUSINESS_004"]}, {"row": [0]}, {"row": [99]}, {"channel": [4]}],
    ids=["what arrived", "an opt-out", "another row", "no row", "another channel"],
)
def test_a_retry_that_rests_on_nothing_is_named(tmp_path: Path, edit: dict[str, Any]) -> None:
    plan = sent(tmp_path, 2)
    say(plan, {0: "DELIVERED", 1: "FAILED DELIVERY_003"})
    longer = retry(plan)
    assert list(unfounded(longer, Facts.read(longer))) == []
    edited(longer, edit)

    assert "sends to row 1 again" in next(unfounded(longer, Facts.read(longer)), "")
    assert "is not the file that was frozen" in (audit(longer).difference or "")
