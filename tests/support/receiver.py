"""An endpoint of webhooks as a real HTTP server in a thread: keeps what it is sent, and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request to the endpoint: ``headers`` by lower-case name."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def event_id(self) -> str:
        return self.headers["x-webhook-event-id"]


class Receiver:
    """What arrived so far, in order of arrival."""

    def __init__(self, url: str, answer: Callable[[int], int]) -> None:
        self.url = url
        self._answer = answer
        self._arrived: list[Delivery] = []
        self._changed = threading.Condition()

    def take(self, delivery: Delivery) -> int:
        """Keep *delivery*; return the status to answer with."""
        with self._changed:
            self._arrived.append(delivery)
            number = len(self._arrived)
            self._changed.notify_all()
        return self._answer(number)  # outside: it may take its time

    def arrived(self, count: int = 0) -> list[Delivery]:
        """Return all deliveries, once there are *count* at least."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._arrived) >= count, PATIENCE_S), len(self._arrived)
            return list(self._arrived)

    def until(self, enough: Callable[[list[Delivery]], bool]) -> list[Delivery]:
        """Return all deliveries, once they are *enough*."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self._arrived), PATIENCE_S), len(self._arrived)
            return list(self._arrived)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: a sender that goes away in the middle is part of some tests."""


@contextmanager
def receiving(answer: Callable[[int], int] = lambda _: 200) -> Iterator[Receiver]:
    """Listen for the length of the block; *answer* maps the number of a delivery (from 1) to a status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(Delivery(headers=headers, body=body))
            self.send_response(status)
            if status // 100 == 3:
                self.send_header("Location", receiver.url)
            body = b"" if status == 204 else b"ok"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook", answer)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
