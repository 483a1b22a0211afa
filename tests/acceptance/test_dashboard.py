"""The dashboard of ``serve``: who may see it, what it says of every kind of directory, and that it is alive."""

import http.client
import json
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from support.browser import Page, browser, in_a_browser
from support.cli import KEY, Cli, Running, wait_until
from support.simulator import Simulator
from support.warm import Warm

RUN = "runs/acceptance"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
TOKEN = "a-token-of-some-length"
FAINT = """(() => {
  // What is written so faintly that some cannot read it: below 4.5 to 1, as WCAG counts it.
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const own = (each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const shown = [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && own(each));
  return shown.filter((each) => {
    const style = getComputedStyle(each);
    const [one, two] = [light(each instanceof SVGElement ? style.fill : style.color), light(behind(each))];
    return (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05) < 4.5;
  }).map((each) => each.outerHTML.slice(0, 120));
})()"""
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back. ``headers`` by lower-case name."""

    status: int
    headers: Mapping[str, str]
    text: str


class Dashboard:
    """A server of our own."""

    def __init__(self, running: Running, url: str) -> None:
        self.running = running
        self.url = url
        self.address = urlsplit(url)
        self.secret = self.address.query

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        fields: Mapping[str, str] | None = None,
        **headers: Any,
    ) -> Answer:
        """Exchange one request; underscores in the names of *headers* stand for dashes."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None
        if fields is not None:
            body, given["Content-Type"] = urlencode(fields), "application/x-www-form-urlencoded"
        with closing(http.client.HTTPConnection("127.0.0.1", self.address.port, timeout=30)) as connection:
            connection.request(method, path, body, given)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=found, text=response.read().decode())

    def form(self, page: str) -> str:
        """Return the word that the forms of a page carry."""
        found = re.search(r'name="form" value="([0-9a-f]{64})"', self.ask(page).text)
        assert found is not None
        return found[1]


@contextmanager
def serving(cli: Cli, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[Dashboard]:
    """Serve for the length of the block, and end as Ctrl-C does."""
    alone = () if "SENT_WEBHOOK_SECRET" in (env or {}) else ("--dashboard-only",)
    running = cli.start("serve", "--port", "0", *alone, *flags, env=env)
    assert running.process.stdout is not None
    try:
        line = running.process.stdout.readline()
        if line.startswith("Listening"):
            line = running.process.stdout.readline()
        found = re.fullmatch(r"Dashboard: (http://\S+)\n", line)
        assert found is not None, line + running.result().stderr
        yield Dashboard(running, found[1])
    finally:
        running.signal(signal.SIGINT)
        ended = running.result()
    assert ended.code == 0, ended.stderr


def finish(cli: Cli) -> None:
    """Make one finished run."""
    cli.people(12)
    cli.job(limits={"requests_per_minute": 0, "batch_size": 4})
    assert cli("run", "job.toml", "--yes").code == 0


@pytest.fixture
def home(cli: Cli, sim: Simulator) -> Cli:
    """A user with one finished run."""
    finish(cli)
    del sim
    return cli


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Iterator[Cli]:
    """A user with one finished run that no test changes."""
    with Simulator(key=KEY) as simulator:
        cli = Cli(tmp_path_factory.mktemp("looked-at"), launcher=warm)
        cli.use(simulator)
        finish(cli)
        yield cli


@pytest.fixture(scope="module")
def board(looked_at: Cli) -> Iterator[Dashboard]:
    """The dashboard of that run."""
    with serving(looked_at) as found:
        yield found


@pytest.fixture(scope="module")
def guarded(looked_at: Cli) -> Iterator[Dashboard]:
    """The same behind a token, and with webhooks."""
    with serving(looked_at, env={"BROADCASTER_DASHBOARD_TOKEN": TOKEN, "SENT_WEBHOOK_SECRET": SECRET}) as found:
        yield found


def control(cli: Cli) -> Any:
    """What ``control.json`` orders about pausing; ``None`` while nobody ever did."""
    path = cli.home / RUN / "control.json"
    return json.loads(path.read_bytes())["switch"]["what"] if path.exists() else None


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_the_pages_tell_of_a_run_and_of_nobody_in_it(board: Dashboard) -> None:
    overview, page = board.ask("/").text, board.ask("/runs/acceptance").text
    assert '<a href="/runs/acceptance">acceptance</a>' in overview
    assert "12 of 12" in overview
    for words in ("Finished", "12", "Every delivery was accepted or excluded.", RUN, "Started: 12 to send"):
        assert words in page
    for text in (overview, page):
        assert not re.search(r"555.?01\d\d", text)
        assert "sk_live" not in text


def test_every_answer_is_guarded_and_nothing_on_a_page_is_inline_or_from_elsewhere(board: Dashboard) -> None:
    paths = (
        "/",
        "/runs/acceptance",
        "/runs/acceptance/pause",
        "/runs/acceptance/go",
        "/runs/nobody",
        "/static/live.js",
    )
    for path in paths:
        found = board.ask(path)
        assert found.headers["content-security-policy"] == POLICY, path
        assert found.headers["x-content-type-options"] == "nosniff", path
        assert found.headers["cache-control"] == "no-store", path
        assert found.headers["x-frame-options"] == "DENY", path
        if path.startswith("/static/"):
            continue
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", found.text), path
        assert re.findall(r"<script([^>]*)>([^<]*)", found.text) in ([], [(' src="/static/live.js" defer', "")]), path
        assert not re.search(r'(?:src|href|action)="(?!/|#|data:,"|")', found.text), path


def test_tables_have_headers_and_regions_have_names(board: Dashboard) -> None:
    for path in ("/", "/runs/acceptance"):
        html = board.ask(path).text
        assert '<html lang="en">' in html
        assert html.count("<main ") == html.count("<h1") == 1
        assert 'aria-live="polite"' in html
        for table in re.findall(r"<table.*?</table>", html, re.DOTALL):
            assert re.search(r'<th[^>]* scope="col"', table)
            assert re.search(r'<th[^>]* scope="row"', table)
            assert "<caption" in table
        named = set(re.findall(r'id="([^"]+)"', html))
        asked = {each for found in re.findall(r'aria-labelledby="([^"]+)"', html) for each in found.split()}
        assert asked <= named


def test_directories_of_every_kind_are_shown_as_they_are(home: Cli) -> None:
    runs = home.home / "runs"
    for name in ("gone", "purged", "foreign", "half", '<b>&"quoted"'):
        shutil.copytree(runs / "acceptance", runs / name)
    (runs / "foreign" / "plan.json").write_text('{"name": "<script>alert(1)</script>"}')
    (runs / "half" / "events.jsonl").write_text(
        '{"at":"2026-11-20T10:00:00Z","event":"stopped","exit_code":75,"why":"<script>alert(2)</script> +14155550123"}'
    )
    shutil.rmtree(runs / "purged")
    shutil.copytree(runs / "acceptance", runs / "purged")
    assert home("purge", "runs/purged", "--yes").code == 0
    (runs / "notes").mkdir()
    with serving(home) as board:
        overview = board.ask("/")
        assert overview.status == 200
        assert "notes" not in overview.text
        assert overview.text.count('role="rowheader"') == 6
        assert "<script>alert" not in overview.text + board.ask("/runs/half").text
        assert "&lt;script&gt;alert(2)" in board.ask("/runs/half").text
        assert "4155550123" not in board.ask("/runs/half").text
        assert "Unreadable" in board.ask("/runs/foreign").text
        assert "Purged" in board.ask("/runs/purged").text
        quoted = re.findall(r'href="(/runs/[^"]*quoted[^"]*)"', overview.text)
        assert board.ask(quoted[0]).status == 200
        assert "<b>" not in board.ask(quoted[0]).text
        shutil.rmtree(runs / "gone")
        wait_until(lambda: board.ask("/runs/gone").status == 404, what="the run is gone")
        assert "No such run" in board.ask("/runs/gone").text


def test_no_run_yet_says_how_one_is_made(cli: Cli) -> None:
    with serving(cli) as board:
        assert "No run in runs yet." in board.ask("/").text


def test_the_report_is_shown_and_may_run_nothing(looked_at: Cli, board: Dashboard) -> None:
    home = looked_at
    (home.home / RUN / "report.html").unlink(missing_ok=True)
    assert board.ask("/runs/acceptance/report").status == 404
    (home.home / RUN / "report.html").write_text("<!doctype html><script>alert(1)</script>ü", encoding="utf-8")
    found = board.ask("/runs/acceptance/report")
    assert (found.status, found.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert "ü" in found.text
    wait_until(lambda: 'href="/runs/acceptance/report"' in board.ask("/runs/acceptance").text, what="a link to it")


@pytest.mark.parametrize(
    "path",
    [
        "/runs/../../etc/passwd",
        "/runs/..%2f..%2fetc%2fpasswd",
        "/runs/..",
        "/runs/%2e%2e",
        "/runs/acceptance%2f..%2facceptance",
        "/runs/%00",
        "/runs/.",
        "/runs/",
        "/static/../access.py",
        "/static/..%2faccess.py",
        "/static/%2e%2e%2faccess.py",
        "/static/",
        "/runs/acceptance/plan.json",
        "/runs/..%2facceptance/report",
        "/plan.json",
    ],
)
def test_no_address_leads_out_of_what_is_served(board: Dashboard, path: str) -> None:
    found = board.ask(path)
    assert found.status == 404
    assert "root:" not in found.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/", 405), ("PUT", "/runs/acceptance", 405), ("DELETE", "/runs/acceptance/pause", 405),
     ("POST", "/updates", 405), ("GET", "/enter", 405), ("HEAD", "/", 200)],
)  # fmt: skip
def test_a_method_that_nothing_answers_to(board: Dashboard, method: str, path: str, status: int) -> None:
    assert board.ask(path, method=method).status == status


# ---- who may see it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost"}, 200),
        ({"Host": "localhost:9999"}, 200),
        ({"Host": "127.0.0.1:8080"}, 200),
        ({"Host": "[::1]:8080"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:8080"}, 421),
        ({"Host": "localhost.evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "localhost@evil.example"}, 421),
        ({"Host": "192.168.0.7"}, 421),
        ({"Host": "0.0.0.0:8080"}, 421),
        ({"Host": ""}, 421),
        ({"X_Forwarded_For": "203.0.113.9"}, 421),
        ({"Forwarded": "for=203.0.113.9"}, 421),
        ({"CF_Connecting_IP": "203.0.113.9"}, 421),
    ],
    ids=repr,
)
def test_without_a_token_only_this_machine_is_let_in(board: Dashboard, headers: dict[str, Any], status: int) -> None:
    for path in ("/", "/runs/acceptance"):
        assert board.ask(path, **headers).status == status
    if status != 200:
        assert board.ask("/updates", **headers).status == status
        assert "acceptance" not in board.ask("/", **headers).text


def test_a_token_opens_once_and_a_cookie_stands_for_it(guarded: Dashboard) -> None:
    board = guarded
    assert not board.secret
    for path in ("/", "/runs/acceptance", "/updates", "/runs/acceptance/pause", f"/?token={TOKEN}x", "/?token="):
        refused = board.ask(path)
        assert refused.status == 401, path
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.headers["content-security-policy"] == POLICY
        assert "acceptance" not in refused.text
        assert "set-cookie" not in refused.headers
    assert board.ask("/static/style.css").status == 200  # the page that asks is not ugly
    assert board.ask("/", Cookie=f"broadcaster_dashboard={TOKEN}").status == 401  # the token is not the cookie

    entered = board.ask(f"/runs/acceptance?token={TOKEN}", Host="board.example")
    assert (entered.status, entered.headers["location"]) == (303, "/runs/acceptance")
    cookie, *attributes = entered.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} == set(attributes)
    assert TOKEN not in cookie
    assert board.ask("/runs/acceptance", Cookie=cookie, Host="board.example").status == 200
    again = board.ask(f"/?token={TOKEN}", Cookie=cookie)
    assert (again.status, again.headers["location"]) == (303, "/")  # it leaves the address in any case

    assert board.ask("/", Authorization=f"Bearer {TOKEN}").status == 200
    assert board.ask("/", Authorization=f"Bearer {TOKEN}x").status == 401
    assert board.ask("/", Authorization=f"Basic {TOKEN}").status == 401
    assert board.ask("/enter", method="POST", fields={"token": f"{TOKEN}x"}).status == 401
    by_form = board.ask("/enter", method="POST", fields={"token": f" {TOKEN} "})
    assert (by_form.status, by_form.headers["location"]) == (303, "/")
    assert by_form.headers["set-cookie"] == entered.headers["set-cookie"]


def test_webhooks_are_reached_without_the_token(guarded: Dashboard) -> None:
    found = guarded.ask("/webhooks/sent", method="POST", Host="hooks.example", X_Forwarded_For="203.0.113.9")
    assert (found.status, found.text) == (401, "refused")  # not signed: the receiver's own answer
    assert guarded.ask("/healthz", Host="hooks.example").status == 200
    assert guarded.ask("/", Host="hooks.example").status == 401


def test_another_host_has_a_token_made_for_it(looked_at: Cli) -> None:
    with serving(looked_at, "--host", "0.0.0.0") as board:  # noqa: S104 - what is tested
        assert re.fullmatch(r"token=[A-Za-z0-9_-]{43}", board.secret)
        assert board.ask("/").status == 401
        assert board.ask(f"/?{board.secret}").status == 303


@pytest.mark.parametrize("token", ["short", "with a space in the middle", "naïve-but-long-enough"])
def test_a_token_that_protects_nothing_is_refused_without_being_repeated(cli: Cli, token: str) -> None:
    ended = cli("serve", "--dashboard-only", "--port", "0", env={"BROADCASTER_DASHBOARD_TOKEN": token})
    assert ended.code == 2
    assert "BROADCASTER_DASHBOARD_TOKEN" in ended.stderr
    assert token not in ended.stderr


# ---- buttons ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({}, {}),
        ({"form": ""}, {}),
        ({"form": "0" * 64}, {}),
        ({"form": "right"}, {"Origin": "http://evil.example"}),
        ({"form": "right"}, {"Origin": "null"}),
        ({"form": "right"}, {"Sec_Fetch_Site": "cross-site"}),
        ({"form": "right"}, {"Sec_Fetch_Site": "same-site"}),
    ],
    ids=repr,
)
def test_a_form_from_elsewhere_changes_nothing(
    looked_at: Cli, board: Dashboard, fields: dict[str, str], headers: dict[str, Any]
) -> None:
    if fields.get("form") == "right":
        fields = {"form": board.form("/runs/acceptance")}
    found = board.ask("/runs/acceptance/pause", method="POST", fields=fields, **headers)
    assert found.status == 403
    assert "Nothing was changed" in found.text
    assert control(looked_at) is None


def test_looking_at_a_button_presses_nothing_and_a_finished_run_has_none(looked_at: Cli, board: Dashboard) -> None:
    home = looked_at
    assert "Pause acceptance?" in board.ask("/runs/acceptance/pause").text
    assert control(home) is None
    assert 'id="pause"' not in board.ask("/runs/acceptance").text
    refused = board.ask("/runs/acceptance/pause", method="POST", fields={"form": board.form("/runs/acceptance/pause")})
    assert refused.status == 409
    assert "settled" in refused.text
    assert control(home) is None
    gone = board.ask("/runs/nobody/pause", method="POST", fields={"form": board.form("/runs/acceptance")})
    assert gone.status == 404


# ---- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    async with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@contextmanager
def sending(cli: Cli, *, people: int = 300, per_minute: int = 600) -> Iterator[Running]:
    """A run that takes half a minute if it is let; it is stopped at the end of the block."""
    cli.people(people)
    cli.job(limits={"requests_per_minute": per_minute, "batch_size": 1})
    running = cli.start("run", "job.toml", "--yes")
    try:
        wait_until((cli.home / RUN / "metrics.prom").exists, what="the run sends")
        yield running
    finally:
        if running.process.poll() is None:
            running.signal(signal.SIGINT)
            running.result()


async def count(page: Page, name: str) -> int:
    return int((await page.evaluate(f"document.getElementById('count-{name}').textContent")).replace(",", ""))


@in_a_browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, False), (1280, True), (360, True)])
async def test_the_pages_fit_and_complain_of_nothing(
    board: Dashboard, page: Page, tmp_path: Path, width: int, *, dark: bool
) -> None:
    for path, name in (("/", "list"), ("/runs/acceptance", "run"), ("/runs/acceptance/pause", "ask")):
        await page.open(board.url + path[1:], width=width, dark=dark)
        picture = await page.shoot(tmp_path / f"{name}-{width}{'-dark' if dark else ''}.png")
        assert picture.stat().st_size > 8_000  # an empty page has some two thousand bytes
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.complaints == []
        assert {urlsplit(each).netloc for each in page.requests if each.startswith("http")} == {board.address.netloc}
        unnamed = (
            "[...document.querySelectorAll('a, button')].filter(e => e.checkVisibility() && !e.textContent.trim())"
        )
        assert await page.evaluate(f"{unnamed}.length") == 0
        assert await page.evaluate(FAINT) == []
        dark_back = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", dark_back))) < 150) == dark


@in_a_browser
async def test_a_run_is_watched_paused_and_let_go_by_keyboard_and_mouse(cli: Cli, sim: Simulator, page: Page) -> None:
    with sending(cli) as running, serving(cli) as board:
        await page.open(board.url)
        await page.until("document.querySelector('.badge.busy')")
        before = await page.evaluate("document.querySelector('.of').textContent")
        await page.until(f"document.querySelector('.of').textContent !== {before!r}")  # without being asked again

        await page.open(f"{board.url}runs/acceptance", width=1280)
        first = await count(page, "accepted")
        await page.until(f"+document.getElementById('count-accepted').textContent > {first}")
        await page.until("document.getElementById('said').textContent.includes('settled')")

        # Cancelled by keyboard: nothing happens.
        await page.evaluate("document.getElementById('pause').focus()")
        await page.press("Enter", code=13, text="\r")
        await page.until("document.getElementById('ask').open")
        assert await page.evaluate("document.getElementById('ask').contains(document.activeElement)")
        assert await page.evaluate("document.getElementById('ask-title').textContent") == "Pause acceptance?"
        await page.press("Escape", code=27)
        await page.until("!document.getElementById('ask').open")
        assert await page.evaluate("document.activeElement.id") == "pause"
        assert control(cli) is None

        # Confirmed by mouse.
        await page.click("#pause")
        await page.until("document.getElementById('ask').open")
        async with page.loading():
            await page.click("#ask-yes")
        await page.until("document.getElementById('go') && document.querySelector('.badge').textContent === 'Paused'")
        assert control(cli) == "pause"
        assert json.loads((cli.home / RUN / "control.json").read_bytes())["switch"]["who"].endswith(" by dashboard")
        held = len(sim.messages())
        status = cli("status", RUN)
        assert running.process.poll() is None
        assert len(sim.messages()) <= held + 8  # what was in flight
        assert status.code in {0, 75}

        await page.click("#go")
        await page.until("document.getElementById('ask').open")
        async with page.loading():
            await page.click("#ask-yes")
        await page.until(
            "document.getElementById('pause') && document.querySelector('.badge').textContent === 'Sending'"
        )
        assert control(cli) == "go"
        held = await count(page, "accepted")
        await page.until(f"+document.getElementById('count-accepted').textContent > {held}")
        events = await page.evaluate("document.getElementById('events').textContent")
        assert "Paused" in events
        assert "Goes on" in events
        assert page.complaints == []


@in_a_browser
async def test_without_scripts_the_buttons_ask_on_a_page_of_their_own(cli: Cli, sim: Simulator, page: Page) -> None:
    del sim
    with sending(cli), serving(cli) as board:
        await page.open(f"{board.url}runs/acceptance", width=360, scripts=False)
        async with page.loading():
            await page.click("#pause")
        assert await page.evaluate("document.querySelector('h1').textContent") == "Pause acceptance?"
        assert control(cli) is None
        async with page.loading():
            await page.click("button[type=submit]")
        assert await page.evaluate("location.pathname") == "/runs/acceptance"
        assert control(cli) == "pause"
        assert await page.evaluate("document.getElementById('go') !== null")


@in_a_browser
async def test_a_page_that_is_open_says_when_its_run_or_its_server_is_gone(home: Cli, page: Page) -> None:
    with serving(home) as board:
        await page.open(f"{board.url}runs/acceptance")
        shutil.rmtree(home.home / RUN)
        await page.until("document.getElementById('state').textContent.includes('is not there any more')")
        assert page.complaints == []
    await page.until("!document.getElementById('link').hidden")
    assert "not current" in await page.evaluate("document.getElementById('link').textContent")


@in_a_browser
async def test_what_somebody_works_with_stays_while_the_page_changes(cli: Cli, sim: Simulator, page: Page) -> None:
    del sim
    with sending(cli), serving(cli) as board:
        await page.open(f"{board.url}runs/acceptance")
        await page.until("document.getElementById('rate-table')")
        await page.evaluate("document.querySelector('#rate-table summary').click()")
        await page.evaluate("document.querySelector('#rate-table summary').focus()")
        drawn = await page.evaluate("document.getElementById('rate').innerHTML")
        await page.until(f"document.getElementById('rate').innerHTML !== {json.dumps(drawn)}")
        assert await page.evaluate("document.getElementById('rate-table').open")
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
