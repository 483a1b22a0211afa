"""What people's orders reach where many send a run: all workers by their keeper, or one shard by its own pacer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from broadcaster.clock import Clock
from broadcaster.cluster.orders import known_orders, note_followed, read_orders
from broadcaster.cluster.storage import Storage
from broadcaster.core.control import Order
from broadcaster.core.pacing import part_of
from broadcaster.engine.control import Helm, Reins, steered
from broadcaster.engine.ports import Observe

LOOK_EVERY_S = 1.0  # at an object of a store that may be far away, and asks money for each look


@dataclass(slots=True)
class Wanted:
    """What people want of all workers: the driver tells it to the keeper with every look. Implements ``Reins``."""

    held: bool = False
    per_minute: int | None = None

    @property
    def told(self) -> tuple[bool, int | None]:
        """As :meth:`broadcaster.cluster.lease.Keeper.look` takes it."""
        return self.held, self.per_minute

    def hold(self) -> None:
        """See :class:`Reins`."""
        self.held = True

    def go(self) -> None:
        """See :class:`Reins`."""
        self.held = False

    def set_limit(self, requests_per_minute: int, *, since_us: int | None = None) -> None:
        """See :class:`Reins`; what the API said since then is what the keeper hears from now on."""
        del since_us
        self.per_minute = requests_per_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class OfAShare:
    """The pacer of a shard that has a *share* of everything. Implements ``Reins``."""

    pacer: Reins
    share: float

    def hold(self) -> None:
        """See :class:`Reins`."""
        self.pacer.hold()

    def go(self) -> None:
        """See :class:`Reins`."""
        self.pacer.go()

    def set_limit(self, requests_per_minute: int, *, since_us: int | None = None) -> None:
        """See :class:`Reins`; the rate is that of all shards. One a minute is the least: no shard is left standing."""
        self.pacer.set_limit(max(1, part_of(requests_per_minute, share=self.share)), since_us=since_us)


@asynccontextmanager
async def steered_from(
    storage: Storage, reins: Reins, *, observe: Observe, clock: Clock
) -> AsyncIterator[Callable[[], float]]:
    """Let *reins* follow the orders of a shared run beside the block; yield how long it has been paused so far.

    Raises:
        StoreError: what was followed could not be read or written down; the block was cancelled.
    """

    async def record(order: Order) -> None:
        await asyncio.to_thread(note_followed, storage, order)

    helm = Helm(
        look=partial(read_orders, storage),
        known=await asyncio.to_thread(known_orders, storage),
        pacer=reins,
        record=record,
        observe=observe,
        clock=clock,
        every_s=LOOK_EVERY_S,
    )
    async with steered(helm):
        yield helm.held_s
