"""From a small list to the two tables of a part: their columns, their contents, and what they do not depend on."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.plans import TEMPLATE, build_tables, extend_plan, freeze, make_job, make_plan, people, phone, write_csv

from broadcaster.core.words import Channel
from broadcaster.errors import CountUnexpected, ListUnusable, StoreError
from broadcaster.planning import bodies, rowtable
from broadcaster.planning import built as counting
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

# design.md decides the words, architecture.md §5 the columns.
PLAN_COLUMNS = {
    "input_row": "int64",
    "recipient_id": "string",
    "phone_input": "string",
    "to": "string",
    "channels": "dictionary<values=string, indices=int32, ordered=0>",
    "batch": "int32",
    "reason": "dictionary<values=string, indices=int32, ordered=0>",
    "error": "string",
}
BATCH_COLUMNS = {
    "batch": "int32",
    "idempotency_key": "string",
    "parameters": "string",
    "send_at": "string",
    "channels": "dictionary<values=string, indices=int32, ordered=0>",
    "rows": "list<element: int64>",
    "to": "list<element: string>",
    "zones": "dictionary<values=string, indices=int32, ordered=0>",
}

Tables = dict[str, dict[str, Any]]

MIXED = [
    {"id": "a", "mobile": "(415) 555-0100", "name": "Ada", "stop": ""},
    {"id": "b", "mobile": phone(1), "name": "Bea", "stop": ""},
    {"id": "c", "mobile": "call me", "name": "Ada", "stop": ""},
    {"id": "d", "mobile": phone(2), "name": "Ada", "stop": ""},
    {"id": "", "mobile": "+1 415 555 0101", "name": "Ada", "stop": ""},
    {"id": "f", "mobile": phone(3), "name": " ", "stop": ""},
    {"id": "g", "mobile": phone(4), "name": "Ada", "stop": " YES "},
    {"id": "h", "mobile": phone(5), "name": "Bea", "stop": "no"},
    {"id": "i", "mobile": phone(6), "name": "Ada", "stop": ""},
    {"id": "j", "mobile": phone(4), "name": "Bea", "stop": ""},
]


def mixed_plan(base: Path, **limits: Any) -> Plan:
    (base / "stop.csv").write_text(f"phone\n{phone(6)}\n", encoding="utf-8")
    tables: Tables = {
        "recipients": {"opt_out": "stop", "suppress": ["stop.csv"]},
        "message": {"parameters": {"name": "{name}"}, "channels": ["whatsapp", "sms"]},
        "limits": limits,
    }
    return make_plan(base, MIXED, tables, batch_size=2)


def rows_of(plan: Plan, part: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(plan.run_dir.rows(part)).to_pylist()
    return found


def batches_of(plan: Plan, part: int = 0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(plan.run_dir.batches(part)).to_pylist()
    return found


def test_the_tables_have_exactly_the_columns_of_the_format(tmp_path: Path) -> None:
    plan = mixed_plan(tmp_path)

    for path, columns in ((plan.run_dir.rows(0), PLAN_COLUMNS), (plan.run_dir.batches(0), BATCH_COLUMNS)):
        assert {field.name: str(field.type) for field in pq.read_schema(path)} == columns


def test_every_row_of_the_list_is_a_row_of_the_plan_with_its_batch_or_its_reason(tmp_path: Path) -> None:
    rows = rows_of(mixed_plan(tmp_path))

    assert [row["input_row"] for row in rows] == list(range(10))
    assert [row["phone_input"] for row in rows] == [row["mobile"] for row in MIXED]
    assert [row["recipient_id"] for row in rows] == [row["id"] for row in MIXED]
    assert {row["channels"] for row in rows} == {"whatsapp+sms"}
    assert [(row["to"], row["batch"], row["reason"]) for row in rows] == [
        (phone(0), 0, None),
        (phone(1), 1, None),
        (None, None, "invalid_number"),
        (phone(2), 0, None),
        (phone(1), None, "duplicate"),
        (phone(3), None, "missing_parameter"),
        (phone(4), None, "suppressed"),
        (phone(5), 1, None),
        (phone(6), None, "suppressed"),
        (phone(4), None, "suppressed"),
    ]
    assert all((row["error"] is None) == (row["reason"] is None) for row in rows)


def test_a_duplicate_names_the_row_that_is_messaged(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "mobile": phone(1), "name": ""},
        {"id": "b", "mobile": phone(0), "name": "Ada"},
        {"id": "c", "mobile": phone(1), "name": "Bea"},
        {"id": "d", "mobile": phone(1), "name": "Bea"},
        {"id": "e", "mobile": "1-415-555-0100", "name": "Cid"},
    ]
    plan = make_plan(tmp_path, rows, {"message": {"parameters": {"name": "{name}"}}})

    assert [row["error"] for row in rows_of(plan)[3:]] == [
        "the same number as input row 2",
        "the same number as input row 1",
    ]


def test_batches_are_the_groups_in_order_with_keys_parameters_rows_and_numbers(tmp_path: Path) -> None:
    batches = batches_of(mixed_plan(tmp_path))

    assert [batch["batch"] for batch in batches] == [0, 1]
    assert [batch["parameters"] for batch in batches] == ['{"name":"Ada"}', '{"name":"Bea"}']
    assert [batch["rows"] for batch in batches] == [[0, 3], [1, 7]]
    assert [batch["to"] for batch in batches] == [[phone(0), phone(2)], [phone(1), phone(5)]]
    assert {batch["channels"] for batch in batches} == {"whatsapp+sms"}
    assert {batch["send_at"] for batch in batches} == {None}
    assert len({batch["idempotency_key"] for batch in batches}) == 2


def test_the_head_counts_what_the_tables_hold(tmp_path: Path) -> None:
    plan = mixed_plan(tmp_path)
    head = plan.head

    assert (head.rows, head.recipients, head.deliveries, head.batches, head.largest_batch) == (10, 4, 8, 2, 2)
    assert head.excluded == {"invalid_number": 1, "suppressed": 3, "missing_parameter": 1, "duplicate": 1}
    assert (head.part, head.kind, head.first_row, head.first_batch, head.previous) == (0, "first", 0, 0, None)
    keys = "".join(f"{batch['idempotency_key']}\n" for batch in batches_of(plan))
    assert head.keys_sha256 == hashlib.sha256(keys.encode()).hexdigest()
    assert head.sha256 == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (plan.run_dir.rows(0), plan.run_dir.batches(0))
    }
    assert [each.sha256 for each in head.lists] == [hashlib.sha256((tmp_path / "list.csv").read_bytes()).hexdigest()]


def test_a_parquet_list_makes_the_same_plan_as_a_csv_list(tmp_path: Path) -> None:
    rows = people(6, name=["Ada", "Bea"])
    (tmp_path / "other").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "other" / "list.parquet")
    tables: Tables = {"message": {"parameters": {"name": "{name}"}}, "limits": {"batch_size": 2}}
    job = make_job(tmp_path / "other", {**tables, "recipients": {"file": "list.parquet"}})

    parquet = freeze(tmp_path / "other", job).plan
    csv = make_plan(tmp_path, rows, tables)

    assert rows_of(parquet) == rows_of(csv)
    assert batches_of(parquet) == batches_of(csv)


def test_a_region_column_decides_for_its_rows_and_the_default_for_blank_ones(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "mobile": "415 555 0100", "country": ""},
        {"id": "b", "mobile": "415 555 0101", "country": "US"},
        {"id": "c", "mobile": "415 555 0102", "country": "GB"},
    ]
    plan = make_plan(tmp_path, rows, {"recipients": {"region": "country"}})

    assert [row["to"] for row in rows_of(plan)] == [phone(0), phone(1), None]


@pytest.mark.parametrize(
    ("cell", "stopped"),
    [
        *((cell, True) for cell in ("1", "true", "T", "Yes", "y", "x", "opt-out", "Opted out", "opted_out", " STOP ")),
        *((cell, False) for cell in ("", "0", "no", "false", "n", "opted in", "y?")),
    ],
)
def test_what_a_cell_of_the_opt_out_column_means(tmp_path: Path, cell: str, stopped: bool) -> None:  # noqa: FBT001 - a table's column
    rows = [{"id": "a", "mobile": phone(0), "stop": cell}, {"id": "b", "mobile": phone(1), "stop": ""}]
    built = build_tables(tmp_path, rows, opt_out="stop")

    assert built.excluded == ({"suppressed": 1} if stopped else {})


def test_the_plan_is_written_in_row_groups_of_the_fixed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowtable, "ROW_GROUP", 4)
    rows = people(10)
    build_tables(tmp_path, rows, size=3)
    with pq.ParquetFile(tmp_path / "plan.parquet") as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]

    assert sizes == [4, 4, 2]
    assert pq.read_table(tmp_path / "plan.parquet")["to"].to_pylist() == [row["mobile"] for row in rows]


def test_batches_are_written_in_row_groups_cut_at_batch_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_RECIPIENTS_PER_GROUP", 5)
    build_tables(tmp_path, people(14), largest=2)
    with pq.ParquetFile(tmp_path / "batches.parquet") as file:
        groups = [file.read_row_group(group) for group in range(file.num_row_groups)]

    assert [sum(map(len, group["rows"].to_pylist())) for group in groups] == [4, 4, 4, 2]
    assert [row for group in groups for rows in group["rows"].to_pylist() for row in rows] == list(range(14))
    assert [batch for group in groups for batch in group["batch"].to_pylist()] == list(range(7))


def test_a_batch_larger_than_a_row_group_is_a_row_group_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_RECIPIENTS_PER_GROUP", 2)
    build_tables(tmp_path, people(7), largest=3)
    with pq.ParquetFile(tmp_path / "batches.parquet") as file:
        assert [file.read_row_group(group)["rows"].to_pylist() for group in range(file.num_row_groups)] == [
            [[0, 1, 2]],
            [[3, 4, 5]],
            [[6]],
        ]


def test_the_size_of_record_batches_changes_not_a_byte(tmp_path: Path) -> None:
    rows = [
        *people(40, name=["Ada", "Bea", "Cid", " ", "a\tb"]),
        {"id": "x", "mobile": "none", "name": "Ada"},
        {"id": "y", "mobile": phone(3), "name": "Dee"},
        {"id": "z", "mobile": phone(1), "name": "Ada"},
    ]
    found = set()
    for size in (1, 2, 7, 13, 1000):
        directory = tmp_path / str(size)
        directory.mkdir()
        built = build_tables(directory, rows, size=size, largest=4, parameters={"n": "Hi {name}"})
        found.add((built.keys_sha256, *(built.sha256[name] for name in ("plan.parquet", "batches.parquet"))))

    assert len(found) == 1


def test_nothing_but_the_tables_is_left_and_only_the_owner_may_read_them(tmp_path: Path) -> None:
    build_tables(tmp_path, people(3))

    assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {
        "plan.parquet": "0o600",
        "batches.parquet": "0o600",
    }


def test_a_list_with_a_header_and_no_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("id,mobile\n", encoding="utf-8")

    with pytest.raises(ListUnusable, match="no rows"):
        freeze(tmp_path, make_job(tmp_path))
    assert list((tmp_path / "run").iterdir()) == []


def test_a_list_on_which_nobody_can_be_messaged_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ListUnusable, match=r"none of the 2 rows .*2 invalid number"):
        make_plan(tmp_path, [{"id": "a", "mobile": "x"}, {"id": "b", "mobile": ""}])
    assert list((tmp_path / "run").iterdir()) == []


def test_a_plan_that_is_larger_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(CountUnexpected, match=r"3 messages, more than limits.max_messages \(2\)"):
        make_plan(tmp_path, people(3), {"limits": {"max_messages": 2}})
    assert list((tmp_path / "run").iterdir()) == []


def test_a_disk_that_refuses_while_the_plan_is_written_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(counting, "sync", refuse)

    with pytest.raises(StoreError, match="Input/output error"):
        make_plan(tmp_path, people(3))
    assert list((tmp_path / "run").iterdir()) == []


def test_an_extension_adds_what_the_plan_has_not_and_counts_the_rest(tmp_path: Path) -> None:
    first = [*people(4), {"id": "bad", "mobile": "none"}, {"id": "again", "mobile": phone(1)}]
    make_plan(tmp_path, first, batch_size=3)
    longer = [*first, *people(6)[4:], {"id": "new-bad", "mobile": "nobody"}, {"id": "again", "mobile": phone(5)}]
    write_csv(tmp_path / "list.csv", longer)
    prepared = freeze(tmp_path, make_job(tmp_path, {"limits": {"batch_size": 3}}), extend=True)
    plan = prepared.plan

    assert prepared.already_planned == 6
    assert [(row["input_row"], row["to"], row["batch"], row["reason"]) for row in rows_of(plan, 1)] == [
        (6, phone(4), 2, None),
        (7, phone(5), 2, None),
        (8, None, None, "invalid_number"),
        (9, phone(5), None, "duplicate"),
    ]
    assert [row["error"] for row in rows_of(plan, 1)][3] == "the same number as input row 7"
    assert [(batch["batch"], batch["rows"]) for batch in batches_of(plan, 1)] == [(2, [6, 7])]
    head = plan.parts[1].head
    assert (head.kind, head.part, head.first_row, head.first_batch, head.rows) == ("extend", 1, 6, 2, 4)
    assert head.previous == hashlib.sha256(plan.run_dir.head(0).read_bytes()).hexdigest()
    assert (plan.rows, plan.batches, plan.deliveries) == (10, 3, 6)


def test_an_extension_by_nothing_new_adds_no_part(tmp_path: Path) -> None:
    before = make_plan(tmp_path, people(3))
    prepared = freeze(tmp_path, make_job(tmp_path), extend=True)

    assert (prepared.fresh, prepared.already_planned) == (False, 3)
    assert len(Plan.open(before.run_dir).parts) == 1
    assert not list(before.run_dir.path.glob("*-1.*"))


def test_an_extension_takes_a_row_that_was_excluded_and_no_longer_is(tmp_path: Path) -> None:
    tables = {"message": {"parameters": {"name": "{name}"}}}
    rows = people(3, name=["Ada"])
    make_plan(tmp_path, [*rows[:2], {**rows[2], "name": ""}], tables)
    plan = extend_plan(tmp_path, rows, tables)

    assert [(row["input_row"], row["to"], row["batch"]) for row in rows_of(plan, 1)] == [(2, phone(2), 1)]


def test_a_second_extension_knows_the_first(tmp_path: Path) -> None:
    make_plan(tmp_path, people(2))
    extend_plan(tmp_path, people(4))
    plan = extend_plan(tmp_path, people(5))

    assert [[row["to"] for row in rows_of(plan, part)] for part in range(3)] == [
        [phone(0), phone(1)],
        [phone(2), phone(3)],
        [phone(4)],
    ]
    assert [batch.id for batch in plan.read_batches()] == [0, 1, 2]


def test_channels_are_written_in_the_order_of_the_job(tmp_path: Path) -> None:
    build_tables(tmp_path, people(2), channels=(Channel.WHATSAPP, Channel.SMS))
    run_dir = RunDir(tmp_path)

    for path in (run_dir.rows(0), run_dir.batches(0)):
        assert set(pq.read_table(path)["channels"].to_pylist()) == {"whatsapp+sms"}


def test_the_template_is_in_the_head_so_that_a_resume_needs_nothing_else(tmp_path: Path) -> None:
    head = make_plan(tmp_path, people(1), {"message": {"parameters": {"code": "X"}}}).head

    assert (head.template_id, head.template_name, head.text, head.parameters) == (TEMPLATE, None, None, {"code": "X"})
    assert (head.format, head.operation, head.campaign, head.mode) == ("f1", ("message", "v3"), "spring-sale", "live")
