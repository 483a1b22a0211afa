"""Commands as processes of their own, one for each profile: side by side, or one after the other.

Each has the environment of its profile, and in it its key; nobody else's. A signal that the command gets is passed on,
so that all of them drain; and they drain when it is gone, which they know by their standard input.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from broadcaster.errors import ExitCode

_UNFINISHED = (ExitCode.DONE, ExitCode.SOME_REJECTED, ExitCode.SOME_IN_DOUBT, ExitCode.STOPPED)
"""From the least grave on; all others are graver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A command for one profile: its words after ``broadcaster``, and its environment."""

    name: str
    words: tuple[str, ...]
    environ: Mapping[str, str]

    @property
    def command(self) -> tuple[str, ...]:
        """What is started."""
        return (sys.executable, "-m", "broadcaster", *self.words)


def gravest(codes: Sequence[int]) -> ExitCode:
    """Return the code that says most of several runs."""
    return ExitCode(max(codes, key=lambda code: (code not in _UNFINISHED, code), default=ExitCode.DONE))


async def side_by_side(errands: Sequence[Errand]) -> list[int]:
    """Run all *errands* at once; what they say for people is said with the profile's name before it.

    Returns:
        Their exit codes, in order.
    """
    processes = [
        await asyncio.create_subprocess_exec(
            *errand.command,
            env=dict(errand.environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal would reach them twice
        )
        for errand in errands
    ]
    with _passing_on(processes):
        async with asyncio.TaskGroup() as group:
            for errand, process in zip(errands, processes, strict=True):
                group.create_task(_repeat(errand.name, process), name=errand.name)
    return [_code(process.returncode) for process in processes]


def one_by_one(errands: Sequence[Errand], *, as_json: bool) -> ExitCode:
    """Run *errands* one after the other, in this terminal; as JSON, print what each prints by its profile's name."""
    codes, said = [], {}
    for errand in errands:
        if not as_json:
            click.echo(f"── {errand.name} ──")
        sys.stdout.flush()
        stdout = subprocess.PIPE if as_json else None
        done = subprocess.run(errand.command, env=dict(errand.environ), stdout=stdout, check=False)
        codes.append(_code(done.returncode))
        if as_json:
            said[errand.name] = _value(done.stdout)
    if as_json:
        click.echo(json.dumps({"profiles": said}, ensure_ascii=False))
    return gravest(codes)


def end_with_parent() -> None:
    """Let this process drain when the one that started it is gone, however that ended."""

    def listen() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, name="parent", daemon=True).start()


async def _repeat(name: str, process: asyncio.subprocess.Process) -> None:
    if process.stderr is not None:
        async for line in process.stderr:
            click.echo(f"{name}: {line.decode(errors='replace').rstrip()}", err=True)
    await process.wait()


@contextmanager
def _passing_on(processes: Sequence[asyncio.subprocess.Process]) -> Iterator[None]:
    """Pass signals on; what they ask for is done by each process itself."""
    loop = asyncio.get_running_loop()

    def pass_on(number: int) -> None:
        for process in processes:
            if process.returncode is None:
                process.send_signal(number)

    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in asked:
        loop.add_signal_handler(number, pass_on, number)
    try:
        yield
    finally:
        for number in asked:
            loop.remove_signal_handler(number)


def _code(returncode: int | None) -> int:
    """Return an exit code; a process that was killed has stopped early."""
    return ExitCode.STOPPED if returncode is None or returncode < 0 else returncode


def _value(stdout: bytes) -> Any:
    try:
        return json.loads(stdout)
    except ValueError:  # it ended with a sentence instead
        return None
