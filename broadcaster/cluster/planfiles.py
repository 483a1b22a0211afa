"""The two tables of a part that many have planned, written by one in their order, a row group at a time.

A few row groups are under way at any moment; nobody waits for the whole list.
"""

import hashlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from broadcaster.cluster import rowgroups
from broadcaster.cluster.counting import built_of
from broadcaster.cluster.planner import Agreed, Planner, Result
from broadcaster.cluster.rowgroups import Saying
from broadcaster.planning.ahead import beside
from broadcaster.planning.pipeline import Built
from broadcaster.store.files import PRIVATE, digest, disk_errors, sync
from broadcaster.store.parquet import writing
from broadcaster.store.plan import BATCHES, BATCHES_REPEATED, ROW_GROUP, ROWS, ROWS_REPEATED


def write_part(planner: Planner, *, rows_path: Path, batches_path: Path, first_row: int, first_batch: int) -> Built:
    """Plan, write both tables and make them private and durable; the arguments are :func:`.build_part`'s.

    Raises:
        AloneError: as :meth:`broadcaster.cluster.planner.Planner.agree`.
        ConfigError: as there.
        StoreError: when the disk refuses.
    """
    agreed = planner.agree()
    counted = planner.counted(agreed)
    with beside(lambda: _write_rows(planner, agreed, rows_path, first_batch=first_batch)):
        keys = _write_batches(planner, agreed, batches_path, first_row=first_row, first_batch=first_batch)
    for path in (rows_path, batches_path):
        with disk_errors(path):
            path.chmod(PRIVATE)
            sync(path)
    pieces, beginnings, looked_at = counted()
    return built_of(
        agreed.numbering,
        agreed.told,
        agreed.places,
        pieces,
        agreed.groups,
        beginnings,
        looked_at,
        keys_sha256=keys,
        sha256={path.name: digest(path) for path in (rows_path, batches_path)},
    )


def _write_rows(planner: Planner, agreed: Agreed, path: Path, *, first_batch: int) -> None:
    with writing(path, ROWS, repeated=ROWS_REPEATED) as writer:
        for wire in planner.workers.in_order(_row_groups(planner, agreed, first_batch=first_batch)):
            writer.write_table(wire.table(ROWS), row_group_size=ROW_GROUP)


def _row_groups(planner: Planner, agreed: Agreed, *, first_batch: int) -> Iterator[Result]:
    run, kept, numbering = planner.workers.run, agreed.kept, agreed.numbering
    pieces = list(
        zip(kept.judged, kept.standing, kept.settled, kept.grouped, kept.seated, numbering.terms, strict=True)
    )
    firsts = numbering.firsts
    for begin in range(0, numbering.rows, ROW_GROUP):
        end = min(begin + ROW_GROUP, numbering.rows)
        first = int(np.searchsorted(firsts, begin, side="right")) - 1
        last = int(np.searchsorted(firsts, end, side="left"))
        rows = [
            run(
                rowgroups.rows_of,
                *pieces[piece],
                begin=max(0, begin - int(firsts[piece])),
                end=min(end, int(firsts[piece + 1])) - int(firsts[piece]),
                channel_sets=numbering.channel_sets,
                first_batch=first_batch,
            )
            for piece in range(first, last)
        ]
        yield run(rowgroups.row_group, rows)


def _write_batches(planner: Planner, agreed: Agreed, path: Path, *, first_row: int, first_batch: int) -> str:
    keys = hashlib.sha256()
    wording = planner.wording
    saying = Saying(
        message=wording.message,
        encode=wording.operation.encode,
        channel_sets=agreed.numbering.channel_sets,
        slots=agreed.numbering.timed.slots,
        first_row=first_row,
        first_batch=first_batch,
    )
    with writing(path, BATCHES, repeated=BATCHES_REPEATED) as writer:
        for wire in planner.workers.in_order(_batch_groups(planner, agreed, saying)):
            keys.update(wire.keys)
            table = wire.table(BATCHES)
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    return keys.hexdigest()


def _batch_groups(planner: Planner, agreed: Agreed, saying: Saying) -> Iterator[Result]:
    for (begin, batch), (end, _) in pairwise(agreed.openings):
        stretch = int(np.searchsorted(agreed.bounds, begin, side="right")) - 1
        yield planner.workers.run(
            rowgroups.batch_group, agreed.stretches[stretch], saying, begin=begin, end=end, batch=batch
        )
