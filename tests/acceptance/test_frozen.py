"""A frozen plan is gone on with by the job it was made from, in its mode, and by nothing else."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.cli import Cli
from support.simulator import Simulator

PEOPLE = "phone,first_name,code\n+14155550111,Ada,A-1\n+14155550112,Bob,B-2\n"

_OTHER = ("broadcaster resume runs/here", "--extend", "changed")
CHANGES: dict[str, tuple[dict[str, Any], dict[str, str], tuple[str, ...], tuple[str, ...]]] = {
    "another campaign": ({"campaign": "another"}, {}, (), ("'another'", "'acceptance'", "--run-dir")),
    "the simulator's mode": ({}, {}, ("--simulate",), ("mode", "'live'", "'simulated'", "--run-dir")),
    "the sandbox's mode": ({}, {}, ("--sandbox",), ("mode", "'live'", "'sandbox'", "--run-dir")),
    "a longer list": ({}, {"people.csv": PEOPLE + "+14155550113,Eve,C-3\n"}, (), ("list", *_OTHER)),
    "another text": ({"message": {"template_id": None, "text": "Hello"}}, {}, (), ("message", *_OTHER)),
    "other channels": ({"message": {"channels": ["whatsapp"]}}, {}, (), ("message", *_OTHER)),
    "another column": ({"recipients": {"id": "code"}}, {}, (), ("columns", *_OTHER)),
    "a longer suppression list": ({}, {"never.csv": "phone\n+14155550112\n"}, (), ("suppression list", *_OTHER)),
}


_NEVER = {"suppress": ["never.csv"]}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a frozen plan in ``runs/here``, to be copied."""
    cli = Cli(tmp_path_factory.mktemp("planned"))
    cli.write("people.csv", PEOPLE)
    cli.write("never.csv", "phone\n+14155550199\n")
    cli.job(recipients=_NEVER)
    assert cli("plan", "job.toml", "--run-dir", "runs/here").code == 0
    return cli.home


@pytest.mark.parametrize("name", CHANGES)
def test_a_plan_is_not_gone_on_with_by(cli: Cli, idle: Simulator, planned: Path, name: str) -> None:
    job, files, flags, says = CHANGES[name]
    cli.use(idle)
    shutil.copytree(planned, cli.home, dirs_exist_ok=True)
    frozen = (cli.home / "runs/here/plan.json").read_bytes()
    cli.job(**{**job, "recipients": _NEVER | job.get("recipients", {})})
    for path, content in files.items():
        cli.write(path, content)
    before = len(idle.requests())
    ended = cli("run", "job.toml", "--yes", "--run-dir", "runs/here", *flags)
    assert (ended.code, ended.stdout) == (78, "")
    assert [word for word in says if word not in ended.stderr] == [], ended.stderr
    assert len(idle.requests()) == before
    assert (cli.home / "runs/here/plan.json").read_bytes() == frozen


def test_resume_refuses_a_mode_that_is_not_the_plans(cli: Cli, idle: Simulator, planned: Path) -> None:
    cli.use(idle)
    shutil.copytree(planned, cli.home, dirs_exist_ok=True)
    ended = cli("resume", "runs/here", "--yes", "--simulate")
    assert (ended.code, ended.stdout) == (78, "")
    assert "live" in ended.stderr
    assert "simulated" in ended.stderr


def test_a_damaged_plan_is_never_sent(cli: Cli, idle: Simulator, planned: Path) -> None:
    cli.use(idle)
    shutil.copytree(planned, cli.home, dirs_exist_ok=True)
    path = cli.home / "runs/here/plan.json"
    path.write_bytes(path.read_bytes()[:-40])
    before = len(idle.requests())
    for command in (
        ("run", "job.toml", "--yes", "--run-dir", "runs/here"),
        ("resume", "runs/here", "--yes"),
        ("verify", "runs/here"),
    ):
        ended = cli(*command)
        assert (ended.code, ended.stdout) == (74, ""), command
        assert "plan.json" in ended.stderr
    assert len(idle.requests()) == before
