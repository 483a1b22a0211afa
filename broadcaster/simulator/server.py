"""The process: open the ledger, listen, say so, and go when told to."""

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage

from broadcaster.simulator.front import Front
from broadcaster.simulator.ledger import Ledger, open_ledger
from broadcaster.simulator.parts import assemble
from broadcaster.simulator.settings import Settings
from broadcaster.simulator.template_changes import recall_templates
from broadcaster.simulator.webhooks.courier import Courier

_LARGEST_REQUEST = 64 * 1024 * 1024  # no limit is documented; this one only protects the machine
_GRACE_S = 0.5  # for requests at work when told to go; they take milliseconds, unless a fault holds them
_BACKLOG = 1024


class ListenError(Exception):
    """The address cannot be listened on. The text is a sentence for the person who started the simulator."""


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or, if so set, the end of stdin. Prints one JSON line on stdout once it listens.

    Raises:
        LedgerError: the state file cannot be used.
        ListenError: the address cannot be listened on.
    """
    told_to_go = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_go.set)
    ledger = open_ledger(settings.state)
    try:
        ledger.start()
        await _listen(settings, ledger, told_to_go)
    finally:
        ledger.close()


async def _listen(settings: Settings, ledger: Ledger, told_to_go: asyncio.Event) -> None:
    parts = assemble(settings, ledger)
    await recall_templates(parts)
    await parts.tally.load(ledger, now_us=time.time_ns() // 1000)
    # No web.Application: one function answers every path, and its router alone would cost a tenth of the speed.
    server = web.Server(Front(parts).serve, request_factory=_open_request, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=_GRACE_S)
    await runner.setup()
    courier = asyncio.create_task(Courier(parts).run(), name="courier")
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port, backlog=_BACKLOG).start()
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise ListenError(f"Cannot listen on {settings.host}:{settings.port}: {reason}.") from error
        _announce(runner, settings)
        if settings.until_stdin_closes:
            loop = asyncio.get_running_loop()
            _watch_stdin(lambda: loop.call_soon_threadsafe(told_to_go.set))
        await told_to_go.wait()
    finally:
        await runner.cleanup()
        courier.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await courier
        await parts.post.close()


def _open_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_REQUEST)


def _announce(runner: web.ServerRunner, settings: Settings) -> None:
    """Say on stdout where we are; whoever started us waits for this line."""
    port = runner.addresses[0][1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = {"url": f"http://{host}:{port}", "pid": os.getpid(), "state": settings.state}
    print(json.dumps(line), flush=True)  # noqa: T201 - the line is the interface


def _watch_stdin(at_end: Callable[[], object]) -> None:
    """Call *at_end* once stdin ends. The kernel closes our parent's end however it dies, even by SIGKILL."""

    def read() -> None:
        try:
            while os.read(0, 65536):
                pass
        except OSError:  # no stdin at all is an ended one
            pass
        at_end()

    threading.Thread(target=read, name="stdin", daemon=True).start()
