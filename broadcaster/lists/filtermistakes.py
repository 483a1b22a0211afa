"""What people write in place of a filter, each with the sentence that helps: pure functions from words to errors.

The parser has found that it cannot go on; here it is only said why, and what to write instead.
"""

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from broadcaster.errors import FilterInvalid
from broadcaster.lists.columns import nearest
from broadcaster.lists.filtertokens import Kind, Token, invalid, shown
from broadcaster.lists.filtertree import Order, Place

FUNCTIONS = (*Place, "lower", "col")
COMPARING = ("==", "!=", *Order)
RESERVED = frozenset({"and", "or", "not", "in"})
_FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "is": "equality is written ==",
        "equals": "equality is written ==",
        "like": 'a part of a text is looked for with contains(column, "text")',
        "ilike": 'a part of a text is looked for with contains(lower(column), "text")',
        "matches": 'a part of a text is looked for with contains(column, "text")',
        "contains": 'a part of a text is looked for with contains(column, "text")',
        "startswith": 'the beginning of a text is looked for with startswith(column, "text")',
        "endswith": 'the end of a text is looked for with endswith(column, "text")',
        "between": "a range is written column >= 1 and column <= 9",
    }
)
_LISTED = 8  # columns that a sentence names


def here(token: Token) -> str:
    """Say what stands at *token*, where something else should."""
    return "here it ends" if token.kind is Kind.END else f"here stands {shown(token.said)!r}"


def no_column(token: Token, columns: Sequence[str], *, text_fits: bool) -> FilterInvalid:
    """Return the error about a name that no column has; *text_fits* where text could be meant."""
    name = shown(token.said)
    near = nearest(token.said, columns)
    if text_fits:
        return invalid(token.at, f'there is no column {name!r}; text stands in quotes: "{name}"{near}')
    if not near:
        more = ", …" if len(columns) > _LISTED else ""
        near = f"; there are {', '.join(map(repr, columns[:_LISTED]))}{more}"
    return invalid(token.at, f"there is no column {name!r}{near}")


def no_function(name: Token) -> FilterInvalid:
    """Return the error about a name before a parenthesis."""
    if name.said.lower() in RESERVED:
        return _capitals(name)
    near = difflib.get_close_matches(name.said.lower(), FUNCTIONS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FUNCTIONS)}"
    return invalid(name.at, f"there is no function {shown(name.said)!r}; {hint}")


def no_comparison(begin: Token, token: Token) -> FilterInvalid:
    """Return the error about a value, which began at *begin*, that *token* follows in place of a comparison."""
    said = token.said.lower() if token.kind is Kind.NAME else ""
    if said in _FOREIGN:
        return invalid(token.at, f"{shown(token.said)!r} means nothing here; {_FOREIGN[said]}")
    if said == "in":
        return _capitals(token)
    if token.kind is Kind.END or token.said in {")", "and", "or"}:
        return invalid(begin.at, f'{shown(begin.said)!r} alone is no condition; compare it, as in region == "TX"')
    return invalid(token.at, f'{here(token)}, but a comparison is missing, as in region == "TX"')


def too_much(token: Token) -> FilterInvalid:
    """Return the error about what follows a condition that is whole."""
    if token.kind is Kind.NAME and token.said.lower() in RESERVED - {token.said}:
        return _capitals(token)
    if token.kind is Kind.MARK and token.said == ")":
        return invalid(token.at, "this parenthesis was never opened")
    if token.kind is Kind.MARK and token.said in COMPARING:
        return invalid(token.at, "what stands before it is a condition already, and is compared with nothing")
    return invalid(token.at, f"{here(token)}, but conditions are joined with and, or")


def _capitals(token: Token) -> FilterInvalid:
    return invalid(token.at, f"{token.said!r} is written in small letters: {token.said.lower()}")
