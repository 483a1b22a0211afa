"""A list cut into pieces that are read apart, each by one worker: some files, or some row groups of a Parquet file.

A piece is read exactly as the whole list would be there, record batch by record batch, so that planning together does
not differ from planning alone. What cannot be cut so, or is not for a cluster yet, is told before anything is read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from broadcaster.lists.read import ListFile, ListSource
from broadcaster.lists.tables import ParquetList
from broadcaster.lists.text import TextList
from broadcaster.planning.followup import Known
from broadcaster.planning.pipeline import Audience, Wording

_ROWS = 1 << 20  # of a piece, where they are known beforehand; a row group is never cut
_TEXT_BYTES = 64 << 20  # of a piece of text files, about a million rows; a file is never cut
_COMPRESSION = 4  # how much smaller compressed text is, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Consecutive files of a list, or parts of them.

    Attributes:
        files: what is to be read, in order.
        places: which file of the list each of them is, or is of.
        several: whether the list has more files than one; sentences about a row name its file then.
    """

    files: tuple[ListFile, ...]
    places: tuple[int, ...]
    several: bool


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is never cut; ``weight`` is its share of a full piece, ``row_group`` which part of the file it is."""

    place: int
    file: ListFile
    weight: float
    row_group: int = 0


def why_alone(audience: Audience, wording: Wording, known: Known) -> str | None:
    """Return what this machine has to plan alone, ``None`` when a cluster can do it."""
    for file in audience.source.files:
        if not isinstance(file, TextList | ParquetList):
            return f"{file.place} is neither text nor Parquet"
    messages = wording.operation.sends_messages and not wording.operation.takes_opt_outs
    reasons = {
        "safety.canary is chosen from the whole list": wording.canary,
        "recipients.group_by puts the whole list into groups": audience.columns.group_by,
        "a list for several profiles is divided among their plans": audience.share,
        "contacts are not messages": audience.columns.contact_id or not messages,
        "--extend looks at the rows of earlier parts": len(known.seen) or len(known.invalid),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def cut_list(source: ListSource) -> tuple[Piece, ...]:
    """Cut a list of text and Parquet files, in its order.

    Raises:
        ListUnusable: a Parquet file is damaged.
        OSError: a file is not there any more.
    """
    pieces: list[list[_Unit]] = []
    weight = 0.0
    for unit in _units(source):
        # What has no rows begins no piece: a piece of none would be taken for an empty list.
        if not pieces or (weight + unit.weight > 1 and unit.weight):
            pieces.append([])
            weight = 0.0
        pieces[-1].append(unit)
        weight += unit.weight
    several = len(source.files) > 1
    return tuple(_piece(units, several=several) for units in pieces)


def _units(source: ListSource) -> Iterator[_Unit]:
    for place, file in enumerate(source.files):
        if isinstance(file, ParquetList):
            for group, rows in enumerate(file.sizes()):
                yield _Unit(place, file, rows / _ROWS, group)
        else:
            size = file.place.path.stat().st_size * (1 if file.place.compression is None else _COMPRESSION)
            yield _Unit(place, file, size / _TEXT_BYTES)


def _piece(units: list[_Unit], *, several: bool) -> Piece:
    """Put units together; row groups that follow each other in a file are read in one go."""
    files: dict[int, ListFile] = {}
    for place, group in groupby(units, key=lambda unit: unit.place):
        here = list(group)
        file = here[0].file
        if isinstance(file, ParquetList):
            file = replace(file, row_groups=range(here[0].row_group, here[-1].row_group + 1))
        files[place] = file
    return Piece(files=tuple(files.values()), places=tuple(files), several=several)
