"""From ``{column}`` placeholders to one canonical parameter object per distinct set of values."""

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.job.template import parse_template
from broadcaster.operations.parameters import canonical

COMPLETE, MISSING, UNSENDABLE = 0, 1, 2
# What the API refuses in a value (VALIDATION_008): line breaks, tabs, more than four spaces in a row.
_REFUSED = r"[\n\r\t]| {5}"


class Renderer:
    """Gives each row of a list the number of its parameter set.

    Sets are numbered in the order in which they are first seen; :attr:`sets` holds their canonical JSON.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._templates = {name: parse_template(parameters[name]) for name in sorted(parameters)}
        self.sets: list[bytes] = []
        self._numbers: dict[bytes, int] = {}
        for name, parts in self._templates.items():
            if any(re.search(_REFUSED, text) for text, _ in parts):
                raise ValueError(f"parameter {name!r} contains a line break, a tab or five spaces in a row")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the parameters refer to."""
        parts = (part for template in self._templates.values() for part in template)
        return tuple(dict.fromkeys(column for _, column in parts if column is not None))

    def render(self, batch: pa.RecordBatch) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Return, per row, the number of its parameter set and whether it is complete.

        The second array holds :data:`COMPLETE`, :data:`MISSING` (a cell that a parameter needs is blank) or
        :data:`UNSENDABLE` (the API does not take the value); the set number means nothing in the latter two.
        """
        rows = batch.num_rows
        state = np.zeros(rows, dtype=np.uint8)
        values = {name: self._value(template, batch) for name, template in self._templates.items()}
        for value in values.values():
            if not isinstance(value, str):
                state[_mask(pc.match_substring_regex(value, _REFUSED))] = UNSENDABLE
        for column in self.columns:
            state[_mask(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(batch.column(column))), 0))] = MISSING
        constant = {name: value for name, value in values.items() if isinstance(value, str)}
        varying = {name: pc.dictionary_encode(value) for name, value in values.items() if not isinstance(value, str)}
        combined = np.zeros(rows, dtype=np.int64)
        for encoded in varying.values():
            # Renumbered after each column, so that the product of the sizes stays far below 2**63.
            combined = combined * max(1, len(encoded.dictionary)) + encoded.indices.to_numpy().astype(np.int64)
            combined = np.unique(combined, return_inverse=True)[1].reshape(-1)
        _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
        numbers = np.zeros(len(first), dtype=np.int32)
        words = {name: encoded.cast(pa.string()).take(pa.array(first)).to_pylist() for name, encoded in varying.items()}
        for at in np.argsort(first, kind="stable").tolist():
            body = canonical({**constant, **{name: column[at] for name, column in words.items()}})
            numbers[at] = self._number(body)
        return numbers[inverse.reshape(-1)], state

    def _value(self, template: tuple[tuple[str, str | None], ...], batch: pa.RecordBatch) -> pa.Array | str:
        if all(column is None for _, column in template):
            return "".join(text for text, _ in template)
        parts: list[pa.Array | pa.Scalar] = []
        for text, column in template:
            parts.append(pa.scalar(text))
            if column is not None:
                parts.append(batch.column(column))
        return pc.binary_join_element_wise(*parts, "")

    def _number(self, body: bytes) -> int:
        number = self._numbers.get(body)
        if number is None:
            number = self._numbers[body] = len(self.sets)
            self.sets.append(body)
        return number


def _mask(array: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = array.to_numpy(zero_copy_only=False)
    return mask
