"""A part that sends again to whom the API refused: batches only, whose rows are those of earlier parts.

The generation is new, so that an equal body gets a new key: under the old one the API might answer from its memory.
"""

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.values import Message
from broadcaster.core.words import Channel
from broadcaster.operations.model import Operation
from broadcaster.planning import bodies
from broadcaster.planning.group import cut
from broadcaster.planning.pipeline import Built
from broadcaster.planning.preview import Preview, preview
from broadcaster.store.files import PRIVATE, digest, disk_errors, sync
from broadcaster.store.parquet import writing
from broadcaster.store.plan import BATCHES, Plan
from broadcaster.store.refusals import RETRY


def generation(part: int) -> str:
    """Return the generation of the keys of a retry that is the plan's part number *part*."""
    return f"r{part}"


def build_retry(plan: Plan, rows: NDArray[np.int64], *, message: Message, operation: Operation) -> Built:
    """Write ``batches-N.parquet`` of a part that sends to *rows* again.

    Groups and batches are made as in a first part, no larger than the largest batch that the plan has.

    Args:
        plan: what is planned already.
        rows: numbers of rows that are in batches of *plan*, ascending.
        message: what the new batches share; its scope has the new generation.
        operation: of the plan.

    Raises:
        StoreError: when the disk refuses.
    """
    sets, numbers, parameters = _collect(plan, rows)
    largest = max(part.head.largest_batch for part in plan.parts if part.head.kind != RETRY)
    order, starts, ends = cut(sets[rows].astype(np.int64), largest=largest)
    cuts = bodies.Cuts(
        rows=rows[order],
        starts=starts,
        ends=ends,
        numbers=numbers,
        sets=sets,
        first_row=0,  # rows are numbered through the whole plan here
        first_batch=plan.batches,
    )
    keys = hashlib.sha256()
    path = plan.run_dir.batches(len(plan.parts))
    with writing(path, BATCHES) as writer:
        for table in bodies.tables(
            cuts,
            parameters=parameters,
            channels=tuple(Channel(each) for each in plan.head.channels),
            message=message,
            encode=operation.encode,
            keys=keys,
        ):
            writer.write_table(table, row_group_size=max(1, table.num_rows))
    with disk_errors(path):
        path.chmod(PRIVATE)
        sync(path)
    return Built(
        rows=0,
        excluded={},
        recipients=len(rows),
        batches=len(starts),
        largest_batch=int((ends - starts).max(initial=0)),
        already_planned=0,
        keys_sha256=keys.hexdigest(),
        sha256={path.name: digest(path)},
    )


def _collect(plan: Plan, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64], list[bytes]]:
    """Return, by row of the plan, parameter set and number of *rows* (0 for all others), and the sets."""
    sets = np.zeros(plan.rows, dtype=np.int32)
    numbers = np.zeros(plan.rows, dtype=np.int64)
    wanted = np.zeros(plan.rows, dtype=bool)
    wanted[rows] = True
    parameters: dict[bytes, int] = {}
    for batch, of_batch in plan.read_with_rows():
        here = np.flatnonzero(wanted[of_batch])
        if len(here):
            sets[of_batch[here]] = parameters.setdefault(batch.parameters, len(parameters))
            numbers[of_batch[here]] = [int(batch.to[position][1:]) for position in here.tolist()]
    return sets, numbers, list(parameters)


def preview_retry(plan: Plan, *, requests_per_minute: int, messages_per_minute: int) -> Preview:
    """Show the last part of *plan* alone: what it adds, not what the run was before."""
    last = plan.parts[-1]
    shown = preview(
        Plan(plan.run_dir, (last,)), requests_per_minute=requests_per_minute, messages_per_minute=messages_per_minute
    )
    return replace(shown, rows=last.head.recipients)
