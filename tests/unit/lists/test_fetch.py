"""Standard input and addresses are copied once, privately, and then read like any file."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from broadcaster.errors import ListUnusable
from broadcaster.lists.fetch import fetch, is_local, shown
from broadcaster.lists.read import open_list

CONTENT = b"phone,name\n+14155550101,Ada\n+14155550102,Bob\n"


class Typed(io.StringIO):
    """Standard input that somebody pipes *content* into, or sits in front of."""

    def __init__(self, content: bytes, *, terminal: bool = False) -> None:
        super().__init__()
        self.buffer = io.BytesIO(content)  # type: ignore[misc]  # ours to give
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def in_parquet() -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table({"phone": ["+14155550101", "+14155550102"], "name": ["Ada", "Bob"]}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(CONTENT, ".csv", id="CSV"),
        pytest.param(CONTENT.replace(b",", b"\t"), ".csv", id="tabs, which are detected"),
        pytest.param(CONTENT.decode().encode("utf-16"), ".csv", id="UTF-16"),
        pytest.param(gzip.compress(CONTENT), ".csv.gz", id="gzip"),
        pytest.param(pa.compress(CONTENT, codec="zstd", asbytes=True), ".csv.zst", id="zstd"),
        pytest.param(in_parquet(), ".parquet", id="Parquet"),
    ],
)
def test_standard_input_is_what_it_begins_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(content))
    source = open_list(["-"], base=Path("/nowhere"), copies=tmp_path)
    place = source.files[0].place

    assert [row["name"] for batch in source.batches() for row in batch.to_pylist()] == ["Ada", "Bob"]
    assert (str(place), place.path, place.fetched) == ("standard input", tmp_path / f"list-0{kind}", True)
    assert place.path.read_bytes() == content
    assert place.path.stat().st_mode & 0o777 == 0o600
    assert [each.path for each in source.fingerprints()] == ["standard input"]


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        pytest.param(Typed(b""), "standard input is empty", id="empty"),
        pytest.param(
            Typed(CONTENT, terminal=True), "standard input is a terminal; pipe a list into it", id="a terminal"
        ),
        pytest.param(None, "standard input is closed", id="closed"),
        pytest.param(Typed(b"phone\n"), "standard input has a header and no rows", id="a header only"),
    ],
)
def test_standard_input_that_is_no_list_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: Typed | None, sentence: str
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)

    with pytest.raises(ListUnusable, match=sentence):
        open_list(["-"], base=tmp_path, copies=tmp_path)


@pytest.mark.parametrize("name", ["-", "s3://bucket/list.csv"])
def test_without_a_place_for_copies_only_files_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(ListUnusable, match="cannot be read here; save it as a file first"):
        open_list([name], base=tmp_path)


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("-", False),
        ("./-", True),
        ("s3://bucket/list.csv", False),
        ("simplecache::https://host/list.csv", False),
        ("lists/a:b.csv", True),
        ("C:\\list.csv", True),
    ],
)
def test_a_path_is_told_from_an_address(name: str, local: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_local(name) is local


@pytest.mark.parametrize(
    ("address", "called"),
    [
        ("-", "standard input"),
        ("s3://bucket/a/list.csv", "s3://bucket/a/list.csv"),
        ("https://user:CANARY@host/list.csv?X-Signature=CANARY#CANARY", "https://host/list.csv"),
        ("memory://[ab].csv", "memory://[ab].csv"),
    ],
)
def test_what_messages_call_an_address_has_no_secrets(address: str, called: str) -> None:
    assert shown(address) == called


def test_without_fsspec_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)

    with pytest.raises(ListUnusable) as refused:
        list(fetch("s3://key:CANARY@bucket/list.csv", into=tmp_path, first=0))

    assert "pip install 'broadcaster[remote]'" in refused.value.sentence
    assert "s3://bucket/list.csv" in refused.value.sentence
    assert "CANARY" not in refused.value.sentence


class Broken(io.BytesIO):
    """A connection that breaks while it is read."""

    def read(self, size: int | None = -1) -> bytes:
        raise TimeoutError(f"no answer for {size} bytes of https://host/?X-Signature=CANARY")


def missing() -> Any:
    raise FileNotFoundError("CANARY")


def forbidden() -> Any:
    raise PermissionError(13, "Permission denied", "CANARY")


def strange() -> Any:
    raise ValueError("CANARY")


@pytest.mark.parametrize(
    ("open_it", "sentence"),
    [
        pytest.param(missing, ": there is no such file", id="not there"),
        pytest.param(forbidden, " cannot be read: Permission denied", id="forbidden"),
        pytest.param(strange, " cannot be read (ValueError); are address and credentials right?", id="anything else"),
        pytest.param(Broken, " cannot be read (TimeoutError); are address and credentials right?", id="broken off"),
    ],
)
def test_what_a_file_system_says_is_told_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_it: Callable[[], Any], sentence: str
) -> None:
    file = SimpleNamespace(path="bucket/list.csv", full_name="s3://bucket/list.csv", open=open_it)
    monkeypatch.setitem(sys.modules, "fsspec", SimpleNamespace(open_files=lambda *_args, **_options: [file]))

    with pytest.raises(ListUnusable) as refused:
        list(fetch("s3://bucket/list.csv?CANARY", into=tmp_path, first=0))

    assert refused.value.sentence == f"s3://bucket/list.csv{sentence}"


def test_files_at_addresses_are_one_list_with_those_beside_them(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/lists/b.csv.gz", gzip.compress(CONTENT))
    memory.pipe("/lists/a.csv", b"phone,name\n+14155550103,Cleo\n")
    (tmp_path / "local.csv").write_bytes(b"name,phone\nDan,+14155550104\n")
    copies = tmp_path / "copies"
    copies.mkdir()
    source = open_list(["memory://lists/*", "local.csv", f"file://{tmp_path}/local.csv"], base=tmp_path, copies=copies)

    assert [row["name"] for batch in source.batches() for row in batch.to_pylist()] == [
        "Cleo", "Ada", "Bob", "Dan", "Dan",
    ]  # fmt: skip
    assert [file.place.name for file in source.files][:2] == ["memory:///lists/a.csv", "memory:///lists/b.csv.gz"]
    assert [file.place.fetched for file in source.files] == [True, True, False, True]
    with pytest.raises(ListUnusable, match=r"memory://lists/none\.csv: there is no such file"):
        open_list(["memory://lists/none.csv"], base=tmp_path, copies=copies)
    with pytest.raises(ListUnusable, match=r"memory://lists/\*.tsv: no file matches"):
        open_list(["memory://lists/*.tsv"], base=tmp_path, copies=copies)
    with pytest.raises(ListUnusable, match=r"nowhere://list\.csv cannot be read"):
        open_list(["nowhere://list.csv"], base=tmp_path, copies=copies)
