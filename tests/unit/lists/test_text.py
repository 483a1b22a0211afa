"""CSV files as people have them: every cell comes out as it was written, or the file is refused with the line."""

import csv
import io
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broadcaster.errors import ListUnusable
from broadcaster.lists import encoding, text
from broadcaster.lists.read import ListSource, open_list


def opened(tmp_path: Path, content: bytes | str, *, name: str = "list.csv", **options: Any) -> ListSource:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return open_list([name], base=tmp_path, **options)


def rows(source: ListSource) -> list[tuple[str, ...]]:
    return [row for batch in source.batches() for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]


READ = [
    (
        "numbers stay as they are written",
        "phone,n\n+14155550100,007\n1e5,1.0\n",
        [("+14155550100", "007"), ("1e5", "1.0")],
    ),
    ("words for nothing stay words", "phone,n\nNA,null\n,NaN\n", [("NA", "null"), ("", "NaN")]),
    ("no last line break", "phone,n\n1,2", [("1", "2")]),
    ("line breaks of Windows", "phone,n\r\n1,2\r\n3,4\r\n", [("1", "2"), ("3", "4")]),
    ("line breaks of old Macs", "phone,n\r1,2\r3,4\r", [("1", "2"), ("3", "4")]),
    ("empty lines before, between and after", "\n\nphone,n\n\n1,2\n\n3,4\n\n", [("1", "2"), ("3", "4")]),
    ("a line break in quotes", 'phone,n\n1,"a\nb"\n2,c\n', [("1", "a\nb"), ("2", "c")]),
    ("doubled quotes", 'phone,n\n1,"say ""hi"""\n2,""\n', [("1", 'say "hi"'), ("2", "")]),
    ("a quote inside an unquoted cell", 'phone,n\n1,5\'2" tall\n2,"x"\n', [("1", "5'2\" tall"), ("2", "x")]),
    ("semicolons", "phone;n\n1;2,5\n", [("1", "2,5")]),
    ("tabs", "phone\tn\n1\t2\n", [("1", "2")]),
    ("bars", "phone|n\n1|2\n", [("1", "2")]),
    ("a delimiter inside a quoted name", '"phone, mobile";n\n1;2\n', [("1", "2")]),
    ("one column", "phone\n1\n2\n", [("1",), ("2",)]),
    ("one column with an empty cell in quotes", 'phone\n1\n""\n', [("1",), ("",)]),
    ("a byte order mark", b"\xef\xbb\xbfphone,n\n1,\xc3\xa9\n", [("1", "é")]),
    ("UTF-16, little endian", "\ufeffphone,n\n1,é\n".encode("utf-16-le"), [("1", "é")]),
    ("UTF-16, big endian", "\ufeffphone,n\n1,é\U0001f600\n".encode("utf-16-be"), [("1", "é\U0001f600")]),
]

REFUSED = [
    ("nothing", "", "is empty"),
    ("only empty lines", "\n\n", "is empty"),
    ("only a mark", b"\xef\xbb\xbf", "is empty"),
    ("only a header", "phone,n\n\n", "has a header and no rows"),
    ("a cell too many", "phone,n\n1,2\n3,4,5\n", "line 3 has 3 cells, the header has 2"),
    ("a cell too few", "phone,n\n1,2\n3\n", "line 3 has 1 cell, the header has 2"),
    ("a cell too many after lines in quotes", 'phone,n\n1,"a\nb\nc"\n\n3,4,5\n', "line 6 has 3 cells"),
    ("a cell too many in the first row", "phone,n\nAda,1,2\n", "line 2 has 3 cells"),
    ("a quote that is not closed", 'phone,n\n1,a\n2,"b\n3,c\n', "line 3 is not closed before the file ends"),
    ("a quote closed by a later cell's", 'phone,n\n1,"a\n2,b\n3,"c"\n4,d\n', "line 2 is closed before the cell ends"),
    ("text after a quote", 'phone,n\n1,"a" \n', "line 2 is closed before the cell ends"),
    ("a NUL", "phone,n\n1,2\n3,\x00\n", "line 3 contains a NUL"),
    ("UTF-16 without its mark", "phone,n\n1,2\n".encode("utf-16-le"), "line 1 contains a NUL"),
    ("Latin-1", b"phone,n\n1,caf\xe9\n", "is not UTF-8: the byte 0xe9 at offset 13"),
    ("half a character at the end", b"phone,n\n1,caf\xc3", "is not UTF-8: the byte 0xc3 at offset 13"),
    ("half a UTF-16 character", b"\xff\xfep", "is not UTF-16-LE: the byte 0x70 at offset 2"),
    ("a name twice", "phone,n,phone\n1,2,3\n", "line 1 has the column 'phone' more than once"),
    ("a column without a name", "phone, ,n\n1,2,3\n", "column 2 has no name in line 1"),
    ("a comma at the header's end", "\nphone,n,\n1,2,\n", "column 3 has no name in line 2"),
    ("no header", "+1 415 555-0100,Ada\n+1 415 555-0101,Noah\n", "line 1 has a number where a column's name belongs"),
    ("two delimiters as frequent", "a;b,c\n1;2,3\n", "',' and ';' are as frequent in line 1"),
]


@pytest.mark.parametrize(("content", "expected"), [pytest.param(c, e, id=name) for name, c, e in READ])
def test_every_cell_is_text_as_it_was_written(
    tmp_path: Path, content: bytes | str, expected: list[tuple[str, ...]]
) -> None:
    assert rows(opened(tmp_path, content)) == expected


@pytest.mark.parametrize(("content", "sentence"), [pytest.param(c, s, id=name) for name, c, s in REFUSED])
def test_what_would_shift_or_swallow_rows_is_refused_with_its_place(
    tmp_path: Path, content: bytes | str, sentence: str
) -> None:
    with pytest.raises(ListUnusable) as refused:
        rows(opened(tmp_path, content))

    assert refused.value.sentence.startswith(str(tmp_path / "list.csv"))
    assert sentence in refused.value.sentence
    assert "555" not in refused.value.sentence


def test_a_refusal_repeats_nothing_of_the_row(tmp_path: Path) -> None:
    with pytest.raises(ListUnusable) as refused:
        rows(opened(tmp_path, "phone,n\n+14155550100,Ada,CANARY\n"))

    error: BaseException | None = refused.value
    assert "CANARY" not in str(error)
    assert refused.value.__suppress_context__


def test_invalid_text_in_a_column_that_nobody_wants_is_refused_too(tmp_path: Path) -> None:
    source = opened(tmp_path, b"phone,n\n1,caf\xe9\n" + b"2,x\n" * 5, encoding="cp1252")
    assert [batch.column(0).to_pylist() for batch in source.batches(["n"])] == [["café", *"xxxxx"]]

    with pytest.raises(ListUnusable, match="0xe9 at offset 13"):
        list(opened(tmp_path, b"phone,n\n1,caf\xe9\n").batches(["phone"]))


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "shift_jis", "utf-7"])
def test_the_encoding_that_the_job_names_is_read_with_and_without_a_mark(tmp_path: Path, name: str) -> None:
    for mark in {"", "\ufeff"} if name == "utf-16-le" else {""}:
        content = f"{mark}phone,n\n1,x\n".encode(name)
        assert opened(tmp_path, content, encoding=name).columns == ("phone", "n")


def test_the_byte_is_named_by_its_place_in_the_file_however_far_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_BLOCK", 7)
    content = b"phone,n\n" + "1,é\n".encode() * 9 + b"2,\xff\n"

    with pytest.raises(ListUnusable, match=f"0xff at offset {len(content) - 2}, in line 11;"):
        rows(opened(tmp_path, content))


def test_the_delimiter_is_the_jobs_else_the_suffixs(tmp_path: Path) -> None:
    assert opened(tmp_path, "a;b,c\n1;2,3\n", delimiter=";").columns == ("a", "b,c")
    assert opened(tmp_path, "a,b,c\td\n1,2,3\t4\n", name="list.tsv").columns == ("a,b,c", "d")
    assert opened(tmp_path, "a,b,c:d\n1,2,3:4\n", name="list.tsv", delimiter=":").columns == ("a,b,c", "d")


def test_a_row_longer_than_a_block_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BLOCK", 64)

    with pytest.raises(ListUnusable, match="a row is longer than"):
        rows(opened(tmp_path, f"phone,n\n1,{'x' * 300}\n2,y\n"))


def test_a_quoted_cell_without_an_end_is_refused_before_the_file_is_in_memory(tmp_path: Path) -> None:
    endless = "x,\n" * 800_000

    with pytest.raises(ListUnusable, match="line 3 is not closed within 1 MB"):
        rows(opened(tmp_path, f'phone,n\n1,a\n2,"{endless}'))
    with pytest.raises(ListUnusable, match="longer than 128 kB; is a quote before it not closed"):
        opened(tmp_path, f'phone,"n\n{endless}')


def test_a_list_can_be_read_twice_and_left_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_BLOCK", 64)
    source = opened(tmp_path, "phone,n\n" + "".join(f"{n},x\n" for n in range(100)))

    next(iter(source.batches()))

    assert [row[0] for row in rows(source)] == [str(n) for n in range(100)]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.text("\",;\r\n 'é", max_size=5)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    written=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    block=st.integers(256, 600),
)
def test_any_text_that_was_written_as_csv_comes_back(
    tmp_path: Path, table: list[tuple[str, ...]], quoting: Literal[0, 1], delimiter: str, written: str, block: int
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting)
    writer.writerows([("phone", "b", "c"), *table])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_BLOCK", 16)
        patch.setattr(text, "_BLOCK", block)

        assert rows(opened(tmp_path, buffer.getvalue().encode(written))) == table
