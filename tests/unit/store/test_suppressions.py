"""``suppress.csv``: who is to be left alone for good, so that the next job can name the file."""

import stat
from pathlib import Path
from typing import Any

import pytest
from support.plans import accepted, claim, make_plan, message_id, people, phone, record, rejected
from support.receipts import tell

from broadcaster.store.facts import Facts
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan
from broadcaster.store.suppressions import write_suppressions


def sent(base: Path, words: dict[int, str], *, count: int = 3, channels: tuple[str, ...] = ("sms",)) -> Plan:
    tables: dict[str, dict[str, Any]] = {"message": {"channels": list(channels)}}
    plan = make_plan(base, people(count), tables)
    (batch,) = plan.read_batches()
    record(plan, claim(0), accepted(batch))
    tell(plan.run_dir.receipts, {message_id(phone(row), channels[0]): text for row, text in words.items()})
    return plan


def written(plan: Plan) -> list[str]:
    build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)
    count = write_suppressions(plan.run_dir)
    path = plan.run_dir.suppress
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    assert max(0, len(lines) - 1) == count
    return lines


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("FILTERED", ',"opted_out",""'),
        ("FILTERED BUSINESS_004", ',"opted_out","BUSINESS_004"'),
        ("FILTERED +14155550100 wrote STOP", ',"opted_out",""'),
        ("FAILED CHANNEL_002", ',"unreachable","CHANNEL_002"'),
        ("FAILED VALIDATION_002", ',"invalid_number","VALIDATION_002"'),
        ("FAILED DELIVERY_003", None),
        ("FAILED DELIVERY_007", None),
        ("BLOCKED BUSINESS_003", None),
        ("FILTERED ERR_ROUTE_DENIED", None),
        ("CANCELLED", None),
        ("DELIVERED", None),
    ],
)
def test_only_what_lasts_is_in_it(tmp_path: Path, told: str, expected: str | None) -> None:
    lines = written(sent(tmp_path, {1: told, 2: "SENT"}))

    assert lines == ([] if expected is None else ['"number","reason","code"', f'"{phone(1)}"{expected}'])


def test_it_is_for_its_owner_only_and_goes_when_it_has_nobody(tmp_path: Path) -> None:
    plan = sent(tmp_path, {1: "FAILED CHANNEL_002"})
    written(plan)
    assert stat.S_IMODE(plan.run_dir.suppress.stat().st_mode) == 0o600
    tell(plan.run_dir.receipts, {message_id(phone(1), "sms"): "DELIVERED"})
    assert written(plan) == []


def test_a_number_that_something_reached_is_no_dead_one_but_an_opt_out_stays(tmp_path: Path) -> None:
    plan = sent(
        tmp_path, {0: "FAILED CHANNEL_002", 1: "FILTERED", 2: "FAILED CHANNEL_002"}, channels=("sms", "whatsapp")
    )
    tell(plan.run_dir.receipts, {message_id(phone(row), "whatsapp"): "DELIVERED" for row in (0, 1)})

    assert [line.split(",")[:2] for line in written(plan)[1:]] == [
        [f'"{phone(1)}"', '"opted_out"'], [f'"{phone(2)}"', '"unreachable"'],
    ]  # fmt: skip


def test_a_number_is_in_it_once_whatever_the_channels(tmp_path: Path) -> None:
    plan = sent(tmp_path, {1: "FILTERED"}, channels=("sms", "whatsapp"))
    tell(plan.run_dir.receipts, {message_id(phone(1), "whatsapp"): "FILTERED BUSINESS_004"})

    assert len(written(plan)) == 2


@pytest.mark.parametrize(
    ("code", "reason"), [("BUSINESS_004", "opted_out"), ("VALIDATION_002", "invalid_number"), ("BUSINESS_003", None)]
)
def test_what_the_api_refused_for_good_is_in_it_too(tmp_path: Path, code: str, reason: str | None) -> None:
    plan = make_plan(tmp_path, people(2))
    (batch,) = plan.read_batches()
    record(plan, claim(0), rejected(batch, code=code))

    assert [line.split(",")[1] for line in written(plan)[1:]] == ([f'"{reason}"'] * 2 if reason else [])
