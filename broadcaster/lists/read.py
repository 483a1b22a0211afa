"""Paths and globs to one stream of text cells, whatever the files are.

Each kind of file has a module of its own that opens it and names its columns; another kind is another line here.
"""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from broadcaster.errors import ListUnusable
from broadcaster.lists.tables import open_parquet
from broadcaster.lists.text import open_text

_TEXT = frozenset({".csv", ".tsv", ".tab", ".txt"})
_PARQUET = frozenset({".parquet", ".pq"})


class ListFile(Protocol):
    """One file of a list."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, in its order."""

    def batches(self, columns: Sequence[str]) -> Iterator[Any]:
        """Yield its rows as record batches of the named columns, in the order named; every cell a string, none null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Which file it was: the absolute path, the size in bytes, the digest of its content."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSource:
    """A list of one or more files with the same columns; rows are numbered through, in the order of the files."""

    files: tuple[ListFile, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, in the order of the first file."""
        return self.files[0].columns

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield all rows as pyarrow record batches of strings without nulls. May be called again.

        Args:
            columns: those wanted, in this order; all of them when ``None``. Columns that are not wanted may hold
                anything.

        Raises:
            ListUnusable: a file that is damaged, or not what its header promises; names the file and the line.
        """
        names = self.columns if columns is None else tuple(columns)
        for file in self.files:
            with _readable(file.path):
                yield from filter(_has_rows, file.batches(names))

    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Return the fingerprint of each file as it is now; reads them from end to end."""
        return tuple(_fingerprint(file.path) for file in self.files)


def open_list(
    files: Sequence[str], *, base: Path, encoding: str | None = None, delimiter: str | None = None
) -> ListSource:
    """Open the files of a list and read their headers.

    Args:
        files: paths and globs, relative to *base*; what a glob finds is sorted by path. A file counts once.
        base: an absolute directory, or one relative to the current one.
        encoding: of the text files; see :func:`broadcaster.lists.text.open_text`.
        delimiter: of the text files.

    Raises:
        ListUnusable: names the file, what is wrong with it and what to do.
    """
    opened = [_open(path, encoding=encoding, delimiter=delimiter) for path in expand(files, base=base)]
    first = opened[0]
    for other in opened[1:]:
        if difference := set(first.columns) ^ set(other.columns):
            raise ListUnusable(
                f"{other.path} and {first.path} do not have the same columns; "
                f"only one of them has {', '.join(map(repr, sorted(difference)))}"
            )
    return ListSource(files=tuple(opened))


def expand(files: Sequence[str], *, base: Path) -> tuple[Path, ...]:
    """Return the files that *files* name, each once.

    Raises:
        ListUnusable: a file is not there, or a glob finds none.
    """
    paths: dict[Path, None] = {}
    for name in files:
        path = _plain(base / name)
        # A file whose name has brackets in it is itself first.
        found = [path] if path.exists() or not glob.has_magic(name) else _matching(name, base)
        if not found:
            raise ListUnusable(f"{path}: no file matches")
        paths |= dict.fromkeys(found)
    return tuple(paths)


def _matching(pattern: str, base: Path) -> list[Path]:
    found = glob.iglob(pattern, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted(path for name in found if (path := _plain(base / name)).is_file())


def _plain(path: Path) -> Path:
    """Return *path* from the root, without ``..``; a file keeps its name, and so its kind, when it is a link."""
    return path.parent.resolve() / path.name


def _open(path: Path, *, encoding: str | None, delimiter: str | None) -> ListFile:
    suffix = path.suffix.lower()
    with _readable(path):
        if path.is_dir():
            raise ListUnusable(f"{path} is a directory; name the files in it, for example {path / '*.csv'}")
        if not path.stat().st_size:
            raise ListUnusable(f"{path} is empty; its first line has to name the columns")
        if suffix in _TEXT:
            return open_text(path, encoding=encoding, delimiter=delimiter)
        if suffix in _PARQUET:
            return open_parquet(path)
    kinds = ", ".join(sorted(_TEXT | _PARQUET))
    raise ListUnusable(
        f"{path}: files of this kind cannot be read; use one of {kinds} (spreadsheets: save as CSV UTF-8)"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say what the operating system has against reading *path*."""
    try:
        yield
    except FileNotFoundError:
        raise ListUnusable(f"{path}: there is no such file") from None
    except OSError as error:
        raise ListUnusable(f"{path} cannot be read: {error.strerror}") from error


def _has_rows(batch: Any) -> bool:
    return bool(batch.num_rows)


def _fingerprint(path: Path) -> Fingerprint:
    with _readable(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Fingerprint(path=str(path), size=file.tell(), sha256=digest)
