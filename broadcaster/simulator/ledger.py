"""The ledger: one SQLite file, one thread, one transaction for many requests.

Theory of operation: every job goes to the one writing thread; while a transaction runs, the next jobs gather, and share
the following one. A job is done when its transaction is committed, never before. If anything in it fails the whole
transaction is rolled back and every job in it fails, so "failed" always means "did not happen". ``BEGIN IMMEDIATE``
makes a look-up and the insert that depends on it one step, also between two processes on the same file.

In memory there is no file to wait for and no other process, so the event loop itself settles what gathered during its
turn: handing jobs to a thread and back would cost more than the jobs.

What a kill can do: nothing to what was committed. ``synchronous=NORMAL`` may lose the last commits when the machine
loses power, which a simulator need not survive.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
_Entry = tuple[Job[object], asyncio.Future[object] | None]

FORMAT = "2"
MEMORY = ":memory:"
_BUSY_TIMEOUT_S = 10.0
_LARGEST_GROUP = 256
_CHECKPOINT_PAGES = 4000  # 16 MB: fewer, longer checkpoints; the default stalls a broadcast five times a second

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS message (
        message_id TEXT PRIMARY KEY, recipient TEXT NOT NULL, channel TEXT NOT NULL, template_id TEXT, body TEXT,
        status TEXT NOT NULL, reason_code TEXT, idempotency_key TEXT, request_id TEXT NOT NULL, profile_id TEXT,
        created_us INTEGER NOT NULL, scheduled_at TEXT, release_us INTEGER, begun_us INTEGER,
        attempt INTEGER NOT NULL DEFAULT 1, changed_us INTEGER, charged INTEGER NOT NULL DEFAULT 0, media TEXT,
        earlier TEXT)""",
    # Partial: a plain message, which is nearly every one, costs nothing here.
    """CREATE INDEX IF NOT EXISTS held ON message (release_us)
        WHERE release_us NOT NULL AND status <> 'CANCELLED'""",
    """CREATE INDEX IF NOT EXISTS begun_again ON message (begun_us) WHERE begun_us NOT NULL""",
    """CREATE INDEX IF NOT EXISTS changed ON message (changed_us) WHERE changed_us NOT NULL""",
    """CREATE TABLE IF NOT EXISTS contact (
        contact_id TEXT PRIMARY KEY, owner TEXT NOT NULL, phone TEXT NOT NULL, default_channel TEXT,
        opt_out INTEGER NOT NULL DEFAULT 0, last_template_us INTEGER, created_us INTEGER NOT NULL,
        updated_us INTEGER NOT NULL, UNIQUE (owner, phone))""",
    """CREATE INDEX IF NOT EXISTS opted_out ON contact (phone) WHERE opt_out""",
    """CREATE TABLE IF NOT EXISTS template (id TEXT PRIMARY KEY, document TEXT)""",
    """CREATE TABLE IF NOT EXISTS request (
        n INTEGER PRIMARY KEY, received_us INTEGER NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, key TEXT,
        request_id TEXT NOT NULL, status INTEGER, code TEXT, recipients INTEGER, fault TEXT,
        replayed INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE IF NOT EXISTS webhook (
        webhook_id TEXT PRIMARY KEY, owner TEXT NOT NULL, display_name TEXT NOT NULL, endpoint_url TEXT,
        event_types TEXT NOT NULL, event_filters TEXT, retry_count INTEGER NOT NULL, timeout_s INTEGER NOT NULL,
        secret TEXT NOT NULL, is_active INTEGER NOT NULL, since_us INTEGER NOT NULL, failures INTEGER NOT NULL,
        created_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, attempted_us INTEGER, delivered_us INTEGER)""",
    """CREATE TABLE IF NOT EXISTS webhook_event (
        event_id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, event_type TEXT NOT NULL, body TEXT NOT NULL,
        name TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, created_us INTEGER NOT NULL,
        next_us INTEGER, stamp_s INTEGER, started_us INTEGER, completed_us INTEGER, http_status INTEGER, error TEXT,
        response TEXT)""",
    """CREATE INDEX IF NOT EXISTS webhook_event_of ON webhook_event (webhook_id, status)""",
    """CREATE INDEX IF NOT EXISTS webhook_event_due ON webhook_event (next_us) WHERE next_us NOT NULL""",
    """CREATE TABLE IF NOT EXISTS idempotency (
        scope TEXT NOT NULL, key TEXT NOT NULL, fingerprint BLOB NOT NULL, request_id TEXT NOT NULL,
        status INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL, created_us INTEGER NOT NULL,
        PRIMARY KEY (scope, key))""",
)


class LedgerError(Exception):
    """The state file cannot be used. The text is a sentence for the person who started the simulator."""


class Ledger:
    """An open state file. Create it with :func:`open_ledger`, then :meth:`start` it inside the event loop."""

    def __init__(self, connection: sqlite3.Connection, *, path: str, account_id: str) -> None:
        self.path = path
        self.account_id = account_id
        self._connection = connection
        self._in_memory = path == MEMORY
        self._gathered: list[_Entry] = []  # in memory: what the loop settles next
        self._jobs: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="ledger", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"<Ledger {self.path}, {self._jobs.qsize()} waiting>"

    def start(self) -> None:
        """Start the writing thread, where there is one; call it once, with the loop running."""
        self._loop = asyncio.get_running_loop()
        if not self._in_memory:
            self._thread.start()

    async def run(self, job: Job[T]) -> T:
        """Run *job* in the writing thread and return its result once it is committed.

        Raises:
            sqlite3.Error: the transaction failed and was rolled back: nothing happened.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put((job, future))  # type: ignore[arg-type]  # a queue of jobs of many result types
        return await future

    def post(self, job: Job[object]) -> None:
        """Run *job* some time before any job handed over later; nobody waits for it or hears of its failure."""
        self._put((job, None))

    def close(self) -> None:
        """Finish what is queued, then close the file. Blocks for as long as that takes."""
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()
        self._settle_gathered()
        self._connection.close()

    def _put(self, entry: _Entry) -> None:
        if not self._in_memory:
            self._jobs.put(entry)
            return
        self._gathered.append(entry)
        if len(self._gathered) == 1 and self._loop is not None:
            self._loop.call_soon(self._settle_gathered)

    def _settle_gathered(self) -> None:
        group, self._gathered = self._gathered, []
        if group:
            self._settle(group)

    def _work(self) -> None:
        going_on = True
        while going_on:
            group = [self._jobs.get()]
            with contextlib.suppress(queue.Empty):
                while len(group) < _LARGEST_GROUP and group[-1] is not None:
                    group.append(self._jobs.get_nowait())
            going_on = group[-1] is not None
            self._settle([entry for entry in group if entry is not None])

    def _settle(self, group: list[_Entry]) -> None:
        """Run *group* in one transaction and tell everybody who waits."""
        results: list[object] = []
        failure: Exception | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [job(self._connection) for job, _ in group]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it was, it is handed to those who wait
            failure = error
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

        def tell() -> None:
            for at, (_, future) in enumerate(group):
                if future is None or future.done():
                    continue
                if failure is None:
                    future.set_result(results[at])
                else:
                    future.set_exception(failure)

        if self._in_memory:
            tell()
        elif self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(tell)


def open_ledger(path: str) -> Ledger:
    """Open or create the state file at *path* (``:memory:`` keeps nothing), readable by its owner only.

    Raises:
        LedgerError: it cannot be written, is no ledger, or is one of another format.
    """
    try:
        if path != MEMORY:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise LedgerError(f"Cannot write the state file {path}: {reason}.") from error
    try:
        account_id = _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise LedgerError(f"Cannot use the state file {path}: {error}.") from error
    except LedgerError:
        connection.close()
        raise
    return Ledger(connection, path=path, account_id=account_id)


def _prepare(connection: sqlite3.Connection, path: str) -> str:
    """Make sure of the tables; return the account's id, new or as before."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    connection.execute("BEGIN IMMEDIATE")  # the first of two processes makes the tables, the other one finds them
    for statement in SCHEMA:
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('account_id', ?)", (str(uuid.uuid4()),))
    meta: dict[str, str] = dict(connection.execute("SELECT name, value FROM meta"))
    if meta["format"] != FORMAT:
        connection.execute("ROLLBACK")
        raise LedgerError(f"The state file {path} is of format {meta['format']}; this simulator writes {FORMAT}.")
    connection.execute("COMMIT")
    return meta["account_id"]
