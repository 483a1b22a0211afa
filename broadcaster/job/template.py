"""Values with ``{column}`` in them, and nothing cleverer.

A placeholder is the exact name of a column. Format specifications, attributes and indexes, which Python's own format
strings have, are refused: a typing mistake must not become part of somebody's message.
"""

import re

_TOKEN = re.compile(r"(?P<braces>\{\{|\}\})|\{(?P<column>[^{}]*)\}|(?P<stray>[{}])")


def parse_template(text: str) -> tuple[tuple[str, str | None], ...]:
    """Return *text* as pairs of literal text and the column that follows it.

    The last pair has no column when the text ends in a literal; no text is no pairs. Doubled braces are literal ones.

    Raises:
        ValueError: with a sentence, when a brace stands alone or a placeholder is not just a column's name.
    """
    parts: list[tuple[str, str | None]] = []
    literal, after = "", 0
    for token in _TOKEN.finditer(text):
        literal += text[after : token.start()]
        after = token.end()
        if token["braces"]:
            literal += token["braces"][0]
        elif token["stray"]:
            brace = token["stray"]
            place = token.start() + 1
            raise ValueError(f"the {brace!r} at character {place} stands alone; write {brace * 2} for itself")
        else:
            parts.append((literal, _column(token["column"])))
            literal = ""
    literal += text[after:]
    return (*parts, (literal, None)) if literal else tuple(parts)


def placeholders(template: str) -> tuple[str, ...]:
    """Return the columns that *template* names, each once, in order of first appearance.

    Raises:
        ValueError: as :func:`parse_template` does.
    """
    return tuple(dict.fromkeys(column for _, column in parse_template(template) if column is not None))


def _column(name: str) -> str:
    """Return the name of a column as it stands between braces, if it is one."""
    if not name.strip():
        raise ValueError("'{}' names no column")
    if found := re.search(r"[:!]", name):
        raise ValueError(f"'{{{name}}}': formats ({found[0]!r}) are not supported; name the column only")
    if found := re.search(r"[.\[\]]", name):
        raise ValueError(f"'{{{name}}}': attributes and indexes ({found[0]!r}) are not supported; name the column only")
    return name
