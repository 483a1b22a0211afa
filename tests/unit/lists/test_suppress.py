"""Suppression lists: all their numbers, or no run."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from broadcaster.errors import ListUnusable
from broadcaster.lists.suppress import open_suppressed, suppressed_numbers


def numbers(base: Path, *files: str) -> list[int]:
    found: list[int] = suppressed_numbers(
        open_suppressed(files, base=base), phone="mobile", default_region="US"
    ).tolist()
    return found


def test_numbers_of_lists_and_manifests_are_sorted_and_each_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("since;mobile\n2026;(415) 555-0103\n2026;\n2026;n/a\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("who\n+1 415 555 0101\n415.555.0103\n", encoding="utf-8")
    manifest = {"to": ["+14155550102", None], "status": ["accepted", "excluded"], "mobile": ["415 555 0199"] * 2}
    parquet.write_table(pa.table(manifest), tmp_path / "manifest.parquet")

    assert numbers(tmp_path, "a.csv", "b.txt", "*.parquet") == [14155550101, 14155550102, 14155550103]


def test_no_list_suppresses_nobody(tmp_path: Path) -> None:
    assert numbers(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("phone\nAda\nn/a\n", "the column 'phone' has not a single valid phone number", id="no number"),
        pytest.param("phone,since\n", "has a header and no rows", id="no rows"),
        pytest.param("who,since\n+14155550100,2026\n", "no column is known to hold phone numbers", id="no column"),
        pytest.param("phone,since\n+14155550100\n", "line 2 has 1 cell", id="ragged"),
    ],
)
def test_a_list_that_would_suppress_nobody_is_refused_by_name(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "good.csv").write_text("phone\n+14155550100\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_text(content, encoding="utf-8")

    with pytest.raises(ListUnusable) as refused:
        numbers(tmp_path, "good.csv", "bad.csv")

    assert str(tmp_path / "bad.csv") in refused.value.sentence
    assert sentence in refused.value.sentence
    assert "555" not in refused.value.sentence


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListUnusable, match="there is no such file"):
        numbers(tmp_path, "none.csv")


@pytest.mark.parametrize(
    ("status", "reason", "suppressed"),
    [
        pytest.param("accepted", None, True, id="it was messaged"),
        pytest.param("in_doubt", "no_answer", True, id="it may have been messaged"),
        pytest.param("excluded", "skipped_in_doubt", True, id="it may have been messaged, and a person let it be"),
        pytest.param("excluded", "missing_parameter", False, id="it was left out"),
        pytest.param("rejected", "VALIDATION_002", False, id="the API refused it and created nothing"),
        pytest.param("pending", None, False, id="it was not reached"),
    ],
)
def test_a_manifest_suppresses_whom_a_message_may_have_reached(
    tmp_path: Path,
    status: str,
    reason: str | None,
    suppressed: bool,  # noqa: FBT001 - a table's column
) -> None:
    manifest = {
        "to": ["+14155550100", "+14155550101"],
        "status": ["accepted", status],
        "reason": pa.array([None, reason], pa.string()),
        "idempotency_key": ["f1-a", "f1-b"],
    }
    parquet.write_table(pa.table(manifest), tmp_path / "manifest.parquet")
    sources = open_suppressed(["manifest.parquet"], base=tmp_path)

    found = suppressed_numbers(sources, phone=None, default_region=None).tolist()
    assert found == [14155550100, *([14155550101] if suppressed else [])]
