"""HTTP as bytes: conversations written by hand, over a raw socket."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from support.simulator import PATIENCE_S, Simulator

LARGEST = 64 * 1024 * 1024
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)\r$")


class Conversation:
    """One connection; answers are read off it one by one, and no byte is lost between them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._read = b""

    def say(self, *parts: bytes) -> None:
        self._connection.sendall(b"".join(parts))

    def hear(self, *, bodiless: bool = False) -> tuple[bytes, bytes, bytes]:
        """The next answer: status line, header lines, body (as long as announced)."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, self._read = self._read.split(b"\r\n\r\n", 1)
        status_line, _, headers = head.partition(b"\r\n")
        found = _LENGTH.search(headers + b"\r\n")
        length = 0 if bodiless or found is None else int(found[1])
        while len(self._read) < length:
            self._more()
        body, self._read = self._read[:length], self._read[length:]
        return status_line, headers, body

    def is_over(self) -> bool:
        """Whether the other side closed, with nothing more to say."""
        return not self._read and not self._connection.recv(1)

    def _more(self) -> None:
        got = self._connection.recv(65536)
        assert got, f"closed after {self._read!r}"
        self._read += got


@contextmanager
def talk(sim: Simulator) -> Iterator[Conversation]:
    address = urlsplit(sim.url)
    with socket.create_connection((str(address.hostname), address.port), timeout=PATIENCE_S) as connection:
        yield Conversation(connection)


def get(path: bytes = b"/v3/me", *, method: bytes = b"GET", more: bytes = b"") -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: simulator\r\nx-api-key: simulator\r\n%s\r\n" % (method, path, more)


def post(body: bytes, more: bytes = b"") -> bytes:
    return get(b"/v3/messages", method=b"POST", more=b"Content-Length: %d\r\n%s" % (len(body), more)) + body


NOTICE = b'{"to":["+14155550100"],"template":{"id":"3f2504e0-4f89-41d3-9a0c-0305e82c3302"}}'


def test_one_connection_serves_request_after_request(sim: Simulator) -> None:
    with talk(sim) as conversation:
        for _ in range(3):
            conversation.say(get())
            status_line, headers, body = conversation.hear()
            assert status_line == b"HTTP/1.1 200 OK"
            assert b"connection: close" not in headers.lower()
            assert body.startswith(b'{"success":true')


def test_requests_sent_in_one_go_are_answered_in_order(sim: Simulator) -> None:
    with talk(sim) as conversation:
        conversation.say(get(), post(NOTICE), get(b"/v3/nowhere"), get())
        lines = [conversation.hear()[0] for _ in range(4)]
        assert [line.split()[1] for line in lines] == [b"200", b"202", b"404", b"200"]


def test_a_refusal_leaves_the_connection_open(sim: Simulator) -> None:
    with talk(sim) as conversation:
        conversation.say(b"GET /v3/me HTTP/1.1\r\nHost: simulator\r\n\r\n")
        assert conversation.hear()[0].startswith(b"HTTP/1.1 401 ")
        conversation.say(post(b"{"))
        assert conversation.hear()[0].startswith(b"HTTP/1.1 400 ")
        conversation.say(get())
        assert conversation.hear()[0].startswith(b"HTTP/1.1 200 ")


def test_connection_close_is_obeyed(sim: Simulator) -> None:
    with talk(sim) as conversation:
        conversation.say(get(more=b"Connection: close\r\n"))
        _, headers, _ = conversation.hear()
        assert b"connection: close" in headers.lower()
        assert conversation.is_over()


def test_an_old_client_gets_an_answer_and_the_end(sim: Simulator) -> None:
    with talk(sim) as conversation:
        conversation.say(get().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert conversation.hear()[0].split()[1] == b"200"
        assert conversation.is_over()


@pytest.mark.parametrize("name", [b"x-api-key", b"X-API-KEY", b"X-Api-Key"])
def test_the_letter_case_of_a_header_does_not_matter(sim: Simulator, name: bytes) -> None:
    with talk(sim) as conversation:
        conversation.say(get().replace(b"x-api-key", name))
        assert conversation.hear()[0].split()[1] == b"200"


def test_the_answers_headers_are_spelt_as_documented_and_come_once(sim: Simulator) -> None:
    with talk(sim) as conversation:
        conversation.say(get())
        _, headers, body = conversation.hear()
        lines = dict(line.split(b": ", 1) for line in headers.split(b"\r\n"))
        assert len(lines) == len(headers.split(b"\r\n"))
        assert set(lines) >= {b"Content-Type", b"Content-Length", b"X-Request-Id", b"X-API-Version", b"X-Response-Time"}
        assert lines[b"Content-Type"] == b"application/json; charset=utf-8"
        assert (int(lines[b"Content-Length"]), lines[b"X-API-Version"]) == (len(body), b"v3")
        assert re.fullmatch(rb"\d+ms", lines[b"X-Response-Time"])


def test_a_body_may_come_in_chunks(sim: Simulator) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (NOTICE[:7], NOTICE[7:40], NOTICE[40:]))
    with talk(sim) as conversation:
        head = get(b"/v3/messages", method=b"POST", more=b"Transfer-Encoding: chunked\r\n")
        conversation.say(head, chunks, b"0\r\n\r\n")
        assert conversation.hear()[0].split()[1] == b"202"
        conversation.say(get())
        assert conversation.hear()[0].split()[1] == b"200"


def test_a_body_may_come_byte_by_byte(sim: Simulator) -> None:
    with talk(sim) as conversation:
        for at in range(len(message := post(NOTICE))):
            conversation.say(message[at : at + 1])
        assert conversation.hear()[0].split()[1] == b"202"


def test_who_expects_a_go_ahead_gets_one(sim: Simulator) -> None:
    with talk(sim) as conversation:
        whole = post(NOTICE, b"Expect: 100-continue\r\n")
        conversation.say(whole.removesuffix(NOTICE))
        assert conversation.hear()[0] == b"HTTP/1.1 100 Continue"
        conversation.say(NOTICE)
        assert conversation.hear()[0].split()[1] == b"202"


@pytest.mark.parametrize(("method", "allowed"), [(b"HEAD", b"GET"), (b"OPTIONS", b"GET"), (b"DELETE", b"GET")])
def test_a_method_that_a_path_does_not_take(sim: Simulator, method: bytes, allowed: bytes) -> None:
    with talk(sim) as conversation:
        conversation.say(get(method=method), get())
        status_line, headers, _ = conversation.hear(bodiless=method == b"HEAD")
        assert status_line.split()[1] == b"405"
        assert b"Allow: " + allowed in headers.split(b"\r\n")
        assert conversation.hear()[0].split()[1] == b"200"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"GET\r\n\r\n", id="a method alone"),
        pytest.param(b"GET /v3/me HTTP/x.y\r\n\r\n", id="a version that is none"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", id="the beginning of TLS"),
        pytest.param(b"GET /v3/me HTTP/1.1\r\nno colon here\r\n\r\n", id="a header without a colon"),
        pytest.param(b"POST /v3/messages HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(
            b"POST /v3/messages HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
    ],
)
def test_what_is_not_http_is_a_400_and_the_end(sim: Simulator, line: bytes) -> None:
    before = len(sim.requests())
    with talk(sim) as conversation:
        conversation.say(line)
        assert conversation.hear()[0].split()[1] == b"400"
        assert conversation.is_over()
    assert len(sim.requests()) == before
    assert sim.stderr() == ""


def test_a_body_announced_too_large_is_not_even_read(sim: Simulator) -> None:
    with talk(sim) as conversation:
        conversation.say(get(b"/v3/messages", method=b"POST", more=b"Content-Length: %d\r\n" % (LARGEST + 1)))
        status_line, _, body = conversation.hear()
        assert status_line.split()[1] == b"413"
        assert b'"success":false' in body


def test_a_body_that_grows_too_large_in_chunks_is_refused(sim: Simulator) -> None:
    piece = bytes(1024 * 1024)
    with talk(sim) as conversation:
        conversation.say(get(b"/v3/messages", method=b"POST", more=b"Transfer-Encoding: chunked\r\n"))
        for _ in range(LARGEST // len(piece)):
            conversation.say(b"%x\r\n%s\r\n" % (len(piece), piece))
        conversation.say(b"1\r\nx\r\n")
        assert conversation.hear()[0].split()[1] == b"413"


def test_a_204_has_no_body_and_no_length(sim: Simulator) -> None:
    sim.call("POST", "/v3/messages", NOTICE)
    contact = sim.call("GET", "/v3/contacts").json["data"]["contacts"][0]["id"].encode()
    with talk(sim) as conversation:
        conversation.say(get(b"/v3/contacts/" + contact, method=b"DELETE"), get())
        status_line, headers, _ = conversation.hear()
        assert status_line == b"HTTP/1.1 204 No Content"
        assert b"content-length" not in headers.lower()
        assert conversation.hear()[0].split()[1] == b"200"
