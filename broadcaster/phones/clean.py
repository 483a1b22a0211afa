"""Cells to digits, a column at a time.

A cell is plain if it is made of ASCII digits, at most one plus in front of them, and the marks that people group digits
with. Of such a cell the library reads the digits and whether there is a plus, nothing else, and the judge's own rules
come down to a few counts. Whatever comes near one of them is not plain here, so that the judge is asked:

* a dot as the only mark, as in 14155550100.0: perhaps a spreadsheet's decimal;
* two groups of seven digits with a space or a slash between them: perhaps two numbers;
* anything but a digit, a plus or a bracket in front: a sign, not a way to write a number.

It must not know what digits mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_DIGITS = 18  # of a plain cell: an int64 holds them
_NUMBER = 7  # digits of a part that the judge takes for a number of its own
_FIELD = 6  # bits of each count
_LONGEST = (1 << _FIELD) - 1  # bytes of a plain cell, so that no count overflows
_DIGIT, _PLUS, _DOT, _SPACE, _ALIEN = (1 << _FIELD * place for place in range(5))
_INDENT = 8  # spaces in front of a plain cell
_BLANK = ord(" ")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Digits:
    """The digits of cells.

    Attributes:
        digits: 0 to 9, of all cells, one after the other.
        start: where a cell's digits begin.
        count: how many there are.
        plain: whether they and ``plus`` say all that the cell says.
        plus: whether a plus stands before them.
    """

    digits: NDArray[np.uint8]
    start: NDArray[np.int64]
    count: NDArray[np.int64]
    plain: NDArray[np.bool_]
    plus: NDArray[np.bool_]


def read_digits(text: NDArray[np.uint8], bounds: NDArray[np.int64]) -> Digits:
    """Return the digits of the cells that lie in *text* one after the other; *bounds* has one more than there are."""
    if not text.size:
        nothing = np.zeros(len(bounds) - 1, dtype=np.int64)
        no = nothing.astype(np.bool_)
        return Digits(digits=text, start=nothing, count=nothing, plain=no, plus=no)
    values = text - np.uint8(ord("0"))  # wraps: what is below "0" is above 9
    is_digit = values <= 9  # noqa: PLR2004 - the last digit
    sums = np.zeros(len(text) + 1, dtype=np.uint32)
    np.cumsum(_WEIGHTS.take(text), out=sums[1:])  # wraps, and differences are right again
    counts = np.diff(sums[bounds])
    size = np.diff(bounds)
    digits, plus, dots, spaces = (
        (counts // np.uint32(unit) & np.uint32(_LONGEST)).astype(np.int64) for unit in (_DIGIT, _PLUS, _DOT, _SPACE)
    )
    first, second = _front(text, bounds[:-1])
    plain = (counts < _ALIEN) & (size <= _LONGEST) & (digits > 0) & (digits <= MOST_DIGITS)
    plain &= _MAY_BEGIN.take(first)
    plain &= (plus == 0) | (plus == 1) & ((first == ord("+")) | (first == ord("(")) & (second == ord("+")))
    plain &= (dots != 1) | (size != digits + plus + dots + spaces)
    perhaps = plain & (digits >= _NUMBER * 2) & (spaces > 0)
    if perhaps.any():
        plain &= ~perhaps | (_long_parts(text, bounds, is_digit) <= 1)
    for row in np.flatnonzero(size > _LONGEST):  # their counts have overflowed
        digits[row] = np.count_nonzero(is_digit[bounds[row] : bounds[row + 1]])
    return Digits(digits=values[is_digit], start=np.cumsum(digits) - digits, count=digits, plain=plain, plus=plus > 0)


def _front(text: NDArray[np.uint8], starts: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the first two bytes of each cell that are not its indent; of an empty cell, any two."""
    last = len(text) - 1
    at = np.minimum(starts, last)
    first = text[at]
    for _ in range(_INDENT):
        indented = np.flatnonzero(first == _BLANK)
        if not indented.size:
            break
        at[indented] = np.minimum(at[indented] + 1, last)
        first[indented] = text[at[indented]]
    return first, text[np.minimum(at + 1, last)]


def _long_parts(text: NDArray[np.uint8], bounds: NDArray[np.int64], is_digit: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many parts of each cell, between spaces and slashes, are long enough to be a number."""
    splits = np.flatnonzero((text == _BLANK) | (text == ord("/")))
    edges = np.sort(np.concatenate((bounds, splits)))
    parts = np.diff(np.append(0, np.cumsum(is_digit))[edges])
    begins = edges[:-1][parts >= _NUMBER]
    return np.bincount(np.searchsorted(bounds, begins, side="right") - 1, minlength=len(bounds) - 1)


def _table(of: dict[str, int], *, otherwise: int) -> NDArray[np.uint32]:
    table = np.full(256, otherwise, dtype=np.uint32)
    for marks, value in of.items():
        table[np.frombuffer(marks.encode("ascii"), dtype=np.uint8)] = value
    return table


_WEIGHTS = _table({"0123456789": _DIGIT, "+": _PLUS, ".": _DOT, " /": _SPACE, "-()": 0}, otherwise=_ALIEN)
_MAY_BEGIN = _table({"0123456789+(": 1}, otherwise=0).astype(np.bool_)
