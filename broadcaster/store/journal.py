"""The journal: a run's facts in SQLite, and what follows from them.

Theory of operation. A *claim* is committed before a batch's first byte leaves, an *outcome* before it counts. States
are derived: a claim without an outcome is in doubt, and nobody has to write that down, so no crash can forget it. The
holder of the run's lock is the only writer (:mod:`broadcaster.store.writer`); anybody may read.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

from broadcaster.core.control import Order
from broadcaster.core.values import Child, Claim, Decided, Instant
from broadcaster.core.words import Channel, Decision, Executed, State, Steering, Waiver
from broadcaster.errors import BelongsToAnother, StoreDamaged, StoreError
from broadcaster.store.rows import VERSION, checksum, unpack_answer, unpack_positions

_AT_ONCE = 1 << 16  # rows
_UNSENT = "unsent"  # code of an attempt of which no byte left: see core.classify


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
def journal_errors(path: Path | str) -> Iterator[None]:
    """Turn SQLite's errors into sentences: damaged, or not writable."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if "decode" in str(error):  # a damaged word, which the error quotes: it may be anybody's
            raise StoreDamaged(f"{path}: a word in it is damaged; restore it from a copy") from error
        why = " ".join(str(error).split())  # one line
        full = "full" in why or "disk I/O" in why
        if not full and not isinstance(error, sqlite3.OperationalError):
            raise StoreDamaged(f"{path}: {why}; restore it from a copy, nothing is sent without it") from error
        raise StoreError(f"{path}: {why}; make room or allow writing, then run 'broadcaster resume'") from error


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
            for row in self._db.execute(query, parameters):  # noqa: UP028 - "yield from" would close the cursor when
                yield row  # it is dropped half read, after its database perhaps, which is an error that nobody sees

    def _facts(self, query: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """Yield whole rows of a table without their checksums, which are right."""
        for *row, crc in self._rows(query, *parameters):
            if crc != checksum(row):
                raise StoreDamaged(f"{self._path}: a row of {_table_of(query)} is damaged; restore it from a copy")
            yield tuple(row)

    def meta(self) -> dict[str, str]:
        """Return what the journal belongs to: plan, account, run."""
        return {str(name): str(value) for name, value in self._rows("SELECT name, value FROM meta")}

    def revision(self) -> str:
        """Return a word that changes with every fact that a manifest is made of."""
        query = "SELECT (SELECT count(*) FROM {0}), (SELECT coalesce(max(rowid), 0) FROM {0})"
        tables = ("claim", "outcome", "answer", "attempt", "child", "decision")
        facts = [f"{n}.{last}" for table in tables for n, last in self._rows(query.format(table))]
        seen = next(iter(self._rows("SELECT count(*), coalesce(max(seen_us), 0) FROM evidence")))
        return "-".join([*facts, f"{seen[0]}.{seen[1]}"])

    def outcomes(self, *, of: int | None = None) -> Iterator[Settled]:
        """Yield every settled batch, by number; or only the one that is named, if it is settled."""
        query = f"SELECT * FROM outcome {'' if of is None else 'WHERE batch = ? '}ORDER BY batch"  # noqa: S608 - ours
        asked = () if of is None else (of,)
        for batch, state, attempts, first_us, settled_us, http, code, sentence, *others in self._facts(query, *asked):
            request_id, replayed, missing = others
            yield Settled(
                batch=batch,
                state=State(state),
                attempts=attempts,
                first_us=first_us,
                settled_us=settled_us,
                http=http,
                code=code or "",
                sentence=sentence or "",
                request_id=request_id or "",
                replayed=replayed or "",
                missing=missing,
            )

    def settled(self) -> Iterator[int]:
        """Yield the number of every settled batch, in the order in which they are stored; checksums are not looked at.

        A run of single requests has a million of them, and must go on at once.
        """
        with journal_errors(self._path):
            cursor = self._db.execute("SELECT batch FROM outcome")
            while few := cursor.fetchmany(_AT_ONCE):
                yield from chain.from_iterable(few)

    def exceptions(self) -> Iterator[tuple[int, str, int]]:
        """Yield number, state and missing deliveries of the settled batches that were not simply accepted."""
        query = f"SELECT batch, state, missing FROM outcome WHERE state IS NOT '{State.ACCEPTED}' OR missing IS NOT 0"  # noqa: S608 - our own word
        yield from self._rows(query)  # type: ignore[misc]  # see the schema

    def open_claims(self) -> Iterator[Claim]:
        """Yield the claims without an outcome, oldest first."""
        query = "SELECT * FROM claim WHERE batch NOT IN (SELECT batch FROM outcome) ORDER BY since_us, batch"
        boots = dict(self._rows("SELECT id, boot FROM process"))  # type: ignore[arg-type, var-annotated]  # two columns
        for batch, process, since_us, boot_us, server_us in self._facts(query):
            since = Instant(wall_us=since_us, boot_us=boot_us, boot=boots.get(process))
            yield Claim(batch=batch, since=since, server_us=server_us)

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

    def departures(self) -> Iterator[tuple[int, int, int | None]]:
        """Yield batch, start and HTTP status of every attempt that left and settled nothing."""
        query = f"SELECT batch, started_us, http FROM attempt WHERE code IS NOT '{_UNSENT}' ORDER BY rowid"  # noqa: S608 - our own word
        yield from self._rows(query)  # type: ignore[misc]  # see the schema

    def processes(self) -> Iterator[tuple[int, int | None, str, str | None]]:
        """Yield start, end, version and ending of every process that worked here, oldest first.

        One that was killed, and one that still works, have neither end nor ending.
        """
        yield from self._rows("SELECT started_us, ended_us, version, ending FROM process ORDER BY id")  # type: ignore[misc]  # see the schema

    def children(self, *, of: int | None = None) -> Iterator[Child]:
        """Yield the batches that are parts of others, or of the one that is named, in the order of their creation."""
        query = f"SELECT * FROM child {'' if of is None else 'WHERE parent = ? '}ORDER BY batch DESC"  # noqa: S608 - ours
        asked = () if of is None else (of,)
        for batch, parent, positions, channels, generation, send_at, key, cause in self._facts(query, *asked):
            yield Child(
                id=batch,
                parent=parent,
                positions=unpack_positions(positions),
                key=key,
                cause=cause,
                channels=tuple(Channel(each) for each in channels.split("+") if each),
                generation=generation,
                send_at=send_at,
            )

    def blames(self, *, of: int | None = None) -> dict[int, dict[int, tuple[str, str]]]:
        """Return, per batch or of the one that is named, whom the API refused by name: position, code, sentence."""
        blamed: dict[int, dict[int, tuple[str, str]]] = {}
        query = f"SELECT * FROM blame{'' if of is None else ' WHERE batch = ?'}"  # noqa: S608 - our own words
        for batch, position, code, sentence in self._facts(query, *(() if of is None else (of,))):
            blamed.setdefault(batch, {})[position] = (code, sentence)
        return blamed

    def evidence(self) -> dict[int, dict[tuple[int, Channel], str]]:
        """Return, per batch, the message ids that a look-up found, by position and channel."""
        found: dict[int, dict[tuple[int, Channel], str]] = {}
        for batch, position, channel, message_id, _, _ in self._facts("SELECT * FROM evidence"):
            found.setdefault(batch, {})[position, Channel(channel)] = message_id
        return found

    def decisions(self) -> Iterator[Decided]:
        """Yield what people decided about batches, in order."""
        for at_us, who, what, batch, note in self._decided():
            if batch is not None:
                yield Decided(at_us=at_us, who=who, what=Decision(what), batch=batch, note=note)

    def orders(self) -> Iterator[Order]:
        """Yield the live orders that a process has followed, in order."""
        for at_us, who, what, batch, note in self._decided():
            if batch is None and what not in set(Waiver):
                try:
                    steering = Steering(what)
                    rate = int(note) if steering is Steering.RATE else None
                except ValueError as error:
                    raise StoreDamaged(f"{self._path}: {what!r} is no order; restore it from a copy") from error
                yield Order(what=steering, who=who, at_us=at_us, per_minute=rate)

    def waivers(self) -> Iterator[Decided]:
        """Yield what people let the run do without, in order."""
        for at_us, who, what, batch, note in self._decided():
            if batch is None and what in set(Waiver):
                yield Decided(at_us=at_us, who=who, what=Waiver(what), batch=None, note=note)

    def _decided(self) -> Iterator[tuple[Any, ...]]:
        return self._facts("SELECT at_us, who, what, batch, note, crc FROM decision ORDER BY id")

    def answers(self, *, of_children: bool | None = None) -> Iterator[tuple[int, bytes]]:
        """Yield number and raw answer of every accepted batch, by number; of planned ones or of children only."""
        which = {None: "", True: "WHERE batch < 0 ", False: "WHERE batch >= 0 "}[of_children]
        for batch, body in self._facts(f"SELECT * FROM answer {which}ORDER BY batch"):  # noqa: S608 - our own words
            try:
                answer = unpack_answer(body)
            except OSError as error:
                raise StoreDamaged(f"{self._path}: the answer to batch {batch} is damaged ({error})") from error
            yield batch, answer

    def answers_of(self, batches: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """Yield number and raw answer of those of *batches* that have one, by number."""
        query = "SELECT * FROM answer WHERE batch IN (SELECT value FROM json_each(?)) ORDER BY batch"
        for batch, body in self._facts(query, json.dumps(list(batches))):
            yield batch, unpack_answer(body)

    def answer(self, batch: int) -> bytes:
        """Return the raw answer of an accepted batch."""
        ((_, body),) = self._facts("SELECT * FROM answer WHERE batch = ?", batch)
        return unpack_answer(body)

    def last_host(self) -> str | None:
        """Return the machine whose process worked on the run last, or ``None``."""
        row = next(iter(self._rows("SELECT host FROM process ORDER BY id DESC LIMIT 1")), None)
        return None if row is None else str(row[0])

    def first_claim_us(self) -> int | None:
        """Return when the first batch was claimed, or ``None``: nothing has ever left."""
        return next(iter(self._rows("SELECT min(since_us) FROM claim")))[0]  # type: ignore[return-value]

    def last_settled_us(self) -> int | None:
        """Return when the last batch was settled, or ``None``."""
        return next(iter(self._rows("SELECT max(settled_us) FROM outcome")))[0]  # type: ignore[return-value]

    def damage(self) -> str | None:
        """Return what SQLite's own integrity check finds, or ``None``; raise when a row is damaged."""
        found = [" ".join(str(row[0]).split()) for row in self._rows("PRAGMA integrity_check")]
        if found != ["ok"]:
            return "; ".join(found[:3])
        for table in ("claim", "attempt"):  # the others are read whole by whoever verifies
            for _ in self._facts(f"SELECT * FROM {table}"):  # noqa: S608 - one of our own two words
                pass
        return None


def _table_of(query: str) -> str:
    return query.split(" FROM ", maxsplit=1)[1].split(maxsplit=1)[0]
