"""``serve``: the webhook receiver, from where its receipts go to its end, with the dashboard beside it.

The directory decides: one run's receipts go into that run's directory; several runs' into the one above them, where
all of them look. Nothing here knows whether a run is sending meanwhile.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from broadcaster.core.words import Steering
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import ConfigError
from broadcaster.job.settings import Secret
from broadcaster.store.files import disk_errors
from broadcaster.store.receipts import ReceiptsWriter
from broadcaster.store.rundir import RunDir
from broadcaster.tracking.access import Token
from broadcaster.tracking.dashboard import add_dashboard
from broadcaster.tracking.listening import listening
from broadcaster.tracking.server import COUNTS, USUAL_TOLERANCE_S, Counts, make_app

RUNS = Path("runs")
"""Where runs are when nobody says otherwise."""
_TELL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server that listens: where, and which file its receipts go to."""

    url: str
    receipts: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What to serve.

    Attributes:
        receipts: a path of :func:`place`; ``None``: the dashboard alone, and no webhooks.
        secrets: of the webhooks.
        steer: what the dashboard's buttons call, in a thread.
        directories: whose runs the dashboard shows; none stands for ``runs``.
        token: of the dashboard, ``None`` where none is needed.
        port: 0 takes any free one.
    """

    receipts: Path | None
    secrets: Sequence[Secret]
    steer: Callable[[Path, Steering], object]
    directories: Sequence[Path] = ()
    token: Token | None = None
    host: str = "127.0.0.1"
    port: int = 8080
    tolerance_s: float = USUAL_TOLERANCE_S


def place(directories: Sequence[Path]) -> Path:
    """Return the file for the receipts of these: run directories, or one directory that has runs in it.

    None stands for ``runs``, which is made when it is not there yet: webhooks may come before the first run.

    Raises:
        ConfigError: one is not there, or they are not beside each other.
        StoreError: the disk refuses.
    """
    if not directories:
        with disk_errors(RUNS):
            RUNS.mkdir(exist_ok=True)
        return _file(RUNS)
    for each in directories:
        if not each.is_dir():
            raise ConfigError(f"{each}: there is no such directory; give a run's, or one that has runs in it")
    if len(directories) == 1:
        return _file(directories[0])
    above = {(each.parent if RunDir(each).is_planned else each).resolve() for each in directories}
    if len(above) > 1:
        raise ConfigError(
            "the runs are in different directories, and their receipts go into the one directory above them. "
            "Start one 'broadcaster serve' for each, with a port of its own"
        )
    return _file(above.pop())


def _file(directory: Path) -> Path:
    run_dir = RunDir(directory)
    run_dir.require_unpurged()
    run_dir.require_local()
    return run_dir.receipts


async def serve(ask: Ask, *, announce: Callable[[Serving], None], tell: Callable[[Counts], None]) -> Counts:
    """Serve until SIGINT, SIGTERM or SIGHUP; return what arrived. What was being answered then is answered.

    Args:
        ask: where, and with which secrets.
        announce: called once it listens.
        tell: called every ten seconds when something has arrived.

    Raises:
        ConfigError: the address cannot be listened on, or a secret is not usable.
        StoreError: the file of receipts cannot be used.
    """
    stop = Stop()
    with on_signals(stop):
        async with _open(ask) as (serving, counts):
            announce(serving)
            told = counts.total
            while not stop.draining:
                await stop.sleep(_TELL_S)
                if counts.total != told and not stop.draining:
                    told = counts.total
                    tell(copy.deepcopy(counts))
    return counts


@asynccontextmanager
async def _open(ask: Ask) -> AsyncIterator[tuple[Serving, Counts]]:
    store = None if ask.receipts is None else ReceiptsWriter(ask.receipts)
    try:
        app = make_app(store=store, secrets=ask.secrets, tolerance_s=ask.tolerance_s)
        add_dashboard(app, directories=ask.directories or (RUNS,), token=ask.token, steer=ask.steer)
        async with listening(app, host=ask.host, port=ask.port) as url:
            yield Serving(url=url, receipts=ask.receipts), app[COUNTS]
    finally:
        if store is not None:
            await asyncio.to_thread(store.close)  # it waits for the disk
