"""The examples in jobs/schedules/ for runs in shards: what their schedulers would run is run here, for some shards.

Airflow is no dependency, not even of the tests: its file runs with stand-ins for what it imports.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from support.cli import KEY, ROOT, Cli, once, told_no_secrets
from support.forks import Forks
from support.s3 import BUCKET, S3
from support.simulator import Simulator

from broadcaster.cluster.storage import Storage
from broadcaster.core.pacing import parse_share

_EXAMPLES = ROOT / "jobs/schedules"
_IN_FILES = "s3://broadcasts/spring-sale"


@pytest.fixture
def api() -> Iterator[Simulator]:
    with Simulator(key=KEY) as simulator:
        yield simulator


@pytest.fixture
def machine(tmp_path: Path, api: Simulator, s3: S3, forks: Forks) -> Cli:
    """One with the sample jobs and the program, which reaches the bucket; the key is in a file."""
    user = Cli(tmp_path / "srv", launcher=forks)
    for folder in ("jobs", "sample_data"):
        shutil.copytree(ROOT / folder, user.home / folder)
    job = user.home / "jobs/spring_sale.toml"
    job.write_text(job.read_text().replace("[limits]", "[limits]\nrequests_per_minute = 0"))  # do not wait
    user.write("sent.key", f"{KEY}\n").chmod(0o600)
    _tool(user, "broadcaster", f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m broadcaster "$@"')
    user.environment |= {
        "SENT_BASE_URL": api.url,
        "SENT_DM_API_KEY_FILE": str(user.home / "sent.key"),
        **s3.environment,
    }
    user.environment["PATH"] = f"{user.home / 'bin'}:/usr/bin:/bin"
    return user


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An address that no other test has."""
    return f"s3://{BUCKET}/{tmp_path.name}"


def _tool(user: Cli, name: str, script: str) -> None:
    path = user.write(f"bin/{name}", f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _example(name: str, url: str) -> str:
    text = (_EXAMPLES / name).read_text(encoding="utf-8")
    assert _IN_FILES in text
    return text.replace(_IN_FILES, url)


def test_the_container_of_the_indexed_job_sends_its_shard(machine: Cli, api: Simulator, url: str) -> None:
    text = _example("kubernetes_indexed_job.yaml", url)
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    [container] = job["spec"]["template"]["spec"]["containers"]
    flags = dict(each.split("=") for each in container["command"][2:])
    assert flags["--of"] == str(job["spec"]["completions"])
    assert parse_share(flags["--rate-share"]) * job["spec"]["parallelism"] <= 1
    rules = [each["onExitCodes"] for each in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in each]
    assert all(each["containerName"] == container["name"] for each in rules)
    assert not {0, 74, 75} & {code for each in rules for code in each["values"]}, "these are no reason to give up"
    planned = re.search(r"# +broadcaster (plan .+)", text)
    assert planned is not None
    assert machine(*planned[1].split()).code == 0

    program, *arguments = (each.replace("$(SHARD)", "3") for each in container["command"])
    ended = machine(*arguments)

    assert program == "broadcaster"
    assert ended.code == 0, ended.stderr
    assert api.messages()
    once(api.messages())
    assert Storage.open(url).exists("shards/00003/done")


def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> tuple[type[Exception], list[str]]:
    """Put something in the place of what the example imports; return its last word, and the order of the tasks."""
    order: list[str] = []

    class NoOtherTry(Exception):
        """Stands for AirflowFailException."""

    class Step:
        def __init__(self, name: str) -> None:
            order.append(name)

        def __rshift__(self, other: "Step") -> "Step":
            return other

    class Task:
        def __init__(self, function: Callable[..., None], **settings: Any) -> None:
            self.function, self.settings = function, settings

        def __call__(self) -> Step:
            return Step(self.function.__name__)

        def expand(self, **mapped: list[Any]) -> Step:
            self.mapped = mapped
            return self()

    def task(function: Callable[..., None] | None = None, **settings: Any) -> Any:
        return Task(function) if function is not None else lambda later: Task(later, **settings)

    def dag(**_: Any) -> Any:
        return lambda function: function

    modules: dict[str, dict[str, Any]] = {
        "airflow": {},
        "airflow.exceptions": {"AirflowFailException": NoOtherTry},
        "airflow.sdk": {"dag": dag, "task": task},
    }
    for name, members in modules.items():
        stand_in = ModuleType(name)
        vars(stand_in).update(members)
        monkeypatch.setitem(sys.modules, name, stand_in)
    return NoOtherTry, order


def test_the_mapped_tasks_of_airflow_plan_send_and_prove(
    machine: Cli, api: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    no_other_try, order = _stand_ins(monkeypatch)
    text = _example("airflow_mapped_shards.py", f"file://{tmp_path}/spring-sale").replace(
        "/srv/broadcaster", str(machine.home)
    )
    found: dict[str, Any] = {"__name__": "example"}
    exec(compile(text, "airflow_mapped_shards.py", "exec"), found)  # noqa: S102 - an example of ours
    assert order == ["plan", "send", "prove"]
    send = found["send"]
    assert send.mapped == {"shard": list(range(found["SHARDS"]))}
    assert send.settings["max_active_tis_per_dag"] == found["AT_ONCE"]
    really, said = found["launch"], []

    def launch(command: list[str], *, fine: frozenset[int] = frozenset({0})) -> None:
        ended = machine(*command[1:], env={"SENT_DM_API_KEY_FILE": found["KEY_FILE"]})
        said.append((command[0], ended.code in fine, ended.stderr))

    found["launch"] = launch  # what runs in a moment, and not after a start from nothing
    found["plan"].function()
    send.function(2)
    found["prove"].function()

    assert [each[:2] for each in said] == [("broadcaster", True)] * 4, said
    once(api.messages())
    assert api.messages()
    really(["sh", "-c", f'echo "{{}}" is said; test "$SENT_DM_API_KEY_FILE" = {found["KEY_FILE"]} && exit 3'], fine={3})
    assert capfd.readouterr().out == "{} is said\n"
    for code, again in {75: True, 74: True, 5: False, 78: False}.items():
        with pytest.raises(subprocess.CalledProcessError if again else no_other_try):
            really(["sh", "-c", f"exit {code}"], fine=frozenset(found["FINISHED"]))


def test_the_script_of_the_slurm_array_sends_its_shard_and_tries_again_what_75_has_stopped(
    machine: Cli, api: Simulator, tmp_path: Path
) -> None:
    script = _EXAMPLES / "slurm_array.sh"
    text = script.read_text(encoding="utf-8")
    array = re.search(r"#SBATCH --array=0-(\d+)%(\d+)", text)
    assert array is not None
    assert f"\nshards={int(array[1]) + 1} " in text
    assert f"\nat_once={array[2]} " in text
    shared = f"file://{tmp_path}/scratch/spring-sale"
    assert machine("plan", "jobs/spring_sale.toml", "--run-dir", shared).code == 0
    really = (machine.home / "bin/broadcaster").read_text().removeprefix("#!/bin/sh\n")
    _tool(machine, "broadcaster", f"[ -e ~/busy ] || {{ touch ~/busy; exit 75; }}\n{really}")
    given = {**os.environ, **machine.environment, "SLURM_ARRAY_TASK_ID": "5", "PAUSE": "0"}

    ended = subprocess.run(
        ["/bin/bash", script, shared], cwd=machine.home, env=given, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    told_no_secrets(ended.stderr, key=KEY)
    assert (machine.home / "busy").exists()
    assert api.messages()
    once(api.messages())
    assert Storage.open(shared).exists("shards/00005/done")
