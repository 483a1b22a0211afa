"""What an account may send, and what becomes of the rest: consent, approval, open conversations, money, held messages.

Runs in the ledger's thread, inside the transaction that creates the messages.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from broadcaster.simulator import contact_store as store
from broadcaster.simulator.envelope import Refusal
from broadcaster.simulator.lifecycle import US
from broadcaster.simulator.settings import Settings
from broadcaster.simulator.templates import APPROVED, Template
from broadcaster.simulator.validate import AUTO

OPTED_OUT = ("FILTERED", "BUSINESS_004")
UNPAID = ("BLOCKED", "BUSINESS_003")
_UNAPPROVED = ("BLOCKED", "BUSINESS_005")
_WRONG_CHANNEL = ("BLOCKED", "BUSINESS_012")
_CLOSED = ("BLOCKED", "CONVERSATION_TEMPLATE_REQUIRED")
_CLOSED_WHATSAPP = ("BLOCKED", "WHATSAPP_TEMPLATE_REQUIRED")
_FREE = ("QUEUED", None)
_OPEN_FOR_US = 7 * 86_400 * US  # a conversation stays open after a template
_SPENT = "spent"  # of `meta`: messages paid for, ever

Verdict = tuple[str, str | None]
"""The status a message comes to, QUEUED when nothing stands in its way, and the reason code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Messages about to be created: the same content to each of *pairs* of number and channel."""

    owner: str  # whose contacts count
    account: str
    template: Template | None
    pairs: Sequence[tuple[str, str]]


def judge(
    connection: sqlite3.Connection, settings: Settings, draft: Draft, *, now_us: int
) -> tuple[list[Verdict], list[bool]]:
    """Return for each pair its verdict, and whether it was paid for; takes the money.

    Raises:
        Refusal: 402 ``BUSINESS_003`` for what is not paid for, when it is to be refused at once.
    """
    phones = {phone for phone, _ in draft.pairs}
    silent = store.opted_out(connection, draft.owner, phones)
    by_channel = {channel: _content_verdict(draft.template, channel) for channel in {c for _, c in draft.pairs}}
    verdicts = [OPTED_OUT if phone in silent else by_channel[channel] for phone, channel in draft.pairs]
    if draft.template is None and settings.text_gate == "on":
        store.take_in(connection, draft.account)
        known = store.written_to_since(connection, draft.owner, phones, since_us=now_us - _OPEN_FOR_US)
        closed = {True: _CLOSED_WHATSAPP, False: _CLOSED}
        verdicts = [
            closed[channel == "whatsapp"] if verdict is _FREE and phone not in known else verdict
            for verdict, (phone, channel) in zip(verdicts, draft.pairs, strict=True)
        ]
    if settings.balance is None:
        return verdicts, [False] * len(verdicts)
    return _pay(connection, settings.balance, verdicts, refuse=settings.empty_balance == "refuse")


def check_held(connection: sqlite3.Connection, settings: Settings, count: int, *, now_us: int) -> None:
    """Let *count* more messages be held.

    Raises:
        Refusal: 429 ``LIMIT_001``.
    """
    query = "SELECT count(*) FROM message WHERE release_us > ? AND status <> 'CANCELLED'"
    (held,) = connection.execute(query, (now_us,)).fetchone()
    if held + count > settings.held_limit:
        raise Refusal(code="LIMIT_001")


def give_back(connection: sqlite3.Connection, amount: int) -> None:
    """Return the money of *amount* messages that were called off."""
    _spend(connection, -amount)


def _content_verdict(template: Template | None, channel: str) -> Verdict:
    if template is not None and template.status != APPROVED:
        return _UNAPPROVED
    if template is not None and channel not in {AUTO, "mms", *template.channels}:
        return _WRONG_CHANNEL
    return _FREE


def _pay(
    connection: sqlite3.Connection, balance: int, verdicts: Sequence[Verdict], *, refuse: bool
) -> tuple[list[Verdict], list[bool]]:
    """The first come are paid for as long as the money lasts."""
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (_SPENT,)).fetchone()
    left = max(0, balance - (0 if found is None else int(found[0])))
    wanted = sum(verdict is _FREE for verdict in verdicts)
    if refuse and wanted > left:
        raise Refusal(code="BUSINESS_003")
    settled, paid = [], []
    for verdict in verdicts:
        pays = verdict is _FREE and left > 0
        left -= pays
        settled.append(UNPAID if verdict is _FREE and not pays else verdict)
        paid.append(pays)
    _spend(connection, sum(paid))
    return settled, paid


def _spend(connection: sqlite3.Connection, amount: int) -> None:
    connection.execute("INSERT OR IGNORE INTO meta VALUES (?, '0')", (_SPENT,))
    connection.execute("UPDATE meta SET value = CAST(value AS INTEGER) + ? WHERE name = ?", (amount, _SPENT))
