"""What a disk would hold if the power failed at some moment of a traced command.

The strictest disk that POSIX allows: bytes are there when an ``fsync`` or ``fdatasync`` that began after their write
has returned; a name is there when that of its directory has. Killing a process shows nothing of this: the kernel keeps
what a dead process wrote.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from support.syscalls import Call

_SYNCS = frozenset({"fsync", "fdatasync"})
_NAMES = frozenset({"rename", "renameat", "renameat2", "unlink", "unlinkat"})


@dataclass(slots=True)
class _File:
    """Content as everybody sees it, what of it waits for a sync, and what is on disk."""

    seen: bytearray = field(default_factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)
    disk: bytearray = field(default_factory=bytearray)
    position: int = 0

    def write(self, at: int, content: bytes | None) -> None:
        """Lay *content* at a place; ``None`` makes the file as long as that."""
        _lay(self.seen, at, content)
        self.waiting.append((at, content))

    def sync(self, count: int) -> None:
        for at, content in self.waiting[:count]:
            _lay(self.disk, at, content)
        del self.waiting[:count]


class Disk:
    """Files below *root*, followed through a trace that begins before any of them is written.

    *home* is where the command ran: its relative paths begin there.
    """

    def __init__(self, root: Path, *, home: Path) -> None:
        self._root = root
        self._home = home
        self._seen: dict[str, _File] = {}
        self._names: dict[str, _File] = {}
        self._syncing: dict[int, int] = {}

    def follow(self, calls: Sequence[Call]) -> Iterator[Call]:
        """Yield every call that is no file's at the moment it begins, with the disk as it is then."""
        points = [(call.began, False, call) for call in calls] + [(call.ended, True, call) for call in calls]
        for _, ends, call in sorted(points, key=lambda point: point[:2]):
            if ends:
                self._end(call)
            elif call.name not in _NAMES and not call.on.startswith(os.sep):
                yield call
            elif call.name in _SYNCS and call.on in self._seen:
                self._syncing[call.ended] = len(self._seen[call.on].waiting)

    def files(self) -> dict[str, bytes]:
        """Return what is on disk, by path below the root."""
        return {name: bytes(file.disk) for name, file in self._names.items()}

    def _path(self, given: str) -> str:
        return os.path.normpath(self._home / given)

    def _end(self, call: Call) -> None:
        if call.name in _NAMES:
            self._name([os.fsdecode(each) for each in call.strings], gone="unlink" in call.name)
        elif call.name in _SYNCS:
            self._sync(call)
        elif self._is_ours(call.on):
            self._write(call)

    def _is_ours(self, path: str) -> bool:
        return path.startswith(f"{self._root}{os.sep}")

    def _name(self, paths: list[str], *, gone: bool) -> None:
        old, *new = [self._path(each) for each in paths]
        file = self._seen.pop(old, None)
        if file is not None and not gone:
            self._seen[new[0]] = file

    def _write(self, call: Call) -> None:
        file = self._seen.setdefault(call.on, _File())
        if call.name == "openat":
            if "O_TRUNC" in call.arguments:
                file.write(0, None)
            if "O_RDONLY" not in call.arguments:
                file.position = 0
        elif call.name == "pwrite64":
            file.write(call.last_number, call.strings[0])
        elif call.name == "write":
            file.write(file.position, call.strings[0])
            file.position += call.result
        elif call.name == "ftruncate":
            file.write(call.last_number, None)
        else:
            raise AssertionError(f"the model does not know {call.name} on {call.on}")

    def _sync(self, call: Call) -> None:
        if call.on in self._seen:
            self._seen[call.on].sync(self._syncing.pop(call.ended, 0))
        if call.on == str(self._root) or self._is_ours(call.on):
            here = {name: file for name, file in self._seen.items() if str(Path(name).parent) == call.on}
            kept = {name: file for name, file in self._names.items() if str(Path(name).parent) != call.on}
            self._names = kept | here


def _lay(over: bytearray, at: int, content: bytes | None) -> None:
    if len(over) < at:
        over.extend(bytes(at - len(over)))
    if content is None:
        del over[at:]
    else:
        over[at : at + len(content)] = content
