"""What may stand before a national number: the way out of a country, and its national prefix.

Only as much of a number is looked at as a prefix could reach (a few digits); what the patterns do there is asked from
``re`` itself, so that alternatives and greed are the library's own. A national prefix that would rewrite the number is
not followed: its answer is ``None``, "undecided". It must not know calling codes, or what comes after the prefixes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from broadcaster.phones.numbering import Region
from broadcaster.phones.patterns import beginnings, kind, lengths, parsed

_BEGINNINGS = 2_000  # of one pattern; the longest list of area codes has 600
_WHOLE_BEGINNINGS = 50  # of one that is the whole number: enough to tell it from others
_NO_DIGIT = "x"  # stands after the digits known so far: nothing that reads on, or wants the end, may match there


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """One pattern that a number may begin with.

    Attributes:
        open: beginnings that a further digit could decide.
        cut: beginnings after which the pattern is too long to be followed.
        whole: lengths (bits) of numbers that the pattern could match from end to end and rewrite, ...
        whole_heads: ... if they begin like this.
    """

    pattern: re.Pattern[str]
    open: frozenset[str]
    cut: tuple[str, ...]
    whole: int
    whole_heads: tuple[str, ...]
    transforms: bool

    def rewrites(self, digits: str) -> int:
        """Return the lengths (bits) at which a number that begins with the digits could be rewritten as a whole."""
        return self.whole if digits.startswith(self.whole_heads) else 0

    def strips(self, digits: str) -> int | None:
        """Return how many of the digits the prefix has: 0 for none, ``None`` for undecided.

        Decided only for digits that are not :attr:`open`.
        """
        if digits.startswith(self.cut):
            return None
        match = self.pattern.match(digits + _NO_DIGIT)
        if match is None:
            return 0
        if self.transforms and (not match.groups() or match.groups()[-1] is not None):
            return None
        return match.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefixes:
    """How numbers of one region begin, where they are written without a plus."""

    abroad: Prefix
    national: Prefix


def prefixes_of(region: Region) -> Prefixes:
    """Read a region's patterns."""
    return Prefixes(
        abroad=_prefix(region.international_prefix, transforms=False),
        national=_prefix(region.national_prefix, transforms=region.transforms),
    )


def _prefix(pattern: str, *, transforms: bool) -> Prefix:
    if not pattern:
        nothing = re.compile("(?!)")
        return Prefix(pattern=nothing, open=frozenset(), cut=(), whole=0, whole_heads=(), transforms=False)
    heads: set[tuple[str, bool]] = set()
    whole, whole_heads = 0, set[tuple[str, bool]]()
    for branch in _branches(parsed(pattern)):
        if branch and kind(branch[-1]) == "AT" and str(branch[-1][1]) == "AT_END":
            whole |= lengths(branch[:-1])
            whole_heads |= beginnings(branch[:-1], at_most=_WHOLE_BEGINNINGS)
        else:
            heads |= beginnings(branch, at_most=_BEGINNINGS)
    return Prefix(
        pattern=re.compile(pattern),
        open=frozenset(_starts(head for head, _ in heads | whole_heads)),
        cut=tuple(sorted(head for head, complete in heads if not complete)),
        whole=whole,
        whole_heads=tuple(sorted(head for head, _ in whole_heads)),
        transforms=transforms,
    )


def _branches(nodes: Any) -> list[list[Any]]:
    """Return the alternatives of a pattern, each as its nodes."""
    if len(nodes) == 1 and kind(nodes[0]) == "BRANCH":
        return [list(branch) for branch in nodes[0][1][1]]
    return [list(nodes)]


def _starts(words: Iterable[str]) -> set[str]:
    """Return every proper start of the words."""
    return {word[:length] for word in words for length in range(len(word))}
