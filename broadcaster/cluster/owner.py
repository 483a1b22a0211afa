"""Who works on a shard: taking it, and whether somebody else has taken it meanwhile.

Theory of operation. A claim of a shard is an object that is created exclusively; the next claim has the next number, so
that of several takers one wins. The taker looks only *after* its claim which parts the owners before have written, and
writes that down: what they write later was never seen by anybody who acted on it. An owner looks for a later claim only
*after* it has written down which batches it is about to send. Whichever of the two was first, either the taker has seen
those batches or the old owner sees the taker, and sends nothing.

Clocks decide nothing but when a taker may begin to try.
"""

import json
import os
import socket
import uuid
from dataclasses import dataclass
from typing import Any

from broadcaster.clock import wall_us
from broadcaster.cluster.objects import (
    beat_name,
    epoch_name,
    home,
    last_epoch,
    last_parts,
    pack_seen,
    part_name,
)
from broadcaster.cluster.storage import Storage
from broadcaster.errors import RunLocked, StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The owner of a shard, as far as its claim can be read.

    ``age_s``: so long ago it gave a sign of life, by the store's clock; ``None`` when it came to a proper end.
    """

    host: str
    pid: int
    since_us: int
    age_s: float | None

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def take(storage: Storage, shard: int, *, idle_s: float) -> int:
    """Take a shard; return the number of the claim.

    Args:
        storage: the shared run directory.
        shard: its number.
        idle_s: how long its owner must have given no sign of life, by the store's clock; 0 takes it in any case. One
            that came to a proper end gives none.

    Raises:
        RunLocked: its owner lives, or somebody else has taken it at this moment.
        StoreError: the store does not do what it is asked.
    """
    storage.require_exclusive()  # else two takers could both believe that they won
    last = last_epoch(storage.names(home(shard)))
    if last >= 0 and idle_s > 0:
        _require_idle(storage, shard, last, idle_s=idle_s)
    writer = uuid.uuid4().hex
    mine = last + 1
    if not storage.create(epoch_name(shard, mine), json.dumps(_who(writer)).encode()):
        raise RunLocked(f"another process has just taken shard {shard} of {storage.name}; let it work")
    opening = pack_seen(_look(storage, shard, mine), shard=shard, epoch=mine, writer=writer)  # after the claim
    if not storage.create(part_name(shard, mine, 0), opening):
        raise StoreError(f"{storage.name}/{part_name(shard, mine, 0)} is there already, though nobody may write it")
    return mine


def _look(storage: Storage, shard: int, mine: int) -> dict[int, int]:
    """Return the last part of each owner before claim *mine*.

    A listing may lag behind; an object that is asked for by its name does not. What those wrote whom the last owner
    found is known from that one, so that only its own parts are asked for.
    """
    listed = last_parts(storage.names(home(shard)))
    seen = {epoch: number for epoch, number in listed.items() if epoch < mine}
    for epoch in range(mine - 1, -1, -1):
        while storage.exists(part_name(shard, epoch, seen.get(epoch, -1) + 1)):
            seen[epoch] = seen.get(epoch, -1) + 1
        if epoch in seen:
            break
    return dict(sorted(seen.items()))


def overtaken(storage: Storage, shard: int, *, epoch: int) -> str | None:
    """Return who has taken a shard after claim *epoch*, or ``None``."""
    later = epoch_name(shard, epoch + 1)
    if not storage.exists(later):
        return None
    return str(_owner(_words(storage.read(later)), age_s=None))


def owner_of(storage: Storage, shard: int, *, epoch: int) -> Owner:
    """Return who has a shard by claim *epoch*."""
    claim, name = epoch_name(shard, epoch), beat_name(shard, epoch)
    beat = storage.read(name)
    ended = bool(_words(beat).get("ended"))
    age_s = None if ended else storage.age_s(claim if beat is None else name)
    return _owner(_words(storage.read(claim)), age_s=age_s)


def _owner(words: dict[str, Any], *, age_s: float | None) -> Owner:
    host, pid, since_us = words.get("host"), words.get("pid"), words.get("at_us")
    return Owner(host=str(host), pid=int(pid or 0), since_us=int(since_us or 0), age_s=age_s)


def _require_idle(storage: Storage, shard: int, epoch: int, *, idle_s: float) -> None:
    """Raise :class:`RunLocked` while the owner with claim *epoch* may live."""
    owner = owner_of(storage, shard, epoch=epoch)
    if owner.age_s is not None and owner.age_s < idle_s:
        raise RunLocked(
            f"shard {shard} of {storage.name} is in the hands of {owner}, which gave a sign of life "
            f"{owner.age_s:.0f} s ago; let it work, or try again when it has given none for {idle_s:.0f} s"
        )


def _who(writer: str) -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "process": writer, "at_us": wall_us()}


def _words(content: bytes | None) -> dict[str, Any]:
    """Return what a small object says; nothing is decided by it but whom a message names and when one may try."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
