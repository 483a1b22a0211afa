"""Planning loses nobody, plans nobody twice, and does not depend on how the list was read."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import build_tables, phone

from broadcaster.core.words import Reason
from broadcaster.planning.exclude import ELIGIBLE, exclude
from broadcaster.planning.group import cut
from broadcaster.planning.render import COMPLETE, MISSING, UNSENDABLE, Renderer

# No test has a deadline: the machine may be busy with something else.
# Few values, so that they meet: numbers, ways to write them, names.
MOBILES = st.one_of(
    st.integers(0, 9).map(phone),
    st.integers(0, 9).map(lambda n: f"(415) 555-010{n}"),
    st.sampled_from(["", "none", "+1 415 555", " +14155550103 "]),
)
NAMES = st.sampled_from(["Ada", "Bea", "Zo\u00eb", "", " ", "a\tb", "{x}", '"', "\U0001f600"])
STOPS = st.sampled_from(["", "", "", "no", "yes"])
VIAS = st.sampled_from(["", "", "sms", "whatsapp+sms", " SMS , WhatsApp", "auto", "fax"])
ON = {"": "auto", "sms": "sms", "whatsapp+sms": "sms+whatsapp", " SMS , WhatsApp": "sms+whatsapp", "auto": "auto"}
ROWS = st.lists(
    st.fixed_dictionaries({"id": st.just("c"), "mobile": MOBILES, "name": NAMES, "stop": STOPS, "via": VIAS}),
    min_size=1,
    max_size=40,
)


def built(
    rows: list[dict[str, str]], *, size: int, largest: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Any]:
    """Return the rows and the batches of a plan, and what was counted."""
    with TemporaryDirectory() as directory:
        path = Path(directory)
        counted = build_tables(
            path,
            rows,
            size=size,
            largest=largest,
            parameters={"n": "Hi {name}"},
            suppressed=[phone(7)[1:]],
            opt_out="stop",
            channel="via",
        )
        tables = [pq.read_table(path / name).to_pylist() for name in ("plan.parquet", "batches.parquet")]
    return tables[0], tables[1], counted


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, largest=st.integers(1, 5))
def test_every_row_is_in_one_batch_or_excluded_and_every_number_in_one_batch(
    rows: list[dict[str, str]], largest: int
) -> None:
    plan, batches, counted = built(rows, size=7, largest=largest)

    assert [row["phone_input"] for row in plan] == [row["mobile"] for row in rows]
    assert all((row["batch"] is None) == (row["reason"] is not None) for row in plan)
    sent = [number for batch in batches for number in batch["rows"]]
    assert sorted(sent) == [number for number, row in enumerate(plan) if row["batch"] is not None]
    numbers = [to for batch in batches for to in batch["to"]]
    assert len(numbers) == len(set(numbers)) == counted.recipients
    for number, batch in enumerate(batches):
        assert batch["batch"] == number
        assert 1 <= len(batch["rows"]) == len(batch["to"]) <= largest
        assert batch["rows"] == sorted(batch["rows"])
        assert {ON[rows[row]["via"]] for row in batch["rows"]} == {batch["channels"]}
        assert {plan[row]["channels"] for row in batch["rows"]} == {batch["channels"]}
        for row, to in zip(batch["rows"], batch["to"], strict=True):
            assert (plan[row]["batch"], plan[row]["to"]) == (number, to)
            assert json.loads(batch["parameters"]) == {"n": f"Hi {rows[row]['name']}"}
            assert rows[row]["name"].strip()
    assert len({batch["idempotency_key"] for batch in batches}) == len(batches) == counted.batches
    assert Counter(row["reason"] for row in plan if row["reason"]) == counted.excluded


@settings(max_examples=25, deadline=None)
@given(rows=ROWS, size=st.integers(1, 12))
def test_the_record_batches_of_a_list_change_nothing(rows: list[dict[str, str]], size: int) -> None:
    *_, whole = built(rows, size=1000, largest=3)
    *_, pieces = built(rows, size=size, largest=3)

    assert pieces == whole


@settings(max_examples=25, deadline=None)
@given(rows=ROWS, more=ROWS)
def test_rows_that_follow_leave_the_rows_before_as_they_were(
    rows: list[dict[str, str]], more: list[dict[str, str]]
) -> None:
    """Except that an opt-out further down covers a number further up."""
    quiet = [{**row, "stop": ""} for row in more]
    before, _, _ = built(rows, size=7, largest=3)
    after, _, _ = built([*rows, *quiet], size=7, largest=3)

    for name in ("to", "reason", "error"):
        assert [row[name] for row in after[: len(rows)]] == [row[name] for row in before], name


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from([COMPLETE, COMPLETE, MISSING, UNSENDABLE])), max_size=30
    ),
    suppressed=st.sets(st.integers(1, 6)),
    opted_out=st.sets(st.integers(1, 6)),
)
def test_exclusion_is_what_a_loop_over_the_rows_would_decide(
    rows: list[tuple[int, int]], suppressed: set[int], opted_out: set[int]
) -> None:
    decided = exclude(
        np.array([number for number, _ in rows], dtype=np.int64),
        np.array([number == 0 for number, _ in rows], dtype=np.uint8),
        suppressed=np.array(sorted(suppressed), dtype=np.int64),
        opted_out=np.array(sorted(opted_out), dtype=np.int64),
        completeness=np.array([state for _, state in rows], dtype=np.uint8),
    )

    seen: set[int] = set()
    for code, (number, state) in zip(decided.codes.tolist(), rows, strict=True):
        free = number and number not in suppressed | opted_out and state == COMPLETE and number not in seen
        assert (code == ELIGIBLE) == bool(free)
        if free:
            seen.add(number)


@settings(deadline=None)
@given(codes=st.lists(st.integers(0, 6), max_size=60), largest=st.integers(1, 7))
def test_groups_lose_nobody_stay_in_order_and_are_as_few_as_can_be(codes: list[int], largest: int) -> None:
    order, starts, ends = (each.tolist() for each in cut(np.array(codes, dtype=np.int64), largest=largest))
    batches = [order[start:end] for start, end in zip(starts, ends, strict=True)]

    assert sorted(row for rows in batches for row in rows) == list(range(len(codes)))
    assert [row for rows in batches for row in rows] == order
    for rows in batches:
        assert 1 <= len(rows) <= largest
        assert len({codes[row] for row in rows}) == 1
    groups = list(dict.fromkeys(codes))
    assert order == [row for code in groups for row, other in enumerate(codes) if other == code]
    assert len(batches) == sum(-(-codes.count(code) // largest) for code in groups)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)
def test_parameter_sets_are_the_same_however_the_rows_are_cut(rows: list[tuple[str, str]], cuts: list[int]) -> None:
    whole, pieces = Renderer({"x": "{a}-{b}", "y": "{b}"}), Renderer({"x": "{a}-{b}", "y": "{b}"})
    table = pa.RecordBatch.from_pydict(
        {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate("ab")}
    )
    edges = sorted({0, len(rows), *(each for each in cuts if each < len(rows))})
    found = [pieces.render(table.slice(begin, end - begin)) for begin, end in pairwise(edges)]
    given = np.concatenate([pieces.number(each) for each in found])
    at_once = whole.render(table)
    numbers, states = whole.final(whole.number(at_once)), at_once.state

    assert pieces.final(given).tolist() == numbers.tolist()
    assert [state for each in found for state in each.state.tolist()] == states.tolist()
    assert pieces.sets.to_pylist() == whole.sets.to_pylist()
    complete = [at for at, state in enumerate(states.tolist()) if state == COMPLETE]
    assert all((rows[one] == rows[other]) == (numbers[one] == numbers[other]) for one in complete for other in complete)


def test_the_lists_above_reach_every_reason() -> None:
    """A guard on the strategies: a property over lists without duplicates would prove nothing about them."""
    plan, _, _ = built(
        [
            {"id": "c", "mobile": mobile, "name": name, "stop": stop, "via": via}
            for mobile, name, stop, via in (
                (phone(0), "Ada", "", ""),
                (phone(0), "Ada", "", ""),
                ("none", "Ada", "", ""),
                (phone(1), " ", "", ""),
                (phone(3), "a\tb", "", ""),
                (phone(4), "Ada", "", "fax"),
                (phone(7), "Ada", "", ""),
                (phone(2), "Ada", "yes", ""),
            )
        ],
        size=7,
        largest=3,
    )

    of_times = {Reason.INVALID_TIMEZONE, Reason.UNKNOWN_ZONE, Reason.TOO_LATE}  # see test_timing.py
    # A row of a text file, and there is none here; what is outside a filter: see test_filter.py; what is nobody's among
    # several profiles: see test_profiles.py.
    reasons = set(Reason) - of_times - {Reason.MALFORMED_ROW, Reason.FILTERED, Reason.UNKNOWN_PROFILE}
    assert {row["reason"] for row in plan if row["reason"]} == reasons
