"""Two ways to stop, as two values: drain (finish what is in flight) and abort (now).

An abort leaves only what ``kill -9`` could have left, so there is one way to go on.
"""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator

from broadcaster.errors import BroadcasterError

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stop:
    """Asked by people or by the engine itself; the first reason is kept."""

    def __init__(self) -> None:
        self._draining = asyncio.Event()
        self._aborting = asyncio.Event()
        self.because: BroadcasterError | None = None

    def __repr__(self) -> str:
        state = "aborting" if self._aborting.is_set() else "draining" if self.draining else "going"
        return f"<Stop {state}{f' because {self.because.code}' if self.because else ''}>"

    @property
    def draining(self) -> bool:
        """Whether no new batch may be claimed."""
        return self._draining.is_set()

    @property
    def aborting(self) -> bool:
        """Whether everything is to end now."""
        return self._aborting.is_set()

    def drain(self, because: BroadcasterError | None = None) -> None:
        """Take no new work; finish what is in flight."""
        if self.because is None:
            self.because = because
        self._draining.set()

    def abort(self) -> None:
        """Stop now; claims without an answer stay in doubt."""
        self._draining.set()
        self._aborting.set()

    async def drained(self) -> None:
        """Return when :meth:`drain` was called."""
        await self._draining.wait()

    async def aborted(self) -> None:
        """Return when :meth:`abort` was called."""
        await self._aborting.wait()

    async def sleep(self, seconds: float) -> None:
        """Wait, but not beyond a drain."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._draining.wait()

    async def unless_drained(self, waiting: Coroutine[None, None, None]) -> bool:
        """Await *waiting*, but cancel it when the run drains; return whether it was awaited to its end."""
        task = asyncio.ensure_future(waiting)
        drained = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({task, drained}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return task.done()
        finally:
            task.cancel()
            drained.cancel()
            await asyncio.wait({task, drained})  # whoever leaves here leaves nobody behind


@contextlib.contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP drain and the second abort, until the block ends."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if stop.draining:
            stop.abort()
        else:
            stop.drain()

    installed = []
    for each in _SIGNALS:
        with contextlib.suppress(NotImplementedError):  # Windows has no loop signal handlers: Ctrl-C ends the process
            loop.add_signal_handler(each, heard)
            installed.append(each)
    try:
        yield
    finally:
        for each in installed:
            loop.remove_signal_handler(each)
