"""``failed.csv`` and ``excluded.csv``: to be opened in a spreadsheet, corrected, and used as a list again."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from support.plans import (
    Settling,
    accepted,
    child_of,
    divided,
    extend_plan,
    freeze,
    make_job,
    make_plan,
    people,
    phone,
    record,
    rejected,
    write_csv,
)

from broadcaster.lists.read import open_list
from broadcaster.phones import normalise
from broadcaster.store.exports import safe, write_exports, write_summary
from broadcaster.store.facts import Facts
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan

Tables = dict[str, dict[str, Any]]
BOTH: Tables = {"message": {"channels": ["whatsapp", "sms"]}}


def export(plan: Plan, lists: Mapping[int, Path] | None = None) -> None:
    """Build the manifest and write the exports; *lists* are those that are still there, by part."""
    build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)
    sources = {part: open_list([str(path)], base=path.parent).batches() for part, path in (lists or {}).items()}
    write_exports(plan.run_dir, sources=sources, phone="mobile")


def table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_failed_deliveries_keep_their_columns_and_say_on_which_channel_and_why(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(3, name=["Ada", 'Z\u00fc, "x"']), BOTH, batch_size=1)
    one, two, three = plan.read_batches()
    record(plan, accepted(one), rejected(two, code="BUSINESS_003", sentence="no balance"), accepted(three))
    export(plan, {0: tmp_path / "list.csv"})

    assert table(plan.run_dir.failed) == [
        ["id", "mobile", "name", "channel", "reason", "error"],
        ["c1", phone(1), 'Z\u00fc, "x"', "sms", "BUSINESS_003", "no balance"],
        ["c1", phone(1), 'Z\u00fc, "x"', "whatsapp", "BUSINESS_003", "no balance"],
    ]
    assert not plan.run_dir.excluded.exists()
    assert plan.run_dir.failed.stat().st_mode & 0o777 == 0o600


def test_only_whom_the_api_named_is_in_the_failed_list_after_a_split(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(4))
    (parent,) = plan.read_batches()
    child, child_batch = child_of(plan, parent, [0, 1, 3], number=-1)
    record(plan, divided(parent, blamed=[2], children=[child]), accepted(child_batch))
    export(plan, {0: tmp_path / "list.csv"})

    assert [row[0] for row in table(plan.run_dir.failed)] == ["id", "c2"]


def test_excluded_rows_are_listed_once_whatever_the_channels(tmp_path: Path) -> None:
    rows = [*people(2), {"id": "x", "mobile": "none"}, {"id": "", "mobile": phone(1)}]
    plan = make_plan(tmp_path, rows, BOTH)
    export(plan, {0: tmp_path / "list.csv"})
    header, invalid, duplicate = table(plan.run_dir.excluded)

    assert header == ["id", "mobile", "reason", "error"]
    assert invalid[:3] == ["x", "none", "invalid_number"]
    assert duplicate == ["", phone(1), "duplicate", "the same number as input row 1"]
    assert not plan.run_dir.failed.exists()


def test_a_list_that_is_gone_leaves_what_the_manifest_knows(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, [*people(1, name=["Ada"]), {"id": "x", "mobile": "none", "name": "Bea"}])
    (only,) = plan.read_batches()
    record(plan, rejected(only))
    export(plan)

    assert table(plan.run_dir.failed) == [
        ["recipient_id", "mobile", "channel", "reason", "error"],
        ["c0", phone(0), "auto", "BUSINESS_003", "no balance"],
    ]
    assert table(plan.run_dir.excluded)[1][:3] == ["x", "none", "invalid_number"]


def test_rows_of_an_extension_come_from_its_own_list(tmp_path: Path) -> None:
    make_plan(tmp_path, people(2, name=["Ada"]), batch_size=1)
    (tmp_path / "list.csv").rename(tmp_path / "first.csv")
    plan = extend_plan(tmp_path, list(reversed(people(4, name=["Ada", "Bea"]))), batch_size=1)
    record(plan, *map(rejected, plan.read_batches()))
    export(plan, {0: tmp_path / "first.csv", 1: tmp_path / "list.csv"})

    assert [row[:3] for row in table(plan.run_dir.failed)] == [
        ["id", "mobile", "name"],
        ["c0", phone(0), "Ada"],
        ["c1", phone(1), "Ada"],
        ["c3", phone(3), "Bea"],
        ["c2", phone(2), "Ada"],
    ]


def test_columns_that_the_list_has_already_are_kept_beside_ours(tmp_path: Path) -> None:
    rows = [{**row, "reason": "old", "error": "older", "error_": "oldest"} for row in people(1)]
    plan = make_plan(tmp_path, rows)
    (only,) = plan.read_batches()
    record(plan, rejected(only))
    export(plan, {0: tmp_path / "list.csv"})

    assert table(plan.run_dir.failed) == [
        ["id", "mobile", "reason", "error", "error_", "channel", "reason_", "error__"],
        ["c0", phone(0), "old", "older", "oldest", "auto", "BUSINESS_003", "no balance"],
    ]


def test_files_without_rows_are_removed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    for path in (plan.run_dir.failed, plan.run_dir.excluded):
        path.write_text("of an earlier stop", encoding="utf-8")
    export(plan, {0: tmp_path / "list.csv"})

    assert not plan.run_dir.failed.exists()
    assert not plan.run_dir.excluded.exists()


def test_what_failed_can_be_used_as_a_list_again_and_again(tmp_path: Path) -> None:
    mobiles = ["(415) 555-0100", "+1 415-555-0101", "14155550102"]
    rows = [{"id": f"c{n}", "mobile": mobile, "name": "Z\u00fc"} for n, mobile in enumerate(mobiles)]
    path = write_csv(tmp_path / "list.csv", rows)
    for generation in range(3):
        base = tmp_path / str(generation)
        base.mkdir()
        plan = freeze(base, make_job(base, {"recipients": {"file": str(path)}})).plan
        (only,) = plan.read_batches()
        assert only.to == (phone(0), phone(1), phone(2))
        record(plan, rejected(only))
        export(plan, {0: path})
        path = plan.run_dir.failed

    (batch,) = open_list([str(path)], base=tmp_path).batches(["mobile", "name"])
    # What a spreadsheet would calculate stands behind an apostrophe, which is no part of a number.
    assert batch.column("mobile").to_pylist() == [mobiles[0], f"'{mobiles[1]}", mobiles[2]]
    assert set(batch.column("name").to_pylist()) == {"Z\u00fc"}
    assert normalise(batch.column("mobile"), "US").fault.tolist() == [0, 0, 0]


def test_cells_that_a_spreadsheet_would_run_are_shown(tmp_path: Path) -> None:
    rows = [
        {"id": "=1+1", "mobile": phone(0), "name": "@SUM(A1)"},
        {"id": "-2+3", "mobile": "=HYPERLINK(1)", "name": "x"},
    ]
    plan = make_plan(tmp_path, rows)
    (only,) = plan.read_batches()
    refusal = rejected(only, sentence="=cmd|' /C calc'!A0")
    record(plan, Settling(outcome=refusal.outcome))
    export(plan, {0: tmp_path / "list.csv"})

    assert table(plan.run_dir.failed)[1] == [
        "'=1+1",
        phone(0),
        "'@SUM(A1)",
        "auto",
        "BUSINESS_003",
        "'=cmd|' /C calc'!A0",
    ]
    assert table(plan.run_dir.excluded)[1][:3] == ["'-2+3", "'=HYPERLINK(1)", "x"]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        pytest.param(None, "", id="nothing"),
        pytest.param("", "", id="an empty cell"),
        pytest.param("Ada", "Ada", id="a name"),
        pytest.param("a=b", "a=b", id="a sign inside"),
        pytest.param("+14155550100", "+14155550100", id="a number keeps its plus"),
        pytest.param("+1-415-555-0100", "'+1-415-555-0100", id="a number that would be calculated"),
        pytest.param("-12.5", "-12.5", id="a negative number"),
        pytest.param("=1+1", "'=1+1", id="a formula"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="an at sign"),
        pytest.param("+SUM(A1)", "'+SUM(A1)", id="a plus before a word"),
        pytest.param("-1+A1", "'-1+A1", id="a minus before a sum"),
        pytest.param("\t=1", "'\t=1", id="a tab"),
        pytest.param("\r=1", "'\r=1", id="a carriage return"),
        pytest.param("\n=1", "'\n=1", id="a line feed"),
        pytest.param("\uff1d1+1", "'\uff1d1+1", id="a wide equals sign"),
        pytest.param("+1\n=1", "'+1\n=1", id="a formula on the second line of a number"),
    ],
)
def test_a_cell_is_shown_and_not_run(cell: str | None, shown: str) -> None:
    assert safe(pa.array([cell, "x"], pa.string())).to_pylist() == [shown, "x"]


def test_a_summary_is_json_for_people(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_summary(path, {"campaign": "fr\u00fchling", "rows": 3})

    assert json.loads(path.read_bytes()) == {"campaign": "fr\u00fchling", "rows": 3}
    assert path.read_text(encoding="utf-8") == '{\n  "campaign": "fr\u00fchling",\n  "rows": 3\n}\n'
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_excluded_is_excluded_again_for_the_same_reasons_when_it_is_used_as_a_list(tmp_path: Path) -> None:
    mobiles = ["=1+1", "-415", "+1-415-555-0100", "@me", "\t", "+1 415 555 01", "'=2"]
    rows = [{"id": f"={n}", "mobile": mobile, "name": "" if n == 2 else "+Z"} for n, mobile in enumerate(mobiles)]
    tables: Tables = {"message": {"parameters": {"name": "{name}"}}}
    first, again = tmp_path / "first", tmp_path / "again"
    for base in (first, again):
        base.mkdir()
    write_csv(first / "list.csv", [*rows, *people(1, name=["Ada"])])
    plan = freeze(first, make_job(first, tables)).plan
    export(plan, {0: first / "list.csv"})
    copy = again / "list.csv"
    copy.write_bytes(plan.run_dir.excluded.read_bytes() + f'"x","{phone(1)}","Bea","",""\n'.encode())
    longer = freeze(again, make_job(again, tables)).plan
    export(longer, {0: copy})

    assert longer.excluded == plan.excluded == {"invalid_number": 6, "missing_parameter": 1}
    told, retold = table(plan.run_dir.excluded), table(longer.run_dir.excluded)
    assert [row[-2:] for row in told[1:]] == [row[-2:] for row in retold[1:]]
    cells = [cell for row in (*told, *retold) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=@\t\r" and cell]
