"""Who watches a run while it sends: what the API answers, and what receipts say of the messages it accepted.

Theory of operation. Answers are heard as events. Receipts are looked at once a second, off the loop, and only where new
ones have come. Both count towards the same limits, ``safety.halt_count`` and ``safety.halt_share``; where the account
itself stops messages a few are enough (:mod:`broadcaster.core.halt`). Refusals count over all launches of a run,
receipts only of messages that this launch had accepted: so whoever has mended the account simply goes on. A halt
drains: what is under way ends properly.

It must not know where receipts are kept, nor how they came.
"""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from broadcaster.clock import Clock
from broadcaster.core.halt import must_halt, stopped_by
from broadcaster.core.remedy import Cause, mend
from broadcaster.engine.ports import Event, Noticed, Observe, Settled
from broadcaster.engine.stop import Stop
from broadcaster.errors import BalanceExhausted, BroadcasterError, Halted
from broadcaster.job.model import Safety
from broadcaster.store.feedback import Told

LOOK_EVERY_S = 1.0
UNREADABLE = "receipts_unreadable"  # the code of the event


@dataclass(slots=True)
class Watch:
    """Counts what happens, halts a run that goes wrong, and passes every event on."""

    safety: Safety
    stop: Stop
    largest: int
    observe: Observe
    where: Path = field(default_factory=Path)
    accepted: int = 0
    rejected: int = 0
    earlier_launch: int = 0
    undelivered: int = 0
    fresh: list[int] = field(default_factory=list)  # batches accepted since somebody took them

    def __call__(self, event: Event) -> None:
        """See :class:`broadcaster.engine.ports.Observe`."""
        if isinstance(event, Settled):
            self.accepted += event.accepted
            self.rejected += event.rejected
            self.earlier_launch += event.earlier_launch
            if event.batch is not None:
                self.fresh.append(event.batch)
            if event.rejected:
                self._check()
        self.observe(event)

    def take_fresh(self) -> list[int]:
        """Return the batches that were accepted since this was asked last."""
        taken, self.fresh = self.fresh, []
        return taken

    def hear(self, told: Told) -> None:
        """Hear what receipts say by now."""
        self.undelivered = told.undelivered
        cause = stopped_by(told.causes, told=told.told)
        if cause is not None:
            self._halt_because_of(cause, told)
        else:
            self._check()

    def _halt_because_of(self, cause: Cause, told: Told) -> None:
        where = shlex.quote(str(self.where))
        kind = BalanceExhausted if cause is Cause.MONEY else Halted
        self.stop.drain(
            kind(
                f"{told.causes[cause]:,} of the {told.told:,} messages that receipts speak of so far were stopped, and "
                f"the next would be: {mend(cause)}. Then 'broadcaster resume {where}' sends the rest, and 'broadcaster "
                f"retry-failed {where}' sends again to those who did not get it"
            )
        )

    def _check(self) -> None:
        safety, settled, bad = self.safety, self.accepted + self.rejected, self.rejected + self.undelivered
        if not must_halt(
            rejected=bad,
            settled=settled,
            largest_batch=self.largest,
            halt_count=safety.halt_count,
            halt_share=safety.halt_share,
        ):
            return
        limits = f"safety.halt_count ({safety.halt_count}) and safety.halt_share ({safety.halt_share})"
        if self.undelivered:
            what = (
                f"{bad} of {settled} deliveries went wrong, {self.rejected} of them rejected and {self.undelivered} by "
                f"receipts not delivered, which passes {limits}. failed.csv and 'broadcaster report' say why"
            )
        else:
            what = f"{bad} of {settled} deliveries were rejected, which passes {limits}. failed.csv says why"
        self.stop.drain(Halted(f"{what}; raise the limits to go on"))


@asynccontextmanager
async def watched(
    watch: Watch, look: Callable[[Sequence[int]], Told | None], *, clock: Clock, every_s: float = LOOK_EVERY_S
) -> AsyncIterator[None]:
    """Let *watch* hear what receipts say beside the block.

    Args:
        watch: it is told, and asked for what was accepted.
        look: returns what receipts say by now, ``None`` when that is nothing new; it is given the batches accepted
            since, and called in a thread. It raises a ``BroadcasterError`` when they cannot be read: then people are
            told, once, and the run goes on.
        clock: the time.
        every_s: seconds between looks.
    """

    async def follow() -> None:
        readable = True
        while True:
            await clock.sleep(every_s)
            try:
                told = await asyncio.to_thread(look, watch.take_fresh())
            except BroadcasterError as error:
                if readable:
                    sentence = f"{error.sentence}. Until then what becomes of messages cannot halt the run"
                    watch.observe(Noticed(code=UNREADABLE, sentence=sentence))
                readable = False
                continue
            readable = True
            if told is not None:
                watch.hear(told)

    try:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(follow(), name="receipts")
            try:
                yield
            finally:
                following.cancel()
    except* BroadcasterError as errors:  # of the block
        raise _first(errors) from None


def _first(group: BaseExceptionGroup[BroadcasterError]) -> BroadcasterError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
