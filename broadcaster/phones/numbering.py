"""What the library's metadata say of the numbers of every calling code, as one table of states.

A state stands for the digits of a national number so far, all regions of its calling code at once. It says whether the
number is valid if it ends here, as ``is_valid_number`` decides it, and which regions' general description it matches.

Both must be asked: the patterns of the types are not part of the general one (Germany has fixed lines outside of it).
Where regions share a calling code, the first one whose leading digits match, or that finds it valid when it has none,
decides alone. The metadata's lengths hold beside the patterns. It must not know how a number is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

from broadcaster.phones.patterns import Machine, Surprise

LONGEST = 18  # digits of a number as written; more are not a number
LONGEST_E164 = 15
_TYPES = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "fixed_line",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A region as far as parsing needs it; lengths are bits.

    Attributes:
        bit: its bit in :attr:`Numbering.general`.
        strips_to: lengths that a national prefix may leave.
        too_long: lengths beyond every number of the region.
        covers: whether every valid number of the calling code matches its general description.
    """

    name: str
    code: int
    bit: int
    international_prefix: str
    national_prefix: str
    transforms: bool
    strips_to: int
    too_long: int
    covers: bool


@dataclass(slots=True)
class Numbering:
    """The states; 0 is the one that nothing leads out of.

    Attributes:
        after: for each state, the next one for each digit.
        valid: whether the national number that ends here is valid.
        general: the regions (bits) whose general description it matches.
        code, length: its calling code and the digits after that.
        start: for each calling code, its state before the first digit.
        regions: the regions of a calling code, the main one first.
        ahead: the lengths of the valid numbers that begin like this one, as bits.
    """

    after: list[list[int]] = field(default_factory=lambda: [[0] * 10])
    valid: list[bool] = field(default_factory=lambda: [False])
    general: list[int] = field(default_factory=lambda: [0])
    code: list[int] = field(default_factory=lambda: [0])
    length: list[int] = field(default_factory=lambda: [0])
    ahead: list[int] = field(default_factory=lambda: [0])
    start: dict[int, int] = field(default_factory=dict)
    regions: dict[int, list[Region]] = field(default_factory=dict)


def read_numbering() -> Numbering:
    """Return the table of the installed metadata; :exc:`Surprise` when they are not as expected."""
    numbering = Numbering()
    for code, names in COUNTRY_CODE_TO_REGION_CODE.items():
        _add_code(numbering, int(code), names)
    for state in reversed(range(len(numbering.after))):  # what leads to a state came before it
        ahead = 1 << numbering.length[state] if numbering.valid[state] else 0
        for after in numbering.after[state]:
            ahead |= numbering.ahead[after]
        numbering.ahead[state] = ahead
    return numbering


@dataclass(frozen=True, slots=True)
class _Test:
    """A number that ends in one of the positions, with one of the lengths, passes."""

    positions: int
    lengths: int

    def passes(self, here: int, length: int) -> bool:
        return bool(here & self.positions) and bool(self.lengths >> length & 1)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How one region of a calling code is asked; ``leading`` is 0 where the metadata have no leading digits."""

    general: _Test
    types: tuple[_Test, ...]
    leading: int
    has_leading: bool

    def valid(self, here: int, length: int) -> bool:
        return self.general.passes(here, length) and any(test.passes(here, length) for test in self.types)


def _add_code(numbering: Numbering, code: int, names: Sequence[str]) -> None:
    metadata = [PhoneMetadata.metadata_for_region_or_calling_code(code, name) for name in names]
    machine = Machine()
    rules, first, alive = [], 0, 0
    for each in metadata:
        if each is None or each.country_code != code:
            raise Surprise(f"calling code {code} has no metadata of its own")
        rule, begins, positions = _rule(machine, each)
        rules.append(rule)
        first, alive = first | begins, alive | positions
    begin = _explore(numbering, code, machine, rules, first=first, alive=alive)
    covered = -1
    for state in range(begin, len(numbering.after)):
        if numbering.valid[state]:
            covered &= numbering.general[state]
    numbering.regions[code] = [
        _region(name, each, bit=1 << at, covers=bool(covered >> at & 1))
        for at, (name, each) in enumerate(zip(names, metadata, strict=True))
    ]


def _rule(machine: Machine, metadata: Any) -> tuple[_Rule, int, int]:
    """Return a region's rule, the positions it begins with, and those of its general description."""
    before = len(machine.follow)
    general, first = _test(machine, metadata.general_desc)
    positions = (1 << len(machine.follow)) - (1 << before)
    tests = []
    # Where both have one pattern, the library asks only the description of the fixed lines.
    for name in (*_TYPES, *(() if metadata.same_mobile_and_fixed_line_pattern else ("mobile",))):
        test, begins = _test(machine, getattr(metadata, name))
        tests.append(test)
        first |= begins
    leading = machine.add_start(metadata.leading_digits) if metadata.leading_digits is not None else None
    if leading:
        first |= leading.first
    rule = _Rule(general, tuple(tests), leading.last if leading else 0, leading is not None)
    return rule, first, positions


def _test(machine: Machine, description: Any) -> tuple[_Test, int]:
    if description is None or not description.national_number_pattern:
        return _Test(0, 0), 0
    part = machine.add(description.national_number_pattern)
    return _Test(part.last, _bits(description.possible_length) or -1), part.first


def _bits(lengths: Sequence[int]) -> int:
    """Return lengths as bits; -1 is the metadata's way to say that there is none, and a bit no number has."""
    found = 0
    for length in lengths:
        found |= 1 << (length if length >= 0 else LONGEST + 1)
    return found


def _explore(
    numbering: Numbering, code: int, machine: Machine, rules: Sequence[_Rule], *, first: int, alive: int
) -> int:
    """Add the states of a calling code and return the first of them."""
    longest = LONGEST_E164 - len(str(code))
    begin = _append(numbering, code, valid=False, general=0, length=0)
    numbering.start[code] = begin
    frontier = [(first, begin)]  # positions that may come next, of each state of one length
    for length in range(1, LONGEST + 1):
        states: dict[int, int] = {}
        for follow, origin in frontier:
            for digit, reads in enumerate(machine.reads):
                here = follow & reads
                if not here & alive:
                    continue
                if here not in states:
                    states[here] = _append(
                        numbering,
                        code,
                        valid=length <= longest and _valid(rules, here, length),
                        general=sum(1 << at for at, rule in enumerate(rules) if here & rule.general.positions),
                        length=length,
                    )
                numbering.after[origin][digit] = states[here]
        frontier = [(machine.after(here), state) for here, state in states.items()]
    return begin


def _append(numbering: Numbering, code: int, *, valid: bool, general: int, length: int) -> int:
    numbering.after.append([0] * 10)
    numbering.valid.append(valid)
    numbering.general.append(general)
    numbering.code.append(code)
    numbering.ahead.append(0)
    numbering.length.append(length)
    return len(numbering.after) - 1


def _valid(rules: Sequence[_Rule], here: int, length: int) -> bool:
    if len(rules) == 1:
        return rules[0].valid(here, length)
    for rule in rules:
        if rule.has_leading:
            if here & rule.leading:
                return rule.valid(here, length)
        elif rule.valid(here, length):
            return True
    return False


def _region(name: str, metadata: Any, *, bit: int, covers: bool) -> Region:
    """Return a region's way to parse; lengths are judged as the library's ``_test_number_length`` does."""
    possible = _bits(metadata.general_desc.possible_length)
    local = _bits(metadata.general_desc.possible_length_local_only)
    every = (1 << LONGEST + 1) - 1
    if not possible & every:
        raise Surprise(f"region {name} has no possible length")
    too_long = every & -(1 << (possible & every).bit_length()) & ~local
    return Region(
        name=name,
        code=metadata.country_code,
        bit=bit,
        international_prefix=metadata.international_prefix or "",
        national_prefix=metadata.national_prefix_for_parsing or "",
        transforms=bool(metadata.national_prefix_transform_rule),
        strips_to=possible & ~local | too_long,
        too_long=too_long,
        covers=covers,
    )
