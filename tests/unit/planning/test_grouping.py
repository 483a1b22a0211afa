"""People of one group are sent to together, one group after the other; without a group everything is as it was."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import extend_plan, make_plan, people, phone

from broadcaster.errors import JobInvalid
from broadcaster.planning.group import cut, in_groups
from broadcaster.planning.grouping import Groups
from broadcaster.planning.preview import preview
from broadcaster.store.plan import Plan

BY_REGION: dict[str, Any] = {"recipients": {"group_by": "region"}}


def sent(plan: Plan) -> list[list[int]]:
    """Return the rows of each batch, in the order of sending."""
    return [rows.tolist() for _, rows in plan.read_with_rows()]


def below(base: Path, name: str) -> Path:
    (base / name).mkdir()
    return base / name


def shown(plan: Plan) -> dict[str, int]:
    return preview(plan, requests_per_minute=200, messages_per_minute=0).groups


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=40),
    largest=st.integers(1, 5),
    ahead=st.integers(0, 3),
)
def test_batches_of_a_group_follow_each_other_and_keep_their_order(
    rows: list[tuple[int, int]], largest: int, ahead: int
) -> None:
    groups = np.array([group for group, _ in rows], dtype=np.int64)
    codes = np.array([code * 4 + group for group, code in rows], dtype=np.int64)
    before = cut(codes, largest=largest)
    order, starts, ends = in_groups(*before, groups, ahead=ahead)
    was = [before[0][start:end].tolist() for start, end in zip(before[1], before[2], strict=True)]
    now = [order[start:end].tolist() for start, end in zip(starts, ends, strict=True)]

    appeared = list(dict.fromkeys(groups.tolist()))
    expected = [
        batch
        for piece in (was[:ahead], was[ahead:])
        for group in appeared
        for batch in piece
        if groups[batch[0]] == group
    ]
    assert now == expected
    assert [row for batch in now for row in batch] == order.tolist()


def test_groups_come_in_the_order_of_their_first_rows_and_no_batch_crosses_one(tmp_path: Path) -> None:
    rows = people(12, region=["TX", "CA", " TX ", "NY"], name=["Ann", "Bob", "Cid"])
    tables = BY_REGION | {"message": {"parameters": {"name": "{name}"}}}
    grouped = make_plan(tmp_path, rows, tables, batch_size=1)
    regions = [rows[row]["region"].strip() for (row,) in sent(grouped)]

    assert [region for region, _ in groupby(regions)] == ["TX", "CA", "NY"]
    assert sent(grouped) == [[0], [6], [2], [8], [4], [10], [1], [5], [9], [3], [7], [11]]
    assert shown(grouped) == {"TX": 6, "CA": 3, "NY": 3}


def test_equal_parameters_share_no_request_across_groups(tmp_path: Path) -> None:
    grouped = make_plan(below(tmp_path, "a"), people(6, region=["TX", "CA"]), BY_REGION)
    plain = make_plan(below(tmp_path, "b"), people(6, region=["TX", "CA"]))

    assert sent(grouped) == [[0, 2, 4], [1, 3, 5]]
    assert sent(plain) == [[0, 1, 2, 3, 4, 5]]


def test_one_group_is_the_plan_that_it_was_without_any(tmp_path: Path) -> None:
    rows = people(9, region=["TX"], name=["Ann", "Bob"])
    tables: dict[str, Any] = {"message": {"parameters": {"name": "{name}"}}}
    keys = [
        [batch.key for batch in make_plan(below(tmp_path, name), rows, {**tables, **more}, batch_size=2).read_batches()]
        for name, more in (("grouped", BY_REGION), ("plain", {}))
    ]

    assert keys[0] == keys[1]


def test_whom_nobody_messages_decides_nothing_about_the_order_and_is_not_counted(tmp_path: Path) -> None:
    rows = [
        {"id": "c0", "mobile": "none", "region": "CA"},
        {"id": "c1", "mobile": phone(1), "region": "TX"},
        {"id": "c2", "mobile": phone(2), "region": "CA"},
        {"id": "c3", "mobile": phone(1), "region": "CA"},
        {"id": "c4", "mobile": phone(4), "region": " "},
    ]
    plan = make_plan(tmp_path, rows, BY_REGION)

    assert sent(plan) == [[1], [2], [4]]
    assert shown(plan) == {"TX": 1, "CA": 1, "(empty)": 1}


def test_a_canary_goes_before_all_groups_and_crosses_none(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(40, region=["TX", "CA"]), BY_REGION | {"safety": {"canary": 4}})
    head = plan.head
    batches = [[("TX", "CA")[row % 2] for row in rows] for rows in sent(plan)]

    assert (head.canary, head.canary_batches) == (4, len(batches) - 2)
    assert all(len(set(regions)) == 1 for regions in batches)
    assert sorted(set(batches[-2] + batches[-1])) == ["CA", "TX"]
    assert (batches[-2][0], batches[-1][0]) == ("TX", "CA")


def test_send_times_come_second(tmp_path: Path) -> None:
    rows = people(8, region=["TX", "CA"], zone=["America/New_York", "America/New_York", "Asia/Tokyo", "Asia/Tokyo"])
    tables = {
        "recipients": {"group_by": "region", "timezone": "zone"},
        "schedule": {"send_at_local": "10:00"},
    }
    plan = make_plan(tmp_path, rows, tables, campaign="spring-{date}")

    assert sent(plan) == [[0, 4], [2, 6], [1, 5], [3, 7]]


def test_an_extension_has_an_order_of_its_own(tmp_path: Path) -> None:
    make_plan(tmp_path, people(2, region=["TX", "CA"]), BY_REGION)
    longer = extend_plan(tmp_path, people(5, region=["TX", "CA", "CA", "TX", "CA"]), BY_REGION)

    assert sent(longer) == [[0], [1], [2, 4], [3]]
    assert shown(longer) == {"TX": 2, "CA": 3}


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(JobInvalid, match=r"recipients\.group_by: no column 'regoin'; did you mean 'region'\?"):
        make_plan(tmp_path, people(2, region=["TX"]), {"recipients": {"group_by": "regoin"}})


def test_groups_are_the_same_however_the_list_is_cut_and_many_are_counted_together() -> None:
    cells = pa.array([f"g{at % 50}" for at in range(200)], pa.string())
    groups = Groups()
    given_numbers = np.concatenate([groups.number(Groups.encode(cells.slice(at, 7))) for at in range(0, 200, 7)])
    numbers = groups.final(given_numbers)
    counts = groups.counts(numbers)

    assert numbers.tolist() == [at % 50 for at in range(200)]
    assert list(counts.items())[:2] == [("g0", 4), ("g1", 4)]
    assert (len(counts), counts["others"], sum(counts.values())) == (41, 40, 200)


def test_a_group_that_is_somebodys_number_or_very_long_is_not_shown_in_full(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2, region=[phone(5), "x" * 100]), BY_REGION)
    (number, long) = shown(plan)

    assert "•" in number
    assert phone(5) not in json.dumps([*shown(plan), json.loads(plan.run_dir.head(0).read_bytes())["groups"]])
    assert len(long) == 41
