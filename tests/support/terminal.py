"""A terminal for a command: what it shows can be waited for, and keys can be pressed."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from support.cli import KEY, PATIENCE_S, Cli, keeps_no_key, told_no_secrets, wait_until

CTRL_C = "\x03"
_SIZE = struct.pack("HHHH", 40, 160, 0, 0)  # rows, columns: wide enough that no line is cut


class Terminal:
    """A command in the foreground of a terminal of its own."""

    def __init__(self, cli: Cli, *arguments: str) -> None:
        self._cli = cli
        self._arguments = arguments
        self.shown = ""

    def __enter__(self) -> Self:
        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, _SIZE)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "broadcaster", *self._arguments],
            cwd=self._cli.home,
            env={**self._cli.environment, "TERM": "xterm-256color"},
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
            # The only way to a terminal whose Ctrl-C and whose end reach the command.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - a single system call
        )
        os.close(inside)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE_S)
        self.close()

    def close(self) -> None:
        """Close the window; the command is told by SIGHUP. Harmless when called twice."""
        if self._screen >= 0:
            os.close(self._screen)
            self._screen = -1

    def press(self, keys: str) -> None:
        """Type *keys* once the command rests.

        Between printing a question and reading its answer lies a moment in which Python's ``input()`` notes a
        Ctrl-C and goes on to wait; people, who press again, are never quick enough to meet it.
        """
        wait_until(self._rests, what="the command rests")
        os.write(self._screen, keys.encode())

    def wait_for(self, text: str) -> None:
        """Return once the command has shown *text*; fail when it ends or falls silent before."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} was not shown, but: {self.shown}"
            assert self._read(), f"{text!r} was not shown before the end, but: {self.shown}"

    def end(self) -> int:
        """Wait for the end, look through what was shown and left, and return the exit code."""
        while self._screen >= 0 and self._read():
            pass
        code = self._process.wait(PATIENCE_S)
        key = self._cli.environment.get("SENT_DM_API_KEY") or KEY
        told_no_secrets(self.shown, key=key)
        keeps_no_key(self._cli.home, key=key)
        return code

    def _rests(self) -> bool:
        """Whether the command's main thread sleeps, or is no more."""
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return True
        return stat.rpartition(")")[2].split()[0] in "SZ"

    def _read(self) -> bool:
        """Read what is shown now, waiting a while for it; ``False`` at the end."""
        ready, _, _ = select.select([self._screen], [], [], 1.0)
        if not ready:
            return True
        try:
            read = os.read(self._screen, 65536)
        except OSError:  # Linux' way to say that nobody has the other side any more
            return False
        self.shown += read.decode(errors="replace").replace("\r\n", "\n")
        return bool(read)
