"""From placeholders to numbered parameter sets, a record batch at a time."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from broadcaster.operations.parameters import canonical
from broadcaster.planning.render import COMPLETE, MISSING, UNSENDABLE, Renderer


def batch(**columns: list[str]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def numbered(renderer: Renderer, *pieces: pa.RecordBatch) -> NDArray[np.int32]:
    """Return the set number of each row."""
    return renderer.final(np.concatenate([renderer.number(renderer.render(piece)) for piece in pieces]))


def sets_of(renderer: Renderer) -> list[bytes]:
    return [each.encode() for each in renderer.sets.to_pylist()]


def rendered(renderer: Renderer, cells: pa.RecordBatch) -> list[bytes | str]:
    """Return each row's parameter object, or what is wrong with it."""
    found = renderer.render(cells)
    numbers, states, sets = numbered(renderer, cells), found.state, renderer.sets.to_pylist()
    words = {MISSING: "missing", UNSENDABLE: "unsendable"}
    return [
        sets[number].encode() if state == COMPLETE else words[state]
        for number, state in zip(numbers.tolist(), states.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("template", "cell", "value"),
    [
        pytest.param("{name}", "Ada", '{"x":"Ada"}', id="a placeholder alone"),
        pytest.param("Dear {name}!", "Ada", '{"x":"Dear Ada!"}', id="literals around a placeholder"),
        pytest.param("{name}-{name}", "Ada", '{"x":"Ada-Ada"}', id="the same column twice"),
        pytest.param("{{name}} {name}", "Ada", '{"x":"{name} Ada"}', id="doubled braces are literal"),
        pytest.param("{name}", "{plan}", '{"x":"{plan}"}', id="braces in a cell are no placeholder"),
        pytest.param("{name}", " Ada ", '{"x":" Ada "}', id="a cell is used as it is written"),
        pytest.param("{name}", "J\u00fcrgen \u2603 \U0001f600", '{"x":"J\u00fcrgen \u2603 \U0001f600"}', id="unicode"),
        pytest.param("{name}", 'a"b\\c', '{"x":"a\\"b\\\\c"}', id="what JSON escapes"),
        pytest.param("{name}", "007", '{"x":"007"}', id="digits stay text"),
        pytest.param("{name}", "a    b", '{"x":"a    b"}', id="four spaces are allowed"),
        pytest.param("SPRING", "Ada", '{"x":"SPRING"}', id="a constant"),
        pytest.param("", "Ada", '{"x":""}', id="an empty constant"),
    ],
)
def test_a_value_is_its_template_with_the_cells_put_in(template: str, cell: str, value: str) -> None:
    assert rendered(Renderer({"x": template}), batch(name=[cell])) == [value.encode()]


@pytest.mark.parametrize(
    ("cell", "verdict"),
    [
        pytest.param("", "missing", id="an empty cell"),
        pytest.param("   ", "missing", id="spaces only"),
        pytest.param("\t", "missing", id="a tab only"),
        pytest.param("\u00a0\u3000", "missing", id="spaces that are not ASCII"),
        pytest.param("a\tb", "unsendable", id="a tab"),
        pytest.param("a\nb", "unsendable", id="a line feed"),
        pytest.param("a\rb", "unsendable", id="a carriage return"),
        pytest.param("a     b", "unsendable", id="five spaces"),
    ],
)
def test_a_row_whose_cell_cannot_be_sent_says_why(cell: str, verdict: str) -> None:
    renderer = Renderer({"x": "{name}", "y": "{plan}"})

    assert rendered(renderer, batch(name=[cell, "Ada"], plan=["pro", "pro"])) == [verdict, b'{"x":"Ada","y":"pro"}']


def test_a_column_that_no_parameter_needs_may_be_empty() -> None:
    assert rendered(Renderer({"x": "{name}"}), batch(name=["Ada"], plan=["\t"])) == [b'{"x":"Ada"}']


def test_five_spaces_that_arise_where_cells_meet_are_refused_too() -> None:
    renderer = Renderer({"x": "{first} {last}"})

    assert rendered(renderer, batch(first=["Ada    ", "Ada   "], last=["L", "L"])) == [
        "unsendable",
        b'{"x":"Ada    L"}',
    ]


def test_an_empty_cell_is_named_before_an_unsendable_one_whichever_comes_first() -> None:
    cells = batch(a=["", "x\ty"], b=["x\ty", ""])

    assert rendered(Renderer({"x": "{a}", "y": "{b}"}), cells) == ["missing", "missing"]


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("two\nlines", id="a line feed"),
        pytest.param("a\rb", id="a carriage return"),
        pytest.param("a\tb", id="a tab"),
        pytest.param("a     b", id="five spaces"),
        pytest.param("{name}\nand more", id="beside a placeholder"),
    ],
)
def test_a_literal_that_the_api_refuses_is_a_mistake_in_the_job(template: str) -> None:
    with pytest.raises(ValueError, match="'greeting' contains a line break, a tab or five spaces"):
        Renderer({"greeting": template})


def test_sets_are_numbered_as_they_are_first_seen_whatever_the_record_batches() -> None:
    names = ["Bea", "Ada", "Bea", "Cid", "Ada", "Bea"]
    whole, cut = Renderer({"n": "{name}"}), Renderer({"n": "{name}"})

    at_once = numbered(whole, batch(name=names)).tolist()
    in_pieces = numbered(cut, *(batch(name=piece) for piece in (names[:1], names[1:4], names[4:]))).tolist()

    assert at_once == in_pieces == [0, 1, 0, 2, 1, 0]
    assert sets_of(whole) == sets_of(cut) == [b'{"n":"Bea"}', b'{"n":"Ada"}', b'{"n":"Cid"}']


def test_two_columns_make_a_set_for_each_pair_that_occurs() -> None:
    renderer = Renderer({"n": "{name}", "p": "{plan}", "c": "SPRING"})
    numbers = numbered(renderer, batch(name=["A", "A", "B", "A"], plan=["x", "y", "x", "x"]))

    assert numbers.tolist() == [0, 1, 2, 0]
    assert sets_of(renderer) == [
        b'{"c":"SPRING","n":"A","p":"x"}',
        b'{"c":"SPRING","n":"A","p":"y"}',
        b'{"c":"SPRING","n":"B","p":"x"}',
    ]


def test_cells_that_render_alike_share_a_set() -> None:
    renderer = Renderer({"x": "{a}{b}"})

    assert numbered(renderer, batch(a=["ab", "a"], b=["c", "bc"])).tolist() == [0, 0]
    assert sets_of(renderer) == [b'{"x":"abc"}']


def test_constants_only_make_one_set_over_all_record_batches() -> None:
    renderer = Renderer({"code": "SPRING"})

    assert numbered(renderer, batch(name=["", "b"]), batch(name=["c"])).tolist() == [0, 0, 0]
    assert sets_of(renderer) == [b'{"code":"SPRING"}']
    assert renderer.columns == ()


def test_no_parameters_make_one_empty_object() -> None:
    renderer = Renderer({})

    assert rendered(renderer, batch(name=["", "b"])) == [b"{}", b"{}"]


def test_columns_are_named_once() -> None:
    assert Renderer({"b": "{name} {plan}", "a": "{plan}"}).columns == ("plan", "name")


def test_canonical_json_is_sorted_by_code_point_without_spaces_or_needless_escapes() -> None:
    given = {"b": "2", "\u00e9": "\u00e9", "a": 'x"\n', "B": "1", "_": "/"}

    assert canonical(given) == '{"B":"1","_":"/","a":"x\\"\\n","b":"2","\u00e9":"\u00e9"}'.encode()
    assert canonical(dict(reversed(given.items()))) == canonical(given)


@given(
    cells=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=6),
    word=st.text(),
)
def test_a_column_of_values_becomes_the_same_json_as_one_value_after_the_other(cells: list[str], word: str) -> None:
    """The bytes are part of the idempotency key: what is rendered as columns must be what format f1 says of one row."""
    constant = word.replace("{", "{{").replace("}", "}}")
    try:
        renderer = Renderer({"b": "{name}", "a": f"{constant}{{name}}", word: constant})
    except ValueError:  # a constant that the API refuses
        return
    found = renderer.render(batch(name=cells))

    for row, cell in zip(found.rows.tolist(), cells, strict=True):
        assert found.bodies[row].as_py().encode() == canonical({"b": cell, "a": f"{word}{cell}", word: word})


def test_sets_are_the_same_when_they_are_settled_in_between() -> None:
    renderer = Renderer({"n": "{name}"})
    first = renderer.number(renderer.render(batch(name=["Ada", "Bea"])))
    assert sets_of(renderer) == [b'{"n":"Ada"}', b'{"n":"Bea"}']
    second = renderer.number(renderer.render(batch(name=["Bea", "Cid", "Ada"])))

    assert renderer.final(np.concatenate([first, second])).tolist() == [0, 1, 1, 2, 0]
    assert sets_of(renderer) == [b'{"n":"Ada"}', b'{"n":"Bea"}', b'{"n":"Cid"}']
