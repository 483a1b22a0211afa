"""A Dask cluster as people have one: a scheduler and workers, each a process that can be stopped and killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from support.cli import KEY, PATIENCE_S, Cli, Running, told_no_secrets, wait_until
from support.forks import Forks, Process
from support.simulator import Simulator

happens = partial(wait_until, every_s=0.1)  # what is waited for takes seconds


class Cluster:
    """A scheduler and workers; the workers have the key, by a file, and nobody tells it to anybody else.

    Args:
        home: a directory of its own, for what it writes.
        forks: forks its processes; ``None``: each starts from nothing, as those of people do.
        workers: how many there are at first.
        ttl: after which silence the scheduler takes a worker for dead; it is five seconds at least.
    """

    def __init__(self, home: Path, forks: Forks | None, *, workers: int = 2, ttl: str = "1s") -> None:
        self._home = home
        self._forks = forks
        self._logs: list[Path] = []
        home.mkdir()
        file = home / "key"
        file.write_text(KEY, encoding="utf-8")
        mine = Cli(home).environment
        self._environment = {**mine, "SENT_DM_API_KEY_FILE": str(file), "DASK_TEMPORARY_DIRECTORY": str(home)}
        self._announced = home / "scheduler.json"
        flags = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(self._announced))
        self.scheduler = self._start("scheduler", *flags, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL=ttl)
        self._processes = [self.scheduler]
        happens(lambda: self._address() or self.scheduler.poll() is not None, what="the scheduler listens")
        self.address = self._address() or ""
        for _ in range(workers):
            self.join()

    def join(self) -> int:
        """Start another worker, which may have several shards in hand; return its process."""
        process = self._start("worker", self.address, "--nthreads", "2", "--no-nanny")
        self._processes.append(process)
        return process.pid

    def log(self) -> str:
        """Return what all of them have written."""
        return "".join(path.read_text(errors="replace") for path in self._logs)

    def close(self) -> None:
        """Kill all of them; none may have told a secret."""
        for each in self._processes:
            if each.poll() is None:
                each.kill()
            each.communicate(timeout=PATIENCE_S)
        told_no_secrets(self.log().replace("Traceback", ""), key=KEY)  # tracebacks are Dask's own affair

    def _address(self) -> str | None:
        with contextlib.suppress(OSError, ValueError):  # not there, or half written
            return str(json.loads(self._announced.read_bytes())["address"])
        return None

    def _start(self, what: str, *arguments: str, **more: str) -> "Process | subprocess.Popen[str]":
        given = (*arguments, "--no-dashboard")
        environment = {**self._environment, **more}
        self._logs.append(self._home / f"{len(self._logs)}.log")
        if self._forks is not None:
            return self._forks.process(what, given, home=self._home, environment=environment, log=self._logs[-1])
        with self._logs[-1].open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", what, *given],
                env=environment,
                cwd=self._home,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                text=True,
            )


class ClusterRun:
    """A run of a user on a cluster, in the directory that a job of :class:`support.cli.Cli` has by itself.

    What drives it is forked by *forks*; without, it starts from nothing.
    """

    def __init__(self, cli: Cli, simulator: Simulator, forks: Forks | None = None) -> None:
        self.cli = cli
        self.simulator = simulator
        self.path = cli.home / "runs/acceptance"
        self.url = f"file://{self.path}"
        self._forks = forks
        self._driver: Running | None = None
        cli.use(simulator)

    def start(self, *arguments: str) -> Running:
        """Start a command that drives it."""
        starts = self.cli.start if self._forks is None else partial(self._forks.start, self.cli, "--")
        self._driver = starts(*arguments)
        return self._driver

    def owners(self) -> list[tuple[int, int, int]]:
        """Return who has taken a shard so far: shard, claim, process."""
        found = []
        for path in sorted((self.path / "shards").glob("*/epoch-*.json")):
            with contextlib.suppress(ValueError):  # half written
                pid = int(json.loads(path.read_bytes())["pid"])
                found.append((int(path.parent.name), int(path.stem.removeprefix("epoch-")), pid))
        return found

    def at_work(self) -> tuple[int, int, int]:
        """Return who has a shard in hand that is not done: shard, claim, process."""
        last = {shard: (shard, claim, pid) for shard, claim, pid in self.owners()}
        return next(each for shard, each in last.items() if not (self.path / f"shards/{shard:05}/done").exists())

    def reaches(self, requests: int, *, what: str) -> None:
        """Wait until so many more requests for messages have come."""
        reached = self.simulator.received("POST")
        self._happens(lambda: self.simulator.received("POST") >= reached + requests, what=what)

    def is_taken(self, shard: int, *, claim: int) -> None:
        """Wait until a shard is taken over by this claim."""
        self._happens(lambda: (shard, claim) in [each[:2] for each in self.owners()], what="the shard is taken over")

    def shards(self) -> int:
        """Return in how many shards it is sent."""
        return int(json.loads((self.path / "meta.json").read_bytes())["shards"])

    def _happens(self, happened: Callable[[], object], *, what: str) -> None:
        """Wait for something that the driver does not outlive."""
        driver = self._driver
        assert driver is not None
        happens(lambda: happened() or driver.process.poll() is not None, what=what)
        assert happened(), f"{what}: {driver.result().stderr}"


def stop(pid: int) -> None:
    """Let a process stand still."""
    os.kill(pid, signal.SIGSTOP)


def wake(pid: int) -> None:
    """Let it go on."""
    os.kill(pid, signal.SIGCONT)
