"""Numbers as people write them to numbers as they are dialled (E.164), a column at a time.

Numbers travel as ``int64``, their digits without the plus: a tenth of the memory of strings, and they sort and compare.
No valid number is 0, so 0 means "refused". Nothing here knows lists, jobs or why a number is wanted.

Theory of operation. :mod:`~broadcaster.phones.judge` has the last word on a number: phonenumbers, behind stricter rules
of ours. It needs some 25 microseconds, so that ten million rows would take minutes. In front of it stands a walk that
must agree with it on every input, and says nothing where it could not know:

* ``clean`` looks at the bytes of a column. Cells of plain digits, grouped as people group them, are only their digits
  and whether a plus stands before them; whatever a rule of the judge's could refuse is not plain.
* ``walk`` leads the digits of all plain cells through one automaton, a digit of every row at a time. Where a row ends
  says whether its number is valid, its calling code, and how many of its last digits are the national number.
* What is not valid after all has its fault from a table by its first digits and their number (``refusals``), where
  these are enough to tell.
* Rows that are still undecided go to the judge, each distinct cell with its region once.

The automaton is made of phonenumbers' own metadata: ``patterns`` turns its regular expressions into positions,
``numbering`` these into the valid numbers of each calling code, as ``is_valid_number`` finds them, ``prefixes`` and
``grammar`` into what ``parse`` makes of digits in each default region; ``automaton`` merges states that answer alike.
It takes a second or two, and is kept in the user's cache (``cache``) under the versions of metadata and interpreter.
``shelf`` gets it when a column is long enough, has a new one prove itself on the library's examples, and does without
where anything is unexpected: a node that ``re`` did not have, metadata of another shape, a file that is damaged.

Approximations are all on one side: digits that the library would rewrite (an old Argentine mobile, a Brazilian
carrier) are undecided. That the rest is exact is tested by comparison (``tests/unit/phones/test_differential.py``),
with default regions of every kind, since a slip in what one region does shows in no other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.phones.judge import FAULTS, Fault, judge
from broadcaster.phones.shelf import current_shelf

__all__ = [
    "FAULTS",
    "Digits",
    "Fault",
    "Numbers",
    "distinct",
    "format_e164",
    "mask",
    "mask_in",
    "normalise",
    "parse_number",
]

Digits = NDArray[np.int64]
"""E.164 numbers without their plus; 0 is no number."""

_IN_TEXT = re.compile(
    r"\+[1-9]\d{6,14}(?!\d)|(?<![\w/.-])\d{10,15}(?![\w/.-])"
)  # E.164, or as many digits without the plus
_TAIL = 2  # digits at the end that a masked number shows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Numbers:
    """What a column says, row by row.

    Attributes:
        e164: the number's digits, 0 where it is refused.
        fault: why it is refused, as a position in :data:`FAULTS`; 0 where it is not.
    """

    e164: Digits
    fault: NDArray[np.uint8]


def normalise(values: Any, region: Any, *, fallback: str | None = None) -> Numbers:
    """Judge a column of numbers as people write them; nulls count as empty cells.

    Args:
        values: a pyarrow array of strings, plain, chunked or as a dictionary.
        region: the two-letter code of the country that numbers without a country code belong to: one for all, ``None``
            for "there is none", or a pyarrow string array with one for each row.
        fallback: the region of rows whose own is null or blank, when *region* is an array.
    """
    column = _strings(values)
    if region is None or isinstance(region, str):
        places, place = [region], None
    else:
        names, place = _codes(region)
        places = [name if name.strip() else fallback for name in names]
    e164 = np.zeros(len(column), dtype=np.int64)
    fault = np.zeros(len(column), dtype=np.uint8)
    walker = current_shelf().walker(len(column))
    if walker is not None:
        homes, at = walker.homes(places), 0
        for piece in column.chunks:
            rows = slice(at, at + len(piece))
            own = homes if place is None else homes.take(place[rows])
            e164[rows], fault[rows] = walker.walk(piece, own)
            at += len(piece)
    _judge_rest(column, places, place, e164, fault)
    return Numbers(e164=e164, fault=fault)


def parse_number(text: str, *, region: str | None) -> str | None:
    """Return one number as E.164, or ``None`` when it is refused."""
    e164, _ = judge(text, region)
    return f"+{e164}" if e164 else None


def format_e164(numbers: Digits) -> Any:
    """Return the numbers as a pyarrow string array, with their plus; null where there is none."""
    digits: Any = pa.array(numbers, mask=numbers == 0).cast(pa.string())
    return pc.binary_join_element_wise("+", digits, "")


def distinct(columns: Iterable[Digits]) -> Digits:
    """Return every number of the columns once, in rising order, without the refused ones."""
    every = [np.empty(0, dtype=np.int64), *(np.unique(column) for column in columns)]
    numbers = np.unique(np.concatenate(every))
    return numbers[numbers > 0]


def mask(number: str) -> str:
    """Return an E.164 number as it may be shown: where it is from, and its last two digits."""
    head = 2 if number.startswith(("+1", "+7")) else 3  # the plus and one or two digits of the country code
    hidden = len(number) - head - _TAIL
    return f"{number[:head]}{'•' * hidden}{number[-_TAIL:]}" if hidden > _TAIL else "•" * len(number)


def mask_in(text: str) -> str:
    """Return a sentence with every number in it as it may be shown."""
    return _IN_TEXT.sub(lambda found: mask(found[0]), text)


def _judge_rest(
    column: Any, places: list[str | None], place: Digits | None, e164: Digits, fault: NDArray[np.uint8]
) -> None:
    """Judge the rows that have neither a number nor a fault, each distinct cell with its region once."""
    rest = np.flatnonzero((e164 == 0) & (fault == 0))
    if not rest.size:
        return
    cells, cell = _codes(column if rest.size == len(column) else column.take(pa.array(rest)))
    pair = cell if place is None else cell * len(places) + place[rest]
    pairs, row = np.unique(pair, return_inverse=True)
    numbers = np.zeros(len(pairs), dtype=np.int64)
    faults = np.zeros(len(pairs), dtype=np.uint8)
    for at, code in enumerate(pairs.tolist()):
        text, home = divmod(code, len(places))
        numbers[at], faults[at] = judge(cells[text], places[home])
    e164[rest], fault[rest] = numbers[row], faults[row]


def _strings(column: Any) -> Any:
    """Return a column as a chunked array of plain strings."""
    chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
    if pa.types.is_string(chunked.type) or pa.types.is_large_string(chunked.type):
        return chunked
    if pa.types.is_dictionary(chunked.type) or pa.types.is_null(chunked.type):
        return chunked.cast(pa.string())
    raise TypeError(f"a column of numbers as written is of strings, not of {chunked.type}")


def _codes(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct cells of a column, and for each row which of them it is."""
    encoded = pc.fill_null(_strings(column), "").combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
