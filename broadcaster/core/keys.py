"""The idempotency key, format ``f1``: what makes a repeated request the same request.

The format is never edited: a new one gets a new name and a function of its own. A golden test holds it.
"""

import base64
import hashlib
from functools import lru_cache

from broadcaster.core.values import Scope

FORMAT = "f1"
LETTERS = 40  # of base32: 200 bits, far inside the API's limit of 255 characters
# As int() reads them; what keys do not have is no digit.
_AS_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz2345670189", "0123456789abcdefghijklmnopqrstuv!!!!")
_BITS = 5  # of a letter


def idempotency_key(body: bytes, *, scope: Scope) -> str:
    """Return the key of a request: ``f1-`` and 40 characters of lower-case base32.

    The key is a digest of the scope and of the exact body bytes, so that equal requests of one campaign share it on any
    machine, and a different body can never borrow it.
    """
    digest = begin_digest(scope)
    digest.update(body)
    return f"{FORMAT}-{base64.b32encode(digest.digest())[:LETTERS].decode().lower()}"


def is_key_of(key: str, body: bytes, *, scope: Scope) -> bool:
    """Say whether *key* is the one of a request; several times as fast as writing that key and comparing it."""
    name, _, letters = key.partition("-")
    if name != FORMAT or len(letters) != LETTERS or not (letters.isalnum() and letters.isascii() and letters.islower()):
        return False
    digest = begin_digest(scope)
    digest.update(body)
    try:
        stated = int(letters.translate(_AS_DIGITS), 32)
    except ValueError:  # 0, 1, 8 or 9, which no key has
        return False
    return stated == int.from_bytes(digest.digest()[: LETTERS * _BITS // 8])


def begin_digest(scope: Scope) -> "hashlib._Hash":
    """Return the digest that a key is made of, before the body: whoever makes many keys copies it for each."""
    return _begun(scope).copy()


@lru_cache(maxsize=16)
def _begun(scope: Scope) -> "hashlib._Hash":
    words = (FORMAT, scope.campaign, scope.generation, scope.mode, scope.profile or "", scope.method, scope.path)
    return hashlib.sha256("\0".join(words).encode() + b"\0")
