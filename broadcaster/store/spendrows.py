"""The spend of the last minute as rows of a table: one for each tick and process.

Rows that were written before the machine was started anew count by wall time, all others by a clock that nobody can
set, where the platform has one. A clock that is set back puts rows into the future: they count as spent just now.
"""

import sqlite3
from dataclasses import dataclass

from broadcaster.core.values import Instant
from broadcaster.core.window import TICK_US, WINDOW_US

TABLE = (
    "CREATE TABLE IF NOT EXISTS spent (address TEXT, boot TEXT, tick INTEGER, pool TEXT, who TEXT, "
    "requests INTEGER NOT NULL, messages INTEGER NOT NULL, wall_us INTEGER NOT NULL, "
    "PRIMARY KEY (address, boot, tick, pool, who)) WITHOUT ROWID"
)
FOREIGN = "foreign"  # in place of a process: the API says that somebody elsewhere spent it
WHEN = "@"  # between who spent it and when, in the name of a row
_BEFORE = "before"  # in place of the processes of an earlier start of the machine
_FUTURE = "future"  # in place of the processes whose clock was set back
_ADD = (
    "INSERT INTO spent VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "requests = requests + excluded.requests, messages = messages + excluded.messages"
)
_BRING_BACK = (
    "INSERT INTO spent SELECT address, boot, ?, pool, ?, sum(requests), sum(messages), ? FROM spent "
    "WHERE boot = ? AND tick > ? GROUP BY address, pool ON CONFLICT DO UPDATE SET "
    "requests = requests + excluded.requests, messages = messages + excluded.messages"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The present. ``us`` goes on through sleep and cannot be set, where the platform has such a clock."""

    us: int
    wall_us: int
    boot: str

    @classmethod
    def of(cls, instant: Instant) -> "Now":
        """Return the present as rows have it."""
        us = instant.wall_us if instant.boot_us is None else instant.boot_us
        return cls(us=us, wall_us=instant.wall_us, boot=instant.boot or "")

    @property
    def tick(self) -> int:
        """The tick that spend is written down under."""
        return self.us // TICK_US

    @property
    def ended_tick(self) -> int:
        """The last tick that has left the window."""
        return (self.us - WINDOW_US) // TICK_US


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """The last minute of an address, in a transaction."""

    db: sqlite3.Connection
    address: str
    now: Now

    def pools(self) -> list[str]:
        """Return the pools that anything was spent out of."""
        found = self.db.execute(
            "SELECT DISTINCT pool FROM spent WHERE address = ? AND boot = ? AND tick > ?",
            (self.address, self.now.boot, self.now.ended_tick),
        )
        return sorted({pool for (pool,) in found} | {pool for _, pool, _, _ in self._before_restart()})

    def held(self, *pools: str) -> tuple[int, int]:
        """Return requests and messages that were spent out of two pools."""
        requests, messages = self.db.execute(
            "SELECT coalesce(sum(requests), 0), coalesce(sum(messages), 0) FROM spent "
            "WHERE address = ? AND boot = ? AND tick > ? AND pool IN (?, ?)",
            (self.address, self.now.boot, self.now.ended_tick, *pools),
        ).fetchone()
        earlier = [each for each in self._before_restart() if each[1] in pools]
        return requests + sum(each[2] for each in earlier), messages + sum(each[3] for each in earlier)

    def rows(self, *pools: str) -> list[tuple[int, int, int]]:
        """Return when something was spent out of *pools*, how many requests, how many messages."""
        found = self.db.execute(
            "SELECT tick, pool, requests, messages FROM spent WHERE address = ? AND boot = ? AND tick > ?",
            (self.address, self.now.boot, self.now.ended_tick),
        )
        rows = [(tick * TICK_US, requests, messages) for tick, pool, requests, messages in found if pool in pools]
        rows += [(us, requests, messages) for us, pool, requests, messages in self._before_restart() if pool in pools]
        return sorted(rows)

    def by_whom(self, *pools: str, foreign: bool) -> list[tuple[str, int, int, int]]:
        """Return what was spent out of *pools*: a name for each row that it keeps, when, requests, messages.

        Without *foreign* what only the API knows of is left out.
        """
        now = self.now
        found = self.db.execute(
            "SELECT tick, pool, who, requests, messages FROM spent WHERE address = ? AND boot = ? AND tick > ?",
            (self.address, now.boot, now.ended_tick),
        )
        rows = [
            (f"{who}{WHEN}{tick}", tick * TICK_US, requests, messages)
            for tick, pool, who, requests, messages in found
            if pool in pools and (foreign or who != FOREIGN)
        ]
        for us, pool, requests, messages in self._before_restart():
            if pool in pools:
                rows.append((f"{_BEFORE}{WHEN}{now.wall_us - now.us + us}", us, requests, messages))
        return rows

    def _before_restart(self) -> list[tuple[int, str, int, int]]:
        """Return what was spent before the machine was started anew, at moments as if its clock had gone on."""
        now = self.now
        found = self.db.execute(
            "SELECT wall_us, pool, requests, messages FROM spent WHERE address = ? AND boot < ? AND wall_us > ? UNION "
            "ALL SELECT wall_us, pool, requests, messages FROM spent WHERE address = ? AND boot > ? AND wall_us > ?",
            2 * (self.address, now.boot, now.wall_us - WINDOW_US),
        ).fetchall()
        if any(wall_us > now.wall_us for wall_us, *_ in found):
            self.bring_back()
        return [(now.us - max(0, now.wall_us - wall_us), *amounts) for wall_us, *amounts in found]

    def add(self, pool: str, who: str, *, requests: int, messages: int) -> None:
        """Write spend down."""
        now = self.now
        self.db.execute(_ADD, (self.address, now.boot, now.tick, pool, who, requests, messages, now.wall_us))

    def relabel(self, pool: str, *, earlier: str, who: str) -> None:
        """Let what *who* spent be *pool*'s."""
        self.db.execute(
            "UPDATE OR IGNORE spent SET pool = ? WHERE address = ? AND boot = ? AND pool = ? AND who = ?",
            (pool, self.address, self.now.boot, earlier, who),
        )

    def forget(self) -> None:
        """Remove what has left the window."""
        now = self.now
        self.db.execute("DELETE FROM spent WHERE boot = ? AND tick <= ?", (now.boot, now.ended_tick))
        self.db.execute("DELETE FROM spent WHERE boot <> ? AND wall_us <= ?", (now.boot, now.wall_us - WINDOW_US))
        self.bring_back()

    def bring_back(self) -> None:
        """Let what is in the future count as spent now, so that it leaves the window in a minute."""
        now = self.now
        self.db.execute(
            "UPDATE spent SET wall_us = ? WHERE boot <> ? AND wall_us > ?", (now.wall_us, now.boot, now.wall_us)
        )
        self.db.execute(_BRING_BACK, (now.tick, _FUTURE, now.wall_us, now.boot, now.tick))
        self.db.execute("DELETE FROM spent WHERE boot = ? AND tick > ?", (now.boot, now.tick))

    def correct(self, pool: str, *, more: int, since: Now) -> None:
        """Take foreign spend back, oldest first: the API serves so many requests *more* than we know of.

        What was spent after *since* may not be counted in that.
        """
        rows = self.db.execute(
            "SELECT tick, who, requests FROM spent WHERE address = ? AND boot = ? AND tick > ? AND pool = ?",
            (self.address, self.now.boot, self.now.ended_tick, pool),
        ).fetchall()
        more -= sum(requests for tick, who, requests in rows if who != FOREIGN and tick >= since.tick)
        for tick, who, requests in rows:
            if who == FOREIGN and more > 0:
                self.db.execute(
                    "UPDATE spent SET requests = ? WHERE address = ? AND boot = ? AND tick = ? AND pool = ? "
                    "AND who = ?",
                    (max(0, requests - more), self.address, self.now.boot, tick, pool, FOREIGN),
                )
                more -= requests
