"""Lists that were compressed are read as if they were not, and never half of one."""

import gzip
import hashlib
from pathlib import Path

import pyarrow as pa
import pytest

from broadcaster.errors import ListUnusable
from broadcaster.lists import encoding
from broadcaster.lists.read import open_list

CONTENT = "phone;näme\n" + "".join(f"{number};Zoë\n" for number in range(3000))


def packed(algorithm: str, content: bytes) -> bytes:
    done: bytes = pa.compress(content, codec=algorithm, asbytes=True) if algorithm == "zstd" else gzip.compress(content)
    return done


@pytest.mark.parametrize(
    ("name", "algorithm", "written"),
    [
        pytest.param("list.csv.gz", "gzip", "utf-8", id="gzip"),
        pytest.param("LIST.TXT.GZ", "gzip", "utf-8-sig", id="gzip in capitals, with a mark"),
        pytest.param("list.csv.zst", "zstd", "utf-8", id="zstd"),
        pytest.param("list.2026.csv.zst", "zstd", "utf-16", id="zstd of UTF-16"),
    ],
)
def test_a_compressed_list_is_the_list(tmp_path: Path, name: str, algorithm: str, written: str) -> None:
    content = packed(algorithm, CONTENT.encode(written))
    (tmp_path / name).write_bytes(content)
    source = open_list([name], base=tmp_path)

    assert source.columns == ("phone", "näme")
    for _ in range(2):
        assert [cell for batch in source.batches(["phone"]) for cell in batch.column(0).to_pylist()] == [
            str(number) for number in range(3000)
        ]
    (fingerprint,) = source.fingerprints()
    assert (fingerprint.size, fingerprint.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_suffix_before_it_says_what_stands_between_cells(tmp_path: Path) -> None:
    (tmp_path / "list.tsv.gz").write_bytes(gzip.compress(b"a,b,c\td\n1,2,3\t4\n"))

    assert open_list(["list.tsv.gz"], base=tmp_path).columns == ("a,b,c", "d")


def test_a_gzip_file_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(b"phone\n1\n") + gzip.compress(b"2\n"))

    assert [batch.column(0).to_pylist() for batch in open_list(["list.csv.gz"], base=tmp_path).batches()] == [
        ["1", "2"]
    ]


@pytest.mark.parametrize("algorithm", ["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_what_is_cut_off_is_refused_and_never_a_shorter_list(tmp_path: Path, algorithm: str, kept: float) -> None:
    whole = packed(algorithm, CONTENT.encode())
    name = "list.csv." + {"gzip": "gz", "zstd": "zst"}[algorithm]
    (tmp_path / name).write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(ListUnusable, match=f"damaged or cut off: it is no whole {algorithm} file"):
        list(open_list([name], base=tmp_path).batches())


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(CONTENT.encode()))
    whole[-6] ^= 1  # of the checksum itself: the text is as it was
    (tmp_path / "list.csv.gz").write_bytes(whole)

    with pytest.raises(ListUnusable, match="damaged or cut off"):
        list(open_list(["list.csv.gz"], base=tmp_path).batches())


def test_offsets_and_lines_are_those_of_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_BLOCK", 16)
    text = b"phone,n\n" + b"1,x\n" * 20 + b"2,\xff\n"
    (tmp_path / "list.csv.gz").write_bytes(gzip.compress(text))

    with pytest.raises(ListUnusable, match=f"0xff at offset {text.index(0xFF)}, in line 22"):
        list(open_list(["list.csv.gz"], base=tmp_path).batches())
