"""Numbers for the distinct texts of a list that is read a record batch at a time.

Theory of operation. Which texts are equal over several record batches is settled now and then, when as many have
gathered as are known; so the cost stays in proportion to the list, and no text is ever a Python object. Until then a
row has a *provisional* number.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_GATHER = 1 << 18  # texts that may wait before it is settled which of them are equal


class Distinct:
    """Numbers texts in the order in which they are first seen; :attr:`texts` holds them by number."""

    def __init__(self) -> None:
        self._texts = pa.array([], pa.large_string())
        self._gathered: list[pa.Array] = []
        self._waiting = 0
        self._given = 0
        self._final: list[NDArray[np.int32]] = []

    def __repr__(self) -> str:
        return f"<Distinct {len(self._texts)} texts, {self._waiting} not compared yet>"

    @property
    def texts(self) -> pa.Array:
        """The texts so far, by number."""
        self._settle()
        return self._texts

    def number(self, texts: pa.Array, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the provisional number of each row; record batches come in the order of the list.

        Args:
            texts: those of a record batch, each once, in the order of their first row.
            rows: which of them each row has.
        """
        numbers = rows + np.int32(self._given)
        self._gathered.append(texts.cast(pa.large_string()))
        self._waiting += len(texts)
        self._given += len(texts)
        if self._waiting > max(_GATHER, len(self._texts)):
            self._settle()
        return numbers

    def final(self, provisional: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the numbers that provisional ones stand for: equal texts have one number."""
        self._settle()
        return np.concatenate([np.zeros(0, dtype=np.int32), *self._final])[provisional]

    def _settle(self) -> None:
        """Find out which of the texts that have gathered are equal to known ones, or to each other."""
        if not self._gathered:
            return
        known = len(self._texts)
        encoded = (
            pa.chunked_array([self._texts, *self._gathered], pa.large_string()).dictionary_encode().combine_chunks()
        )
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0)
        self._final.append(encoded.indices.to_numpy()[known:].astype(np.int32))
        self._texts = encoded.dictionary
        self._gathered = []
        self._waiting = 0
