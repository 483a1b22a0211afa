"""Asking the API already while the list is read and planned, so that an alert need not wait for the answers.

Theory of operation. Planning keeps the main thread, where Ctrl-C ends it at once; the look-ups go on in a thread with
an event loop and a line of its own, through a pacer that spends in the account's minute like every other. They are
those that a run begins with, in the same order: whose key it is, first and alone, then the template. Nothing is decided
here: errors are handed over like answers, to whoever knows what they mean for a plan. Whoever leaves early takes what
is under way back.

It must not know the list, nor the plan, nor the run directory: nothing is written but the account's spend.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace

from broadcaster.api import lookups
from broadcaster.app.parts import Access, line, run_loop
from broadcaster.app.preflight import Asked
from broadcaster.clock import SystemClock
from broadcaster.engine.ports import Event, Observe
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import BroadcasterError, StoppedEarly
from broadcaster.job.model import Job
from broadcaster.operations import OPERATIONS
from broadcaster.planning.wording import operation_of

_LOOK_S = 0.1  # how late people may hear what they wait for


class Early:
    """Look-ups that are under way in a thread; made by :func:`asking`."""

    def __init__(self, job: Job, to: Access, *, preflight: bool) -> None:
        self._job = job
        self._to = to
        message = job.message
        sends = OPERATIONS[operation_of(job)].sends_messages
        self._template = (message.template_id, message.template_name) if preflight and sends else (None, None)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._stop = Stop()
        self._left = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answer: Future[Asked] = Future()
        self._answer.set_running_or_notify_cancel()  # from here on only the thread may end it
        self._thread = threading.Thread(target=self._run, name="early", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Early {'answered' if self._answer.done() else 'asking'}>"

    def result(self, *, observe: Observe) -> Asked:
        """Return what the API said, as soon as it has; a signal ends the waiting like a look-up that failed.

        Args:
            observe: hears what happened so far, and what happens from now on.
        """
        return run_loop(self._wait(observe))

    async def _wait(self, observe: Observe) -> Asked:
        heard: list[Event] = []

        def tell() -> None:
            while not self._events.empty():
                heard.append(self._events.get_nowait())
                observe(heard[-1])

        stop = Stop()
        answer = asyncio.wrap_future(self._answer)
        try:
            with on_signals(stop):
                while not answer.done() and not stop.draining:
                    tell()
                    await asyncio.wait({answer}, timeout=_LOOK_S)
            tell()
            if answer.done():
                return replace(answer.result(), events=tuple(heard))
            return Asked(failed=StoppedEarly("stopped before everything was sent"), events=tuple(heard))
        finally:
            answer.cancel()  # nobody is there any more when the thread answers

    def leave(self) -> None:
        """Return when nothing is under way any more: what is not answered yet is given up."""
        self._left = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._stop.drain)
        self._thread.join()

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._answer.set_result(asyncio.run(self._unless_left()))
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for the answer
            self._answer.set_exception(error)

    async def _unless_left(self) -> Asked:
        self._loop = asyncio.get_running_loop()
        if self._left:  # whoever left before this line could not tell the loop
            self._stop.drain()
        asked = Asked()

        async def ask() -> None:
            nonlocal asked
            asked = await self._ask()

        await self._stop.unless_drained(ask())
        return asked

    async def _ask(self) -> Asked:
        account = template = failed = None
        opened = line(
            self._to,
            limits=self._job.limits,
            timeout_s=self._job.api.timeout,
            largest=1,
            clock=SystemClock(),
            stop=self._stop,
            observe=self._events.put,
        )
        async with opened as api_line:
            try:
                account = await lookups.me(api_line.ask)
                api_line.belongs_to(account.id)
                template_id, name = self._template
                if template_id or name:
                    template = await lookups.template(api_line.ask, id=template_id, name=name)
            except BroadcasterError as error:
                failed = error
            requests = api_line.send.exchanges
        return Asked(account=account, template=template, failed=failed, requests=requests)


@contextlib.contextmanager
def asking(job: Job, to: Access, *, preflight: bool) -> Iterator[Early]:
    """Ask what a run of *job* begins with while the block runs; what was not answered by its end is given up.

    Args:
        job: its operation tells whose key it is: ``looks_ahead``.
        to: the API.
        preflight: look the template up too.
    """
    early = Early(job, to, preflight=preflight)
    try:
        yield early
    finally:
        early.leave()
