"""``broadcaster serve`` as the endpoint of the simulator's real webhooks, and what either of them says of a message."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

from broadcaster.store.receipts import read_states
from support.cli import PATIENCE_S, Cli, Running
from support.simulator import Simulator

HOOKS = "/v3/webhooks"


class Endpoint:
    """A webhook of the simulator, and the process that answers it."""

    def __init__(self, cli: Cli, simulator: Simulator, *directories: str, events: Sequence[str] = ()) -> None:
        self._cli = cli
        self._simulator = simulator
        self._directories = directories
        asked: dict[str, Any] = {"display_name": "receipts", "event_types": ["message"], "retry_count": 5}
        if events:
            asked["event_filters"] = {"message": list(events)}
        created = simulator.call("POST", HOOKS, asked)
        assert created.status == 201, created.body
        self.hook: dict[str, Any] = created.json["data"]
        self.port = 0
        self.serving = self.start()
        address = {"endpoint_url": f"http://127.0.0.1:{self.port}/webhooks/sent"}
        assert simulator.call("PATCH", f"{HOOKS}/{self.hook['id']}", address).status == 200

    def start(self) -> Running:
        """Start serving, the second time at the same port."""
        running = self._cli.start(
            "serve",
            *self._directories,
            "--port",
            str(self.port),
            env={"SENT_WEBHOOK_SECRET": self.hook["signing_secret"]},
        )
        self.port = listening(running)
        self.serving = running
        return running

    def kill(self) -> None:
        self.serving.signal(signal.SIGKILL)
        self.serving.result()

    def stop(self) -> str:
        """End it properly; return what it said then."""
        self.serving.signal(signal.SIGTERM)
        ended = self.serving.result()
        assert ended.code == 0, ended.stderr
        assert self.hook["signing_secret"] not in ended.stdout + ended.stderr
        return ended.stderr

    def catch_up(self) -> None:
        """Return when all that has arrived so far is acknowledged: a receipt of ours, after it, is."""
        body = b'{"field":"message","event":"message.sent","payload":{"message_id":"ours","message_status":"SENT"}}'
        now = datetime.now(tz=UTC)
        headers = {
            "x-webhook-id": "ours",
            "x-webhook-timestamp": str(int(now.timestamp())),
            "x-webhook-signature": Webhook(self.hook["signing_secret"]).sign("ours", now, body.decode()),
        }
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            connection.request("POST", "/webhooks/sent", body, headers)
            assert connection.getresponse().status == 200

    def log(self) -> list[dict[str, Any]]:
        """What the API says about its deliveries to us."""
        found: list[dict[str, Any]] = self._simulator.call("GET", f"{HOOKS}/{self.hook['id']}/events").json["data"][
            "events"
        ]
        return found

    def is_on(self) -> bool:
        return bool(self._simulator.call("GET", f"{HOOKS}/{self.hook['id']}").json["data"]["is_active"])


@contextmanager
def endpoint(cli: Cli, simulator: Simulator, *directories: str, events: Sequence[str] = ()) -> Iterator[Endpoint]:
    """Let *simulator* tell its events to a process that serves *directories*: all, or those that are named."""
    found = Endpoint(cli, simulator, *directories, events=events)
    try:
        yield found
    finally:
        if found.serving.process.poll() is None:
            found.kill()


def listening(running: Running) -> int:
    """Return the port that a server says it listens on."""
    assert running.process.stdout is not None
    line = running.process.stdout.readline()
    if not line.startswith("Listening for webhooks on http://127.0.0.1:"):
        running.signal(signal.SIGTERM)
        raise AssertionError(f"{line}{running.result().stderr}")
    return int(line.partition("/webhooks/sent")[0].rpartition(":")[2])


def kept(path: Path) -> dict[str, dict[str, Any]]:
    """The states in a file, by message; without our own."""
    rows = read_states([path]).to_pylist() if path.exists() else []
    return {row["message_id"]: row for row in rows if row["message_id"] != "ours"}


def truth(simulator: Simulator) -> dict[str, dict[str, Any]]:
    """What the API shows of all its messages."""
    found: dict[str, dict[str, Any]] = {}
    page, more = 1, True
    while more:
        data = simulator.call("GET", f"/v3/conversations?page={page}&page_size=100").json["data"]
        found |= {each["id"]: each for each in data["messages"]}
        page, more = page + 1, data["pagination"]["has_more"]
    return found
