"""The file behind :mod:`broadcaster.store.spend`: short transactions that never wait, and never fail for good.

Nothing in it is worth failing for: who spends too much is only answered 429. What another process holds is asked for
again, a damaged file is replaced by a new one, and where there can be none, the memory serves. So it is not synced.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from broadcaster.store.files import PRIVATE

_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}  # the last: other tables than ours
_PRIMARY = 0xFF  # of an extended error code
T = TypeVar("T")


class Busy(Exception):
    """Another process is at it; ask again."""


class SpendFile:
    """Tables of a version, in a file or, without a *path*, in memory. Opened by the first transaction."""

    def __init__(self, path: Path | None, *, version: int, schema: Sequence[str]) -> None:
        self._path = path
        self._version = version
        self._schema = schema
        self._db: sqlite3.Connection | None = None
        self._ready = False
        self._inode = 0

    def __repr__(self) -> str:
        return f"<SpendFile {self._path or 'in memory'}>"

    def close(self) -> None:
        """Close the file; the next transaction opens it again."""
        if self._db is not None:
            self._db.close()
        self._db = None

    def run(self, work: Callable[[sqlite3.Connection], T], *, patience_ms: int = 0) -> T:
        """Return what *work* returns, done in one transaction.

        Args:
            work: reads and writes; may be called again.
            patience_ms: how long to wait for another process, which stops everything here.

        Raises:
            Busy: another process is at it.
        """
        while True:
            try:
                db = self._opened()
                db.execute(f"PRAGMA busy_timeout = {patience_ms:d}")
                return self._transaction(db, work)
            except (sqlite3.DatabaseError, OSError) as error:
                if getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _BUSY:
                    raise Busy from None
                if self._path is None:
                    raise  # in memory there is nothing left to try
                self._do_without(error)

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._ready = False
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, PRIVATE)
                self._inode = os.fstat(descriptor).st_ino
                os.close(descriptor)
            self._db = sqlite3.connect(self._path or ":memory:", isolation_level=None)
            self._db.execute("PRAGMA synchronous = OFF")
        return self._db

    def _transaction(self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._ready:
            db.execute("PRAGMA journal_mode = PERSIST")
        db.execute("BEGIN EXCLUSIVE")  # nobody only reads: what is not exclusive could still be refused at its commit
        try:
            if not self._ready:
                self._prepare(db)
            found = work(db)
        except BaseException:
            if db.in_transaction:  # SQLite may have rolled back by itself: a full disk
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        self._ready = True
        return found

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, self._version}:
            raise OSError(f"{self._path}: format {version}")  # a newer version's, which goes on with it
        for statement in self._schema:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {self._version:d}")

    def _do_without(self, error: Exception) -> None:
        """Replace a damaged file, unless somebody has already; forget one that cannot be used."""
        path, damaged = self._path, getattr(error, "sqlite_errorcode", 0) & _PRIMARY in _DAMAGED
        self.close()
        if path is None or not damaged:
            self._path = None
            return
        try:
            if path.stat().st_ino == self._inode:
                path.unlink()
                path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError:
            self._path = None
