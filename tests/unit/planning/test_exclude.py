"""Who is not messaged, and which reason is told when several hold."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from broadcaster.core.words import Reason
from broadcaster.phones import FAULTS
from broadcaster.planning.exclude import ELIGIBLE, EXCLUSIONS, counts_by_reason, exclude, is_in, repeated
from broadcaster.planning.render import COMPLETE, MISSING, UNSENDABLE

ANN, BOB, CID = 14155550100, 14155550101, 14155550102
FAULT = 1  # any fault of a number


def ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def reasons(codes: NDArray[np.uint8]) -> list[str]:
    return [EXCLUSIONS[code].reason for code in codes.tolist()]


def decide(
    *rows: tuple[int, int, int], suppressed: tuple[int, ...] = (), opted_out: tuple[int, ...] = ()
) -> NDArray[np.uint8]:
    """Rows are number, fault, completeness."""
    numbers, faults, completeness = zip(*rows, strict=True)
    decided = exclude(
        ints(*numbers),
        np.array(faults, dtype=np.uint8),
        suppressed=ints(*suppressed),
        opted_out=ints(*opted_out),
        completeness=np.array(completeness, dtype=np.uint8),
    )
    return decided.codes


@pytest.mark.parametrize(
    ("rows", "lists", "expected"),
    [
        pytest.param([(ANN, 0, COMPLETE)], {}, [""], id="nothing is wrong"),
        pytest.param([(0, FAULT, MISSING)], {}, [Reason.INVALID_NUMBER], id="invalid goes before missing"),
        pytest.param([(0, FAULT, COMPLETE)], {"suppressed": (0, ANN)}, [Reason.INVALID_NUMBER], id="0 is no number"),
        pytest.param([(ANN, 0, MISSING)], {"suppressed": (ANN,)}, [Reason.SUPPRESSED], id="a list before missing"),
        pytest.param([(ANN, 0, UNSENDABLE)], {"opted_out": (ANN,)}, [Reason.SUPPRESSED], id="opt-out before missing"),
        pytest.param(
            [(ANN, 0, COMPLETE), (ANN, 0, COMPLETE)],
            {"opted_out": (ANN,)},
            [Reason.SUPPRESSED, Reason.SUPPRESSED],
            id="an opt-out covers every row of the number, and none is a duplicate",
        ),
        pytest.param(
            [(ANN, 0, MISSING), (ANN, 0, COMPLETE)],
            {},
            [Reason.MISSING_PARAMETER, ""],
            id="a row without a parameter does not make the next a duplicate",
        ),
        pytest.param(
            [(ANN, 0, UNSENDABLE), (ANN, 0, COMPLETE)],
            {},
            [Reason.INVALID_PARAMETER, ""],
            id="nor does a row with a value that is refused",
        ),
        pytest.param(
            [(ANN, 0, COMPLETE), (ANN, 0, MISSING)],
            {},
            ["", Reason.MISSING_PARAMETER],
            id="missing goes before duplicate",
        ),
        pytest.param(
            [(BOB, 0, COMPLETE), (ANN, 0, COMPLETE), (BOB, 0, COMPLETE), (BOB, 0, COMPLETE)],
            {},
            ["", "", Reason.DUPLICATE, Reason.DUPLICATE],
            id="the first of equal numbers wins",
        ),
        pytest.param(
            [(0, FAULT, COMPLETE), (0, FAULT, COMPLETE)],
            {},
            [Reason.INVALID_NUMBER, Reason.INVALID_NUMBER],
            id="invalid numbers are no duplicates of each other",
        ),
        pytest.param(
            [(ANN, 0, COMPLETE), (BOB, 0, COMPLETE), (CID, 0, COMPLETE)],
            {"suppressed": (ANN,), "opted_out": (CID,)},
            [Reason.SUPPRESSED, "", Reason.SUPPRESSED],
            id="the others stay",
        ),
    ],
)
def test_the_first_reason_in_the_order_is_told(
    rows: list[tuple[int, int, int]], lists: dict[str, Any], expected: list[str]
) -> None:
    assert reasons(decide(*rows, **lists)) == expected


def test_list_and_opt_out_are_told_apart_in_the_sentence() -> None:
    codes = decide((ANN, 0, COMPLETE), (BOB, 0, COMPLETE), suppressed=(ANN,), opted_out=(ANN, BOB))

    assert [EXCLUSIONS[code].sentence for code in codes.tolist()] == [
        "the number is on a suppression list",
        "the list says that the number has opted out",
    ]


def test_every_fault_of_a_number_keeps_its_own_code_and_sentence() -> None:
    faults = list(range(1, len(FAULTS)))
    codes = decide(*((0, fault, COMPLETE) for fault in faults))

    assert [(EXCLUSIONS[code].reason, EXCLUSIONS[code].sentence) for code in codes.tolist()] == [
        (FAULTS[fault].reason, FAULTS[fault].sentence) for fault in faults
    ]
    assert set(reasons(codes)) == {Reason.INVALID_NUMBER}


def test_what_was_given_is_left_as_it_was() -> None:
    faults = np.zeros(2, dtype=np.uint8)
    exclude(
        ints(ANN, ANN),
        faults,
        suppressed=ints(),
        opted_out=ints(),
        completeness=np.full(2, COMPLETE, dtype=np.uint8),
    )

    assert faults.tolist() == [0, 0]


def test_no_rows_give_no_codes() -> None:
    empty = np.zeros(0, dtype=np.uint8)

    assert exclude(ints(), empty, suppressed=ints(ANN), opted_out=ints(), completeness=empty).codes.tolist() == []


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param((), [False, False, False], id="nothing is known"),
        pytest.param((BOB,), [False, True, False], id="the one in the middle"),
        pytest.param((ANN, CID), [True, False, True], id="both ends"),
        pytest.param((CID + 1,), [False, False, False], id="a number past all of them"),
    ],
)
def test_membership_in_sorted_numbers(known: tuple[int, ...], found: list[bool]) -> None:
    assert is_in(ints(ANN, BOB, CID), ints(*known)).tolist() == found


def test_repeats_are_found_among_the_marked_rows_only() -> None:
    among = np.array([False, True, True, True])

    found = repeated(ints(ANN, ANN, BOB, ANN), among)

    assert (found.rows.tolist(), found.first.tolist()) == ([3], [1])


def test_a_repeat_names_the_first_row_of_its_number_however_many_there_are() -> None:
    numbers = [CID, ANN, BOB, ANN, CID, ANN, BOB, ANN]
    found = repeated(ints(*numbers), np.ones(8, dtype=bool))

    assert dict(zip(found.rows.tolist(), found.first.tolist(), strict=True)) == {3: 1, 4: 0, 5: 1, 6: 2, 7: 1}
    assert found.rows.tolist() == sorted(found.rows.tolist())


def test_a_channel_that_is_none_is_told_after_what_is_wrong_with_the_parameters_and_before_a_repeat() -> None:
    decided = exclude(
        ints(ANN, ANN, ANN, BOB),
        np.zeros(4, dtype=np.uint8),
        suppressed=ints(),
        opted_out=ints(),
        completeness=np.array([MISSING, COMPLETE, COMPLETE, COMPLETE], dtype=np.uint8),
        channels=np.array([-1, -1, 0, 2], dtype=np.int16),
    )

    assert reasons(decided.codes) == [Reason.MISSING_PARAMETER, Reason.INVALID_CHANNEL, "", ""]


def test_counts_add_up_by_reason_in_the_order_of_the_decision() -> None:
    codes = decide(
        (ANN, 0, COMPLETE),
        (ANN, 0, COMPLETE),
        (BOB, 0, COMPLETE),
        (CID, 0, COMPLETE),
        (CID, 0, COMPLETE),
        (0, 1, COMPLETE),
        (0, len(FAULTS) - 1, COMPLETE),
        suppressed=(BOB,),
        opted_out=(CID,),
    )
    counts = counts_by_reason(codes)

    assert counts == {"invalid_number": 2, "suppressed": 3, "duplicate": 1}
    assert list(counts) == ["invalid_number", "suppressed", "duplicate"]
    assert counts_by_reason(np.full(3, ELIGIBLE, dtype=np.uint8)) == {}
