"""What a worker does first: read a piece of the list and judge every row by itself.

Theory of operation. :func:`broadcaster.planning.intake.take_in` is what reads, so a row is judged as on one machine;
parameter sets, channel sets and zones are numbered within the piece, and it is told in which order they appeared. The
cells that are only carried through stay compressed. A file that is not here, or is another one than where planning was
asked for, is never guessed about: the piece is refused, and somebody who has the list plans it.
"""

import hashlib
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.cluster.pieces import Piece
from broadcaster.core.words import Channel
from broadcaster.errors import BroadcasterError, ListUnusable
from broadcaster.lists.columns import Columns
from broadcaster.lists.fetch import fetch, is_local
from broadcaster.lists.filter import Filter
from broadcaster.lists.read import ListFile, ListSource
from broadcaster.phones.zones import zones_of
from broadcaster.planning.channels import ChannelSets
from broadcaster.planning.intake import Audience, Intake, carried, take_in
from broadcaster.planning.render import Renderer
from broadcaster.planning.slots import ZoneNames
from broadcaster.store.files import TEMPORARY, disk_errors

DECIDING = ("broadcaster", "phonenumbers")
"""The packages that decide about a row: they must be the same everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of every piece.

    Attributes:
        columns, default_region: of the list.
        parameters: templates of the message's parameters.
        channels: of rows that name none.
        only: the rows that are meant; ``None``: all.
        by_zone: whether a row's time zone decides about its time.
    """

    columns: Columns
    default_region: str | None
    parameters: dict[str, str]
    channels: tuple[Channel, ...]
    only: Filter | None
    by_zone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """Rows that the time of sending cannot tell apart: ``of_row`` are places in the other two.

    Attributes:
        numbers: one number of each kind, 0 where a zone is named.
        own: the zone that its rows name, as :class:`broadcaster.planning.slots.ZoneNames` numbers them.
    """

    of_row: NDArray[np.int32]
    numbers: NDArray[np.int64]
    own: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A piece, read.

    Attributes:
        intake: what decides about its rows; numbered within the piece, like everything here.
        texts: the parameter sets.
        channel_sets, zone_names: in the order in which they appeared; the first is the job's own, or no zone.
        kinds: where a row's zone decides.
        cells: ids and numbers as written: an Arrow file, compressed.
        lengths: rows of each of its record batches.
        digests: of the files that were read.
        versions: of :data:`DECIDING` where it was read.
    """

    intake: Intake
    texts: pa.Array
    channel_sets: tuple[tuple[Channel, ...], ...]
    zone_names: tuple[str, ...]
    kinds: Kinds | None
    cells: bytes
    lengths: tuple[int, ...]
    digests: tuple[str, ...]
    versions: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows the piece has."""
        return len(self.intake.numbers)

    def __sizeof__(self) -> int:
        """Return the bytes of all of it: Dask moves and spills results by their size."""
        intake = self.intake
        arrays = (intake.numbers, intake.faults, intake.sets, intake.completeness, intake.opted_out)
        per_row = sum(each.nbytes for each in arrays) + (0 if self.kinds is None else self.kinds.of_row.nbytes)
        return per_row + int(self.texts.nbytes) + sys.getsizeof(self.cells)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a piece was not read there."""

    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What has to be known of a piece before anything is decided about all of them: nothing that grows with its rows.

    ``sets`` and ``opted_out`` are counts; everything else is as in :class:`Judged`.
    """

    rows: int
    rows_by_file: tuple[int, ...]
    sets: int
    opted_out: int
    channel_sets: tuple[tuple[Channel, ...], ...]
    zone_names: tuple[str, ...]
    kinds: Kinds | None
    digests: tuple[str, ...]
    versions: tuple[str, ...]


def read_piece(piece: Piece, asked: Asked) -> Judged | Refused:
    """Read a piece; raises nothing that has a sentence, because Dask would print a traceback for it."""
    try:
        with disk_errors(Path(tempfile.gettempdir())):
            directory = tempfile.TemporaryDirectory(prefix=TEMPORARY)
        with directory as scratch:
            return _read(piece, asked, Path(scratch))
    except BroadcasterError as error:
        return Refused(sentence=error.sentence)
    except pa.ArrowException:  # a file that has changed since its header was read; Arrow's sentence may quote a row
        return Refused(sentence=f"{piece.files[0].place} cannot be read on some machine of the cluster")


def tell(judged: Judged | Refused) -> Told | Refused:
    """Return what has to be known of a piece."""
    if isinstance(judged, Refused):
        return judged
    kinds = judged.kinds
    return Told(
        rows=judged.rows,
        rows_by_file=judged.intake.rows_by_file,
        sets=len(judged.texts),
        opted_out=len(judged.intake.opted_out),
        channel_sets=judged.channel_sets,
        zone_names=judged.zone_names,
        kinds=None if kinds is None else replace(kinds, of_row=kinds.of_row[:0]),
        digests=judged.digests,
        versions=judged.versions,
    )


def versions() -> tuple[str, ...]:
    """Return the versions of :data:`DECIDING` here."""
    return tuple(map(version, DECIDING))


def _read(piece: Piece, asked: Asked, scratch: Path) -> Judged:
    files = tuple(_here(file, scratch) for file in piece.files)
    renderer = Renderer(asked.parameters)
    channel_sets, zone_names = ChannelSets(asked.channels), ZoneNames()
    spill = scratch / "rows"
    intake = take_in(
        Audience(
            source=ListSource(files=files),
            columns=asked.columns,
            default_region=asked.default_region,
            suppressed=np.zeros(0, dtype=np.int64),
            only=asked.only,
        ),
        renderer,
        channel_sets,
        zone_names if asked.by_zone else None,
        spill=spill,
    )
    if piece.several and len(files) == 1:  # several files in a piece are named by themselves
        named = {row: f"{files[0].place}: {sentence}" for row, sentence in intake.malformed.items()}
        intake = replace(intake, malformed=named)
    return Judged(
        intake=intake,
        texts=renderer.sets,
        channel_sets=tuple(channel_sets.sets),
        zone_names=tuple(zone_names.names),
        kinds=_kinds(intake) if asked.by_zone else None,
        cells=spill.read_bytes(),
        lengths=tuple(batch.num_rows for batch in carried(spill)),
        digests=tuple(_digest(file.place.path) for file in files),
        versions=versions(),
    )


def _here(file: ListFile, scratch: Path) -> ListFile:
    """Return *file* as it can be read on this machine.

    Raises:
        ListUnusable: it cannot.
    """
    place = file.place
    if place.path.exists():
        return file
    if not place.fetched or is_local(place.name):
        raise ListUnusable(f"{place} is not on every machine of the cluster")
    copy = next(fetch(place.name, into=scratch, first=len(list(scratch.iterdir()))))
    found: ListFile = replace(file, place=copy)  # type: ignore[type-var]  # every kind of file is a dataclass
    return found


def _kinds(intake: Intake) -> Kinds:
    """Group rows by the zones that they may be in: see :meth:`broadcaster.planning.timing.Timing.slots`."""
    own = intake.zones
    guessed = zones_of(intake.numbers if own is None else np.where(own == 0, intake.numbers, 0)).codes
    named = np.zeros(len(guessed), dtype=np.int64) if own is None else own.astype(np.int64)
    span = int(named.max(initial=0)) + 2  # -1 is a zone that does not exist
    _, one, of_row = np.unique(guessed.astype(np.int64) * span + named + 1, return_index=True, return_inverse=True)
    return Kinds(
        of_row=of_row.reshape(-1).astype(np.int32),
        numbers=np.where(named[one] == 0, intake.numbers[one], 0),
        own=named[one].astype(np.int32),
    )


def _digest(path: Path) -> str:
    found = path.stat()
    return _digest_of(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1 << 10)  # a file of many pieces is read for its digest once; another size or time is another file
def _digest_of(path: Path, _size: int, _changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
