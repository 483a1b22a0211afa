"""What a worker of the cluster does: one shard, with the key that it finds in its own environment.

An order travels over the network, and is kept and shown by the scheduler: there is nothing secret in it.
"""

import asyncio
import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from broadcaster.app.parts import SIMULATOR_URL, access
from broadcaster.clock import SystemClock
from broadcaster.cluster.leased import Call, leased
from broadcaster.cluster.shard import ShardEnd, run_shard
from broadcaster.cluster.storage import Storage
from broadcaster.core.words import Mode
from broadcaster.engine.stop import Stop
from broadcaster.errors import (
    AccountRefused,
    BroadcasterError,
    ConfigError,
    ExitCode,
    RunLocked,
    StoppedEarly,
    StoreDamaged,
    StoreError,
)
from broadcaster.job.profiles import Sender, environment_of

IDLE_S = 30.0  # an owner of another launch that gave no sign of life for so long is gone
_BEGIN_S = 10.0  # for the scheduler to say whether the shard was begun before


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One shard to send.

    Attributes:
        url: of the shared run directory.
        shard: its index.
        run: the launch, as the keeper of the limit knows it.
        mode: as planned.
        base_url: of the API.
        profile: whom it is sent for.
        key_env: the variable of the worker's own environment that has the key, where it is not the usual one.
    """

    url: str
    shard: int
    run: str
    mode: str
    base_url: str
    profile: str | None
    key_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a shard ended: properly (``end``), or because of something that has a name.

    ``locked``: somebody else works on it, or has done so a moment ago.
    """

    shard: int
    end: ShardEnd | None = None
    code: ExitCode = ExitCode.DONE
    why: str | None = None
    locked: bool = False

    @property
    def text(self) -> str:
        """For people."""
        if (end := self.end) is None:
            return f"shard {self.shard}: {self.why}"
        why = f" ({self.why})" if self.why else ""
        return (
            f"shard {self.shard}: {end.accepted:,} accepted · {end.rejected:,} rejected · {end.in_doubt:,} in doubt · "
            f"{end.pending:,} pending{why}"
        )


async def send_shard(order: Order) -> Ended:
    """Send what is left of a shard, in a task of a Dask worker.

    Raises:
        StoreError: the shared directory did not do what it was asked; another try may go better.
    """
    from broadcaster.cluster.lease import keeper_of_this_worker

    try:
        end = await _send(order, call=keeper_of_this_worker(), environ=os.environ)
    except StoreError as error:
        if not isinstance(error, StoreDamaged):
            raise
        return Ended(shard=order.shard, code=error.exit_code, why=error.sentence)
    except BroadcasterError as error:
        locked = isinstance(error, RunLocked)
        where = f"on {socket.gethostname()}: " if isinstance(error, AccountRefused | ConfigError) else ""
        return Ended(shard=order.shard, code=error.exit_code, why=f"{where}{error.sentence}", locked=locked)
    return Ended(shard=order.shard, end=end, code=end.code, why=end.why)


async def _send(order: Order, *, call: Call, environ: Mapping[str, str]) -> ShardEnd:
    async with asyncio.timeout(_BEGIN_S):
        begun = await call("begin", {"run": order.run, "shard": order.shard})
    if "stop" in begun:
        raise StoppedEarly(str(begun["stop"]))
    storage = await asyncio.to_thread(Storage.open, order.url)
    mode, stop = Mode(order.mode), Stop()
    with (
        access(mode, _addressed(order, mode, environ)) as to,
        tempfile.TemporaryDirectory(prefix="broadcaster-") as scratch,
    ):
        async with leased(call, run=order.run, stop=stop, clock=SystemClock()) as budget:
            return await run_shard(
                storage,
                order.shard,
                to=to,
                budget=budget,
                held_s=budget.held_s,
                idle_s=0.0 if begun["again"] else IDLE_S,
                observe=budget.observe,
                stop=stop,
                scratch=Path(scratch, "run"),
                preflight=False,
            )


def _addressed(order: Order, mode: Mode, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the worker's environment with the driver's address and profile: only the key is the worker's business.

    Raises:
        ConfigError: the worker has no such key.
    """
    sender = Sender(name=order.profile or str(order.key_env), id=order.profile, key_env=order.key_env)
    address = {SIMULATOR_URL: order.base_url} if mode is Mode.SIMULATED else {"SENT_BASE_URL": order.base_url}
    return {**environment_of(sender, (), environ), **address}
