"""Parquet columns become text that says exactly what was stored."""

import base64
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pyarrow.parquet import encryption

from broadcaster.errors import ListUnusable
from broadcaster.lists.read import ListSource, open_list
from broadcaster.phones import normalise


def opened(tmp_path: Path, table: Any, **options: Any) -> ListSource:
    parquet.write_table(table, tmp_path / "list.parquet", **options)
    return open_list(["list.parquet"], base=tmp_path)


TYPES = [
    ("strings", pa.array(["+14155550100", None, "NA"]), ["+14155550100", "", "NA"]),
    ("large strings", pa.array(["a", None], pa.large_string()), ["a", ""]),
    ("a dictionary", pa.array(["a", None, "a"]).dictionary_encode(), ["a", "", "a"]),
    ("whole numbers", pa.array([14155550100, None]), ["14155550100", ""]),
    ("floats with all their digits", pa.array([4155550100.0, None, 0.5]), ["4155550100.0", "", "0.5"]),
    ("floats that Arrow shortens", pa.array([14155550100.0]), ["1.41555501e+10"]),
    ("whole decimals", pa.array([Decimal(14155550100)]), ["14155550100"]),
    ("decimals", pa.array([Decimal("14155550100.00")]), ["14155550100.00"]),
    ("yes and no", pa.array([True, False, None]), ["true", "false", ""]),
    ("dates", pa.array([date(2026, 12, 1)]), ["2026-12-01"]),
    ("nothing at all", pa.nulls(2), ["", ""]),
]


@pytest.mark.parametrize(("column", "expected"), [pytest.param(c, e, id=name) for name, c, e in TYPES])
def test_every_type_is_text(tmp_path: Path, column: Any, expected: list[str]) -> None:
    (batch,) = opened(tmp_path, pa.table({"phone": column})).batches()

    assert batch.column(0).to_pylist() == expected
    assert batch.schema.field("phone").type == pa.string()


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.decimal128(22, 2)])
def test_a_phone_column_of_broken_numbers_yields_no_number(tmp_path: Path, kind: Any) -> None:
    column = pa.array([4155550100, 14155550100, 41555501], pa.int64()).cast(kind, safe=False)
    (batch,) = opened(tmp_path, pa.table({"phone": column})).batches()

    assert normalise(batch.column(0), "US").e164.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pa.array([["a"]]), id="a list"),
        pytest.param(pa.array([{"a": 1}]), id="a structure"),
        pytest.param(pa.array([b"+1"]), id="bytes"),
        pytest.param(pa.array([b"+1"], pa.binary(2)), id="bytes of one size"),
        pytest.param(pa.array([b"1" * 16], pa.uuid()), id="bytes that have a meaning"),
        pytest.param(pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), id="a map"),
        pytest.param(pa.array([b"+1"]).dictionary_encode(), id="a dictionary of bytes"),
    ],
)
def test_a_column_that_holds_no_text_matters_only_when_it_is_used(tmp_path: Path, column: Any) -> None:
    source = opened(tmp_path, pa.table({"phone": ["1"], "tags": column}))

    assert source.columns == ("phone", "tags")
    assert [batch.to_pylist() for batch in source.batches(["phone"])] == [[{"phone": "1"}]]
    with pytest.raises(ListUnusable, match=r"the column 'tags' holds .*store it as strings"):
        list(source.batches())


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        pytest.param(b"caf\xe9", "the column 'phone' holds text that is not UTF-8", id="Latin-1"),
        pytest.param(b"+1\x00", "the column 'phone' holds a NUL", id="a NUL"),
    ],
)
def test_text_that_is_none_is_refused_whatever_the_schema_says(tmp_path: Path, cell: bytes, sentence: str) -> None:
    source = opened(tmp_path, pa.table({"phone": pa.array([b"+1", cell]).view(pa.string()), "name": ["Ada", "Bob"]}))

    assert [batch.column(0).to_pylist() for batch in source.batches(["name"])] == [["Ada", "Bob"]]
    with pytest.raises(ListUnusable, match=sentence):
        list(source.batches(["phone"]))


class Keys(encryption.KmsClient):  # type: ignore[misc]  # pyarrow has no types
    """A key service that wraps keys by turning them round."""

    def wrap_key(self, key_bytes: bytes, _master: str) -> bytes:
        return base64.b64encode(key_bytes[::-1])

    def unwrap_key(self, wrapped_key: bytes, _master: str) -> bytes:
        return base64.b64decode(wrapped_key)[::-1]


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_file_is_refused_in_words(tmp_path: Path, plaintext_footer: bool) -> None:  # noqa: FBT001
    setting = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["phone"]}, plaintext_footer=plaintext_footer
    )
    factory = encryption.CryptoFactory(lambda _: Keys())
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), setting)
    with parquet.ParquetWriter(
        tmp_path / "list.parquet", pa.schema([("phone", pa.string())]), encryption_properties=properties
    ) as writer:
        writer.write_table(pa.table({"phone": ["+14155550100"]}))

    with pytest.raises(ListUnusable, match="damaged, encrypted or something else"):
        list(open_list(["list.parquet"], base=tmp_path).batches())


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    source = opened(tmp_path, pa.table({"a": ["1"], "a.b": ["2"], "c": ["3"]}))

    assert [batch.schema.names for batch in source.batches(["c", "a"])] == [["c", "a"]]
    assert [batch.column(0).to_pylist() for batch in source.batches(["a.b"])] == [["2"]]


def test_many_rows_are_streamed_in_batches(tmp_path: Path) -> None:
    source = opened(tmp_path, pa.table({"phone": pa.array(range(150_000))}), row_group_size=50_000)
    sizes = [batch.num_rows for batch in source.batches()]

    assert sum(sizes) == 150_000
    assert max(sizes) <= 65_536


def damaged_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def something_else(path: Path) -> None:
    path.write_bytes(b"phone,name\n1,Ada\n")


def no_rows(path: Path) -> None:
    parquet.write_table(pa.table({"phone": pa.array([], pa.string())}), path)


def twice(path: Path) -> None:
    parquet.write_table(pa.table([pa.array(["1"]), pa.array(["2"])], names=["phone", "phone"]), path)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        pytest.param(damaged_end, "cannot be read as Parquet", id="cut off"),
        pytest.param(something_else, "cannot be read as Parquet", id="a CSV by another name"),
        pytest.param(no_rows, "has no rows", id="no rows"),
        pytest.param(twice, "has the column 'phone' more than once", id="a name twice"),
    ],
)
def test_a_file_that_is_no_list_is_refused_by_name(
    tmp_path: Path, write: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "list.parquet"
    parquet.write_table(pa.table({"phone": ["1"]}), path)
    write(path)

    with pytest.raises(ListUnusable) as refused:
        open_list(["list.parquet"], base=tmp_path)

    assert str(path) in refused.value.sentence
    assert sentence in refused.value.sentence


def test_a_file_that_has_vanished_is_not_called_damaged(tmp_path: Path) -> None:
    source = opened(tmp_path, pa.table({"phone": ["1"]}))
    (tmp_path / "list.parquet").unlink()

    with pytest.raises(ListUnusable, match="there is no such file"):
        list(source.batches())


def test_a_flipped_bit_in_a_page_with_a_checksum_is_found(tmp_path: Path) -> None:
    source = opened(
        tmp_path,
        pa.table({"phone": ["+14155550100"]}),
        write_page_checksum=True,
        compression="none",
        use_dictionary=False,
        write_statistics=False,  # else the number is in the footer too, which has no checksum
    )
    content = bytearray((tmp_path / "list.parquet").read_bytes())
    content[content.index(b"+1415555") + 5] ^= 1
    (tmp_path / "list.parquet").write_bytes(content)

    with pytest.raises(ListUnusable, match="it is damaged"):
        list(source.batches())
