"""Who may come in: the API key, the lock-out after ten failures, the profile header.

Keys are compared in constant time and remembered as digests only; nothing here writes one anywhere.
"""

import hashlib
import hmac
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from broadcaster.simulator.envelope import Refusal

KEY_HEADER = "x-api-key"
PROFILE_HEADER = "x-profile-id"
FAILURES_ALLOWED = 10
FIRST_LOCK_S = 60.0
LONGEST_LOCK_S = 3600.0
_CREDENTIALS_KEPT = 1000  # an upper bound on memory: the oldest stranger is forgotten


@dataclass(slots=True)
class _Record:
    failures: int = 0
    locks: int = 0
    locked_until: float = 0.0


class Lockout:
    """Ten consecutive failures of one presented credential lock it: one minute first, doubling up to an hour."""

    def __init__(self) -> None:
        self._records: dict[bytes, _Record] = {}

    def check(self, credential: bytes, *, now: float) -> None:
        """Let *credential* (a digest) try.

        Raises:
            Refusal: 429 with ``Retry-After`` while it is locked.
        """
        record = self._records.get(credential)
        if record is not None and now < record.locked_until:
            wait_s = max(1, math.ceil(record.locked_until - now))
            raise Refusal(
                code="BUSINESS_002",
                message="Too many failed authentication attempts.",
                headers={"Retry-After": str(wait_s)},
            )

    def fail(self, credential: bytes, *, now: float) -> None:
        """Count one failure of *credential*; the tenth in a row locks it."""
        record = self._records.pop(credential, None) or _Record()
        self._records[credential] = record  # last again: the first key is the one unseen for longest
        if len(self._records) > _CREDENTIALS_KEPT:
            del self._records[next(iter(self._records))]
        record.failures += 1
        if record.failures == FAILURES_ALLOWED:
            record.locked_until = now + min(FIRST_LOCK_S * 2**record.locks, LONGEST_LOCK_S)
            record.locks += 1
            record.failures = 0

    def succeed(self, credential: bytes) -> None:
        """Forget the failures of *credential*."""
        self._records.pop(credential, None)


def authenticate(
    headers: Mapping[str, str], *, key: str, known: frozenset[str], lockout: Lockout, now: float
) -> str | None:
    """Check the key that came with a request; return whose own it is, a profile's id, or ``None`` for the account's.

    A profile's own key is the account's with a colon and the profile's id behind it; the id is one of those *known*, or
    any where none is.

    Raises:
        Refusal: 401 ``AUTH_002`` for a wrong or missing key, 429 when the presented one is locked.
    """
    presented = headers.get(KEY_HEADER, "")
    if not presented:
        raise Refusal(code="AUTH_002")  # nothing presented, nothing to lock
    credential = _digest(presented)
    lockout.check(credential, now=now)
    whole, _, profile = presented.rpartition(":")
    owner = _profile(profile, known) if whole else None
    if not hmac.compare_digest(_digest(whole) if owner is not None else credential, _digest(key)):
        lockout.fail(credential, now=now)
        raise Refusal(code="AUTH_002")
    lockout.succeed(credential)
    return owner


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _profile(text: str, known: frozenset[str]) -> str | None:
    try:
        profile = str(uuid.UUID(text))
    except ValueError:
        return None
    return profile if not known or profile in known else None


def profile_of(headers: Mapping[str, str], *, known: frozenset[str], account_id: str, account_type: str) -> str | None:
    """Return the profile a request acts for, lower case, or ``None``.

    With no *known* ids any UUID but the account's own is accepted.

    Raises:
        Refusal: 400 for a bad form, 403 for a profile's own key, 404 for a profile that is not ours.
    """
    if PROFILE_HEADER not in headers:
        return None
    try:
        profile = str(uuid.UUID(headers[PROFILE_HEADER]))
    except ValueError:
        details = {PROFILE_HEADER: ["must be a valid UUID"]}
        raise Refusal(code="VALIDATION_003", details=details) from None
    if account_type == "profile":
        raise Refusal(code="AUTH_004")
    if profile == account_id or (known and profile not in known):
        raise Refusal(code="RESOURCE_014")
    return profile
