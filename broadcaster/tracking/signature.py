"""Whether a webhook comes from Sent: the ``standardwebhooks`` library under Sent's header names. Any doubt is a no.

What is signed, with which key and how it is written stays the library's business: :meth:`Webhook.sign` makes the
signature that must be there. Only its ``verify`` is not used, because its tolerance is fixed at five minutes, and some
retries come with their first timestamp (then a wider tolerance is needed; what is repeated is kept only once anyway).
So the age and the comparison are judged here, the latter by ``hmac.compare_digest``, in constant time.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from standardwebhooks import Webhook

from broadcaster.errors import ConfigError
from broadcaster.job.settings import Secret

ID, TIMESTAMP, SIGNATURE = "x-webhook-id", "x-webhook-timestamp", "x-webhook-signature"
_ENV = "SENT_WEBHOOK_SECRET"
_PREFIX = "whsec_"
_LEAST_BYTES = 16  # of a key; Standard Webhooks ask for 24
_MOST_CANDIDATES = 8  # signatures in one header; a rotation lists two
_SEPARATORS = re.compile(r"[\s,]+")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)  # with a dot, what is signed could be cut in other places
_SECONDS = re.compile(r"[1-9][0-9]{0,10}", re.ASCII)  # as it is signed: no sign, no zeros before it, no fraction
_VERSION = "v1,"


class Signatures:
    """Checks signatures against any of several secrets: during a rotation there are two."""

    def __init__(self, secrets: Sequence[Secret], *, tolerance_s: float) -> None:
        """Take the secrets.

        Args:
            secrets: as :func:`webhook_secrets` returns them.
            tolerance_s: how far a timestamp may be from now, in both directions.

        Raises:
            ConfigError: there are none, or one is not usable.
        """
        if not secrets:
            raise ConfigError(f"there is no webhook secret: set {_ENV}")
        self._hooks = tuple(Webhook(_key(each.reveal())) for each in secrets)
        self._tolerance_s = tolerance_s

    def __repr__(self) -> str:
        return f"<Signatures {len(self._hooks)} secrets, {self._tolerance_s:g} s>"

    def objection(self, body: bytes, headers: Mapping[str, str], *, now_s: float) -> str | None:
        """Return why a request is not to be believed, or ``None`` when it is signed by one of the secrets, in time.

        The reason is a few words for a log; whoever asked must not be told. Never raises.

        Args:
            body: the bytes as they came, before any decoding.
            headers: by lower-case name.
            now_s: seconds since 1970.
        """
        name, stamp, signed = headers.get(ID), headers.get(TIMESTAMP), headers.get(SIGNATURE)
        if not name or not stamp or not signed:
            return "a header of the signature is missing"
        if not _NAME.fullmatch(name) or not _SECONDS.fullmatch(stamp) or not signed.isascii():
            return "a header of the signature has another form"
        if not abs(now_s - int(stamp)) <= self._tolerance_s:  # so written, nothing odd passes
            return "the timestamp is too far from now"
        candidates = [each.removeprefix(_VERSION) for each in signed.split(" ") if each.startswith(_VERSION)]
        if len(candidates) > _MOST_CANDIDATES:
            return "there are too many signatures"
        return None if self._fits(candidates, body, name=name, stamp_s=int(stamp)) else "no secret of ours fits"

    def _fits(self, candidates: Sequence[str], body: bytes, *, name: str, stamp_s: int) -> bool:
        try:
            text = body.decode()  # the library signs text; of a body that is none, JSON cannot be made either
            at = datetime.fromtimestamp(stamp_s, tz=UTC)
        except (ValueError, OverflowError, OSError):
            return False
        same = False
        for hook in self._hooks:
            expected = hook.sign(name, at, text).removeprefix(_VERSION).encode()
            for candidate in candidates:
                same |= hmac.compare_digest(candidate.encode(), expected)
        return same


def webhook_secrets(environ: Mapping[str, str]) -> tuple[Secret, ...]:
    """Read the signing secrets from ``SENT_WEBHOOK_SECRET``, or else the file in ``SENT_WEBHOOK_SECRET_FILE``.

    Several are separated by spaces, commas or lines; each once.

    Raises:
        ConfigError: there is none, or one is not usable; the sentence names the variable, never its content.
    """
    if text := environ.get(_ENV, "").strip():
        name = _ENV
    elif path := environ.get(f"{_ENV}_FILE", ""):
        name = f"the file named by {_ENV}_FILE"
        text = _read(path)
    else:
        raise ConfigError(
            f"there is no webhook secret: set {_ENV} to the signing secret that the API showed when the webhook was "
            f"created or its secret rotated (whsec_…; several with spaces between them), or {_ENV}_FILE to a file that "
            "holds it. Without, anybody could send receipts (--dashboard-only receives none)"
        )
    found = dict.fromkeys(each for each in _SEPARATORS.split(text) if each)
    secrets = tuple(map(Secret, found))
    for at, each in enumerate(secrets, start=1):
        try:
            _key(each.reveal())
        except ConfigError:
            which = f"secret {at} of {len(secrets)}" if len(secrets) > 1 else "the secret"
            raise ConfigError(
                f"{name}: {which} is no signing secret: {_PREFIX} and a key of {_LEAST_BYTES} bytes or more in base64"
            ) from None
    if not secrets:
        raise ConfigError(f"{name}: there is no webhook secret in it")
    return secrets


def signed_headers(body: bytes, *, secret: Secret, name: str, at_s: int) -> dict[str, str]:
    """Return the headers that sign something of ours, as Standard Webhooks name them.

    Args:
        body: in UTF-8.
        secret: of the form that :func:`webhook_secrets` reads.
        name: of the event: the same whenever it is sent again.
        at_s: seconds since 1970.

    Raises:
        ConfigError: the secret is not usable.
    """
    signature = Webhook(_key(secret.reveal())).sign(name, datetime.fromtimestamp(at_s, tz=UTC), body.decode())
    return {"webhook-id": name, "webhook-timestamp": str(at_s), "webhook-signature": signature}


def _key(secret: str) -> bytes:
    """The key in a secret. The library would leave out what is no base64, and take whatever remains."""
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _LEAST_BYTES:
        raise ConfigError(f"{_ENV}: it is no signing secret")
    return key


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(f"{_ENV}_FILE: the file cannot be read ({error.strerror})") from None
    except ValueError:  # not UTF-8, or a path with a NUL; the error would quote the bytes
        raise ConfigError(f"{_ENV}_FILE: the file is not text in UTF-8") from None
