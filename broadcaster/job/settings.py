"""What belongs to the machine and not to the job: the key, the address of the API, the profile. From the environment.

No error here repeats a value: a key that is pasted into the wrong variable must not reach a log.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Never
from urllib.parse import SplitResult, urlsplit

from broadcaster.errors import ConfigError

DEFAULT_BASE_URL = "https://api.sent.dm"
NOTIFY_SECRET = "SENT_NOTIFY_SECRET"  # noqa: S105 - the name of a variable

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PRINTABLE = re.compile(r"[!-~]+")  # ASCII without space: all that an HTTP header carries unchanged


class Secret:
    """A value that is shown nowhere: not in text, formats or tracebacks, and not in pickles.

    Only :meth:`reveal` gives it away, so that every use can be found.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """Return the value itself."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret('•••')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return self.__value == other.reveal() if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce__(self) -> Never:
        raise TypeError("a Secret is not pickled; read it where it is used")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the API is reached. ``base_url`` has neither path nor trailing slash."""

    base_url: str = DEFAULT_BASE_URL
    key: Secret = field(repr=False)
    profile_id: str | None = None


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigError: naming the variable that is missing or not usable, never its content.
    """
    return Settings(
        base_url=base_url(environ),
        key=_key(environ),
        profile_id=profile_id(environ),
    )


def base_url(environ: Mapping[str, str]) -> str:
    """Return the address of the API, without path and trailing slash.

    Raises:
        ConfigError: the variable is no such address.
    """
    return _base_url(environ.get("SENT_BASE_URL", "").strip() or DEFAULT_BASE_URL)


def _key(environ: Mapping[str, str]) -> Secret:
    if value := environ.get("SENT_DM_API_KEY", ""):
        name = "SENT_DM_API_KEY"
    elif path := environ.get("SENT_DM_API_KEY_FILE", ""):
        name = "the file named by SENT_DM_API_KEY_FILE"
        value = _read(path)
    else:
        raise ConfigError(
            "there is no API key: set SENT_DM_API_KEY, or SENT_DM_API_KEY_FILE to a file that holds it "
            "(--simulate needs none)"
        )
    if not _PRINTABLE.fullmatch(value):
        raise ConfigError(f"{name}: the key contains a space, a line break or a character that no key has")
    return Secret(value)


def _read(path: str) -> str:
    try:
        value = Path(path).read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(f"SENT_DM_API_KEY_FILE: the file cannot be read ({error.strerror})") from None
    except ValueError:  # not UTF-8, or a path with a NUL; the error would quote the bytes
        raise ConfigError("SENT_DM_API_KEY_FILE: the file is not text in UTF-8") from None
    if not value:
        raise ConfigError("SENT_DM_API_KEY_FILE: the file is empty")
    return value


def _base_url(text: str) -> str:
    if not _PRINTABLE.fullmatch(text):  # urlsplit would drop tabs and line breaks
        raise ConfigError("SENT_BASE_URL: an address has no spaces and no characters beyond ASCII")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ConfigError("SENT_BASE_URL is not an address such as https://api.sent.dm") from None
    host = url.hostname
    if url.scheme not in {"http", "https"} or not host:
        raise ConfigError("SENT_BASE_URL is not an address such as https://api.sent.dm")
    if _has_more_than_a_host(url, text):
        raise ConfigError("SENT_BASE_URL: only scheme, host and port are allowed, no user, path or query")
    if url.scheme == "http" and not is_loopback(host):
        raise ConfigError("SENT_BASE_URL: http is only allowed for this machine itself; use https")
    shown = f"[{host}]" if ":" in host else host
    return f"{url.scheme}://{shown}" if port is None else f"{url.scheme}://{shown}:{port}"


def _has_more_than_a_host(url: SplitResult, text: str) -> bool:
    return url.path not in {"", "/"} or any(mark in text for mark in "?#@\\")


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address without brackets, is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def notify_url(environ: Mapping[str, str], *, job: str) -> str:
    """Return whom to tell how a run ended: ``SENT_NOTIFY_URL``, else the *job*'s address; empty for nobody.

    Raises:
        ConfigError: the variable is no such address.
    """
    text = environ.get("SENT_NOTIFY_URL", "").strip()
    if not text:
        return job
    if (why := notify_url_fault(text)) is not None:
        raise ConfigError(f"SENT_NOTIFY_URL: {why}")
    return text


def notify_secret(environ: Mapping[str, str]) -> Secret | None:
    """Return what notifications are signed with, as it was given; ``None``: they are not signed."""
    text = environ.get(NOTIFY_SECRET, "").strip()
    return Secret(text) if text else None


def notify_url_fault(text: str) -> str | None:
    """Return why *text* is no address for notifications, or ``None``; never what it holds, which may be a secret."""
    if not _PRINTABLE.fullmatch(text):
        return "an address has no spaces and no characters beyond ASCII"
    try:
        url = urlsplit(text)
        valid = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        valid = False
    if not valid:
        return "it is not an address such as https://example.com/hook"
    if url.scheme == "http" and not is_loopback(str(url.hostname)):
        return "http is only allowed for this machine itself; use https"
    return None


def sender_id(environ: Mapping[str, str]) -> str:
    """Return the sender that an account of the API's first version sends as; it names the account.

    Raises:
        ConfigError: it is missing, has not the form of an id, or a profile is named beside it.
    """
    text = environ.get("SENT_SENDER_ID", "").strip().lower()
    if not text:
        raise ConfigError(
            'SENT_SENDER_ID is not set: version "v1" of the API needs the id of the sender beside the key'
        )
    if not _UUID.fullmatch(text):
        raise ConfigError("SENT_SENDER_ID is not a UUID such as 7ba7b820-9dad-11d1-80b4-00c04fd430c8")
    return text


def profile_id(environ: Mapping[str, str]) -> str | None:
    """Return the profile to act for; it is part of the idempotency keys, so a plan needs it too.

    Raises:
        ConfigError: it has not the form of an id.
    """
    text = environ.get("SENT_PROFILE_ID", "").strip().lower()
    if text and not _UUID.fullmatch(text):
        raise ConfigError("SENT_PROFILE_ID is not a UUID such as 7ba7b820-9dad-11d1-80b4-00c04fd430c8")
    return text or None
