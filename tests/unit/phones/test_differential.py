"""The fast path against the judge, on numbers made to tell them apart: number and fault, not one may differ.

A text starts from an example of some region's metadata, or from digits that one of its patterns matches; they are
changed, written in one of dozens of ways, and the writing is damaged. Every default region has texts of its own.

The long form, for a new version of phonenumbers or of the automaton: ``python -m tests.unit.phones.test_differential
3000000`` says how many texts were compared and how many of them were decided without phonenumbers.
"""

import random
import re
import sys
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import phonenumbers
import pyarrow as pa
import pytest
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat

from broadcaster.phones.automaton import build
from broadcaster.phones.judge import judge
from broadcaster.phones.walk import Walker

_PAIRS = 156_000
_SEED = 4_711
# Main regions of a calling code and others, prefixes of every kind: none, 0, 1, 8, 06, rewriting ones; long ways out.
_REGIONS = (
    *(None, "US", "GB", "DE", "IT", "AR", "MX", "BR", "FR", "IN", "CN", "RU", "ES"),
    *("SM", "KZ", "GG", "AU", "SG", "CI", "JP", "HU", "AG", "CA", "FI", "ZZ", "UZ"),
)

_TYPES = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")
_SPACES = (" ", " ", " ", "-", ".", "/", "  ", "\u00a0", "\u2011", ") ", " (", "")
_WAYS_OUT = ("00", "011", "0011", "810", "000", "+", "+", "++", "\uff0b")
_TAILS = (" ext. 5", " x12", "#", ".0", ".00", ",0", ".5", "e5", "E+10", " ", "\n", ";", " / 4155550100", " 4155550100")
_HEADS = ("-", ".", "'", "=", "(", ")", " ", "\t", "tel:", "/", "+", "\ufeff", "~", "[", "*")
_ALPHABET = "0123456789" * 3 + " -.()+/" + "x,;#'e\u0664\uff11\u00b2\u200f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How many texts were compared and decided, and those that came out differently."""

    texts: int
    decided: int
    accepted: int
    differ: tuple[tuple[str, str | None, object, object], ...]


@cache
def _walker() -> Walker:
    return Walker(build())


@cache
def _examples() -> dict[str | None, list[PhoneNumber]]:
    """Every example of the metadata, by region; all of them under ``None``."""
    found: dict[str | None, list[PhoneNumber]] = {}
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        own = [phonenumbers.example_number_for_type(region, kind) for kind in phonenumbers.PhoneNumberType.values()]
        found[region] = [example for example in own if example is not None]
    world = [phonenumbers.example_number_for_non_geo_entity(code) for code in sorted(_codes()["001"])]
    found["001"] = [example for example in world if example is not None]
    found[None] = [example for examples in list(found.values()) for example in examples]
    return found


@cache
def _codes() -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            found.setdefault(region, []).append(code)
    return found


@cache
def _patterns() -> dict[str | None, list[tuple[int, list[str]]]]:
    """The calling code and the patterns of numbers of every region; all regions under ``None``."""
    found: dict[str | None, list[tuple[int, list[str]]]] = {None: []}
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
            own = [getattr(metadata, name) for name in ("general_desc", "mobile", "fixed_line", *_TYPES)]
            patterns = [each.national_number_pattern for each in own if each and each.national_number_pattern]
            found[region] = [(code, patterns)]
            found[None].append((code, patterns))
    return found


@cache
def _parsed(pattern: str) -> Any:
    return re._parser.parse(pattern)  # type: ignore[attr-defined] # there is no public parser


def _matching(chance: random.Random, pattern: str) -> str:
    """Return digits that a pattern matches."""
    return _match(chance, _parsed(pattern))


def _match(chance: random.Random, nodes: Any) -> str:
    found = ""
    for operation, argument in nodes:
        match str(operation):
            case "LITERAL":
                found += chr(argument)
            case "IN":
                found += chance.choice([digit for digit in "0123456789" if _is_in(digit, argument)])
            case "BRANCH":
                found += _match(chance, chance.choice(argument[1]))
            case "SUBPATTERN":
                found += _match(chance, argument[3])
            case "MAX_REPEAT":
                low, high, inner = argument
                found += "".join(_match(chance, inner) for _ in range(chance.randint(low, high)))
    return found


def _is_in(digit: str, members: Any) -> bool:
    return any(
        str(operation) == "CATEGORY"
        or (str(operation) == "LITERAL" and chr(argument) == digit)
        or (str(operation) == "RANGE" and argument[0] <= ord(digit) <= argument[1])
        for operation, argument in members
    )


def write(chance: random.Random, region: str | None) -> str:
    """Return a text that somebody might write for a number, or a little less than that."""
    where = region if region in _examples() and chance.random() < 0.6 else None
    if chance.random() < 0.6:
        example = chance.choice(_examples()[where])
        code = int(example.country_code or 0)
        national = _changed(chance, phonenumbers.national_significant_number(example))
    else:  # what one pattern matches and another may not
        code, patterns = chance.choice(_patterns()[where])
        national = _matching(chance, chance.choice(patterns)) or "0"
        national = _changed(chance, national) if chance.random() < 0.3 else national
    if chance.random() < 0.2:  # as the library writes it
        style = chance.choice((PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.NATIONAL, PhoneNumberFormat.RFC3966))
        text = phonenumbers.format_number(PhoneNumber(country_code=code, national_number=int(national or 0)), style)
    else:
        text = _grouped(chance, _prefixed(chance, code, national, region))
    return _damaged(chance, text) if chance.random() < 0.3 else text


def _changed(chance: random.Random, national: str) -> str:
    kind = chance.random()
    if kind < 0.3:
        return national
    if kind < 0.65:  # other digits at the end
        keep = chance.randrange(len(national))
        return national[:keep] + "".join(chance.choices("0123456789", k=len(national) - keep))
    at = chance.randrange(len(national))
    if kind < 0.85:  # one digit is another
        return national[:at] + chance.choice("0123456789") + national[at + 1 :]
    if kind < 0.92:  # one is missing
        return national[:at] + national[at + 1 :]
    return national[:at] + chance.choice("0123456789") * chance.randint(1, 3) + national[at:]


def _prefixed(chance: random.Random, code: int, national: str, region: str | None) -> list[str]:
    """Return the number's parts: perhaps a way out, a code, a national prefix."""
    metadata = PhoneMetadata.metadata_for_region(region, None) if region else None
    trunk = (metadata.national_prefix if metadata else None) or chance.choice("018")
    if metadata and metadata.national_prefix_for_parsing and chance.random() < 0.3:
        trunk = _matching(chance, metadata.national_prefix_for_parsing)
    away = chance.choice(_WAYS_OUT)
    if metadata and metadata.international_prefix and chance.random() < 0.5:
        away = _matching(chance, metadata.international_prefix)
    ways: list[list[str]] = [
        ["+", str(code), national],
        [away, str(code), national],
        ["+", str(code), chance.choice((trunk, f"({trunk})", "0", "(0)")), national],
        [str(code), chance.choice(("", "", trunk, str(code))), national],
        [national],
        [trunk, national],
        ["".join(chance.choices("0123456789", k=chance.randint(1, 6))), national],
    ]
    return chance.choices(ways, weights=(25, 8, 8, 5, 26, 20, 8))[0]


def _grouped(chance: random.Random, parts: list[str]) -> str:
    *front, national = parts
    kind = chance.random()
    if kind < 0.35:
        return "".join(parts)
    mark = chance.choice(_SPACES)
    size = chance.randint(2, 5)
    groups = [national[at : at + size] for at in range(0, len(national), size)]
    if kind < 0.6 and groups:
        groups[0] = f"({groups[0]})"
    joint = chance.choice((" ", "", mark))
    head = "".join(front) if kind < 0.8 or not front else front[0] + joint.join(front[1:])
    return head + (joint if front else "") + mark.join(groups)


def _damaged(chance: random.Random, text: str) -> str:
    kind = chance.random()
    if kind < 0.3:
        return text + chance.choice(_TAILS)
    if kind < 0.55:
        return chance.choice(_HEADS) + text
    if kind < 0.6:
        return "".join(chance.choices(_ALPHABET, k=chance.randint(1, 20)))
    for _ in range(chance.randint(1, 3)):
        at, mark = chance.randint(0, len(text)), chance.choice(_ALPHABET)
        edits = (
            text[:at] + text[at + 1 :],
            text[:at] + mark + text[at:],
            text[:at] + mark + text[at + 1 :],
            text[:at] + text[at : at + 2][::-1] + text[at + 2 :],
        )
        text = chance.choice(edits)
    return text


def compare(region: str | None, *, count: int, seed: int) -> Comparison:
    """Compare the walk with the judge on *count* texts of one default region."""
    chance = random.Random(f"{seed} {region}")
    texts = [write(chance, region) for _ in range(count)]
    walker = _walker()
    e164, fault = walker.walk(pa.array(texts, pa.string()), walker.homes([region]))
    rows = [row for row in range(count) if e164[row] or fault[row]]
    found = ((texts[row], (int(e164[row]), int(fault[row])), judge(texts[row], region)) for row in rows)
    differ = tuple((text, region, fast, judged) for text, fast, judged in found if fast != judged)
    return Comparison(texts=count, decided=len(rows), accepted=int((e164 > 0).sum()), differ=differ)


@pytest.mark.parametrize("region", _REGIONS)
def test_what_the_fast_path_decides_is_what_the_judge_says(region: str | None) -> None:
    comparison = compare(region, count=_PAIRS // len(_REGIONS), seed=_SEED)

    assert comparison.differ == ()
    assert comparison.accepted > 0.1 * comparison.texts  # enough of them are numbers
    assert comparison.decided > 0.3 * comparison.texts  # a walk that decides nothing is never wrong


def main() -> int:
    """Compare as many texts as the command line says."""
    pairs, begin = int(sys.argv[1]), time.process_time()
    parts = [compare(region, count=pairs // len(_REGIONS), seed=pairs) for region in _REGIONS]
    texts, decided = sum(part.texts for part in parts), sum(part.decided for part in parts)
    differ = [each for part in parts for each in part.differ]
    print(  # noqa: T201 - the figures are for the person at the terminal
        f"{texts:,} texts, {len(_REGIONS)} default regions: {decided:,} decided without phonenumbers "
        f"({min(part.decided / part.texts for part in parts):.0%} to "
        f"{max(part.decided / part.texts for part in parts):.0%}), "
        f"{sum(part.accepted for part in parts):,} accepted, {len(differ)} differ; "
        f"{time.process_time() - begin:.0f} s of processor time"
    )
    for each in differ[:20]:
        print(each)  # noqa: T201 - invented numbers
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
