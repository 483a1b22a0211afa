"""Where the shards of a shared run stand: done, worked on, left, or not begun; and who works on it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from broadcaster.cluster.heart import BEAT_S, SILENT_S
from broadcaster.cluster.meta import META, read_meta
from broadcaster.cluster.objects import done_name, home, last_epoch
from broadcaster.cluster.owner import Owner, owner_of
from broadcaster.cluster.storage import Storage
from broadcaster.core.shards import cut_shards

_SENDS_S = BEAT_S + SILENT_S  # whoever gave no sign of life for longer has stopped, or is dead


class Stands(StrEnum):
    """Where a shard stands."""

    DONE = "done"
    SENDING = "sending"
    STOPPED = "stopped"  # by its owner, or with it
    WAITING = "not begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """How many shards stand where, and the owners of those that are sent now.

    Empty before somebody said how many shards there are.
    """

    counts: Mapping[Stands, int]
    senders: tuple[Owner, ...]


def take_census(storage: Storage, *, batches: int) -> Census:
    """Count the shards of a plan with so many batches.

    Raises:
        StoreError: the store does not do what it is asked.
    """
    if not storage.exists(META):
        return Census(counts={}, senders=())
    found = [_found(storage, shard.index) for shard in cut_shards(batches, of=read_meta(storage).shards)]
    counts = Counter(stands for stands, _ in found)
    return Census(
        counts={each: counts[each] for each in Stands},
        senders=tuple(owner for stands, owner in found if stands is Stands.SENDING and owner is not None),
    )


def _found(storage: Storage, shard: int) -> tuple[Stands, Owner | None]:
    names = storage.names(home(shard))
    if done_name(shard) in names:
        return Stands.DONE, None
    epoch = last_epoch(names)
    if epoch < 0:
        return Stands.WAITING, None
    owner = owner_of(storage, shard, epoch=epoch)
    alive = owner.age_s is not None and owner.age_s < _SENDS_S
    return (Stands.SENDING if alive else Stands.STOPPED), owner
