"""Sending a shard from the command line: what it says meanwhile, and how it ended."""

import os
import shlex
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from broadcaster.app.parts import Access, access, run_loop
from broadcaster.cli.sharing import require_one_api
from broadcaster.cli.telling import print_json
from broadcaster.clock import Clock, SystemClock
from broadcaster.cluster.mirror import fetch_plan
from broadcaster.cluster.publish import publish_beside
from broadcaster.cluster.shard import ShardEnd, run_shard
from broadcaster.cluster.storage import Storage
from broadcaster.core.control import Order
from broadcaster.core.words import Mode, Steering
from broadcaster.engine.ports import Event, Noticed, Ordered, Settled, Waiting
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import ExitCode
from broadcaster.store.rundir import RunDir

_LINE_EVERY_S = 10.0


class ShardLog:
    """What a shard says while it sends: a line every ten seconds, and each reason to wait once. An ``Observe``."""

    def __init__(self, name: str, *, clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._told_s = clock.monotonic()
        self._accepted = self._rejected = 0
        self._said: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        match event:
            case Settled():
                self._accepted += event.accepted
                self._rejected += event.rejected
                if (now_s := self._clock.monotonic()) - self._told_s >= _LINE_EVERY_S:
                    self._told_s = now_s
                    self._say(f"{self._accepted:,} accepted, {self._rejected:,} rejected by this process so far")
            case Waiting():
                self._once(f"waiting: {event.sentence or event.code}")
            case Noticed():
                self._once(event.sentence)
            case Ordered():
                self._say(_ordered(event.order))
            case _:
                pass

    def _once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)

    def _say(self, sentence: str) -> None:
        click.echo(f"{self._name}: {sentence}", err=True)


def _ordered(order: Order) -> str:
    match order.what:
        case Steering.PAUSE:
            return f"paused by {order.who}. What is under way ends properly"
        case Steering.GO:
            return f"{order.who} lets it go on"
        case Steering.RATE:
            return f"{order.who} set the limit of all shards to {order.per_minute or 0:,} requests/min"


def send_shard(place: str, index: int, *, of: int, share: float, idle_s: float, as_json: bool) -> ExitCode:
    """Send what is left of a shard of the run at *place*, an address or a local run directory; return how it ended."""
    storage = Storage.open(place) if "://" in place else publish_beside(Path(place))
    storage.require_exclusive()
    name = f"shard {index} of {of}"
    with tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch:
        run_dir = RunDir(Path(scratch, "run"))
        head = fetch_plan(storage, run_dir, rows=False).head
        mode = Mode(head.mode)
        require_one_api(mode)
        with access(mode, os.environ) as to:
            log = ShardLog(name, clock=SystemClock())
            end = run_loop(
                _send(storage, index, to=to, share=share, idle_s=idle_s, log=log, scratch=run_dir.path, of=of)
            )
    _tell(storage, end, name=name)
    if as_json:
        print_json({"run": storage.name, "of": of, **asdict(end), "code": int(end.code)})
    return end.code


async def _send(
    storage: Storage,
    index: int,
    *,
    to: Access,
    share: float,
    idle_s: float,
    log: ShardLog,
    scratch: Path,
    of: int,
) -> ShardEnd:
    stop = Stop()
    with on_signals(stop):
        return await run_shard(
            storage,
            index,
            to=to,
            budget=None,
            share=share,
            idle_s=idle_s,
            observe=log,
            stop=stop,
            scratch=scratch,
            of=of,
        )


def _tell(storage: Storage, end: ShardEnd, *, name: str) -> None:
    click.echo(
        f"{name}: {end.accepted:,} accepted · {end.rejected:,} rejected · {end.in_doubt:,} in doubt · "
        f"{end.pending:,} pending",
        err=True,
    )
    if end.why:
        click.echo(f"Stopped: {end.why}", err=True)
    if end.code is ExitCode.STOPPED:
        click.echo("To go on: run the same command again", err=True)
    elif not end.pending:
        click.echo(f"When all shards are done: broadcaster report {shlex.quote(storage.name)}", err=True)
