"""The parts of a batch: how a refusal because of some recipients divides it, and what such a part is.

Only a batch whose every attempt provably created nothing may be divided, unless a person decides so; who calls this has
made sure of that.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from broadcaster.core.values import Batch, Child


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Positions that are rejected, and positions of each new batch; together they are the batch, in its order."""

    rejected: tuple[int, ...] = ()
    children: tuple[tuple[int, ...], ...] = ()


def cut_after_400(positions: Sequence[int], *, blamed: Collection[int], bisections_left: int) -> Split:
    """Divide *positions* after a refusal.

    Those *blamed* are rejected and the rest is one new batch. When the API names nobody of the batch, it becomes two
    halves; without *bisections_left*, or when there is nothing to halve, all are rejected.
    """
    rejected = tuple(each for each in positions if each in blamed)
    if rejected:
        rest = tuple(each for each in positions if each not in blamed)
        return Split(rejected=rejected, children=(rest,) if rest else ())
    if bisections_left < 1 or len(positions) < 2:  # noqa: PLR2004 - one cannot be halved
        return Split(rejected=tuple(positions))
    middle = (len(positions) + 1) // 2
    return Split(children=(tuple(positions[:middle]), tuple(positions[middle:])))


def child_batch(parent: Batch, child: Child) -> Batch:
    """Return a part of *parent* as a batch of its own."""
    return Batch(
        id=child.id,
        key=child.key,
        to=tuple(parent.to[position] for position in child.positions),
        channels=child.channels or parent.channels,
        parameters=parent.parameters,
        send_at=parent.send_at,
        parent=parent.id,
        generation=child.generation or parent.generation,
        zones=parent.zones,
        moved_to=parent.moved_to if child.send_at is None else child.send_at,
    )
