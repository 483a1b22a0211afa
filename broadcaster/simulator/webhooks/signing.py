"""Signatures of deliveries: HMAC-SHA256 over ``id.timestamp.body``, as Standard Webhooks do. Pure but for new keys."""

import base64
import hashlib
import hmac
import os

_PREFIX = "whsec_"
_KEY_BYTES = 32
_SHOWN = 4


def new_secret() -> str:
    """Return a fresh signing secret: ``whsec_`` and a key in base64."""
    return _PREFIX + base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def hide(secret: str) -> str:
    """Return *secret* as it is shown after its creation."""
    return f"{_PREFIX}{'*' * 8}{secret[-_SHOWN:]}"


def sign(secret: str, *, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``x-webhook-signature`` for the exact bytes of *body*."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()
