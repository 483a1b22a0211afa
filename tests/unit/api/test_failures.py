"""aiohttp's errors, each mapped by name: an upgrade that brings a new one fails here."""

import ssl
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp.http_exceptions import BadStatusLine, HttpProcessingError

from broadcaster.api.failures import FAILURES, NETWORK_ERRORS, Failure, failure


def family(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


AIOHTTPS = sorted(
    {kind for kind in family(aiohttp.ClientError) if kind.__module__.startswith("aiohttp.")},
    key=lambda kind: kind.__name__,
)

# The only ones that prove that no byte of the request left.
BEFORE_THE_REQUEST = {
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientProxyConnectionError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "InvalidURL",
    "InvalidUrlClientError",
    "NonHttpUrlClientError",
    "ServerFingerprintMismatch",
    "UnixClientConnectorError",
}


@pytest.mark.parametrize("kind", AIOHTTPS, ids=lambda kind: kind.__name__)
def test_every_client_error_of_aiohttp_is_mapped_by_its_own_name(kind: type[BaseException]) -> None:
    assert kind.__name__ in FAILURES


def test_the_family_is_not_empty() -> None:
    assert {"ClientError", "ServerDisconnectedError", "ClientPayloadError"} <= {kind.__name__ for kind in AIOHTTPS}


def test_only_what_fails_before_the_connection_stands_is_unsent() -> None:
    assert {name for name, mapped in FAILURES.items() if not mapped.left} == BEFORE_THE_REQUEST


@pytest.mark.parametrize("kind", [*AIOHTTPS, HttpProcessingError, OSError, TimeoutError, EOFError])
def test_every_mapped_error_is_caught(kind: type[BaseException]) -> None:
    assert issubclass(kind, NETWORK_ERRORS)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aiohttp.ServerDisconnectedError(), Failure("connection_closed", left=True)),
        (aiohttp.ClientOSError(104, "reset"), Failure("connection_broken", left=True)),
        (aiohttp.ConnectionTimeoutError(), Failure("connect_timeout", left=False)),
        (aiohttp.ServerTimeoutError(), Failure("timeout", left=True)),
        (TimeoutError(), Failure("timeout", left=True)),
        (ConnectionResetError(), Failure("connection_broken", left=True)),
        (ssl.SSLError(), Failure("connection_broken", left=True)),
        (BadStatusLine("x"), Failure("answer_malformed", left=True)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_nearest_name_counts(error: BaseException, expected: Failure) -> None:
    assert failure(error) == expected


def test_an_error_that_aiohttp_may_bring_one_day_counts_as_its_parent() -> None:
    class NewError(aiohttp.ServerDisconnectedError):
        pass

    assert failure(NewError()) == failure(aiohttp.ServerDisconnectedError())
