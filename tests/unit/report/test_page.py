"""The page: one file that loads nothing and runs nothing, in order for those who listen to it, whatever the words."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.reports import drawn

from broadcaster.report.figures import Receipts, State
from broadcaster.report.page import render_page

_EMPTY = frozenset({"meta", "link", "br", "wbr"})
_WORDS = st.one_of(
    st.text(min_size=1, max_size=30),
    st.sampled_from(
        [
            "<script>alert(1)</script>", "</style><script>", "\"' onload=alert(1)", "{{ 7 * 7 }}", "{% raw %}",
            "&lt;b&gt;", "javascript:alert(1)", "<img src=x onerror=alert(1)>", "]]>", "<!--",
            "`$(rm)`", "\u202eexe", "\x00\x1b[2J",
        ]
    ),
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of it: elements in order, each with its attributes and its own text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(content)
        self.close()
        assert not self._open, [self.elements[at][0] for at in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in _EMPTY:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag

    def handle_data(self, data: str) -> None:
        for at in self._open:
            self.elements[at][2].append(data)

    def all(self, *tags: str) -> list[tuple[str, dict[str, str | None], str]]:
        return [(tag, given, "".join(words)) for tag, given, words in self.elements if tag in tags]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_page(drawn()))


def test_nothing_is_run_and_nothing_is_fetched(page: Page) -> None:
    assert not page.all("script", "img", "iframe", "object", "embed", "form", "base", "a")
    assert [given.get("href") for _, given, _ in page.all("link")] == ["data:,"]
    names = {name for _, given, _ in page.elements for name in given}
    assert not [name for name in names if name.startswith("on") or name in {"src", "style", "srcset", "action"}]


def test_the_policy_forbids_everything_but_the_pages_own_style(page: Page) -> None:
    (policy,) = [given["content"] for _, given, _ in page.all("meta") if given.get("http-equiv")]
    ((_, _, style),) = page.all("style")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert policy is not None
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
    assert "url(" not in style
    assert "@import" not in style


def test_headings_come_in_order_and_none_is_left_out(page: Page) -> None:
    levels = [int(tag[1]) for tag, _, _ in page.all("h1", "h2", "h3", "h4", "h5", "h6")]

    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(level - before <= 1 for before, level in pairwise(levels))


def test_every_table_has_a_caption_and_every_head_its_scope(page: Page) -> None:
    assert len(page.all("caption")) == len(page.all("table")) > 10
    assert all(words.strip() for _, _, words in page.all("caption"))
    assert {given.get("scope") for _, given, _ in page.all("th")} == {"col", "row"}


def test_every_picture_has_a_name_and_a_table_behind_it(page: Page) -> None:
    pictures = [given for _, given, _ in page.all("svg") if given.get("role") == "img"]
    ids = [given["id"] for _, given, _ in page.elements if given.get("id")]

    assert len(pictures) == 6
    assert len(page.all("details")) == len(pictures)
    for picture in pictures:
        assert all(name in ids for name in (picture["aria-labelledby"] or "").split())
    assert len(ids) == len(set(ids))


def test_every_section_is_named_by_its_heading(page: Page) -> None:
    headings = {given["id"] for _, given, _ in page.all("h2")}

    assert {given["aria-labelledby"] for _, given, _ in page.all("section")} == headings


@settings(max_examples=60, deadline=None)
@given(words=_WORDS)
def test_whatever_the_words_the_page_has_the_same_elements(words: str) -> None:
    usual, hostile = Page(render_page(drawn("words"))), Page(render_page(drawn(words)))

    def shape(page: Page) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(given)) for tag, given, _ in page.elements if tag != "wbr"]

    assert shape(hostile) == shape(usual)


def test_words_of_others_are_shown_as_they_are() -> None:
    page = Page(render_page(drawn("<b>&amp;</b> {{ 7 * 7 }}")))

    assert page.all("h1")[0][2] == "<b>&amp;</b> {{ 7 * 7 }}"


def text(content: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", content.split("</style>")[1])).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mode": "simulated"}, "Simulated: all of this happened with a simulator on one machine. Nobody was messaged"),
        ({"mode": "sandbox"}, "Sandbox: Sent answered as if, with its own test flag. Nobody was messaged"),
        ({"state": State.PLANNED}, "Planned, nothing sent"),
        ({"state": State.UNFINISHED}, "Not finished"),
        ({"why": "the balance is gone"}, "Stopped: the balance is gone"),
        (
            {"receipts": Receipts(known=False, messages=0, of=990, last=None)},
            "No receipts yet: how many messages were sent on, delivered or read is not known. broadcaster serve",
        ),
        ({"cost": None}, "Not known: no receipt carries a price. broadcaster reconcile asks the API for them."),
        ({}, "12,345.6789 for 980 messages, in the account's currency; 10 accepted messages have no price yet."),
        ({}, "12 requests; in the busiest 60 seconds 12, of 200 that the job allows. In messages: 990 of 6,000."),
        ({}, "The API asked 2 times to be slower."),
        ({"commands": ()}, "Nothing: everything is settled and proved."),
        ({"failures": ()}, "Nothing: no row was excluded, rejected, lost or left in doubt."),
        ({"exclusions": ()}, "None: every row of the list was eligible."),
        ({"sending": None}, "The API has answered nothing yet."),
        ({"channels": (), "countries": ()}, "No row asked for a message."),
    ],
    ids=str,
)
def test_what_is_so_is_said(change: dict[str, object], said: str) -> None:
    assert said in text(render_page(replace(drawn(), **change)))  # type: ignore[arg-type]  # names of fields


def test_a_live_run_has_no_banner() -> None:
    assert 'class="banner"' not in render_page(drawn())


def test_without_receipts_no_tile_says_that_nothing_was_delivered() -> None:
    unknown = drawn(receipts=Receipts(known=False, messages=0, of=990, last=None))
    tiles = re.findall(r"<dt>(.*?)</dt><dd.*?>(.*?)</dd>", render_page(unknown))

    assert ("Delivered", "not known") in tiles
    assert ("Not delivered", "not known") in tiles


def test_a_run_of_very_many_launches_shows_the_last_twenty() -> None:
    one = drawn().launches[1]
    content = text(render_page(drawn(launches=(one,) * 57)))

    assert "Processes that worked on the run: the last 20 of 57" in content


# ---- colours -------------------------------------------------------------------------------------------------------


def palettes() -> list[dict[str, str]]:
    """Return the colours by name: light, dark, on paper."""
    ((_, _, style),) = Page(render_page(drawn())).all("style")
    blocks = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    ]
    assert [len(block) for block in blocks] == [len(blocks[0])] * 3
    return blocks


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 has it."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("at", [0, 1, 2], ids=["light", "dark", "paper"])
def test_text_and_shapes_stand_out_from_what_is_behind_them(at: int) -> None:
    colours = palettes()[at]

    for name in ("ink", "soft", "link", "good", "bad", "warm"):
        assert contrast(colours[name], colours["card"]) >= 4.5, name
    for name in ("ink", "soft"):
        assert contrast(colours[name], colours["back"]) >= 4.5, name
    for wash in ("wash", "wash-bad", "track"):
        assert contrast(colours["ink"], colours[wash]) >= 4.5, wash
    for name in ("delivered", "sent", "accepted", "read", "lost", "rejected", "doubt", "edge"):
        assert contrast(colours[name], colours["card"]) >= 3, name
