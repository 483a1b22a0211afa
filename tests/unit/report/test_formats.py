"""JSON, CSV and Markdown: the same facts, in shapes that others may rely on."""

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports import drawn

from broadcaster.report.figures import FORMAT, Receipts
from broadcaster.report.formats import FORMATS, render_csv, render_json
from broadcaster.report.markdown import render_markdown


def rows(content: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content)))


def test_the_names_of_the_json_are_fixed() -> None:
    """Who changes one of these gives ``format`` another number."""
    found = json.loads(render_json(drawn()))

    assert found["format"] == FORMAT == "broadcaster-report/1"
    assert list(found) == [
        "format", "campaign", "mode", "run_dir", "written_at", "state", "headline", "exit_code", "stopped_by", "why",
        "commands", "rows", "recipients", "outcomes", "funnel", "receipts", "channels", "countries", "failures",
        "sending", "told", "rate", "cost", "exclusions", "doubts", "promises", "facts", "lists", "launches",
        "decisions",
    ]  # fmt: skip
    inside = {
        "outcomes": [
            "read", "delivered", "sent", "under_way", "accepted", "failed", "blocked", "filtered", "cancelled",
            "rejected", "in_doubt", "pending", "excluded",
        ],
        "receipts": ["known", "messages", "of", "last"],
        "rate": ["requests", "refused", "limit", "busiest", "messages_limit", "busiest_messages", "over_time"],
        "cost": ["total", "messages", "unpriced", "channels", "countries"],
        "sending": ["start", "step_s", "series"],
    }  # fmt: skip
    assert {name: list(found[name]) for name in inside} == inside
    each = {
        "funnel": ["name", "unit", "count", "meaning"],
        "channels": ["name", "outcomes"],
        "failures": ["kind", "code", "count", "meaning", "advice"],
        "exclusions": ["reason", "rows", "examples"],
        "doubts": ["code", "messages", "since", "protected_until"],
        "promises": ["what", "result", "how"],
        "lists": ["name", "part", "bytes", "sha256"],
        "launches": ["started", "ended", "version", "ending"],
        "decisions": ["at", "who", "what", "requests", "note"],
    }
    assert {name: list(found[name][0]) for name in each} == each


def test_what_is_not_known_is_null_and_not_nothing() -> None:
    unknown = drawn(cost=None, receipts=Receipts(known=False, messages=0, of=5, last=None))
    found = json.loads(render_json(unknown))

    assert found["cost"] is None
    assert found["receipts"] == {"known": False, "messages": 0, "of": 5, "last": None}


def test_every_row_of_the_csv_is_one_fact() -> None:
    found = rows(render_csv(drawn()))

    assert found[0] == ["section", "name", "measure", "value"]
    assert {len(row) for row in found} == {4}
    for fact in (
        ["run", "", "campaign", "spring-sale"],
        ["run", "", "exit_code", "5"],
        ["outcomes", "", "delivered", "900"],
        ["funnel", "Delivered", "count", "920"],
        ["channels", "spring-sale", "outcomes.failed", "40"],
        ["failures", "rejected spring-sale", "count", "7"],
        ["rate", "", "busiest", "12"],
        ["rate", "", "over_time.series.requests.1", "12"],
        ["cost", "", "total", "12345.6789"],
        ["exclusions", "spring-sale", "examples.0.line", "1041"],
        ["facts", "Planned at", "value", "2026-11-21T08:45:00+00:00"],
    ):
        assert fact in found, fact


def test_the_csv_leaves_out_what_is_not_known() -> None:
    found = rows(render_csv(drawn(cost=None, why=None)))

    assert not [row for row in found if row[0] == "cost" or row[2] == "why" or row[3] == "None"]


@given(st.text(max_size=20))
def test_no_cell_of_the_csv_is_run_by_a_spreadsheet(words: str) -> None:
    formulas = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    content = render_csv(drawn(words))

    assert not [cell for row in rows(content) for cell in row if cell.startswith(formulas)]


@pytest.mark.parametrize("words", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_a_cell_that_begins_like_a_formula_begins_with_an_apostrophe(words: str) -> None:
    assert ["run", "", "campaign", f"'{re.sub(chr(92) + 's', ' ', words)}"] in rows(render_csv(drawn(words)))


@given(st.text(min_size=1, max_size=20))
def test_no_word_breaks_a_table_of_the_markdown_or_is_markup(words: str) -> None:
    content = render_markdown(drawn(words))
    lines = content.splitlines()

    assert len(lines) == len(render_markdown(drawn("words")).splitlines())
    assert not [line for line in lines if not line.startswith("- `") and re.search(r"[<>@]", line)]
    width = 0
    for line in lines:
        cells = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
        if line.startswith("|"):
            assert cells == (width or cells), line
            width = cells
        else:
            width = 0


def test_the_markdown_says_what_matters_first() -> None:
    content = render_markdown(drawn(mode="simulated"))

    assert content.startswith("# spring-sale\n\n**halted**, simulated, exit code 5. spring-sale\n")
    assert "> Simulated: nobody was messaged." in content
    assert "| Delivered | 920 · 92.9 % of accepted |" in content
    assert "| rejected | spring-sale | 7 | spring-sale |" in content
    assert "## Cost, in the account's currency" in content


@pytest.mark.parametrize("command", ["broadcaster resume 'a `b` c'", "broadcaster resume ``", "`"])
def test_a_command_with_backticks_is_still_one_piece_of_code(command: str) -> None:
    line = next(
        each for each in render_markdown(drawn(commands=((command, "x"),))).splitlines() if each.startswith("- ")
    )
    fence = re.match(r"- (`+) ", line)

    assert fence is not None
    assert line == f"- {fence[1]} {command} {fence[1]} x"
    assert max(map(len, re.findall("`+", command))) < len(fence[1])


def test_every_format_of_the_command_line_can_be_written() -> None:
    found = {name: bool(write(drawn())) for name, write in FORMATS.items()}

    assert found == dict.fromkeys(("html", "json", "csv", "md"), True)
