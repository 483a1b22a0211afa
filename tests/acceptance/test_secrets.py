"""The key and people's numbers: where they may be, and that they are nowhere else."""

import base64
import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, ROOT, Cli, sends, told_no_secrets, wait_until
from support.proof import RUN, run
from support.simulator import Simulator

_SEND = "POST /v3/messages"
_RAW = KEY.encode()
# The key, and as base64 at each of the three places where it may begin in what was encoded.
_FORMS = (_RAW, *(base64.b64encode(b"\0" * shift + _RAW)[4:-4].rstrip(b"=") for shift in range(3)), _RAW.hex().encode())


@pytest.fixture
def sim(cli: Cli) -> Iterator[Simulator]:
    """The API as a command of its own: command lines are looked at here."""
    with Simulator(key=KEY, command=True) as simulator:
        cli.use(simulator)
        yield simulator


def _whatever_is_left(cli: Cli) -> list[Path]:
    return [path for path in cli.home.rglob("*") if path.is_file()]


def _assert_nowhere(content: bytes, where: object) -> None:
    assert [form for form in _FORMS if form in content] == [], f"the key is in {where}"


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Read the command line of every process on the machine, again and again; yield those that have the key."""
    found: list[str] = []
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                except OSError:  # it has ended
                    continue
                seen.add("simulator" if b"broadcaster.simulator" in words else "other")
                if any(form in words for form in _FORMS):
                    found.append(words.replace(b"\0", b" ").decode(errors="replace"))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
    assert "simulator" in seen  # it looked


def test_a_hostile_run_that_is_aborted_leaves_the_key_nowhere(
    cli: Cli, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Refusals that quote the key, answers of every wrong form, two Ctrl-C; then every byte left is looked at."""
    cli.people(60)
    cli.job(limits={"batch_size": 1})
    echo = {"do": "status", "headers": {"X-Echo": KEY, "Retry-After": "1"}, "body": f"key {KEY} is bad"}
    quoting: list[dict[str, Any]] = [
        {"on": _SEND, "nth": [3], **echo, "status": 503},
        {"on": _SEND, "nth": [4], **echo, "status": 429},
        {"on": _SEND, "nth": [5], **echo, "status": 400},
        {"on": _SEND, "nth": [6], "do": "html", "body": f"<h1>{KEY}</h1>"},
        {"on": _SEND, "nth": [20, 21, 22, 23], "do": "slow", "delay_s": 30.0},
    ]
    rules = tmp_path_factory.mktemp("rules") / "quoting.json"  # not as words of the simulator's own command line
    rules.write_text(json.dumps(quoting))
    with Simulator(key=KEY, profile="hostile", seed=11, faults=str(rules), command=True) as sim:
        cli.use(sim)
        with _watched() as shown:
            started = cli.start("run", "job.toml", "--yes", "--run-dir", RUN, "--json", env={"BROADCASTER_DEBUG": "1"})
            wait_until(lambda: len(sends(sim)) >= 23, what="requests that nobody answers")
            started.signal(signal.SIGINT)
            started.signal(signal.SIGTERM)
            ended = started.result()
        assert ended.code == 75, ended.stderr
        assert ended.json["deliveries"]["in_doubt"] >= 1
        assert shown == []
        _assert_nowhere((ended.stdout + ended.stderr).encode(), "what was printed")
        left = _whatever_is_left(cli)
        assert {"journal.sqlite", "plan.json", "campaigns.sqlite"} <= {path.name for path in left}
        for path in left:
            _assert_nowhere(path.read_bytes(), path)


def test_an_answer_that_contradicts_the_request_is_kept_without_the_key(cli: Cli, sim: Simulator) -> None:
    cli.people(2)
    cli.job(limits={"batch_size": 1})
    sim.set_faults([{"on": _SEND, "do": "extra_row", "headers": {"X-Echo": KEY}}])
    assert run(cli).code == 5
    for path in _whatever_is_left(cli):
        _assert_nowhere(path.read_bytes(), path)


def test_neither_the_demo_nor_its_simulator_is_given_the_key(cli: Cli) -> None:
    cli.people(20)
    cli.job(limits={"batch_size": 1, "requests_per_minute": 1200})
    cli.environment["SENT_DM_API_KEY"] = KEY
    told: list[bytes] = []
    with _watched() as shown:
        started = cli.start("run", "job.toml", "--yes", "--simulate", "--run-dir", RUN)
        while started.process.poll() is None:
            told += _environments_of_children(started.pid)
            with suppress(subprocess.TimeoutExpired):
                started.process.wait(0.05)
        ended = started.result()
    assert ended.code == 0, ended.stderr
    assert shown == []
    assert any(b"XDG_STATE_HOME=" in each for each in told)  # it was seen
    for each in told:
        _assert_nowhere(each, "the simulator's environment")
    for path in _whatever_is_left(cli):
        _assert_nowhere(path.read_bytes(), path)


def _environments_of_children(pid: int) -> list[bytes]:
    """Return what the children of a process were given; those that are only just being made are their parent still."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"broadcaster.simulator" in (path / "cmdline").read_bytes():
                found.append((path / "environ").read_bytes())
        except (OSError, ValueError, IndexError):  # it has ended
            continue
    return found


BUG = """
import os
if os.environ.get("A_BUG"):
    import aiohttp
    async def connect(self, *arguments, **more):
        raise RuntimeError("a bug of a library")
    aiohttp.TCPConnector.connect = connect
"""


@pytest.mark.parametrize("debug", ["", "1"])
def test_a_bug_is_told_without_the_key_even_with_a_traceback(cli: Cli, sim: Simulator, debug: str) -> None:
    (to,) = cli.people(1)
    cli.job()
    cli.write("patches/sitecustomize.py", BUG)
    reach = {"A_BUG": "1", "BROADCASTER_DEBUG": debug, "PYTHONPATH": f"{cli.home / 'patches'}{os.pathsep}{ROOT}"}
    started = cli.start("run", "job.toml", "--yes", "--run-dir", RUN, env=reach)
    stdout, stderr = started.process.communicate(timeout=60)
    assert (started.process.returncode, stdout) == (1, "")
    assert "this is a bug in broadcaster (RuntimeError at sitecustomize.py:6)" in stderr
    assert ("Traceback" in stderr) == bool(debug)
    assert to not in stderr
    _assert_nowhere(stderr.encode(), "what was printed")
    for path in _whatever_is_left(cli):
        _assert_nowhere(path.read_bytes(), path)
    assert sim.requests() == []


REFUSED = {
    "http to elsewhere": "http://192.0.2.1",
    "http to a name that looks like this machine": "http://127.0.0.1.example",
    "a key in the address": f"https://{KEY}@api.example",
}


def test_the_key_is_never_sent_in_the_clear_beyond_this_machine(cli: Cli) -> None:
    cli.people(1)
    cli.job()
    started = {
        name: cli.start(
            "run", "job.toml", "--yes", "--run-dir", RUN, env={"SENT_BASE_URL": url, "SENT_DM_API_KEY": KEY}
        )
        for name, url in REFUSED.items()
    }
    for name, each in started.items():
        ended = each.result()
        assert (ended.code, ended.stdout) == (2, ""), name
        assert "SENT_BASE_URL" in ended.stderr
        assert not (cli.home / RUN).exists()


@pytest.mark.usefixtures("sim")
def test_what_a_run_leaves_is_for_its_owner_only_whatever_the_umask(cli: Cli) -> None:
    to = cli.people(3)
    cli.job(campaign="for-its-owner")
    cli.write("people.csv", (cli.home / "people.csv").read_text() + "12,Nobody,N-0\n")
    (cli.home / RUN).mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        started = cli.start("run", "job.toml", "--yes", "--run-dir", RUN)  # a child of ours: it has our umask
    finally:
        os.umask(before)
    ended = started.result()
    assert ended.code == 0, ended.stderr
    assert stat.S_IMODE((cli.home / RUN).stat().st_mode) == 0o700
    assert stat.S_IMODE((cli.home / ".state/broadcaster").stat().st_mode) == 0o700
    open_to_others = [
        path.name for path in (cli.home / RUN).iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077 and path.is_file()
    ]
    assert open_to_others == []
    told_no_secrets(ended.stderr, key=KEY)
    assert [number for number in to if number in ended.stderr or number[2:] in ended.stderr] == []
    assert not any(number.encode() in path.read_bytes() for number in to for path in (cli.home / ".state").rglob("*.*"))
