"""Commands, schedulers and workers that need not start from nothing: a server has imported it all, and forks each.

Importing is most of what a short command costs, and nearly all of what a worker of Dask does before its first task;
tests of a run that many share start dozens of them. Each is a process of its own all the same, with a home, an
environment and a session of its own: it can be stopped and killed, and waited for. Linux only: elsewhere every one of
them starts from nothing, by the same words.
"""

import atexit
import os
import random
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import TracebackType
from typing import IO, NoReturn, Self

import broadcaster
from support.cli import KEY, ROOT, Cli, Result, Running
from support.forked import Forked, Server, serve

_IMPORTED = (
    "distributed.cli.dask_scheduler",
    "distributed.cli.dask_worker",
    "phonenumbers.data.region_US",
    "pyarrow.dataset",
    "s3fs",
    "support.broken",
    "tenacity",
    "uvloop",
)
_QUIET = {  # what Dask does beside the work and nobody looks at
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}
_READ_BYTES = 1 << 16


class Process:
    """A forked process, in the words of :class:`subprocess.Popen`; what it says is text."""

    stdout: IO[str] | None = None  # nobody listens while it runs
    stderr: IO[str] | None = None

    def __init__(self, forked: Forked, said: IO[bytes]) -> None:
        self._forked = forked
        self._said = said
        self.pid = forked.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, once somebody has asked for it."""
        return self._forked.returncode

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        return self._forked.poll()

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        self._forked.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self._forked.kill()

    def wait(self, timeout: float) -> int:
        """Return its exit code; raise ``TimeoutExpired`` when it goes on."""
        return self._forked.wait(timeout)

    def communicate(self, typed: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Type, and return what it said on standard output and on standard error."""
        if not self._forked.stdin.closed:
            try:
                self._forked.stdin.write((typed or "").encode())
                self._forked.stdin.close()
            except BrokenPipeError:  # it has ended
                pass
        deadline_s = None if timeout is None else time.monotonic() + timeout
        stdout = self._read(deadline_s)
        self.wait(60.0 if deadline_s is None else max(deadline_s - time.monotonic(), 1.0))
        if self._said.closed:
            return stdout, ""
        with self._said as said:
            said.seek(0)
            return stdout, said.read().decode()

    def _read(self, deadline_s: float | None) -> str:
        found = b""
        stdout = self._forked.stdout
        if stdout.closed:  # somebody has asked before
            return ""
        with selectors.DefaultSelector() as ready:
            ready.register(stdout, selectors.EVENT_READ)
            while ready.select(None if deadline_s is None else max(deadline_s - time.monotonic(), 0.0)):
                content = os.read(stdout.fileno(), _READ_BYTES)
                if not content:
                    stdout.close()
                    return found.decode()
                found += content
        raise subprocess.TimeoutExpired("command", 0.0, found)


class Forks:
    """The server; a context manager, whose processes end with it at the latest.

    What runs to its end it runs as :class:`support.cli.Launcher`.
    """

    def __enter__(self) -> Self:
        self._started: list[Process] = []
        self._server = Server("support.forks") if hasattr(os, "pidfd_open") else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._started:
            if each.poll() is None:  # of a test that failed
                each.kill()
                each.communicate()
        if self._server is not None:
            self._server.close()

    def run(self, cli: Cli, *arguments: str, env: Mapping[str, str] | None = None, typed: str = "") -> Result:
        """Run ``support.broken`` with *arguments* as *cli* would, to its end; a signal is a negative exit code."""
        return self.start(cli, *arguments, env=env).result(typed)

    def start(self, cli: Cli, *arguments: str, env: Mapping[str, str] | None = None) -> Running:
        """Start ``support.broken`` with *arguments* as *cli* would."""
        environment = {**cli.environment, **(env or {})}
        process = self.process("command", arguments, home=cli.home, environment=environment)
        return Running(process, cli, environment.get("SENT_DM_API_KEY") or KEY)

    def pauses(self, running: Running) -> bool:
        """Wait until a process is stopped, or has ended; return whether it is stopped."""
        if self._server is not None:
            return self._server.pauses(running.pid)
        seen = os.waitid(os.P_PID, running.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        return seen is not None and seen.si_code == os.CLD_STOPPED

    def process(
        self,
        what: str,
        arguments: Sequence[str],
        *,
        home: Path,
        environment: Mapping[str, str],
        log: Path | None = None,
    ) -> "Process | subprocess.Popen[str]":
        """Start *what* is named: a ``command``, a Dask ``scheduler``, or a ``worker``.

        What it says on standard error is in *log*; without, it comes back from ``communicate``.
        """
        given = {**_QUIET, **environment}
        if self._server is None:
            with nullcontext(subprocess.PIPE) if log is None else log.open("wb") as stderr:
                return subprocess.Popen(
                    [sys.executable, "-m", "support.forks", what, *arguments],
                    cwd=home,
                    env={**given, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    start_new_session=True,
                    text=True,
                )
        said = tempfile.TemporaryFile() if log is None else log.open("w+b")  # noqa: SIM115 - open while the process is
        forked = self._server.start(arguments, environment=given, stderr=said.fileno(), what=what, home=str(home))
        self._started = [each for each in self._started if each.returncode is None]
        self._started.append(Process(forked, said))
        return self._started[-1]


# ---- in the process itself ------------------------------------------------------------------------------------------


def _main(what: str) -> Callable[[list[str]], object]:
    match what:
        case "command":
            from support.broken import main as found
        case "scheduler":
            from distributed.cli.dask_scheduler import main as found
        case _:
            from distributed.cli.dask_worker import main as found
    return found


def _become(
    descriptors: Sequence[int], *, arguments: Sequence[str], environment: dict[str, str], what: str, home: str
) -> NoReturn:
    """Be it, and end without taking the whole program apart, which costs more than a short command itself."""
    import dask

    os.setsid()
    random.seed()  # or all of them would draw the same
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(home)
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    dask.config.refresh()  # by the environment of now
    code: object = 0
    try:
        _main(what)(list(arguments))
    except SystemExit as ended:
        code = ended.code
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # private, but what the interpreter itself calls at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _prepare() -> None:
    """Import the program, and do what every command would do again."""
    for each in walk_packages(broadcaster.__path__, "broadcaster."):
        if not each.name.endswith("__main__"):
            import_module(each.name)
    import_module("broadcaster.report.page")._template()


if __name__ == "__main__":
    if sys.argv[1].isdigit():
        _prepare()
        serve(socket.socket(fileno=int(sys.argv[1])), imported=_IMPORTED, become=_become)
    else:
        _main(sys.argv[1])(sys.argv[2:])
