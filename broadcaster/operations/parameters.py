"""Template parameters in the one form that is part of the body, format ``f1``: never edited."""

from collections.abc import Mapping

import orjson


def canonical(parameters: Mapping[str, str]) -> bytes:
    """Return *parameters* as a JSON object: keys sorted by code point, no spaces, UTF-8."""
    return orjson.dumps(dict(parameters), option=orjson.OPT_SORT_KEYS)


def escape(text: str) -> str:
    """Return *text* as it stands between the quotes in such an object: whole columns are put together from it."""
    return orjson.dumps(text).decode()[1:-1]
