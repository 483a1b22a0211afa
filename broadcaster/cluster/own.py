"""Starting and ending a cluster of our own, which is a process (:mod:`broadcaster.cluster.local`) with its workers."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcaster.engine.stop import Stop
from broadcaster.errors import ConfigError, StoppedEarly

_END_S = 15.0  # for it to end, which takes about a second


@asynccontextmanager
async def own_cluster(workers: int, *, stop: Stop) -> AsyncIterator[str]:
    """Start a cluster of so many worker processes, and yield its scheduler's address; it ends with the block.

    Raises:
        ConfigError: its processes do not start.
        StoppedEarly: *stop* was asked to drain before it was there.
    """
    command = (sys.executable, "-m", "broadcaster.cluster.local", str(workers))
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        line = b""

        async def listen() -> None:
            nonlocal line
            if process.stdout is not None:
                line = await process.stdout.readline()

        try:
            if not await stop.unless_drained(listen()):
                raise StoppedEarly("stopped before anything was sent")
            if not line:
                said.seek(0)
                last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise ConfigError(f"the worker processes cannot be started: {last or 'they said nothing'}")
            yield str(json.loads(line)["address"])
        finally:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let it end by itself, or kill all of it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
