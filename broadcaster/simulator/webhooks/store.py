"""Webhooks and their events in the ledger. Every function runs inside a transaction of it."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

PENDING, RETRYING, DELIVERED, FAILED = "PENDING", "RETRYING", "DELIVERED", "FAILED"
FAILURES_ALLOWED = 10  # in a row; then the endpoint is switched off
_MARK = "webhook_mark_us"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """An endpoint and what it is told. Moments are microseconds since 1970."""

    webhook_id: str
    owner: str  # the account, or the profile
    display_name: str
    endpoint_url: str | None
    event_types: tuple[str, ...]  # families, or events with their family
    event_filters: Mapping[str, Sequence[str]] | None  # family → the events of it that are wanted
    retry_count: int
    timeout_s: int
    secret: str
    is_active: bool
    since_us: int  # created, or last switched on: what happened before is not told
    failures: int
    created_us: int
    updated_us: int
    attempted_us: int | None = None
    delivered_us: int | None = None

    def wants(self, event: str) -> bool:
        """Whether the endpoint is to be told of *event*."""
        family, _, name = event.partition(".")
        if self.endpoint_url is None or not {family, event} & set(self.event_types):
            return False
        wanted = (self.event_filters or {}).get(family)
        return not wanted or bool({name, event} & set(wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event for one endpoint, and how its delivery stands."""

    event_id: str
    webhook_id: str
    event_type: str
    body: str
    name: str  # the same in every run with the same seed and list: chance hangs on it
    status: str
    attempts: int
    created_us: int
    next_us: int | None  # when it is to be attempted; None: at work, or done
    stamp_s: int | None = None  # of the first attempt
    started_us: int | None = None
    completed_us: int | None = None
    http_status: int | None = None
    error: str | None = None
    response: str | None = None


_HOOK = tuple(field.name for field in fields(Webhook))
_EVENT = tuple(field.name for field in fields(Event))
_HOOKS = f"SELECT {', '.join(_HOOK)} FROM webhook"  # noqa: S608 - the columns are ours
_EVENTS = f"SELECT {', '.join(_EVENT)} FROM webhook_event"  # noqa: S608 - the columns are ours


def save(connection: sqlite3.Connection, hook: Webhook) -> None:
    """Write a new webhook, or an old one as it is now."""
    filters = None if hook.event_filters is None else json.dumps({**hook.event_filters})
    shown = {"event_types": json.dumps(hook.event_types), "event_filters": filters}
    row = [shown.get(name, getattr(hook, name)) for name in _HOOK]
    updates = ", ".join(f"{name} = excluded.{name}" for name in _HOOK)
    connection.execute(
        f"INSERT INTO webhook ({', '.join(_HOOK)}) VALUES ({_marks(_HOOK)})"  # noqa: S608 - the columns are ours
        f" ON CONFLICT (webhook_id) DO UPDATE SET {updates}",
        row,
    )


def find(connection: sqlite3.Connection, owner: str, webhook_id: str) -> Webhook | None:
    """Return the webhook of that owner and id."""
    row = connection.execute(_HOOKS + " WHERE owner = ? AND webhook_id = ?", (owner, webhook_id)).fetchone()
    return None if row is None else _hook(row)


def select(
    connection: sqlite3.Connection, owner: str, *, search: str, is_active: bool | None, start: int, size: int
) -> tuple[list[Webhook], int]:
    """Return one page of *owner*'s webhooks, newest first, and how many there are in all."""
    where = " WHERE owner = ? AND (instr(lower(display_name), ?) OR instr(lower(coalesce(endpoint_url, '')), ?))"
    values: list[Any] = [owner, search.lower(), search.lower()]
    if is_active is not None:
        where += " AND is_active = ?"
        values.append(is_active)
    (total,) = connection.execute("SELECT count(*) FROM webhook" + where, values).fetchone()  # noqa: S608 - ours
    rows = connection.execute(_HOOKS + where + " ORDER BY rowid DESC LIMIT ? OFFSET ?", (*values, size, start))
    return [_hook(row) for row in rows], int(total)


def active(connection: sqlite3.Connection) -> dict[str, Webhook]:
    """Return the webhooks that are switched on and have an address, by id."""
    rows = connection.execute(_HOOKS + " WHERE is_active AND endpoint_url NOT NULL")
    return {hook.webhook_id: hook for hook in map(_hook, rows)}


def drop(connection: sqlite3.Connection, owner: str, webhook_id: str) -> bool:
    """Forget a webhook and its events; tell whether there was one."""
    if not connection.execute("DELETE FROM webhook WHERE owner = ? AND webhook_id = ?", (owner, webhook_id)).rowcount:
        return False
    connection.execute("DELETE FROM webhook_event WHERE webhook_id = ?", (webhook_id,))
    return True


def add_events(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Write down *events* that are not there yet."""
    statement = f"INSERT OR IGNORE INTO webhook_event ({', '.join(_EVENT)}) VALUES ({_marks(_EVENT)})"  # noqa: S608 - ours
    connection.executemany(statement, [[getattr(event, name) for name in _EVENT] for event in events])


def claim(connection: sqlite3.Connection, *, now_us: int, limit: int) -> list[tuple[Webhook, Event]]:
    """Return up to *limit* events whose time has come, and who is to be told; nobody else gets them now."""
    query = _EVENTS + " WHERE next_us NOT NULL AND next_us <= ? ORDER BY next_us, rowid LIMIT ?"
    events = [
        replace(event, started_us=event.started_us or now_us)
        for event in map(_event, connection.execute(query, (now_us, limit)))
    ]
    hooks = active(connection) if events else {}
    statement = "UPDATE webhook_event SET next_us = NULL, started_us = coalesce(started_us, ?) WHERE event_id = ?"
    connection.executemany(statement, [(now_us, event.event_id) for event in events])
    return [(hooks[event.webhook_id], event) for event in events if event.webhook_id in hooks]


def waiting(connection: sqlite3.Connection) -> int:
    """Return how many events wait for their time."""
    return int(connection.execute("SELECT count(*) FROM webhook_event WHERE next_us NOT NULL").fetchone()[0])


def recover(connection: sqlite3.Connection, *, now_us: int) -> None:
    """Let events wait again that were at work when an earlier life ended."""
    statement = "UPDATE webhook_event SET next_us = ? WHERE next_us IS NULL AND status IN (?, ?)"
    connection.execute(statement, (now_us, PENDING, RETRYING))


def settle(connection: sqlite3.Connection, event: Event) -> None:
    """Write down how an attempt ended, unless the webhook is gone."""
    changes = ", ".join(f"{name} = ?" for name in _EVENT)
    values = [getattr(event, name) for name in _EVENT]
    connection.execute(f"UPDATE webhook_event SET {changes} WHERE event_id = ?", (*values, event.event_id))  # noqa: S608 - ours


def count_attempt(connection: sqlite3.Connection, webhook_id: str, *, succeeded: bool, now_us: int) -> None:
    """Count an attempt of the endpoint; too many failures in a row switch it off, and nothing waits for it any more."""
    connection.execute(
        "UPDATE webhook SET attempted_us = ?, failures = CASE WHEN ? THEN 0 ELSE failures + 1 END,"
        " delivered_us = CASE WHEN ? THEN ? ELSE delivered_us END WHERE webhook_id = ?",
        (now_us, succeeded, succeeded, now_us, webhook_id),
    )
    statement = "UPDATE webhook SET is_active = 0 WHERE webhook_id = ? AND failures >= ? AND is_active"
    if connection.execute(statement, (webhook_id, FAILURES_ALLOWED)).rowcount:
        give_up(connection, webhook_id, now_us=now_us)


def give_up(connection: sqlite3.Connection, webhook_id: str, *, now_us: int) -> None:
    """Let what waits for an endpoint that is switched off be failed."""
    connection.execute(
        "UPDATE webhook_event SET status = ?, next_us = NULL, completed_us = ?, error = 'The webhook is inactive'"
        " WHERE webhook_id = ? AND status IN (?, ?)",
        (FAILED, now_us, webhook_id, PENDING, RETRYING),
    )


def is_on(connection: sqlite3.Connection, webhook_id: str) -> bool:
    """Whether the webhook is there and switched on."""
    row = connection.execute("SELECT is_active FROM webhook WHERE webhook_id = ?", (webhook_id,)).fetchone()
    return row is not None and bool(row[0])


def events_of(
    connection: sqlite3.Connection, webhook_id: str, *, search: str, start: int, size: int
) -> tuple[list[Event], int]:
    """Return one page of a webhook's events, newest first, and how many there are in all."""
    where = " WHERE webhook_id = ? AND (instr(event_type, ?) OR instr(lower(status), ?) OR instr(body, ?))"
    values = (webhook_id, search, search.lower(), search)
    (total,) = connection.execute("SELECT count(*) FROM webhook_event" + where, values).fetchone()  # noqa: S608 - ours
    rows = connection.execute(_EVENTS + where + " ORDER BY rowid DESC LIMIT ? OFFSET ?", (*values, size, start))
    return [_event(row) for row in rows], int(total)


def mark(connection: sqlite3.Connection) -> int | None:
    """Return the moment up to which changes were turned into events, in an earlier life."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (_MARK,)).fetchone()
    return None if row is None else int(row[0])


def set_mark(connection: sqlite3.Connection, moment_us: int) -> None:
    """Note that changes up to *moment_us* are events now."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_MARK, str(moment_us)))


def _hook(row: Sequence[Any]) -> Webhook:
    found = dict(zip(_HOOK, row, strict=True))
    found["event_types"] = tuple(json.loads(found["event_types"]))
    found["event_filters"] = None if found["event_filters"] is None else json.loads(found["event_filters"])
    found["is_active"] = bool(found["is_active"])
    return Webhook(**found)


def _event(row: Sequence[Any]) -> Event:
    return Event(**dict(zip(_EVENT, row, strict=True)))


def _marks(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))
