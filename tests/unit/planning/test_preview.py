"""What a person sees before confirming."""

import json
from pathlib import Path
from typing import Any

from support.plans import TEMPLATE, extend_plan, make_plan, people, phone

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
