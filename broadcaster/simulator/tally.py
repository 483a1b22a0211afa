"""Running totals of what was received and answered: for whoever watches, without counting the whole ledger each time.

Counted when a request is over, and once from the ledger at the start, so that a restart changes nothing.
"""

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broadcaster.simulator.ledger import Ledger

MINUTES = 15  # that are shown; older ones are forgotten
MINUTE_US = 60_000_000
_FRESH_S = 1.0
_TOO_MANY = 429
_NO_ERROR = 400  # below


@dataclass(slots=True)
class Minute:
    """The requests that were received within one minute."""

    requests: int = 0
    faulted: int = 0
    refused: int = 0  # with an error of ours that no fault made


class Tally:
    """Counts of everything since the ledger began."""

    def __init__(self) -> None:
        self.requests = 0
        self.replays = 0
        self.answers: Counter[tuple[int | None, str | None]] = Counter()  # by status (None: no answer) and code
        self.faults: Counter[str] = Counter()
        self.over_limit: Counter[str] = Counter()  # by code: refused for a limit of the account
        self.decisions: Counter[str] = Counter()  # messages, by what was decided when they were accepted
        self._minutes: dict[int, Minute] = {}
        self._seen_rowid = 0

    def __repr__(self) -> str:
        return f"<Tally {self.requests} requests>"

    async def load(self, ledger: Ledger, *, now_us: int) -> None:
        """Count what the ledger holds from earlier; call it once, before the first request."""
        await ledger.run(lambda connection: self._load(connection, now_us))

    def note(
        self, *, received_us: int, status: int | None, code: str | None, fault: str | None, replayed: bool
    ) -> None:
        """Count a request that is over; without a status it was left without an answer."""
        self._count(status, code, fault, times=1, replays=int(replayed))
        minute = self._minute(received_us // MINUTE_US)
        minute.requests += 1
        minute.faulted += fault is not None
        minute.refused += fault is None and (status or 0) >= _NO_ERROR

    def take_in(self, connection: sqlite3.Connection) -> None:
        """Count the messages that are new in the ledger since the last time."""
        query = "SELECT status, count(*), max(rowid) FROM message WHERE rowid > ? GROUP BY status"
        for status, count, rowid in connection.execute(query, (self._seen_rowid,)).fetchall():
            self.decisions[status] += count
            self._seen_rowid = max(self._seen_rowid, rowid)

    def minutes(self, *, now_us: int) -> list[tuple[int, Minute]]:
        """Return the last minutes, oldest first, each with its start (microseconds since 1970), also the empty ones."""
        last = now_us // MINUTE_US
        return [(at * MINUTE_US, self._minutes.get(at) or Minute()) for at in range(last - MINUTES + 1, last + 1)]

    def _count(self, status: int | None, code: str | None, fault: str | None, *, times: int, replays: int) -> None:
        self.requests += times
        self.replays += replays
        self.answers[status, code] += times
        if fault is not None:
            self.faults[fault] += times
        elif status == _TOO_MANY:
            self.over_limit[code or "none"] += times

    def _minute(self, at: int) -> Minute:
        minute = self._minutes.get(at)
        if minute is None:
            minute = self._minutes[at] = Minute()
            for old in [each for each in self._minutes if each <= at - MINUTES]:
                del self._minutes[old]
        return minute

    def _load(self, connection: sqlite3.Connection, now_us: int) -> None:
        query = "SELECT status, code, fault, count(*), sum(replayed) FROM request GROUP BY status, code, fault"
        for status, code, fault, times, replays in connection.execute(query):
            self._count(status, code, fault, times=times, replays=replays)
        query = (
            "SELECT received_us / ?, count(*), sum(fault NOT NULL), sum(fault IS NULL AND coalesce(status, 0) >= ?)"
            " FROM request WHERE received_us >= ? GROUP BY 1"
        )
        since_us = (now_us // MINUTE_US - MINUTES + 1) * MINUTE_US
        for at, requests, faulted, refused in connection.execute(query, (MINUTE_US, _NO_ERROR, since_us)):
            self._minutes[at] = Minute(requests=requests, faulted=faulted, refused=refused)


class Board:
    """Keeps a document for a second: watching must not slow down what is watched."""

    def __init__(self) -> None:
        self._drawn_s = float("-inf")
        self._document: Mapping[str, Any] = {}

    async def show(self, draw: Callable[[], Awaitable[Mapping[str, Any]]], *, now_s: float) -> Mapping[str, Any]:
        """Return what *draw* draws, or drew less than a second ago."""
        if now_s - self._drawn_s >= _FRESH_S:
            self._document = await draw()
            self._drawn_s = now_s
        return self._document
