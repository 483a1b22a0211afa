"""Contacts in the ledger. A send creates them without knowing: they are made of the messages when somebody looks.

Every function runs in the ledger's thread, inside its transaction. An *owner* is a profile, or the account itself.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

_FIELDS = "contact_id, phone, default_channel, opt_out, created_us, updated_us"
_SEEN = "contacts_made_until"  # of `meta`: the row of the last message that was looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Somebody a message was sent to, or who was put in by hand."""

    contact_id: str
    phone: str
    default_channel: str | None
    opt_out: bool
    created_us: int
    updated_us: int


def contact_id(owner: str, phone: str) -> str:
    """Return the id of the contact with that number; the same at all times."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{owner}/{phone}"))


def take_in(connection: sqlite3.Connection, account: str) -> None:
    """Make contacts of the recipients of all messages since the last time; *account* owns what no profile does."""
    connection.create_function("contact_id", 2, contact_id, deterministic=True)
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (_SEEN,)).fetchone()
    seen = 0 if found is None else int(found[0])
    (last,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM message").fetchone()
    if last == seen:
        return
    connection.execute(
        "INSERT INTO contact (contact_id, owner, phone, created_us, updated_us, last_template_us)"
        " SELECT contact_id(owner, recipient), owner, recipient, first_us, first_us, template_us FROM"
        " (SELECT coalesce(profile_id, ?) AS owner, recipient, min(created_us) AS first_us,"
        " max(CASE WHEN template_id NOT NULL AND status IN ('QUEUED', 'SCHEDULED') THEN created_us END) AS template_us"
        " FROM message WHERE rowid > ? GROUP BY 1, 2) WHERE true"
        " ON CONFLICT (owner, phone) DO UPDATE"
        " SET last_template_us = coalesce(excluded.last_template_us, last_template_us)",
        (account, seen),
    )
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_SEEN, str(last)))


def find_contact(connection: sqlite3.Connection, owner: str, name: str) -> Contact | None:
    """Return the contact of that id."""
    query = f"SELECT {_FIELDS} FROM contact WHERE owner = ? AND contact_id = ?"  # noqa: S608 - the columns are ours
    row = connection.execute(query, (owner, name)).fetchone()
    return None if row is None else _contact(row)


def list_contacts(
    connection: sqlite3.Connection, owner: str, *, part: str, start: int, size: int
) -> tuple[list[Contact], int]:
    """Return *size* contacts from *start* on, newest first, whose number contains *part*, and how many there are."""
    matching = "owner = ? AND instr(phone, ?)"
    (total,) = connection.execute(f"SELECT count(*) FROM contact WHERE {matching}", (owner, part)).fetchone()  # noqa: S608
    query = f"SELECT {_FIELDS} FROM contact WHERE {matching} ORDER BY rowid DESC LIMIT ? OFFSET ?"  # noqa: S608 - ours
    return [_contact(row) for row in connection.execute(query, (owner, part, size, start))], total


def add_contact(connection: sqlite3.Connection, owner: str, phone: str, *, now_us: int) -> Contact | None:
    """Put a contact in and return it; ``None`` when there is one with that number."""
    name = contact_id(owner, phone)
    row = (name, owner, phone, now_us, now_us)
    statement = (
        "INSERT OR IGNORE INTO contact (contact_id, owner, phone, created_us, updated_us) VALUES (?, ?, ?, ?, ?)"
    )
    return find_contact(connection, owner, name) if connection.execute(statement, row).rowcount else None


def save_contact(connection: sqlite3.Connection, contact: Contact) -> None:
    """Keep what can be changed of a contact."""
    connection.execute(
        "UPDATE contact SET default_channel = ?, opt_out = ?, updated_us = ? WHERE contact_id = ?",
        (contact.default_channel, contact.opt_out, contact.updated_us, contact.contact_id),
    )


def drop_contact(connection: sqlite3.Connection, owner: str, name: str) -> bool:
    """Forget a contact, also that it opted out; whether there was one."""
    statement = "DELETE FROM contact WHERE owner = ? AND contact_id = ?"
    return bool(connection.execute(statement, (owner, name)).rowcount)


def opted_out(connection: sqlite3.Connection, owner: str, phones: Iterable[str]) -> frozenset[str]:
    """Return those of *phones* who do not want to be written to."""
    (any_at_all,) = connection.execute("SELECT EXISTS (SELECT 1 FROM contact WHERE opt_out)").fetchone()
    if not any_at_all:
        return frozenset()
    query = "SELECT phone FROM contact WHERE opt_out AND owner = ? AND phone IN (SELECT value FROM json_each(?))"
    return frozenset(phone for (phone,) in connection.execute(query, (owner, json.dumps(list(phones)))))


def written_to_since(
    connection: sqlite3.Connection, owner: str, phones: Iterable[str], *, since_us: int
) -> frozenset[str]:
    """Return those of *phones* who were sent a template at *since_us* or later."""
    query = (
        "SELECT phone FROM contact WHERE last_template_us >= ? AND owner = ?"
        " AND phone IN (SELECT value FROM json_each(?))"
    )
    return frozenset(phone for (phone,) in connection.execute(query, (since_us, owner, json.dumps(list(phones)))))


def _contact(row: tuple[str, str, str | None, int, int, int]) -> Contact:
    name, phone, channel, opt_out, created_us, updated_us = row
    return Contact(
        contact_id=name,
        phone=phone,
        default_channel=channel,
        opt_out=bool(opt_out),
        created_us=created_us,
        updated_us=updated_us,
    )
