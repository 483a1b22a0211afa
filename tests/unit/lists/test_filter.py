"""The language of filters: which rows are meant, what every mistake is answered with, and that nothing else happens."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broadcaster.errors import ExitCode, FilterInvalid
from broadcaster.lists.filter import read_filter

COLUMNS = ("region", "age", "signup", "first name", "state")
Row: TypeAlias = Mapping[str, str]

ROWS = [
    {"region": "TX", "age": "18", "signup": "2026-01-31", "first name": "Ann", "state": "TX"},
    {"region": " TX\u00a0", "age": " +18.50 ", "signup": "2026-02-01 10:00:00", "first name": "Bea", "state": "TX"},
    {"region": "tx", "age": "-3", "signup": "2026-01-31T23:59Z", "first name": "Ann-Marie", "state": "tx"},
    {"region": "", "age": "", "signup": "", "first name": " ", "state": "CA"},
    {"region": "CA", "age": "1,200", "signup": "31/01/2026", "first name": "joann", "state": "NY"},
    {"region": "New York", "age": "007", "signup": "2026-01-3", "first name": "D'Arcy", "state": "NY"},
    {"region": 'the "Bay"', "age": "12E5", "signup": "2026-01-311", "first name": "n/a", "state": ""},
]


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array([row[name] for row in rows], pa.string()) for name in COLUMNS], list(COLUMNS)
    )


def inside(text: str, rows: Sequence[Row]) -> list[bool]:
    found = read_filter([("--only", text)], COLUMNS)
    assert found is not None
    told: list[bool] = found.inside(batch_of(rows)).to_pylist()
    return told


def meant(text: str) -> list[int]:
    return [at for at, there in enumerate(inside(text, ROWS)) if there]


def mistake(text: str) -> str:
    with pytest.raises(FilterInvalid) as refused:
        read_filter([("--only", text)], COLUMNS)
    assert refused.value.exit_code is ExitCode.USAGE
    name, _, sentence = refused.value.sentence.partition(": ")
    assert name == "--only"
    return sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('region == "TX"', [0, 1], id="equal text, blanks around it do not count, capitals do"),
        pytest.param("region == ' TX '", [0, 1], id="nor do they in the filter"),
        pytest.param('"TX" == region', [0, 1], id="turned round"),
        pytest.param('region != "TX"', [2, 3, 4, 5, 6], id="not equal holds for whatever is not equal"),
        pytest.param('region == ""', [3], id="empty"),
        pytest.param('`first name` != ""', [0, 1, 2, 4, 5, 6], id="a blank is empty"),
        pytest.param('region in ["TX", "CA"]', [0, 1, 4], id="one of several"),
        pytest.param('region not in ["TX", "CA",]', [2, 3, 5, 6], id="none of several"),
        pytest.param("region == state", [0, 1, 2], id="two columns"),
        pytest.param('lower(region) == "tx"', [0, 1, 2], id="small letters"),
        pytest.param('lower(lower(region)) in ["tx"]', [0, 1, 2], id="small letters of small letters"),
        pytest.param('contains(`first name`, "nn")', [0, 2, 4], id="a part"),
        pytest.param('contains(lower(`first name`), "ann")', [0, 2, 4], id="a part in small letters"),
        pytest.param('startswith(col("first name"), "Ann")', [0, 2], id="a beginning"),
        pytest.param("endswith(`first name`, 'nn')", [0, 4], id="an end"),
        pytest.param("`first name` == 'D''Arcy'", [5], id="a quote within quotes is doubled"),
        pytest.param('region == "the ""Bay"""', [6], id="the other quote, doubled at the end"),
        pytest.param(r'region == "the \"', [], id="a backslash is a letter like others"),
        pytest.param("age >= 18", [0, 1], id="at least: what is no number does not match"),
        pytest.param("18 > age", [2, 5], id="turned round, less than"),
        pytest.param("age < 18", [2, 5], id="less than: an empty cell is no number"),
        pytest.param("not (age < 18)", [0, 1, 3, 4, 6], id="not turns that round"),
        pytest.param("age <= 7 and age > -3", [5], id="a range"),
        pytest.param("age == 18.5", [1], id="equal numbers, however they are written"),
        pytest.param("age in [7, -3.0]", [2, 5], id="one of several numbers"),
        pytest.param("age != 18", [1, 2, 3, 4, 5, 6], id="another number, or none"),
        pytest.param('age == "007"', [5], id="digits in quotes are text"),
        pytest.param('signup <= "2026-01-31"', [0, 2], id="a day counts to its end; what is no date does not match"),
        pytest.param('signup > "2026-01-31"', [1], id="after a day"),
        pytest.param('signup == "2026-01-31"', [0], id="equality is of the whole text"),
        pytest.param('region == "CA" or region == "TX" and age > 18', [1, 4], id="and binds closer than or"),
        pytest.param('(region == "CA" or region == "TX") and age > 18', [1], id="parentheses"),
        pytest.param('not region == "TX" and not not age > -9', [2, 5], id="not binds closest"),
        pytest.param('region\n==\t"TX"\n', [0, 1], id="lines and tabs between words"),
        pytest.param("age==18", [0], id="no blanks at all"),
    ],
)
def test_the_rows_that_are_meant(text: str, expected: list[int]) -> None:
    assert meant(text) == expected


MISTAKES = [
    ("region == TX", "character 11: there is no column 'TX'; text stands in quotes: \"TX\""),
    (
        "region == State",
        "character 11: there is no column 'State'; text stands in quotes: \"State\"; did you mean 's",
    ),
    ('regoin == "TX"', "character 1: there is no column 'regoin'; did you mean 'region'?"),
    (
        'xyz == "TX"',
        "character 1: there is no column 'xyz'; there are 'region', 'age', 'signup', 'first name', 'st",
    ),
    ('`frist name` == "TX"', "character 1: there is no column 'frist name'; did you mean 'first name'?"),
    ('col("nam") == "TX"', "character 5: there is no column 'nam'; there are"),
    ('region = "TX"', "character 8: '=' means nothing here; equality is written =="),
    ('region <> "TX"', "character 8: '<>' means nothing here; inequality is written !="),
    ('region == "TX', 'character 11: the quote " that begins here is never closed'),
    ("region == TX'", "character 13: the quote ' that begins here is never closed"),
    ('`region == "TX"', "character 1: the backtick ` that begins here is never closed"),
    ('`` == "TX"', "character 1: there is no name between these backticks"),
    (
        "region == \u201cTX\u201d",
        "character 11: '\u201c' means nothing here; text stands in straight quotes, \" or '",
    ),
    ('region == "TX" AND age > 1', "character 16: 'AND' is written in small letters: and"),
    ('region IN ["TX"]', "character 8: 'IN' is written in small letters: in"),
    ('NOT (region == "TX")', "character 1: 'NOT' is written in small letters: not"),
    ('region == "TX" && age > 1', "character 16: '&&' means nothing here; both together are written and"),
    ('region == "TX" age > 1', "character 16: here stands 'age', but conditions are joined with and, or"),
    ('(region == "TX"', "character 16: here it ends, but a parenthesis is still open; close it with )"),
    ('region == "TX")', "character 15: this parenthesis was never opened"),
    ("region", "character 1: 'region' alone is no condition; compare it, as in region == \"TX\""),
    ('"TX"', "character 1: 'TX' alone is no condition; compare it, as in region == \"TX\""),
    ("region ==", 'character 10: here it ends, but a value is missing, such as region == "TX"'),
    ("and", "character 1: here stands 'and', but a condition is missing, such as region == \"TX\""),
    ("not", 'character 4: here it ends, but a condition is missing, such as region == "TX"'),
    ('region not == "TX"', "character 12: here stands '==', but after not only in can follow here"),
    (
        'region like "T"',
        "character 8: 'like' means nothing here; a part of a text is looked for with contains(column",
    ),
    ('region "TX"', "character 8: here stands 'TX', but a comparison is missing, as in region == \"TX\""),
    ("18 < age < 65", "character 10: one comparison at a time: write age >= 18 and age < 65"),
    ('age > "x"', "character 7: > compares with a number or with a date such as \"2026-01-31\"; 'x' is neither"),
    ('age > "2026-02-30"', "character 7: > compares with a number or with a date such as"),
    (
        "age > 2026-01-31",
        "character 7: '2026-01-31' is no number such as 18 or -2.5; text and dates stand in quotes",
    ),
    ("age > region", "character 5: two columns have no order; > compares with a number or a date"),
    ("lower(age) > 1", "character 12: small letters have no order; > compares with a number or a date"),
    ("age == 02134", "character 8: '02134' is no number such as 18 or -2.5; text and dates stand in quotes"),
    ("age == 1e5", "character 8: '1e5' is no number"),
    ("age == 1234567890123456", "character 8: a number has 15 digits at the most; as text it stands in quotes"),
    ("1 == 2", "character 1: two fixed values are compared; one of them has to be a column"),
    ("region in []", "character 12: the list is empty: no row would be in it"),
    (
        'region in "TX"',
        'character 11: here stands \'TX\', but after in stands a list in brackets, such as ["TX", "C',
    ),
    ("region in [TX]", "character 12: there is no column 'TX'; text stands in quotes: \"TX\""),
    ('region in ["TX" "CA"]', "character 17: here stands 'CA', but between two values of a list stands a comma"),
    ('region in ["TX", 1]', 'character 18: a list holds text or numbers, not both; text stands in quotes: "18"'),
    ("region in [state]", "character 12: a list holds text in quotes, or numbers, and no columns"),
    ('"TX" in ["TX"]', "character 1: before in stands a column"),
    ('contain(region, "T")', "character 1: there is no function 'contain'; did you mean contains?"),
    (
        '__import__("os")',
        "character 1: there is no function '__import__'; there are contains, startswith, endswith",
    ),
    ("region.upper() == 1", "character 7: '.' means nothing here; a column whose name has more than letters"),
    ("contains(region)", "character 16: here stands ')', but contains needs a column and a text"),
    ('contains("T", region)', "character 10: contains looks into a column"),
    ("contains(region, 1)", "character 18: contains looks for a text in quotes"),
    ('contains(region, "")', "character 18: the text is empty, and every cell has that"),
    ('contains(region, "T") == 1', "character 23: what stands before it is a condition already"),
    ('lower(region) == "TX"', 'character 18: lower(…) has small letters only; write "tx"'),
    ('contains(lower(region), "TX")', 'character 25: lower(…) has small letters only; write "tx"'),
    ('lower("TX") == "tx"', "character 7: lower takes a column"),
    ('col(region) == "TX"', "character 5: col takes the name of a column in quotes"),
    ("region == \ud800", "character 11: this is no text in any encoding"),
    (" \n", 'it is empty; write a condition such as region == "TX"'),
    (
        "`+14155550123` == 1",
        "character 1: there is no column '+1\u2022\u2022\u2022\u2022\u2022\u2022\u2022\u202223'; there are",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), MISTAKES, ids=[repr(text)[:30] for text, _ in MISTAKES])
def test_a_mistake_is_one_sentence_with_its_place(text: str, sentence: str) -> None:
    told = mistake(text)

    assert told.startswith(sentence)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('region == "' + "x" * 1_000_000 + '"', "it has 1,000,012 characters, and 10,000 are", id="long"),
        pytest.param("(" * 10_000, "character 51: more than 50 parentheses", id="parentheses"),
        pytest.param("not " * 2500, "character 201: more than 50 parentheses", id="negations"),
        pytest.param("lower(" * 1600, "character 307: more than 50 parentheses", id="functions"),
        pytest.param("(" * 9_000 + 'region == "TX"' + ")" * 900, "character 51: more than 50", id="even closed ones"),
        pytest.param("[" * 10_000, "character 1: here stands '['", id="brackets"),
        pytest.param(
            "x" * 10_000, "character 1: there is no column 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…'", id="a word"
        ),
        pytest.param('"' * 9_999, 'character 1: the quote " that begins here is never closed', id="quotes"),
    ],
)
def test_what_is_too_much_is_a_sentence(text: str, sentence: str) -> None:
    told = mistake(text)

    assert told.startswith(sentence)
    assert len(told) < 300


def test_as_many_conditions_as_fit_are_understood() -> None:
    many = " or ".join(['age==1 and region=="TX"'] * 350)

    assert len(many) < 10_000
    assert meant(f"{many} or age == 18") == [0]
    assert meant("(" * 50 + "age == 18" + ")" * 50) == [0]


def test_several_filters_must_hold_together_and_a_mistake_names_the_one_that_has_it() -> None:
    both = read_filter([("recipients.filter", ' region == "TX" or age == 7 '), ("--only", "age > 7")], COLUMNS)

    assert both is not None
    assert both.inside(batch_of(ROWS)).to_pylist() == [True, True, False, False, False, False, False]
    assert (both.text, both.columns) == ('(region == "TX" or age == 7) and (age > 7)', ("region", "age"))
    assert read_filter([], COLUMNS) is None
    with pytest.raises(FilterInvalid, match=r"^--only: character 1: there is no column 'aeg'; did you mean 'age'\?$"):
        read_filter([("recipients.filter", "age > 7"), ("--only", "aeg > 7")], COLUMNS)


def test_the_rows_of_a_long_batch_stay_in_their_order() -> None:
    rows = 200_000  # more than Arrow computes at once
    cells = pa.array([str(at) for at in range(rows)], pa.string())
    found = read_filter([("--only", "age >= 150000 or age in [3]")], ["age"])

    assert found is not None
    mask = found.inside(pa.RecordBatch.from_arrays([cells], ["age"])).to_pylist()
    assert mask == [at == 3 or at >= 150_000 for at in range(rows)]


def test_a_column_may_have_any_name() -> None:
    for name in ("and", "lower", ".a", "$.b", "a`b", 'c"d', "text region", "inside", "Straße"):
        written = name.replace("`", "``")
        found = read_filter([("--only", f'`{written}` == "TX" and lower(`{written}`) == "tx"')], [name])
        assert found is not None
        assert found.inside(pa.RecordBatch.from_arrays([pa.array(["TX", "CA"])], [name])).to_pylist() == [True, False]


# ---- against a plain interpretation ---------------------------------------------------------------------------------

Meaning: TypeAlias = Callable[[Row], bool]
Told: TypeAlias = tuple[str, Meaning]
ALPHABET = "aAbTX É\u03a3\u00a0\u2003\"'`\\.-+018\n"
CELLS = st.one_of(
    st.text(ALPHABET, max_size=6),
    st.sampled_from(["", " ", "TX", " TX ", "tx", "18", "18.0", "+18", " -0 ", "0", "1e2", "1,8", "9" * 31, "1."]),
    st.sampled_from(["2026-01-31", "2026-01-31 9:00", "2026-01-31T", "2026-01-311", "2025-12-31", "2026-02-01"]),
)
TABLES = st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, CELLS)), max_size=12)
NUMBERS = st.sampled_from(["18", "-1", "+0", "0", "-0", "18.0", "1.8", "123456789012345"])
DATES = st.sampled_from(["2026-01-31", "2025-12-31", "0001-01-01"])
ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def small(text: str) -> str:
    return "".join(letter.lower() for letter in text)


def number(cell: str) -> float | None:
    return float(cell) if re.fullmatch(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?", cell) else None


@st.composite
def values(draw: st.DrawFn) -> tuple[str, Callable[[Row], str], bool]:
    """A column as it may be written, its cell, and whether it is in small letters."""
    name = draw(st.sampled_from(COLUMNS))
    ways = [quoted(name, "`"), f"col({quoted(name, draw(st.sampled_from(chr(34) + chr(39))))})"]
    written = draw(st.sampled_from(ways if " " in name else [*ways, name]))
    if draw(st.booleans()):
        return f"lower({written})", lambda row: small(row[name].strip()), True
    return written, lambda row: row[name].strip(), False


@st.composite
def texts(draw: st.DrawFn, *, lowered: bool, least: int = 0) -> tuple[str, str]:
    text = draw(CELLS.filter(lambda cell: len(cell) >= least))
    text = small(text) if lowered else text
    return quoted(text, draw(st.sampled_from("\"'"))), text


@st.composite
def comparisons(draw: st.DrawFn) -> Told:  # noqa: PLR0911 - one return for each kind
    written, cell, lowered = draw(values())
    gap = draw(st.sampled_from(["", " ", "\n\t"]))
    kind = draw(st.sampled_from(["text", "number", "same", "among", "numbers", "order", "date", "part"]))
    equal = draw(st.booleans())
    sign = "==" if equal else "!="
    inner = "in" if equal else "not in"
    if kind == "text":
        literal, text = draw(texts(lowered=lowered))
        return f"{written}{gap}{sign}{gap}{literal}", lambda row: (cell(row) == text.strip()) == equal
    if kind == "number":
        literal = draw(NUMBERS)
        return f"{literal} {sign}{gap}{written}", lambda row: (number(cell(row)) == float(literal)) == equal
    if kind == "same":
        other, its, _ = draw(values())
        return f"{written}{gap}{sign}{gap}{other}", lambda row: (cell(row) == its(row)) == equal
    if kind == "among":
        some = draw(st.lists(texts(lowered=lowered), min_size=1, max_size=3))
        known = {text.strip() for _, text in some}
        listed = ",".join(literal for literal, _ in some)
        return f"{written} {inner}{gap}[{listed}]", lambda row: (cell(row) in known) == equal
    if kind == "numbers":
        few = draw(st.lists(NUMBERS, min_size=1, max_size=3))
        return (
            f"{written} {inner} [{' , '.join(few)}]",
            lambda row: (number(cell(row)) in {float(each) for each in few}) == equal,
        )
    if kind == "part":
        place = draw(st.sampled_from(["contains", "startswith", "endswith"]))
        literal, text = draw(texts(lowered=lowered, least=1))
        tests: Mapping[str, Callable[[str], bool]] = {
            "contains": lambda found: text in found,
            "startswith": lambda found: found.startswith(text),
            "endswith": lambda found: found.endswith(text),
        }
        return f"{place}({written}{gap},{gap}{literal})", lambda row: tests[place](cell(row))
    name = draw(st.sampled_from(["age", "signup"]))
    order = draw(st.sampled_from(list(ORDERS)))
    said, turned = draw(st.sampled_from([(order, False), (TURNED[order], True)]))
    literal = draw(NUMBERS) if kind == "order" else draw(DATES)
    shown = literal if kind == "order" else quoted(literal, '"')

    def lies(row: Row) -> bool:
        found = row[name].strip()
        if kind == "order":
            figure = number(found)
            return figure is not None and ORDERS[order](figure, float(literal))
        day = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?", found, re.DOTALL)
        return day is not None and {"<": day[1] < literal, "<=": day[1] <= literal, ">": day[1] > literal}.get(
            order, day[1] >= literal
        )

    return (f"{shown} {said} {name}" if turned else f"{name} {said}{gap}{shown}"), lies


def joined(word: str, parts: list[Told]) -> Told:
    decide = all if word == "and" else any
    return f" {word} ".join(f"({text})" for text, _ in parts), lambda row: decide(holds(row) for _, holds in parts)


def negated(part: Told) -> Told:
    return f"not ({part[0]})", lambda row: not part[1](row)


FILTERS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)),
        st.builds(negated, inner),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(told=FILTERS, rows=TABLES)
def test_the_mask_is_what_a_plain_interpretation_finds(told: Told, rows: Sequence[Row]) -> None:
    text, holds = told

    assert inside(text, rows) == [holds(row) for row in rows]


WORDS = st.sampled_from([
    *"()[],'-", "region", "age", "`first name`", "col", "lower", "contains", "==", "!=", "<", "=", "and", "or", "not",
    "in", '"TX"', "18", "TX", "\u201c", "\0", "2026-01-31", '"2026-01-31"', "AND", "is",
])  # fmt: skip


@settings(deadline=None, max_examples=300)
@example("\ud800")
@example("`\n`")
@example("region in [" + '"x",' * 1000)
@given(
    st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.lists(WORDS).map("".join), FILTERS.map(lambda t: t[0][:-1]))
)
def test_no_text_whatever_does_anything_but_mean_rows_or_make_a_sentence(text: str) -> None:
    try:
        told = inside(text, ROWS)
    except FilterInvalid as error:
        assert error.sentence.startswith("--only: ")  # noqa: PT017 - either outcome is right
        assert len(error.sentence.splitlines()) == 1  # noqa: PT017
    else:
        assert len(told) == len(ROWS)
