"""Simulators that need not start from nothing: a server has imported them, and forks one for each test.

Importing is nearly all of what a start costs, and hundreds of tests want one. Each is a process of its own all the
same: it can be stopped and killed, and it leaves nothing but its files. (What else is forked: :mod:`support.forks`.)
"""

import atexit
import gc
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
_IMPORTED = ("broadcaster.simulator.__main__", "encodings.idna", "uvloop")
_LARGEST_ORDER = 1 << 20
_STANDARD = 3  # descriptors: input, output, errors


class Forked:
    """One process of the server, in the words of :class:`subprocess.Popen`."""

    def __init__(self, server: "Server", pid: int, stdin: int, stdout: int) -> None:
        self._server = server
        self._ended = os.pidfd_open(pid)  # can be read once it has ended
        self.pid = pid
        self.stdin = os.fdopen(stdin, "wb")
        self.stdout = os.fdopen(stdout, "rb")
        self.returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended: until it is asked for its exit code nobody else gets its number."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Return its exit code if it has ended."""
        return self.returncode if self.returncode is not None or not self._has_ended(0) else self._reap()

    def wait(self, timeout_s: float) -> int:
        """Return its exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        if self.returncode is None and not self._has_ended(timeout_s):
            raise subprocess.TimeoutExpired("simulator", timeout_s)
        return self.returncode if self.returncode is not None else self._reap()

    def _has_ended(self, within_s: float) -> bool:
        return bool(select.select([self._ended], [], [], within_s)[0])

    def _reap(self) -> int:
        self.returncode = self._server.reap(self.pid)
        os.close(self._ended)
        return self.returncode


class Server:
    """The process that forks; it ends with ours. It is a *module* whose main part calls :func:`serve`."""

    def __init__(self, module: str = "support.forked") -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                env={**environment, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
                pass_fds=[theirs.fileno()],
            )

    def start(self, arguments: Sequence[str], *, environment: Mapping[str, str], stderr: int, **more: str) -> Forked:
        """Start a process; *more* is what its module wants to know besides."""
        theirs_in, stdin = os.pipe()
        stdout, theirs_out = os.pipe()
        order = {"arguments": list(arguments), "environment": dict(environment), **more}
        socket.send_fds(self._socket, [json.dumps(order).encode()], [theirs_in, theirs_out, stderr])
        pid = int(self._socket.recv(_LARGEST_ORDER))
        os.close(theirs_in)
        os.close(theirs_out)
        return Forked(self, pid, stdin, stdout)

    def reap(self, pid: int) -> int:
        """Return the exit code of a process that has ended."""
        return self._ask({"reap": pid})

    def pauses(self, pid: int) -> bool:
        """Wait for a process to be stopped, or to end; return whether it is stopped."""
        return self._ask({"pause": pid}) == os.CLD_STOPPED

    def _ask(self, order: Mapping[str, int]) -> int:
        self._socket.send(json.dumps(order).encode())
        return int(self._socket.recv(_LARGEST_ORDER))

    def close(self) -> None:
        """Let it end."""
        self._socket.close()
        self._process.wait()


@cache
def server() -> Server | None:
    """Return this process's server; ``None`` where the platform has none."""
    if not hasattr(os, "pidfd_open"):
        return None
    started = Server()
    atexit.register(started.close)
    return started


def serve(orders: socket.socket, *, imported: Sequence[str], become: Callable[..., NoReturn]) -> None:
    """Fork for every order, or tell how a child ended, or that it is stopped."""
    for name in imported:
        import_module(name)
    gc.collect()
    gc.freeze()  # no child looks through what all of them share
    while True:
        content, descriptors, _, _ = socket.recv_fds(orders, _LARGEST_ORDER, _STANDARD)
        if not content:
            return
        order: dict[str, Any] = json.loads(content)
        if "reap" in order:
            _, status = os.waitpid(order["reap"], 0)
            orders.send(str(os.waitstatus_to_exitcode(status)).encode())
            continue
        if "pause" in order:
            seen = os.waitid(os.P_PID, order["pause"], os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            orders.send(str(seen.si_code if seen is not None else 0).encode())
            continue
        pid = os.fork()
        if not pid:
            orders.close()
            become(descriptors, **order)
        for descriptor in descriptors:
            os.close(descriptor)
        orders.send(str(pid).encode())


def _become(descriptors: Sequence[int], *, arguments: Sequence[str], environment: dict[str, str]) -> NoReturn:
    """Be the simulator."""
    from broadcaster.simulator.__main__ import main

    random.seed()  # or all of them would draw the same
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(ROOT)
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), imported=_IMPORTED, become=_become)
