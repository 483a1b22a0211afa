"""Live orders: what ``pause``, ``go`` and ``rate`` share, and how other commands meet a paused run."""

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from broadcaster.app.control import Steered, steer
from broadcaster.cli.options import shared_at
from broadcaster.cli.who import who
from broadcaster.clock import wall_us
from broadcaster.core.control import Order
from broadcaster.core.words import Steering
from broadcaster.errors import BroadcasterError, ExitCode, StoreError
from broadcaster.planning.left import has_work
from broadcaster.store.control import paused_by, read_control, require_going
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir


def order(path: Path | str, what: Steering, *, per_minute: int | None = None) -> ExitCode:
    """Give an order to the run at *path*, a directory or an address, and tell what it did."""
    now_us = wall_us()
    given = Order(what=what, who=who(), at_us=now_us, per_minute=per_minute)
    url = shared_at(path)
    if url is None and isinstance(path, Path):
        steered = steer(path, given)
    else:
        from broadcaster.cluster.orders import steer_shared
        from broadcaster.cluster.storage import Storage

        storage = Storage.open(url or str(path))
        steered = steer_shared(storage, given)
        path = path if isinstance(path, Path) else storage.name
    if steered.was_damaged:
        click.echo("control.json could not be read and was written anew; a rate that was set there is gone.", err=True)
    told = {Steering.PAUSE: _paused, Steering.GO: _going, Steering.RATE: _rated}[what]
    for line in told(steered, _Place(path, url is not None), now_us):
        click.echo(line, err=True)
    return ExitCode.DONE


def refuse_paused(run_dir: RunDir, *, adds: bool = False) -> None:
    """Refuse a paused run that has something to send, or to which the command *adds* something.

    A finished one is not refused: it repeats how it ended.

    Raises:
        RunPaused: it is paused.
        StoreError: nobody knows whether it is.
    """
    try:
        require_going(run_dir)
    except BroadcasterError:
        if run_dir.is_planned and (adds or has_work(Plan.open(run_dir))):
            raise


def tell_paused(run_dir: RunDir) -> None:
    """Say what stands between a run and its going on; a file that cannot be read is for ``resume`` to refuse."""
    with contextlib.suppress(StoreError):
        if (pause := read_control(run_dir).paused) is not None:
            go = f"broadcaster go {shlex.quote(str(run_dir.path))}"
            click.echo(f"{paused_by(run_dir.path, pause)}. First: {go}", err=True)


@dataclass(frozen=True, slots=True)
class _Place:
    """A run as it was named on the command line."""

    path: Path | str
    is_shared: bool

    def __str__(self) -> str:
        return str(self.path)

    @property
    def quoted(self) -> str:
        """For a command line."""
        return shlex.quote(str(self.path))

    @property
    def to_send(self) -> str:
        """The command that goes on with it."""
        resume = f"broadcaster resume {self.quoted}"
        return f"{resume} --cluster tcp://HOST:PORT|local:N, or its shards with run-shard" if self.is_shared else resume


def _paused(steered: Steered, place: _Place, now_us: int) -> Iterator[str]:
    pause = steered.control.paused
    if not steered.changed and pause is not None:
        yield f"{place} is paused already, by {pause.who} since {pause.since(now_us=now_us)}."
    elif steered.holder is not None:
        yield f"{place} is paused; messages under way end properly."
    else:
        yield f"{place} is paused. Nobody is working on it, and 'resume' will not send before it may go on."
    yield f"To go on: broadcaster go {place.quoted}"


def _going(steered: Steered, place: _Place, now_us: int) -> Iterator[str]:
    del now_us
    if not steered.changed:
        yield f"{place} is not paused; nothing was changed."
    else:
        yield f"{place} {'goes on' if steered.holder else 'is not paused any more'}."
    if steered.holder is None:
        yield f"Nobody is working on it. To send: {place.to_send}"


def _rated(steered: Steered, place: _Place, now_us: int) -> Iterator[str]:
    rate = steered.control.rate
    if rate is None or rate.per_minute is None:  # for the type checker: a rate was ordered
        raise TypeError(steered)
    limit = f"{rate.per_minute:,} request{'' if rate.per_minute == 1 else 's'} a minute"
    if steered.changed:
        yield f"{place} is limited to {limit}, also after a restart, until another 'broadcaster rate'."
        yield "What the API says of its limit from now on still lowers it."
    else:
        yield f"{place} is limited to {limit} already, by {rate.who} since {rate.since(now_us=now_us)}."
    if steered.control.paused is not None:
        yield f"It is paused. To go on: broadcaster go {place.quoted}"
    elif steered.holder is None:
        yield f"Nobody is working on it. To send: {place.to_send}"
