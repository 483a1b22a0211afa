"""What is counted of a part that many have planned: sums over pieces and stretches, put together as one machine would.

Pure. The figures go into the plan's head, and two heads for one list are to be equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from broadcaster.cluster.numbering import Numbering
from broadcaster.cluster.ordering import Counts, Grouped
from broadcaster.cluster.reading import Told
from broadcaster.cluster.standing import Settled, Standing
from broadcaster.core.words import Channel
from broadcaster.phones import origins
from broadcaster.planning.exclude import ELIGIBLE, EXCLUSIONS, named
from broadcaster.planning.pipeline import Built


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceCounts:
    """What is counted of a piece.

    Attributes:
        codes: rows by their exclusion's code.
        excluded: those that are left out, by set of channels.
        slots: people by send time.
        candidates: people by set of zones.
    """

    codes: NDArray[np.int64]
    excluded: NDArray[np.int64]
    slots: NDArray[np.int64]
    candidates: NDArray[np.int64]


def count_piece(
    standing: Standing, settled: Settled, grouped: Grouped, *, several: int, slots: int, labels: int
) -> PieceCounts:
    """Count a piece; there are *several* sets of channels, so many *slots*, and *labels* for sets of zones."""
    channels = np.maximum(standing.channels[settled.codes != ELIGIBLE], 0)  # unknown: those that the job would use
    by_slot, by_zones = (np.zeros(size, dtype=np.int64) for size in (slots, labels))
    if standing.slots is not None and slots:
        by_slot = np.bincount(standing.slots[grouped.rows], minlength=slots)
    if len(standing.candidates) and labels:
        by_zones = np.bincount(standing.candidates[grouped.rows], minlength=labels)
    return PieceCounts(
        codes=np.bincount(settled.codes, minlength=len(EXCLUSIONS)),
        excluded=np.bincount(channels, minlength=several),
        slots=by_slot,
        candidates=by_zones,
    )


def built_of(
    numbering: Numbering,
    told: Sequence[Told],
    places: Sequence[Sequence[int]],
    pieces: Sequence[PieceCounts],
    groups: Sequence[Counts],
    beginnings: Sequence[origins.Beginnings],
    looked_at: NDArray[np.int64],
    *,
    keys_sha256: str,
    sha256: dict[str, str],
) -> Built:
    """Return the figures of a part.

    Args:
        numbering: of the list.
        told: of each piece.
        places: which files of the list each piece is of.
        pieces: counted.
        groups: counted.
        beginnings: of all people's numbers.
        looked_at: the numbers whose kind of line is looked at.
        keys_sha256: of all keys.
        sha256: of both files.
    """
    widths = np.array([len(each) for each in numbering.channel_sets], dtype=np.int64)
    people = np.array([each.by_channel for each in groups], dtype=np.int64).sum(axis=0)
    largest = np.max([each.largest for each in groups], axis=0)
    line_types, line_types_of = origins.line_types(looked_at)
    timed = numbering.timed
    slots, candidates = (np.sum([getattr(each, name) for each in pieces], axis=0) for name in ("slots", "candidates"))
    times, zones = timed.named(slots, candidates) if timed.slots else ({}, {})
    return Built(
        rows=numbering.rows,
        excluded=named(np.sum([each.codes for each in pieces], axis=0)),
        excluded_deliveries=int((np.sum([each.excluded for each in pieces], axis=0) * widths).sum()),
        recipients=int(people.sum()),
        deliveries=int((people * widths).sum()),
        batches=sum(each.batches for each in groups),
        largest_batch=int(largest.max()),
        largest_request=int((largest * widths).max()),
        by_channels=_by_channels(numbering.channel_sets, people),
        already_planned=0,
        keys_sha256=keys_sha256,
        sha256=sha256,
        countries=origins.countries_of(beginnings),
        line_types=line_types,
        line_types_of=line_types_of,
        rows_by_file=_rows_by_file(told, places),
        times=times,
        zones=zones,
    )


def _by_channels(
    channel_sets: Sequence[tuple[Channel, ...]], people: NDArray[np.int64]
) -> dict[tuple[Channel, ...], int]:
    return {channels: count for channels, count in zip(channel_sets, people.tolist(), strict=True) if count}


def _rows_by_file(told: Sequence[Told], places: Sequence[Sequence[int]]) -> tuple[int, ...]:
    rows = [0] * (1 + max(place for each in places for place in each))
    for each, where in zip(told, places, strict=True):
        for place, count in zip(where, each.rows_by_file, strict=True):
            rows[place] += count
    return tuple(rows)
