"""The run directory that several machines share: whole objects under names, at a URL.

Theory of operation. Two properties of the store carry everything above: an object that was written is seen by whoever
asks afterwards, and of several who *create* one name exactly one gets it. Object stores have both (and
:meth:`Storage.require_exclusive` does not take their word for it). A request whose answer was lost is repeated below
us, and would then be told that the object is there already: so an object that holds exactly the bytes that were to be
created counts as created. Whoever must be the only one puts something into them that nobody else has.

Synchronous; to be called in threads. It must not know what is in the objects.
"""

import hashlib
import threading
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from broadcaster.cluster.directory import Directory
from broadcaster.errors import BroadcasterError, ConfigError, StoreDamaged, StoreError
from broadcaster.lists.fetch import shown

_AT_ONCE = 64  # objects that are asked for together
_PROBE = "clock"  # written to learn what time the store thinks it is


class Place(Protocol):
    """Where the objects are; raises what it raises."""

    def create(self, name: str, data: bytes) -> bool: ...  # noqa: D102 - as in Storage
    def create_from(self, path: Path, name: str) -> bool: ...  # noqa: D102
    def replace(self, name: str, data: bytes) -> None: ...  # noqa: D102
    def replace_from(self, path: Path, name: str) -> None: ...  # noqa: D102
    def read(self, name: str) -> bytes | None: ...  # noqa: D102
    def read_many(self, names: Sequence[str]) -> list[bytes | None]: ...  # noqa: D102
    def download(self, name: str, to: Path) -> bool: ...  # noqa: D102
    def names(self, under: str) -> list[str]: ...  # noqa: D102
    def exists(self, name: str) -> bool: ...  # noqa: D102
    def modified_s(self, name: str) -> float | None: ...  # noqa: D102
    def remove(self, name: str) -> None: ...  # noqa: D102


class Storage:
    """A shared run directory.

    Every method raises :class:`StoreError` when the store does not do what it is asked, with a sentence that has
    neither password nor signature in it.
    """

    def __init__(self, url: str, place: Place) -> None:
        self.url = url
        self._place = place
        self._is_exclusive = False  # as far as we know

    @classmethod
    def open(cls, url: str) -> "Storage":
        """Return the shared directory at *url*: ``s3://bucket/path``, ``gs://bucket/path`` or ``file:///path``.

        Nothing is asked of the store yet.

        Raises:
            ConfigError: it cannot be used, or what speaks to it is not installed.
        """
        kind, separator, rest = url.partition("://")
        rest = rest.rstrip("/")
        if not separator:
            raise ConfigError(f"{url} is no address; a shared run directory is s3://…, gs://… or file:///…")
        if kind == "file":
            if not rest.startswith("/"):
                raise ConfigError(f"{url} must have a whole path, such as file:///srv/runs/spring-sale")
            return cls(url.rstrip("/"), Directory(Path(rest)))
        from broadcaster.cluster import bucket

        if kind not in bucket.KINDS:
            raise ConfigError(
                f"{shown(url)}: a shared run directory must be on s3://, gs:// or file:// (a disk that all machines "
                f"have); {kind}:// does not keep what several machines rely on"
            )
        if "/" not in rest:
            raise ConfigError(f"{shown(url)} names a bucket only; add a path for this run, such as {url}/spring-sale")
        return cls(url.rstrip("/"), bucket.Bucket(kind, rest))

    def __repr__(self) -> str:
        return f"<Storage {self.name}>"

    @property
    def name(self) -> str:
        """What messages call it."""
        return shown(self.url)

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that must not be there yet, exclusively, whole and durably; ``False``: it is there already.

        An object with exactly these bytes counts as created by this call.
        """
        with self._errors(name):
            return self._place.create(name, data) or self._place.read(name) == data

    def replace(self, name: str, data: bytes) -> None:
        """Write an object whole and durably, whatever was there."""
        with self._errors(name):
            self._place.replace(name, data)

    def read(self, name: str) -> bytes | None:
        """Return an object, or ``None`` when there is none."""
        with self._errors(name):
            return self._place.read(name)

    def read_many(self, names: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Yield several objects in the order of their names, a few dozen in memory at a time."""
        for start in range(0, len(names), _AT_ONCE):
            few = names[start : start + _AT_ONCE]
            with self._errors(few[0]):
                found = self._place.read_many(few)
            yield from zip(few, found, strict=True)

    def names(self, under: str) -> list[str]:
        """Return the names of all objects beneath *under*, sorted, as they are now. ``""`` is everything."""
        with self._errors(under):
            return sorted(self._place.names(under))

    def exists(self, name: str) -> bool:
        """Whether there is such an object now."""
        with self._errors(name):
            return self._place.exists(name)

    def upload(self, path: Path, name: str, *, exclusively: bool) -> bool:
        """Copy a local file to an object; ``False`` when it was to be created and one with other content is there."""
        with self._errors(name):
            if not exclusively:
                self._place.replace_from(path, name)
                return True
            if self._place.create_from(path, name):
                return True
            with path.open("rb") as mine:
                return self.digest(name) == hashlib.file_digest(mine, "sha256").hexdigest()

    def download(self, name: str, to: Path) -> None:
        """Copy an object to a local file.

        Raises:
            StoreDamaged: there is no such object.
        """
        with self._errors(name):
            if not self._place.download(name, to):
                raise StoreDamaged(f"{self.name}/{name} is missing; restore it from a copy")

    def digest(self, name: str) -> str | None:
        """Return the SHA-256 of an object as hexadecimal digits, ``None`` when there is none."""
        content = self.read(name)
        return None if content is None else hashlib.sha256(content).hexdigest()

    def age_s(self, name: str) -> float | None:
        """Return how long ago an object was written, by the store's own clock; ``None`` when there is none.

        Nobody's own clock is asked: those of two machines may differ by hours.
        """
        with self._errors(name):
            written_s = self._place.modified_s(name)
            if written_s is None:
                return None
            self._place.replace(_PROBE, uuid.uuid4().bytes)
            now_s = self._place.modified_s(_PROBE)
        return None if now_s is None else max(0.0, now_s - written_s)

    def remove(self, name: str) -> None:
        """Remove an object that nothing depends on."""
        with self._errors(name):
            self._place.remove(name)

    def require_exclusive(self) -> None:
        """Make sure that of several who create one name exactly one gets it, and that what was written is seen.

        Looked at once for each :class:`Storage`.

        Raises:
            StoreError: it is not so; nothing can be sent safely from there.
        """
        if self._is_exclusive:
            return
        name = f"self-test-{uuid.uuid4().hex}"
        together = threading.Barrier(2)

        def one(content: bytes) -> bool:
            together.wait()
            return self.create(name, content)

        contents = [uuid.uuid4().bytes for _ in range(3)]
        try:
            with ThreadPoolExecutor(max_workers=2) as pool:
                won = [*pool.map(one, contents[:2]), self.create(name, contents[2])]
            found = self.read(name)
        finally:
            self._forget(name)
        if sum(won) != 1 or found != contents[won.index(True)]:
            raise StoreError(
                f"{self.name}: of several who create the same object more than one is told that it got it, or what was "
                "written is not seen; two machines could send the same messages. Nothing was sent: use a store that "
                "keeps If-None-Match (Amazon S3, Google Cloud Storage, MinIO), or a disk that all machines have"
            )
        self._is_exclusive = True

    def _forget(self, name: str) -> None:
        try:
            self.remove(name)
        except StoreError:  # who may not delete leaves an empty word behind
            return

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except BroadcasterError:
            raise
        except Exception as error:
            raise StoreError(f"{self.name}/{name}: {_why(error)}; then run the same command again") from error


def _why(error: Exception) -> str:
    """Say what went wrong; errors of file systems repeat addresses with all that is secret in them."""
    if isinstance(error, PermissionError):
        return "it may not be read or written; allow that to these credentials"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or directory; make it"
    if type(error).__name__ == "NoCredentialsError":
        return "no credentials for it were found; set them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, OSError) and error.strerror and error.errno:
        return f"{error.strerror}; mend that"
    return f"it cannot be reached or used ({type(error).__name__}); mend that"
