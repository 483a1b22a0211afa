"""Files that are there whole or not at all, and disk errors as sentences."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from broadcaster.errors import StoreError

_BLOCK = 1 << 20
TEMPORARY = ".broadcaster-"  # what the names of half-done files begin with; whoever takes the lock next removes them
PRIVATE = 0o600  # files of a run hold phone numbers


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside *path*; on success make it durable and rename it into place.

    A reader sees the old file or the new one, never a part. On an exception the temporary file is removed and *path* is
    untouched. Raises :class:`StoreError` when the disk refuses.
    """
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    try:
        with disk_errors(path):
            yield temporary
            temporary.chmod(PRIVATE)
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
    finally:
        with suppress(OSError):  # nothing was made, or the disk has said already what is wrong with it
            temporary.unlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Replace *path* by *content*, durably."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Return when the file or directory *path* is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an operating-system error about *path* into a :class:`StoreError`."""
    try:
        yield
    except OSError as error:
        what = os.strerror(error.errno) if error.errno else error  # pyarrow's own text is longer and says less
        raise StoreError(
            f"{path}: {what}; nothing more is sent until that is mended: make room or allow writing, then run the same "
            "command again"
        ) from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with disk_errors(path), path.open("rb") as file:
        sha = hashlib.sha256()
        while block := file.read(_BLOCK):
            sha.update(block)
    return sha.hexdigest()
