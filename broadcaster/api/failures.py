"""What aiohttp's errors mean, said once: whether a byte of the request can have reached the API, and a word for it.

Conservative: only what fails before the connection is usable is *unsent*. A connection that was open may have carried
the request, whatever error ended it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

# What an exchange may raise for the network's sake; anything else is a bug and travels on.
NETWORK_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError, EOFError)


@dataclass(frozen=True, slots=True)
class Failure:
    """``reason`` is stable and holds nothing of the request; ``left`` says whether bytes may have left."""

    reason: str
    left: bool


def _unsent(reason: str) -> Failure:
    return Failure(reason, left=False)


def _lost(reason: str) -> Failure:
    return Failure(reason, left=True)


# By name, because which of these exist depends on aiohttp's version. The nearest named ancestor counts.
FAILURES: Mapping[str, Failure] = MappingProxyType(
    {
        # before the connection stood
        "ClientConnectorError": _unsent("connection_refused"),
        "ClientConnectorDNSError": _unsent("name_not_found"),
        "ClientProxyConnectionError": _unsent("connection_refused"),
        "UnixClientConnectorError": _unsent("connection_refused"),
        "ClientSSLError": _unsent("tls"),
        "ClientConnectorSSLError": _unsent("tls"),
        "ClientConnectorCertificateError": _unsent("certificate"),
        "ServerFingerprintMismatch": _unsent("certificate"),
        "ConnectionTimeoutError": _unsent("connect_timeout"),
        # before anything was opened at all
        "InvalidURL": _unsent("bad_address"),
        "InvalidUrlClientError": _unsent("bad_address"),
        "NonHttpUrlClientError": _unsent("bad_address"),
        # afterwards
        "ClientOSError": _lost("connection_broken"),
        "ClientConnectionError": _lost("connection_broken"),
        "ClientConnectionResetError": _lost("connection_broken"),
        "UploadAbortedError": _lost("connection_broken"),
        "ServerConnectionError": _lost("connection_broken"),
        "ServerDisconnectedError": _lost("connection_closed"),
        "ServerTimeoutError": _lost("timeout"),
        "SocketTimeoutError": _lost("timeout"),
        "ClientPayloadError": _lost("answer_cut_off"),
        "ClientResponseError": _lost("answer_malformed"),
        "ContentTypeError": _lost("answer_malformed"),
        "WSServerHandshakeError": _lost("answer_malformed"),
        "WSMessageTypeError": _lost("answer_malformed"),
        "ClientHttpProxyError": _lost("proxy"),
        "HttpProcessingError": _lost("answer_malformed"),
        # an answer had come
        "TooManyRedirects": _lost("redirected"),
        "RedirectClientError": _lost("redirected"),
        "InvalidUrlRedirectClientError": _lost("redirected"),
        "NonHttpUrlRedirectClientError": _lost("redirected"),
        # not aiohttp's own
        "ClientError": _lost("connection_broken"),
        "TimeoutError": _lost("timeout"),
        "OSError": _lost("connection_broken"),
        "EOFError": _lost("answer_cut_off"),
    }
)


def failure(error: BaseException) -> Failure:
    """Return what *error*, one of :data:`NETWORK_ERRORS`, says of the request."""
    return next(FAILURES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in FAILURES)
