"""Who may see the pages, and from where: token, cookie, ``Host``, and that a form was sent by our own page.

Theory of operation. Without a token only this machine itself is let in: the ``Host`` must name it, so that a page from
elsewhere cannot reach us under a name of its own (DNS rebinding), and nothing may show that a proxy passed the request
on, so that a tunnel for webhooks does not publish the pages. With a token everybody must show it, once in the address
or in a form; from then on a cookie stands for it, which is derived from it and does not tell it. Every form carries a
word that only our pages know. Comparisons take the same time whatever is wrong.

It must not know pages: it says what is wrong, and somebody else says it to people.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from aiohttp import web

from broadcaster.errors import ConfigError
from broadcaster.job.settings import Secret, is_loopback

VARIABLE = "BROADCASTER_DASHBOARD_TOKEN"
COOKIE = "broadcaster_dashboard"
FIELD = "form"  # of a form: the word that only our pages know
_LEAST = 16  # characters of a token somebody chose
_TOKEN = re.compile(r"[!-~]+")
_OURS_BYTES = 32
_PROXIES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via", "CF-Connecting-IP")
_SECURE = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a browser would not name the origin of a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Objection = Literal["elsewhere", "token", "form"]
"""What is wrong with a request: it came by another way than it may, shows no token, or is no form of ours."""


@dataclass(frozen=True, slots=True)
class Token:
    """What opens the door. ``made``: it was made now, and somebody has to be told."""

    secret: Secret
    made: bool = False


def token_for(host: str, environ: Mapping[str, str]) -> Token | None:
    """Return the token that a server listening on *host* asks for; ``None`` where none is needed.

    Raises:
        ConfigError: the environment's is not usable; the sentence does not repeat it.
    """
    given = environ.get(VARIABLE, "").strip()
    if given:
        if len(given) < _LEAST or not _TOKEN.fullmatch(given):
            raise ConfigError(f"{VARIABLE}: a token has {_LEAST} characters or more, no space, and none beyond ASCII")
        return Token(Secret(given))
    return None if is_loopback(host) else Token(Secret(secrets.token_urlsafe(_OURS_BYTES)), made=True)


def secure(response: web.StreamResponse) -> None:
    """Give a response the headers of every page."""
    for name, value in _SECURE.items():
        response.headers.setdefault(name, value)


class Door:
    """Judges requests; *token* is what :func:`token_for` returned."""

    def __init__(self, token: Token | None) -> None:
        self._token = None if token is None else token.secret.reveal().encode()
        key = self._token or secrets.token_bytes(_OURS_BYTES)
        self._cookie = _derived(key, "cookie")
        self.form = _derived(key, "form")  # what every form of ours carries

    def __repr__(self) -> str:
        return f"<Door {'open to this machine' if self._token is None else 'with a token'}>"

    def objection(self, request: web.Request) -> Objection | None:
        """Return what is wrong with a request, or ``None``: it may see the pages."""
        if self._token is None:
            proxied = any(name in request.headers for name in _PROXIES)
            return "elsewhere" if proxied or not _names_this_machine(request.host) else None
        shown = request.cookies.get(COOKIE, "")
        if hmac.compare_digest(shown.encode(), self._cookie.encode()):
            return None
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        return None if scheme.lower() == "bearer" and self.fits(bearer) else "token"

    def fits(self, text: str) -> bool:
        """Whether *text* is the token; without a token nothing is."""
        given = text.encode(errors="replace")
        return self._token is not None and hmac.compare_digest(given, self._token)

    def let_in(self, response: web.StreamResponse) -> None:
        """Give whoever showed the token the cookie that stands for it."""
        response.set_cookie(COOKIE, self._cookie, path="/", httponly=True, samesite="Strict")

    def form_objection(self, request: web.Request, fields: Mapping[str, object]) -> Objection | None:
        """Return what is wrong with a form, or ``None``: it was sent from a page of ours."""
        said = request.headers.get("Sec-Fetch-Site", "same-origin")
        origin = request.headers.get("Origin")
        if said != "same-origin" or (origin is not None and urlsplit(origin).netloc != request.host):
            return "form"
        shown = fields.get(FIELD)
        fits = isinstance(shown, str) and hmac.compare_digest(shown.encode(errors="replace"), self.form.encode())
        return None if fits else "form"


def _derived(key: bytes, what: str) -> str:
    return hmac.new(key, f"broadcaster dashboard {what}".encode(), hashlib.sha256).hexdigest()


def _names_this_machine(host: str) -> bool:
    """Whether a ``Host`` header, with or without a port, is a name of this machine that nobody else can own."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
