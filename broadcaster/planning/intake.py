"""The list, read once: what decides about its rows as arrays, what is only carried through in a spill file.

A record batch is judged (numbers, parameters, opt-outs) while the next one is read and the one before is written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.errors import ListUnusable
from broadcaster.lists.columns import Columns
from broadcaster.lists.filter import Filter
from broadcaster.lists.places import Place
from broadcaster.lists.read import ListFile, ListSource
from broadcaster.phones import Numbers, normalise
from broadcaster.planning.ahead import each_ahead, one_behind
from broadcaster.planning.channels import ChannelSets
from broadcaster.planning.exclude import MALFORMED
from broadcaster.planning.grouping import Groups
from broadcaster.planning.render import Rendered, Renderer
from broadcaster.planning.share import Share
from broadcaster.planning.slots import ZoneNames
from broadcaster.store.files import disk_errors

N = TypeVar("N", bound=np.generic)

_SPILL = pa.schema([("recipient_id", pa.string()), ("phone_input", pa.string())])
_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
_OPTED_OUT = frozenset({"1", "true", "t", "yes", "y", "x", "opt-out", "opted out", "opted_out", "stop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who is on the list, as the job names it.

    ``only`` are the rows that it means, where it does not mean all; ``share`` those that this plan is of, where there
    is a plan for each profile.
    """

    source: ListSource
    columns: Columns
    default_region: str | None
    suppressed: NDArray[np.int64]
    only: Filter | None = None
    share: Share | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Per row, in list order: all that decides.

    Attributes:
        numbers: E.164 digits, 0 where the number is refused.
        faults: what :func:`broadcaster.planning.exclude.exclude` takes.
        sets: the parameter set.
        completeness: of the parameters.
        channels: the set of channels; negative where it is unknown.
        outside: the rows that the filter does not mean, if there is one.
        whose: words of :mod:`broadcaster.planning.share`, where there is a plan for each profile.
        groups: the group, by a column of the job's, if it names one (:class:`broadcaster.planning.grouping.Groups`).
        zones: the zone that a column of its own names (:class:`broadcaster.planning.slots.ZoneNames`), if there is one.
        opted_out: numbers of which a row says that they have opted out; sorted, each once.
        malformed: the few rows that cannot be read, by position: what is wrong with them.
        rows_by_file: how many rows each file of the list has.
    """

    numbers: NDArray[np.int64]
    faults: NDArray[np.uint8]
    sets: NDArray[np.int32]
    completeness: NDArray[np.uint8]
    channels: NDArray[np.int16]
    outside: NDArray[np.bool_] | None
    whose: NDArray[np.int8] | None
    groups: NDArray[np.int32] | None
    zones: NDArray[np.int32] | None
    opted_out: NDArray[np.int64]
    malformed: dict[int, str]
    rows_by_file: tuple[int, ...]


@dataclass(slots=True)
class _Counted:
    """A file of a list that counts its rows as they are read."""

    file: ListFile
    rows: int = 0

    @property
    def place(self) -> Place:
        return self.file.place

    @property
    def columns(self) -> tuple[str, ...]:
        return self.file.columns

    def batches(self, columns: Sequence[str], *, malformed: dict[int, str] | None = None) -> Iterator[Any]:
        self.rows = 0
        for batch in self.file.batches(columns, malformed=malformed):
            self.rows += batch.num_rows
            yield batch


@dataclass(frozen=True, slots=True)
class _Judged:
    numbers: Numbers
    rendered: Rendered
    opted_out: NDArray[np.int64]
    channels: pa.Array | None
    zones: pa.Array | None
    groups: pa.DictionaryArray | None
    outside: NDArray[np.bool_] | None
    whose: NDArray[np.int8] | None
    carried: pa.RecordBatch


def take_in(
    audience: Audience,
    renderer: Renderer,
    channel_sets: ChannelSets,
    zone_names: ZoneNames | None = None,
    *,
    groups: Groups | None = None,
    spill: Path,
) -> Intake:
    """Read the list to its end; its cells go to *spill*, a record batch as it comes.

    Its column of time zones is read only where somebody gives *zone_names*, that of groups where there are *groups*.

    Raises:
        ListUnusable: when the list cannot be read or has no rows.
        StoreError: when the disk refuses.
    """
    columns = audience.columns
    zone_column = columns.timezone if zone_names is not None else None
    group_column = columns.group_by if groups is not None else None
    profile_column = columns.profile if audience.share is not None else None
    some = (columns.phone, columns.id, columns.region, columns.opt_out, columns.channel, zone_column, group_column)
    needed = (*some, profile_column, *renderer.columns, *(audience.only.columns if audience.only is not None else ()))
    malformed: dict[int, str] = {}
    files = tuple(map(_Counted, audience.source.files))
    batches = ListSource(files=files).batches([*dict.fromkeys(filter(None, needed))], malformed=malformed)
    numbers, faults, sets, completeness, opted_out = [], [], [], [], [np.zeros(0, dtype=np.int64)]
    channels: list[NDArray[np.int16]] = []
    zones: list[NDArray[np.int32]] = []
    grouped: list[NDArray[np.int32]] = []
    outside: list[NDArray[np.bool_]] = []
    whose: list[NDArray[np.int8]] = []
    with (
        disk_errors(spill),
        pa.OSFile(str(spill), "wb") as file,
        pa.ipc.new_file(file, _SPILL, options=_COMPRESSED) as writer,
        one_behind(writer.write_batch) as write,
    ):
        for judged in each_ahead(lambda batch: _judge(batch, audience, renderer, zone_column, group_column), batches):
            write(judged.carried)
            numbers.append(judged.numbers.e164)
            faults.append(judged.numbers.fault)
            sets.append(renderer.number(judged.rendered))
            completeness.append(judged.rendered.state)
            opted_out.append(judged.opted_out)
            if judged.channels is not None:
                channels.append(channel_sets.number(judged.channels))
            if judged.zones is not None and zone_names is not None:
                zones.append(zone_names.number(judged.zones))
            if judged.groups is not None and groups is not None:
                grouped.append(groups.number(judged.groups))
            if judged.outside is not None:
                outside.append(judged.outside)
            if judged.whose is not None:
                whose.append(judged.whose)
    if not numbers:
        raise ListUnusable("the list has a header but no rows; nothing to send")
    all_faults = _together(faults)
    all_faults[list(malformed)] = MALFORMED
    return Intake(
        numbers=_together(numbers),
        faults=all_faults,
        sets=renderer.final(_together(sets)),
        completeness=_together(completeness),
        channels=_together(channels) if channels else np.broadcast_to(np.int16(0), len(all_faults)),
        outside=_together(outside) if outside else None,
        whose=_together(whose) if whose else None,
        groups=groups.final(_together(grouped)) if groups is not None and grouped else None,
        zones=_together(zones) if zones else None,
        opted_out=np.unique(np.concatenate(opted_out)),
        malformed=malformed,
        rows_by_file=tuple(file.rows for file in files),
    )


def carried(spill: Path) -> Iterator[pa.RecordBatch]:
    """Yield what :func:`take_in` wrote: the columns ``recipient_id`` and ``phone_input``."""
    with disk_errors(spill), pa.OSFile(str(spill)) as file:
        reader = pa.ipc.open_file(file)
        for at in range(reader.num_record_batches):
            yield reader.get_batch(at)


def _judge(
    batch: pa.RecordBatch, audience: Audience, renderer: Renderer, zone_column: str | None, group_column: str | None
) -> _Judged:
    columns = audience.columns
    cells = batch.column(columns.phone)
    region = batch.column(columns.region) if columns.region else audience.default_region
    numbers = normalise(cells, region, fallback=audience.default_region)
    stopped = numbers.e164[_says_stop(batch.column(columns.opt_out))] if columns.opt_out else numbers.e164[:0]
    ids = batch.column(columns.id) if columns.id else pa.nulls(batch.num_rows, pa.string())
    return _Judged(
        numbers,
        renderer.render(batch),
        stopped,
        batch.column(columns.channel) if columns.channel else None,
        batch.column(zone_column) if zone_column else None,
        Groups.encode(batch.column(group_column)) if group_column else None,
        ~audience.only.inside(batch).to_numpy() if audience.only is not None else None,
        audience.share.of(batch.column(columns.profile)) if audience.share is not None else None,
        pa.RecordBatch.from_arrays([ids, cells], schema=_SPILL),
    )


def _says_stop(cells: pa.Array) -> NDArray[np.bool_]:
    words = pc.utf8_lower(pc.utf8_trim_whitespace(cells))
    said: NDArray[np.bool_] = pc.is_in(words, pa.array(sorted(_OPTED_OUT))).to_numpy(zero_copy_only=False)
    return said


def _together(pieces: list[NDArray[N]]) -> NDArray[N]:
    """Put *pieces* together and let go of them: both at once are needed of no more than one column."""
    whole: NDArray[N] = np.concatenate(pieces)
    pieces.clear()
    return whole
