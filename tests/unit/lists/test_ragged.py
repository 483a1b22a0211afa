"""A row with too many or too few cells is left out at its place, or the file is refused."""

from pathlib import Path

import pytest

from broadcaster.errors import ListUnusable
from broadcaster.lists import ragged, text
from broadcaster.lists.read import open_list


def read(
    tmp_path: Path, *contents: str, columns: list[str] | None = None
) -> tuple[list[tuple[str, ...]], dict[int, str]]:
    """Return the rows and the sentences about those that were left out."""
    names = []
    for number, content in enumerate(contents):
        names.append(f"{number}.csv")
        (tmp_path / names[-1]).write_bytes(content.encode())
    malformed: dict[int, str] = {}
    source = open_list(names, base=tmp_path)
    batches = source.batches(columns, malformed=malformed)
    rows = [row for batch in batches for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)]
    return rows, malformed


def test_rows_that_are_left_out_keep_their_place_and_say_their_line(tmp_path: Path) -> None:
    rows, malformed = read(tmp_path, 'a,b\n1\n2,x\n\n3,"p\nq"\n4,x,y\n5\n6,"r"\n7,x,y,z\n')

    assert rows == [("", ""), ("2", "x"), ("3", "p\nq"), ("", ""), ("", ""), ("6", "r"), ("", "")]
    assert malformed == {
        0: "line 2 has 1 cell, the header has 2",
        3: "line 7 has 3 cells, the header has 2",
        4: "line 8 has 1 cell, the header has 2",
        6: "line 10 has 4 cells, the header has 2",
    }


def test_rows_of_several_files_are_numbered_through_and_named_with_their_file(tmp_path: Path) -> None:
    rows, malformed = read(tmp_path, "a,b\n1,x\n2\n", "b,a\nx\nx,3\n", columns=["a"])

    assert rows == [("1",), ("",), ("",), ("3",)]
    assert malformed == {
        1: f"{tmp_path / '0.csv'}: line 3 has 1 cell, the header has 2",
        2: f"{tmp_path / '1.csv'}: line 2 has 1 cell, the header has 2",
    }


@pytest.mark.parametrize("pattern", ["x", "xo", "oxx", "ooooooooooooooooxxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxo"])
def test_places_hold_over_any_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr(text, "_BLOCK", 64)
    whole = pattern * 40
    lines = [f"{at},good" if kind == "o" else f"{at},bad,{at}" for at, kind in enumerate(whole)]

    rows, malformed = read(tmp_path, "\n".join(["n,what", *lines, ""]))

    assert rows == [(str(at), "good") if kind == "o" else ("", "") for at, kind in enumerate(whole)]
    assert malformed == {
        at: f"line {at + 2} has 3 cells, the header has 2" for at, kind in enumerate(whole) if kind == "x"
    }


def test_one_block_is_one_batch_however_many_rows_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a,b\n" + "1,x\n2\n" * 500, encoding="utf-8")
    sizes = [batch.num_rows for batch in open_list(["list.csv"], base=tmp_path).batches(malformed={})]

    assert sizes == [1000]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param('a,b\n1,x\n2,"x\n3,y",z\n4,x\n', "line 3 has 3 cells, the header has 2; it goes over", id="more"),
        pytest.param(
            'a,b,c\n1,x,y\n2,"x\r3,y"\n4,x,y\n', "line 3 has 2 cells, the header has 3; it goes over", id="less"
        ),
    ],
)
def test_a_row_over_several_lines_may_have_swallowed_others_and_refuses_the_file(
    tmp_path: Path, content: str, sentence: str
) -> None:
    with pytest.raises(ListUnusable) as refused:
        read(tmp_path, content)

    assert sentence in refused.value.sentence
    assert str(tmp_path / "0.csv") in refused.value.sentence


def test_more_than_a_few_thousand_such_rows_are_no_slips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragged, "_MOST", 3)

    assert len(read(tmp_path, "a,b\n1,x\n" + "2\n" * 3)[1]) == 3
    with pytest.raises(ListUnusable, match="line 6 has 1 cell, the header has 2; so have 3 rows before it"):
        read(tmp_path, "a,b\n1,x\n" + "2\n" * 4)


def test_without_a_place_to_note_them_such_rows_refuse_the_file(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("a,b\n1,x\n2\n", encoding="utf-8")

    with pytest.raises(ListUnusable, match="line 3 has 1 cell, the header has 2; a cell with ',', a quote"):
        list(open_list(["list.csv"], base=tmp_path).batches())
