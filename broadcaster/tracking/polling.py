"""Paced look-ups that turn into receipts: what the API says now of messages that may still change.

For accounts without webhooks. Theory of operation. There are two ways to ask. One message by its id is a request for
each. The account's list of messages, newest first, shows a hundred at once, but of whatever the account has sent
lately: right after a run nearly all of them are ours, a week later nearly none. So the list is read first, page by
page, from where the run's messages begin and as long as it pays (:func:`pays`); what it did not show is asked for by
id.

What is learned is kept at once by whoever hands in ``keep``; so this may be left at any moment, and is gone on with by
asking for what is still open. Decides nothing about pace, order or what is open; it writes nothing itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from broadcaster.api.asking import Sending
from broadcaster.api.history import LARGEST_PAGE, Page, Sighting, Step, conversations, message
from broadcaster.core.receipts import NOT_ARRIVED, Receipt
from broadcaster.errors import BroadcasterError, ContractBroken, RequestRefused
from broadcaster.operations.envelope import discreet
from broadcaster.tracking.reconcile import walk

SOURCE = "lookup"
FEW = 10
"""Messages for which the list is not looked at: finding the right page may take as many requests."""
_MOST_UNREADABLE = 5  # answers in a row: one may be damaged, five are another API
_UNPROFITABLE = 3  # pages in a row


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a round of look-ups came to.

    Attributes:
        asked: requests.
        told: messages of which the API said something; *learned* are the receipts of it that were new.
        unknown: messages that the API does not know, or not yet: no error.
        unreadable: answers that could not be read; their messages stay as they were.
        left: messages that were not asked for any more.
        because: what ended it early, if something did.
    """

    asked: int = 0
    told: int = 0
    learned: int = 0
    unknown: int = 0
    unreadable: int = 0
    left: int = 0
    because: BroadcasterError | None = None


Keep = Callable[[Sequence[Receipt], Sequence[str]], Awaitable[int]]
"""Make receipts durable, with the messages that were asked for; return how many were new."""


def pays(hits: Sequence[int], *, left: int) -> bool:
    """Return whether another page of the list is likely to save requests.

    Args:
        hits: how many messages that are looked for each page so far has shown, in order.
        left: messages that are still looked for.
    """
    lately = hits[-_UNPROFITABLE:]
    return left > 1 and (len(lately) < _UNPROFITABLE or sum(lately) > len(lately))


def receipts_of(sighting: Sighting, *, asked_us: int) -> list[Receipt]:
    """Return what a look-up says as receipts: one for each status that the message has had.

    The last one has channel and price too. A status without a time is of the moment of asking: then it was so.
    """
    steps = list(sighting.steps)
    now = max((at for at, each in enumerate(steps) if each.status == sighting.status), default=None, key=_by(steps))
    if now is None and sighting.status is not None:
        now = len(steps)
        steps.append(Step(status=sighting.status))
    found = []
    for at, step in enumerate(steps):
        if at == now:
            code, reason = step.code or sighting.code, step.reason or sighting.reason
            found.append(_receipt(sighting, replace(step, code=code, reason=reason), asked_us, is_last=True))
        else:
            found.append(_receipt(sighting, step, asked_us, is_last=False))
    return found


def _by(steps: Sequence[Step]) -> Callable[[int], tuple[int, int]]:
    return lambda at: (steps[at].at_us or 0, at)


def _receipt(sighting: Sighting, step: Step, asked_us: int, *, is_last: bool) -> Receipt:
    channel = sighting.channel if is_last and sighting.channel != "auto" else None
    price = sighting.price if is_last else None
    updated_us = asked_us if step.at_us is None else step.at_us
    words = (SOURCE, sighting.message_id, step.status, str(updated_us), step.code or "", channel or "", price or "")
    return Receipt(
        message_id=sighting.message_id,
        status=step.status,
        channel=channel,
        code=step.code,
        reason=discreet(step.reason) if step.reason else None,
        updated_us=updated_us,
        event_key=":".join(words),
        source=SOURCE,
        price=price,
    )


async def poll(
    open_ids: Sequence[str],
    *,
    ask: Sending,
    keep: Keep,
    now_us: Callable[[], int],
    newest_us: int,
    oldest_us: int,
    limit: int | None,
    concurrency: int,
    observe: Callable[[Polled], None],
) -> Polled:
    """Ask the API about messages, each at most once. May be cancelled at any moment: what was learned is kept.

    Args:
        open_ids: those that may still change, in the order in which to ask.
        ask: sends the requests; it decides about pace and retries.
        keep: makes durable what was learned.
        now_us: the time.
        newest_us: no message was created later.
        oldest_us: no message was created earlier.
        limit: the most requests; ``None`` is no limit.
        concurrency: requests under way at a time.
        observe: hears of every answer.

    Returns:
        How far it came. What ends it early (a refused key, an outage, a full disk) is told in ``because``.
    """
    polling = _Polling(open_ids, ask=ask, keep=keep, now_us=now_us, limit=limit, observe=observe)
    if len(open_ids) > FEW:
        await polling.read_list(newest_us=newest_us, oldest_us=oldest_us)
    async with asyncio.TaskGroup() as group:
        for number in range(min(concurrency, len(open_ids))):
            group.create_task(polling.ask_singly(), name=f"look-up-{number}")
    return polling.told()


class _Polling:
    """One round. ``_open`` are the messages not asked for yet, in order."""

    def __init__(
        self,
        open_ids: Sequence[str],
        *,
        ask: Sending,
        keep: Keep,
        now_us: Callable[[], int],
        limit: int | None,
        observe: Callable[[Polled], None],
    ) -> None:
        self._open = dict.fromkeys(open_ids)
        self._ask = ask
        self._keep = keep
        self._now_us = now_us
        self._limit = limit
        self._observe = observe
        self._so_far = Polled()
        self._unreadable_in_a_row = 0

    def told(self) -> Polled:
        return replace(self._so_far, left=len(self._open))

    @property
    def _goes_on(self) -> bool:
        more = self._limit is None or self._so_far.asked < self._limit
        return more and bool(self._open) and self._so_far.because is None

    def _count(self, **more: int) -> None:
        self._so_far = replace(
            self._so_far, **{name: getattr(self._so_far, name) + count for name, count in more.items()}
        )

    async def read_list(self, *, newest_us: int, oldest_us: int) -> None:
        """Read the list as long as it pays; what cannot be read of it is left to the single look-ups."""
        hits: list[int] = []
        try:
            async with aclosing(walk(self._page, newest_us=newest_us, oldest_us=oldest_us)) as pages:
                async for page in pages:
                    hits.append(await self._look_through(page))
                    if not pays(hits, left=len(self._open)):
                        return
        except (ContractBroken, RequestRefused):
            return
        except BroadcasterError as error:
            self._end(error)

    async def _page(self, number: int) -> Page:
        if not self._goes_on:
            return Page(sightings=(), has_more=False, pages=None, asked_us=self._now_us())
        self._count(asked=1)
        return await conversations(self._ask, page=number, page_size=LARGEST_PAGE)

    async def _look_through(self, page: Page) -> int:
        """Take what a page tells of messages that are looked for; return of how many."""
        shown = {each.message_id: each for each in page.sightings if each.message_id in self._open and _says(each)}
        for each in shown:
            del self._open[each]
        await self._take(list(shown.values()), list(shown), asked_us=page.asked_us)
        return len(shown)

    async def ask_singly(self) -> None:
        """Ask for one message after the other, beside others who do the same."""
        while self._goes_on:
            message_id = next(iter(self._open))
            del self._open[message_id]
            self._count(asked=1)
            try:
                await self._ask_for(message_id)
            except BroadcasterError as error:
                self._open[message_id] = None
                self._end(error)

    async def _ask_for(self, message_id: str) -> None:
        asked_us = self._now_us()
        found = None
        try:
            found = await message(self._ask, message_id)
        except (ContractBroken, RequestRefused) as error:
            self._count(unreadable=1)
            self._unreadable_in_a_row += 1
            if self._unreadable_in_a_row >= _MOST_UNREADABLE:
                self._end(error)
        else:
            self._unreadable_in_a_row = 0
            self._count(unknown=int(found is None))
        await self._take([] if found is None else [found], [message_id], asked_us=asked_us)

    async def _take(self, sightings: Sequence[Sighting], asked: Sequence[str], *, asked_us: int) -> None:
        new = await self._keep([word for each in sightings for word in receipts_of(each, asked_us=asked_us)], asked)
        self._count(told=len(sightings), learned=new)
        self._observe(self.told())

    def _end(self, error: BroadcasterError) -> None:
        if self._so_far.because is None:
            self._so_far = replace(self._so_far, because=error)


def _says(sighting: Sighting) -> bool:
    """Whether an entry of the list tells what a look-up by id would. It may leave out why something did not arrive."""
    stopped = sighting.status in NOT_ARRIVED and sighting.code is None and not sighting.steps
    return sighting.status is not None and not stopped
