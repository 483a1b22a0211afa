"""Where numbers are from and what kind of line they are."""

from collections import Counter

import numpy as np
import phonenumbers
import pytest
from numpy.typing import NDArray

from broadcaster.phones import origins
from broadcaster.phones.origins import countries, line_types


def ints(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


@pytest.mark.parametrize(
    ("number", "country"),
    [
        pytest.param(14155550100, "US", id="a country of a shared code"),
        pytest.param(16135550100, "CA", id="another of the same code"),
        pytest.param(447700900123, "GB", id="a mobile number of Britain"),
        pytest.param(447781123456, "GG", id="one of Guernsey, which has Britain's code"),
        pytest.param(77012345678, "KZ", id="one of Kazakhstan, which has Russia's"),
        pytest.param(4915123456789, "DE", id="a code of one country"),
        pytest.param(3545812345, "IS", id="a code of three digits"),
        pytest.param(80012345678, "001", id="a number of no country"),
    ],
)
def test_the_country_of_a_number(number: int, country: str) -> None:
    assert countries(ints(number)) == {country: 1}


def test_countries_are_what_the_judge_says_of_each_number_most_frequent_first() -> None:
    examples = [
        phonenumbers.example_number_for_type(region, kind)
        for region in phonenumbers.SUPPORTED_REGIONS
        for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    ]
    known = [each for each in examples if each is not None]
    numbers = ints(*(int(phonenumbers.format_number(each, phonenumbers.PhoneNumberFormat.E164)[1:]) for each in known))
    found = countries(numbers)

    assert found == Counter(phonenumbers.region_code_for_number(each) for each in known)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_no_number_is_counted_twice_when_there_are_more_groups_than_are_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(origins, "_LOOKED_UP", 1)

    assert countries(ints(14155550100, 14155550101, 16135550100)) == {"US": 3}


def test_countries_of_a_list_do_not_depend_on_how_it_is_cut_or_ordered() -> None:
    numbers = ints(447781123456, 14155550100, 77012345678, 447700900123, 16135550100, 79161234567, 447781123457)
    whole = countries(numbers)

    assert origins.countries_of([origins.begin(numbers[:3]), origins.begin(numbers[3:])]) == whole
    assert origins.countries_of(map(origins.begin, np.split(numbers[::-1], len(numbers)))) == whole
    assert list(origins.countries_of([origins.begin(numbers[::-1])]).items()) == list(whole.items())


def test_nobody_is_nowhere() -> None:
    assert countries(ints()) == {}
    assert line_types(ints()) == ({}, 0)


def test_kinds_of_line_are_counted_over_a_sample_of_a_long_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origins, "_SAMPLE", 3)
    numbers = ints(*[447400123456, 442079460000] * 4)

    assert line_types(numbers[:3]) == ({"mobile": 2, "fixed line": 1}, 3)
    assert line_types(numbers) == ({"mobile": 2, "fixed line": 1}, 3)
