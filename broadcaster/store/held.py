"""Which accepted messages the API may still hold: those that can be cancelled."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.core.words import Channel
from broadcaster.core.zones import read_us
from broadcaster.store.deliveries import Deliveries
from broadcaster.store.facts import Facts
from broadcaster.store.known import accepted
from broadcaster.store.plan import Plan

_SCHEDULED = "scheduled"


@dataclass(frozen=True, slots=True)
class Held:
    """A message that may be held. ``release_us`` is ``None`` where only a receipt says so: quiet hours, for example."""

    message_id: str
    release_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What of a run may be held: *held* nearest release first; *released* messages had a send time that has passed."""

    held: tuple[Held, ...]
    released: int


def holdings(plan: Plan, facts: Facts, *, now_us: int) -> Holdings:
    """Return what may be cancelled: nothing of which a receipt says that it is over.

    Raises:
        StoreError: journal or receipts cannot be read.
    """
    deliveries = Deliveries.read(plan.run_dir.path)
    held: list[Held] = []
    released = 0
    for batch, words in accepted(plan, facts):
        release_us = None if batch.due_at is None else read_us(batch.due_at)
        ids = pa.array(words, pa.string())
        left = ~deliveries.over(ids, now_us=now_us)
        told = pc.fill_null(pc.equal(deliveries.columns(ids)["delivery_status"], _SCHEDULED), False)  # noqa: FBT003 - null
        scheduled = told.to_numpy(zero_copy_only=False)
        ahead = release_us is not None and release_us > now_us
        mine = np.flatnonzero(left & (scheduled | ahead)).tolist()
        held.extend(Held(words[at], release_us if ahead else None) for at in mine)
        if release_us is not None and not ahead:
            released += int(np.count_nonzero(left & ~scheduled))
    # Those whose release nobody knows come last: it may have been.
    held.sort(key=lambda each: (each.release_us is None, each.release_us or 0))
    return Holdings(held=tuple(held), released=released)


def accepted_by_number(plan: Plan, facts: Facts) -> dict[str, tuple[Channel, ...]]:
    """Return on which channels each number has a message of which the id is known."""
    found: dict[str, tuple[Channel, ...]] = {}
    for batch, words in accepted(plan, facts):
        if len(words) == batch.deliveries:
            found.update(dict.fromkeys(batch.to, batch.channels))
    return found
