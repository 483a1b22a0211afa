"""The library's regular expressions as positions that read digits.

A pattern over digits becomes positions (Glushkov's construction): each reads one digit of a set, and may be followed by
others. Sets of positions are integers, a bit for each, so that a step of all patterns of a calling code at once is a
few operations on integers. :func:`beginnings` lists what short patterns can begin with.

The parser of ``re`` is a private module, and the patterns are somebody else's: whatever is not exactly what is
understood here is a :class:`Surprise`. It must not know what a pattern is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

_EVERY_DIGIT = (1 << 10) - 1
_DIGITS = "0123456789"


class Surprise(Exception):
    """The interpreter or the metadata are not what the automaton is made for; the judge decides alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A pattern's place in a :class:`Machine`: positions it begins with and may end with, as bits."""

    empty: bool
    first: int
    last: int


@dataclass(slots=True)
class Machine:
    """Positions of any number of patterns.

    Attributes:
        reads: for each digit, the positions that read it.
        follow: for each position, those that may come next.
    """

    reads: list[int] = field(default_factory=lambda: [0] * 10)
    follow: list[int] = field(default_factory=list)

    def add(self, pattern: str) -> Part:
        """Add a pattern that must read a whole number."""
        part = self._sequence(parsed(pattern))
        if part.empty:
            raise Surprise(f"the pattern {pattern!r} matches nothing at all")
        return part

    def add_start(self, pattern: str) -> Part:
        """Add a pattern that must read the start of a number; digits may follow."""
        part = self.add(pattern)
        rest = self._position(_EVERY_DIGIT)
        self._join(part.last | rest.last, rest.first)
        return Part(empty=False, first=part.first, last=part.last | rest.last)

    def after(self, positions: int) -> int:
        """Return the positions that may come after any of *positions*."""
        follow, found = self.follow, 0
        while positions:
            lowest = positions & -positions
            found |= follow[lowest.bit_length() - 1]
            positions ^= lowest
        return found

    def _position(self, digits: int) -> Part:
        bit = 1 << len(self.follow)
        self.follow.append(0)
        for digit in range(10):
            if digits >> digit & 1:
                self.reads[digit] |= bit
        return Part(empty=False, first=bit, last=bit)

    def _join(self, last: int, first: int) -> None:
        at = 0
        while last:
            skip = (last & -last).bit_length()
            at, last = at + skip, last >> skip
            self.follow[at - 1] |= first

    def _sequence(self, nodes: Any) -> Part:
        whole = Part(empty=True, first=0, last=0)
        for node in nodes:
            part = self._node(node)
            self._join(whole.last, part.first)
            whole = Part(
                empty=whole.empty and part.empty,
                first=whole.first | part.first if whole.empty else whole.first,
                last=whole.last | part.last if part.empty else part.last,
            )
        return whole

    def _node(self, node: Any) -> Part:
        match kind(node), node[1]:
            case "BRANCH", (None, branches):
                parts = [self._sequence(branch) for branch in branches]
                first = last = 0
                for part in parts:
                    first, last = first | part.first, last | part.last
                return Part(empty=any(part.empty for part in parts), first=first, last=last)
            case "SUBPATTERN", (_, 0, 0, inner):
                return self._sequence(inner)
            case "MAX_REPEAT", (least, most, inner):
                return self._repeat(int(least), int(most), inner)
            case _:
                return self._position(digits_of(node))

    def _repeat(self, least: int, most: int, inner: Any) -> Part:
        if not 0 < most <= _LONGEST_REPEAT:
            raise Surprise(f"a pattern repeats {most} times")
        whole, last = self._sequence(inner), 0
        if whole.empty and most > 1:
            raise Surprise("a pattern repeats what may be empty")
        previous = whole
        for count in range(1, most + 1):
            if count > 1:
                part = self._sequence(inner)
                self._join(previous.last, part.first)
                previous = part
            if count >= least:
                last |= previous.last
        return Part(empty=least == 0 or whole.empty, first=whole.first, last=last)


_LONGEST_REPEAT = 20  # no number has as many digits


def parsed(pattern: str) -> Any:
    """Return what the parser of ``re`` makes of a pattern: nodes, each an operation and its argument.

    Raises:
        Surprise: when there is no such parser, or it refuses.
    """
    try:
        return import_module("re._parser").parse(pattern)
    except Exception as error:
        raise Surprise(f"the pattern {pattern!r} cannot be parsed") from error


def kind(node: Any) -> str:
    """Return the name of a node's operation."""
    return str(node[0])


def digits_of(node: Any) -> int:
    """Return which digits a node that reads one of them reads, as bits."""
    match kind(node), node[1]:
        case "LITERAL", int(code) if chr(code) in _DIGITS:
            return 1 << int(chr(code))
        case "RANGE", (int(low), int(high)) if chr(low) in _DIGITS and chr(high) in _DIGITS:
            return sum(1 << digit for digit in range(int(chr(low)), int(chr(high)) + 1))
        case "CATEGORY", category if str(category) == "CATEGORY_DIGIT":
            return _EVERY_DIGIT
        case "IN", list(members):
            found = 0
            for member in members:
                found |= digits_of(member)
            return found
        case _:
            raise Surprise(f"a pattern contains {kind(node)}")


def lengths(nodes: Any) -> int:
    """Return how many digits nodes read, each possible length a bit."""
    found = 1
    for node in nodes:
        match kind(node), node[1]:
            case "AT", end if str(end) == "AT_END":
                own = 1
            case "BRANCH", (None, branches):
                own = 0
                for branch in branches:
                    own |= lengths(branch)
            case "SUBPATTERN", (_, 0, 0, inner):
                own = lengths(inner)
            case "MAX_REPEAT", (least, most, inner) if int(most) <= _LONGEST_REPEAT:
                own = 0
                for count in range(int(least), int(most) + 1):
                    own |= lengths(list(inner) * count)
            case _:
                own = 2 if digits_of(node) else 0
        longer = 0
        for at in range(found.bit_length()):
            if found >> at & 1:
                longer |= own << at
        found = longer
    return found


def first_digits(nodes: Any) -> int:
    """Return the digits that nodes may begin with, as bits."""
    found = 0
    for node in nodes:
        match kind(node), node[1]:
            case "AT", end if str(end) == "AT_END":
                continue
            case "BRANCH", (None, branches):
                for branch in branches:
                    found |= first_digits(branch)
            case "SUBPATTERN", (_, 0, 0, inner):
                found |= first_digits(inner)
            case "MAX_REPEAT", (_, _, inner):
                found |= first_digits(inner)
            case _:
                found |= digits_of(node)
        if not lengths([node]) & 1:  # it reads at least one digit
            break
    return found


def beginnings(nodes: Any, *, at_most: int) -> set[tuple[str, bool]]:
    """Return the digits that a pattern reads, each with whether it has read all: longer ones are cut.

    They are cut as late as the number of results allows.
    """
    for length in range(_LONGEST_BEGINNING, 0, -1):
        try:
            return _beginnings(nodes, length, at_most)
        except _TooMany:
            continue
    raise Surprise("a prefix has too many beginnings")


_LONGEST_BEGINNING = 9


class _TooMany(Exception):
    """There are more beginnings than asked for."""


def _beginnings(nodes: Any, length: int, at_most: int) -> set[tuple[str, bool]]:
    found = {("", True)}
    for node in nodes:
        shortest = min((len(head) for head, complete in found if complete), default=length)
        longer = set(_node_beginnings(node, length - shortest, at_most))
        found = {
            ((head + tail)[:length], whole and len(head + tail) <= length) if complete else (head, False)
            for head, complete in found
            for tail, whole in longer
        }
        if len(found) > at_most:
            raise _TooMany
    return found


def _node_beginnings(node: Any, length: int, at_most: int) -> Iterator[tuple[str, bool]]:
    match kind(node), node[1]:
        case "BRANCH", (None, branches):
            for branch in branches:
                yield from _beginnings(branch, length, at_most)
        case "SUBPATTERN", (_, 0, 0, inner):
            yield from _beginnings(inner, length, at_most)
        case "MAX_REPEAT", (least, most, inner) if int(most) <= _LONGEST_REPEAT:
            for count in range(int(least), int(most) + 1):
                yield from _beginnings(list(inner) * count, length, at_most)
        case _:
            read = digits_of(node)
            yield from ((digit, True) for digit in _DIGITS if read >> int(digit) & 1)
