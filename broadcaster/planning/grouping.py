"""Which group each row belongs to, where the job's ``recipients.group_by`` names a column: equal cells, one group.

Cells count without the blanks around them, like those of other columns that decide; capitals tell groups apart. Rows
whose cell is empty are a group as well. What groups are for is decided by :mod:`broadcaster.planning.group`.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.phones import mask_in
from broadcaster.planning.distinct import Distinct
from broadcaster.planning.group import first_places

_NAMED = 40  # groups that are counted by name; others are counted together
_LONGEST = 40  # characters of a name
_EMPTY, _OTHERS = "(empty)", "others"


class Groups:
    """Gives each row the number of its group."""

    def __init__(self) -> None:
        self._names = Distinct()

    @staticmethod
    def encode(cells: pa.Array) -> pa.DictionaryArray:
        """Return a column as its distinct values and their places; may be called from several threads."""
        return pc.utf8_trim_whitespace(cells).dictionary_encode()

    def number(self, encoded: pa.DictionaryArray) -> NDArray[np.int32]:
        """Return the provisional number of each row's group; record batches come in the order of the list."""
        return self._names.number(encoded.dictionary, encoded.indices.to_numpy())

    def final(self, provisional: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the numbers of the groups that provisional ones stand for."""
        return self._names.final(provisional)

    def counts(self, rows: NDArray[np.int32]) -> dict[str, int]:
        """Return how many rows each group has, in the order of their first rows; *rows* are final numbers."""
        first = first_places(rows, len(self._names.texts))
        there = np.flatnonzero(first >= 0)
        there = there[np.argsort(first[there])]
        sizes = np.bincount(rows, minlength=len(first))[there]
        counted: dict[str, int] = {}
        names = self._names.texts.take(pa.array(there[:_NAMED])).to_pylist()
        for name, size in zip(names, sizes.tolist(), strict=False):
            label = _label(name)
            counted[label] = counted.get(label, 0) + size
        if len(there) > _NAMED:
            counted[_OTHERS] = counted.get(_OTHERS, 0) + int(sizes[_NAMED:].sum())
        return counted


def _label(name: str) -> str:
    """Return what a group is called on screens: cut, and no number of anybody."""
    shown = mask_in(" ".join(name.split()))
    return (shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…") or _EMPTY
