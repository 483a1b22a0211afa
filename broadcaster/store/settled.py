"""The settled batches of a run as columns: a run of single requests has a million of them.

A mapping from number to :class:`Settled`, and the columns themselves for whoever counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.words import State
from broadcaster.errors import StoreDamaged
from broadcaster.store.journal import JournalReader, Settled

STATES = tuple(State)
"""What the numbers in :attr:`SettledBatches.states` stand for."""
_PLACES = {str(state): place for place, state in enumerate(STATES)}
_AT_ONCE = 1 << 16
_DETAILS = pa.schema(
    [
        ("attempts", pa.int32()),
        ("first_us", pa.int64()),
        ("settled_us", pa.int64()),
        ("http", pa.int32()),
        ("code", pa.dictionary(pa.int32(), pa.string())),
        ("sentence", pa.dictionary(pa.int32(), pa.string())),
        ("request_id", pa.string()),
        ("replayed", pa.string()),
    ]
)


class SettledBatches(Mapping[int, Settled]):
    """See the module.

    Attributes:
        batches: the numbers, rising.
        states: of each, a place in :data:`STATES`.
        missing: deliveries that an accepting answer has no entry for.
        details: all else that :class:`Settled` has, or ``None`` when only what decides was read.
    """

    def __init__(
        self,
        batches: NDArray[np.int64],
        states: NDArray[np.int8],
        missing: NDArray[np.int32],
        details: pa.Table | None,
    ) -> None:
        self.batches = batches
        self.states = states
        self.missing = missing
        self.details = details

    @classmethod
    def none(cls) -> "SettledBatches":
        """Return what a run has that has not begun."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing.astype(np.int8), nothing.astype(np.int32), _DETAILS.empty_table())

    @classmethod
    def read(cls, journal: JournalReader) -> "SettledBatches":
        """Read all of it; every row matches its checksum.

        Raises:
            StoreDamaged: a row does not.
        """
        numbers, states, missing, details = [], [], [], []
        settled = journal.outcomes()
        while few := list(islice(settled, _AT_ONCE)):
            numbers.append(np.array([each.batch for each in few], dtype=np.int64))
            states.append(np.array([STATES.index(each.state) for each in few], dtype=np.int8))
            missing.append(np.array([each.missing for each in few], dtype=np.int32))
            details.append(
                pa.table(
                    [_column([getattr(each, field.name) for each in few], field.type) for field in _DETAILS],
                    schema=_DETAILS,
                )
            )
        if not numbers:
            return cls.none()
        whole = pa.concat_tables(details).unify_dictionaries().combine_chunks()
        return cls(np.concatenate(numbers), np.concatenate(states), np.concatenate(missing), whole)

    @classmethod
    def read_states(cls, journal: JournalReader) -> "SettledBatches":
        """Read what decides whether a batch may be sent, and no more: enough to go on with a run at once.

        Checksums are left to whoever reads all of it. That a state is a word and that the numbers rise is checked.

        Raises:
            StoreDamaged: they do not.
        """
        batches = np.fromiter(journal.settled(), dtype=np.int64)
        if (np.diff(batches) <= 0).any():
            raise StoreDamaged("the journal's outcomes are not in their order; restore the run directory from a copy")
        states = np.full(len(batches), STATES.index(State.ACCEPTED), dtype=np.int8)
        missing = np.zeros(len(batches), dtype=np.int32)
        found = cls(batches, states, missing, None)
        exceptions = list(journal.exceptions())
        place = found.places(batch for batch, _, _ in exceptions)
        states[place] = [_PLACES[word] for _, word, _ in exceptions]
        missing[place] = [lacking for _, _, lacking in exceptions]
        return found

    def places(self, batches: Iterable[int]) -> NDArray[np.int64]:
        """Return where the settled ones among *batches* are in the columns."""
        asked = np.fromiter(batches, dtype=np.int64)
        at = np.searchsorted(self.batches, asked)
        inside = at < len(self.batches)
        at, asked = at[inside], asked[inside]
        found: NDArray[np.int64] = at[self.batches[at] == asked]
        return found

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[int]:
        return iter(self.batches.tolist())

    def __contains__(self, batch: object) -> bool:
        return isinstance(batch, int) and self._place(batch) is not None

    def __getitem__(self, batch: int) -> Settled:
        place = self._place(batch)
        if place is None:
            raise KeyError(batch)
        if self.details is None:
            raise LookupError(f"of batch {batch} only the state was read")
        words: dict[str, Any] = {name: self.details[name][place].as_py() for name in self.details.column_names}
        return Settled(batch=batch, state=STATES[self.states[place]], missing=int(self.missing[place]), **words)

    def state(self, batch: int) -> State | None:
        """Return how a batch was settled, ``None`` when it was not."""
        place = self._place(batch)
        return None if place is None else STATES[self.states[place]]

    def by_code(self) -> dict[tuple[State, str], int]:
        """Count the batches by state and code, in the order in which these are first met."""
        codes = self.details["code"].combine_chunks() if self.details is not None and len(self) else None
        if codes is None:
            return {}
        words = codes.dictionary.to_pylist()
        pairs = pa.array(codes.indices.to_numpy().astype(np.int64) * len(STATES) + self.states).value_counts()
        found = ((each["values"].as_py(), each["counts"].as_py()) for each in pairs)
        return {(STATES[pair % len(STATES)], words[pair // len(STATES)]): count for pair, count in found}

    def _place(self, batch: int) -> int | None:
        place = int(np.searchsorted(self.batches, batch))
        return place if place < len(self.batches) and self.batches[place] == batch else None


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)
