"""What a filter says, as a tree of values: the parser makes it, :mod:`broadcaster.lists.filter` asks Arrow.

Every condition is true or false for every row: there is no third value. Cells count without the blanks around them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Column:
    """The cells of a column; with *lower* in small letters."""

    name: str
    lower: bool = False


@dataclass(frozen=True, slots=True)
class Among:
    """The cell is one of *values*; where these are numbers, the cell is a number that is equal to one of them."""

    column: Column
    values: tuple[str, ...] | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Same:
    """Two cells of the row have the same text."""

    one: Column
    other: Column


class Order(StrEnum):
    """How a cell lies to a value; the words are those of the language."""

    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="


@dataclass(frozen=True, slots=True)
class Ordered:
    """The cell is a number, or begins with a date, that lies so to *value*; what is neither lies nowhere.

    A date is ten characters, ``2026-01-31``, compared as text; what the cell has after it does not count.
    """

    column: Column
    order: Order
    value: float | str


class Place(StrEnum):
    """Where a cell may have a text; the words are functions of the language."""

    ANYWHERE = "contains"
    FIRST = "startswith"
    LAST = "endswith"


@dataclass(frozen=True, slots=True)
class Has:
    """The cell has *text* there."""

    column: Column
    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Every:
    """All of two or more conditions hold."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """One of two or more conditions holds, or several of them do."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Among | Same | Ordered | Has | Not | Every | Some
