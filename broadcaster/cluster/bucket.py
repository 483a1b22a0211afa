"""A shared run directory in an object store, through fsspec: ``s3://`` and ``gs://``.

Only stores whose file system passes ``mode="create"`` on as a condition that the store itself keeps: fsspec's own
default looks first and writes then, which two processes can do at once. It must not know what is in the objects.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from broadcaster.errors import ConfigError, StoreError

_PACKAGES = {"s3": "s3fs", "gs": "gcsfs"}
_EXTRAS = {"s3": "pip install 'broadcaster[s3]'", "gs": "pip install gcsfs"}
# Seconds. A claim waits for these answers, and an owner that is not heard of for long is taken over. The client repeats
# a request that fails, and nobody above it does: together that would take minutes.
_S3 = {"connect_timeout": 4, "read_timeout": 10, "retries": {"total_max_attempts": 4, "mode": "standard"}}
_TAKEN = frozenset({"PreconditionFailed", "412"})
_CONTENDED = frozenset({"ConditionalRequestConflict", "OperationAborted", "409"})  # somebody else writes it just now
_CONTENDERS = 6  # tries; whoever else writes the name is done after one of them
_CONTENDED_S = 0.2

KINDS = frozenset(_PACKAGES)


class Bucket:
    """Objects beneath one prefix of a bucket."""

    def __init__(self, kind: str, prefix: str) -> None:
        """Open it; nothing is asked of the store yet.

        Raises:
            ConfigError: the package that speaks to it is not installed.
        """
        try:
            import fsspec

            options = {"config_kwargs": _S3} if kind == "s3" else {}
            self._fs: Any = fsspec.filesystem(kind, use_listings_cache=False, skip_instance_cache=True, **options)
            self._fs.retries = 1
        except ImportError as error:
            raise ConfigError(
                f"{kind}:// needs another package ({_PACKAGES[kind]}); install it with {_EXTRAS[kind]}"
            ) from error
        self._prefix = prefix.rstrip("/")

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that must not be there yet; ``False`` when it was there."""
        return self._created(lambda: self._fs.pipe_file(self._path(name), data, mode="create"))

    def create_from(self, path: Path, name: str) -> bool:
        """Do the same with a file's content."""
        return self._created(lambda: self._fs.put_file(str(path), self._path(name), mode="create"))

    def replace(self, name: str, data: bytes) -> None:
        """Write an object, whatever was there."""
        self._fs.pipe_file(self._path(name), data)

    def replace_from(self, path: Path, name: str) -> None:
        """Do the same with a file's content."""
        self._fs.put_file(str(path), self._path(name))

    def read(self, name: str) -> bytes | None:
        """Return an object, or ``None`` when there is none."""
        try:
            content: bytes = self._fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        return content

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Return several objects, asked for at once, in the order of their names."""
        if not names:
            return []
        paths = [self._path(name) for name in names]
        found = self._fs.cat(paths, on_error="return")
        contents: list[bytes | None] = []
        for path in paths:
            content = found[path]
            if isinstance(content, FileNotFoundError):
                content = None
            if isinstance(content, Exception):
                raise content
            contents.append(content)
        return contents

    def download(self, name: str, to: Path) -> bool:
        """Copy an object to a local file; ``False`` when there is none."""
        try:
            self._fs.get_file(self._path(name), str(to))
        except FileNotFoundError:
            return False
        return True

    def names(self, under: str) -> list[str]:
        """Return the names of all objects beneath *under*."""
        found = self._fs.find(self._path(under).rstrip("/"))
        return [each[len(self._prefix) + 1 :] for each in found if each.startswith(f"{self._prefix}/")]

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._info(name) is not None

    def modified_s(self, name: str) -> float | None:
        """Return when an object was last written, by the store's clock."""
        found = self._info(name)
        if found is None:
            return None
        moment = found.get("LastModified") or found.get("mtime") or found["updated"]
        return float(moment.timestamp())

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def _info(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._fs.info(self._path(name))
        except FileNotFoundError:
            return None
        return found if found["type"] == "file" else None

    def _path(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def _created(self, write: Any) -> bool:
        for _ in range(_CONTENDERS):
            try:
                write()
            except FileExistsError:
                return False
            except OSError as error:
                code = _code(error)
                if code in _TAKEN:
                    return False
                if code not in _CONTENDED:
                    raise
                time.sleep(_CONTENDED_S)
            else:
                return True
        raise StoreError("the store kept saying that somebody else writes the same object; run the same command again")


def _code(error: BaseException) -> str:
    """Return the store's own word for what went wrong, as far as the file system hands it on."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", getattr(error, "code", "")))
