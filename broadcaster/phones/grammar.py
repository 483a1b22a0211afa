"""How a number as written (its digits, with a plus or without) becomes a calling code and a national number.

This is ``phonenumbers.parse``, digit by digit. A state is one of three:

* :class:`_Start`: so few digits that the prefix is not certain yet.
* :class:`_Fork`: it is open which digits are the national number, because the library tries one reading and falls back
  to another: all of them, those after the national prefix, or those after the country code of a region written without
  its plus. Each reading has its state of :class:`~broadcaster.phones.numbering.Numbering`; the end decides.
* an integer: one reading is left, a state of the numbering.

0 is "undecided", and nothing leads out of it. What the library would rewrite, or strip twice, is undecided. It must not
know how states are stored, or that anybody walks them.
"""

from typing import NamedTuple

from broadcaster.phones.numbering import LONGEST, Numbering, Region
from broadcaster.phones.prefixes import Prefix, Prefixes, prefixes_of

ABROAD = -1
"""In place of a region: digits that begin with a calling code."""

_NONE = -1  # a reading that the number does not have; 0 is one that came to nothing
_LONGEST_CODE = 3


class _Start(NamedTuple):
    """The digits so far; ``region`` is a position in :attr:`Grammar.regions`, or ABROAD."""

    region: int
    digits: str


class _Fork(NamedTuple):
    """The readings: all digits, those after a national prefix of ``strip`` digits, those after a bare country code.

    ``rewritten`` are lengths (bits) at which a prefix could rewrite all digits, and ``rewritten_bare`` those after a
    bare code.
    """

    region: int
    rewritten: int
    rewritten_bare: int
    strip: int
    length: int
    whole: int
    rest: int
    bare: int


State = int | _Start | _Fork


class Grammar:
    """The states, and what follows them.

    Attributes:
        regions: every region that can be a default.
    """

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering
        self.regions: list[Region] = [region for regions in numbering.regions.values() for region in regions]
        self._prefixes: list[Prefixes] = [prefixes_of(region) for region in self.regions]
        self._place = {(region.code, region.name): at for at, region in enumerate(self.regions)}

    def start(self, region: int) -> State:
        """Return the state before the first digit, for a default region or ABROAD."""
        return _Start(region, "")

    def after(self, state: State, digit: int) -> State:
        """Return the state after one more digit."""
        if isinstance(state, int):
            return self._numbering.after[state][digit]
        if isinstance(state, _Start):
            begun = self._abroad if state.region == ABROAD else self._home
            return begun(_Start(state.region, f"{state.digits}{digit}"))
        region, rewritten, rewritten_bare, strip, length, whole, rest, bare = state
        after = self._numbering.after
        return self._settled(
            _Fork(
                region,
                rewritten,
                rewritten_bare,
                strip,
                length + 1,
                after[whole][digit],
                rest if rest == _NONE else after[rest][digit],
                bare if bare == _NONE else after[bare][digit],
            )
        )

    def accepts(self, state: State) -> tuple[int, int]:
        """Return the calling code and the length of the national number if the digits end here; zeros: undecided."""
        if isinstance(state, _Start):
            return 0, 0
        national = state if isinstance(state, int) else self._decided(state)
        if not self._numbering.valid[national]:
            return 0, 0
        return self._numbering.code[national], self._numbering.length[national]

    def main(self, code: int) -> int:
        """Return the region that the library parses numbers of a calling code in."""
        return self._place[code, self._numbering.regions[code][0].name]

    def read_lengths(self, region: int, head: str, *, abroad: bool) -> list[int] | None:
        """Return which lengths the national numbers have that begin, as written, with the digits *head*.

        They are listed by how many digits are written; 0 is "not certain", and so is ``None``, of all of them. They
        hold for numbers that are not valid: with ``abroad`` for the digits after a calling code, else for digits
        without a plus.
        """
        own, prefixes = self.regions[region], self._prefixes[region]
        code = "" if abroad else str(own.code)
        strip = prefixes.national.strips(head)
        if strip is None or head in prefixes.national.open or (strip and self._run(own.code, head)):
            return None
        if not abroad and (head in prefixes.abroad.open or prefixes.abroad.strips(head) != 0):
            return None
        bare = bool(code) and head.startswith(code)
        if code.startswith(head) or (bare and not self._plain_after(region, head[len(code) :])):
            return None
        if bare:
            rewritten = self._rewritten_bare(region, head[len(code) :]) << len(code)
        else:
            rewritten = prefixes.national.rewrites(head)
        found = []
        for length in range(LONGEST + 1):
            if bare:
                kept = length - len(code) if own.too_long >> length & 1 else 0
            else:
                kept = length - strip if strip and own.strips_to >> max(length - strip, 0) & 1 else length
            found.append(0 if rewritten >> length & 1 else max(kept, 0))
        return found

    def _abroad(self, start: _Start) -> State:
        """Read a calling code, then a national number as its main region does."""
        digits, regions = start.digits, self._numbering.regions
        heads = (int(digits[:length]) for length in range(1, min(len(digits), _LONGEST_CODE) + 1))
        code = 0 if digits[0] == "0" else next((head for head in heads if head in regions), 0)
        if not code:
            return start if len(digits) < _LONGEST_CODE else 0
        main = self.main(code)
        national = digits[len(str(code)) :]
        prefix = self._prefixes[main].national
        if national in prefix.open:
            return start
        strip = prefix.strips(national)
        return 0 if strip is None else self._fork(main, national, strip=strip, after=None)

    def _home(self, start: _Start) -> State:
        """Read a number as written in a region."""
        digits, prefixes = start.digits, self._prefixes[start.region]
        away = prefixes.abroad.strips(digits)
        if away is None:
            return 0
        if digits in prefixes.abroad.open or digits in prefixes.national.open or (away and away == len(digits)):
            return start
        if away and digits[away] != "0":  # no calling code begins with 0: then it was no way out of the country
            state: State = self.start(ABROAD)
            for digit in digits[away:]:
                state = self.after(state, int(digit))
            return state
        strip = prefixes.national.strips(digits)
        return 0 if strip is None else self._national(start, strip)

    def _national(self, start: _Start, strip: int) -> State:
        """Read a number that begins with a national prefix of *strip* digits, and perhaps with a bare country code."""
        region, digits = start
        code = self.regions[region].code
        if not digits.startswith(str(code)):
            could = str(code).startswith(digits)
            return start if could else self._fork(region, digits, strip=strip, after=None)
        after = digits[len(str(code)) :]
        if any(after in national.open for national in self._nationals(region)):
            return start
        if not self._plain_after(region, after):
            return 0
        return self._fork(region, digits, strip=strip, after=after)

    def _nationals(self, region: int) -> list[Prefix]:
        """Return the national prefixes that are looked for after a bare country code, first and second."""
        main = self.main(self.regions[region].code)
        return [self._prefixes[region].national, self._prefixes[main].national]

    def _plain_after(self, region: int, digits: str) -> bool:
        """Tell whether digits after a bare country code certainly have no national prefix."""
        return all(digits not in each.open and each.strips(digits) == 0 for each in self._nationals(region))

    def _run(self, code: int, digits: str) -> int:
        state = self._numbering.start[code]
        for digit in digits:
            state = self._numbering.after[state][int(digit)]
        return state

    def _fork(self, region: int, digits: str, *, strip: int, after: str | None) -> State:
        """Return the readings of digits; *after* are those after a bare country code."""
        code = self.regions[region].code
        return self._settled(
            _Fork(
                region=region,
                rewritten=self._prefixes[region].national.rewrites(digits),
                rewritten_bare=0 if after is None else self._rewritten_bare(region, after),
                strip=strip,
                length=len(digits),
                whole=self._run(code, digits),
                rest=self._run(code, digits[strip:]) if strip else _NONE,
                bare=_NONE if after is None else self._run(code, after),
            )
        )

    def _rewritten_bare(self, region: int, after: str) -> int:
        first, second = self._nationals(region)
        return first.rewrites(after) | second.rewrites(after)

    def _decided(self, fork: _Fork) -> int:
        """Return the reading that the library takes when the digits end here, or 0."""
        region = self.regions[fork.region]
        if fork.bare != _NONE:
            bare_length = fork.length - len(str(region.code))
            if fork.rewritten_bare >> bare_length & 1:
                return 0
            better = not self._general(region, fork.whole) and self._general(region, fork.bare)
            if better or region.too_long >> fork.length & 1:
                return fork.bare
        if fork.rewritten >> fork.length & 1:
            return 0
        if fork.rest != _NONE:
            no_loss = self._general(region, fork.rest) or not self._general(region, fork.whole)
            if no_loss and region.strips_to >> (fork.length - fork.strip) & 1:
                return fork.rest
        return fork.whole

    def _general(self, region: Region, state: int) -> bool:
        return bool(self._numbering.general[state] & region.bit)

    def _settled(self, fork: _Fork) -> State:
        """Return the one reading that is left, where it is certain to be taken whenever it is valid; else the fork.

        For each reading: at none of the lengths at which it is valid may :meth:`_decided` return another one.
        """
        region, ahead = self.regions[fork.region], self._numbering.ahead
        whole, rest, bare = fork.whole, max(fork.rest, 0), max(fork.bare, 0)
        rewritten, rewritten_bare = fork.rewritten, fork.rewritten_bare
        code_length = len(str(region.code))
        # Lengths of all digits at which the reading after a bare code would be taken, dead or not, or be undecided.
        taken = 0 if fork.bare == _NONE else region.too_long | rewritten_bare << code_length
        if not (rest or bare):
            kept = (fork.rest == _NONE or region.covers) and not ahead[whole] & (taken | rewritten)
            return whole if kept or not ahead[whole] else fork
        if whole:
            return fork
        all_digits = ahead[rest] << fork.strip
        stripped = not ahead[rest] & ~region.strips_to and not all_digits & rewritten
        if not bare:
            return rest if stripped and not all_digits & taken else fork
        if not rest:
            extracted = region.covers or not ahead[bare] << code_length & ~region.too_long
            return bare if extracted and not ahead[bare] & rewritten_bare else fork
        if rest == bare:
            return rest if stripped and not ahead[bare] & rewritten_bare else fork
        return fork
