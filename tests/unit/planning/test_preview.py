"""What a person sees before confirming."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from support.plans import TEMPLATE, extend_plan, freeze, make_job, make_plan, people, phone, write_csv

from broadcaster.planning.preview import preview

ROWS = [*people(5, name=["Ada", "Bea"]), {"id": "x", "mobile": "none", "name": "Ada"}]
TABLES: dict[str, dict[str, Any]] = {
    "message": {"channels": ["sms", "whatsapp"], "parameters": {"name": "{name}"}},
}


def test_the_figures_are_those_of_the_plan(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, ROWS, TABLES, batch_size=2)
    seen = preview(plan, requests_per_minute=0, messages_per_minute=0)

    assert (seen.rows, seen.recipients, seen.batches, seen.requests, seen.messages) == (6, 5, 3, 3, 10)
    assert (seen.excluded, seen.largest_batch, seen.duration_s) == ({"invalid_number": 1}, 2, 0.0)
    assert (seen.campaign, seen.mode, seen.channels) == ("spring-sale", "live", ("sms", "whatsapp"))
    assert (seen.message, seen.run_dir) == (f"template {TEMPLATE}", str(plan.run_dir.path))


def test_examples_are_one_recipient_of_each_of_the_first_batches_and_masked(tmp_path: Path) -> None:
    seen = preview(make_plan(tmp_path, ROWS, TABLES, batch_size=2), requests_per_minute=0, messages_per_minute=0)

    assert [words for _, words in seen.examples] == ['{"name":"Ada"}', '{"name":"Ada"}', '{"name":"Bea"}']
    assert [number[-2:] for number, _ in seen.examples] == ["00", "04", "01"]
    assert not any(phone(n) in json.dumps(seen.to_dict()) for n in range(5))


def test_with_one_batch_the_examples_are_its_recipients(tmp_path: Path) -> None:
    seen = preview(make_plan(tmp_path, people(5)), requests_per_minute=0, messages_per_minute=0)

    assert [number[-2:] for number, _ in seen.examples] == ["00", "01", "02"]


def test_an_extension_counts_with_the_first_part(tmp_path: Path) -> None:
    make_plan(tmp_path, [*people(2), {"id": "x", "mobile": "none"}])
    plan = extend_plan(tmp_path, [*people(3), {"id": "x", "mobile": "nobody"}])
    seen = preview(plan, requests_per_minute=60, messages_per_minute=0)

    assert (seen.rows, seen.recipients, seen.excluded) == (5, 3, {"invalid_number": 2})
    assert seen.duration_s > 0


def test_a_text_is_named_by_its_length_and_a_template_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    text = make_plan(tmp_path, people(1), {"message": {"template_id": None, "text": "Storm at nine"}})
    named = make_plan(tmp_path / "other", people(1), {"message": {"template_id": None, "template_name": "storm"}})

    assert preview(text, requests_per_minute=0, messages_per_minute=0).message == "text of 13 characters"
    assert preview(named, requests_per_minute=0, messages_per_minute=0).message == "template 'storm'"


def test_countries_kinds_of_line_and_channels_are_counted_over_all_parts(tmp_path: Path) -> None:
    rows = [*people(3), {"id": "g", "mobile": "+44 7400 123456"}, {"id": "h", "mobile": "+44 20 7946 0000"}]
    tables = {"recipients": {"channel": "via"}}
    make_plan(tmp_path, [{**row, "via": "sms"} for row in rows], tables)
    plan = extend_plan(tmp_path, [{**row, "via": ""} for row in [*rows, *people(5)]], tables)
    seen = preview(plan, requests_per_minute=0, messages_per_minute=0)

    assert seen.countries == {"US": 5, "GB": 2}
    assert seen.line_types == {"fixed line or mobile": 5, "mobile": 1, "fixed line": 1}
    assert (seen.line_types_of, seen.recipients) == (7, 7)
    assert seen.by_channels == {"sms": 5, "auto": 2}


def test_segments_are_those_of_the_text_or_the_most_that_a_template_can_have(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    text = make_plan(tmp_path, people(1), {"message": {"template_id": None, "text": "a" * 161}})
    template = make_plan(tmp_path / "other", people(1), {"message": {"body_length": 140}})
    shown = [preview(each, requests_per_minute=0, messages_per_minute=0) for each in (text, template)]

    assert [(each.segments_each, each.encoding) for each in shown] == [(2, "GSM-7"), (3, None)]


def test_the_first_excluded_rows_are_named_by_their_line_in_a_spreadsheet(tmp_path: Path) -> None:
    rows = [
        {"id": "x", "mobile": "none"},
        *people(2),
        {"id": "y", "mobile": phone(1)},
        *people(2),
        {"id": "n", "mobile": phone(5)},
    ]
    seen = preview(make_plan(tmp_path, rows), requests_per_minute=0, messages_per_minute=0)

    assert [(row.file, row.line, row.reason) for row in seen.first_excluded] == [
        (None, 2, "invalid_number"),
        (None, 5, "duplicate"),
        (None, 6, "duplicate"),
        (None, 7, "duplicate"),
    ]
    assert seen.first_excluded[1].error == "the same number as input row 2"
    assert json.loads(json.dumps(seen.to_dict()))["first_excluded"][0]["line"] == 2


def test_of_several_files_the_file_is_named_too(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", people(3))
    write_csv(tmp_path / "b.csv", [{"id": "n", "mobile": phone(7)}, {"id": "x", "mobile": "none"}])
    pq.write_table(pa.table({"id": ["y"], "mobile": ["nobody"]}), tmp_path / "c.parquet")
    job = make_job(tmp_path, {"recipients": {"file": ["a.csv", "b.csv", "c.parquet"]}})
    seen = preview(freeze(tmp_path, job).plan, requests_per_minute=0, messages_per_minute=0)

    assert [(row.file, row.line) for row in seen.first_excluded] == [("b.csv", 3), ("c.parquet", 1)]
