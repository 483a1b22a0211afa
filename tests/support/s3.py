"""Amazon's S3 for tests: moto's server in a process of its own, so that several processes can share a bucket.

The process is at an address for each :class:`Manner`; what is in the bucket is the same everywhere. Run as a program it
serves until its standard input ends: it cannot outlive the tests.
"""

import json
import subprocess
import sys
import threading
import urllib.request
from enum import StrEnum, auto
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BUCKET = "broadcasts"
_TESTS = Path(__file__).resolve().parents[1]


class Manner(StrEnum):
    """How a store that speaks S3 keeps ``If-None-Match``."""

    AMAZON = auto()
    CARELESS = auto()  # it does not look at it
    TERSE = auto()  # it says that the condition failed, and not which
    CONTENDED = auto()  # it says at first that somebody else writes the same object just now


class S3:
    """A server with one bucket. ``environment`` is what a process needs to find it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.s3"],
            cwd=_TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._process.stdout is not None
        self._urls: dict[str, str] = json.loads(self._process.stdout.readline())
        make = urllib.request.Request(f"{self._urls[Manner.AMAZON]}/{BUCKET}", method="PUT")  # noqa: S310 - our own server
        with urllib.request.urlopen(make):  # noqa: S310 - see above
            pass
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def environment(self) -> dict[str, str]:
        return self.by(Manner.AMAZON)

    def by(self, manner: Manner) -> dict[str, str]:
        """Return what a process needs to find the store that has this manner."""
        return {
            "AWS_ENDPOINT_URL": self._urls[manner],
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }


class _Store:
    """Moto's application, one request at a time: it looks whether an object is there and writes it later."""

    def __init__(self, application: Any, manner: Manner, lock: threading.Lock) -> None:
        self._application = application
        self._manner = manner
        self._lock = lock
        self._told: set[str] = set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        conditional = "HTTP_IF_NONE_MATCH" in environ
        with self._lock:
            match self._manner:
                case Manner.CARELESS:
                    environ.pop("HTTP_IF_NONE_MATCH", None)
                case Manner.CONTENDED if conditional and environ["PATH_INFO"] not in self._told:
                    self._told.add(environ["PATH_INFO"])
                    return _refuse(start_response, "409 Conflict", "ConditionalRequestConflict")
            statuses: list[str] = []
            answered: list[Any] = []

            def note(status: str, headers: Any, error: Any = None) -> None:
                del error
                statuses.append(status)
                answered.append(headers)

            body = list(self._application(environ, note))
        if self._manner is Manner.TERSE and conditional and statuses[-1].startswith("412"):
            return _refuse(start_response, "412 Precondition Failed", "PreconditionFailed")
        start_response(statuses[-1], answered[-1])
        return body


def _refuse(start_response: Any, status: str, code: str) -> list[bytes]:
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _serve() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    application, lock, urls = DomainDispatcherApplication(create_backend_app), threading.Lock(), {}
    for manner in Manner:
        store = _Store(application, manner, lock)
        server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=MotoRequestHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        urls[manner] = f"http://127.0.0.1:{server.server_port}"
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _serve()
