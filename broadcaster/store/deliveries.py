"""What became of accepted messages, by message id: the receipts' states as columns of the manifest.

Theory of operation. The states of a run may be millions, in no order that the manifest knows. They are read once, as a
stream, into arrays of some 40 bytes a message, sorted by a hash of the message id; a row group of the manifest looks
its own ids up. The ids themselves are not kept: two independent 64-bit hashes stand for each (keyed anew in every
process, so that even ``verify`` would not be misled in the same way), and the chance that any two of ten million ids
agree in both is below one in 10^24.

What is known and what is not over are two questions to the same arrays; who asks the API next, and in which order, is
decided from the second (:func:`open_messages`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.receipts import SETTLING_US
from broadcaster.store.facts import Facts
from broadcaster.store.known import message_ids
from broadcaster.store.plan import Plan
from broadcaster.store.polls import read_polls
from broadcaster.store.receipts import receipt_files, state_batches

_TIME = pa.timestamp("us", tz="UTC")
_AT_ONCE = 1 << 16  # ids
_STEP = 1 << 18  # elements by which an array grows
_FAILED = "failed"


class _Growing:
    """An array that grows in place: pieces and their concatenation would be there at the same time."""

    def __init__(self, kind: type[np.generic]) -> None:
        self._array: NDArray[Any] = np.zeros(0, dtype=kind)
        self._length = 0

    def add(self, piece: NDArray[Any]) -> None:
        end = self._length + len(piece)
        if end > len(self._array):
            self._array.resize(end + _STEP, refcheck=False)  # nobody else has seen it
        self._array[self._length : end] = piece
        self._length = end

    def whole(self) -> NDArray[Any]:
        self._array.resize(self._length, refcheck=False)
        return self._array


class Places:
    """Where ids stand in a stream of them; each of them stands there once."""

    def __init__(self, ids: Iterable[pa.Array]) -> None:
        first, second = _Growing(np.int64), _Growing(np.int64)
        for few in ids:
            words = few.to_pylist()
            first.add(_hashes(words, hash))
            second.add(_hashes(words, _backwards))
        self._order = np.argsort(first.whole(), kind="stable").astype(np.int32)
        self._first = first.whole()[self._order]
        del first
        self._second = second.whole()[self._order]

    def __len__(self) -> int:
        return len(self._order)

    def find(self, ids: pa.Array) -> NDArray[np.int64]:
        """Return, for each of *ids*, its place in the stream; -1 where it is not in it, or null."""
        places = np.full(len(ids), -1, dtype=np.int64)
        if not len(self):
            return places
        known = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
        words = ids.drop_null().to_pylist()
        first, second = _hashes(words, hash), _hashes(words, _backwards)
        at = np.searchsorted(self._first, first)
        looking = np.arange(len(at))
        while len(looking):
            looking = looking[at[looking] < len(self)]
            looking = looking[self._first[at[looking]] == first[looking]]
            same = self._second[at[looking]] == second[looking]
            places[known[looking[same]]] = self._order[at[looking[same]]]
            looking = looking[~same]
            at[looking] += 1
        return places


class _Words:
    """A column of few different words as numbers; null is -1."""

    def __init__(self) -> None:
        self.words: dict[str, int] = {}
        self._codes = _Growing(np.int32)

    def add(self, column: pa.Array) -> None:
        encoded = column.dictionary_encode()
        known = np.array([self.words.setdefault(each, len(self.words)) for each in encoded.dictionary.to_pylist()])
        codes = np.full(len(column), -1, dtype=np.int32)
        told = column.is_valid().to_numpy(zero_copy_only=False)
        codes[told] = known[encoded.indices.drop_null().to_numpy()] if told.any() else -1
        self._codes.add(codes)

    def codes(self) -> NDArray[np.int32]:
        return self._codes.whole()

    def take(self, codes: NDArray[np.int32]) -> pa.Array:
        return pa.array(list(self.words), pa.string()).take(pa.array(codes, mask=codes < 0))


class Deliveries:
    """See the module."""

    def __init__(self, states: Iterable[pa.RecordBatch]) -> None:
        self._words = {name: _Words() for name in ("status", "channel", "reason")}
        updated, final = _Growing(np.int64), _Growing(np.bool_)

        def ids() -> Iterator[pa.Array]:
            for batch in states:
                for name, words in self._words.items():
                    words.add(batch.column(name) if name == "reason" else pc.utf8_lower(batch.column(name)))
                updated.add(batch.column("updated_us").to_numpy())
                final.add(batch.column("final").to_numpy(zero_copy_only=False))
                yield batch.column("message_id")

        self._places = Places(ids())
        self._codes = {name: words.codes() for name, words in self._words.items()}
        self._updated_us = updated.whole()
        self._final = final.whole()

    @classmethod
    def read(cls, run_dir: Path) -> "Deliveries":
        """Read all that is known of the messages of the run in *run_dir*, and of others beside it.

        Raises:
            StoreError: a file of receipts cannot be read, or is damaged.
        """
        return cls(state_batches(receipt_files(run_dir)))

    def __len__(self) -> int:
        return len(self._places)

    def columns(self, message_ids: pa.Array) -> dict[str, pa.Array]:
        """Return the manifest's columns about deliveries, in lower case; null where no receipt has come."""
        at = self._places.find(message_ids)
        told = at >= 0
        found = {}
        for name, words in self._words.items():
            codes = np.full(len(at), -1, dtype=np.int32)
            codes[told] = self._codes[name][at[told]]
            found[f"delivery_{name}"] = words.take(codes)
        moments = np.zeros(len(at), dtype=np.int64)
        moments[told] = self._updated_us[at[told]]
        found["delivery_updated_at"] = pa.array(moments, mask=~told).cast(_TIME)
        return found

    def over(self, message_ids: pa.Array, *, now_us: int) -> NDArray[np.bool_]:
        """Return of which nothing more is to be expected: as :func:`broadcaster.core.receipts.is_over`."""
        at = self._places.find(message_ids)
        told = at >= 0
        over = np.zeros(len(at), dtype=bool)
        failed = self._codes["status"][at[told]] == self._words["status"].words.get(_FAILED, -2)
        settled = now_us - self._updated_us[at[told]] > SETTLING_US
        over[told] = self._final[at[told]] | (failed & settled)
        return over


def open_messages(plan: Plan, facts: Facts, *, now_us: int, most: int) -> tuple[list[str], int]:
    """Return the accepted messages of a run that may still change, those not asked for yet, then the longest ago.

    Returns:
        The first *most* of them, and how many there are.

    Raises:
        StoreError: journal or receipts cannot be read.
    """
    where = plan.run_dir.path
    deliveries = Deliveries.read(where)
    polled_us, asked = read_polls(where)
    asked_at = Places([asked])
    found: list[pa.Array] = []
    moments = [np.zeros(0, np.int64)]
    for few in _chunks(message_ids(plan, facts)):
        ids = few.filter(pa.array(~deliveries.over(few, now_us=now_us)))
        at = asked_at.find(ids)
        moments.append(np.where(at >= 0, polled_us[at] if len(polled_us) else 0, 0))
        found.append(ids)
    order = np.argsort(np.concatenate(moments), kind="stable")
    return pa.chunked_array(found, pa.string()).take(pa.array(order[:most])).to_pylist(), len(order)


def _chunks(ids: Iterator[str]) -> Iterator[pa.Array]:
    while few := list(islice(ids, _AT_ONCE)):
        yield pa.array(few, pa.string())


def _hashes(words: Sequence[str], of: Callable[[str], int]) -> NDArray[np.int64]:
    return np.fromiter(map(of, words), dtype=np.int64, count=len(words))


def _backwards(word: str) -> int:
    return hash(word[::-1])
