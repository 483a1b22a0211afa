"""The journal's tables, and how facts become their rows.

Every row of a fact ends with a checksum of its other values: SQLite finds a damaged page, but not a flipped bit in a
value. Opens no database.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec.msgpack
import pyarrow as pa

from broadcaster.core.values import Attempt, Blame, Child, Claim, Decided, Evidence, Outcome

VERSION = 1
SCHEMA = """
CREATE TABLE meta    (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE process (id INTEGER PRIMARY KEY, host TEXT, pid INTEGER, boot TEXT, version TEXT, started_us INTEGER,
                      ended_us INTEGER, ending TEXT);
CREATE TABLE claim   (batch INTEGER PRIMARY KEY, process INTEGER NOT NULL, since_us INTEGER NOT NULL,
                      since_boot_us INTEGER, server_us INTEGER, crc INTEGER NOT NULL);
CREATE TABLE outcome (batch INTEGER PRIMARY KEY, state TEXT NOT NULL, attempts INTEGER NOT NULL, first_us INTEGER,
                      settled_us INTEGER NOT NULL, http INTEGER, code TEXT, sentence TEXT, request_id TEXT,
                      replayed TEXT, missing INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE answer  (batch INTEGER PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE attempt (batch INTEGER, n INTEGER, process INTEGER, started_us INTEGER, ended_us INTEGER, executed TEXT,
                      http INTEGER, code TEXT, request_id TEXT, sentence TEXT, body BLOB, crc INTEGER NOT NULL);
CREATE TABLE child   (batch INTEGER PRIMARY KEY CHECK (batch < 0), parent INTEGER NOT NULL, positions BLOB NOT NULL,
                      channels TEXT NOT NULL, generation TEXT NOT NULL, send_at TEXT,
                      idempotency_key TEXT NOT NULL, cause TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE INDEX child_parent ON child (parent);
CREATE UNIQUE INDEX child_key ON child (idempotency_key) WHERE send_at IS NULL; -- one that was moved keeps its key
CREATE INDEX attempt_batch ON attempt (batch);
CREATE TABLE blame   (batch INTEGER, position INTEGER, code TEXT, sentence TEXT, crc INTEGER NOT NULL,
                      PRIMARY KEY (batch, position)) WITHOUT ROWID;
CREATE TABLE evidence(batch INTEGER, position INTEGER, channel TEXT, message_id TEXT NOT NULL, source TEXT,
                      seen_us INTEGER, crc INTEGER NOT NULL, PRIMARY KEY (batch, position, channel)) WITHOUT ROWID;
CREATE TABLE decision(id INTEGER PRIMARY KEY, at_us INTEGER, who TEXT, what TEXT, batch INTEGER, note TEXT,
                      crc INTEGER NOT NULL);
"""

Statement = tuple[str, Sequence[Sequence[object]]]

_PLAIN = msgspec.msgpack.Encoder()
_MOST_AT_ONCE = 64  # rows; twelve columns of them are far inside SQLite's limit of variables
_SMALL = 512  # bytes: below this an answer is not worth compressing
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # a JSON answer never begins like this

_CLAIM = "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?, ?, ?)"
_OUTCOME = "INSERT INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ANSWER = "INSERT INTO answer VALUES (?, ?, ?)"
_ATTEMPT = "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_CHILD = "INSERT INTO child VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_BLAME = "INSERT INTO blame VALUES (?, ?, ?, ?, ?)"
_EVIDENCE = "INSERT OR REPLACE INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?)"
_DECISION = "INSERT INTO decision (at_us, who, what, batch, note, crc) VALUES (?, ?, ?, ?, ?, ?)"
_RELEASE = "DELETE FROM claim WHERE batch = ?"
_META = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
_PROCESS = "INSERT INTO process (id, host, pid, boot, version, started_us) VALUES (?, ?, ?, ?, ?, ?)"
_END = "UPDATE process SET ended_us = ?, ending = ? WHERE id = ?"

KINDS = MappingProxyType(
    {
        "claim": _CLAIM,
        "release": _RELEASE,
        "outcome": _OUTCOME,
        "answer": _ANSWER,
        "attempt": _ATTEMPT,
        "child": _CHILD,
        "blame": _BLAME,
        "evidence": _EVIDENCE,
        "decision": _DECISION,
        "meta": _META,
        "process": _PROCESS,
        "end": _END,
    }
)
"""Every statement that a fact can be, by a word for it: what is kept elsewhere names it so, and never holds SQL."""


def checksum(row: Sequence[object]) -> int:
    """Return the checksum of a fact's values, in the order of its table's columns."""
    return zlib.crc32(_PLAIN.encode(row))


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


def gathered(statements: Iterable[Statement]) -> dict[str, list[Sequence[object]]]:
    """Return the rows of each statement, statements in the order in which they first come.

    Facts of several batches may so change places. Those of one batch never stand in one group: whoever writes one waits
    until it is on disk.
    """
    found: dict[str, list[Sequence[object]]] = {}
    for statement, rows in statements:
        if rows:
            found.setdefault(statement, []).extend(rows)
    return found


def insert(db: sqlite3.Connection, statement: str, rows: list[Sequence[object]]) -> None:
    """Execute *statement* for every row, many rows of an ``INSERT`` in one step.

    Each step lets go of the interpreter and has to get it back, which takes longer than the step. Powers of two, so
    that few different statements have to be compiled.
    """
    head, values, mark = statement.partition(" VALUES ")
    if not values:
        db.executemany(statement, rows)
        return
    at = 0
    while at < len(rows):
        count = min(_MOST_AT_ONCE, len(rows) - at)
        many = f"{head}{values}{', '.join([mark] * count)}"
        db.execute(many, [value for row in rows[at : at + count] for value in row])
        at += count


def unclaiming(batch: int) -> Statement:
    """Take a batch's claim back."""
    return _RELEASE, [(batch,)]


def owning(values: Mapping[str, str]) -> Statement:
    """Write what the journal belongs to."""
    return _META, list(values.items())


def beginning(process: int, *, host: str, pid: int, boot: str | None, version: str, started_us: int) -> Statement:
    """Write that a process begins to work; its number is known, because others write at the same time."""
    return _PROCESS, [(process, host, pid, boot, version, started_us)]


def ending(process: int, *, ended_us: int, how: str) -> Statement:
    """Write how a process ended."""
    return _END, [(ended_us, how, process)]


def claiming(claims: Sequence[Claim], *, process: int) -> Statement:
    """Write claims, replacing earlier ones of the same batch."""
    rows = [(each.batch, process, each.since.wall_us, each.since.boot_us, each.server_us) for each in claims]
    return _checked(_CLAIM, rows)


def noting(attempt: Attempt, *, process: int) -> Statement:
    """Write an attempt that settled nothing."""
    row = (
        attempt.batch,
        attempt.n,
        process,
        attempt.started.wall_us,
        attempt.ended.wall_us,
        str(attempt.executed),
        attempt.http,
        attempt.code,
        attempt.request_id,
        attempt.sentence,
        attempt.body,
    )
    return _checked(_ATTEMPT, [row])


def settling(outcome: Outcome) -> list[Statement]:
    """Write how a batch ended, with the answer that says so."""
    row = (
        outcome.batch,
        outcome.state.value,
        outcome.attempts,
        outcome.first_us,
        outcome.settled_us,
        outcome.http,
        outcome.code,
        outcome.sentence,
        outcome.request_id,
        outcome.replayed,
        outcome.missing,
    )
    settled = [_checked(_OUTCOME, [row])]
    if outcome.answer is not None:
        settled.append(_checked(_ANSWER, [(outcome.batch, pack_answer(outcome.answer))]))
    return settled


def bearing(children: Sequence[Child]) -> Statement:
    """Write the parts of batches."""
    rows = []
    for c in children:
        positions, channels = pack_positions(c.positions), "+".join(c.channels)
        rows.append((c.id, c.parent, positions, channels, c.generation, c.send_at, c.key, str(c.cause)))
    return _checked(_CHILD, rows)


def blaming(blames: Sequence[Blame]) -> Statement:
    """Write whom the API refused by name."""
    return _checked(_BLAME, [(b.batch, b.position, b.code, b.sentence) for b in blames])


def proving(evidence: Sequence[Evidence], *, seen_us: int) -> Statement:
    """Write what look-ups found."""
    return _checked(
        _EVIDENCE, [(e.batch, e.position, str(e.channel), e.message_id, e.source, seen_us) for e in evidence]
    )


def deciding(decisions: Sequence[Decided]) -> Statement:
    """Write what a person decided."""
    return _checked(_DECISION, [(d.at_us, d.who, str(d.what), d.batch, d.note) for d in decisions])


def _checked(statement: str, rows: Sequence[tuple[object, ...]]) -> Statement:
    return statement, [(*row, checksum(row)) for row in rows]
