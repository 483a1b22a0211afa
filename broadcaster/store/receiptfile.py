"""The file of receipts itself: its schema, how it is made and opened, and its errors as sentences."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkstemp
from typing import Any

from broadcaster.core.receipts import DeliveryState
from broadcaster.errors import BelongsToAnother, StoreDamaged, StoreError
from broadcaster.store.files import TEMPORARY, disk_errors, sync

NAME = "receipts.sqlite"
_VERSION = 1
_BUSY_S = 10.0  # another process's transactions take milliseconds; Sent waits for an answer for half a minute
_CACHE_KIB = 64 << 10  # ids are random: each receipt touches pages all over the file
_SCHEMA = """
CREATE TABLE receipt (
    id INTEGER PRIMARY KEY, event_key TEXT NOT NULL UNIQUE, message_id TEXT NOT NULL, status TEXT NOT NULL,
    channel TEXT, code TEXT, reason TEXT, updated_us INTEGER NOT NULL, received_us INTEGER NOT NULL, price TEXT,
    source TEXT NOT NULL);
CREATE INDEX receipt_message ON receipt (message_id);
CREATE TABLE state (
    message_id TEXT PRIMARY KEY, status TEXT NOT NULL, channel TEXT, reason TEXT, updated_us INTEGER NOT NULL,
    final INTEGER NOT NULL, price TEXT, priced_us INTEGER) WITHOUT ROWID;
"""


@contextmanager
def receipt_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into sentences: damaged, or not writable."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise StoreError(f"{path}: {why}; receipts cannot be kept until that is mended") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())  # one line
        if isinstance(error, sqlite3.OperationalError) or "full" in why or "disk I/O" in why:
            raise StoreError(
                f"{path}: {why}; make room or allow writing. Nothing is lost meanwhile: Sent repeats what was not "
                "acknowledged"
            ) from error
        raise StoreDamaged(
            f"{path}: the file of receipts is damaged; move it away, and 'broadcaster reconcile' asks the API again"
        ) from error


def opened(path: Path) -> sqlite3.Connection:
    """Open the file for writing, and make it when there is none; a commit returns after the disk has it.

    Raises:
        BelongsToAnother: it is of another version.
        StoreError: the disk refuses, or it is damaged.
    """
    with receipt_errors(path):
        if not path.exists():
            _create(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_S)
        try:
            _check_version(path, db)
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            db.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone does not reach the disk there
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading, as it is at the first query, whatever is written meanwhile.

    Raises:
        BelongsToAnother: it is of another version.
        StoreError: it cannot be read, or is damaged.
    """
    with receipt_errors(path), closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        db.isolation_level = None
        _check_version(path, db)
        db.execute("BEGIN")
        yield db


def _check_version(path: Path, db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        raise StoreDamaged(f"{path}: this is no file of receipts; move it away")
    if version != _VERSION:
        raise BelongsToAnother(f"{path}: receipts of format {version}; this version reads format {_VERSION}")


def _create(path: Path) -> None:
    """Make an empty file. It gets its name when it is whole; of two processes that make it at once, the first wins."""
    if path.with_name(f"{path.name}-wal").exists() and not path.exists():  # in this order: another may be making it
        raise StoreDamaged(
            f"{path} is gone, but its {path.name}-wal is there; put the file back where it was, or move the other away"
        )
    temporary: Path | None = None
    try:
        with disk_errors(path):
            descriptor, name = mkstemp(prefix=TEMPORARY, suffix=f"-{path.name}", dir=path.parent)  # for its owner only
            os.close(descriptor)
            temporary = Path(name)
            with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
                db.execute("PRAGMA journal_mode = OFF")  # no second file; half a one is thrown away anyway
                db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")
                db.execute("PRAGMA journal_mode = WAL")  # here: a switch in the named file could be interrupted
            sync(temporary)
            with suppress(FileExistsError):
                os.link(temporary, path)  # not a rename: that would replace what the other has begun to fill
            sync(path.parent)
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def state_of(columns: Sequence[Any]) -> DeliveryState:
    """Return the state that the columns of ``state`` say, all but the message id."""
    status, channel, reason, updated_us, final, price, priced_us = columns
    return DeliveryState(
        status=status,
        channel=channel,
        reason=reason,
        updated_us=updated_us,
        final=bool(final),
        price=price,
        priced_us=priced_us,
    )
