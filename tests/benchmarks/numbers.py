"""How much faster a column of numbers is normalised than by phonenumbers alone, on one core.

The list is made up in memory, of the mixture that lists have: 20 prefixes of 16 countries, 65 % E.164, 15 % with
spaces, 10 % with brackets, 4 % with ``00`` for the plus, 4 % with dots, 2 % with digits missing; about nine tenths are
valid. Both ways take turns, so that a busy machine is busy for both, and a ratio is of one round. phonenumbers has the
first rows of the list, no more: its rate does not depend on how many there are.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import phonenumbers
import pyarrow as pa

from broadcaster.phones import normalise

_ROWS = 1_000_000
_BATCH = 100_000
_ROWS_ALONE = 200_000
_SEED = 20_260_401
_REGIONS = (None, "GB")

_PREFIXES = (
    ("1", "4155", 10),
    ("1", "2125", 10),
    ("1", "4165", 10),
    ("44", "7911", 10),
    ("44", "207", 10),
    ("49", "151", 11),
    ("49", "30", 10),
    ("33", "6", 9),
    ("39", "333", 10),
    ("34", "612", 9),
    ("31", "61", 9),
    ("32", "47", 9),
    ("41", "79", 9),
    ("43", "664", 10),
    ("46", "70", 9),
    ("48", "50", 9),
    ("61", "412", 9),
    ("91", "98", 10),
    ("55", "119", 11),
    ("52", "55", 10),
)  # fmt: skip - calling code, start and length of the national number


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Rows a second of each round, one default region."""

    region: str | None
    alone: tuple[float, ...]
    fast: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """How many times as fast, round by round."""
        return [fast / alone for fast, alone in zip(self.fast, self.alone, strict=True)]


async def measure(*, rounds: int) -> list[str]:
    """Return the figures as lines."""
    lines = [f"{_ROWS:,} rows in batches of {_BATCH:,}; {_ROWS_ALONE:,} for phonenumbers alone; {rounds} rounds"]
    for figures in compare(rounds=rounds):
        lines.append(f"default region {figures.region or 'none'}:")
        lines.append(f"  phonenumbers alone  {_describe(figures.alone)} rows/s")
        lines.append(f"  normalise           {_describe(figures.fast)} rows/s")
        lines.append(f"  ratio               {_describe(figures.ratios, digits=1)}")
    return lines


def compare(*, rounds: int) -> list[Figures]:
    """Measure both ways in turns, for each default region."""
    cells = made_up(_ROWS)
    batches = [pa.array(cells[start : start + _BATCH]) for start in range(0, _ROWS, _BATCH)]
    found = []
    for region in _REGIONS:
        _fast(batches[:1], region)  # builds the automaton, or reads it
        alone, fast = [], []
        for _ in range(rounds):
            alone.append(_rate(_ROWS_ALONE, lambda: _alone(cells[:_ROWS_ALONE], region)))  # noqa: B023 - called at once
            fast.append(_rate(_ROWS, lambda: _fast(batches, region)))  # noqa: B023 - called at once
        found.append(Figures(region=region, alone=tuple(alone), fast=tuple(fast)))
    return found


def made_up(count: int) -> list[str]:
    """Return numbers as people write them; most are valid, and none is anybody's on purpose."""
    chance = random.Random(_SEED)
    return [_written(chance, *chance.choice(_PREFIXES)) for _ in range(count)]


def _written(chance: random.Random, code: str, start: str, length: int) -> str:
    missing = length - len(start)
    national = start + str(chance.randrange(10**missing)).zfill(missing)
    at, style = len(start), chance.random()
    if style < 0.65:
        return f"+{code}{national}"
    if style < 0.80:
        return f"+{code} {national[:at]} {national[at : at + 3]} {national[at + 3 :]}"
    if style < 0.90:
        return f"+{code} ({national[:at]}) {national[at : at + 3]}-{national[at + 3 :]}"
    if style < 0.94:
        return f"00{code}{national}"
    if style < 0.98:
        return f"+{code}.{national[:at]}.{national[at : at + 3]}.{national[at + 3 :]}"
    return f"+{code}{national[: -chance.randint(2, 4)]}"


def _rate(rows: int, work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return rows / (time.process_time() - begin)


def _fast(batches: Sequence[pa.Array], region: str | None) -> None:
    for batch in batches:
        normalise(batch, region)


def _alone(cells: Sequence[str], region: str | None) -> None:
    for cell in cells:
        try:
            number = phonenumbers.parse(cell, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _describe(figures: Sequence[float], *, digits: int = 0) -> str:
    low, middle, high = min(figures), statistics.median(figures), max(figures)
    return f"median {middle:,.{digits}f} [{low:,.{digits}f} to {high:,.{digits}f}]"
