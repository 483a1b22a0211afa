"""Where the plan of a shared run comes from, and what ``run-shard`` and ``plan`` refuse, in which words."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, numbers
from support.forks import Forks
from support.shards import BATCH, KILLED, SharedRun
from support.simulator import Simulator


@pytest.fixture(scope="module")
def api() -> Any:
    with Simulator(key=KEY, lifecycle_speed=0) as simulator:
        yield simulator


@pytest.fixture
def make(tmp_path: Path, api: Simulator, forks: Forks) -> Callable[..., SharedRun]:
    """Return how a list and a job are written: ``make(8, safety={…})``; nothing is planned."""

    def make(size: int = 2 * BATCH, **tables: Any) -> SharedRun:
        return SharedRun(tmp_path, api, numbers(size), forks=forks, **tables)

    return make


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, api: Simulator, forks: Forks) -> SharedRun:
    """A shared run that nobody starts."""
    home = tmp_path_factory.mktemp("planned")
    run = SharedRun(home, api, numbers(2 * BATCH), forks=forks, limits={"requests_per_minute": 200})
    assert run.plan().code == 0
    return run


def test_a_plan_is_put_at_an_address_once(make: Callable[..., SharedRun]) -> None:
    run = make()
    first = run.plan("--json")
    head = run.storage.read("plan.json")

    again = run.plan("--json")

    assert (first.code, again.code) == (0, 0)
    assert f"run-shard --plan {run.url}" in first.stderr
    assert first.json["run_dir"] == again.json["run_dir"] == run.url
    assert run.storage.read("plan.json") == head


def test_what_was_planned_is_known_before_anybody_sends(make: Callable[..., SharedRun]) -> None:
    run = make()
    assert run.plan().code == 0

    status = run.cli("status", run.url, "--json")

    assert status.code == 0, status.stderr
    assert status.json["deliveries"]["pending"] == len(run.to)


def test_another_list_at_the_same_address_is_refused(make: Callable[..., SharedRun]) -> None:
    run = make()
    assert run.plan().code == 0
    run.cli.people(run.to[:-1])

    assert run.plan().code == 78


def test_a_plan_whose_publishing_was_killed_is_published_by_the_next_try(
    make: Callable[..., SharedRun], forks: Forks
) -> None:
    run = make()
    place = "broadcaster.cluster.storage:Storage.upload?batches.parquet:after:1"
    killed = forks.run(run.cli, place, "--", "plan", "job.toml", "--run-dir", run.url)
    assert killed.code == KILLED
    early = run.run(0, of=1)
    assert (early.code, "plan" in early.stderr) == (2, True)

    assert run.plan().code == 0
    assert run.run(0, of=1).code == 0


def test_shards_of_a_plan_on_this_machine_work_in_a_directory_next_to_it(
    make: Callable[..., SharedRun], api: Simulator
) -> None:
    run, here = make(), api.from_here()
    assert run.cli("plan", "job.toml", "--run-dir", "runs/mine").code == 0
    run.url = "runs/mine"

    ended = [run.run(index) for index in (0, 1)]

    assert [each.code for each in ended] == [0, 0], ended[0].stderr
    assert f"broadcaster report file://{run.cli.home}/runs/mine.shared" in ended[1].stderr
    assert len(here.messages()) == len(run.to)
    alone = run.cli("resume", "runs/mine", "--yes")
    assert alone.code == 78, "the shards have sent it"
    assert len(here.messages()) == len(run.to)


def test_a_shared_directory_may_be_named_by_its_path(make: Callable[..., SharedRun], api: Simulator) -> None:
    run, here = make(), api.from_here()
    assert run.plan().code == 0
    run.url = run.url.removeprefix("file://")

    assert [run.run(index).code for index in (0, 1)] == [0, 0]
    assert len(here.messages()) == len(run.to)
    assert not Path(f"{run.url}.shared").exists()


def test_a_run_that_was_begun_by_itself_is_not_cut_into_shards(make: Callable[..., SharedRun]) -> None:
    run = make()
    assert run.cli("run", "job.toml", "--yes", "--run-dir", "runs/mine").code == 0
    run.url = "runs/mine"

    refused = run.run(0)

    assert refused.code == 78
    assert "broadcaster resume runs/mine" in refused.stderr


REFUSED: dict[str, tuple[dict[str, Any], Sequence[str], int, str]] = {
    "a canary": ({"safety": {"canary": 1}}, (), 2, "canary"),
    "the first version of the API": (
        {"api": {"version": "v1"}, "message": {"template_id": None, "text": "Hi", "channels": None}},
        (),
        2,
        "v1",
    ),
    "the embedded simulator": ({}, ("--simulate",), 2, "broadcaster simulate"),
    "an extension": ({}, ("--extend",), 2, "--extend"),
}


@pytest.mark.parametrize(
    ("tables", "flags", "code", "says"), [pytest.param(*each, id=name) for name, each in REFUSED.items()]
)
def test_what_shards_cannot_send_is_not_planned_for_them(
    make: Callable[..., SharedRun], tables: dict[str, Any], flags: Sequence[str], code: int, says: str
) -> None:
    run = make(**tables)

    refused = run.plan(*flags)

    assert (refused.code, refused.stdout) == (code, "")
    assert says in refused.stderr
    assert not run.storage.exists("plan.json")


MISTAKES: dict[str, tuple[Sequence[str], str]] = {
    "a share above one": (("--shard", "0", "--of", "2", "--rate-share", "2"), "is no share"),
    "a share that is no number": (("--shard", "0", "--of", "2", "--rate-share", "half"), "is no share"),
    "a share of less than one request": (("--shard", "0", "--of", "2", "--rate-share", "1/999"), "less than one"),
    "a shard beyond the last": (("--shard", "2", "--of", "2"), "no shard 2 of 2"),
    "a shard below the first": (("--shard", "-1", "--of", "2"), "--shard"),
    "no shards at all": (("--shard", "0", "--of", "0"), "--of"),
    "a duration that is none": (("--shard", "0", "--of", "2", "--take-over-after", "soon"), "no duration"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "says"), [pytest.param(*each, id=name) for name, each in MISTAKES.items()])
def test_a_mistake_on_the_command_line_is_a_sentence(
    planned: SharedRun, words: Sequence[str], says: str, api: Simulator
) -> None:
    asked = len(api.requests())

    refused = planned.cli("run-shard", "--plan", planned.url, *words)

    assert (refused.code, refused.stdout) == (2, "")
    assert says in refused.stderr
    assert len(api.requests()) == asked


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("runs/none", "there is no such run directory"),
        ("file:///nowhere/at/all", "no shared run"),
        ("memory://x/y", "s3://, gs:// or file://"),
        ("s3://bucket-only", "names a bucket only"),
    ],
)
def test_a_place_without_a_plan_is_a_sentence(planned: SharedRun, place: str, says: str) -> None:
    refused = planned.cli("run-shard", "--plan", place, "--shard", "0", "--of", "1")

    assert (refused.code, refused.stdout) == (2, "")
    assert says in refused.stderr


def test_a_shared_directory_is_for_planning_and_for_shards(planned: SharedRun) -> None:
    refused = planned.cli("run", "job.toml", "--yes", "--run-dir", planned.url)

    assert refused.code == 2
    assert "run-shard" in refused.stderr


def test_a_plan_of_another_profile_is_refused(planned: SharedRun, api: Simulator) -> None:
    asked = len(api.requests())

    refused = planned.run(0, of=1, env={"SENT_PROFILE_ID": "770e8400-e29b-41d4-a716-446655440002"})

    assert refused.code == 78
    assert "no profile" in refused.stderr
    assert len(api.requests()) == asked


def test_the_key_is_needed_for_sending_only(planned: SharedRun, tmp_path: Path, forks: Forks) -> None:
    keyless = Cli(planned.cli.home, launcher=forks)
    assert keyless("plan", "job.toml", "--run-dir", f"file://{tmp_path}/keyless").code == 0

    refused = keyless("run-shard", "--plan", planned.url, "--shard", "0", "--of", "1")

    assert refused.code == 2
    assert "SENT_DM_API_KEY" in refused.stderr
