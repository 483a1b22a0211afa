"""The report as its readers have it: left by every run, made anew when asked, shown by a real browser."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from support.browser import browser, in_a_browser
from support.cli import ORDER, Cli, numbers, sends, wait_until
from support.plans import T0
from support.reports import drawn
from support.simulator import Simulator

from broadcaster.core.receipts import Receipt
from broadcaster.report.figures import Figures, Group, Outcome, Receipts, Step, Timeline
from broadcaster.report.labels import NOTHING
from broadcaster.report.page import render_page
from broadcaster.store.receipts import ReceiptsWriter

RUN = "runs/acceptance"
BAD = {"on": "POST /v3/messages", "nth": [2], "do": "status", "status": 400, "code": "VALIDATION_002"}


def finished(cli: Cli, sim: Simulator) -> list[str]:
    """Send to five people, one to a request, of whom the second is refused; two rows are excluded."""
    to = numbers(5)
    lines = [f"{number},Forename{at},Code-{at}" for at, number in enumerate([*to, to[0], "0800 SECRET"])]
    cli.write("people.csv", "\n".join(["phone,first_name,code", *lines, ""]))
    cli.job(message={"template_id": ORDER, "parameters": {"name": "{first_name}", "order_id": "{code}"}})
    sim.set_faults([BAD])
    ended = cli("run", "job.toml", "--yes")
    assert ended.code == 3, ended.stderr
    return to


def page(cli: Cli) -> str:
    return (cli.home / RUN / "report.html").read_text(encoding="utf-8")


def report(cli: Cli, *more: str) -> dict[str, object]:
    shown = cli("report", RUN, "--format", "json", *more)
    assert shown.code == 0, shown.stderr
    found: dict[str, object] = json.loads(shown.stdout)
    return found


# ---- what is left and what is asked for ----------------------------------------------------------------------------


def test_every_run_leaves_a_page_that_names_nobody(cli: Cli, sim: Simulator) -> None:
    to = finished(cli, sim)
    left = page(cli)

    assert "4 of 5 messages accepted, 1 rejected." in left
    assert "VALIDATION_<wbr>002" in left
    assert (cli.home / RUN / "report.html").stat().st_mode & 0o777 == 0o600
    for word in (*(number[2:] for number in to), "Forename", "Code-", "SECRET", str(cli.home)):
        assert word not in left, word


def test_the_page_is_written_anew_where_it_is_asked_for(cli: Cli, sim: Simulator) -> None:
    finished(cli, sim)
    left = page(cli)
    (cli.home / RUN / "report.html").unlink()
    again, elsewhere = cli("report", RUN), cli("report", RUN, "--out", "mine.html")

    assert (again.code, again.stdout) == (0, f"{RUN}/report.html\n")
    assert (elsewhere.code, elsewhere.stdout) == (0, "mine.html\n")
    assert f"{NOTHING} not checked" in left
    assert f"{NOTHING} not checked" not in page(cli)  # a small run is verified on the way
    assert "✓ kept" in (cli.home / "mine.html").read_text(encoding="utf-8")


def test_each_format_goes_to_standard_output_and_says_the_same(cli: Cli, sim: Simulator) -> None:
    finished(cli, sim)
    found = report(cli)
    table = list(csv.reader(io.StringIO(cli("report", RUN, "--format", "csv").stdout)))
    pasted = cli("report", RUN, "--format", "md", "--out", "-").stdout

    assert found["outcomes"] == {
        **dict.fromkeys(map(str, Outcome), 0), "accepted": 4, "rejected": 1, "excluded": 2,
    }  # fmt: skip
    assert ["outcomes", "", "rejected", "1"] in table
    assert pasted.startswith("# acceptance\n\n**complete**, live, exit code 3. 4 of 5 messages accepted, 1 rejected.")
    assert "| sms | 5 | 4 | 1 |" in pasted


def test_a_simulated_run_says_so_above_everything(cli: Cli) -> None:
    cli.people(3)
    cli.job()
    assert cli("run", "job.toml", "--yes", "--simulate").code == 0
    left = (cli.home / f"{RUN}.simulated" / "report.html").read_text(encoding="utf-8")

    assert left.index('class="banner"') < left.index("<section")


def test_a_plan_of_which_nothing_was_sent_has_a_report(cli: Cli) -> None:
    cli.people(3)
    cli.job()
    assert cli("plan", "job.toml").code == 0

    assert "3 messages planned, and nothing was sent yet." in page(cli)


def test_a_run_is_reported_while_it_sends_and_after_it_was_killed(cli: Cli, sim: Simulator) -> None:
    cli.people(6)
    cli.job(limits={"batch_size": 1, "concurrency": 1})
    sim.set_faults([{"on": "POST /v3/messages", "nth": [4], "do": "slow", "delay_s": 60}])
    started = cli.start("run", "job.toml", "--yes")
    wait_until(lambda: len(sends(sim)) >= 4, what="the slow request")
    during = report(cli)
    started.signal(9)
    started.result()
    after = report(cli)

    assert during["state"] == "sending"
    assert during["outcomes"]["accepted"] == 3  # type: ignore[index]  # by name
    assert after["state"] == "unfinished"
    assert {name: after["outcomes"][name] for name in ("accepted", "in_doubt", "pending")} == {  # type: ignore[index]
        "accepted": 3, "in_doubt": 1, "pending": 2,
    }  # fmt: skip
    assert after["commands"][0][0] == f"broadcaster resume {RUN}"  # type: ignore[index]
    assert after["launches"][0]["ending"] is None  # type: ignore[index]


def test_what_stopped_a_run_is_still_told_later(cli: Cli, sim: Simulator) -> None:
    cli.people(3)
    cli.job()
    sim.set_faults([{"on": "POST /v3/messages", "do": "status", "status": 402, "code": "BUSINESS_003"}])
    assert cli("run", "job.toml", "--yes").code == 5
    found = report(cli)

    assert (found["state"], found["stopped_by"], found["exit_code"]) == ("halted", "balance_exhausted", 5)
    assert "balance" in page(cli)


async def test_receipts_that_come_later_are_in_the_next_report(cli: Cli, sim: Simulator) -> None:
    finished(cli, sim)
    assert report(cli)["receipts"] == {"known": False, "messages": 0, "of": 4, "last": None}
    message = next(row["message_id"] for row in cli.manifest() if row["status"] == "accepted")
    told = Receipt(
        message_id=message, status="DELIVERED", channel="sms", code=None, reason=None, updated_us=T0,
        event_key="1", source="webhook", price="0.0079",
    )  # fmt: skip
    with ReceiptsWriter(cli.home / RUN / "receipts.sqlite") as writer:
        await writer.add([told])
    found = report(cli)

    assert found["receipts"] == {"known": True, "messages": 1, "of": 4, "last": "2025-12-01T09:06:40+00:00"}
    assert found["cost"]["total"] == "0.0079"  # type: ignore[index]


def test_a_purged_run_keeps_a_page_that_speaks_of_no_single_row(cli: Cli, sim: Simulator) -> None:
    finished(cli, sim)
    assert "+1••••••••" in page(cli)
    assert cli("purge", RUN, "--yes").code == 0
    refused = cli("report", RUN)

    assert "4 of 5 messages accepted" in page(cli)
    assert "••" not in page(cli)
    assert refused.code == 78
    assert f"{RUN}/report.html" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("runs/nowhere",), 2, "there is no such run directory"),
        ((RUN, "--format", "pdf"), 2, "is not one of"),
        ((RUN, "--format", "json", "--out", "no/such/place.json"), 74, "No such file or directory"),
    ],
    ids=["no such run", "no such format", "no such place"],
)
def test_what_cannot_be_reported_is_said_in_a_sentence(
    cli: Cli, arguments: tuple[str, ...], code: int, said: str
) -> None:
    cli.people(1)
    cli.job()
    assert cli("plan", "job.toml").code == 0
    refused = cli("report", *arguments)

    assert refused.code == code
    assert said in refused.stderr


# ---- in a browser --------------------------------------------------------------------------------------------------

_HUGE = 10_000_000
_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_OVERLAPS = """
[...document.querySelectorAll('svg.chart')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(each => [each.textContent, each.getBoundingClientRect()]);
  const room = svg.getBoundingClientRect();
  const outside = texts.filter(([_, b]) => b.left < room.left - 1 || b.right > room.right + 1).map(([words]) => words);
  const over = texts.flatMap(([one, a], at) => texts.slice(at + 1)
    .filter(([_, b]) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 4 && b.top < a.bottom - 4)
    .map(([other]) => one + ' | ' + other));
  return [...outside, ...over];
})
"""


def huge() -> Figures:
    """Return figures with the longest numbers that are to be expected."""
    outcomes = dict.fromkeys(map(str, Outcome), 0) | {"delivered": _HUGE - 3, "failed": 1, "accepted": 1, "pending": 1}
    counts = (_HUGE, _HUGE - 1, 2 * _HUGE, 2 * _HUGE - 1, 2 * _HUGE - 2, 2 * _HUGE - 3, 1)
    names = ("On the list", "Eligible", "Planned", "Accepted", "Sent", "Delivered", "Read")
    group = Group(name="auto → whatsapp", outcomes=outcomes)
    series = {"accepted": (_HUGE,) * 48, "rejected": (1,) * 48}
    return drawn(
        outcomes=outcomes,
        funnel=tuple(
            Step(name=name, unit="messages", count=count, meaning="") for name, count in zip(names, counts, strict=True)
        ),
        channels=(group,) * 5,
        countries=(group,) * 13,
        sending=Timeline(start="2026-11-21T08:46:00+00:00", step_s=1800, series=series),
        receipts=Receipts(known=True, messages=_HUGE - 2, of=_HUGE - 1, last="2026-11-21T08:59:00+00:00"),
    )  # fmt: skip


@in_a_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_a_browser_shows_the_page_without_a_complaint_and_fetches_nothing(
    cli: Cli, sim: Simulator, tmp_path: Path, width: int, *, dark: bool
) -> None:
    finished(cli, sim)
    path = cli.home / RUN / "report.html"
    async with browser(tmp_path) as shown:
        await shown.open(path, width=width, dark=dark)
        back = await shown.evaluate("getComputedStyle(document.body).backgroundColor")

        assert await shown.evaluate(_WIDE) == 0
        assert await shown.evaluate(_OVERLAPS) == []
        assert (await shown.shoot(tmp_path / "page.png")).stat().st_size > 10_000
        assert shown.complaints == []
        assert shown.requests == [path.as_uri()]
        assert (
            max(map(int, re.findall(r"\d+", back)[:3])) < 60 if dark else min(map(int, re.findall(r"\d+", back))) > 200
        )


@in_a_browser
@pytest.mark.parametrize(
    "words", ["W" * 200, "spring-sale", "ein Wort nach dem anderen " * 12], ids=["long", "usual", "many"]
)
async def test_nothing_overlaps_or_runs_out_of_the_page_on_a_phone(tmp_path: Path, words: str) -> None:
    path = tmp_path / "report.html"
    async with browser(tmp_path) as shown:
        for figures in (drawn(words), huge()):
            path.write_text(render_page(figures), encoding="utf-8")
            await shown.open(path, width=360)

            assert await shown.evaluate(_WIDE) == 0
            if words == "spring-sale":
                assert await shown.evaluate(_OVERLAPS) == []


@in_a_browser
async def test_a_table_opens_by_the_keyboard_and_scrolls_by_itself_where_it_is_too_wide(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(drawn()), encoding="utf-8")
    async with browser(tmp_path) as shown:
        await shown.open(path, width=360)
        await shown.press("Tab", code=9)
        assert await shown.evaluate("document.activeElement.tagName") == "SUMMARY"
        await shown.press("Enter", code=13, text="\r")
        assert await shown.evaluate("document.activeElement.parentElement.open") is True
        await shown.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

        assert await shown.evaluate(_WIDE) == 0


@in_a_browser
async def test_it_is_printed_in_dark_ink_with_every_table_open(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(drawn()), encoding="utf-8")
    async with browser(tmp_path) as shown:
        await shown.open(path, width=794, dark=True)
        await shown.resize(794, dark=True, medium="print")

        assert await shown.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert await shown.evaluate("document.querySelector('details table').checkVisibility()") is True
        assert (await shown.print(tmp_path / "report.pdf")).read_bytes()[:5] == b"%PDF-"
        assert shown.complaints == []
