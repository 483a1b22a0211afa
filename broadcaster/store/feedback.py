"""What receipts say of a run while it sends: how many of its messages did not arrive, and why.

Theory of operation. The file of receipts may be that of many runs, and may know a message before our journal does. So
two things are new at each look: messages of ours that were accepted since, whose states are looked up by their id; and
receipts since, of which only those of our messages count. What is ours is kept as sorted columns, nine bytes a message
(a hash of its id, and what stands in its way), in pieces of doubling size, so that adding and finding stay cheap at any
size. A message counts as what its last word says: a ``FAILED`` that is rerouted stops counting.

Nothing is read until a receipt has come that nobody has looked at: without ``serve`` and look-ups this costs nothing.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.receipts import DeliveryState, join
from broadcaster.core.remedy import Cause, cause_of
from broadcaster.operations.model import Operation
from broadcaster.store.journal import JournalReader
from broadcaster.store.receiptfile import reading, state_of
from broadcaster.store.receipts import receipt_files
from broadcaster.store.rundir import RunDir

_AT_ONCE = 2000  # ids of a query, answers of a read
_SILENT, _FINE = 0, 1  # without a word; under way or arrived. What comes after are causes
_CAUSES = tuple(Cause)
_STATES = (
    "SELECT json_group_array(json_array(message_id, status, channel, reason, updated_us, final, price, priced_us)) "
    "FROM state WHERE message_id IN (SELECT value FROM json_each(?))"
)
_LAST = "SELECT coalesce(max(id), 0) FROM receipt"
_CHANGED = "SELECT DISTINCT message_id FROM receipt WHERE id > ? AND id <= ?"


def states_of(paths: Iterable[Path], message_ids: Sequence[str]) -> dict[str, DeliveryState]:
    """Return what the files of receipts say of these messages, of those that they know.

    Raises:
        StoreError: a file cannot be read, or is damaged.
    """
    found: dict[str, DeliveryState] = {}
    for path in paths:
        with reading(path) as db:
            for at in range(0, len(message_ids), _AT_ONCE):
                (told,) = db.execute(_STATES, (json.dumps(message_ids[at : at + _AT_ONCE]),)).fetchone()
                for name, *columns in json.loads(told):
                    state = state_of(columns)
                    found[name] = join(found[name], state) if name in found else state
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What receipts say of a launch's accepted messages: of how many anything, and why how many did not arrive."""

    told: int
    causes: Mapping[Cause, int]

    @property
    def undelivered(self) -> int:
        """Messages that did not arrive."""
        return sum(self.causes.values())


class Feedback:
    """Looks at the receipts of one launch, again and again. For one thread at a time.

    Args:
        run_dir: of the run.
        operation: of the plan: it reads the answers.
    """

    def __init__(self, run_dir: RunDir, operation: Operation) -> None:
        self._run_dir = run_dir
        self._operation = operation
        self._seen: dict[Path, int] = {path: _last(path) for path in receipt_files(run_dir.path)}
        self._waiting = array("q")  # batches whose ids were not read yet
        self._ours = _Columns()

    def __repr__(self) -> str:
        return f"<Feedback {len(self._ours)} messages, {len(self._waiting)} batches waiting>"

    def look(self, accepted: Iterable[int]) -> Told | None:
        """Take in the batches that were *accepted* since the last look; return what is known, ``None``: nothing new.

        Raises:
            StoreError: journal or receipts cannot be read, or are damaged.
        """
        self._waiting.extend(accepted)
        last = {path: _last(path) for path in receipt_files(self._run_dir.path)}
        new = [path for path, number in last.items() if number > self._seen.get(path, 0)]
        if not new and not (self._waiting and any(last.values())):
            return None
        ids = self._read_waiting()
        self._ours.add(ids)
        changed = [name for path in new for name in self._changed(path, last[path])]
        for few in _chunks([*ids, *self._ours.known(changed)]):
            states = states_of(last, few)
            self._ours.mark(list(states), [_code(state) for state in states.values()])
        self._seen = last
        return self.told()

    def told(self) -> Told:
        """Return what is known by the last look."""
        counts = self._ours.counts
        causes = {cause: int(counts[2 + at]) for at, cause in enumerate(_CAUSES) if counts[2 + at]}
        return Told(told=int(counts[_FINE:].sum()), causes=causes)

    def _read_waiting(self) -> list[str]:
        """Return the message ids of the batches that wait, which do not wait any more."""
        found: list[str] = []
        if self._waiting:
            with JournalReader(self._run_dir.journal) as journal:
                for few in _chunks(self._waiting.tolist()):
                    for _, answer in journal.answers_of(few):
                        found.extend(self._operation.ids(answer))
            del self._waiting[:]
        return found

    def _changed(self, path: Path, last: int) -> list[str]:
        with reading(path) as db:
            return [name for (name,) in db.execute(_CHANGED, (self._seen.get(path, 0), last))]


class _Columns:
    """Which messages are ours, by hash, and what is known of each. ``counts`` are by what is known."""

    def __init__(self) -> None:
        self._pieces: list[tuple[NDArray[np.int64], NDArray[np.int8]]] = []
        self.counts = np.zeros(2 + len(_CAUSES), dtype=np.int64)

    def __len__(self) -> int:
        return sum(len(hashes) for hashes, _ in self._pieces)

    def add(self, names: Sequence[str]) -> None:
        """Take in messages of which nothing is known."""
        if not names:
            return
        self.counts[_SILENT] += len(names)
        hashes, codes = np.sort(_hashes(names)), np.zeros(len(names), dtype=np.int8)
        while self._pieces and len(self._pieces[-1][0]) <= len(hashes):  # so that there are never many
            more_hashes, more_codes = self._pieces.pop()
            hashes, codes = np.concatenate([more_hashes, hashes]), np.concatenate([more_codes, codes])
            order = np.argsort(hashes, kind="stable")
            hashes, codes = hashes[order], codes[order]
        self._pieces.append((hashes, codes))

    def known(self, names: Sequence[str]) -> list[str]:
        """Return those of *names* that are ours."""
        asked = _hashes(names)
        mine = np.zeros(len(names), dtype=bool)
        for hashes, _ in self._pieces:
            mine |= _places(hashes, asked) >= 0
        return [names[at] for at in np.flatnonzero(mine).tolist()]

    def mark(self, names: Sequence[str], codes: Sequence[int]) -> None:
        """Write down what is known of some of ours now; each of *names* stands there once."""
        asked, now = _hashes(names), np.array(codes, dtype=np.int8)
        for hashes, known in self._pieces:
            at = _places(hashes, asked)
            there = at >= 0
            np.subtract.at(self.counts, known[at[there]], 1)
            np.add.at(self.counts, now[there], 1)
            known[at[there]] = now[there]


def _places(hashes: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each of *asked* is in the sorted *hashes*; -1 where it is not."""
    at = np.minimum(np.searchsorted(hashes, asked), len(hashes) - 1)
    found: NDArray[np.int64] = np.where(hashes[at] == asked, at, -1)
    return found


def _hashes(names: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(hash, names), dtype=np.int64, count=len(names))


def _code(state: DeliveryState) -> int:
    cause = cause_of(state.status, state.reason)
    return _FINE if cause is None else 2 + _CAUSES.index(cause)


def _last(path: Path) -> int:
    with reading(path) as db:
        return int(db.execute(_LAST).fetchone()[0])


def _chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(values), _AT_ONCE):
        yield values[at : at + _AT_ONCE]
