"""The journal: a run's facts in SQLite, and what follows from them.

Theory of operation. A *claim* is committed before a batch's first byte leaves, an *outcome* before it counts. States
are derived: a claim without an outcome is in doubt, and nobody has to write that down, so no crash can forget it. The
holder of the run's lock is the only writer (:mod:`broadcaster.store.writer`); anybody may read.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa

from broadcaster.core.values import Child, Claim, Instant
from broadcaster.core.words import Executed, State
from broadcaster.errors import BelongsToAnother, StoreDamaged, StoreError

VERSION = 1
SCHEMA = """
CREATE TABLE meta    (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE process (id INTEGER PRIMARY KEY, host TEXT, pid INTEGER, boot TEXT, version TEXT, started_us INTEGER,
                      ended_us INTEGER, ending TEXT);
CREATE TABLE claim   (batch INTEGER PRIMARY KEY, process INTEGER NOT NULL, since_us INTEGER NOT NULL,
                      since_boot_us INTEGER, server_us INTEGER);
CREATE TABLE outcome (batch INTEGER PRIMARY KEY, state TEXT NOT NULL, attempts INTEGER NOT NULL, first_us INTEGER,
                      settled_us INTEGER NOT NULL, http INTEGER, code TEXT, sentence TEXT, request_id TEXT,
                      replayed TEXT, missing INTEGER NOT NULL);
CREATE TABLE answer  (batch INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE attempt (batch INTEGER, n INTEGER, process INTEGER, started_us INTEGER, ended_us INTEGER, executed TEXT,
                      http INTEGER, code TEXT, request_id TEXT, sentence TEXT, body BLOB);
CREATE TABLE child   (batch INTEGER PRIMARY KEY CHECK (batch < 0), parent INTEGER NOT NULL, positions BLOB NOT NULL,
                      send_at TEXT, idempotency_key TEXT NOT NULL UNIQUE, cause TEXT NOT NULL);
CREATE INDEX child_parent ON child (parent);
CREATE INDEX attempt_batch ON attempt (batch);
CREATE TABLE blame   (batch INTEGER, position INTEGER, code TEXT, sentence TEXT, PRIMARY KEY (batch, position))
                      WITHOUT ROWID;
CREATE TABLE decision(id INTEGER PRIMARY KEY, at_us INTEGER, who TEXT, what TEXT, batch INTEGER, positions BLOB,
                      note TEXT);
"""
_SMALL = 512  # bytes: below this an answer is not worth compressing
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # a JSON answer never begins like this


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A settled batch as the journal holds it."""

    batch: int
    state: State
    attempts: int
    first_us: int | None
    settled_us: int
    http: int | None
    code: str
    sentence: str
    request_id: str
    replayed: str
    missing: int


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into sentences: damaged, or not writable."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        full = "full" in str(error) or "disk I/O" in str(error)
        if not full and not isinstance(error, sqlite3.OperationalError):
            raise StoreDamaged(f"{path}: {error}; restore it from a copy, nothing is sent without it") from error
        raise StoreError(f"{path}: {error}; make room or allow writing, then run 'broadcaster resume'") from error


def check_version(path: Path, db: sqlite3.Connection) -> None:
    """Raise when *db* is no journal of this version. An empty one is no journal either: it has lost every claim."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        raise StoreDamaged(f"{path}: this is not a journal, or an emptied one; restore it from a copy")
    if version != VERSION:
        raise BelongsToAnother(f"{path}: journal format {version} is not the one this version reads ({VERSION})")


class JournalReader:
    """Read-only view of a journal; every method reads what is committed now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with journal_errors(path):
            self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            try:
                check_version(path, self._db)
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """Let all methods read what was committed when the first of them was asked, whatever is written meanwhile."""
        with journal_errors(self._path):
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.rollback()

    def _rows(self, query: str, *parameters: object) -> Iterator[tuple[object, ...]]:
        with journal_errors(self._path):
            yield from self._db.execute(query, parameters)

    def meta(self) -> dict[str, str]:
        """Return what the journal belongs to: plan, account, run."""
        return {str(name): str(value) for name, value in self._rows("SELECT name, value FROM meta")}

    def revision(self) -> str:
        """Return a word that changes with every fact that a manifest is made of."""
        query = "SELECT (SELECT count(*) FROM {0}), (SELECT coalesce(max(rowid), 0) FROM {0})"
        tables = ("claim", "outcome", "answer", "attempt", "child", "decision")
        return "-".join(f"{n}.{last}" for table in tables for n, last in self._rows(query.format(table)))

    def outcomes(self) -> Iterator[Settled]:
        """Yield every settled batch, by number."""
        query = (
            "SELECT batch, state, attempts, first_us, settled_us, http, code, sentence, request_id, replayed, missing "
            "FROM outcome ORDER BY batch"
        )
        for batch, state, attempts, first_us, settled_us, http, code, sentence, *others in self._rows(query):
            request_id, replayed, missing = others
            yield Settled(
                batch=batch,  # type: ignore[arg-type]  # SQLite's columns have the types of the schema
                state=State(str(state)),
                attempts=attempts,  # type: ignore[arg-type]
                first_us=first_us,  # type: ignore[arg-type]
                settled_us=settled_us,  # type: ignore[arg-type]
                http=http,  # type: ignore[arg-type]
                code=str(code or ""),
                sentence=str(sentence or ""),
                request_id=str(request_id or ""),
                replayed=str(replayed or ""),
                missing=missing,  # type: ignore[arg-type]
            )

    def settled(self) -> Iterator[tuple[int, str]]:
        """Yield number and state of every settled batch."""
        yield from self._rows("SELECT batch, state FROM outcome")  # type: ignore[misc]  # see the schema

    def open_claims(self) -> Iterator[Claim]:
        """Yield the claims without an outcome, oldest first."""
        query = (
            "SELECT c.batch, c.since_us, c.since_boot_us, c.server_us, p.boot FROM claim c JOIN process p "
            "ON p.id = c.process WHERE c.batch NOT IN (SELECT batch FROM outcome) ORDER BY c.since_us, c.batch"
        )
        for batch, since_us, boot_us, server_us, boot in self._rows(query):
            since = Instant(wall_us=since_us, boot_us=boot_us, boot=boot)  # type: ignore[arg-type]
            yield Claim(batch=batch, since=since, server_us=server_us)  # type: ignore[arg-type]

    def last_attempts(self) -> dict[int, tuple[int, int | None, int, str, str]]:
        """Return, per unsettled batch: how many attempts, the first's start, the last's http, code and sentence."""
        query = (
            "SELECT batch, total, first, http, code, sentence FROM attempt JOIN (SELECT count(*) AS total, "
            "min(started_us) AS first, max(rowid) AS last FROM attempt GROUP BY batch) ON attempt.rowid = last"
        )
        return {
            int(batch): (int(n), first, int(http or 0), str(code or ""), str(sentence or ""))  # type: ignore[call-overload, misc]
            for batch, n, first, http, code, sentence in self._rows(query)
        }

    def doubts(self) -> Iterator[tuple[int, Executed]]:
        """Yield, attempt by attempt, the batches that it did not settle and whether it may have executed."""
        for batch, executed in self._rows("SELECT batch, executed FROM attempt ORDER BY rowid"):
            yield int(batch), Executed(str(executed))  # type: ignore[call-overload]

    def children(self) -> Iterator[Child]:
        """Yield the parts of split batches, in the order of their creation."""
        query = "SELECT batch, parent, positions, idempotency_key, cause FROM child ORDER BY batch DESC"
        for batch, parent, positions, key, cause in self._rows(query):
            yield Child(
                id=int(batch),  # type: ignore[call-overload]
                parent=int(parent),  # type: ignore[call-overload]
                positions=unpack_positions(positions),  # type: ignore[arg-type]
                key=str(key),
                cause=str(cause),
            )

    def blames(self) -> dict[int, dict[int, tuple[str, str]]]:
        """Return, per batch, the positions that the API refused by name, with code and sentence."""
        blamed: dict[int, dict[int, tuple[str, str]]] = {}
        for batch, position, code, sentence in self._rows("SELECT batch, position, code, sentence FROM blame"):
            blamed.setdefault(int(batch), {})[int(position)] = (str(code), str(sentence))  # type: ignore[call-overload]
        return blamed

    def answers(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and raw answer of every accepted batch, by number."""
        for batch, body in self._rows("SELECT batch, body FROM answer ORDER BY batch"):
            try:
                answer = unpack_answer(body)  # type: ignore[arg-type]
            except OSError as error:
                raise StoreDamaged(f"{self._path}: the answer to batch {batch} is damaged ({error})") from error
            yield int(batch), answer  # type: ignore[call-overload]

    def first_claim_us(self) -> int | None:
        """Return when the first batch was claimed, or ``None``: nothing has ever left."""
        return next(iter(self._rows("SELECT min(since_us) FROM claim")))[0]  # type: ignore[return-value]

    def damage(self) -> str | None:
        """Return what SQLite's own integrity check finds, or ``None``."""
        found = [str(row[0]) for row in self._rows("PRAGMA integrity_check")]
        return None if found == ["ok"] else "; ".join(found[:3])


def pack_answer(body: bytes) -> bytes:
    """Compress an answer where that pays."""
    return body if len(body) < _SMALL else bytes(pa.Codec("zstd", 1).compress(body, asbytes=True))


def unpack_answer(stored: bytes) -> bytes:
    """Return the answer as it was received."""
    if not stored.startswith(_ZSTD_MAGIC):
        return stored
    return bytes(pa.input_stream(pa.py_buffer(stored), compression="zstd").read())


def pack_positions(positions: tuple[int, ...]) -> bytes:
    """Write positions as unsigned 32-bit numbers, little-endian."""
    return b"".join(position.to_bytes(4, "little") for position in positions)


def unpack_positions(stored: bytes) -> tuple[int, ...]:
    """Read what :func:`pack_positions` wrote."""
    return tuple(int.from_bytes(stored[at : at + 4], "little") for at in range(0, len(stored), 4))
