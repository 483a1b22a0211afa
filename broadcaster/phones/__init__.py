"""Numbers as people write them to numbers as they are dialled (E.164), a column at a time.

Numbers travel as ``int64``, their digits without the plus: a tenth of the memory of strings, and they sort and compare.
No valid number is 0, so 0 means "refused". Nothing here knows lists, jobs or why a number is wanted.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from broadcaster.phones.judge import FAULTS, Fault, judge

__all__ = ["FAULTS", "Digits", "Fault", "Numbers", "distinct", "format_e164", "mask", "normalise", "parse_number"]

Digits = NDArray[np.int64]
"""E.164 numbers without their plus; 0 is no number."""

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

    Each distinct cell (with its region) is judged once.

    Args:
        values: a pyarrow array of strings.
        region: the two-letter code of the country that numbers without a country code belong to: one for all, ``None``
            for "there is none", or a pyarrow string array with one for each row.
        fallback: the region of rows whose own is null or blank, when *region* is an array.
    """
    cells, cell = _codes(values)
    if region is None or isinstance(region, str):
        places: list[str | None] = [region]
        pair = cell
    else:
        names, place = _codes(region)
        places = [name if name.strip() else fallback for name in names]
        pair = cell * len(places) + place
    pairs, row = np.unique(pair, return_inverse=True)
    e164 = np.zeros(len(pairs), dtype=np.int64)
    fault = np.zeros(len(pairs), dtype=np.uint8)
    for at, code in enumerate(pairs.tolist()):
        text, home = divmod(code, len(places))
        e164[at], fault[at] = judge(cells[text], places[home])
    return Numbers(e164=e164[row], fault=fault[row])


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


def _codes(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct cells of a column, and for each row which of them it is."""
    encoded = pc.fill_null(column, "").dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
