"""The idempotency key, format ``f1``: what makes a repeated request the same request.

The format is never edited: a new one gets a new name and a function of its own. A golden test holds it.
"""

import base64
import hashlib

from broadcaster.core.values import Scope

FORMAT = "f1"
LETTERS = 40  # of base32: 200 bits, far inside the API's limit of 255 characters


def idempotency_key(body: bytes, *, scope: Scope) -> str:
    """Return the key of a request: ``f1-`` and 40 characters of lower-case base32.

    The key is a digest of the scope and of the exact body bytes, so that equal requests of one campaign share it on any
    machine, and a different body can never borrow it.
    """
    digest = begin_digest(scope)
    digest.update(body)
    return f"{FORMAT}-{base64.b32encode(digest.digest())[:LETTERS].decode().lower()}"


def begin_digest(scope: Scope) -> "hashlib._Hash":
    """Return the digest that a key is made of, before the body: whoever makes many keys copies it for each."""
    words = (FORMAT, scope.campaign, scope.generation, scope.mode, scope.profile or "", scope.method, scope.path)
    return hashlib.sha256("\0".join(words).encode() + b"\0")
