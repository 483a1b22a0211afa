"""One automaton that reads numbers as written, for all calling codes and default regions.

Built from the grammar's states: those that answer alike, whatever follows, are one (numbers are finite, so that equal
answers and equal successors is all it takes). It must not know Arrow, files, or where the states come from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from phonenumbers import SUPPORTED_REGIONS
from phonenumbers.phonemetadata import REGION_CODE_FOR_NON_GEO_ENTITY

from broadcaster.phones.grammar import ABROAD, Grammar, State
from broadcaster.phones.numbering import Numbering, read_numbering
from broadcaster.phones.patterns import Surprise
from broadcaster.phones.refusals import read_codes, read_refusals

_MOST_STATES = 1 << 16
_DIGITS = range(10)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Automaton:
    """The states; 0 is "undecided", and nothing leads out of it.

    Attributes:
        after: the next state of each state for each digit; uint16, ten to a row.
        code: the calling code of the number that ends in a state; 0 where it is undecided. uint16.
        length: how many of its last digits are its national number. uint16.
        regions: the default regions, in rising order.
        home: the first state of digits without a plus, for each of the regions. uint16.
        abroad: the first state of digits after a plus.
        codes: see :func:`~broadcaster.phones.refusals.read_codes`.
        refusals: see :func:`~broadcaster.phones.refusals.read_refusals`.
    """

    after: NDArray[np.uint16]
    code: NDArray[np.uint16]
    length: NDArray[np.uint16]
    regions: tuple[str, ...]
    home: NDArray[np.uint16]
    abroad: int
    codes: NDArray[np.uint16]
    refusals: NDArray[np.uint8]


def build() -> Automaton:
    """Build the automaton of the installed metadata; a second or two of work.

    Raises:
        Surprise: when metadata or interpreter are not what it is made for.
    """
    try:
        return _build(read_numbering())
    except Surprise:
        raise
    except Exception as error:
        raise Surprise("the metadata are not as expected") from error


def _build(numbering: Numbering) -> Automaton:
    grammar = Grammar(numbering)
    dead = ((0, 0), (0,) * len(_DIGITS))
    numbers: dict[tuple[tuple[int, int], tuple[int, ...]], int] = {dead: 0}
    seen: dict[State, int] = {0: 0}

    def number(state: State) -> int:
        known = seen.get(state)
        if known is None:
            after = tuple([number(grammar.after(state, digit)) for digit in _DIGITS])
            known = seen[state] = numbers.setdefault((grammar.accepts(state), after), len(numbers))
        return known

    abroad = number(grammar.start(ABROAD))
    if {
        region.name for region in grammar.regions if region.name != REGION_CODE_FOR_NON_GEO_ENTITY
    } != SUPPORTED_REGIONS:
        raise Surprise("the regions are not the calling codes'")
    places = sorted(
        (region.name, at) for at, region in enumerate(grammar.regions) if region.name != REGION_CODE_FOR_NON_GEO_ENTITY
    )
    home = [number(grammar.start(at)) for _, at in places]
    if len(numbers) > _MOST_STATES:
        raise Surprise(f"the automaton has {len(numbers)} states")
    return Automaton(
        after=np.array([after for _, after in numbers], dtype=np.uint16),
        code=np.array([code for (code, _), _ in numbers], dtype=np.uint16),
        length=np.array([length for (_, length), _ in numbers], dtype=np.uint16),
        regions=tuple(name for name, _ in places),
        home=np.array(home, dtype=np.uint16),
        abroad=abroad,
        codes=read_codes(numbering),
        refusals=read_refusals(numbering, grammar, [at for _, at in places]),
    )
