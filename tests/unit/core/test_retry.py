import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.retry import RetryBudget, RetryPolicy, delay_s, given_back, taken

POLICY = RetryPolicy(initial_s=0.5, factor=2.0, ceiling_s=30.0, jitter=0.5)
CHANCE = st.floats(min_value=0, max_value=1, exclude_max=True)


@pytest.mark.parametrize(("failed", "expected_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (10_000, 30.0)])
def test_the_wait_doubles_up_to_the_ceiling(failed: int, expected_s: float) -> None:
    assert delay_s(failed, policy=POLICY, retry_after_s=None, rand=0.0) == expected_s


def test_chance_takes_up_to_its_share_away() -> None:
    assert delay_s(3, policy=POLICY, retry_after_s=None, rand=0.5) == 1.5


@given(failed=st.integers(1, 10**6), rand=CHANCE)
def test_no_computed_wait_passes_the_ceiling_or_vanishes(failed: int, rand: float) -> None:
    assert 0.25 < delay_s(failed, policy=POLICY, retry_after_s=None, rand=rand) <= 30.0


@given(failed=st.integers(1, 10**6), rand=CHANCE)
def test_waits_never_shrink_with_more_failures(failed: int, rand: float) -> None:
    shorter = delay_s(failed, policy=POLICY, retry_after_s=None, rand=rand)

    assert delay_s(failed + 1, policy=POLICY, retry_after_s=None, rand=rand) >= shorter


@given(failed=st.integers(1, 100), rand=CHANCE, retry_after_s=st.floats(min_value=0.1, max_value=10_000))
def test_the_apis_own_word_wins_whatever_its_size(failed: int, rand: float, retry_after_s: float) -> None:
    assert delay_s(failed, policy=POLICY, retry_after_s=retry_after_s, rand=rand) == retry_after_s


@pytest.mark.parametrize("failed", [1, 3, 100])
def test_a_retry_that_is_not_hurried_waits_as_long_as_any(failed: int) -> None:
    assert delay_s(failed, policy=POLICY, retry_after_s=None, rand=0.0, hurried=False) == 30.0
    assert delay_s(failed, policy=POLICY, retry_after_s=None, rand=0.5, hurried=False) == 22.5


def test_the_apis_own_word_wins_over_an_empty_budget() -> None:
    assert delay_s(1, policy=POLICY, retry_after_s=2.0, rand=0.0, hurried=False) == 2.0


# ---- the budget of a run --------------------------------------------------------------------------------------------


def test_a_budget_starts_full_and_is_empty_after_a_hundred_retries() -> None:
    budget, hurried = RetryBudget(), 0
    while not budget.empty:
        budget, hurried = taken(budget), hurried + 1

    assert hurried == 100


def test_nothing_is_taken_of_an_empty_budget() -> None:
    empty = RetryBudget(left=0.9)

    assert taken(empty) == empty


@pytest.mark.parametrize(
    ("left", "repeated", "expected"),
    [(50, False, 50.2), (50, True, 51), (0, False, 0.2), (99.9, False, 100), (100, True, 100)],
    ids=["accepted at once", "accepted in the end", "an empty one", "almost full", "full"],
)
def test_an_accepted_batch_gives_some_back_and_never_more_than_there_was(
    left: float, expected: float, *, repeated: bool
) -> None:
    assert given_back(RetryBudget(left=left), repeated=repeated).left == pytest.approx(expected)


def runs_dry(failing: float) -> bool:
    """Whether the budget is ever empty in 5,000 batches when such a share of the requests fails."""
    chance, budget, dry = random.Random(7), RetryBudget(), False
    for _ in range(5_000):
        repeated = False
        while chance.random() < failing:
            dry = dry or budget.empty
            budget, repeated = taken(budget), True
        budget = given_back(budget, repeated=repeated)
    return dry


@pytest.mark.parametrize(
    ("failing", "dry"), [(0.0, False), (0.05, False), (0.15, False), (0.25, False), (0.4, True), (0.6, True)]
)
def test_only_where_much_fails_does_a_budget_run_dry(failing: float, *, dry: bool) -> None:
    assert runs_dry(failing) is dry


@given(steps=st.lists(st.sampled_from([None, False, True]), max_size=400))
def test_a_budget_stays_between_nothing_and_full(steps: list[bool | None]) -> None:
    budget = RetryBudget(left=3.0, most=5.0)
    for repeated in steps:
        budget = taken(budget) if repeated is None else given_back(budget, repeated=repeated)
        assert 0 <= budget.left <= budget.most
