"""The journal's one writing thread.

Theory of operation. Facts become SQL statements with their rows in the thread (so that compressing costs the event loop
nothing) and are written in one transaction for all that have gathered (:mod:`broadcaster.store.committing`). The commit
(``synchronous=FULL``) returns after the fsync, so one fsync serves many batches. An accepting outcome, for which no
message waits, may ride with others.
"""

import asyncio
import os
import socket
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from broadcaster.clock import boot_id, wall_us
from broadcaster.core.values import Attempt, Blame, Child, Claim, Decided, Evidence, Outcome
from broadcaster.errors import StoreDamaged, StoreError
from broadcaster.store.committing import GroupCommit
from broadcaster.store.files import replacing
from broadcaster.store.journal import check_version, journal_errors
from broadcaster.store.rows import (
    SCHEMA,
    VERSION,
    Statement,
    bearing,
    blaming,
    claiming,
    deciding,
    gathered,
    insert,
    noting,
    owning,
    proving,
    settling,
    unclaiming,
)

_STATEMENTS = 512  # kept compiled: an insert of one row, of two, …
_CHECKED_AT_ONCE = 64 << 20  # bytes; a tenth of a second
_RIDE_S = 0.002  # an outcome waits so long for claims to share its commit; nobody's message waits for it
_Fact = Callable[[], Sequence[Statement]]  # made into statements in the thread


class JournalWriter:
    """The journal of a run whose lock we hold: implements the engine's ``Journal`` port.

    Use it inside a running event loop, as a context manager.
    """

    def __init__(self, path: Path, *, version: str) -> None:
        self._path = path
        self._version = version
        self.before_parts: Callable[[], None] | None = None
        """Called once, in a thread, before parts of batches are written down: they have keys that the plan has not."""
        self._db = self._open()
        self._process = self._begin_process()
        self._line = GroupCommit(self._write, name="journal", where=str(path), ride_s=_RIDE_S)

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            create_journal(self._path)
        with journal_errors(self._path):
            db = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=_STATEMENTS
            )
            try:
                _ready(self._path, db)
            except BaseException:
                db.close()
                raise
        return db

    def _begin_process(self) -> int:
        with journal_errors(self._path):
            cursor = self._db.execute(
                "INSERT INTO process (host, pid, boot, version, started_us) VALUES (?, ?, ?, ?, ?)",
                (socket.gethostname(), os.getpid(), boot_id(), self._version, wall_us()),
            )
        return int(cursor.lastrowid or 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close(ending="done" if error is None else type(error).__name__)

    def close(self, *, ending: str) -> None:
        """Write what is waiting, note how the process ended, close the file. Facts that come later are refused."""
        self._line.close()
        try:
            with journal_errors(self._path):
                self._db.execute(
                    "UPDATE process SET ended_us = ?, ending = ? WHERE id = ?", (wall_us(), ending, self._process)
                )
        except StoreError:
            if self._line.failure is None:  # else the first failure is the one worth telling
                raise
        finally:
            self._db.close()

    # ---- the thread -------------------------------------------------------------------------------------------------

    def _write(self, facts: Sequence[_Fact]) -> None:
        with journal_errors(self._path):
            self._transact([statement for make in facts for statement in make()])

    def _transact(self, statements: list[Statement]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for statement, rows in gathered(statements).items():
                insert(self._db, statement, rows)
            self._db.execute("COMMIT")
        except Exception:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    async def _record(self, make: _Fact, *, may_ride: bool = False) -> None:
        await self._line.record(make, may_ride=may_ride)

    # ---- the port ---------------------------------------------------------------------------------------------------

    async def put_meta(self, **values: str) -> None:
        """Write what the journal belongs to; durable when it returns."""
        await self._record(lambda: [owning(values)])

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Write claims, replacing earlier ones of the same batch; durable when it returns."""
        await self._record(lambda: [claiming(claims, process=self._process)])

    async def note(self, attempt: Attempt) -> None:
        """Write an attempt that settled nothing; durable when it returns."""
        await self._record(lambda: [noting(attempt, process=self._process)])

    async def release(self, batch: int) -> None:
        """Take a claim back: every attempt of the batch is recorded and provably created nothing."""
        await self._record(lambda: [unclaiming(batch)])

    async def settle(self, outcome: Outcome, children: Sequence[Child] = (), blames: Sequence[Blame] = ()) -> None:
        """Write an outcome with all that follows from it, in one transaction; durable when it returns."""
        if children and self.before_parts is not None:
            announce, self.before_parts = self.before_parts, None
            await asyncio.to_thread(announce)
        if children or blames:
            await self._record(lambda: [*settling(outcome), bearing(children), blaming(blames)])
        else:
            await self._record(partial(settling, outcome), may_ride=True)

    async def prove(self, evidence: Sequence[Evidence], outcomes: Sequence[Outcome]) -> None:
        """Write what look-ups found, and how batches that are now known whole ended, in one transaction."""
        seen_us = wall_us()
        await self._record(lambda: [proving(evidence, seen_us=seen_us), *_settled(outcomes)])

    async def decide(
        self, decisions: Sequence[Decided], outcomes: Sequence[Outcome], children: Sequence[Child]
    ) -> None:
        """Write what a person decided, with all that follows from it, in one transaction."""
        await self._record(lambda: [deciding(decisions), *_settled(outcomes), bearing(children)])


def _settled(outcomes: Sequence[Outcome]) -> list[Statement]:
    return [statement for outcome in outcomes for statement in settling(outcome)]


def create_journal(path: Path, groups: Iterable[Iterable[Statement]] = ()) -> None:
    """Make a journal that holds *groups* of facts, in order; without any it is empty.

    It gets its name when it is whole, so that no crash leaves a file that is none yet.

    Raises:
        StoreError: when the disk refuses.
        StoreDamaged: the facts contradict each other.
    """
    with replacing(path) as temporary, journal_errors(path):
        temporary.unlink(missing_ok=True)  # what a crash left
        with closing(sqlite3.connect(temporary, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = OFF")  # no second file; half a one is thrown away anyway
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            db.execute("BEGIN")
            for group in groups:
                for statement, rows in gathered(group).items():
                    insert(db, statement, rows)
            db.execute("COMMIT")
            # Here and not in the file that counts: a switch that broke off there would leave a rollback journal, and
            # no reader, who may not roll back, could ever open the file again.
            db.execute("PRAGMA journal_mode = WAL")


def _ready(path: Path, db: sqlite3.Connection) -> None:
    """Make sure that the journal is one, and that a commit returns after the disk has it.

    A small one is also checked page by page. Of a large one that takes longer than to go on with it: its decisive rows
    are checked as they are read, and the rest when the run ends, and by ``verify``.
    """
    check_version(path, db)
    if path.stat().st_size <= _CHECKED_AT_ONCE and db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise StoreDamaged(f"{path}: the journal is damaged; restore it from a copy before going on")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA fullfsync = 1")  # macOS: fsync alone does not reach the disk there
