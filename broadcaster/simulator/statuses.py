"""Every status change of every message, in order of time: for whoever reports them, such as webhooks.

Theory of operation: statuses are not stored, they follow from each message (see ``lifecycle``). A feed keeps, for each
message that is still under way, the moment of its next change, takes in new messages by their place in the ledger, and
looks a message up again when its moment has come; so a cancelled one drops out by itself.
"""

import functools
import heapq
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broadcaster.simulator.ids import first_id_at
from broadcaster.simulator.ledger import Ledger
from broadcaster.simulator.lifecycle import LONGEST_S, US, Change, Lifecycle
from broadcaster.simulator.record import FIELDS, Message
from broadcaster.simulator.templates import Catalogue

_DAY_S = 86_400.0  # quiet hours end within one
_TAKEN_AT_ONCE = 2000  # messages; more would keep other requests waiting
_Entry = tuple[int, str, int]  # a moment, a message, and the place of the change in its course


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """A message, and a status it reached. ``change`` has the status, the moment, the channel in use and the reason.

    Not every status has a webhook event: PROCESSED has none.
    """

    message: Message
    change: Change
    n: int  # its place in the message's course, from 0: (message_id, n) names it for ever


class StatusFeed:
    """Hands out each change once, when its time has come."""

    def __init__(self, *, world: Lifecycle, catalogue: Catalogue, since_us: int) -> None:
        """Hand out what happens at *since_us* (microseconds since 1970) or later, also to messages sent before."""
        self._world = world
        self._catalogue = catalogue
        self._since_us = since_us
        self._seen_rowid = -1  # not looked yet
        self._seen_change_us = since_us - 1
        self._awaited: list[_Entry] = []  # a heap
        self._known: set[_Entry] = set()  # what is in it: nothing may be awaited twice

    def __repr__(self) -> str:
        return f"<StatusFeed {len(self._awaited)} under way>"

    @property
    def next_us(self) -> int | None:
        """When the next change known so far is due. New messages may come before it."""
        return self._awaited[0][0] if self._awaited else None

    async def due(self, ledger: Ledger, *, until_us: int, limit: int = 1000) -> list[StatusChange]:
        """Return what happened by *until_us* and was not handed out yet, oldest first; about *limit* at most.

        A message sent while nobody asked comes late, with its own moments. To go on after a restart, begin a new feed
        at the moment of the last change dealt with: what happened in that microsecond comes again.

        Raises:
            sqlite3.Error: the ledger failed; nothing is lost, ask again.
        """
        await self._take_in(ledger)
        picked: list[_Entry] = []
        while self._awaited and self._awaited[0][0] <= until_us and len(picked) < limit:
            picked.append(heapq.heappop(self._awaited))
        try:
            found = await ledger.run(lambda connection: _fetch(connection, {name for _, name, _ in picked}))
        except BaseException:
            for entry in picked:
                heapq.heappush(self._awaited, entry)
            raise
        return self._hand_out(picked, found, until_us)

    def _hand_out(self, picked: list[_Entry], found: Mapping[str, Message], until_us: int) -> list[StatusChange]:
        """The changes of *picked*, a heap, and those that follow them by *until_us*."""
        courses = {name: message.course(self._world, self._catalogue) for name, message in found.items()}
        out: list[StatusChange] = []
        while picked:
            entry = heapq.heappop(picked)
            self._known.discard(entry)
            moment_us, name, n = entry
            changes = courses.get(name, ())
            if n >= len(changes) or changes[n].at_us != moment_us:
                continue  # it took another course since; `_take_in` has put that one in its place
            out.append(StatusChange(message=found[name], change=changes[n], n=n))
            if n + 1 < len(changes):
                following = (changes[n + 1].at_us, name, n + 1)
                self._push(picked if following[0] <= until_us else self._awaited, following)
        return out

    async def _take_in(self, ledger: Ledger) -> None:
        """Await the next change of every message that is new, or that somebody cancelled or sent again."""
        if self._seen_rowid < 0:
            under_way, self._seen_rowid = await ledger.run(
                lambda connection: _fetch_old(connection, self._horizon_us())
            )
            self._await(under_way, since_us=self._since_us)
        full = True
        while full:
            rowid, change_us = self._seen_rowid, self._seen_change_us
            new, changed = await ledger.run(functools.partial(_fetch_new, rowid=rowid, change_us=change_us))
            for message in changed:
                moment_us = message.changed_us or 0
                self._seen_change_us = max(self._seen_change_us, moment_us)
                self._await([message], since_us=max(moment_us, self._since_us))
            self._await([message for _, message in new], since_us=self._since_us)
            self._seen_rowid = new[-1][0] if new else rowid
            full = len(new) == _TAKEN_AT_ONCE

    def _horizon_us(self) -> int:
        """Whatever was begun before this moment has come to its end before the feed begins."""
        if self._world.speed <= 0:
            return self._since_us
        longest_s = LONGEST_S + (_DAY_S if self._world.quiet else 0)
        return self._since_us - int(longest_s / self._world.speed * US)

    def _await(self, messages: Iterable[Message], *, since_us: int) -> None:
        for message in messages:
            for n, change in enumerate(message.course(self._world, self._catalogue)):
                if change.at_us >= since_us:
                    self._push(self._awaited, (change.at_us, message.message_id, n))
                    break

    def _push(self, heap: list[_Entry], entry: _Entry) -> None:
        if entry not in self._known:
            self._known.add(entry)
            heapq.heappush(heap, entry)


def _fetch(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, Message]:
    query = f"SELECT {FIELDS} FROM message WHERE message_id IN (SELECT value FROM json_each(?))"  # noqa: S608 - ours
    rows = map(Message.of, connection.execute(query, (json.dumps(list(names)),)))
    return {message.message_id: message for message in rows}


def _fetch_old(connection: sqlite3.Connection, horizon_us: int) -> tuple[list[Message], int]:
    """Messages from before the feed that may be under way, and the last row that needs no further look."""
    (last,) = connection.execute(
        "SELECT coalesce(max(rowid), 0) FROM message WHERE message_id < ?", (first_id_at(horizon_us),)
    ).fetchone()
    query = f"SELECT {FIELDS} FROM message WHERE rowid <= ?"  # noqa: S608 - ours
    query += " AND (release_us >= ? AND status <> 'CANCELLED' OR begun_us >= ?)"
    rows = connection.execute(query, (last, horizon_us, horizon_us)).fetchall()
    return [Message.of(row) for row in rows], last


def _fetch_new(
    connection: sqlite3.Connection, *, rowid: int, change_us: int
) -> tuple[list[tuple[int, Message]], list[Message]]:
    """Messages after *rowid*, with their own, and those before it that were changed after *change_us*."""
    query = f"SELECT rowid, {FIELDS} FROM message WHERE rowid > ? ORDER BY rowid LIMIT {_TAKEN_AT_ONCE}"  # noqa: S608 - ours
    new = [(int(row[0]), Message.of(row[1:])) for row in connection.execute(query, (rowid,))]
    query = f"SELECT {FIELDS} FROM message WHERE changed_us > ? AND rowid <= ?"  # noqa: S608 - ours
    changed = [Message.of(row) for row in connection.execute(query, (change_us, rowid))]
    return new, changed
