"""Whatever the bytes of a list: rows with a place each, or one sentence; never a wrong neighbour, never a bug."""

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from broadcaster.errors import ListUnusable
from broadcaster.lists import encoding, text
from broadcaster.lists.read import open_list

HOSTILE = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CELL = st.text("ab,;\" 'é", max_size=4) | st.text("x\n\r", min_size=1, max_size=4)


def in_parquet() -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.table({"phone": ["+14155550101", None], "n": [1, 2]}), file, compression="none")
    return file.getvalue()


SEEDS = {
    "list.csv": b'phone,name\n+14155550101,"Ada, B"\n+14155550102,"Z\xc3\xb6""e"\n\n1,"a\nb"\n',
    "list.tsv.gz": gzip.compress(b"phone\tname\n+14155550101\tAda\n", mtime=0),
    "list.csv.zst": pa.compress(b"phone;name\n+14155550101;Ada\n", codec="zstd", asbytes=True),
    "list.parquet": in_parquet(),
}


@HOSTILE
@given(
    rows=st.lists(st.lists(CELL, min_size=1, max_size=4), min_size=1, max_size=12),
    block=st.integers(64, 200),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@example(rows=[["a"], ["b", "c"], ["d", "e", "f"]], block=64, quoting=csv.QUOTE_ALL)
def test_rows_with_another_number_of_cells_never_touch_their_neighbours(
    tmp_path: Path,
    rows: list[list[str]],
    block: int,
    quoting: int,
) -> None:
    rows = [row for row in rows if row != [""]] or [["a", "b"]]  # that is an empty line
    buffer = io.StringIO()
    csv.writer(buffer, quoting=quoting).writerows([["phone", "name"], *rows])  # type: ignore[arg-type]
    (tmp_path / "list.csv").write_bytes(buffer.getvalue().encode())
    over_lines = [row for row in rows if len(row) != 2 and any(set(cell) & set("\r\n") for cell in row)]
    malformed: dict[int, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_BLOCK", 16)
        patch.setattr(text, "_BLOCK", block)
        source = open_list(["list.csv"], base=tmp_path)
        if over_lines:
            with pytest.raises(ListUnusable, match="several lines"):
                list(source.batches(malformed=malformed))
            return
        batches = list(source.batches(malformed=malformed))

    found = [list(row.values()) for batch in batches for row in batch.to_pylist()]
    assert found == [row if len(row) == 2 else ["", ""] for row in rows]
    assert sorted(malformed) == [at for at, row in enumerate(rows) if len(row) != 2]


@HOSTILE
@given(data=st.data(), name=st.sampled_from(sorted(SEEDS)))
def test_damaged_bytes_are_rows_or_a_sentence(tmp_path: Path, data: st.DataObject, name: str) -> None:
    content = bytearray(SEEDS[name])
    for _ in range(data.draw(st.integers(1, 4), label="edits")):
        at = data.draw(st.integers(0, len(content) - 1), label="at")
        match data.draw(st.sampled_from(["flip", "put", "cut", "drop"]), label="edit"):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7), label="bit")
            case "put":
                content[at:at] = data.draw(st.sampled_from([b'"', b"\n", b"\0", b"\xff", b",", b"\r"]), label="what")
            case "cut":
                del content[max(1, at) :]
            case _:
                del content[at : at + 1]
        if not content:
            break
    (tmp_path / name).write_bytes(content)
    malformed: dict[int, str] = {}
    sentence = None
    try:
        source = open_list([name], base=tmp_path)
        batches = list(source.batches(malformed=malformed))
    except ListUnusable as refused:
        sentence = refused.sentence
    if sentence is not None:
        assert str(tmp_path / name) in sentence
        assert "555" not in sentence
        return

    rows = [row for batch in batches for row in batch.to_pylist()]
    assert all(set(row) == set(source.columns) for row in rows)
    assert all(isinstance(cell, str) and "\0" not in cell for row in rows for cell in row.values())
    assert set(malformed) <= set(range(len(rows)))
