"""The order of sending, decided by many: groups in the order of their first row, batches in them, people in those.

Theory of operation. What :func:`broadcaster.planning.group.cut` does with one array is done here in four steps, none of
which sees all rows. Each piece names the groups that it has people of, by a digest of what they are sent (``share``).
By the digest all shares of a group come together: its first row, how many people are before each share's (``join``).
By the first row groups come together in the order of sending: where each begins, how many batches it has (``rank``).
That goes back to the pieces (``seat``), which then know the place of each of their people (``sit``). A group may be the
whole list: its people are never in one place.

The digest has 128 bits: of a hundred million different texts no two meet.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.cluster.frames import JOINED, OPENINGS, PEOPLE, SEATS, SHARES, pack, unpack
from broadcaster.cluster.numbering import Terms
from broadcaster.cluster.reading import Judged
from broadcaster.cluster.standing import Settled, Standing
from broadcaster.planning.exclude import ELIGIBLE

_NO_SLOT = 0  # in place of a send time where there are none
_BYTES = 16  # of a digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """The people of a piece and their groups, numbered within it.

    Attributes:
        rows: within the piece, rising.
        group: of each of them.
        first: place in *rows* of each group's first one.
        digests: of what each group is sent: two words of 64 bits.
    """

    rows: NDArray[np.int64]
    group: NDArray[np.int64]
    first: NDArray[np.int64]
    digests: NDArray[np.uint64]

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        return self.rows.nbytes + self.group.nbytes + self.first.nbytes + self.digests.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Groups whose first rows are near each other, in the order of sending, with the shares that pieces have in them.

    ``total`` people and ``limit`` to a batch are by group; ``of`` says which group a share is of, the rest is by share.
    """

    total: NDArray[np.int64]
    limit: NDArray[np.int64]
    channel: NDArray[np.int64]
    of: NDArray[np.int64]
    piece: NDArray[np.int64]
    group: NDArray[np.int64]
    offset: NDArray[np.int64]

    @property
    def batches(self) -> NDArray[np.int64]:
        """How many batches each group is cut into."""
        found: NDArray[np.int64] = -(-self.total // self.limit)
        return found

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        return 3 * self.total.nbytes + 4 * self.of.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What is told of some groups: nothing that grows with their number.

    ``by_channel`` are people, and ``largest`` the people of the largest batch, by set of channels.
    """

    people: int
    batches: int
    by_channel: tuple[int, ...]
    largest: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """Where the people of a piece are in the order of sending: their positions, and their batches.

    ``opens`` marks whoever is the first of a batch.
    """

    positions: NDArray[np.int64]
    batches: NDArray[np.int32]
    opens: NDArray[np.bool_]

    def __sizeof__(self) -> int:
        """Return the bytes of all of it."""
        return self.positions.nbytes + self.batches.nbytes + self.opens.nbytes


def group(judged: Judged, standing: Standing, settled: Settled, *, several: int) -> Grouped:
    """Group the people of a piece by what they are sent; there are *several* sets of channels."""
    rows = np.flatnonzero(settled.codes == ELIGIBLE)
    keys = judged.intake.sets[rows].astype(np.int64) * several + standing.channels[rows]
    if standing.slots is not None:
        keys = keys * (int(standing.slots.max(initial=0)) + 1) + np.maximum(standing.slots[rows], 0)
    _, first, of_row = np.unique(keys, return_index=True, return_inverse=True)
    lead = rows[first]
    texts = judged.texts.take(pa.array(judged.intake.sets[lead])).to_pylist()
    slots = _slots(standing, lead)
    digests = b"".join(
        hashlib.blake2b(f"{channel} {slot} {text}".encode(), digest_size=_BYTES).digest()
        for text, channel, slot in zip(texts, standing.channels[lead].tolist(), slots.tolist(), strict=True)
    )
    return Grouped(
        rows=rows,
        group=of_row.reshape(-1),
        first=first,
        digests=np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64),
    )


def share(grouped: Grouped, standing: Standing, terms: Terms) -> Any:
    """Return the shares that a piece has in groups."""
    lead = grouped.rows[grouped.first]
    return pack(
        SHARES,
        high=grouped.digests[:, 0],
        low=grouped.digests[:, 1],
        piece=np.full(len(lead), terms.piece),
        group=np.arange(len(lead)),
        first=lead + terms.first,
        count=np.bincount(grouped.group, minlength=len(lead)),
        channel=standing.channels[lead],
    )


def join(frame: Any) -> Any:
    """Return the shares of a partition, which has all shares of its groups, with the row where their group begins."""
    columns = unpack(frame)
    order = np.lexsort((columns["first"], columns["low"], columns["high"]))
    high, low, first, count = (columns[name][order] for name in ("high", "low", "first", "count"))
    begins = np.append(True, (high[1:] != high[:-1]) | (low[1:] != low[:-1]))[: len(order)]
    of = np.cumsum(begins) - 1
    before = np.cumsum(count) - count
    return pack(
        JOINED,
        home=first[begins][of],
        piece=columns["piece"][order],
        group=columns["group"][order],
        count=count,
        offset=before - before[begins][of],
        channel=columns["channel"][order],
    )


def rank(frame: Any, limits: NDArray[np.int64]) -> Ranked:
    """Bring the groups of a partition into the order of sending; *limits* are people of a batch by set of channels."""
    columns = unpack(frame)
    order = np.lexsort((columns["offset"], columns["home"]))
    home = columns["home"][order]
    begins = np.append(True, home[1:] != home[:-1])[: len(order)]
    of = np.cumsum(begins) - 1
    channel = columns["channel"][order][begins]
    total = np.bincount(of, weights=columns["count"][order], minlength=len(channel)).astype(np.int64)
    return Ranked(
        total=total,
        limit=limits[channel],
        channel=channel,
        of=of,
        piece=columns["piece"][order],
        group=columns["group"][order],
        offset=columns["offset"][order],
    )


def count(ranked: Ranked, *, several: int) -> Counts:
    """Return what is told of some groups; there are *several* sets of channels."""
    largest = np.zeros(several, dtype=np.int64)
    np.maximum.at(largest, ranked.channel, np.minimum(ranked.total, ranked.limit))
    people = np.bincount(ranked.channel, weights=ranked.total, minlength=several)
    return Counts(
        people=int(ranked.total.sum()),
        batches=int(ranked.batches.sum()),
        by_channel=tuple(people.astype(np.int64).tolist()),
        largest=tuple(largest.tolist()),
    )


def seat(ranked: Ranked, *, position: int, batch: int) -> Any:
    """Return where the shares in some groups begin, for the pieces that have them.

    Args:
        ranked: the groups.
        position: how many people are before them in the order of sending.
        batch: how many batches.
    """
    batches = ranked.batches
    starts = position + np.cumsum(ranked.total) - ranked.total
    firsts = batch + np.cumsum(batches) - batches
    return pack(
        SEATS,
        piece=ranked.piece,
        group=ranked.group,
        start=starts[ranked.of],
        batch=firsts[ranked.of],
        offset=ranked.offset,
    )


def sit(grouped: Grouped, standing: Standing, seats: Any, limits: NDArray[np.int64]) -> Seated:
    """Return where each of a piece's people is in the order of sending; *limits* as in :func:`rank`."""
    columns = unpack(seats)
    start, batch, offset = np.zeros((3, len(grouped.first)), dtype=np.int64)
    for place, name in ((start, "start"), (batch, "batch"), (offset, "offset")):
        place[columns["group"]] = columns[name]
    order = np.argsort(grouped.group, kind="stable")
    sizes = np.bincount(grouped.group, minlength=len(grouped.first))
    in_share = np.empty(len(order), dtype=np.int64)
    in_share[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    in_group = in_share + offset[grouped.group]
    limit = limits[standing.channels[grouped.rows]]
    return Seated(
        positions=start[grouped.group] + in_group,
        batches=(batch[grouped.group] + in_group // limit).astype(np.int32),
        opens=in_group % limit == 0,
    )


def people(judged: Judged, grouped: Grouped, seated: Seated, terms: Terms) -> Any:
    """Return the people of a piece with their positions in the order of sending."""
    return pack(
        PEOPLE,
        position=seated.positions,
        row=grouped.rows + terms.first,
        number=judged.intake.numbers[grouped.rows],
    )


def openings(judged: Judged, standing: Standing, grouped: Grouped, seated: Seated) -> Any:
    """Return what the batches say whose first people are in a piece, with the positions of these."""
    lead = grouped.rows[seated.opens]
    return pack(
        OPENINGS,
        position=seated.positions[seated.opens],
        text=judged.texts.take(pa.array(judged.intake.sets[lead])),
        channel=standing.channels[lead],
        slot=_slots(standing, lead),
    )


def _slots(standing: Standing, rows: NDArray[np.int64]) -> NDArray[np.int32]:
    if standing.slots is None:
        return np.full(len(rows), _NO_SLOT, dtype=np.int32)
    return np.maximum(standing.slots[rows], _NO_SLOT)
