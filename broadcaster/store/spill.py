"""What each delivery got, in the order of sending, cut by row group of the list: the first pass of a manifest."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.values import Batch
from broadcaster.operations.model import Operation
from broadcaster.store.batchfacts import BatchFacts
from broadcaster.store.facts import Facts, unsettled
from broadcaster.store.journal import JournalReader
from broadcaster.store.known import answered, answered_ids
from broadcaster.store.plan import ROW_SHIFT, Plan
from broadcaster.store.spread import ranks_of

if TYPE_CHECKING:
    from broadcaster.core.words import Channel

_KINDS = {str: pa.string(), bool: pa.bool_()}
_SPILLED_AT_ONCE = 1 << 17  # deliveries


def further_columns(operation: Operation) -> list[pa.Field]:
    """Return the columns that an operation adds to the manifest, besides that of its ids."""
    return [pa.field(each.name, _KINDS[each.kind]) for each in operation.columns]


def spill_schema(plan: Plan) -> pa.Schema:
    """Return what is spilled of every delivery: its row in the row group, the rank of its channel, what it got."""
    fields = [
        pa.field("row", pa.int64()),
        pa.field("channel", pa.int8()),
        pa.field("settled_by", pa.int32()),
        pa.field("message_id", pa.string()),
    ]
    return pa.schema([*fields, *further_columns(plan.head.asked)])


class Spill:
    """See the module."""

    def __init__(self, plan: Plan, facts: Facts, table: BatchFacts, directory: Path) -> None:
        self._plan = plan
        self._facts = facts
        self._table = table
        self._directory = directory
        self._writers: dict[tuple[int, int], pa.ipc.RecordBatchStreamWriter] = {}
        self._hashes: list[NDArray[np.int64]] = []
        self._ids: list[str | None] = []
        self._schema = spill_schema(plan)
        self._further: dict[str, list[str | bool | None]] = {each.name: [] for each in plan.head.asked.columns}
        self._waiting: list[tuple[NDArray[np.int64], tuple[Channel, ...], int]] = []  # rows, channels, batch's index

    def write(self) -> int:
        """Write the spill files; return how many message ids clash."""
        if not self._facts.settled and not self._facts.evidence:
            return 0
        with ExitStack() as stack, JournalReader(self._plan.run_dir.journal) as journal:
            stack.callback(self._close)
            children = dict(journal.answers(of_children=True))
            answers = journal.answers(of_children=False)
            upcoming = next(answers, None)
            settled = ~unsettled(self._plan, self._facts)
            settled[[each for each in self._facts.claims if each >= 0]] = False
            for batch, rows in self._plan.read_with_rows():
                body = None
                if upcoming is not None and upcoming[0] == batch.id:
                    body, upcoming = upcoming[1], next(answers, None)
                if settled[batch.id]:
                    self._settle(batch, rows, body, children)
                elif batch.id in self._facts.evidence or self._plan.part_of(batch.id).head.is_retry:
                    self._emit(rows, batch, None)  # of a retry also without: the refusal before is no longer the word
                if len(self._ids) >= _SPILLED_AT_ONCE:
                    self._flush()
            self._flush()
        if not self._hashes:
            return 0
        hashes = np.sort(np.concatenate(self._hashes))
        return int((hashes[1:] == hashes[:-1]).sum())

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _settle(self, batch: Batch, rows: NDArray[np.int64], body: bytes | None, children: dict[int, bytes]) -> None:
        """Spill one settled batch, and what became of its parts."""
        self._emit(rows, batch, body)
        for part in self._facts.parts.get(batch.id, ()):
            child, part_of_rows = self._facts.children[part.id], rows[np.array(part.positions)]
            if part.id in self._facts.settled:
                self._settle(child, part_of_rows, children.get(part.id), children)
            else:
                self._emit(part_of_rows, child, None)

    def _message_ids(self, batch: Batch, body: bytes | None) -> Sequence[str | None]:
        """Return the message ids of a batch's deliveries, by its answer and by what look-ups found."""
        ids = [None] * batch.deliveries if body is None else answered_ids(self._plan, batch, body)
        if batch.id not in self._facts.evidence:
            return ids
        ids = list(ids)
        for (position, channel), message_id in self._facts.evidence[batch.id].items():
            ids[position * len(batch.channels) + batch.channels.index(channel)] = message_id
        return ids

    def _emit(self, rows: NDArray[np.int64], batch: Batch, body: bytes | None) -> None:
        """Spill deliveries, recipients outermost; a later word on the same delivery replaces an earlier one."""
        self._ids += self._message_ids(batch, body)
        if self._further:
            told = {} if body is None else answered(self._plan, batch, body).columns
            for name, cells in self._further.items():
                cells.extend(told.get(name, (None,) * batch.deliveries))
        self._waiting.append((rows, batch.channels, self._table.index(batch.id)))

    def _flush(self) -> None:
        """Write what has gathered, in its order, each delivery to the spill of its row group."""
        if not self._waiting:
            return
        ids = pa.array(self._ids, pa.string())
        found = [each for each in self._ids if each is not None]
        self._hashes.append(np.fromiter(map(hash, found), dtype=np.int64, count=len(found)))
        counts = np.array([len(rows) for rows, _, _ in self._waiting])
        widths = np.array([len(channels) for _, channels, _ in self._waiting])
        index = np.repeat(np.array([index for *_, index in self._waiting], dtype=np.int32), counts * widths)
        every = np.repeat(np.concatenate([rows for rows, _, _ in self._waiting]), np.repeat(widths, counts))
        if len({channels for _, channels, _ in self._waiting}) == 1:
            ranks = np.tile(ranks_of(self._waiting[0][1]), counts.sum())
        else:
            ranks = np.concatenate([np.tile(ranks_of(channels), len(rows)) for rows, channels, _ in self._waiting])
        further = [pa.array(cells, self._schema.field(name).type) for name, cells in self._further.items()]
        self._ids, self._waiting, self._further = [], [], {name: [] for name in self._further}
        for part in self._plan.parts:
            local = every - part.head.first_row
            here = np.flatnonzero((local >= 0) & (local < part.head.rows))
            groups = local[here] >> ROW_SHIFT
            order = np.argsort(groups, kind="stable")
            here, groups = here[order], groups[order]
            for chosen in np.split(here, np.flatnonzero(np.diff(groups)) + 1) if len(here) else ():
                group = int(local[chosen[0]]) >> ROW_SHIFT
                self._writer(part.head.part, group).write_batch(
                    pa.record_batch(
                        [
                            pa.array(local[chosen] - (group << ROW_SHIFT)),
                            pa.array(ranks[chosen]),
                            pa.array(index[chosen]),
                            ids.take(pa.array(chosen)),
                            *(cells.take(pa.array(chosen)) for cells in further),
                        ],
                        schema=self._schema,
                    )
                )

    def _writer(self, part: int, group: int) -> pa.ipc.RecordBatchStreamWriter:
        writer = self._writers.get((part, group))
        if writer is None:
            path = str(spill_path(self._directory, part, group))
            writer = self._writers[part, group] = pa.ipc.new_stream(path, self._schema)
        return writer


def spill_path(directory: Path, part: int, group: int) -> Path:
    """Return where the spill of a row group is, if it has one."""
    return directory / f"{part}-{group}.arrows"
