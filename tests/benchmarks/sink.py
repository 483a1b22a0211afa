"""The fastest API that we can write: a raw protocol on uvloop that answers any send with an id per recipient.

``python sink.py`` prints one JSON line with its address, one with the moment of its first answer to a send, and ends
when its standard input closes. It checks nothing and remembers nothing: whatever a client takes longer for than this,
is the client's own. Look-ups are answered with an account and a template that may be sent.
"""

import asyncio
import json
import os
import sys
import time
from email.utils import formatdate
from itertools import count
from typing import cast

_NUMBER = b"@@@@@@@@@@@@"  # stands for the number of the request: twelve digits of every message id
_TO = b'"to":'
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nDate: %s\r\nContent-Length: %d\r\n\r\n"
_LOOKED_UP = (
    b'{"success":true,"data":{"id":"7ba7b820-9dad-11d1-80b4-00c04fd430c8","name":"benchmark","status":"APPROVED",'
    b'"channels":["sms","whatsapp","rcs"],"variables":["name","code"]},"meta":{"request_id":"r","version":"v3"}}'
)
_BEFORE = (
    b'{"success":true,"data":{"status":"QUEUED","template_id":"7ba7b820-9dad-11d1-80b4-00c04fd430c8","recipients":[{'
)
_AFTER = b',"channel":null,"body":null}]},"error":null,"meta":{"request_id":"req_%s","version":"v3"}}' % _NUMBER
_BETWEEN = b',"channel":null,"body":null},{'


class Answers:
    """Writes answers; the parts that every answer of so many recipients has are made once."""

    def __init__(self) -> None:
        self._requests = count(1)
        self._date = b""
        self._templates: dict[int, list[bytes]] = {}
        self._told = False

    def tell_time(self) -> None:
        """Take the time of the answers, once a second."""
        self._date = formatdate(usegmt=True).encode()
        asyncio.get_running_loop().call_later(1.0, self.tell_time)

    def to(self, body: bytes) -> bytes:
        """Return the whole answer to a request's body."""
        start = body.index(b"[", body.index(_TO)) + 1
        numbers = body[start : body.index(b"]", start)].split(b",")
        if not self._told:
            self._told = True
            print(json.dumps({"first_s": time.time()}), flush=True)  # noqa: T201 - the line is the interface
        parts = self._templates.get(len(numbers)) or self._template(len(numbers))
        parts[1::2] = numbers
        answer = b"".join(parts).replace(_NUMBER, b"%012d" % next(self._requests))
        return (_HEAD % (b"202 Accepted", self._date, len(answer))) + answer

    def to_look_up(self) -> bytes:
        """Return the whole answer to a request without a body."""
        return (_HEAD % (b"200 OK", self._date, len(_LOOKED_UP))) + _LOOKED_UP

    def _template(self, recipients: int) -> list[bytes]:
        parts = []
        for at in range(recipients):
            row = b'"message_id":"%08x-0000-4000-8000-%s","to":' % (at, _NUMBER)
            parts += [(_BETWEEN if at else _BEFORE) + row, b""]
        self._templates[recipients] = [*parts, _AFTER]
        return self._templates[recipients]


class Connection(asyncio.Protocol):
    """One keep-alive connection; a request may come in several pieces, but not two at once."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._pieces: list[bytes] = []
        self._missing = 0  # bytes of a body that is on its way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport only looks like one
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._pieces.append(data)
            self._missing -= len(data)
        else:
            data = b"".join((*self._pieces, data))
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._pieces = [data]
                return
            if data.startswith(b"GET "):
                self._pieces = []
                self._transport.write(self._answers.to_look_up())
                return
            head = data[:end].lower()
            length = int(head[head.index(b"content-length:") + 15 :].partition(b"\r\n")[0])
            self._pieces = [data[end + 4 :]]
            self._missing = length - len(self._pieces[0])
        if not self._missing:
            body = b"".join(self._pieces)
            self._pieces = []
            self._transport.write(self._answers.to(body))


async def serve() -> None:
    """Answer until standard input closes."""
    loop = asyncio.get_running_loop()
    answers = Answers()
    answers.tell_time()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)  # noqa: T201 - the line is the interface
    await loop.run_in_executor(None, os.read, sys.stdin.fileno(), 1)


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
