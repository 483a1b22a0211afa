"""Batches on their way to the senders: replays and planned batches as they are fed, children of splits before them."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from broadcaster.core.values import Batch, Claim, quick
from broadcaster.engine.stop import Stop


@quick
class Task:
    """A batch to deliver. ``claim`` is set when an earlier process claimed it and nobody knows how that ended."""

    batch: Batch
    claim: Claim | None = None
    attempts: int = 0  # before this process


class Work:
    """A bounded line of tasks with one feeder and many takers.

    It ends when everything fed is done (a task in progress may still leave children) or when the run drains. The feeder
    fills the line up, and is woken when it is half empty: not for each task that is taken.
    """

    def __init__(self, *, room: int, stop: Stop) -> None:
        self._line: deque[Task] = deque()
        self._children: deque[Task] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._room = room
        self._stop = stop
        self._fed = False
        self._in_progress = 0
        self._wanted = asyncio.Event()  # there is room again, or nobody wants anything any more

    def __repr__(self) -> str:
        fed = "all fed" if self._fed else "being fed"
        return (
            f"<Work {len(self._line)} waiting, {len(self._children)} children, {self._in_progress} in progress, {fed}>"
        )

    async def feed(self, tasks: AsyncGenerator[Task, None]) -> None:
        """Put *tasks* into the line as there is room, until they or the run end."""
        async with contextlib.aclosing(tasks):
            async for task in tasks:
                while len(self._line) >= self._room and not self._stop.draining:
                    self._wanted.clear()
                    await self._wanted.wait()
                if self._stop.draining:
                    break
                self._line.append(task)
                self._wake(1)
        self._fed = True
        self._wake_all()

    async def take(self) -> Task | None:
        """Return the next task, or ``None`` when there will be no more. Every task taken must be :meth:`done`."""
        while not self._decided():
            waiting = asyncio.get_running_loop().create_future()
            self._takers.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError:
                if waiting.done() and not waiting.cancelled():
                    self._wake(1)  # somebody else is to have what this one was woken for
                raise
        if self._stop.draining or not (self._children or self._line):
            return None
        self._in_progress += 1
        if self._children:
            return self._children.popleft()
        task = self._line.popleft()
        if len(self._line) <= self._room // 2:
            self._wanted.set()
        return task

    def _decided(self) -> bool:
        finished = self._fed and not self._in_progress
        return bool(self._children or self._line or self._stop.draining or finished)

    async def done(self, children: Sequence[Task] = ()) -> None:
        """Say that a taken task has ended, leaving *children*."""
        self._in_progress -= 1
        self._children.extend(children)
        self._wake(len(children))
        if self._fed and not self._in_progress:
            self._wake_all()

    async def wake_on_drain(self) -> None:
        """Wake everybody who waits when the run drains; run it beside them."""
        await self._stop.drained()
        self._wake_all()

    def _wake(self, count: int) -> None:
        while count and self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                count -= 1

    def _wake_all(self) -> None:
        self._wanted.set()
        self._wake(len(self._takers))
