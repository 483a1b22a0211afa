"""Commands that look at a run, on one that several machines share: they see a copy of it, under its own name.

The copy is an ordinary run directory that goes when the command ends. What the command prints names the address, and
what it makes (manifest, lists, report) is put there.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO, cast

import click

from broadcaster.app.conclude import refresh
from broadcaster.cli.screen import busy
from broadcaster.cluster.census import take_census
from broadcaster.cluster.mirror import fetch_manifest, mirror, publish_report, publish_results
from broadcaster.cluster.owner import Owner
from broadcaster.cluster.storage import Storage
from broadcaster.errors import BroadcasterError
from broadcaster.store.files import write_atomically
from broadcaster.store.manifest import clashes_if_current
from broadcaster.store.rundir import RunDir

_PUBLISH = MappingProxyType({"results": publish_results, "report": publish_report})


def on_a_copy(
    command: Callable[[Path], Any],
    url: str,
    *,
    builds: bool,
    keeps: str | None,
    counts_shards: bool,
    wrote: Path | None = None,
) -> Any:
    """Run *command* on a copy of the shared run at *url*, and return what it returns.

    Args:
        command: gets the local directory.
        url: the shared run directory.
        builds: the command needs a manifest that is up to date.
        keeps: what the command makes and is put at *url*: ``"results"`` is everything, ``"report"`` the report alone.
        counts_shards: say how many shards are done after it.
        wrote: a text that the command leaves besides; it is to name the address too.

    Raises:
        BroadcasterError: as the command, with the address in its sentence; or the address cannot be used.
    """
    storage = Storage.open(url)
    with tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch:
        run_dir = RunDir(Path(scratch, "run"))
        with told_as(storage.name, instead_of=str(run_dir.path), resumed=" --cluster tcp://HOST:PORT"):
            with busy(f"reading {storage.name} …"):
                plan = mirror(storage, run_dir)
                fetch_manifest(storage, run_dir)
            census = take_census(storage, batches=plan.batches)
            with _in_the_hands_of(census.senders, run_dir):
                if builds and not census.senders and clashes_if_current(plan) is None:
                    with run_dir.locked(), busy("building the manifest …"):
                        refresh(plan)
                result = command(run_dir.path)
                if keeps is not None:
                    _PUBLISH[keeps](storage, run_dir)
                if wrote is not None and wrote.is_file():
                    write_atomically(wrote, wrote.read_bytes().replace(bytes(run_dir.path), storage.name.encode()))
            if counts_shards and census.counts:
                words = " · ".join(f"{count:,} {stands}" for stands, count in census.counts.items() if count)
                click.echo(f"shards     {words or 0}")
    return result


@contextmanager
def _in_the_hands_of(senders: Sequence[Owner], run_dir: RunDir) -> Iterator[None]:
    """Let the copy of a run that is being sent look like one: somebody holds its lock, the first of those who send."""
    if not senders:
        yield
        return
    with run_dir.locked():
        first = senders[0]
        owner = {"host": first.host, "pid": first.pid, "since": first.since_us}
        run_dir.lock.write_text(json.dumps(owner), encoding="utf-8")
        yield


@contextmanager
def told_as(name: str, *, instead_of: str, resumed: str = "") -> Iterator[None]:
    """Let whatever is printed, and every error, call a directory by its name; *resumed* is what ``resume`` needs."""
    words = {f"broadcaster resume {instead_of}": f"broadcaster resume {name}{resumed}", instead_of: name}
    out = cast("TextIO", _Renaming(sys.stdout, words))
    err = cast("TextIO", _Renaming(sys.stderr, words))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        except BroadcasterError as error:
            error.args = (_renamed(error.sentence, words), *error.args[1:])
            raise


def _renamed(text: str, words: Mapping[str, str]) -> str:
    for before, after in words.items():
        text = text.replace(before, after)
    return text


class _Renaming:
    """A stream that says some words in another way. Words come in one piece: nobody writes half a path."""

    def __init__(self, stream: TextIO, words: Mapping[str, str]) -> None:
        self._stream = stream
        self._words = words

    def write(self, text: str) -> int:
        """Write *text* with the other name in it; the count is that of *text*."""
        self._stream.write(_renamed(text, self._words))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
