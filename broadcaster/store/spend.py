"""What each account spent in the last minute, by every run on this machine; and what is known of its limit.

Theory of operation. A turn is one transaction: look whether the last minute has room, write the spend down; so a run
that is killed and started again finds what it spent, and two runs of one account share its limit. Spend is one row for
each tick and process. Whoever finds no room leaves a *wish*: as long as it is renewed, nobody who came later takes the
room that it waits for. A *pool* is one account at one address; until it is known whose key this is, spend counts for
every account of the address, and respects the limits of them all. The file holds no key, nor anything made from one.
"""

import sqlite3
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from broadcaster.clock import Clock
from broadcaster.core.values import Instant
from broadcaster.core.window import WINDOW_US, Ceilings, Known, Turn, wait_s
from broadcaster.store.account import registry_path
from broadcaster.store.spendfile import Busy, SpendFile
from broadcaster.store.spendrows import FOREIGN, TABLE, Minute, Now

_VERSION = 1
_WISHES = (
    "CREATE TABLE IF NOT EXISTS wish (address TEXT, who TEXT, boot TEXT, pool TEXT, since_us INTEGER, "
    "until_us INTEGER, requests INTEGER, messages INTEGER, PRIMARY KEY (address, who)) WITHOUT ROWID"
)
_POOLS = (
    "CREATE TABLE IF NOT EXISTS pool (address TEXT, pool TEXT, requests INTEGER DEFAULT 0, "
    "messages INTEGER DEFAULT 0, ceilings_us INTEGER DEFAULT 0, learned INTEGER DEFAULT 0, "
    "learned_us INTEGER DEFAULT 0, paused_us INTEGER DEFAULT 0, paused_for_us INTEGER DEFAULT 0, "
    "PRIMARY KEY (address, pool)) WITHOUT ROWID"
)
_UNKNOWN = ""  # the pool of whoever does not know the account yet
_BUSY_S = 0.002  # another process is at it: a turn takes a fraction of that
_BRIEFLY_MS = 10  # what is not a turn may stop the loop for so long
_WISH_US = 1_000_000  # a wish that was not renewed by then is that of somebody who is gone
_CEILING_US = 61_000_000  # how long another run's limit counts after its last turn: as long as its spend does
_RENEW_US = 5_000_000
_LONGEST_PAUSE_US = 60_000_000  # a longer one is not about the minute; who starts again may ask whether it still holds
_KEPT_US = 7 * 86_400_000_000  # a limit that was learned longer ago may have been raised without our noticing
_LAST = "~"  # behind every process of the same moment
_FORGET_EVERY = 500  # turns
T = TypeVar("T")


def spend_path() -> Path:
    """Return where spend is kept: beside the registry of campaigns."""
    return registry_path().with_name("limits.sqlite")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """A row of the table: ceilings of late, what the API said last, the pause it asked for."""

    requests: int = 0
    messages: int = 0
    ceilings_us: int = 0
    learned: int = 0
    learned_us: int = 0
    paused_us: int = 0
    paused_for_us: int = 0


class Spend:
    """The turns of one process, in its account's minute; the ``Window`` port. Opens its file when it is first needed.

    Args:
        path: of the file; ``None`` keeps everything in memory.
        address: accounts of different addresses share nothing.
        clock: the time.
    """

    def __init__(self, path: Path | None, *, address: str, clock: Clock) -> None:
        self._file = SpendFile(path, version=_VERSION, schema=(TABLE, _WISHES, _POOLS))
        self._address = address
        self._clock = clock
        self._pool = _UNKNOWN
        self._who = uuid.uuid4().hex
        self._since_us: int | None = None  # of the wish that this process has left
        self._turns = 0

    def __repr__(self) -> str:
        return f"<Spend of {self._pool[:8] or 'an unknown account'} in {self._file!r}>"

    def close(self) -> None:
        """Close the file; the next turn opens it again."""
        self._file.close()

    # ---- turns ------------------------------------------------------------------------------------------------------

    def take(self, messages: int, *, ceilings: Ceilings, patient: bool) -> Turn:
        """Write one request with so many messages down, if the last minute has room for it.

        Args:
            messages: of the request.
            ceilings: how much the account may spend, as this run knows.
            patient: the caller asks until it gets its turn or withdraws, so nobody who comes later may overtake it.
        """
        try:
            return self._file.run(lambda db: self._take(db, messages, ceilings, patient=patient))
        except Busy:
            return Turn(wait_s=_BUSY_S)

    def withdraw(self) -> None:
        """Take back the wish of a turn that nobody waits for any more."""
        if self._since_us is not None:
            self._since_us = None
            self._briefly(self._unwish, otherwise=None)

    def _take(self, db: sqlite3.Connection, messages: int, ceilings: Ceilings, *, patient: bool) -> Turn:
        minute, pools = self._minute(db), self._pools(db)
        now = minute.now
        if not self._turns % _FORGET_EVERY:
            minute.forget()
            db.execute("DELETE FROM wish WHERE boot <> ? OR until_us < ?", (now.boot, now.us))
        known = self._known(pools, now)
        wait = known.paused_s or self._wait_s(minute, pools, messages, ceilings)
        if wait > WINDOW_US / 1_000_000:  # no spend is that long ahead: the clock was set back
            minute.bring_back()
            wait = self._wait_s(minute, pools, messages, ceilings)
        if wait > 0:
            if patient:
                self._wish(db, messages, now)
            return Turn(wait_s=wait, known=known)
        minute.add(self._pool, self._who, requests=1, messages=messages)
        if self._since_us is not None:
            self._since_us = None
            self._unwish(db)
        self._turns += 1
        return Turn(wait_s=0.0, known=known)

    def _wait_s(self, minute: Minute, pools: dict[str, _Pool], messages: int, mine: Ceilings) -> float:
        db, now = minute.db, minute.now
        ahead, longest = self._ahead(db, now), 0.0
        # Who does not know the account yet respects each of them.
        for pool in [self._pool] if self._pool else {_UNKNOWN, *minute.pools()}:
            ceilings = self._together(db, pool, pools.get(pool, _Pool()), mine, now)
            spent = minute.held(pool, _UNKNOWN)
            for at, (limit, amount) in enumerate(((ceilings.requests, 1), (ceilings.messages, messages))):
                wanted = amount + sum(each[at] for of, each in ahead if of in {pool, _UNKNOWN})
                if limit and amount and spent[at] and spent[at] + wanted > limit:
                    rows = [(each[0], each[1 + at]) for each in minute.rows(pool, _UNKNOWN)]
                    longest = max(longest, wait_s(rows, limit=limit, amount=wanted, now_us=now.us))
        return longest

    def _together(self, db: sqlite3.Connection, pool: str, row: _Pool, mine: Ceilings, now: Now) -> Ceilings:
        """Return the account's limits: where a run beside this one is allowed more, its spend is no reason to wait."""
        fresh = 0 <= (age_us := now.wall_us - row.ceilings_us) < _CEILING_US
        theirs = Ceilings(requests=row.requests, messages=row.messages) if fresh else Ceilings(requests=0, messages=0)
        covered = mine.requests >= theirs.requests and mine.messages >= theirs.messages
        if pool and pool == self._pool and covered and (mine != theirs or age_us > _RENEW_US):
            self._set(db, pool, requests=mine.requests, messages=mine.messages, ceilings_us=now.wall_us)
        if row.learned:  # they may not have heard of it yet
            theirs = Ceilings(requests=min(theirs.requests, row.learned), messages=theirs.messages)
        return Ceilings(
            requests=max(mine.requests, theirs.requests) if mine.requests else 0,
            messages=max(mine.messages, theirs.messages) if mine.messages else 0,
        )

    def _declare(self, minute: Minute, mine: Ceilings) -> None:
        """Tell the runs beside this one how much the account may spend, as we know."""
        row = self._pools(minute.db).get(self._pool, _Pool())
        self._together(minute.db, self._pool, row, mine, minute.now)

    # ---- who waits --------------------------------------------------------------------------------------------------

    def _wish(self, db: sqlite3.Connection, messages: int, now: Now) -> None:
        if self._since_us is None:
            self._since_us = now.us
        db.execute(
            "INSERT OR REPLACE INTO wish VALUES (?, ?, ?, ?, ?, ?, 1, ?)",
            (self._address, self._who, now.boot, self._pool, self._since_us, now.us + _WISH_US, messages),
        )

    def _unwish(self, db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM wish WHERE address = ? AND who = ?", (self._address, self._who))

    def _ahead(self, db: sqlite3.Connection, now: Now) -> list[tuple[str, tuple[int, int]]]:
        """Return what those wait for who came before us: their pool, requests and messages."""
        mine = (now.us, _LAST) if self._since_us is None else (self._since_us, self._who)
        found = db.execute(
            "SELECT pool, requests, messages FROM wish WHERE address = ? AND boot = ? AND (since_us, who) < (?, ?) "
            "AND until_us BETWEEN ? AND ?",
            (self._address, now.boot, *mine, now.us, now.us + _WISH_US),
        )
        return [(pool, (requests, messages)) for pool, requests, messages in found]

    # ---- the account ------------------------------------------------------------------------------------------------

    def belongs_to(self, pool: str) -> Known:
        """Hear whose limit it is: what this process has spent before is that account's."""
        self._pool = pool
        return self._briefly(self._settle_in, otherwise=Known())

    def _settle_in(self, db: sqlite3.Connection) -> Known:
        minute = self._minute(db)
        minute.relabel(self._pool, earlier=_UNKNOWN, who=self._who)
        return self._known(self._pools(db), minute.now)

    def of_the_only_account(self) -> Known:
        """Return what is known of the account of this address, if this user has one only."""
        return self._briefly(self._of_the_only_one, otherwise=Known())

    def _of_the_only_one(self, db: sqlite3.Connection) -> Known:
        pools = self._pools(db)
        names = [pool for pool in pools if pool]
        return self._of(pools[names[0]], self._now()) if len(names) == 1 else Known()

    def learn(self, limit: int) -> None:
        """Keep the limit of requests that the API names, for every run of a known account."""
        if self._pool:
            us = self._now().wall_us
            self._briefly(lambda db: self._set(db, self._pool, learned=limit, learned_us=us), otherwise=None)

    def pause(self, seconds: float) -> None:
        """Let every run of the account wait."""
        for_us, us = min(round(seconds * 1_000_000), _LONGEST_PAUSE_US), self._now().wall_us
        self._briefly(lambda db: self._set(db, self._pool, paused_us=us, paused_for_us=for_us), otherwise=None)

    def spent(self) -> tuple[int, int]:
        """Return requests and messages of the account's last minute."""
        return self._briefly(lambda db: self._minute(db).held(self._pool, _UNKNOWN), otherwise=(0, 0))

    def correct(self, *, limit: int, remaining: int, asked_at: Instant) -> bool:
        """Write down what was spent elsewhere, by what the API says is left of the account's minute.

        Args:
            limit: of requests, in force here.
            remaining: requests that the API would still serve, by the headers of an answer.
            asked_at: when its request left: *remaining* may or may not count what was spent since.

        Returns:
            Whether less is left than was known here.
        """
        if not self._pool:
            return False
        return self._briefly(lambda db: self._correct(self._minute(db), limit, remaining, asked_at), otherwise=False)

    def _correct(self, minute: Minute, limit: int, remaining: int, asked_at: Instant) -> bool:
        left = limit - minute.held(self._pool, _UNKNOWN)[0]
        if left > remaining:
            minute.add(self._pool, FOREIGN, requests=left - remaining, messages=0)
            return True
        minute.correct(self._pool, more=remaining - left, since=Now.of(asked_at))
        return False

    def _pools(self, db: sqlite3.Connection) -> dict[str, _Pool]:
        found = db.execute(
            "SELECT pool, requests, messages, ceilings_us, learned, learned_us, paused_us, paused_for_us FROM pool "
            "WHERE address = ?",
            (self._address,),
        )
        names = _Pool.__slots__
        return {pool: _Pool(**dict(zip(names, row, strict=True))) for pool, *row in found}

    def _known(self, pools: dict[str, _Pool], now: Now) -> Known:
        """Return what holds for the account; of an unknown one, the longest pause of its address."""
        paused_us = max(
            (
                each.paused_us + each.paused_for_us - now.wall_us
                for pool, each in pools.items()
                if pool in {self._pool, _UNKNOWN} or not self._pool
                if each.paused_us <= now.wall_us  # else the clock was set back
            ),
            default=0,
        )
        known = self._of(pools.get(self._pool, _Pool()) if self._pool else _Pool(), now)
        return replace(known, paused_s=max(0, paused_us) / 1_000_000)

    def _of(self, pool: _Pool, now: Now) -> Known:
        """Return what was learned of an account, while that can be relied on."""
        kept = pool.learned and now.wall_us - pool.learned_us < _KEPT_US
        return Known(learned=pool.learned if kept else None, learned_us=pool.learned_us)

    def _set(self, db: sqlite3.Connection, pool: str, **values: int) -> None:
        db.execute("INSERT OR IGNORE INTO pool (address, pool) VALUES (?, ?)", (self._address, pool))
        for name, value in values.items():
            db.execute(f"UPDATE pool SET {name} = ? WHERE address = ? AND pool = ?", (value, self._address, pool))  # noqa: S608 - our words

    # ---- the file ---------------------------------------------------------------------------------------------------

    def _briefly(self, work: Callable[[sqlite3.Connection], T], *, otherwise: T) -> T:
        try:
            return self._file.run(work, patience_ms=_BRIEFLY_MS)
        except Busy:
            return otherwise

    def _minute(self, db: sqlite3.Connection) -> Minute:
        return Minute(db=db, address=self._address, now=self._now())

    def _now(self) -> Now:
        return Now.of(Instant.at(self._clock.reading()))
