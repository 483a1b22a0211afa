"""The sample that is messaged first: spread over the list and its groups, the same each time, in batches of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.plans import extend_plan, make_plan, people, phone

from broadcaster.planning.canary import sample
from broadcaster.store.plan import Plan


def chosen(numbers: list[int], *, count: int, channels: list[int] | None = None, sets: list[int] | None = None) -> Any:
    size = len(numbers)
    return sample(
        np.array(numbers, dtype=np.int64),
        np.array(channels or [0] * size, dtype=np.int16),
        np.array(sets or [0] * size, dtype=np.int32),
        count=count,
    ).tolist()


US, GB, DE = 14155550100, 447700900000, 4930555000


@pytest.mark.parametrize(("size", "count"), [(0, 5), (5, 5), (3, 5), (10, 0)])
def test_nobody_when_it_would_be_everybody_or_none(size: int, count: int) -> None:
    assert chosen([US + at for at in range(size)], count=count) == []


def test_a_list_of_one_kind_is_sampled_evenly() -> None:
    assert chosen([US + at for at in range(100)], count=5) == [10, 30, 50, 70, 90]


def test_every_country_is_in_it_and_large_ones_have_more() -> None:
    numbers = [US + at for at in range(90)] + [GB + at for at in range(9)] + [DE]
    found = [str(numbers[at])[:2] for at in chosen(numbers, count=12)]

    assert (found.count("14"), found.count("44"), found.count("49")) == (9, 2, 1)


def test_channels_and_parameter_sets_are_kinds_too() -> None:
    numbers = [US + at for at in range(60)]
    channels = [at % 2 for at in range(60)]
    sets = [at % 3 for at in range(60)]
    found = chosen(numbers, count=6, channels=channels, sets=sets)

    assert sorted((channels[at], sets[at]) for at in found) == [(a, b) for a in range(2) for b in range(3)]


def test_of_more_kinds_than_places_the_largest_are_chosen() -> None:
    numbers = [US + at for at in range(10)]
    found = chosen(numbers, count=2, sets=[0, 1, 2, 2, 3, 3, 3, 4, 5, 6])

    assert sorted([0, 1, 2, 2, 3, 3, 3, 4, 5, 6][at] for at in found) == [2, 3]


def test_a_parameter_set_for_each_is_no_kind() -> None:
    size = 5000
    found = chosen([US + at for at in range(size)], count=5, sets=list(range(size)))

    assert found == [500, 1500, 2500, 3500, 4500]


@pytest.mark.parametrize("count", [1, 7, 25, 99])
def test_it_has_exactly_so_many_people_each_once(count: int) -> None:
    numbers = [US + at for at in range(60)] + [GB + at for at in range(40)]
    found = chosen(numbers, count=count, sets=[at % 7 for at in range(100)])

    assert len(set(found)) == count
    assert found == sorted(found)


# ---- in a plan ------------------------------------------------------------------------------------------------------

NAMED: dict[str, dict[str, Any]] = {"message": {"channels": ["sms"], "parameters": {"name": "{name}"}}}


def rows_of(plan: Plan) -> list[list[int]]:
    return [rows.tolist() for _, rows in plan.read_with_rows()]


def test_the_canary_is_in_batches_of_its_own_in_front_and_the_rest_is_as_ever(tmp_path: Path) -> None:
    rows = people(12, name=["Ada", "Bea"])
    plan = make_plan(tmp_path, rows, {**NAMED, "safety": {"canary": 4}}, batch_size=3)

    found = rows_of(plan)
    front = [row for rows in found[:2] for row in rows]
    assert (plan.head.canary, plan.head.canary_batches) == (4, 2)
    assert sorted(row % 2 for row in front) == [0, 0, 1, 1]
    rest = [row for row in range(12) if row not in front]
    ada, bea = ([row for row in rest if row % 2 == which] for which in (0, 1))
    assert sorted(found[2:]) == sorted([ada[:3], ada[3:], bea[:3], bea[3:]])
    assert [batch.to for batch in plan.read_batches()] == [tuple(phone(row) for row in rows) for rows in found]


def test_a_job_without_a_canary_has_the_keys_that_it_always_had(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = make_plan(tmp_path / "one", people(12), batch_size=3)
    other = make_plan(tmp_path / "two", people(12), {"safety": {"canary": 0, "canary_wait": "1m"}}, batch_size=3)

    assert one.keys_sha256 == other.keys_sha256
    assert rows_of(one) == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    head = json.loads(one.run_dir.head(0).read_bytes())
    assert (head["canary"], head["canary_batches"]) == (0, 0)


def test_the_same_list_has_the_same_canary(tmp_path: Path) -> None:
    plans = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        plans.append(make_plan(tmp_path / name, people(50), {"safety": {"canary": 7}}, batch_size=10))

    assert plans[0].keys_sha256 == plans[1].keys_sha256
    assert rows_of(plans[0])[0] == [3, 10, 17, 25, 32, 39, 46]


def test_the_excluded_are_in_no_canary(tmp_path: Path) -> None:
    rows = [{"id": "x", "mobile": "none"} if at % 2 else each for at, each in enumerate(people(20))]
    plan = make_plan(tmp_path, rows, {"safety": {"canary": 3}})

    assert [row % 2 for row in rows_of(plan)[0]] == [0, 0, 0]
    assert plan.head.recipients == 10


def test_an_extension_numbers_its_canary_on(tmp_path: Path) -> None:
    tables: dict[str, dict[str, Any]] = {"safety": {"canary": 2}}
    make_plan(tmp_path, people(10), tables)
    plan = extend_plan(tmp_path, people(20), tables)

    assert [(part.head.first_batch, part.head.canary_batches, part.head.batches) for part in plan.parts] == [
        (0, 1, 2), (2, 1, 2),
    ]  # fmt: skip
    assert {row for rows in rows_of(plan)[2:] for row in rows} == set(range(10, 20))
