"""A column of numbers: each distinct cell once, nulls are empty, what comes out goes in again."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.phones import FAULTS, distinct, format_e164, mask, normalise, parse_number
from broadcaster.phones.judge import Kind, judge

WRITTEN = ["+14155550100", "(415) 555-0101", None, "Ada", "415.555.0100", ""]


def test_a_column_is_judged_row_by_row() -> None:
    numbers = normalise(pa.array(WRITTEN), "US")

    assert numbers.e164.tolist() == [14155550100, 14155550101, 0, 0, 14155550100, 0]
    assert numbers.fault.tolist() == [0, 0, Kind.EMPTY, Kind.LETTERS, 0, Kind.EMPTY]
    assert (numbers.e164.dtype.name, numbers.fault.dtype.name) == ("int64", "uint8")


def test_each_distinct_cell_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def counted(text: str, region: str | None) -> tuple[int, Kind]:
        asked.append((text, region))
        return judge(text, region)

    monkeypatch.setattr("broadcaster.phones.judge", counted)
    normalise(pa.array(["+14155550100", "+14155550101"] * 50), pa.array(["US"] * 100))

    assert sorted(asked) == [("+14155550100", "US"), ("+14155550101", "US")]


def test_rows_may_have_regions_of_their_own() -> None:
    cells = pa.array(["4155550100", "030 23125000", "030 23125000", "4155550100"])
    regions = pa.array(["US", "de", "US", None])

    numbers = normalise(cells, regions)

    assert numbers.e164.tolist() == [14155550100, 493023125000, 0, 0]
    assert numbers.fault[3] == Kind.NO_COUNTRY


def test_a_row_without_a_region_has_the_fallback() -> None:
    numbers = normalise(pa.array(["4155550100"] * 3), pa.array([None, " ", "US"]), fallback="US")

    assert numbers.e164.tolist() == [14155550100] * 3


def test_an_empty_column_is_no_numbers() -> None:
    numbers = normalise(pa.array([], pa.string()), None)

    assert (numbers.e164.size, numbers.fault.size) == (0, 0)


def test_a_refused_number_is_written_as_null() -> None:
    written = format_e164(np.array([14155550100, 0, 493023125000], dtype=np.int64))

    assert written.to_pylist() == ["+14155550100", None, "+493023125000"]
    assert written.type == pa.string()


def test_distinct_numbers_are_sorted_and_none_is_zero() -> None:
    parts = [np.array([5, 0, 3], dtype=np.int64), np.array([3, 9], dtype=np.int64)]

    assert distinct(parts).tolist() == [3, 5, 9]
    assert distinct([]).tolist() == []


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+14155550100", "+1••••••••00"),
        ("+493023125012", "+49••••••••12"),
        ("+290123", "•••••••"),
        ("", ""),
    ],
)
def test_a_masked_number_shows_where_it_is_from_and_its_end(number: str, shown: str) -> None:
    assert mask(number) == shown


def test_one_number_is_judged_like_a_column() -> None:
    assert parse_number("(415) 555-0100", region="US") == "+14155550100"
    assert parse_number("(415) 555-0100", region=None) is None
    assert parse_number("+14155550100 ext 5", region=None) is None


@given(st.lists(st.integers(0, 99).map(lambda n: 14155550100 + n) | st.just(0), max_size=20))
def test_what_is_written_reads_as_the_same_number(numbers: list[int]) -> None:
    column = np.array(numbers, dtype=np.int64)

    assert normalise(format_e164(column), None).e164.tolist() == numbers


@given(st.text(alphabet="+0123456789 ().-/'x,;=eE\u200f\u0664１²\n", max_size=24), st.sampled_from([None, "US", "DE"]))  # noqa: RUF001 - marks that lists contain
def test_whatever_is_accepted_is_valid_stable_and_has_no_fault(text: str, region: str | None) -> None:
    numbers = normalise(pa.array([text]), region)
    number, fault = int(numbers.e164[0]), int(numbers.fault[0])

    assert (number == 0) == (fault != 0)
    assert fault < len(FAULTS)
    if number:
        assert normalise(format_e164(numbers.e164), None).e164.tolist() == [number]
