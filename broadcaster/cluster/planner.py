"""Planning by many: which worker does what, in which order, and what has to meet in between.

Theory of operation. Workers read the list, a piece each, and keep what they have read. Between two steps only what has
to meet is moved, as frames that are shuffled: all rows of a number, to find who has opted out or is there twice; all
shares of a group, for the order of sending; the people of a stretch of that order, to make their batches. Everything
else stays where it was read. This side hears of each piece what does not grow with its rows, and decides how things are
numbered.

It does not know what does the work: see :class:`Workers`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from broadcaster.cluster import ordering, rowgroups
from broadcaster.cluster.counting import PieceCounts, count_piece
from broadcaster.cluster.frames import (
    JOINED,
    NUMBERS,
    OPENINGS,
    PEOPLE,
    SEATS,
    SHARES,
    VERDICTS,
    Layout,
)
from broadcaster.cluster.numbering import Numbering, number
from broadcaster.cluster.pieces import Piece, cut_list
from broadcaster.cluster.reading import DECIDING, Asked, Refused, Told, read_piece, tell, versions
from broadcaster.cluster.rowgroups import Opening
from broadcaster.cluster.standing import compare, numbers_of, settle, stand
from broadcaster.errors import ConfigError, ListUnusable
from broadcaster.phones import origins
from broadcaster.planning.pipeline import Audience, Wording
from broadcaster.planning.timing import Timing

Result = Any
"""A result that is with a worker; as an argument of other work it is what it stands for."""
_PARTITION_ROWS = 1 << 19  # of what is shuffled: some tens of megabytes
_AT_ONCE = 1 << 19  # numbers in a message: four megabytes


class Workers(Protocol):
    """Whoever does the work."""

    def run(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Result:
        """Let some worker do *work*; results among the arguments, or in lists of them, are taken there."""

    def told(self, results: Sequence[Result]) -> list[Any]:
        """Return what results are, in order."""

    def together(self, frames: Sequence[Result], layout: Layout, *, by: str, parts: int) -> list[Result]:
        """Bring rows of equal *by* together, in any of *parts* partitions, in any order."""

    def between(self, frames: Sequence[Result], layout: Layout, *, by: str, bounds: Sequence[int]) -> list[Result]:
        """Bring rows together by the two of *bounds* that their *by* is between: at the first, or after it."""

    def in_order(self, results: Iterable[Result]) -> Iterator[Any]:
        """Yield what results are, in order; they are asked for as they are needed, a few ahead."""


class AloneError(Exception):
    """Many cannot plan this list; the argument says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What workers keep of each piece until the tables are written; see the modules of these names."""

    judged: list[Result]
    standing: list[Result]
    settled: list[Result]
    grouped: list[Result]
    seated: list[Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """A list, decided.

    Attributes:
        places: which files of the list each piece is of.
        told: of each piece.
        numbering: of the list.
        kept: with the workers.
        groups: counted.
        openings: where row groups of batches begin; at the end, all people and all batches.
        bounds: where stretches of the order of sending begin; and the end.
        stretches: with the workers.
    """

    places: tuple[tuple[int, ...], ...]
    told: list[Told]
    numbering: Numbering
    kept: Kept
    groups: list[ordering.Counts]
    openings: list[Opening]
    bounds: list[int]
    stretches: list[Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """One list and who plans it."""

    workers: Workers
    audience: Audience
    wording: Wording
    timing: Timing | None

    def agree(self) -> Agreed:
        """Decide about every row, and about the order of sending.

        Raises:
            AloneError: a piece cannot be read where it should be.
            ConfigError: a worker has other versions of what decides.
        """
        pieces, judged, told = self._read()
        columns = self.audience.columns
        numbering = number(
            told,
            timing=self.timing,
            by_channel=columns.channel is not None,
            by_zone_column=columns.timezone is not None,
        )
        limits = np.array([self.wording.largest_batch(each) for each in numbering.channel_sets], dtype=np.int64)
        standing, settled = self._settled(judged, told, numbering)
        several = len(numbering.channel_sets)
        grouped = [
            self.workers.run(ordering.group, *each, several=several)
            for each in zip(judged, standing, settled, strict=True)
        ]
        ranked = self._ranked(standing, grouped, numbering, limits, _parts(_most_groups(told, numbering)))
        groups = self.workers.told([self.workers.run(ordering.count, each, several=several) for each in ranked])
        seats, openings = self._seats(ranked, groups, pieces=len(pieces))
        seated = [self.workers.run(ordering.sit, *each, limits) for each in zip(grouped, standing, seats, strict=True)]
        kept = Kept(judged=judged, standing=standing, settled=settled, grouped=grouped, seated=seated)
        bounds = _bounds(openings)
        return Agreed(
            places=tuple(each.places for each in pieces),
            told=told,
            numbering=numbering,
            kept=kept,
            groups=groups,
            openings=openings,
            bounds=bounds,
            stretches=self._stretches(kept, numbering, bounds),
        )

    def counted(self, agreed: Agreed) -> Callable[[], tuple[list[PieceCounts], list[origins.Beginnings], Any]]:
        """Have everything counted; what is returned waits for it.

        That is: the pieces, how numbers begin, and the numbers whose kind of line is looked at.
        """
        run, numbering, kept = self.workers.run, agreed.numbering, agreed.kept
        sizes = {
            "several": len(numbering.channel_sets),
            "slots": len(numbering.timed.slots),
            "labels": len(numbering.timed.labels),
        }
        pieces = [
            run(count_piece, *each, **sizes) for each in zip(kept.standing, kept.settled, kept.grouped, strict=True)
        ]
        every = origins.sample_step(agreed.openings[-1][0])
        looks = [run(rowgroups.look, each, every=every) for each in agreed.stretches]

        def wait() -> tuple[list[PieceCounts], list[origins.Beginnings], Any]:
            looked = self.workers.told(looks)
            numbers = np.concatenate([np.zeros(0, dtype=np.int64), *(numbers for _, numbers in looked)])
            return self.workers.told(pieces), [beginnings for beginnings, _ in looked], numbers

        return wait

    # ---- steps ------------------------------------------------------------------------------------------------------

    def _read(self) -> tuple[tuple[Piece, ...], list[Result], list[Told]]:
        """Have the list read; each piece stays where it is read."""
        try:
            pieces = cut_list(self.audience.source)
        except (ListUnusable, OSError):  # whoever plans it alone will say it better
            raise AloneError("the list cannot be read") from None
        asked = Asked(
            columns=self.audience.columns,
            default_region=self.audience.default_region,
            parameters=self.wording.parameters,
            channels=self.wording.channels,
            only=self.audience.only,
            by_zone=self.timing is not None and self.timing.is_local,
        )
        judged = [self.workers.run(read_piece, each, asked) for each in pieces]
        with ThreadPoolExecutor(1) as beside:
            fingerprints = beside.submit(self.audience.source.fingerprints)
            told = self.workers.told([self.workers.run(tell, each) for each in judged])
            digests = [each.sha256 for each in fingerprints.result()]
        for piece, each in zip(pieces, told, strict=True):
            _check(piece, each, digests)
        return pieces, judged, told

    def _settled(
        self, judged: list[Result], told: list[Told], numbering: Numbering
    ) -> tuple[list[Result], list[Result]]:
        """Decide who is messaged: each row by itself, then by number."""
        run, terms = self.workers.run, numbering.terms
        suppressed = self._shared(self.audience.suppressed)
        stops = any(each.opted_out for each in told)
        standing = [run(stand, *each, suppressed) for each in zip(judged, terms, strict=True)]
        numbers = [run(numbers_of, *each, stops=stops) for each in zip(judged, standing, terms, strict=True)]
        by_number = self.workers.together(numbers, NUMBERS, by="number", parts=_parts(numbering.rows))
        found = [run(compare, each) for each in by_number]
        verdicts = self.workers.between(found, VERDICTS, by="row", bounds=numbering.firsts.tolist())
        return standing, [run(settle, *each) for each in zip(standing, verdicts, terms, strict=True)]

    def _shared(self, numbers: NDArray[np.int64]) -> Result:
        """Give *numbers* to all workers, a message at a time; as work, which is done again when a worker is lost."""
        few = [numbers[at : at + _AT_ONCE] for at in range(0, len(numbers), _AT_ONCE)] or [numbers]
        return self.workers.run(np.concatenate, [self.workers.run(np.asarray, each) for each in few])

    def _ranked(
        self,
        standing: list[Result],
        grouped: list[Result],
        numbering: Numbering,
        limits: NDArray[np.int64],
        parts: int,
    ) -> list[Result]:
        """Bring all groups into the order of sending."""
        run = self.workers.run
        each_piece = zip(grouped, standing, numbering.terms, strict=True)
        shares = [run(ordering.share, *each) for each in each_piece]
        joined = [run(ordering.join, each) for each in self.workers.together(shares, SHARES, by="low", parts=parts)]
        bounds = np.unique(np.linspace(0, numbering.rows, parts + 1, dtype=np.int64))
        near = self.workers.between(joined, JOINED, by="home", bounds=bounds.tolist())
        return [run(ordering.rank, each, limits) for each in near]

    def _seats(
        self, ranked: list[Result], groups: Sequence[ordering.Counts], *, pieces: int
    ) -> tuple[list[Result], list[Opening]]:
        """Tell the pieces where their shares begin, and find out where row groups of batches do."""
        run = self.workers.run
        position = batch = 0
        seats, opened = [], []
        before: Result = ((), None)
        for each, counted in zip(ranked, groups, strict=True):
            seats.append(run(ordering.seat, each, position=position, batch=batch))
            before = run(rowgroups.open_groups, each, before, position=position, batch=batch)
            opened.append(before)
            position, batch = position + counted.people, batch + counted.batches
        openings = [opening for found, _ in self.workers.told(opened) for opening in found]
        return self.workers.between(seats, SEATS, by="piece", bounds=range(pieces + 1)), [*openings, (position, batch)]

    def _stretches(self, kept: Kept, numbering: Numbering, bounds: list[int]) -> list[Result]:
        """Bring people together in the order of sending."""
        run = self.workers.run
        people = [
            run(ordering.people, *each)
            for each in zip(kept.judged, kept.grouped, kept.seated, numbering.terms, strict=True)
        ]
        openings = [
            run(ordering.openings, *each)
            for each in zip(kept.judged, kept.standing, kept.grouped, kept.seated, strict=True)
        ]
        who = self.workers.between(people, PEOPLE, by="position", bounds=bounds)
        what = self.workers.between(openings, OPENINGS, by="position", bounds=bounds)
        return [run(rowgroups.bring, *each, begin=begin) for *each, begin in zip(who, what, bounds[:-1], strict=True)]


def _check(piece: Piece, told: Told | Refused, digests: Sequence[str]) -> None:
    """Refuse what was read of another file, or by other rules, than it would be here."""
    if isinstance(told, Refused):
        raise AloneError(told.sentence)
    if told.versions != versions():
        packages = " and ".join(f"{name} {own}" for name, own in zip(DECIDING, versions(), strict=True))
        raise ConfigError(f"a worker of the cluster has other versions than this machine; install {packages} there")
    if [digests[place] for place in piece.places] != list(told.digests):
        raise AloneError(f"{piece.files[0].place} is another file on some machine of the cluster")


def _parts(rows: int) -> int:
    return max(1, -(-rows // _PARTITION_ROWS))


def _most_groups(told: Sequence[Told], numbering: Numbering) -> int:
    """Return how many shares in groups there can be at the most."""
    alike = len(numbering.channel_sets) * max(1, len(numbering.timed.slots))
    return sum(min(each.rows, each.sets * alike) for each in told)


def _bounds(openings: Sequence[Opening]) -> list[int]:
    """Return where stretches of the order of sending begin, of as many row groups as make a partition; and the end."""
    bounds = [0]
    for (begin, _), (end, _) in pairwise(openings):
        if end - bounds[-1] > _PARTITION_ROWS and begin > bounds[-1]:
            bounds.append(begin)
    return [*bounds, max(1, openings[-1][0])]
