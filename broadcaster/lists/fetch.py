"""Lists that are no files of this machine: standard input, and addresses such as ``s3://bucket/list.csv``.

They are copied into a directory of the caller's before anybody looks into them: a stream can be read once only, a file
far away may change between two readings, and Parquet and XLSX are read from their end. It must not know what a list is.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from broadcaster.errors import ListUnusable
from broadcaster.lists.places import Place

STANDARD_INPUT = "-"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:://|::)")
_BLOCK = 1 << 20  # bytes copied at once
_PRIVATE = 0o600  # a list holds phone numbers
# What standard input is, by how it begins: it has no name that says so.
_BEGINNINGS = {b"\x1f\x8b": ".csv.gz", b"\x28\xb5\x2f\xfd": ".csv.zst", b"PAR1": ".parquet", b"PK\x03\x04": ".xlsx"}


def is_local(name: str) -> bool:
    """Whether *name* is a path."""
    return name != STANDARD_INPUT and not _ADDRESS.match(name)


def fetch(name: str, *, into: Path, first: int) -> Iterator[Place]:
    """Copy what *name* stands for into the directory *into* and yield the place of each copy.

    Args:
        name: ``-``, or an address; a ``*`` in it finds several files, sorted by name.
        into: an existing directory that nobody else may read; the caller removes it.
        first: what the copies are numbered from.

    Raises:
        ListUnusable: nothing is there, or it cannot be read; the sentence has neither password nor signature.
        OSError: *into* cannot be written.
    """
    if name == STANDARD_INPUT:
        yield _standard_input(into / f"list-{first}")
        return
    for number, (called, file) in enumerate(_remote(name), start=first):
        path = into / f"list-{number}{_suffixes(shown(file.path))}"
        try:
            stream = file.open()
        except Exception as error:  # noqa: BLE001 - every file system has errors of its own
            raise _unreachable(called, error) from None
        with stream:
            _copy(stream, path, name=called)
        yield Place(name=called, path=path, fetched=True)


def _standard_input(path: Path) -> Place:
    name = shown(STANDARD_INPUT)
    if sys.stdin is None or sys.stdin.closed:
        raise ListUnusable(f"{name} is closed; pipe a list into it")
    if sys.stdin.isatty():
        raise ListUnusable(f"{name} is a terminal; pipe a list into it, such as: broadcaster send - … < list.csv")
    _copy(sys.stdin.buffer, path, name=name)
    with path.open("rb") as file:
        start = file.read(max(map(len, _BEGINNINGS)))
    suffix = next((kind for beginning, kind in _BEGINNINGS.items() if start.startswith(beginning)), ".csv")
    return Place(name=name, path=path.rename(path.with_name(path.name + suffix)), fetched=True)


def _remote(address: str) -> list[tuple[str, Any]]:
    """Return the files at an address with what messages call them."""
    try:
        import fsspec
    except ImportError:
        raise ListUnusable(
            f"{shown(address)}: reading from an address needs another package: pip install 'broadcaster[remote]'"
        ) from None
    several = "*" in address
    try:
        files = fsspec.open_files(address, mode="rb", expand=several)
        found = [(shown(file.full_name if several else address), file) for file in files]
    except Exception as error:  # noqa: BLE001 - every file system has errors of its own
        raise _unreachable(shown(address), error) from None
    if not found:
        raise ListUnusable(f"{shown(address)}: no file matches")
    return found


def _copy(source: IO[bytes] | Any, path: Path, *, name: str) -> None:
    """Copy a stream to a new private file; an :class:`OSError` is about the file, never about the stream."""
    path.touch(mode=_PRIVATE)
    with path.open("wb") as target:
        while True:
            try:
                block = source.read(_BLOCK)
            except Exception as error:  # noqa: BLE001 - every file system has errors of its own
                raise _unreachable(name, error) from None
            if not block:
                return
            target.write(block)


def _unreachable(name: str, error: Exception) -> ListUnusable:
    """Say why it cannot be read; errors of file systems repeat the address with all that is secret in it."""
    if isinstance(error, FileNotFoundError):
        return ListUnusable(f"{name}: there is no such file")
    if isinstance(error, ImportError):  # fsspec's own sentence names the package
        return ListUnusable(f"{name} cannot be read: {error}")
    if isinstance(error, OSError) and error.strerror and error.errno:
        return ListUnusable(f"{name} cannot be read: {error.strerror}")
    return ListUnusable(f"{name} cannot be read ({type(error).__name__}); are address and credentials right?")


def shown(address: str) -> str:
    """Return what messages call an address: without user, password and query, which are secrets in a signed one."""
    if address == STANDARD_INPUT:
        return "standard input"
    scheme, separator, rest = address.rpartition("://")
    host, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _suffixes(name: str) -> str:
    """Return the last two suffixes of a name, which say what is in it: ``.csv.gz``."""
    return "".join(PurePosixPath(name).suffixes[-2:])
