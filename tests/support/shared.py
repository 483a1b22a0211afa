"""Runs that several machines share, for tests: a store that somebody else writes to at a chosen moment, and kills."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from broadcaster.cluster.fold import fold
from broadcaster.cluster.storage import Storage
from broadcaster.store.journal import JournalReader
from broadcaster.store.writer import create_journal


class Watched(Storage):
    """A shared directory that tells what is done with it.

    ``before`` and ``after`` hear of every step; what they raise comes out of it.
    """

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage.url, storage._place)
        self.before: Callable[[str, str], None] = lambda _method, _name: None
        self.after: Callable[[str, str], None] = lambda _method, _name: None

    @contextmanager
    def _step(self, method: str, name: str) -> Iterator[None]:
        self.before(method, name)
        yield
        self.after(method, name)

    def create(self, name: str, data: bytes) -> bool:
        with self._step("create", name):
            return super().create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        with self._step("replace", name):
            super().replace(name, data)

    def names(self, under: str) -> list[str]:
        with self._step("names", under):
            return super().names(under)

    def exists(self, name: str) -> bool:
        with self._step("exists", name):
            return super().exists(name)


@contextmanager
def killed(storage: Storage) -> Iterator[None]:
    """Undo what is written in the block: a process that is killed where it begins never wrote that."""
    root = Path(storage.url.removeprefix("file://"))
    copy = root.with_name(f"{root.name}.as-it-was")
    shutil.copytree(root, copy)
    try:
        yield
    finally:
        shutil.rmtree(root)
        copy.rename(root)


@contextmanager
def folded(storage: Storage, scratch: Path, *, shards: Sequence[int] = (0,)) -> Iterator[JournalReader]:
    """Yield a reader of the journal that the facts of some shards make."""
    create_journal(scratch, (group for shard in shards for group in fold(storage, shard)))
    with JournalReader(scratch) as reader:
        yield reader
