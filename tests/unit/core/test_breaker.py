"""The breaker's arithmetic: when it opens, for how long, and that one request at a time finds out whether to go on."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcaster.core.breaker import Breaker, BreakerPolicy, freed, heard, holds, left_s, may_pass, passed

POLICY = BreakerPolicy()
EIGHT = POLICY.among(8)


def fed(results: Sequence[bool], *, every_s: float, policy: BreakerPolicy = POLICY) -> tuple[Breaker, float]:
    """The breaker after *results* (whether the API answered), and the moment of the last one."""
    breaker, now_s = Breaker(), 0.0
    for number, answered in enumerate(results):
        now_s = number * every_s
        breaker = heard(breaker, number, answered=answered, now_s=now_s, policy=policy)
    return breaker, now_s


def opened(*, now_s: float = 0.0, policy: BreakerPolicy = POLICY) -> Breaker:
    breaker = Breaker()
    for number in range(policy.in_a_row):
        breaker = heard(breaker, number, answered=False, now_s=now_s, policy=policy)
    assert not breaker.closed
    return breaker


# ---- opening --------------------------------------------------------------------------------------------------------

OK, NO = True, False
AT_200_A_MINUTE_S = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Results, one every so often, and whether the last of them opens; those before it do not."""

    results: Sequence[bool]
    every_s: float = 0.0
    policy: BreakerPolicy = POLICY
    opens: bool


TABLE: dict[str, Row] = {
    "nothing but answers": Row(results=[OK] * 200, every_s=AT_200_A_MINUTE_S, opens=False),
    "nine failures in a row": Row(results=[NO] * 9, opens=False),
    "ten failures in a row": Row(results=[NO] * 10, opens=True),
    "ten failures in a row, half a minute apart": Row(results=[NO] * 10, every_s=30, opens=True),
    "nine, an answer, nine: nineteen results are too few": Row(results=[*[NO] * 9, OK, *[NO] * 9], opens=False),
    "nine, an answer, ten": Row(results=[*[NO] * 9, OK, *[NO] * 10], opens=True),
    "one round of eight senders": Row(results=[*[OK] * 50, *[NO] * 8], policy=EIGHT, opens=False),
    "almost two rounds of eight senders": Row(results=[NO] * 15, policy=EIGHT, opens=False),
    "two rounds of eight senders": Row(results=[NO] * 16, policy=EIGHT, opens=True),
    "two rounds at full speed, after half a minute of answers": Row(
        results=[*[OK] * 100, *[NO] * 16], every_s=AT_200_A_MINUTE_S, policy=EIGHT, opens=True
    ),
    "every other request fails, twenty of them": Row(
        results=[OK, NO] * 10, every_s=AT_200_A_MINUTE_S, policy=EIGHT, opens=True
    ),
    "every other request fails, nineteen of them": Row(results=[NO, *[OK, NO] * 9], policy=EIGHT, opens=False),
    "every other request fails, but there are few": Row(results=[OK, NO] * 50, every_s=3, policy=EIGHT, opens=False),
    "two of five fail": Row(results=[OK, NO, OK, NO, OK] * 40, every_s=AT_200_A_MINUTE_S, policy=EIGHT, opens=False),
    "every other one fails after half a minute of answers": Row(
        results=[*[OK] * 100, *[OK, NO] * 15], every_s=AT_200_A_MINUTE_S, policy=EIGHT, opens=False
    ),
    "failures of the minute before do not count": Row(
        results=[*[OK, OK, OK, NO, NO] * 2, *[NO] * 5, *[OK] * 4, NO, OK, NO], every_s=6, opens=False
    ),
    "an answer does not open": Row(results=[*[NO] * 9, OK, *[NO] * 9, OK], opens=False),
}


@pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
def test_it_opens_with_the_failure_that_is_too_much_and_not_before(row: Row) -> None:
    before, _ = fed(row.results[:-1], every_s=row.every_s, policy=row.policy)
    after, _ = fed(row.results, every_s=row.every_s, policy=row.policy)

    assert before.closed
    assert after.closed is not row.opens


def test_half_of_a_full_half_minute_opens_within_another() -> None:
    breaker, now_s = fed([OK] * 100, every_s=AT_200_A_MINUTE_S, policy=EIGHT)
    for number in range(100):
        if not breaker.closed:
            break
        now_s += AT_200_A_MINUTE_S
        breaker = heard(breaker, number, answered=bool(number % 2), now_s=now_s, policy=EIGHT)

    assert not breaker.closed


@pytest.mark.parametrize(("senders", "in_a_row"), [(1, 10), (5, 10), (6, 12), (8, 16), (64, 128)])
def test_more_senders_need_more_failures_in_a_row(senders: int, in_a_row: int) -> None:
    assert POLICY.among(senders).in_a_row == in_a_row


def test_what_it_remembers_does_not_grow_with_the_results() -> None:
    breaker, _ = fed([OK, OK, NO] * 5000, every_s=0.006)

    assert len(breaker.counts) <= 6


# ---- open, half open, closed again ----------------------------------------------------------------------------------


def test_while_it_is_open_nobody_passes() -> None:
    breaker = opened(now_s=100)

    assert [may_pass(breaker, now_s=now_s) for now_s in (100, 102, 104.9)] == [False] * 3
    assert left_s(breaker, now_s=102) == 3
    with pytest.raises(ValueError, match="nobody"):
        passed(breaker, 1, now_s=104.9)


def test_afterwards_one_may_pass_and_nobody_else_until_it_is_heard() -> None:
    breaker = passed(opened(now_s=100), 7, now_s=105)

    assert [may_pass(breaker, now_s=now_s) for now_s in (105, 1000)] == [False, False]
    assert (holds(breaker, 7), holds(breaker, 8)) == (True, False)
    with pytest.raises(ValueError, match="nobody"):
        passed(breaker, 8, now_s=1000)


def test_an_answer_to_the_probe_closes_it_and_nothing_is_remembered() -> None:
    breaker = heard(passed(opened(), 7, now_s=5), 7, answered=True, now_s=6, policy=POLICY)

    assert breaker == Breaker()


def test_it_opens_for_longer_with_every_probe_that_fails_up_to_a_minute() -> None:
    breaker, now_s, opens_s = opened(), 0.0, []
    for _ in range(7):
        opens_s.append(left_s(breaker, now_s=now_s))
        now_s += opens_s[-1]
        breaker = heard(passed(breaker, 7, now_s=now_s), 7, answered=False, now_s=now_s, policy=POLICY)

    assert opens_s == [5, 10, 20, 40, 60, 60, 60]


def test_after_an_answer_it_opens_for_the_first_time_again() -> None:
    breaker = heard(passed(opened(), 7, now_s=5), 7, answered=False, now_s=5, policy=POLICY)
    breaker = heard(passed(breaker, 7, now_s=15), 7, answered=True, now_s=15, policy=POLICY)
    for number in range(10):
        breaker = heard(breaker, number, answered=False, now_s=15, policy=POLICY)

    assert left_s(breaker, now_s=15) == 5


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("probing", [False, True], ids=["open", "half open"])
def test_what_left_before_it_opened_decides_nothing(*, probing: bool, answered: bool) -> None:
    breaker = opened()
    if probing:
        breaker = passed(breaker, 7, now_s=5)

    assert heard(breaker, 8, answered=answered, now_s=6, policy=POLICY) == breaker


def test_a_probe_that_never_left_makes_room_for_another() -> None:
    breaker = freed(passed(opened(), 7, now_s=5), 7)

    assert may_pass(breaker, now_s=5)
    assert passed(breaker, 8, now_s=5).probe == 8


def test_nobody_but_the_probe_can_free_its_place() -> None:
    breaker = passed(opened(), 7, now_s=5)

    assert freed(breaker, 8) == breaker
    assert freed(Breaker(), 8) == Breaker()


def test_a_pass_from_before_it_opened_is_no_good() -> None:
    assert holds(Breaker(), 7)
    assert not holds(opened(), 7)


# ---- whatever happens -----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "answer", "fail", "fail", "fail", "leave"]),
        st.integers(0, 20),
        st.sampled_from([0.0, 0.0, 0.1, 1.0, 4.0, 31.0]),
    ),
    max_size=120,
)
SMALL = BreakerPolicy(least=6, in_a_row=4, rounds=0)


@given(steps=STEPS)
def test_never_more_than_one_tries_and_always_somebody_may_in_the_end(steps: list[tuple[str, int, float]]) -> None:
    breaker, now_s, asked = Breaker(), 0.0, 0
    on_their_way: dict[int, bool] = {}  # number → whether it left as the probe
    for what, which, after_s in steps:
        now_s += after_s
        if what == "ask":
            if may_pass(breaker, now_s=now_s):
                on_their_way[asked] = not breaker.closed
                breaker = passed(breaker, asked, now_s=now_s)
                asked += 1
        elif on_their_way:
            number = sorted(on_their_way)[which % len(on_their_way)]
            was_probe = on_their_way.pop(number)
            if what == "leave":
                breaker = freed(breaker, number)
            else:
                breaker = heard(breaker, number, answered=what == "answer", now_s=now_s, policy=SMALL)
                assert not was_probe or breaker.closed is (what == "answer")
            assert not was_probe or breaker.probe is None
        assert sum(on_their_way.values()) <= 1
        assert (breaker.probe is not None) is any(on_their_way.values())
        assert left_s(breaker, now_s=now_s) <= SMALL.longest_s

    for number in on_their_way:
        breaker = freed(breaker, number)
    assert may_pass(breaker, now_s=now_s + SMALL.longest_s)
    breaker = passed(breaker, asked, now_s=now_s + SMALL.longest_s)
    assert heard(breaker, asked, answered=True, now_s=now_s + 61, policy=SMALL).closed
