"""One numbering for all pieces: rows, sets of channels, zones and send times. Decided where planning was asked for.

Theory of operation. Every piece tells in which order it met channels and zones; put together in the order of the pieces
that is the order of the list, and so the numbers are those that one machine would give. When a row is sent follows from
what kind of row it is (:class:`broadcaster.cluster.reading.Kinds`); one row of each kind is enough to decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broadcaster.cluster.reading import Told
from broadcaster.core.words import Channel
from broadcaster.planning.slots import Timed, ZoneNames
from broadcaster.planning.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a piece's own numbers mean: places are its own, what stands there is everybody's.

    Attributes:
        piece: which one it is.
        first: the number of its first row.
        channels: sets of channels; ``None`` where the list has no column of them.
        slots: send times by kind of row, as :class:`broadcaster.planning.slots.Timed` has them; ``None``: no times.
        candidates: sets of zones by kind of row.
    """

    piece: int
    first: int
    channels: NDArray[np.int16] | None
    slots: NDArray[np.int32] | None
    candidates: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The list as a whole.

    Attributes:
        firsts: the number of each piece's first row, and at the end how many rows there are.
        channel_sets: the job's own first.
        timed: send times; its codes are those of kinds of rows.
        terms: of each piece.
    """

    firsts: NDArray[np.int64]
    channel_sets: tuple[tuple[Channel, ...], ...]
    timed: Timed
    terms: tuple[Terms, ...]

    @property
    def rows(self) -> int:
        """How many rows the list has."""
        return int(self.firsts[-1])


def number(told: Sequence[Told], *, timing: Timing | None, by_channel: bool, by_zone_column: bool) -> Numbering:
    """Give everything its number.

    Args:
        told: of all pieces, in order.
        timing: the job's schedule.
        by_channel: whether the list has a column of channels.
        by_zone_column: whether it has one of time zones that is read.
    """
    firsts = np.concatenate([[0], np.cumsum([each.rows for each in told])]).astype(np.int64)
    sets: list[tuple[Channel, ...]] = [told[0].channel_sets[0]]
    channels = [_numbers(each.channel_sets, sets) for each in told]
    timed, ends = _timed(told, timing, by_zone_column=by_zone_column)
    terms = []
    for piece, of_set in enumerate(channels):
        here = slice(ends[piece], ends[piece + 1])
        terms.append(
            Terms(
                piece=piece,
                first=int(firsts[piece]),
                channels=of_set if by_channel else None,
                slots=timed.codes[here] if len(timed.codes) else None,
                candidates=timed.candidates[here],
            )
        )
    return Numbering(firsts=firsts, channel_sets=tuple(sets), timed=timed, terms=tuple(terms))


def _numbers(own: Sequence[tuple[Channel, ...]], known: list[tuple[Channel, ...]]) -> NDArray[np.int16]:
    """Return the numbers of a piece's sets of channels; new ones are added to *known*."""
    for each in own:
        if all(set(each) != set(other) for other in known):
            known.append(each)
    places = {frozenset(each): place for place, each in reversed(list(enumerate(known)))}
    return np.array([places[frozenset(each)] for each in own], dtype=np.int16)


def _timed(told: Sequence[Told], timing: Timing | None, *, by_zone_column: bool) -> tuple[Timed, list[int]]:
    """Return the send times of all kinds of rows, and where those of each piece begin; at the end how many there are.

    Where no zone matters, every row is of the same kind.
    """
    if timing is None:
        return Timed.none(), [0] * (len(told) + 1)
    kinds = [each.kinds for each in told if each.kinds is not None]
    if not kinds:
        one = timing.slots(np.zeros(1, dtype=np.int64), None, None)
        codes, candidates = (np.repeat(each, len(told)) for each in (one.codes, one.candidates))
        return Timed(codes, one.slots, candidates, one.labels), list(range(len(told) + 1))
    names = ZoneNames()
    own = []
    for each, kind in zip(told, kinds, strict=True):
        for name in each.zone_names:
            if name not in names.names:
                names.names.append(name)
        numbers = np.array([*map(names.names.index, each.zone_names), -1], dtype=np.int32)  # -1: the last
        own.append(numbers[kind.own])
    timed = timing.slots(
        np.concatenate([kind.numbers for kind in kinds]), np.concatenate(own) if by_zone_column else None, names
    )
    return timed, [0, *np.cumsum([len(kind.own) for kind in kinds]).tolist()]
