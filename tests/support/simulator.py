"""The local Sent API as a real process, for any test: start it, talk to it, read its ledger file, kill it."""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from support.forked import Forked, server

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0  # far above anything measured: only a hang reaches it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: ``headers`` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The error code in the envelope."""
        error = self.json["error"]
        return None if error is None else str(error["code"])


class Simulator:
    """A simulator process and its state file.

    Options are the command's flags with underscores: ``Simulator(idempotency_ttl=0.2, refuse_number=["+1…"])``; a list
    repeats the flag, ``True`` is a bare flag. ``faults`` are rules, or the flag's own text. ``key`` is the API key it
    accepts; without, it is the word ``simulator``. Without ``state`` the ledger lives in a temporary file that goes
    with it. ``command`` starts it as users do, which takes longer.
    """

    def __init__(
        self,
        state: Path | str | None = None,
        *,
        faults: Sequence[Mapping[str, Any]] | str | None = None,
        key: str | None = None,
        command: bool = False,
        **options: Any,
    ) -> None:
        self._command = command
        self._scratch = tempfile.TemporaryDirectory() if state is None else None
        self.state = Path(self._scratch.name, "simulator.sqlite") if self._scratch else Path(str(state))
        self.key = key or "simulator"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
        if key is not None:
            self._environment["SENT_DM_API_KEY"] = key
        if faults is not None:
            options["faults"] = faults if isinstance(faults, str) else json.dumps(faults)
        self._flags = _flags({"state": str(self.state), "until_stdin_closes": True, **options})
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process is
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self.url = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start the process and wait until it listens; raise ``RuntimeError`` with its stderr when it does not."""
        forks = None if self._command else server()
        if forks is not None:
            self._process = forks.start(self._flags, environment=self._environment, stderr=self._errors.fileno())
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "broadcaster.simulator", *self._flags],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait(PATIENCE_S)
            sentence = self.stderr()
            self.close()
            raise RuntimeError(f"exit code {code}: {sentence}")
        self.url = str(json.loads(line)["url"])
        return self

    @property
    def process(self) -> "subprocess.Popen[bytes] | Forked":
        assert self._process is not None, "not started"
        return self._process

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """SIGKILL: what a crash leaves is left."""
        self.stop(signal.SIGKILL)

    def close_stdin(self) -> int:
        """End its stdin, as the parent's death does, and return the exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """End the process if it still runs, and remove what is ours. Harmless when called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
        self._errors.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def stderr(self) -> str:
        """Return what it wrote to stderr so far."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = "",
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Exchange one request; *body* is JSON, or bytes as they are. ``key=None`` presents no API key."""
        given: dict[str, str] = {"Content-Type": "application/json"}
        if key is not None:
            given["x-api-key"] = key or self.key
        if idempotency_key is not None:
            given["Idempotency-Key"] = idempotency_key
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        address = urlsplit(self.url)
        with closing(http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_S)) as connection:
            connection.request(method, path, raw, {**given, **(headers or {})})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(status=response.status, headers=names, body=response.read())

    def set_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace the fault rules; their counts start afresh."""
        reply = self.call("PUT", "/_simulator/faults", list(rules), key=None)
        assert reply.status == 200, reply.body

    def messages(self) -> list[dict[str, Any]]:
        """Return the ledger's message rows, in order of creation."""
        return self._rows("SELECT * FROM message ORDER BY rowid")

    def requests(self) -> list[dict[str, Any]]:
        """Return the request log, in order of receipt. ``status`` is ``None`` where no answer left."""
        return self._rows("SELECT * FROM request ORDER BY n")

    def received(self, method: str) -> int:
        """Return how many requests of a method were received so far."""
        return int(self._rows(f"SELECT count(*) AS n FROM request WHERE method = '{method}'")[0]["n"])

    def from_here(self) -> "Stretch":
        """Return a view of what is received and created from now on, for tests that share a simulator."""
        return Stretch(self, len(self.requests()), len(self.messages()))

    def from_start(self) -> "Stretch":
        """Return a view of all that was ever received and created."""
        return Stretch(self, 0, 0)

    def _rows(self, query: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.state, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a shared simulator has received and created since some moment."""

    simulator: Simulator
    _requests: int
    _messages: int

    def requests(self) -> list[dict[str, Any]]:
        """Return the request log from that moment on."""
        return self.simulator.requests()[self._requests :]

    def sends(self) -> list[dict[str, Any]]:
        """Return those of the requests that asked for messages."""
        return [each for each in self.requests() if each["method"] == "POST"]

    def messages(self) -> list[dict[str, Any]]:
        """Return the messages created from that moment on."""
        return self.simulator.messages()[self._messages :]


def _flags(options: Mapping[str, Any]) -> list[str]:
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        else:
            flags += [f"{flag}={item}" for item in (value if isinstance(value, list) else [value])]
    return flags
