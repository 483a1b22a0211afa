"""The examples in jobs/schedules/, run as their schedulers would run them; and launches that come twice.

Cron and systemd are not started: what they would run is taken out of the files, and runs in what they would give it.
Airflow and Prefect are no dependency, not even of the tests: their files run with stand-ins for what they import.
"""

import configparser
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from support.cli import KEY, ROOT, matches, once, told_no_secrets, wait_until
from support.machine import Machine
from support.schedulers import Failed, NoOtherTry, load
from support.simulator import Simulator
from support.warm import Warm

from broadcaster.errors import ExitCode

READERS = 12  # that the digest goes to
NEXT_WEEK = (datetime.now(tz=UTC) + timedelta(days=7)).date().isoformat()  # all send times lie ahead
FOR_A_PERSON = {int(code) for code in ExitCode} - {ExitCode.DONE, ExitCode.STOPPED}


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator(key=KEY) as simulator:  # of no user: the launches' machines find it
        yield simulator


@pytest.fixture
def machine(tmp_path: Path, sim: Simulator, warm: Warm) -> Machine:
    return Machine(tmp_path / "machine", sim, launcher=warm)


def sent_once(machine: Machine, sim: Simulator) -> str:
    """Fail unless the one run that is there reached every reader once, by manifest and ledger; return its name."""
    [run] = machine.runs()
    matches(machine.home / "runs" / run, sim.messages())
    assert len(sim.messages()) == READERS
    return run


# ---- cron -----------------------------------------------------------------------------------------------------------


def cron(machine: Machine) -> tuple[dict[str, str], list[str]]:
    """Read the crontab as cron does: variables, which hold for the lines below them, and commands."""
    variables: dict[str, str] = {}
    commands: list[str] = []
    for line in map(str.strip, machine.example("crontab").splitlines()):
        if variable := re.fullmatch(r"(\w+)\s*=\s*(.*)", line):
            variables[variable[1]] = variable[2]
        elif line and not line.startswith("#"):
            *when, command = line.split(maxsplit=5)
            assert len(when) == 5
            assert not re.search(r"(?<!\\)%", command), "cron cuts a command at a bare percent sign"
            commands.append(command.replace(r"\%", "%"))
    return variables, commands


def test_the_line_of_the_crontab_sends_once_and_mails_what_a_person_must_know(machine: Machine, sim: Simulator) -> None:
    variables, [command] = cron(machine)
    fire = partial(machine.launch, ["/bin/sh", "-c", command], {"SHELL": "/bin/sh", **variables})

    machine.key_file.write_text("not-the-key")
    refused = fire()
    assert re.fullmatch(r"digest of (\S+): exit code 77, see digest-\1\.log\n", refused.stdout), "that is mailed"
    assert sim.messages() == []

    machine.key_file.write_text(KEY)
    for _ in range(2):
        assert fire().stdout == "", "no news, no mail"
        assert len(sim.messages()) == READERS
    run = sent_once(machine, sim)
    told = (machine.home / f"{run}.log").read_text(encoding="utf-8")
    assert "12 accepted" in told
    assert "Everything in this run is settled; nothing was sent." in told


def test_the_line_of_the_crontab_tries_again_what_75_has_stopped(machine: Machine, sim: Simulator) -> None:
    variables, [command] = cron(machine)
    machine.tool("date", f"echo {NEXT_WEEK}")
    machine.tool("sleep", f'echo "slept $1" && broadcaster go runs/digest-{NEXT_WEEK} 2>&-')
    assert machine.cli("plan", "jobs/weekly_digest.toml", "--date", NEXT_WEEK).code == 0
    assert machine.cli("pause", f"runs/digest-{NEXT_WEEK}").code == 0

    fired = machine.launch(["/bin/sh", "-c", command], {"SHELL": "/bin/sh", **variables})

    assert fired.stdout == "slept 600\n", "once, and then it went through"
    assert sent_once(machine, sim) == f"digest-{NEXT_WEEK}"


# ---- systemd --------------------------------------------------------------------------------------------------------


def unit(machine: Machine, name: str) -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(strict=True, comment_prefixes="#", delimiters="=")  # no key is given twice
    found.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    found.read_string(machine.example(name))
    return found


def service(machine: Machine) -> tuple[list[str], dict[str, str]]:
    """Return what the service runs and its environment, with the key handed over as systemd does it."""
    said = unit(machine, "broadcaster-digest.service")["Service"]
    assert said["WorkingDirectory"] == str(machine.home)
    name, _, source = said["LoadCredential"].partition(":")
    assert source == "/etc/broadcaster/sent.key"
    credentials = machine.home / "credentials"
    credentials.mkdir(exist_ok=True)
    shutil.copy(machine.key_file, credentials / name)
    variable, _, value = said["Environment"].partition("=")
    given = {variable: value.replace("%d", str(credentials)), "CREDENTIALS_DIRECTORY": str(credentials)}
    assert "%" not in said["ExecStart"]
    return shlex.split(said["ExecStart"]), given


def test_the_units_are_what_systemd_takes(machine: Machine) -> None:
    said = unit(machine, "broadcaster-digest.service")["Service"]
    assert set(map(int, said["RestartPreventExitStatus"].split())) == FOR_A_PERSON
    timer = unit(machine, "broadcaster-digest.timer")["Timer"]
    assert timer["Persistent"] == "true"
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # a machine without systemd: they were read as such files are
        return
    files = [machine.home / f"broadcaster-digest.{kind}" for kind in ("timer", "service")]
    for file in files:  # it looks for the program that is named in them
        file.write_text(machine.example(file.name), encoding="utf-8")
    judged = subprocess.run([analyze, "verify", *files], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr
    assert "broadcaster-digest" not in judged.stderr
    when = subprocess.run([analyze, "calendar", timer["OnCalendar"]], capture_output=True, check=False)
    assert when.returncode == 0


def test_of_two_launches_at_the_same_moment_one_sends_and_the_other_ends_with_75(
    machine: Machine, sim: Simulator
) -> None:
    command, given = service(machine)
    sim.process.send_signal(signal.SIGSTOP)  # who is first cannot be done before the second has tried
    started = [machine.start(command, given) for _ in range(2)]
    try:
        wait_until(lambda: any(each.poll() is not None for each in started), what="the one that came too late")
    finally:
        sim.process.send_signal(signal.SIGCONT)
    late, first = sorted(started, key=lambda each: each.poll() is None)
    refused, done = machine.end(late), machine.end(first)
    again = machine.launch(command, given)

    run = sent_once(machine, sim)
    assert refused.code == ExitCode.STOPPED, refused.stderr
    assert f"{run} is in use by process {first.pid} " in refused.stderr
    assert done.code == 0, done.stderr
    assert again.code == 0, again.stderr
    assert "nothing was sent" in again.stderr


def test_a_launch_finishes_what_an_earlier_date_left_and_the_next_one_is_todays(
    machine: Machine, sim: Simulator
) -> None:
    command, given = service(machine)
    here = ZoneInfo("America/New_York")
    yesterday = (datetime.now(tz=here) - timedelta(days=1)).date().isoformat()
    assert machine.cli("plan", "jobs/weekly_digest.toml", "--date", yesterday).code == 0  # and then the power failed

    earlier = machine.launch(command, given)

    assert earlier.code == 0, earlier.stderr
    assert f"digest-{yesterday} is not finished: this goes on with it. Launch again for digest-" in earlier.stderr
    assert machine.runs() == [f"digest-{yesterday}"]
    once(sim.messages())
    assert len(sim.messages()) == READERS
    todays = machine.launch(command, given)
    assert todays.code == 0, todays.stderr
    assert "is not finished" not in todays.stderr
    assert len(machine.runs()) == 2
    for run in machine.runs():
        assert machine.cli("verify", f"runs/{run}").code == 0
    assert len(sim.messages()) == 2 * READERS


# ---- Kubernetes -----------------------------------------------------------------------------------------------------


def test_the_container_of_the_cron_job_sends_and_only_75_gets_another_pod(machine: Machine, sim: Simulator) -> None:
    manifest = yaml.safe_load(machine.example("kubernetes_cronjob.yaml"))
    assert (manifest["apiVersion"], manifest["kind"]) == ("batch/v1", "CronJob")
    assert manifest["spec"]["concurrencyPolicy"] == "Forbid"
    job = manifest["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never", "a pod failure policy asks for it"
    [container] = pod["containers"]
    final = job["podFailurePolicy"]["rules"][0]
    assert final["action"] == "FailJob"
    codes = sorted(FOR_A_PERSON)
    assert final["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": codes}
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert set(mounts) == set(volumes)
    assert mounts["broadcaster"] == container["workingDir"] == str(machine.home), "the runs outlive the pod"
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["SENT_DM_API_KEY_FILE"] == f"{mounts['key']}/{machine.key_file.name}"
    given["SENT_DM_API_KEY_FILE"] = str(machine.key_file)  # nothing is mounted here

    ended = machine.launch(container["command"], {**given, "PATH": machine.path})

    assert ended.code == 0, ended.stderr
    sent_once(machine, sim)


# ---- Airflow and Prefect --------------------------------------------------------------------------------------------


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], None]:
    """Let this process be a worker on a machine."""

    def become(machine: Machine) -> None:
        for name, value in machine.environment({"PATH": machine.path}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    return become


def test_the_same_list_from_another_machine_is_answered_with_what_the_first_one_did(
    machine: Machine,
    tmp_path: Path,
    sim: Simulator,
    worker: Callable[[Machine], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Airflow on one machine, Prefect on another: same campaign, other homes, states and runs."""
    other = Machine(tmp_path / "other", sim)
    airflow, prefect = load(machine, "airflow_dag.py", monkeypatch), load(other, "prefect_flow.py", monkeypatch)
    prefect.names["weekly_digest"]()
    assert prefect.command[-2:] == ["--date", "2026-12-07"], "the day of the scheduled start"

    worker(machine)
    airflow.task([each.replace("{{ ds }}", NEXT_WEEK) for each in airflow.command])
    assert "earlier launch" not in capfd.readouterr().out
    worker(other)
    prefect.names["weekly_digest"](NEXT_WEEK)
    prefect.task(prefect.command)
    told = capfd.readouterr().out
    told_no_secrets(told, key=KEY)

    assert "12 accepted" in told
    assert "had been sent by an earlier launch of this campaign; nobody got them twice." in told
    for each in (machine, other):
        assert sent_once(each, sim) == f"digest-{NEXT_WEEK}"
        assert (each.home / ".local/state/broadcaster/campaigns.sqlite").exists(), (
            "what it knows of campaigns is its own"
        )
    assert sum(each["replayed"] for each in sim.requests()) == 11  # requests


@pytest.mark.parametrize("name", ["airflow_dag.py", "prefect_flow.py"])
def test_only_75_and_a_kill_are_worth_another_try(
    machine: Machine, worker: Callable[[Machine], None], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    example = load(machine, name, monkeypatch)
    worker(machine)

    def tried_again(ending: str) -> bool:
        """Whether the scheduler tries a task again whose command ends like this."""
        with pytest.raises((NoOtherTry, subprocess.CalledProcessError)) as raised:
            example.task(["sh", "-c", ending])
        if (asked := example.settings.get("retry_condition_fn")) is None:
            return not isinstance(raised.value, NoOtherTry)
        return bool(asked(None, None, Failed(raised.value)))

    assert example.settings["retries"] > 0
    assert tried_again("exit 75")
    assert tried_again("kill -9 $$")
    assert not any(tried_again(f"exit {code}") for code in FOR_A_PERSON)
    example.task(["true"])  # returns


# ---- all of them ----------------------------------------------------------------------------------------------------


def test_the_readme_of_the_schedules_tells_every_exit_code_and_every_file() -> None:
    folder = ROOT / "jobs/schedules"
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == {int(code) for code in ExitCode}
    named = set(re.findall(r"`([\w.-]+)`", text.split("\n## ", maxsplit=1)[0])) | {"README.md"}
    assert {path.name for path in folder.iterdir() if path.suffix != ".timer"} <= named
