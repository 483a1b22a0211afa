"""The command line as its users have it: a process of its own, in a directory of its own, that tells no secrets.

Every finished command is looked through for what must never be shown: tracebacks, API keys, full phone numbers; and the
files it left for the key.
"""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from support.simulator import Simulator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0  # far above anything measured: only a hang reaches it
KEY = "sk_live_CANARY_7c41f09ad2"
NOTICE = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"  # no variables
PENDING = "3f2504e0-4f89-41d3-9a0c-0305e82c3304"
ORDER = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"  # variables: name, order_id
_EXAMPLE = "+14155550100"  # what the help texts and hints show
_NUMBER = re.compile(r"\+[1-9]\d{7,}|\d{3}[ ).-]{0,2}555[ .-]?01\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output, in one line and alone."""
        assert self.stdout.count("\n") == 1, self.stdout
        found: dict[str, Any] = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found


class Cli:
    """A user with a home of their own. ``environment`` is what their shell has exported.

    With *launcher* (:class:`support.warm.Warm`) the commands that run to their end need not start from nothing.
    """

    def __init__(self, home: Path, *, launcher: "Launcher | None" = None) -> None:
        self.home = home
        self._launcher = launcher
        state = home / ".state"
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "XDG_STATE_HOME": str(state),
            "PYTHONPATH": str(ROOT),  # this tree, wherever another copy may be installed
        }
        self.simulator: Simulator | None = None

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None, typed: str = "") -> Result:
        """Run a command to its end. *typed* is its standard input, which is no terminal."""
        if self._launcher is not None:
            return self._launcher.run(self, "--", *map(str, arguments), env=env, typed=typed)
        started = self.start(*arguments, env=env)
        return started.result(typed)

    def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> "Running":
        """Start a command and return while it runs."""
        environment = {**self.environment, **(env or {})}
        process = subprocess.Popen(
            [sys.executable, "-m", "broadcaster", *map(str, arguments)],
            cwd=self.home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
            encoding="utf-8",
        )
        return Running(process, self, environment.get("SENT_DM_API_KEY") or KEY)

    def use(self, simulator: Simulator, *, key: str | None = None) -> None:
        """Let live runs go to *simulator*."""
        self.environment["SENT_BASE_URL"] = simulator.url
        self.environment["SENT_DM_API_KEY"] = key or simulator.key
        self.simulator = simulator

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file below the home."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def people(self, to: int | Sequence[str], *, name: str = "people.csv", start: int = 1) -> list[str]:
        """Write a list of so many people, or of these numbers; return the numbers."""
        to = numbers(to, start=start) if isinstance(to, int) else list(to)
        lines = [f"{number},Name{at},N-{at}" for at, number in enumerate(to)]
        self.write(name, "\n".join(["phone,first_name,code", *lines, ""]))
        return to

    def job(self, name: str = "job.toml", **tables: Any) -> Path:
        """Write a job for ``people.csv``; *tables* are laid over it (``campaign="x"``, ``limits={...}``)."""
        usual: dict[str, Any] = {
            "campaign": "acceptance",
            "recipients": {"file": "people.csv", "phone": "phone"},
            "message": {"template_id": NOTICE, "channels": ["sms"]},
            "limits": {"requests_per_minute": 0},
        }
        for key, value in tables.items():
            usual[key] = {**usual.get(key, {}), **value} if isinstance(value, dict) else value
        usual = {
            key: {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
            for key, value in usual.items()
            if value is not None
        }
        plain = [f"{key} = {_toml(value)}" for key, value in usual.items() if not isinstance(value, dict)]
        for key, value in usual.items():
            if isinstance(value, dict):
                plain += [f"[{key}]", *(f"{inner} = {_toml(each)}" for inner, each in value.items())]
        return self.write(name, "\n".join([*plain, ""]))

    def manifest(self, run_dir: str = "runs/acceptance") -> list[dict[str, Any]]:
        """Return the rows of a run's manifest."""
        return rows(self.home / run_dir)

    def statuses(self, run_dir: str = "runs/acceptance") -> dict[str, int]:
        """Return how many rows of a manifest have which status."""
        counts: dict[str, int] = {}
        for row in self.manifest(run_dir):
            counts[row["status"]] = counts.get(row["status"], 0) + 1
        return counts


class Launcher(Protocol):
    """Runs commands to their end, faster than by starting the program for each."""

    def run(self, cli: Cli, *arguments: str, env: Mapping[str, str] | None = None, typed: str = "") -> Result:
        """Run ``support.broken`` with *arguments* as *cli* would, to its end."""


class Process(Protocol):
    """A process, in the words of :class:`subprocess.Popen`; what it says is text."""

    pid: int

    @property
    def returncode(self) -> int | Any: ...
    @property
    def stdout(self) -> IO[str] | None: ...
    @property
    def stderr(self) -> IO[str] | None: ...
    def poll(self) -> int | None: ...
    def kill(self) -> None: ...
    def send_signal(self, number: int, /) -> None: ...
    def wait(self, timeout: float) -> int: ...
    def communicate(self, typed: str | None = None, /, timeout: float | None = None) -> tuple[str, str]: ...


class Running:
    """A command that was started."""

    def __init__(self, process: Process, cli: Cli, key: str) -> None:
        self.process = process
        self._cli = cli
        self._key = key

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def result(self, typed: str = "") -> Result:
        """Wait for its end and look through what it said and left."""
        try:
            stdout, stderr = self.process.communicate(typed, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            raise
        told_no_secrets(stdout, key=self._key)
        told_no_secrets(stderr, key=self._key)
        keeps_no_key(self._cli.home, key=self._key)
        return Result(code=self.process.returncode, stdout=stdout, stderr=stderr)


def told_no_secrets(text: str, *, key: str) -> None:
    """Fail when *text* has a traceback, the key or somebody's number in full."""
    assert "Traceback" not in text, text
    assert key not in text, "the API key was shown"
    shown = _NUMBER.findall(text.replace(_EXAMPLE, ""))
    assert not shown, f"full numbers were shown: {shown[:3]}"


def keeps_no_key(home: Path, *, key: str) -> None:
    """Fail when a file of a run, or of the user's state, has the key in it."""
    for place in ("runs", ".state", "elsewhere"):
        for path in (home / place).rglob("*"):
            # To close a file takes SQLite's locks on it away from this whole process; -shm has them, and no text.
            if path.is_file() and not path.name.endswith("-shm"):
                assert key.encode() not in path.read_bytes(), f"{path} has the API key in it"


def numbers(count: int, *, start: int = 1) -> list[str]:
    """Return valid numbers that are reserved for fiction: +1 AAA 555 0100 to 0199, area by area."""
    areas = (415, 212, 206, 305, 312, 404, 503, 602, 702, 808, 213, 214, 215, 216, 217, 218)
    return [f"+1{areas[at // 99]}55501{at % 99 + 1:02}" for at in range(start - 1, start - 1 + count)]


def rows(run_dir: Path) -> list[dict[str, Any]]:
    """Return a manifest's rows, nulls as ``None``."""
    from pyarrow import parquet

    with parquet.ParquetFile(run_dir / "manifest.parquet", page_checksum_verification=True) as file:
        found: list[dict[str, Any]] = file.read().to_pylist()
    return found


def sends(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the requests of a simulator that asked for messages."""
    return [each for each in simulator.requests() if each["method"] == "POST"]


def matches(run_dir: Path, ledger: Iterable[Mapping[str, Any]]) -> None:
    """Fail unless accepted rows and ledger are the same deliveries, one to one, with the same ids."""
    accepted = [row for row in rows(run_dir) if row["status"] == "accepted"]
    ours = sorted((row["to"], row["channel"], row["message_id"]) for row in accepted)
    theirs = sorted((row["recipient"], row["channel"], row["message_id"]) for row in ledger)
    assert ours == theirs
    once(ledger)


def once(ledger: Iterable[Mapping[str, Any]]) -> None:
    """Fail when somebody was messaged twice on one channel."""
    deliveries = [(row["recipient"], row["channel"]) for row in ledger]
    assert len(set(deliveries)) == len(deliveries), "somebody was messaged twice"


def embedded_ledger(run_dir: Path) -> list[dict[str, Any]]:
    """Return the messages of a run's embedded simulator."""
    with closing(sqlite3.connect(run_dir / "simulator.sqlite", timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM message ORDER BY rowid")]


@contextmanager
def restarted(
    cli: Cli, simulator: Simulator, *, key: str | None = None, same_account: bool = True
) -> Iterator[Simulator]:
    """Kill *simulator*, with whatever it is working on, and start another at its address, by default on its state."""
    port = simulator.url.rpartition(":")[2]
    simulator.kill()
    with Simulator(simulator.state if same_account else None, key=key or simulator.key, port=port) as again:
        cli.use(again)
        yield again


def wait_until(
    happened: Callable[[], object], *, what: str, patience_s: float = PATIENCE_S, every_s: float = 0.01
) -> None:
    """Return as soon as *happened* is true; fail when it never is. *every_s* is the pause between two looks."""
    deadline = time.monotonic() + patience_s
    while not happened():
        assert time.monotonic() < deadline, f"{what}: waited for {patience_s:.0f} s"
        time.sleep(every_s)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
