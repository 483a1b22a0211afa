"""Paths, globs, addresses and standard input to one stream of text cells, whatever the files are.

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
from broadcaster.lists.fetch import fetch, is_local, shown
from broadcaster.lists.places import Place
from broadcaster.lists.sheets import open_sheet
from broadcaster.lists.tables import open_parquet
from broadcaster.lists.text import open_text

_TEXT = frozenset({".csv", ".tsv", ".tab", ".txt"})
_PARQUET = frozenset({".parquet", ".pq"})
_SHEETS = frozenset({".xlsx", ".xlsm"})


class ListFile(Protocol):
    """One file of a list."""

    @property
    def place(self) -> Place:
        """Where it is."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of its columns, in its order."""

    def batches(self, columns: Sequence[str], *, malformed: dict[int, str] | None = None) -> Iterator[Any]:
        """Yield its rows as record batches of the named columns, in the order named; every cell a string, none null.

        Rows that cannot be read and can be told from their neighbours are noted in *malformed* before the end, by
        position: what is wrong with them. They have empty cells. Without *malformed* they refuse the file.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Which file it was: the absolute path or the address, the size in bytes, the digest of its content."""

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

    def batches(
        self, columns: Sequence[str] | None = None, *, malformed: dict[int, str] | None = None
    ) -> Iterator[Any]:
        """Yield all rows as pyarrow record batches of strings without nulls. May be called again.

        Args:
            columns: those wanted, in this order; all of them when ``None``. Columns that are not wanted may hold
                anything.
            malformed: takes the rows that have not as many cells as the header, by position in the list: what is wrong
                with them. It is complete when the last batch has come. They are rows of empty cells in the batches, so
                that the rows after them keep their position. ``None`` refuses a file that has such rows.

        Raises:
            ListUnusable: a file that is damaged, or not what its header promises; names the file and the line.
        """
        names = self.columns if columns is None else tuple(columns)
        first = 0
        for file in self.files:
            own: dict[int, str] | None = None if malformed is None else {}
            rows = 0
            with _readable(file.place):
                for batch in filter(_has_rows, file.batches(names, malformed=own)):
                    rows += batch.num_rows
                    yield batch
            if malformed is not None and own:
                whose = f"{file.place}: " if len(self.files) > 1 else ""
                malformed |= {first + at: f"{whose}{sentence}" for at, sentence in own.items()}
            first += rows

    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Return the fingerprint of each file as it is now; reads them from end to end."""
        return tuple(_fingerprint(file.place) for file in self.files)


def open_list(
    files: Sequence[str],
    *,
    base: Path,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    copies: Path | None = None,
) -> ListSource:
    """Open the files of a list and read their headers.

    Args:
        files: see :func:`expand`. A file counts once.
        base: an absolute directory, or one relative to the current one.
        encoding: of the text files; see :func:`broadcaster.lists.text.open_text`.
        delimiter: of the text files.
        sheet: of the XLSX files; their first one when ``None``.
        copies: see :func:`expand`.

    Raises:
        ListUnusable: names the file, what is wrong with it and what to do.
        OSError: *copies* cannot be written.
    """
    places = expand(files, base=base, copies=copies)
    return join([open_file(place, encoding=encoding, delimiter=delimiter, sheet=sheet) for place in places])


def join(files: Sequence[ListFile]) -> ListSource:
    """Make one list of several files.

    Raises:
        ListUnusable: they have not the same columns; the order may differ.
    """
    first = files[0]
    for other in files[1:]:
        if difference := set(first.columns) ^ set(other.columns):
            raise ListUnusable(
                f"{other.place} and {first.place} do not have the same columns; "
                f"only one of them has {', '.join(map(repr, sorted(difference)))}"
            )
    return ListSource(files=tuple(files))


def expand(files: Sequence[str], *, base: Path, copies: Path | None = None) -> tuple[Place, ...]:
    """Return the files that *files* name, each once.

    Args:
        files: paths and globs, relative to *base*, what a glob finds sorted by path; ``-`` for standard input;
            addresses such as ``s3://bucket/list.csv``.
        base: where relative paths start.
        copies: a private directory for copies of what is no file of this machine; ``None`` when there can be none.

    Raises:
        ListUnusable: a file is not there, a glob finds none, or a copy is needed and has no place.
        OSError: *copies* cannot be written.
    """
    places: dict[Path, Place] = {}
    for name in files:
        if not is_local(name):
            if copies is None:
                raise ListUnusable(f"{shown(name)} cannot be read here; save it as a file first")
            places |= {place.path: place for place in fetch(name, into=copies, first=len(list(copies.iterdir())))}
            continue
        path = _plain(base / name)
        with _readable(Place.local(path)):
            # A file whose name has brackets in it is itself first.
            found = [path] if path.exists() or not glob.has_magic(name) else _matching(name, base)
        if not found:
            raise ListUnusable(f"{path}: no file matches")
        places |= {each: Place.local(each) for each in found if each not in places}
    return tuple(places.values())


def _matching(pattern: str, base: Path) -> list[Path]:
    found = glob.iglob(pattern, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    return sorted(path for name in found if (path := _plain(base / name)).is_file())


def _plain(path: Path) -> Path:
    """Return *path* from the root, without ``..``; a file keeps its name, and so its kind, when it is a link."""
    return path.parent.resolve() / path.name


def open_file(
    place: Place, *, encoding: str | None = None, delimiter: str | None = None, sheet: str | None = None
) -> ListFile:
    """Open one file; its name says what is in it.

    Raises:
        ListUnusable: as in :func:`open_list`.
    """
    with _readable(place):
        if place.path.is_dir():
            raise ListUnusable(f"{place} is a directory; name the files in it, for example {place.path / '*.csv'}")
        if not place.path.stat().st_size:
            raise ListUnusable(f"{place} is empty; its first line has to name the columns")
        if place.kind in _TEXT:
            return open_text(place, encoding=encoding, delimiter=delimiter)
        if place.compression is None and place.kind in _PARQUET:
            return open_parquet(place)
        if place.compression is None and place.kind in _SHEETS:
            return open_sheet(place, sheet=sheet)
    kinds = ", ".join(sorted(_TEXT))
    raise ListUnusable(
        f"{place}: files of this kind cannot be read; use one of {kinds} (each also with .gz or .zst), "
        f"{', '.join(sorted(_PARQUET | _SHEETS))}"
    )


@contextmanager
def _readable(place: Place) -> Iterator[None]:
    """Say what the operating system has against reading *place*."""
    try:
        yield
    except FileNotFoundError:
        raise ListUnusable(f"{place}: there is no such file") from None
    except OSError as error:
        raise ListUnusable(f"{place} cannot be read: {error.strerror}") from error


def _has_rows(batch: Any) -> bool:
    return bool(batch.num_rows)


def _fingerprint(place: Place) -> Fingerprint:
    with _readable(place), place.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Fingerprint(path=place.name, size=file.tell(), sha256=digest)
