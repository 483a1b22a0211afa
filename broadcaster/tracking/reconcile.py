"""Paced look-ups that turn into evidence: the account's list of messages, read back to the oldest doubt.

The list is long (everything the account ever sent) and moves while it is read: new messages push the others towards
later pages, so some are seen twice and none is missed. Only what may explain a doubt is kept. Whoever hands in ``ask``
decides about pace, retries and when to stop; nothing is written here, so it can be left at any moment.
"""

from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Container, Iterable
from contextlib import aclosing
from dataclasses import dataclass, fields, replace

from broadcaster.api.asking import Sending
from broadcaster.api.history import LARGEST_PAGE, Page, Sighting, conversations, message
from broadcaster.errors import ContractBroken
from broadcaster.tracking.evidence import Doubt, Found, explains, horizon, match, suffices

SETTLING_US = 60_000_000  # a message may not be shown at once; until then nothing is said of its absence
_MOST_IDLE_PAGES = 20  # in a row that show nothing older: a busy account pushes a page or two towards us, not twenty


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How far a look-up has come: requests for pages, and the time of the oldest message on the last one."""

    pages: int
    reached_us: int | None


async def look_up(
    doubts: Collection[Doubt],
    *,
    ask: Sending,
    known_ids: Container[str],
    page_size: int = LARGEST_PAGE,
    observe: Callable[[Looked], None],
) -> Found:
    """Return what the API shows of *doubts*.

    An entry of the list that leaves out what has to be compared is looked up by its id; if the API does not know that
    id, it is no evidence.

    Args:
        doubts: no two of the same (batch, position, channel).
        ask: sends the requests.
        known_ids: every message id that a journal of ours knows.
        page_size: entries to ask for at once.
        observe: hears of every page.

    Raises:
        AccountRefused, Unreachable, RequestRefused: as :func:`broadcaster.api.lookups.me`.
        ContractBroken: an answer cannot be read, or the list does not go on.
    """
    if not doubts:
        return Found()
    newest_us, oldest_us = horizon(doubts)
    sieve = _Sieve(doubts, known_ids)
    asked_us: list[int] = []

    async def read(number: int) -> Page:
        page = await conversations(ask, page=number, page_size=page_size)
        asked_us.append(page.asked_us)
        observe(Looked(pages=len(asked_us), reached_us=min(_times(page), default=None)))
        return page

    async with aclosing(walk(read, newest_us=newest_us, oldest_us=oldest_us)) as pages:
        async for page in pages:
            sieve.take(page.sightings)
    found = match(doubts, await sieve.kept(ask), known_ids=known_ids)
    settled_us = asked_us[0] - SETTLING_US
    return replace(
        found,
        not_found=tuple(each for each in found.not_found if each.since_us <= settled_us),
        too_early=tuple(each for each in found.not_found if each.since_us > settled_us),
    )


async def walk(read: Callable[[int], Awaitable[Page]], *, newest_us: int, oldest_us: int) -> AsyncGenerator[Page, None]:
    """Yield the pages of the list that may show a message of that time, the newest first.

    Args:
        read: returns a page by its number, from 1.
        newest_us: what was created later is leapt over.
        oldest_us: what was created earlier ends it.

    Raises:
        ContractBroken: the list does not go on.
    """
    number, page = 1, await read(1)
    if _too_new(page, newest_us) and page.pages is not None and page.pages > 1:
        number = await _first(read, newest_us=newest_us, pages=page.pages)
        page = await read(number)
    reached_us: int | None = None  # the smallest of the newest times of each page
    before: frozenset[str] = frozenset()
    idle = 0
    while True:
        yield page
        top_us = max(_times(page), default=None)
        if not page.has_more or (top_us is not None and top_us < oldest_us):
            return
        ids = frozenset(each.message_id for each in page.sightings)
        newer = top_us is not None and reached_us is not None and top_us > reached_us
        idle = idle + 1 if newer or ids <= before else 0
        if idle >= _MOST_IDLE_PAGES:
            raise ContractBroken(f"The API's list of messages does not go on: {idle} pages in a row show nothing older")
        reached_us, before = (reached_us if newer or top_us is None else top_us), ids
        number += 1
        page = await read(number)


async def _first(read: Callable[[int], Awaitable[Page]], *, newest_us: int, pages: int) -> int:
    """Return a page before which all are too new: by leaps, then by halves. Page 1 is known to be too new.

    What is pushed towards later pages meanwhile makes the answer too early a page, never too late a one.
    """
    low = high = min(2, pages)
    while high < pages and _too_new(await read(high), newest_us):
        low, high = high + 1, min(high * 2, pages)
    while low < high:
        middle = (low + high) // 2
        if _too_new(await read(middle), newest_us):
            low = middle + 1
        else:
            high = middle
    return low


def _too_new(page: Page, newest_us: int) -> bool:
    return min(_times(page), default=newest_us) > newest_us


def _times(page: Page) -> list[int]:
    return [each.created_us for each in page.sightings if each.created_us is not None]


class _Sieve:
    """Keeps the messages that may explain a doubt, each once."""

    def __init__(self, doubts: Iterable[Doubt], known_ids: Container[str]) -> None:
        self._known_ids = known_ids
        self._doubts: dict[str, list[Doubt]] = defaultdict(list)
        for doubt in doubts:
            self._doubts[doubt.to].append(doubt)
        self._kept: dict[str, Sighting] = {}
        self._vague: set[str] = set()

    def take(self, sightings: Iterable[Sighting]) -> None:
        """Look through a page."""
        for each in sightings:
            near = self._doubts.get(each.phone or "", ())
            if not near or each.message_id in self._kept:
                continue
            # What is null in a list may be told of the message itself.
            possible = [doubt for doubt in near if explains(replace(each, whole=False), doubt)]
            if possible and each.message_id not in self._known_ids:
                self._kept[each.message_id] = each
                if not all(suffices(each, doubt) for doubt in possible):
                    self._vague.add(each.message_id)

    async def kept(self, ask: Sending) -> list[Sighting]:
        """Return what was kept, with what the API tells of the vague ones by their id."""
        found = []
        for message_id, listed in self._kept.items():
            if message_id not in self._vague:
                found.append(listed)
            elif (single := await message(ask, message_id)) is not None:
                found.append(_merged(listed, single))
        return found


def _merged(listed: Sighting, single: Sighting) -> Sighting:
    """Return *single*, with what only the list tells."""
    missing = [each.name for each in fields(Sighting) if getattr(single, each.name) is None]
    return replace(single, **{name: getattr(listed, name) for name in missing})
