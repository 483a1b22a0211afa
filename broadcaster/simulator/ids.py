"""New message ids."""

import os
import time

_RANDOM_BYTES = 10
_SANDBOX_BYTES = 16


def message_ids(count: int) -> list[str]:
    """Return *count* UUIDs of version 7.

    They start with the time, so that the ledger's index only ever grows at its end: with random ids it would slow down
    as it fills.
    """
    prefix = f"{time.time_ns() // 1_000_000:012x}"
    head = f"{prefix[:8]}-{prefix[8:]}-7"
    drawn = os.urandom(_RANDOM_BYTES * count).hex()
    ids = []
    for at in range(0, 2 * _RANDOM_BYTES * count, 2 * _RANDOM_BYTES):
        a, b, c, d = drawn[at : at + 3], int(drawn[at + 3], 16) & 3, drawn[at + 4 : at + 7], drawn[at + 7 : at + 19]
        ids.append(f"{head}{a}-{'89ab'[b]}{c}-{d}")
    return ids


def first_id_at(moment_us: int) -> str:
    """Return what is not above any id made at *moment_us* (since 1970) or later, and above those made before."""
    prefix = f"{max(0, moment_us) // 1000:012x}"
    return f"{prefix[:8]}-{prefix[8:]}"


def sandbox_ids(count: int) -> list[str]:
    """Return *count* ids that nobody can mistake for a message's."""
    return ["msg_test_" + os.urandom(_SANDBOX_BYTES).hex() for _ in range(count)]
