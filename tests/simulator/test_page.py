"""The page at ``/`` and the document behind it: what the simulator received, in a browser."""

import json
import re
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from support.sends import ANN, BOB, EVE, SEND, notice
from support.simulator import Simulator

from broadcaster.simulator.chart import Bar, draw, scale
from broadcaster.simulator.overview import mask
from broadcaster.simulator.page import page

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), "")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
in_a_browser = pytest.mark.skipif(not BROWSER, reason="no chromium here: apt-get install chromium")

FAULTS = [{"on": f"POST {SEND}", "nth": 4, "do": "drop_after_accept"}, {"on": "GET /v3/me", "nth": 1, "do": "html"}]


@pytest.fixture(scope="module")
def busy() -> Iterator[Simulator]:
    """A simulator that has seen a bit of everything."""
    with Simulator(faults=FAULTS, seed=1, requests_per_minute=9) as sim:
        sim.call("POST", SEND, notice(ANN, BOB), idempotency_key="first")
        sim.call("POST", SEND, notice(ANN, BOB), idempotency_key="first")
        sim.call("POST", SEND, notice("+14"))
        with pytest.raises(ConnectionError):
            sim.call("POST", SEND, notice(EVE))
        for _ in range(7):
            sim.call("GET", "/v3/me")
        sim.call("GET", "/v3/me", key="wrong")
        yield sim


def state(sim: Simulator) -> Any:
    reply = sim.call("GET", "/_simulator/state.json", key=None)
    assert reply.status == 200
    return reply.json


def test_the_state_tells_what_was_received_and_given(busy: Simulator) -> None:
    found = state(busy)
    requests = found["requests"]
    assert found["messages"]["count"] == 3
    assert found["messages"]["by_decision"] == {"QUEUED": 3}
    assert (requests["count"], requests["replays"], requests["unanswered"]) == (12, 1, 1)
    assert requests["faults"] == {"drop_after_accept": 1, "html": 1}
    assert requests["over_limit"] == {"BUSINESS_002": 2}
    assert requests["answers"] == [
        {"status": None, "code": None, "count": 1},
        {"status": 200, "code": None, "count": 5},
        {"status": 202, "code": None, "count": 2},
        {"status": 400, "code": "VALIDATION_002", "count": 1},
        {"status": 401, "code": "AUTH_002", "count": 1},
        {"status": 429, "code": "BUSINESS_002", "count": 2},
    ]
    minutes = requests["per_minute"]
    assert len(minutes) == 15
    assert sum(minute["requests"] for minute in minutes) == 12
    assert sum(minute["with_fault"] for minute in minutes) == 2
    assert sum(minute["refused"] for minute in minutes) == 4
    assert found["profile"] == {"name": "custom", "seed": 1, "rules": 2}


def test_the_newest_messages_come_first_and_hide_their_numbers(busy: Simulator) -> None:
    newest = state(busy)["messages"]["newest"]
    assert [each["to"] for each in newest] == ["+1••••••••02", "+1••••••••01", "+1••••••••00"]
    assert {each["template"] for each in newest} == {"service_notice"}
    for path in ("/", "/_simulator/state.json"):
        told = busy.call("GET", path, key=None).body.decode()
        assert not [number for number in (ANN, BOB, EVE) if number in told]


def test_looking_leaves_no_trace_in_the_log(busy: Simulator) -> None:
    before = len(busy.requests())
    busy.call("GET", "/", key=None)
    assert len(busy.requests()) == before


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    with Simulator(tmp_path / "s", faults=FAULTS, lifecycle_speed=0) as sim:
        for key in ("a", "a", "b", "c"):
            with suppress(ConnectionError):
                sim.call("POST", SEND, notice(ANN, BOB), idempotency_key=key)
        before = state(sim)
    with Simulator(tmp_path / "s", faults=FAULTS, lifecycle_speed=0) as again:
        after = state(again)
    for document in (before, after):
        del document["now"]
        minutes = document["requests"]["per_minute"]  # one may have passed in between
        document["requests"]["per_minute"] = [
            sum(minute[name] for minute in minutes) for name in ("requests", "refused", "with_fault")
        ]
    assert before["requests"]["replays"] == 1
    assert before["requests"]["per_minute"] == [4, 0, 1]
    assert after == before


def test_only_fifty_messages_are_shown_and_all_are_counted() -> None:
    with Simulator() as sim:
        sim.call("POST", SEND, notice(*(f"+1415555{at:04d}" for at in range(100, 160))))
        found = state(sim)["messages"]
        assert (found["count"], len(found["newest"])) == (60, 50)
        assert found["newest"][0]["to"].endswith("59")


def test_the_page_is_guarded(busy: Simulator) -> None:
    first, second = (busy.call("GET", "/", key=None) for _ in range(2))
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert first.headers["cache-control"] == "no-store"
    policy = first.headers["content-security-policy"]
    nonces = re.findall(r"'nonce-([^']+)'", policy)
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert len(set(nonces)) == 1
    assert nonces[0] not in second.headers["content-security-policy"]
    html = first.body.decode()
    assert re.findall(r"<(?:script|style)\b([^>]*)>", html) == [f' nonce="{nonces[0]}"'] * 2
    assert not re.search(r'\b(?:src|href)="(?!#|data:,|/_simulator/)', html)  # nothing from elsewhere
    assert not re.search(r'\sstyle="|\son\w+="', html)  # what the policy would forbid


def test_the_page_has_landmarks_and_headed_tables(busy: Simulator) -> None:
    html = busy.call("GET", "/", key=None).body.decode()
    assert '<html lang="en">' in html
    for landmark in ("<header>", "<main ", "<footer>"):
        assert html.count(landmark) == 1
    tables = re.findall(r"<table>.*?</table>", html, re.DOTALL)
    assert len(tables) == 5
    for table in tables:
        assert re.search(r'<th scope="col"', table)
        assert re.search(r'<th scope="row"', table)
        assert "<th>" not in table
    assert '<svg viewBox="0 0 480 200" role="img" aria-labelledby="chart-title chart-description"><title' in html
    assert "minute (UTC)" in html
    named = set(re.findall(r'id="([^"]+)"', html))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', html)) - {"chart-title chart-description"} <= named


def test_what_clients_choose_is_escaped(tmp_path: Path) -> None:
    name = '<script>alert("x")</script>'
    template = {"id": "3f2504e0-4f89-41d3-9a0c-0305e82c33aa", "name": name, "body": "Hello"}
    with Simulator(tmp_path / "<b>", templates=json.dumps([template])) as sim:
        sim.call("POST", SEND, {"to": [ANN], "template": {"id": template["id"]}})
        html = sim.call("GET", "/", key=None).body.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    assert "<b>&lt;b&gt;" not in html
    assert "/&lt;b&gt;</b>" in html


def test_an_idle_simulator_says_so() -> None:
    with Simulator(requests_per_minute=200, messages_per_minute=1000) as sim:
        html = sim.call("GET", "/", key=None).body.decode()
        assert "calm (0 rules, seed 0)" in html
        assert "200 requests and 1,000 messages" in html
        assert html.count('class="empty"') == 4


@pytest.mark.parametrize(
    ("phone", "shown"),
    [("+14155550100", "+1••••••••00"), ("+447700900123", "+44••••••••23"), ("+1", "+1"), ("+2125", "+2125")],
)
def test_a_number_keeps_its_country_and_two_digits(phone: str, shown: str) -> None:
    assert mask(phone) == shown


@pytest.mark.parametrize(
    ("largest", "top"), [(0, 4), (4, 4), (5, 8), (8, 8), (9, 20), (41, 80), (81, 200), (399_000, 400_000)]
)
def test_the_axis_ends_at_a_round_number(largest: int, top: int) -> None:
    assert scale(largest) == top


def test_bars_are_as_high_as_their_numbers() -> None:
    bars = [Bar(label="10:00", usual=4, refused=0, faulted=0), Bar(label="10:01", usual=1, refused=1, faulted=2)]
    picture = draw(bars, title="t", description="d")
    heights = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', picture)]
    assert [round(height / heights[0] * 4, 2) for height in heights] == [4, 1, 1, 2]
    assert re.findall(r'<rect class="(\w+)"', picture) == ["usual", "usual", "refused", "fault"]


def browse(url: str, scratch: Path, *flags: str) -> str:
    """Open *url* in a fresh browser; return what it printed."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={scratch / 'profile'}", *flags, url]
    done = subprocess.run(command, capture_output=True, timeout=100, check=True)
    return done.stdout.decode()


@in_a_browser
@pytest.mark.parametrize(("width", "height"), [(400, 2600), (1200, 1700)])
def test_the_page_can_be_photographed(busy: Simulator, tmp_path: Path, width: int, height: int) -> None:
    picture = tmp_path / f"page-{width}.png"
    browse(busy.url + "/", tmp_path, f"--window-size={width},{height}", f"--screenshot={picture}")
    data = picture.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (width, height)
    assert len(data) > 20_000  # an empty page has a few thousand bytes


@in_a_browser
def test_a_browser_shows_the_counts_and_may_run_the_script(busy: Simulator, tmp_path: Path) -> None:
    dom = browse(busy.url + "/", tmp_path, "--dump-dom")
    counts = dict(re.findall(r'<dd id="count-([\w-]+)">([\d,]+)</dd>', dom))
    assert counts == {
        "messages": "3",
        "requests": "12",
        "faults-given": "2",
        "idempotent-replays": "1",
        "over-a-limit": "2",
        "left-unanswered": "1",
    }
    assert '<button type="button" id="pause" aria-pressed="false">' in dom  # without the script it stays hidden


def document(count: int) -> dict[str, Any]:
    """An overview with *count* messages."""
    many = {"minute": "2026-11-21T10:00:00.0000000+00:00", "requests": 3, "with_fault": 1, "refused": 1}
    return {
        "now": "2026-11-21T10:00:30.0000000+00:00",
        "state": "/a/rather/long/path/to/a/state/file/in/some/directory.sqlite",
        "profile": {"name": "calm", "seed": 0, "rules": 0},
        "limits": {"requests_per_minute": 0, "messages_per_minute": 0},
        "messages": {
            "count": count,
            "by_decision": {"QUEUED": count},
            "newest": [
                {
                    "message_id": "01a1fc44-635d-74e5-ae98-09c66c22f750",
                    "to": "+44••••••••23",
                    "channel": "whatsapp",
                    "template": "order_confirmation",
                    "status": "DELIVERED",
                    "reason_code": "WHATSAPP_TEMPLATE_REQUIRED",
                    "created_at": many["minute"],
                }
            ],
        },
        "requests": {
            "count": 1_234_567,
            "replays": 0,
            "unanswered": 0,
            "over_limit": {"BUSINESS_002": 1_234_567},
            "answers": [{"status": 429, "code": "BUSINESS_002", "count": 1_234_567}],
            "faults": {"status_after_accept": 1_234_567},
            "per_minute": [many] * 15,
        },
    }


@contextmanager
def serving(*pages: bytes) -> Iterator[str]:
    """Serve *pages* one after the other, the last one for ever; yield the address."""
    left = list(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


@in_a_browser
def test_the_page_refreshes_itself(tmp_path: Path) -> None:
    with serving(page(document(1)).body, page(document(2)).body) as url:
        dom = browse(url, tmp_path, "--dump-dom", "--virtual-time-budget=5000")
    assert '<dd id="count-messages">2</dd>' in dom


@in_a_browser
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_is_never_wider_than_its_window(tmp_path: Path, width: int) -> None:
    """In a frame, because a browser's own window is never narrower than 500 pixels."""
    frame = f'<!doctype html><body><iframe width="{width}" height="900" src="/inner"></iframe></body>'
    tell = b"<script>parent.document.body.dataset.wide = document.documentElement.scrollWidth</script></body>"
    with serving(frame.encode(), page(document(1_234_567)).body.replace(b"</body>", tell)) as url:
        dom = browse(url, tmp_path, "--dump-dom", "--window-size=1400,1000")
    assert f'data-wide="{width}"' in dom
