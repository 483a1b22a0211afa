"""Which channels each row is sent on: the job's, or what the list says in a column of its own.

A cell holds one word of :class:`broadcaster.core.words.Channel` or several with ``+`` or ``,`` between them. An empty
cell means the job's channels. What is no channel is never guessed: the row is excluded.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.core.words import Channel

UNKNOWN = -1
_BETWEEN = re.compile(r"[+,]")
_WORDS = {str(each): each for each in Channel}


class ChannelSets:
    """Gives each row the number of its set of channels; number 0 is the job's own."""

    def __init__(self, default: tuple[Channel, ...]) -> None:
        self.sets: list[tuple[Channel, ...]] = [default]

    def number(self, cells: pa.Array) -> NDArray[np.int16]:
        """Return the set number of each row of a column, :data:`UNKNOWN` where a word is no channel.

        The order of the words means nothing: the same set in another order is the same set.
        """
        encoded = pc.utf8_lower(cells).dictionary_encode()
        numbers = np.array([self._number(text) for text in encoded.dictionary.to_pylist()], dtype=np.int16)
        found: NDArray[np.int16] = numbers[encoded.indices.to_numpy()]
        return found

    def _number(self, text: str) -> int:
        if not text.strip():
            return 0
        found = {_WORDS.get(word.strip()) for word in _BETWEEN.split(text)}
        if None in found or (Channel.AUTO in found and len(found) > 1):
            return UNKNOWN
        for number, known in enumerate(self.sets):
            if found == set(known):
                return number
        self.sets.append(tuple(channel for channel in Channel if channel in found))
        return len(self.sets) - 1
