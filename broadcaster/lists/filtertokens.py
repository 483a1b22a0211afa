"""From the text of a filter to its words, and the sentence about what is none.

It must not know columns or grammar: where a word may stand is the parser's business.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType

from broadcaster.errors import FilterInvalid
from broadcaster.phones import mask_in

LONGEST = 10_000  # characters: some hundred values; more of them are a list, and no filter
_SHOWN = 40  # characters of a word that a sentence repeats

_WORD = re.compile(
    r"(?P<blank>\s+)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<number>[+-]?[0-9][\w.:+-]*)"
    r"|(?P<quote>[\"'`])"
    r"|(?P<mark>[=!<>&|]+|[()\[\],])"
)
_MARKS = frozenset({"==", "!=", "<", "<=", ">", ">=", "(", ")", "[", "]", ","})
_INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "=": "equality is written ==",
        "===": "equality is written ==",
        "<>": "inequality is written !=",
        "!": "a negation is written not",
        "=>": "at least is written >=",
        "=<": "at most is written <=",
        "&": "both together are written and",
        "&&": "both together are written and",
        "|": "one or the other is written or",
        "||": "one or the other is written or",
        **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb", "text stands in straight quotes, \" or '"),
    }
)


class Kind(Enum):
    """What a word is."""

    NAME = auto()  # a column, a function, or a word of the language
    COLUMN = auto()  # a name in backticks
    TEXT = auto()
    NUMBER = auto()
    MARK = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A word: what it says, without quotes, and at which character it begins, from 1."""

    kind: Kind
    said: str
    at: int


def invalid(at: int, sentence: str) -> FilterInvalid:
    """Return the error about what stands at character *at*."""
    return FilterInvalid(f"character {at:,}: {sentence}")


def shown(text: str, *, longest: int = _SHOWN) -> str:
    """Return a piece of a filter as a sentence may repeat it: in one line, cut, numbers of people masked."""
    line = mask_in(" ".join(text.split()))
    return line if len(line) <= longest else f"{line[:longest]}…"


def words_of(text: str) -> tuple[Token, ...]:
    """Return the words of a filter; the last one is its end.

    Raises:
        FilterInvalid: it is too long, empty, or has something in it that is no word.
    """
    if len(text) > LONGEST:
        raise FilterInvalid(
            f"it has {len(text):,} characters, and {LONGEST:,} are the most; put the people into a list of their own"
        )
    if not text.strip():
        raise FilterInvalid('it is empty; write a condition such as region == "TX"')
    if (broken := re.search("[\ud800-\udfff]", text)) is not None:
        raise invalid(broken.start() + 1, "this is no text in any encoding")
    return (*_words(text), Token(Kind.END, "", len(text) + 1))


def _words(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise invalid(at + 1, _nothing(text[at]))
        word = found[0]
        match found.lastgroup:
            case "quote":
                word = yield from _quoted(text, at)
            case "name":
                yield Token(Kind.NAME, word, at + 1)
            case "number":
                yield Token(Kind.NUMBER, word, at + 1)
            case "mark":
                if word not in _MARKS:
                    raise invalid(at + 1, _nothing(word))
                yield Token(Kind.MARK, word, at + 1)
            case _:
                pass
        at += len(word)


def _quoted(text: str, begin: int) -> Generator[Token, None, str]:
    """Yield what stands in quotes from *begin* on, and return all of it as written; a doubled quote is the quote."""
    mark = text[begin]
    end = begin + 1
    while True:
        end = text.find(mark, end)
        if end < 0:
            what = "backtick" if mark == "`" else "quote"
            raise invalid(begin + 1, f"the {what} {mark} that begins here is never closed")
        if text[end : end + 2] != mark * 2:
            break
        end += 2
    said = text[begin + 1 : end].replace(mark * 2, mark)
    if mark == "`" and not said:
        raise invalid(begin + 1, "there is no name between these backticks")
    yield Token(Kind.COLUMN if mark == "`" else Kind.TEXT, said, begin + 1)
    return text[begin : end + 1]


def _nothing(word: str) -> str:
    if word in _INSTEAD:
        return f"{word!r} means nothing here; {_INSTEAD[word]}"
    return (
        f"{shown(word)!r} means nothing here; a column whose name has more than letters, digits and _ in it stands in "
        "backticks, and text in quotes"
    )
