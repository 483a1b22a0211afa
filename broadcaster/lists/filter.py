"""Which rows of a list are meant: ``recipients.filter`` of a job and ``--only``, as one expression that Arrow computes.

Theory of operation. The text is parsed by a grammar of our own (:mod:`broadcaster.lists.filterparser`) into a tree of
values; nothing of it is ever executed as code. The tree becomes one expression of Arrow's. What it asks of a column
more than once (its text without blanks around, its number, its date) is computed once, by a step in front of it.

A cell counts without the blanks around it. It is a number when it is written as one: digits, a sign, a decimal point;
no exponent and no separators, since ``12E5`` and ``1,200`` are more often something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_, ge, gt, le, lt, or_
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import acero

from broadcaster.errors import FilterInvalid
from broadcaster.lists.filterparser import parse
from broadcaster.lists.filtertokens import shown
from broadcaster.lists.filtertree import Among, Column, Condition, Every, Has, Not, Order, Ordered, Place, Same, Some

__all__ = ["Filter", "read_filter", "shown"]

_NUMBER = r"^[+-]?[0-9]{1,30}(\.[0-9]{1,30})?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}($|[T ])"
_DATE_LENGTH = 10
_INSIDE = "inside"
_HAS = MappingProxyType({Place.ANYWHERE: pc.match_substring, Place.FIRST: pc.starts_with, Place.LAST: pc.ends_with})
_ORDERED = MappingProxyType({Order.LESS: lt, Order.AT_MOST: le, Order.MORE: gt, Order.AT_LEAST: ge})
_FALSE, _NOTHING = pc.scalar(value=False), pc.scalar(pa.scalar(None, pa.string()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A filter that fits the columns of a list.

    Attributes:
        text: as it was written; several that all have to hold, with "and" between them.
        columns: those that it looks at.
        expression: of what :attr:`terms` names; true or false for every row, never null.
        terms: by name, what is computed of a column.
    """

    text: str
    columns: tuple[str, ...]
    expression: Any = field(repr=False)
    terms: Mapping[str, Any] = field(repr=False)

    def inside(self, batch: pa.RecordBatch) -> pa.ChunkedArray:
        """Return which rows of *batch*, which has the columns as text without nulls, are meant; in their order.

        Changes nothing, and may be called from several threads.
        """
        steps = [
            acero.Declaration("table_source", acero.TableSourceNodeOptions(pa.Table.from_batches([batch]))),
            acero.Declaration("project", acero.ProjectNodeOptions([*self.terms.values()], [*self.terms])),
            acero.Declaration("project", acero.ProjectNodeOptions([self.expression], [_INSIDE])),
        ]
        return acero.Declaration.from_sequence(steps).to_table(use_threads=False)[_INSIDE]


def read_filter(written: Sequence[tuple[str, str]], columns: Sequence[str]) -> Filter | None:
    """Return the filter that all texts in *written* together are; ``None`` where there is none.

    Args:
        written: each text with what messages call its place: ``--only``.
        columns: those of the list.

    Raises:
        FilterInvalid: the first text that is no filter of this list, in a sentence that names the place.
    """
    found = [_parsed(name, text, columns) for name, text in written]
    if not found:
        return None
    texts = [text.strip() for _, text in written]
    whole = Every(tuple(found)) if len(found) > 1 else found[0]
    terms = _Terms()
    return Filter(
        text=" and ".join(f"({text})" for text in texts) if len(texts) > 1 else texts[0],
        columns=tuple(dict.fromkeys(_columns(whole))),
        expression=_expression(whole, terms),
        terms=terms.found,
    )


def _parsed(name: str, text: str, columns: Sequence[str]) -> Condition:
    try:
        return parse(text, columns)
    except FilterInvalid as error:
        raise FilterInvalid(f"{name}: {error.sentence}") from None


class _Terms:
    """What a filter asks of columns, each thing once."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def text(self, column: Column) -> Any:
        """Name the cells, without the blanks around them."""
        small = "lower" if column.lower else "text"
        return self._named(f"{small} {column.name}", _lowered(column) if column.lower else _trimmed(column))

    def number(self, column: Column) -> Any:
        """Name the cells as numbers; null where they are none."""
        cells = _trimmed(column)
        digits = pc.if_else(pc.match_substring_regex(cells, _NUMBER), pc.utf8_ltrim(cells, "+"), _NOTHING)
        return self._named(f"number {column.name}", digits.cast(pa.float64()))

    def date(self, column: Column) -> Any:
        """Name the dates that the cells begin with; null where they begin with none."""
        cells = _trimmed(column)
        days = pc.utf8_slice_codeunits(cells, 0, _DATE_LENGTH)
        return self._named(f"date {column.name}", pc.if_else(pc.match_substring_regex(cells, _DATE), days, _NOTHING))

    def _named(self, name: str, expression: Any) -> Any:
        self.found.setdefault(name, expression)
        return pc.field(name)


def _trimmed(column: Column) -> Any:
    return pc.utf8_trim_whitespace(pc.field(column.name))


def _lowered(column: Column) -> Any:
    return pc.utf8_lower(_trimmed(column))


def _expression(condition: Condition, terms: _Terms) -> Any:
    """Return *condition* as Arrow's expression over *terms*."""
    match condition:
        case Among(column, values):
            return _among(column, values, terms)
        case Same(one, other):
            return terms.text(one) == terms.text(other)
        case Ordered(column, order, value):
            cells = terms.date(column) if isinstance(value, str) else terms.number(column)
            return pc.coalesce(_ORDERED[order](cells, pc.scalar(value)), _FALSE)
        case Has(column, place, text):
            return _HAS[place](terms.text(column), text)
        case Not(inner):
            return ~_expression(inner, terms)
        case Every(conditions) | Some(conditions):
            both = and_ if isinstance(condition, Every) else or_
            return _joined([_expression(each, terms) for each in conditions], both)


def _among(column: Column, values: tuple[str, ...] | tuple[float, ...], terms: _Terms) -> Any:
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        cells = terms.text(column)
        return cells == pa.scalar(texts[0]) if len(texts) == 1 else pc.is_in(cells, pa.array(texts, pa.string()))
    numbers = pa.array(values, pa.float64())
    zero = pc.scalar(0.0)  # -0.0 and 0.0 are equal, and yet two members of a set
    return pc.is_in(terms.number(column) + zero, pc.add(numbers, 0.0))


def _joined(expressions: list[Any], both: Any) -> Any:
    """Join many by halves, so that the expression is no deeper than it has to be."""
    while len(expressions) > 1:
        expressions = [reduce(both, expressions[at : at + 2]) for at in range(0, len(expressions), 2)]
    return expressions[0]


def _columns(condition: Condition) -> Iterator[str]:
    """Yield the columns that *condition* looks at, as they come."""
    match condition:
        case Same(one, other):
            yield from (one.name, other.name)
        case Among(column) | Ordered(column) | Has(column):
            yield column.name
        case Not(inner):
            yield from _columns(inner)
        case Every(conditions) | Some(conditions):
            for each in conditions:
                yield from _columns(each)
