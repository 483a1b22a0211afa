"""``import broadcaster``: what the commands do, from Python."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.plans import make_job, people, write_csv

import broadcaster
from broadcaster.engine.ports import Event
from broadcaster.engine.ports import Settled as SettledEvent
from broadcaster.errors import BelongsToAnother, CountUnexpected, ListUnusable, RunLocked
from broadcaster.job.model import Job
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("SENT_DM_API_KEY", "SENT_BASE_URL", "SENT_PROFILE_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "list.csv", [*people(5), {"id": "x", "mobile": "none"}])
    return make_job(tmp_path, {"message": {"template_id": None, "text": "Storm at nine"}, "limits": {"batch_size": 2}})


def test_the_public_names_are_these_and_importing_them_costs_nothing() -> None:
    code = "import sys, broadcaster; print(*dir(broadcaster), *({'pyarrow', 'aiohttp', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["load_job", "plan", "read_manifest", "run"]
    assert all(callable(getattr(broadcaster, name)) for name in broadcaster.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = broadcaster.nothing  # type: ignore[attr-defined]  # that is what is tested


def test_planning_freezes_the_plan_and_writes_the_manifest(job: Job, tmp_path: Path) -> None:
    plan = broadcaster.plan(job, simulate=True)
    frame = broadcaster.read_manifest(plan.run_dir.path)

    assert plan.run_dir.path.resolve() == tmp_path / "runs" / "spring-sale.simulated"
    assert (plan.rows, plan.batches, plan.deliveries) == (6, 3, 5)
    assert frame["status"].tolist() == ["pending"] * 5 + ["excluded"]
    assert plan.run_dir.excluded.exists()
    assert plan.run_dir.summary.exists()


def test_planning_again_returns_the_plan_that_is_there(job: Job) -> None:
    first = broadcaster.plan(job, run_dir="here")
    before = {path.name: path.read_bytes() for path in first.run_dir.path.glob("*.parquet")}

    assert broadcaster.plan(job, run_dir="here") == first
    assert {path.name: path.read_bytes() for path in first.run_dir.path.glob("*.parquet")} == before


def test_planning_another_list_into_the_same_directory_is_refused(job: Job, tmp_path: Path) -> None:
    broadcaster.plan(job, run_dir="here")
    write_csv(tmp_path / "list.csv", people(4))

    with pytest.raises(BelongsToAnother, match="the list has changed"):
        broadcaster.plan(job, run_dir="here")


def test_a_plan_that_is_not_as_expected_is_not_frozen(job: Job, tmp_path: Path) -> None:
    with pytest.raises(ListUnusable, match="1 rows have an invalid number"):
        broadcaster.plan(job, run_dir="here", strict=True)
    with pytest.raises(CountUnexpected, match="5 recipients, and --expect-recipients says 6"):
        broadcaster.plan(job, run_dir="here", expect_recipients=6)
    assert not RunDir(tmp_path / "here").is_planned
    assert broadcaster.plan(job, run_dir="here", expect_recipients=5).rows == 6


def test_a_directory_in_use_is_refused(job: Job) -> None:
    here = RunDir(Path("here"))
    here.create()
    with here.locked(), pytest.raises(RunLocked):
        broadcaster.plan(job, run_dir="here")


async def test_a_run_sends_what_is_planned_and_the_second_finds_nothing_to_do(job: Job) -> None:
    plan = broadcaster.plan(job, simulate=True)
    events: list[Event] = []
    first = await broadcaster.run(plan, observe=events.append)
    told = len(events)
    again = await broadcaster.run(Plan.open(plan.run_dir), observe=events.append)
    frame = broadcaster.read_manifest(plan.run_dir.path)

    assert (first.code, first.counts.accepted, first.counts.excluded, first.counts.total) == (0, 5, 1, 6)
    assert sum(event.accepted for event in events if isinstance(event, SettledEvent)) == 5
    assert (again.code, again.counts, len(events)) == (0, first.counts, told)
    assert frame["status"].value_counts().to_dict() == {"accepted": 5, "excluded": 1}
    assert frame["message_id"].nunique() == 5
    assert isinstance(frame, pd.DataFrame)
