"""Batches on their way to the senders: replays and planned batches as they are fed, children of splits before them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from broadcaster.core.values import Batch, Claim
from broadcaster.engine.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A batch to deliver. ``claim`` is set when an earlier process claimed it and nobody knows how that ended."""

    batch: Batch
    claim: Claim | None = None
    attempts: int = 0  # before this process


class Work:
    """A bounded line of tasks with one feeder and many takers.

    It ends when everything fed is done (a task in progress may still leave children) or when the run drains.
    """

    def __init__(self, *, room: int, stop: Stop) -> None:
        self._line: deque[Task] = deque()
        self._children: deque[Task] = deque()
        self._room = room
        self._stop = stop
        self._fed = False
        self._in_progress = 0
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        fed = "all fed" if self._fed else "being fed"
        return (
            f"<Work {len(self._line)} waiting, {len(self._children)} children, {self._in_progress} in progress, {fed}>"
        )

    async def feed(self, tasks: AsyncGenerator[Task, None]) -> None:
        """Put *tasks* into the line as there is room, until they or the run end."""
        async with contextlib.aclosing(tasks):
            async for task in tasks:
                async with self._changed:
                    await self._changed.wait_for(lambda: len(self._line) < self._room or self._stop.draining)
                    if self._stop.draining:
                        break
                    self._line.append(task)
                    self._changed.notify_all()
        async with self._changed:
            self._fed = True
            self._changed.notify_all()

    async def take(self) -> Task | None:
        """Return the next task, or ``None`` when there will be no more. Every task taken must be :meth:`done`."""
        async with self._changed:
            await self._changed.wait_for(self._decided)
            if self._stop.draining or not (self._children or self._line):
                return None
            self._in_progress += 1
            task = self._children.popleft() if self._children else self._line.popleft()
            self._changed.notify_all()
            return task

    def _decided(self) -> bool:
        finished = self._fed and not self._in_progress
        return bool(self._children or self._line or self._stop.draining or finished)

    async def done(self, children: Sequence[Task] = ()) -> None:
        """Say that a taken task has ended, leaving *children*."""
        async with self._changed:
            self._in_progress -= 1
            self._children.extend(children)
            self._changed.notify_all()

    async def wake_on_drain(self) -> None:
        """Wake everybody who waits when the run drains; run it beside them."""
        await self._stop.drained()
        async with self._changed:
            self._changed.notify_all()
