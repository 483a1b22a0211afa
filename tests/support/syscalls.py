"""System calls of a command, as strace saw them: in order, with what was written, and where they overlapped."""

import ast
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CALLS = (
    "openat,rename,renameat,renameat2,unlink,unlinkat,ftruncate,fsync,fdatasync,"
    "write,writev,pwrite64,pwritev,pwritev2,send,sendto,sendmsg,sendmmsg,sendfile"
)
_LONGEST = 1 << 20  # bytes of a write that are kept: more than any write of a small run
_WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+|\?)(.*)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*?),? <unfinished \.\.\.>")
_ENDED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+|\?)(.*)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"(?:AT_FDCWD|\d+)<([^>]*)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One system call that returned. ``began`` and ``ended`` are places in the trace, to be compared."""

    name: str
    arguments: str
    result: int
    returned: str
    began: int
    ended: int

    @property
    def on(self) -> str:
        """What the first descriptor stands for: a path, or ``socket:[…]``; for an ``openat`` the opened file."""
        found = _DESCRIPTOR.search(self.returned if self.name == "openat" else self.arguments)
        return found[1] if found else ""

    @property
    def strings(self) -> list[bytes]:
        """The quoted arguments, as bytes."""
        return [bytes(ast.literal_eval(f'b"{each}"')) for each in _QUOTED.findall(self.arguments)]

    @property
    def last_number(self) -> int:
        """The last argument: an offset or a length."""
        return int(self.arguments.rpartition(",")[2])


@cache
def why_untraced() -> str | None:
    """Return why nothing can be traced here, or ``None``."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    tried = subprocess.run([strace, "-qq", "-e", "trace=none", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else None


def tracer(trace: Path) -> list[str]:
    """Return the words before a command that write its system calls to *trace*."""
    return [
        "strace", "--follow-forks", "--seccomp-bpf", "-qq", "--signal=none", "--decode-fds=path",
        f"--string-limit={_LONGEST}", f"--trace={_CALLS}", f"--output={trace}", "--",
    ]  # fmt: skip


def failing(file: Path, *, call: str, error: str, nth: int) -> list[str]:
    """Return the words before a command whose system calls *call* on *file* fail from the *nth* on."""
    return [
        "strace", "--follow-forks", "--seccomp-bpf", "-qq", "--signal=none", f"--output={os.devnull}",
        f"--trace-path={file}", f"--trace={call}", f"--inject={call}:error={error}:when={nth}+", "--",
    ]  # fmt: skip


def read_trace(trace: Path) -> list[Call]:
    """Return the calls that succeeded, in the order in which they returned."""
    with trace.open(encoding="ascii") as lines:
        return [call for call in _calls(lines) if call.result >= 0]


def _calls(lines: Iterable[str]) -> Iterator[Call]:
    begun: dict[str, tuple[int, str]] = {}
    for at, line in enumerate(lines):
        if whole := _WHOLE.fullmatch(line.rstrip("\n")):
            _, name, arguments, result, returned = whole.groups()
            began = at
        elif ended := _ENDED.fullmatch(line.rstrip("\n")):
            thread, name, rest, result, returned = ended.groups()
            began, arguments = begun.pop(thread)
            arguments += rest
        else:
            if unfinished := _BEGUN.match(line):
                begun[unfinished[1]] = (at, unfinished[3])
            continue
        yield Call(
            name=name,
            arguments=arguments,
            result=-1 if result == "?" else int(result),
            returned=returned,
            began=began,
            ended=at,
        )
