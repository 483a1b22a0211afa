"""The same key twice is one execution: the key's form, turns while one is at work, the kept answers.

Which execution came first is decided inside the ledger's transaction, so that it also holds between two processes on
one state file. Turns are only about politeness inside one process: a duplicate waits for the original.
"""

import asyncio
import hashlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from broadcaster.simulator.envelope import Answer, Refusal

KEY_HEADER = "Idempotency-Key"
REPLAY_HEADER = "Idempotent-Replayed"
METHODS = frozenset({"POST", "PUT", "PATCH"})
LARGEST_KEPT = 5_000_000  # bytes of an answer; a longer one is not remembered, so a duplicate executes again
REUSED_KEY = ("conflict", "unprocessable", "replay")
_PATHS = "/v3/"  # older versions know no keys
_FORM = re.compile(r"[a-zA-Z0-9_-]{1,255}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What makes two requests the same: *key* within *scope*, and the digest of method, path and body."""

    scope: str
    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long keys live (microseconds), and what a key with another body is answered (one of ``REUSED_KEY``)."""

    ttl_us: int
    reused_key: str


class Turns:
    """Lets one request per key through at a time."""

    def __init__(self, *, wait_s: float) -> None:
        self._wait_s = wait_s
        self._held: dict[tuple[str, str], asyncio.Event] = {}

    def __repr__(self) -> str:
        return f"<Turns {len(self._held)} at work>"

    @asynccontextmanager
    async def take(self, identity: Identity | None) -> AsyncIterator[None]:
        """Hold the turn of *identity* (``None``: no key, no waiting) for the ``async with`` block.

        Raises:
            Refusal: 409 ``CONFLICT_001`` when the original is still at work after the wait.
        """
        if identity is None:
            yield
            return
        name = (identity.scope, identity.key)
        if name in self._held:
            await self._wait(name)
        done = self._held[name] = asyncio.Event()
        try:
            yield
        finally:
            del self._held[name]
            done.set()

    async def _wait(self, name: tuple[str, str]) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                while (at_work := self._held.get(name)) is not None:
                    await at_work.wait()
        except TimeoutError:
            raise Refusal(code="CONFLICT_001") from None


def identify(method: str, path: str, headers: Mapping[str, str], body: bytes, *, scope: str) -> Identity | None:
    """Return the identity of a request, ``None`` when it has no key or its method takes none.

    Raises:
        Refusal: 400 ``VALIDATION_007`` for a key of a bad form.
    """
    key = headers.get(KEY_HEADER)
    if key is None or method not in METHODS or not path.startswith(_PATHS):
        return None
    if not _FORM.fullmatch(key):
        raise Refusal(code="VALIDATION_007", details={KEY_HEADER: ["is of a bad form"]})
    digest = hashlib.sha256(f"{method} {path}\0".encode() + body).digest()
    return Identity(scope=scope, key=key, fingerprint=digest)


def once(
    connection: sqlite3.Connection,
    identity: Identity | None,
    *,
    policy: Policy,
    now_us: int,
    request_id: str,
    execute: Callable[[], Answer | Refusal],
) -> Answer | Refusal:
    """Execute, or answer as the first time. Call it inside a transaction that began ``IMMEDIATE``.

    *execute* writes on the same connection, so the key and what it did are one commit. Only a 2xx is kept; a refusal
    created nothing and is forgotten.

    Returns:
        The fresh answer, the kept one marked as a replay, or the refusal of a key that belongs to another request.
    """
    if identity is None:
        return execute()
    kept = _find(connection, identity, alive_since_us=now_us - policy.ttl_us)
    if kept is not None:
        fingerprint, original_id, answer = kept
        if fingerprint != identity.fingerprint and policy.reused_key != "replay":
            return Refusal(code="CONFLICT_005", status=422 if policy.reused_key == "unprocessable" else None)
        return answer.with_headers({REPLAY_HEADER: "true", "X-Original-Request-Id": original_id})
    fresh = execute()
    if isinstance(fresh, Answer) and fresh.succeeded and len(fresh.body) <= LARGEST_KEPT:
        row = (
            identity.scope,
            identity.key,
            identity.fingerprint,
            request_id,
            fresh.status,
            json.dumps(dict(fresh.headers)) if fresh.headers else "{}",
            fresh.body,
            now_us,
        )
        connection.execute("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return fresh


def _find(
    connection: sqlite3.Connection, identity: Identity, *, alive_since_us: int
) -> tuple[bytes, str, Answer] | None:
    """The kept fingerprint, request id and answer, unless the key is unknown or has expired."""
    row = connection.execute(
        "SELECT fingerprint, request_id, status, headers, body FROM idempotency"
        " WHERE scope = ? AND key = ? AND created_us > ?",
        (identity.scope, identity.key, alive_since_us),
    ).fetchone()
    if row is None:
        return None
    fingerprint, request_id, status, headers, body = row
    return fingerprint, request_id, Answer(status=status, body=body, headers=json.loads(headers))
