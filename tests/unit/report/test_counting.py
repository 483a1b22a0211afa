"""Counting a manifest column by column, against manifests made by hand and counted row by row."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.errors import StoreDamaged
from broadcaster.report.counting import Cell, count_manifest, numbers_of
from broadcaster.report.figures import Outcome
from broadcaster.report.outcomes import outcome_of
from broadcaster.store.manifest import MANIFEST
from broadcaster.store.parquet import writing

START = datetime(2026, 11, 21, 8, 46, tzinfo=UTC)


def row(status: str, **more: Any) -> dict[str, Any]:
    """Return a row of a manifest; moments are seconds after :data:`START`."""
    found: dict[str, Any] = {
        **dict.fromkeys(MANIFEST.names), "input_row": 0, "phone_input": "", "to": "+14155550100", "channel": "sms",
        "status": status, "attempts": 1, "part": 0, **more,
    }  # fmt: skip
    for name in ("first_attempt_at", "settled_at", "delivery_updated_at"):
        if found[name] is not None:
            found[name] = START + timedelta(seconds=found[name])
    return found


def written(path: Path, *groups: Sequence[Mapping[str, Any]]) -> Path:
    """Write a manifest with these row groups."""
    with writing(path, MANIFEST) as writer:
        for group in groups:
            writer.write_table(pa.Table.from_pylist(list(group), schema=MANIFEST))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.parquet"


def test_a_manifest_without_a_row_counts_nothing(path: Path) -> None:
    counted = count_manifest(written(path))

    assert (counted.rows, set(counted.by_outcome().values()), numbers_of(counted)) == (0, {0}, {})


def test_rows_of_all_row_groups_are_counted_together(path: Path) -> None:
    accepted = row("accepted", settled_at=1)
    told = row("accepted", settled_at=2, delivery_status="delivered", delivery_channel="sms", delivery_updated_at=60)
    counted = count_manifest(written(path, [accepted] * 3, [told, accepted], [row("pending")] * 2))

    assert counted.by_status() == {"pending": 2, "accepted": 5, "rejected": 0, "excluded": 0, "in_doubt": 0}
    assert counted.cells[Cell("accepted", None, "sms", "delivered", "sms", None)] == 1
    assert {name: list(each) for name, each in numbers_of(counted).items()} == {
        Outcome.ACCEPTED: [14155550100] * 4,
        Outcome.DELIVERED: [14155550100],
        Outcome.PENDING: [14155550100] * 2,
    }
    at = int(START.timestamp())
    assert counted.settled == {("accepted", at + 1): 4, ("accepted", at + 2): 1}
    assert counted.told == {(Outcome.DELIVERED, at + 60): 1}


def test_moments_that_are_years_apart_are_counted_too(path: Path) -> None:
    far = 10 * 365 * 86_400
    counted = count_manifest(written(path, [row("rejected", settled_at=0)] * 2 + [row("rejected", settled_at=far)]))

    assert sorted(counted.settled.values()) == [1, 2]


def test_the_first_rows_of_each_reason_are_kept_whatever_row_group_they_are_in(path: Path) -> None:
    def excluded(at: int, reason: str) -> dict[str, Any]:
        return row("excluded", reason=reason, error="why", input_row=at, to=None, phone_input=f"cell {at}")

    groups = [
        [excluded(0, "duplicate"), row("accepted"), excluded(2, "suppressed")],
        [row("accepted")] * 3,
        [excluded(6 + at, "duplicate") for at in range(5)],
    ]
    samples = count_manifest(written(path, *groups)).samples

    assert {reason: [each.input_row for each in kept] for reason, kept in samples.items()} == {
        "duplicate": [0, 6, 7],
        "suppressed": [2],
    }
    assert (samples["suppressed"][0].phone_input, samples["suppressed"][0].error) == ("cell 2", "why")
    assert count_manifest(path, examples=False).samples == {}


def test_the_oldest_doubt_is_found_by_reason(path: Path) -> None:
    groups = [
        [row("in_doubt", reason="lost", first_attempt_at=at) for at in (30, 20)],
        [row("in_doubt", reason="lost", first_attempt_at=25), row("in_doubt", reason="no_answer", first_attempt_at=50)],
    ]
    at = int(START.timestamp()) * 1_000_000

    assert count_manifest(written(path, *groups)).oldest_doubt == {
        "lost": at + 20_000_000,
        "no_answer": at + 50_000_000,
    }


def test_an_api_that_gives_every_message_a_sentence_of_its_own_does_not_fill_the_memory(path: Path) -> None:
    rows = [row("rejected", reason=f"number {at} is wrong") for at in range(10_050)]
    counted = count_manifest(written(path, rows))

    assert len(counted.cells) == 10_001
    assert counted.cells[Cell("rejected", "other", "sms", None, None, None)] == 50
    assert counted.rows == 10_050


def test_a_manifest_that_cannot_be_read_is_damaged(path: Path) -> None:
    path.write_bytes(b"x" * 100)

    with pytest.raises(StoreDamaged, match="cannot be read"):
        count_manifest(path)


_ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["accepted", "rejected", "excluded", "in_doubt", "pending"]),
        reason=st.sampled_from([None, "lost", "duplicate", "VALIDATION_002"]),
        channel=st.sampled_from(["sms", "auto"]),
        delivery_status=st.sampled_from([None, "delivered", "failed", "new"]),
        delivery_channel=st.sampled_from([None, "sms"]),
        delivery_reason=st.sampled_from([None, "DELIVERY_003"]),
    ),
    max_size=12,
)


@given(groups=st.lists(_ROWS, max_size=3))
def test_counting_columns_is_counting_rows(groups: list[list[dict[str, Any]]], tmp_path_factory: Any) -> None:
    path = written(tmp_path_factory.mktemp("manifest") / "manifest.parquet", *groups)
    rows = [each for group in groups for each in group]
    counted = count_manifest(path)

    assert counted.cells == Counter(Cell(*(each[name] for name in Cell._fields)) for each in rows)
    assert {outcome: len(numbers) for outcome, numbers in numbers_of(counted).items()} == Counter(
        outcome_of(each["status"], each["delivery_status"]) for each in rows if each["status"] != "excluded"
    )
