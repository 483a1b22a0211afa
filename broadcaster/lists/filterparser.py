"""From the words of a filter to its tree, or to the one sentence that says what is wrong with it and where.

The grammar, the weakest first; nothing else is ever understood, and nothing is ever executed::

    either      = both {"or" both}
    both        = negated {"and" negated}
    negated     = "not" negated | "(" either ")" | condition
    condition   = value order value | value ["not"] "in" "[" literal {"," literal} "]" | place "(" value "," text ")"
    value       = name | `name` | col("name") | lower(value) | literal
    literal     = "text" | 'text' | 18 | -2.5
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from broadcaster.lists.filtermistakes import COMPARING, RESERVED, here, no_column, no_comparison, no_function, too_much
from broadcaster.lists.filtertokens import Kind, Token, invalid, shown, words_of
from broadcaster.lists.filtertree import Among, Column, Condition, Every, Has, Not, Order, Ordered, Place, Same, Some

DEEPEST = 50  # parentheses, negations and functions within each other
_NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?")
_DIGITS = 15  # that a number has at the most; from 16 on, different ones may be equal to the machine
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TURNED: Mapping[str, str] = MappingProxyType({"<": ">", "<=": ">=", ">": "<", ">=": "<="})


@dataclass(frozen=True, slots=True)
class _Literal:
    value: str | float
    token: Token


_Value: TypeAlias = Column | _Literal


def parse(text: str, columns: Sequence[str]) -> Condition:
    """Return what *text* says about a list that has *columns*.

    Raises:
        FilterInvalid: it is no filter, or not one of this list; the only thing that is ever raised.
    """
    return _Parser(words_of(text), columns).whole()


class _Parser:
    """Reads words from left to right; each method takes what it is named for, or raises."""

    def __init__(self, words: Sequence[Token], columns: Sequence[str]) -> None:
        self._words = words
        self._columns = columns
        self._at = 0
        self._depth = 0

    def __repr__(self) -> str:
        return f"<_Parser at word {self._at} of {len(self._words)}>"

    def whole(self) -> Condition:
        found = self._either()
        if self._next.kind is not Kind.END:
            raise too_much(self._next)
        return found

    # ---- words ------------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._words[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += token.kind is not Kind.END
        return token

    def _is(self, *said: str) -> bool:
        """Whether the next word is one of the language's own."""
        return self._next.kind in {Kind.NAME, Kind.MARK} and self._next.said in said

    def _takes(self, said: str) -> bool:
        there = self._is(said)
        self._at += there
        return there

    def _needs(self, said: str, why: str) -> None:
        if not self._takes(said):
            raise invalid(self._next.at, f"{here(self._next)}, but {why}")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise invalid(self._next.at, f"more than {DEEPEST} parentheses, negations or functions within each other")

    # ---- conditions -------------------------------------------------------------------------------------------------

    def _either(self) -> Condition:
        found = [self._both()]
        while self._takes("or"):
            found.append(self._both())
        return found[0] if len(found) == 1 else Some(tuple(found))

    def _both(self) -> Condition:
        found = [self._negated()]
        while self._takes("and"):
            found.append(self._negated())
        return found[0] if len(found) == 1 else Every(tuple(found))

    def _negated(self) -> Condition:
        if not self._is("not", "("):
            return self._condition()
        self._deeper()
        found: Condition
        if self._takes("not"):
            found = Not(self._negated())
        else:
            self._take()
            found = self._either()
            self._needs(")", "a parenthesis is still open; close it with )")
        self._depth -= 1
        return found

    def _condition(self) -> Condition:
        begin = self._next
        if begin.kind is Kind.NAME and self._calls() and begin.said in set(Place):
            return self._has()
        left = self._value(begins=True)
        negated = self._is("not")
        if self._is("in") or negated:
            return self._among(left, begin, negated=negated)
        operator = self._next
        if not self._is(*COMPARING):
            raise no_comparison(begin, self._next)
        self._take()
        right = self._value()
        if self._is(*COMPARING):
            raise invalid(self._next.at, "one comparison at a time: write age >= 18 and age < 65")
        return self._compared(left, operator, right)

    def _among(self, left: _Value, begin: Token, *, negated: bool) -> Condition:
        self._at += negated
        self._needs("in", 'after not only in can follow here; not region == "TX" is a negation')
        if isinstance(left, _Literal):
            raise invalid(begin.at, 'before in stands a column: region in ["TX", "CA"]')
        self._needs("[", 'after in stands a list in brackets, such as ["TX", "CA"]')
        found: list[_Literal] = []
        while not (found and self._takes("]")):
            token = self._next
            if token.kind is Kind.MARK and token.said == "]":
                raise invalid(token.at, "the list is empty: no row would be in it")
            value = self._value()
            if not isinstance(value, _Literal):
                raise invalid(token.at, "a list holds text in quotes, or numbers, and no columns")
            if found and isinstance(value.value, str) != isinstance(found[0].value, str):
                raise invalid(token.at, 'a list holds text or numbers, not both; text stands in quotes: "18"')
            found.append(value)
            if not self._is("]"):
                self._needs(",", "between two values of a list stands a comma, and ] at its end")
        condition = _equal(left, found)
        return Not(condition) if negated else condition

    def _has(self) -> Condition:
        name = self._take()
        self._take()
        column = self._value(begins=True)
        if isinstance(column, _Literal):
            raise invalid(column.token.at, f'{name.said} looks into a column: {name.said}(first_name, "Ann")')
        self._needs(",", f'{name.said} needs a column and a text: {name.said}(first_name, "Ann")')
        text = self._value()
        if not isinstance(text, _Literal) or not isinstance(text.value, str):
            at = self._words[self._at - 1].at
            raise invalid(at, f'{name.said} looks for a text in quotes: {name.said}(first_name, "Ann")')
        if not text.value:
            raise invalid(text.token.at, 'the text is empty, and every cell has that; an empty cell is column == ""')
        _check_letters(column, text)
        self._needs(")", f"{name.said} takes a column and a text, and then ends with )")
        return Has(column, Place(name.said), text.value)

    def _compared(self, left: _Value, operator: Token, right: _Value) -> Condition:
        if isinstance(left, _Literal):
            if isinstance(right, _Literal):
                raise invalid(left.token.at, "two fixed values are compared; one of them has to be a column")
            left, right, said = right, left, _TURNED.get(operator.said, operator.said)
        else:
            said = operator.said
        if said in {"==", "!="}:
            same: Condition = _equal(left, [right]) if isinstance(right, _Literal) else Same(left, right)
            return Not(same) if said == "!=" else same
        if isinstance(right, Column):
            raise invalid(operator.at, f"two columns have no order; {said} compares with a number or a date")
        if isinstance(right.value, str) and not _is_date(right.value):
            raise invalid(
                right.token.at,
                f'{said} compares with a number or with a date such as "2026-01-31"; {shown(right.value)!r} is neither',
            )
        if left.lower:
            raise invalid(operator.at, f"small letters have no order; {said} compares with a number or a date")
        return Ordered(left, Order(said), right.value)

    # ---- values -----------------------------------------------------------------------------------------------------

    def _value(self, *, begins: bool = False) -> _Value:
        """Take a column or a literal; *begins* where no text could be meant by an unquoted word."""
        token = self._next
        if token.kind is Kind.NAME and token.said not in RESERVED:
            if self._calls():
                return self._called()
            self._take()
            return self._column(token, begins=begins)
        match self._take().kind:
            case Kind.COLUMN:
                return self._column(token, begins=True)
            case Kind.TEXT:
                return _Literal(token.said, token)
            case Kind.NUMBER:
                return _Literal(_number(token), token)
            case _:
                self._at -= token.kind is not Kind.END
                what = "a condition" if begins else "a value"
                raise invalid(token.at, f'{here(self._next)}, but {what} is missing, such as region == "TX"')

    def _calls(self) -> bool:
        after = self._words[min(self._at + 1, len(self._words) - 1)]
        return after.kind is Kind.MARK and after.said == "("

    def _called(self) -> Column:
        name = self._take()
        self._take()
        self._deeper()
        match name.said:
            case "lower":
                inner = self._value(begins=True)
                if isinstance(inner, _Literal):
                    raise invalid(inner.token.at, 'lower takes a column: lower(region) == "tx"')
                found = Column(inner.name, lower=True)
            case "col":
                said = self._take()
                if said.kind is not Kind.TEXT:
                    raise invalid(said.at, 'col takes the name of a column in quotes: col("first name")')
                found = self._column(said, begins=True)
            case _:
                raise no_function(name)
        self._needs(")", f"{name.said} takes one value, and then ends with )")
        self._depth -= 1
        return found

    def _column(self, token: Token, *, begins: bool) -> Column:
        if token.said not in self._columns:
            raise no_column(token, self._columns, text_fits=not begins)
        return Column(token.said)


def _equal(column: Column, literals: Sequence[_Literal]) -> Among:
    """Return that *column* is one of *literals*, all text or all numbers."""
    texts = tuple(each.value.strip() for each in literals if isinstance(each.value, str))
    for each in literals:
        _check_letters(column, each)
    return Among(column, texts or tuple(each.value for each in literals if not isinstance(each.value, str)))


def _check_letters(column: Column, literal: _Literal) -> None:
    """Refuse a capital letter where there can be none."""
    if not column.lower or not isinstance(literal.value, str):
        return
    small = pc.utf8_lower(pa.scalar(literal.value, pa.string())).as_py()
    if small != literal.value:
        raise invalid(literal.token.at, f'lower(…) has small letters only; write "{shown(small)}"')


def _number(token: Token) -> float:
    if _NUMBER.fullmatch(token.said) is None:
        raise invalid(
            token.at, f'{shown(token.said)!r} is no number such as 18 or -2.5; text and dates stand in quotes: "…"'
        )
    if len(re.sub(r"[^0-9]", "", token.said)) > _DIGITS:
        raise invalid(token.at, f"a number has {_DIGITS} digits at the most; as text it stands in quotes")
    return float(token.said)


def _is_date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
