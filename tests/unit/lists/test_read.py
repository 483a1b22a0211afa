"""Paths and globs become one list, or a sentence about the file that does not fit."""

import hashlib
from pathlib import Path

import pytest

from broadcaster.errors import ExitCode, ListUnusable
from broadcaster.lists.places import Place
from broadcaster.lists.read import expand, open_list


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b.csv").write_text("phone,name\n2,Noah\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text("name,phone\nAda,1\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("phone,plan\n3,pro\n", encoding="utf-8")
    (tmp_path / "notes.docx").write_bytes(b"x")
    (tmp_path / "sheet.xls").write_bytes(b"PK")
    (tmp_path / "list.parquet.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "inner.csv").mkdir()
    (tmp_path / "[1].csv").write_text("phone\n4\n", encoding="utf-8")
    return tmp_path


def rows(base: Path, *files: str, columns: list[str] | None = None) -> list[list[str]]:
    batches = open_list(files, base=base).batches(columns)
    return [list(row.values()) for batch in batches for row in batch.to_pylist()]


def test_several_files_are_read_in_order_with_the_columns_of_the_first(folder: Path) -> None:
    assert rows(folder, "b.csv", "a.csv") == [["2", "Noah"], ["1", "Ada"]]
    assert rows(folder, "[ab].csv") == [["Ada", "1"], ["Noah", "2"]]
    assert rows(folder, "b.csv", "a.csv", columns=["name"]) == [["Noah"], ["Ada"]]


def test_a_file_that_is_named_twice_is_read_once(folder: Path) -> None:
    assert expand(["b.csv", "[ab].csv", f"../{folder.name}/a.csv"], base=folder) == (
        Place.local(folder / "b.csv"),
        Place.local(folder / "a.csv"),
    )


def test_a_glob_may_be_absolute_and_finds_files_only(folder: Path) -> None:
    assert expand([str(folder / "[bi]*.csv")], base=Path("/")) == (Place.local(folder / "b.csv"),)


def test_a_file_whose_name_looks_like_a_glob_is_itself_first(folder: Path) -> None:
    assert rows(folder, "[1].csv") == [["4"]]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param(["none.csv"], "none.csv: there is no such file", id="missing"),
        pytest.param(["none*.csv"], "none*.csv: no file matches", id="an empty glob"),
        pytest.param(["inner.csv"], "inner.csv is a directory; name the files in it", id="a directory"),
        pytest.param(["empty.csv"], "empty.csv is empty", id="an empty file"),
        pytest.param(["notes.docx"], "notes.docx: files of this kind cannot be read; use one of .csv", id="a document"),
        pytest.param(["sheet.xls"], "sheet.xls: files of this kind cannot be read", id="an old spreadsheet"),
        pytest.param(["list.parquet.gz"], "list.parquet.gz: files of this kind", id="Parquet, compressed again"),
        pytest.param(["a.csv", "other.csv"], "only one of them has 'name', 'plan'", id="other columns"),
    ],
)
def test_a_list_that_cannot_be_read_is_named_with_what_to_do(folder: Path, files: list[str], sentence: str) -> None:
    with pytest.raises(ListUnusable) as refused:
        open_list(files, base=folder)

    assert str(folder) in refused.value.sentence
    assert sentence in refused.value.sentence
    assert refused.value.exit_code == ExitCode.LIST_UNUSABLE


def test_a_list_that_vanishes_while_it_is_used_is_a_list_that_cannot_be_read(folder: Path) -> None:
    source = open_list(["a.csv"], base=folder)
    (folder / "a.csv").unlink()

    with pytest.raises(ListUnusable, match="there is no such file"):
        list(source.batches())
    with pytest.raises(ListUnusable, match="there is no such file"):
        source.fingerprints()


def test_a_fingerprint_is_path_size_and_digest_of_each_file(folder: Path) -> None:
    first, second = open_list(["a.csv", "b.csv"], base=folder).fingerprints()
    content = (folder / "a.csv").read_bytes()

    assert (first.path, second.path) == (str(folder / "a.csv"), str(folder / "b.csv"))
    assert (first.size, first.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert first.sha256 != second.sha256
