"""Group commit: many callers, one thread that writes, and as few writes as possible.

Theory of operation. Callers put *facts* into a queue, with a future each. The thread takes whatever has gathered, has
it written in one step and then resolves the futures. While one step waits for the disk (or for a store far away) the
next facts gather, so that one step serves many callers. A fact that nobody waits for urgently rides with the next one
that somebody does wait for, or goes by itself a moment later. A caller that awaits its future gets both durability and
back-pressure. When a step fails, its futures and all later ones carry the error: nobody can go on after a fact was not
written. It must not know what a fact is, nor where it is written.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from broadcaster.errors import BroadcasterError, StoreError

F = TypeVar("F")


class GroupCommit(Generic[F]):
    """One thread that writes what several callers of one event loop hand it, in order.

    Use it inside a running event loop.
    """

    def __init__(self, write: Callable[[Sequence[F]], None], *, name: str, where: str, ride_s: float) -> None:
        """Start the thread.

        Args:
            write: called in the thread with what has gathered; durable when it returns, or it raises.
            name: of the thread, and of what is written, for messages.
            where: where it is written, for messages.
            ride_s: how long a fact that may ride waits for company.
        """
        self._put_down = write
        self._name = name
        self._where = where
        self._ride_s = ride_s
        self._facts: queue.SimpleQueue[list[tuple[F, asyncio.Future[None]]] | None] = queue.SimpleQueue()
        self._riding: list[tuple[F, asyncio.Future[None]]] = []
        self._departure: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self.failure: BroadcasterError | None = None
        """What the first step that failed said."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def record(self, fact: F, *, may_ride: bool = False) -> None:
        """Return when *fact* is written.

        Raises:
            BroadcasterError: it, or one before it, could not be written.
            StoreError: nobody writes any more.
        """
        if self._closed:  # nobody would write it, and its caller would wait for ever
            raise StoreError(f"{self._where}: the {self._name} is closed")
        future: asyncio.Future[None] = self._loop.create_future()
        self._riding.append((fact, future))
        if not may_ride:
            self._set_off()
        elif self._departure is None:
            self._departure = self._loop.call_later(self._ride_s, self._set_off)
        await future  # a cancelled caller cancels its waiting, not the write: the fact is on its way to the disk

    def close(self) -> None:
        """Refuse what comes later, write what is waiting and end the thread; returns when it has ended."""
        self._end()
        self._thread.join()

    async def aclose(self) -> None:
        """Do the same without holding the loop up: a store may be far away."""
        self._end()
        await asyncio.to_thread(self._thread.join)

    def _end(self) -> None:
        self._closed = True
        self._set_off()
        self._facts.put(None)

    def _set_off(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None
        if self._riding:
            self._facts.put(self._riding)
            self._riding = []

    def _work(self) -> None:
        ended = False
        while not ended:
            first = self._facts.get()
            group: list[tuple[F, asyncio.Future[None]]] = []
            while True:
                if first is None:
                    ended = True
                    break
                group += first
                try:
                    first = self._facts.get_nowait()
                except queue.Empty:
                    break
            if group:
                self._commit(group)

    def _commit(self, group: list[tuple[F, asyncio.Future[None]]]) -> None:
        if self.failure is None:
            try:
                self._put_down([fact for fact, _ in group])
            except BroadcasterError as error:
                self.failure = error
            except Exception as error:  # noqa: BLE001 - a thread that ends in silence would leave all callers waiting
                self.failure = StoreError(f"{self._where}: a fact cannot be written ({error})")
        self._loop.call_soon_threadsafe(_resolve, [future for _, future in group], self.failure)


def _resolve(waiting: list[asyncio.Future[None]], failure: BroadcasterError | None) -> None:
    for future in waiting:
        if future.cancelled():
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
