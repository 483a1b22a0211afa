"""A shared run directory that is a directory: ``file://`` on a disk that all machines mount.

Whole objects under names, as in a bucket: nobody ever sees half of one, and of two who create the same name one gets
it. Which one is decided by a hard link, which is exclusive on network file systems too. It must not know what is in
them.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from broadcaster.store.files import PRIVATE, TEMPORARY, sync

_OWNER_ONLY = 0o700  # the objects hold phone numbers


class Directory:
    """Objects as files beneath one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lasting: set[Path] = set()  # directories that no power cut takes away with all that is in them

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that must not be there yet; durable when it returns, ``False`` when it was there."""
        with self._written(name, data) as temporary:
            return self._take(temporary, name)

    def create_from(self, path: Path, name: str) -> bool:
        """Do the same with a file's content."""
        with self._copied(path, name) as temporary:
            return self._take(temporary, name)

    def replace(self, name: str, data: bytes) -> None:
        """Write an object, whatever was there; a reader sees the old one or the new one."""
        with self._written(name, data) as temporary:
            self._put(temporary, name)

    def replace_from(self, path: Path, name: str) -> None:
        """Do the same with a file's content."""
        with self._copied(path, name) as temporary:
            self._put(temporary, name)

    def read(self, name: str) -> bytes | None:
        """Return an object, or ``None`` when there is none."""
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return several objects, in the order of their names."""
        return [self.read(name) for name in names]

    def download(self, name: str, to: Path) -> bool:
        """Copy an object to a local file; ``False`` when there is none."""
        try:
            with (self._root / name).open("rb") as source, to.open("wb") as target:
                _copy(source.fileno(), target.fileno())
        except FileNotFoundError:
            return False
        return True

    def names(self, under: str) -> list[str]:
        """Return the names of all objects beneath *under*."""
        found: list[str] = []
        for directory, _, files in os.walk(self._root / under):
            where = Path(directory).relative_to(self._root)
            found += [(where / each).as_posix() for each in files if not each.startswith(TEMPORARY)]
        return found

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return (self._root / name).is_file()

    def modified_s(self, name: str) -> float | None:
        """Return when an object was last written, by the clock of whoever keeps the disk."""
        try:
            return (self._root / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        (self._root / name).unlink(missing_ok=True)

    @contextmanager
    def _written(self, name: str, data: bytes) -> Iterator[Path]:
        with self._temporary(name) as temporary:
            temporary.touch(mode=PRIVATE, exist_ok=False)
            temporary.write_bytes(data)
            yield temporary

    @contextmanager
    def _copied(self, path: Path, name: str) -> Iterator[Path]:
        with self._temporary(name) as temporary:
            temporary.touch(mode=PRIVATE, exist_ok=False)
            with path.open("rb") as source, temporary.open("wb") as target:
                _copy(source.fileno(), target.fileno())
            yield temporary

    @contextmanager
    def _temporary(self, name: str) -> Iterator[Path]:
        home = (self._root / name).parent
        self._make(home)
        temporary = home / f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            yield temporary
        finally:
            with suppress(OSError):  # it has its name by now, or the disk has said already what is wrong with it
                temporary.unlink()

    def _make(self, home: Path) -> None:
        """Make a directory of ours, and those on the way to it, so that they last.

        Somebody else may have made one a moment ago without having said so to the disk yet: so each process says it,
        once.
        """
        inside = home.relative_to(self._root)
        ours = [self._root / each for each in (*reversed(inside.parents), inside)]
        above = () if self._root in self._lasting else (self._root, *self._root.parents)
        new = {each for each in above if not each.exists()}  # what was there already may not be ours to read
        self._root.mkdir(parents=True, exist_ok=True, mode=_OWNER_ONLY)
        for directory in ours[1:]:  # one by one: a mode is that of the last
            directory.mkdir(exist_ok=True, mode=_OWNER_ONLY)
        for directory in sorted({*new, *ours[1:]} - self._lasting):
            sync(directory.parent)
        self._lasting.update(ours)

    def _take(self, temporary: Path, name: str) -> bool:
        sync(temporary)
        try:
            os.link(temporary, self._root / name)
        except FileExistsError:
            return False
        sync((self._root / name).parent)
        return True

    def _put(self, temporary: Path, name: str) -> None:
        sync(temporary)
        temporary.replace(self._root / name)
        sync((self._root / name).parent)


def _copy(source: int, target: int) -> None:
    while block := os.read(source, 1 << 20):
        view = memoryview(block)
        while view:
            view = view[os.write(target, view) :]
