"""One small file for each ugliness (``tests/data``), with the outcome that it must have in a file beside it.

``NAME.expected.json`` says in ``about`` what is ugly; ``code`` is the exit code of planning; ``recipients``,
``excluded`` and ``errors`` are what the plan has, ``says`` what the sentence of a refusal has; ``recipients_table`` is
laid over the job.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli
from support.plans import freeze

from broadcaster.errors import BroadcasterError
from broadcaster.job.load import job_from
from broadcaster.job.model import Job

DATA = Path(__file__).parents[1] / "data"
EXPECTED = ".expected.json"
NAMES = sorted(path.name.removesuffix(EXPECTED) for path in DATA.glob(f"*{EXPECTED}"))
BY_COMMAND = ["bom.csv", "short-row.csv", "latin1.csv", "packed.csv.gz", "floats.parquet"]


def expected(name: str) -> dict[str, Any]:
    if name.endswith(".xlsx") and importlib.util.find_spec("openpyxl") is None:
        pytest.skip("needs the extra 'xlsx'")
    found: dict[str, Any] = json.loads((DATA / f"{name}{EXPECTED}").read_text(encoding="utf-8"))
    return found


def job_for(name: str, table: dict[str, Any]) -> Job:
    values = {
        "campaign": "ugly",
        "recipients": {"file": name, "default_region": "US", **table},
        "message": {"text": "hello"},
    }
    return job_from(values, base=DATA, name="job.toml")


def test_every_file_has_an_outcome_beside_it() -> None:
    files = {path.name for path in DATA.iterdir() if not path.name.endswith((EXPECTED, ".gitattributes"))}

    assert files == set(NAMES)
    assert len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_an_ugly_list_has_the_outcome_that_is_written_beside_it(tmp_path: Path, name: str) -> None:
    outcome = expected(name)
    job = job_for(name, outcome.get("recipients_table", {}))
    if outcome["code"]:
        with pytest.raises(BroadcasterError) as refused:
            freeze(tmp_path, job)
        sentence = refused.value.sentence
        assert refused.value.exit_code == outcome["code"]
        assert [word for word in outcome["says"] if word not in sentence] == [], sentence
        assert "555" not in sentence
        assert not (tmp_path / "run/plan.json").exists()
        return

    plan = freeze(tmp_path, job).plan
    assert (plan.recipients, plan.excluded) == (outcome["recipients"], outcome["excluded"])
    rows = [row for table in plan.parts[0].read_rows() for row in table.to_pylist()]
    assert [row["input_row"] for row in rows] == list(range(len(rows)))
    assert len(rows) == plan.recipients + sum(plan.excluded.values())
    malformed = {str(row["input_row"]): row["error"] for row in rows if row["reason"] == "malformed_row"}
    assert malformed == outcome.get("errors", {})
    assert all(row["phone_input"] == "" and row["batch"] is None for row in rows if row["reason"] == "malformed_row")


@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_command_ends_as_the_plan_does(cli: Cli, name: str) -> None:
    outcome = expected(name)
    cli.write(name, (DATA / name).read_bytes())
    table = {"file": name, "phone": None, "default_region": "US", **outcome.get("recipients_table", {})}
    cli.job(recipients=table, message={"template_id": None, "text": "hello"})
    ended = cli("plan", "job.toml", "--json")

    assert ended.code == outcome["code"], ended.stderr
    if outcome["code"]:
        assert [word for word in outcome["says"] if word not in ended.stderr] == [], ended.stderr
    else:
        assert (ended.json["recipients"], ended.json["excluded"]) == (outcome["recipients"], outcome["excluded"])
