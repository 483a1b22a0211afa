"""Files are there whole or not at all, and a disk that refuses is a sentence."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from broadcaster.errors import ExitCode, StoreDamaged, StoreError
from broadcaster.store import files
from broadcaster.store.files import digest, disk_errors, replacing, write_atomically
from broadcaster.store.parquet import reading, regroup, writing


def test_a_file_is_replaced_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")
    write_atomically(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def break_halfway(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("halfway")


def test_a_failure_halfway_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(b"old")

    with pytest.raises(RuntimeError, match="halfway"):
        break_halfway(path)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_its_name_only_after_its_content_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    seen: list[tuple[str, bool]] = []
    real = files.sync

    def watch(synced: Path) -> None:
        seen.append((synced.name, path.exists()))
        real(synced)

    monkeypatch.setattr(files, "sync", watch)
    write_atomically(path, b"{}")

    assert seen == [(".broadcaster-plan.json", False), (tmp_path.name, True)]


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("no/such/directory/file", id="a directory that is not there"),
        pytest.param("plain/file", id="a directory that is a file"),
        pytest.param("taken", id="a name that is a directory"),
    ],
)
def test_a_place_that_cannot_be_written_is_a_store_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "plain").touch()
    (tmp_path / "taken").mkdir()

    with pytest.raises(StoreError) as refused:
        write_atomically(tmp_path / place, b"x")
    assert str(tmp_path / place) in refused.value.sentence
    assert refused.value.exit_code is ExitCode.STORE


def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    """The limit on file sizes fails a write in the middle, as a full disk does; it holds for a process of its own."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    code = (
        "import pathlib, resource, signal, sys\n"
        "from broadcaster.errors import StoreError\n"
        "from broadcaster.store.files import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    write_atomically(pathlib.Path(sys.argv[1]), b'x' * 100_000)\n"
        "except StoreError as error:\n"
        "    print(error.sentence)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)

    assert done.stdout == (
        f"{path}: File too large; nothing more is sent until that is mended: make room or allow writing, then run the "
        "same command again\n"
    )
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(KeyError), disk_errors(Path("x")):
        raise KeyError("x")


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "x"
    content = os.urandom(3 * (1 << 20) + 1)
    path.write_bytes(content)

    assert digest(path) == hashlib.sha256(content).hexdigest()
    with pytest.raises(StoreError, match="No such file"):
        digest(tmp_path / "y")


TABLE = pa.table({"n": pa.array(range(1000), pa.int64()), "word": pa.array([f"word {n}" for n in range(1000)])})


def written(path: Path) -> Path:
    with writing(path, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    with reading(written(tmp_path / "t.parquet")) as file:
        assert file.read().equals(TABLE)


@pytest.mark.parametrize("column", [0, 1])
def test_a_flipped_byte_in_a_page_is_an_error_and_not_another_value(tmp_path: Path, column: int) -> None:
    path = written(tmp_path / "t.parquet")
    with reading(path) as file:
        chunk = file.metadata.row_group(0).column(column)
        last_byte = (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1
    content = bytearray(path.read_bytes())
    content[last_byte] ^= 1
    path.write_bytes(content)

    with pytest.raises(StoreDamaged, match="CRC"), reading(path) as file:
        file.read()


@pytest.mark.parametrize(
    "content", [pytest.param(None, id="missing"), pytest.param(b"", id="empty"), pytest.param(b"x" * 99, id="other")]
)
def test_a_file_that_is_no_parquet_is_damaged(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "t.parquet"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(StoreDamaged, match=r"t\.parquet cannot be read"), reading(path):
        pass


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([0, 0], [], id="no rows"),
        pytest.param([3], [3], id="less than one"),
        pytest.param([4], [4], id="exactly one"),
        pytest.param([1, 1, 1, 1, 1], [4, 1], id="many small ones"),
        pytest.param([9, 0, 3], [4, 4, 4], id="one that is cut twice, and an empty one"),
    ],
)
def test_tables_are_cut_anew_in_order(sizes: list[int], expected: list[int]) -> None:
    starts = [sum(sizes[:at]) for at in range(len(sizes))]
    pieces = list(regroup((TABLE.slice(start, size) for start, size in zip(starts, sizes, strict=True)), 4))

    assert [piece.num_rows for piece in pieces] == expected
    assert [n for piece in pieces for n in piece["n"].to_pylist()] == list(range(sum(sizes)))
