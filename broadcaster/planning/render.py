"""From ``{column}`` placeholders to one canonical parameter object per distinct set of values.

Theory of operation. Within a record batch each distinct combination of cells is rendered once, as columns of text: the
objects of a fully personalised list never exist as Python objects. Which of them are equal over several record batches
is found out by :mod:`broadcaster.planning.distinct`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.job.template import parse_template
from broadcaster.operations.parameters import escape
from broadcaster.planning.distinct import Distinct

COMPLETE, MISSING, UNSENDABLE = 0, 1, 2
# What the API refuses in a value (VALIDATION_008): line breaks, tabs, more than four spaces in a row.
_REFUSED = r"[\n\r\t]| {5}"
_UNUSUAL = r'["\\\x00-\x1f]| {5}'  # what JSON escapes or the API refuses: looked for in one pass, and rarely found


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A record batch, rendered.

    Attributes:
        bodies: the distinct parameter objects, as JSON, in the order of their first row.
        rows: which of them each row has.
        state: per row :data:`COMPLETE`, :data:`MISSING` (a cell that a parameter needs is blank) or :data:`UNSENDABLE`
            (the API does not take the value); the object means nothing in the latter two.
    """

    bodies: pa.Array
    rows: NDArray[np.int32]
    state: NDArray[np.uint8]


class Renderer:
    """Gives each row of a list the number of its parameter set.

    Sets are numbered in the order in which they are first seen; :attr:`sets` holds their canonical JSON.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._templates = {name: parse_template(parameters[name]) for name in sorted(parameters)}
        self._sets = Distinct()
        for name, parts in self._templates.items():
            if any(re.search(_REFUSED, text) for text, _ in parts):
                raise ValueError(f"parameter {name!r} contains a line break, a tab or five spaces in a row")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the parameters refer to."""
        parts = (part for template in self._templates.values() for part in template)
        return tuple(dict.fromkeys(column for _, column in parts if column is not None))

    @property
    def sets(self) -> pa.Array:
        """The parameter sets so far: canonical JSON, by number."""
        return self._sets.texts

    def render(self, batch: pa.RecordBatch) -> Rendered:
        """Render a record batch; changes nothing, and may be called from several threads."""
        if not self.columns:
            distinct, codes = batch.slice(0, 1), np.zeros(batch.num_rows, dtype=np.int32)
        else:
            distinct, codes = _combinations(batch, self.columns)
        state = np.zeros(distinct.num_rows, dtype=np.uint8)
        pieces: list[pa.Array | str] = []
        for name, template in self._templates.items():
            pieces.append(f'{"," if pieces else "{"}"{escape(name)}":"')
            if all(column is None for _, column in template):
                pieces.append(escape("".join(text for text, _ in template)))
            else:
                pieces.append(_as_json(_value(template, distinct), state))
            pieces.append('"')
        pieces.append("}" if pieces else "{}")
        for column in self.columns:
            blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(distinct.column(column))), 0)
            state[blank.to_numpy(zero_copy_only=False)] = MISSING
        bodies = _joined(pieces)
        if isinstance(bodies, str):
            bodies = pa.array([bodies] * distinct.num_rows, pa.string())
        equal = bodies.dictionary_encode()  # different cells may render alike
        return Rendered(bodies=equal.dictionary, rows=equal.indices.to_numpy()[codes], state=state[codes])

    def number(self, rendered: Rendered) -> NDArray[np.int32]:
        """Return the provisional set number of each row; record batches come in the order of the list."""
        return self._sets.number(rendered.bodies, rendered.rows)

    def final(self, provisional: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the set numbers that provisional ones stand for: equal sets have one number."""
        return self._sets.final(provisional)


def _combinations(batch: pa.RecordBatch, columns: tuple[str, ...]) -> tuple[pa.RecordBatch, NDArray[np.int32]]:
    """Return the distinct combinations of cells, in the order of their first row, and which of them each row has."""
    codes = np.zeros(batch.num_rows, dtype=np.int64)
    distinct: dict[str, pa.Array] = {}
    for column in columns:
        cells = batch.column(column).dictionary_encode()
        size = max(1, len(cells.dictionary))
        pairs = pa.array(codes * size + cells.indices.to_numpy()).dictionary_encode()
        before, here = np.divmod(pairs.dictionary.to_numpy(), size)
        distinct = {name: taken.take(pa.array(before)) for name, taken in distinct.items()}
        distinct[column] = cells.dictionary.take(pa.array(here))
        codes = pairs.indices.to_numpy().astype(np.int64)
    return pa.RecordBatch.from_arrays(list(distinct.values()), list(distinct)), codes.astype(np.int32)


def _value(template: tuple[tuple[str, str | None], ...], batch: pa.RecordBatch) -> pa.Array:
    parts: list[pa.Array | str] = []
    for text, column in template:
        parts.append(text)
        if column is not None:
            parts.append(batch.column(column))
    return _joined(parts)


def _joined(parts: list[pa.Array | str]) -> pa.Array | str:
    """Put texts and columns of texts together."""
    if all(isinstance(each, str) for each in parts):
        return "".join(parts)
    return pc.binary_join_element_wise(*(pa.scalar(each) if isinstance(each, str) else each for each in parts), "")


def _as_json(value: pa.Array, state: NDArray[np.uint8]) -> pa.Array:
    """Return *value* as the inside of JSON strings, and mark what the API refuses in *state*."""
    unusual = np.flatnonzero(pc.match_substring_regex(value, _UNUSUAL).to_numpy(zero_copy_only=False))
    if not len(unusual):
        return value
    texts = value.take(pa.array(unusual)).to_pylist()
    state[unusual[[re.search(_REFUSED, text) is not None for text in texts]]] = UNSENDABLE
    mask = np.zeros(len(value), dtype=bool)
    mask[unusual] = True
    return pc.replace_with_mask(value, pa.array(mask), pa.array([escape(text) for text in texts], pa.string()))
