"""A part that was built and is not frozen yet, in figures: what guards, the head and the preview go by."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from broadcaster.core.words import Channel
from broadcaster.phones.origins import countries, line_types
from broadcaster.planning import bodies
from broadcaster.store.files import PRIVATE, digest, disk_errors, sync


@dataclass(frozen=True, slots=True)
class Where:
    """Recipients by country and by kind of line, and how many were looked at for the latter."""

    countries: dict[str, int]
    line_types: dict[str, int]
    looked_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The tables of a part, written but not yet frozen.

    Attributes:
        excluded: rows by reason; *excluded_deliveries* counts each of them once for every channel it asks for.
        largest_batch: recipients of the largest batch; *largest_request*: messages of the largest one.
        by_channels: recipients by the channels that they are sent on.
        countries, line_types: recipients by either; of the latter, as many as *line_types_of* were looked at.
        rows_by_file: how many rows each file of the list has.
        times: recipients by send time, in order of time; *zones*: by time zone, where that decides about the time.
        groups: recipients by the column that they are grouped by, in the order of sending, if there is one.
        canary: recipients of the first *canary_batches*, which go before all others.
    """

    rows: int
    excluded: dict[str, int]
    excluded_deliveries: int
    recipients: int
    deliveries: int
    batches: int
    largest_batch: int
    largest_request: int
    by_channels: dict[tuple[Channel, ...], int]
    already_planned: int
    keys_sha256: str
    sha256: dict[str, str]
    countries: dict[str, int]
    line_types: dict[str, int]
    line_types_of: int
    rows_by_file: tuple[int, ...]
    times: dict[str, int] = field(default_factory=dict)
    zones: dict[str, int] = field(default_factory=dict)
    canary: int = 0
    canary_batches: int = 0
    groups: dict[str, int] = field(default_factory=dict)

    @property
    def in_head(self) -> dict[str, Any]:
        """What a head says of the part, by the names of its fields."""
        figures = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "already_planned"}
        return {**figures, "by_channels": {"+".join(each): count for each, count in self.by_channels.items()}}


def look_at(cuts: bodies.Cuts) -> Where:
    """Return where the recipients are, and on what kind of line."""
    numbers = cuts.numbers[cuts.rows]
    kinds, looked_at = line_types(numbers)
    return Where(countries(numbers), kinds, looked_at)


def built(
    cuts: bodies.Cuts,
    channel_sets: Sequence[tuple[Channel, ...]],
    *,
    rows: int,
    excluded: dict[str, int],
    excluded_deliveries: int,
    already_planned: int,
    keys_sha256: str,
    where: Where,
    paths: Sequence[Path],
    rows_by_file: tuple[int, ...] = (),
    times: dict[str, int] | None = None,
    zones: dict[str, int] | None = None,
    canary_batches: int = 0,
    groups: dict[str, int] | None = None,
) -> Built:
    """Make the tables at *paths* private and durable, and count what *cuts* ask for."""
    for path in paths:
        with disk_errors(path):
            path.chmod(PRIVATE)
            sync(path)
    widths = np.array([len(each) for each in channel_sets], dtype=np.int64)
    recipients = np.bincount(cuts.channels[cuts.rows], minlength=len(widths))
    sizes = cuts.ends - cuts.starts
    by_channels: dict[tuple[Channel, ...], int] = {}
    for channels, count in zip(channel_sets, recipients.tolist(), strict=True):
        if count:
            by_channels[channels] = by_channels.get(channels, 0) + count
    return Built(
        rows=rows,
        excluded=excluded,
        excluded_deliveries=excluded_deliveries,
        recipients=len(cuts.rows),
        deliveries=int((recipients * widths).sum()),
        batches=len(sizes),
        largest_batch=int(sizes.max(initial=0)),
        largest_request=int((sizes * widths[cuts.channels[cuts.rows[cuts.starts]]]).max(initial=0)),
        by_channels=by_channels,
        already_planned=already_planned,
        keys_sha256=keys_sha256,
        sha256={path.name: digest(path) for path in paths},
        countries=where.countries,
        line_types=where.line_types,
        line_types_of=where.looked_at,
        rows_by_file=rows_by_file,
        times=times or {},
        zones=zones or {},
        canary=int(sizes[:canary_batches].sum()),
        canary_batches=canary_batches,
        groups=groups or {},
    )
