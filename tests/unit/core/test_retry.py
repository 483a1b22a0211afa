import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.retry import RetryPolicy, delay_s

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
