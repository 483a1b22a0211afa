"""``events.jsonl``: what happened in a run, a line for each event, for whoever reads along.

Theory of operation. Nothing depends on this file: the journal holds the facts. So a disk that refuses a line harms
nobody: the line is kept, up to a bound, and tried again with the next one. A line that was torn by a full disk or a
crash is closed before the next one begins, and readers pass over it. The file is opened for each write, so that it may
be moved away at any time.

It must hold no number, name or key; whoever tells an event sees to that.
"""

import errno
import json
import os
import stat
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster.clock import wall_us
from broadcaster.store.files import PRIVATE

_KEPT = 1000  # lines that a full disk may owe
_MANY = 100
_TAIL = 1 << 17  # bytes that a reader looks at: some fifty minutes of progress
_END = b"\n"
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # nobody waits for the other end of a pipe


class EventFile:
    """Appends lines; every method returns normally whatever the disk says. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._owed: deque[bytes] = deque(maxlen=_KEPT)

    def __repr__(self) -> str:
        return f"<EventFile {self._path}, {len(self._owed)} lines owed>"

    def tell(self, event: str, facts: Mapping[str, Any], *, at_us: int) -> None:
        """Take a line; it is written with the next :meth:`write`, or now where many are owed."""
        words = {"at": written_at(at_us), "event": event, **facts}
        self._owed.append(json.dumps(words, ensure_ascii=False, separators=(",", ":")).encode() + _END)
        if len(self._owed) >= _MANY:
            self.write()

    def write(self, *, durably: bool = False) -> bool:
        """Append what is owed; return whether it is in the file, on disk with *durably*."""
        if not self._owed and not durably:
            return True
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | _AT_ONCE, PRIVATE)
            try:
                self._append(descriptor)
                if durably:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return True
        return False

    def _append(self, descriptor: int) -> None:
        size = _size(descriptor)
        if size and _read(descriptor, 1, size - 1) != _END:
            self._owed.appendleft(_END) if len(self._owed) < _KEPT else None
        while self._owed:
            line = self._owed[0]
            if os.write(descriptor, line) < len(line):
                raise OSError  # the disk is full: the whole line comes again
            self._owed.popleft()


def tell_once(path: Path, event: str, facts: Mapping[str, Any]) -> bool:
    """Append one event now, for whoever has no more to tell; return whether it is in the file."""
    file = EventFile(path)
    file.tell(event, facts, at_us=wall_us())
    return file.write()


def read_events(path: Path, *, tail: int = _TAIL) -> list[dict[str, Any]]:
    """Return the events in the last *tail* bytes of the file, oldest first; none when it cannot be read.

    Torn lines, and lines that nobody of us wrote, are passed over.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | _AT_ONCE)
        try:
            start = max(0, _size(descriptor) - tail)
            lines = _read(descriptor, tail, start).split(_END)
        finally:
            os.close(descriptor)
    except OSError:
        return []
    return [found for line in (lines[1:] if start else lines) if (found := _parsed(line)) is not None]


def written_at(at_us: int) -> str:
    """Return a moment as the file has it: ``2026-12-01T09:00:00.000Z``."""
    return datetime.fromtimestamp(at_us / 1e6, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_at(words: Mapping[str, Any]) -> float:
    """Return the moment of an event in seconds since 1970; 0 when it says none."""
    try:
        return datetime.fromisoformat(words["at"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return 0.0


def _read(descriptor: int, amount: int, start: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, amount)


def _size(descriptor: int) -> int:
    """Return the size of an open file; raise ``OSError`` for a pipe or a device, which never ends or never takes."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return found.st_size


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        words = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return words if isinstance(words, dict) and isinstance(words.get("event"), str) and read_at(words) else None
