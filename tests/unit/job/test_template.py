"""Placeholders are the names of columns and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.job.template import parse_template, placeholders

PARSED = [
    ("no text", "", ()),
    ("a literal", "SPRING", (("SPRING", None),)),
    ("a column", "{first_name}", (("", "first_name"),)),
    ("text round columns", "Hi {a} and {b}!", (("Hi ", "a"), (" and ", "b"), ("!", None))),
    ("a name with spaces and marks", "{First name (de)-1}", (("", "First name (de)-1"),)),
    ("braces of its own", "{{a}}", (("{a}", None),)),
    ("a column in braces", "{{{a}}}", (("{", "a"), ("}", None))),
    ("literal text on both sides of a brace", "x{{y", (("x{y", None),)),
]
REFUSED = [
    ("an open brace", "Hi {name", "'{' at character 4 stands alone; write {{"),
    ("a closing brace", "Hi name}", "'}' at character 8 stands alone; write }}"),
    ("braces within braces", "{a{b}}", "'{' at character 1 stands alone"),
    ("no name", "{}", "names no column"),
    ("a blank name", "{ }", "names no column"),
    ("a format", "{price:.2f}", "formats (':') are not supported"),
    ("a conversion", "{name!r}", "formats ('!') are not supported"),
    ("an attribute", "{name.upper}", "attributes and indexes ('.') are not supported"),
    ("an index", "{name[0]}", "attributes and indexes ('[') are not supported"),
]


@pytest.mark.parametrize(("text", "parts"), [pytest.param(t, p, id=name) for name, t, p in PARSED])
def test_a_template_is_literals_and_columns(text: str, parts: tuple[tuple[str, str | None], ...]) -> None:
    assert parse_template(text) == parts


@pytest.mark.parametrize(("text", "sentence"), [pytest.param(t, s, id=name) for name, t, s in REFUSED])
def test_anything_cleverer_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is checked below
        parse_template(text)

    assert sentence in str(refused.value)


def test_each_column_is_named_once_in_order_of_appearance() -> None:
    assert placeholders("{b} {a} {b} {{c}}") == ("b", "a")


@given(st.text())
def test_any_text_with_its_braces_doubled_is_a_literal(text: str) -> None:
    parts = parse_template(text.replace("{", "{{").replace("}", "}}"))

    assert "".join(literal for literal, _ in parts) == text
    assert all(column is None for _, column in parts)
