"""What takes minutes of real time, because the API counts real ones: told beside the other tests, judged at the end.

``python -m support.pacestory DIRECTORY`` starts real runs against real simulators that count any sixty seconds, and
writes down how they ended: ``told.json``. The ledgers and run directories that it leaves are what
``tests/acceptance/test_pace.py`` looks at. :func:`begin` and :func:`end` start it with a test session and end it with
that; it is told once, whichever of the session's processes comes first.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from support.cli import KEY, ROOT, Cli, Result, Running, sends
from support.simulator import Simulator

TEST = "tests/acceptance/test_pace.py"
TOLD, DIARY, MARK = "told.json", "story.log", "begun"
PATIENCE_S = 220.0  # a little over two minutes are told
BEAT_S = 0.05

SHARED_LIMIT = 120  # requests a minute of the account that two runs share
SHARED_EACH = 119  # requests that each of the two has to send: the minutes are full to the end
LONE_LIMIT = 60  # of a run whose time was estimated
MESSAGES_LIMIT = 600  # messages a minute of another
STORM_LIMIT = 100  # that nobody has told the run

Step = Callable[[Path], dict[str, Any]]


def two_runs(home: Path) -> dict[str, Any]:
    """Two runs of one account at once, from an empty minute on; the first is killed on its way and started again."""
    with Simulator(home / "shared.sqlite", key=KEY, requests_per_minute=SHARED_LIMIT) as api:
        cli = _user(home, api)
        for at, name in enumerate(("one", "two")):
            _job(cli, name, people=SHARED_EACH, start=1 + at * SHARED_EACH, requests_per_minute=SHARED_LIMIT)
        first = cli.start("run", "one.toml", "--yes")
        _until(lambda: len(sends(api)) >= 5)
        second = cli.start("run", "two.toml", "--yes")
        _until(lambda: len(sends(api)) >= SHARED_LIMIT // 2)
        first.process.kill()
        first.process.communicate()
        again = cli.start("resume", "runs/one", "--yes")
        return {"one": _end(again), "two": _end(second)}


def lone_run(home: Path) -> dict[str, Any]:
    """A run that its limit of requests takes a minute for, in the embedded simulator."""
    cli = Cli(home)
    _job(cli, "lone", people=LONE_LIMIT - 2, requests_per_minute=LONE_LIMIT)
    return _estimated(cli, "lone")


def messages_run(home: Path) -> dict[str, Any]:
    """A run that its limit of messages takes a minute and a half for."""
    cli = Cli(home)
    _job(cli, "messages", people=40 * 24, batch_size=1000, requests_per_minute=0, messages_per_minute=MESSAGES_LIMIT)
    return _estimated(cli, "messages")


def storm(home: Path) -> dict[str, Any]:
    """A run that is told far too high a limit; and the next one of the same account, which knows better."""
    with Simulator(home / "storm.sqlite", key=KEY, requests_per_minute=STORM_LIMIT) as api:
        cli = _user(home, api)
        for name, people, start in (("storm", STORM_LIMIT + 10, 1), ("calm", 10, 500)):
            _job(cli, name, people=people, start=start, requests_per_minute=6000)
        stormy = _end(cli.start("run", "storm.toml", "--yes"))
        before = len(api.requests())
        return {"storm": stormy, "calm": _end(cli.start("run", "calm.toml", "--yes")), "requests_before": before}


STEPS: Mapping[str, Step] = {"shared": two_runs, "lone": lone_run, "messages": messages_run, "storm": storm}


def _user(home: Path, api: Simulator) -> Cli:
    cli = Cli(home)
    cli.use(api)
    return cli


def _job(cli: Cli, name: str, *, people: int, start: int = 1, batch_size: int = 1, **limits: int) -> None:
    cli.people(people, name=f"{name}.csv", start=start)
    limits = {"batch_size": batch_size, **limits}
    cli.job(f"{name}.toml", campaign=name, recipients={"file": f"{name}.csv"}, limits=limits)


def _estimated(cli: Cli, name: str) -> dict[str, Any]:
    planned = _result(cli("plan", f"{name}.toml", "--simulate", "--json"))
    return {"plan": planned, "run": _end(cli.start("run", f"{name}.toml", "--yes", "--simulate"))}


def _end(running: Running) -> dict[str, Any]:
    stdout, stderr = running.process.communicate("", timeout=PATIENCE_S)
    return _result(Result(code=running.process.returncode, stdout=stdout, stderr=stderr))


def _result(result: Result) -> dict[str, Any]:
    return asdict(result)


def _until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError("nothing happens any more")
        time.sleep(0.2)


class _Heartbeat(threading.Thread):
    """Notices when the machine stands still: then nobody can keep a beat, and requests arrive late."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst_s = 0.0

    def run(self) -> None:
        while True:
            before = time.monotonic()
            time.sleep(BEAT_S)
            self.worst_s = max(self.worst_s, time.monotonic() - before - BEAT_S)


def tell(directory: Path) -> None:
    """Tell everything at the same time, and write down how it ended."""
    heart = _Heartbeat()
    heart.start()
    with ThreadPoolExecutor(len(STEPS)) as threads:
        homes = {name: directory / name for name in STEPS}
        for home in homes.values():
            home.mkdir()
        going = {name: threads.submit(step, homes[name]) for name, step in STEPS.items()}
        told = {name: each.result() for name, each in going.items()}
    half_done = directory / f".{TOLD}"
    half_done.write_text(json.dumps({**told, "stood_still_s": heart.worst_s}))
    half_done.replace(directory / TOLD)


# ---- for the test session -------------------------------------------------------------------------------------------


def begin(directory: Path) -> "subprocess.Popen[bytes] | None":
    """Start telling, unless another process of the session has."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(directory / MARK, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return None
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), str(ROOT))),
    }
    with (directory / DIARY).open("wb") as diary:
        return subprocess.Popen(
            [sys.executable, "-m", "support.pacestory", str(directory)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=diary,
            stderr=diary,
        )


def end(telling: "subprocess.Popen[bytes]") -> None:
    """Stop telling, if it is not over: nobody listens any more."""
    telling.terminate()
    telling.wait()


def listen(directory: Path) -> dict[str, Any]:
    """Return what was told, when it has been."""
    deadline = time.monotonic() + PATIENCE_S
    while not (directory / TOLD).exists():
        diary = (directory / DIARY).read_text() if (directory / DIARY).exists() else ""
        assert "Traceback" not in diary, diary
        assert time.monotonic() < deadline, f"the story does not end: {diary}"
        time.sleep(0.2)
    found: dict[str, Any] = json.loads((directory / TOLD).read_text())
    return found


if __name__ == "__main__":
    tell(Path(sys.argv[1]))
