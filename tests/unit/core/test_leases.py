"""One limit for many senders, as arithmetic."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.core import leases
from broadcaster.core.leases import KEPT_S, Heard, Pool
from broadcaster.core.pacing import Source
from broadcaster.core.window import WINDOW_US

WINDOW_S = WINDOW_US / 1e6
patiently = partial(leases.ask, patient=True)
at_once = partial(leases.ask, patient=False)


def pool(requests: int = 60, messages: int = 0, *, largest: int = 1, now_s: float = 0.0, **more: Any) -> Pool:
    return leases.opened(requests=requests, messages=messages, largest=largest, now_s=now_s, **more)


def drained(at: Pool, *, seconds: float, who: str = "a", messages: int = 1, since_s: float = 0.0) -> list[float]:
    """Return when *who* gets its turns if it asks exactly when it is told to."""
    found, now_s = [], since_s
    while now_s < since_s + seconds:
        at, wait_s = patiently(at, who=who, messages=messages, now_s=now_s)
        if not wait_s:
            found.append(now_s)
        now_s += wait_s
    return found


def fullest(turns: list[tuple[float, int]]) -> int:
    """Return the most that was given in any sixty seconds."""
    return max(
        (sum(amount for at, amount in turns if began <= at < began + 60) for began, _ in turns),
        default=0,
    )


# ---- the line -------------------------------------------------------------------------------------------------------


def test_the_first_turn_is_given_at_once_and_the_second_after_its_share_of_the_minute() -> None:
    at, wait_s = patiently(pool(60), who="a", messages=1, now_s=0)
    assert wait_s == 0
    _, wait_s = patiently(at, who="b", messages=1, now_s=0)
    assert wait_s == pytest.approx(WINDOW_S / 60)


def test_who_asked_first_gets_the_next_turn_whoever_asks_first_when_it_is_there() -> None:
    at, _ = patiently(pool(60), who="a", messages=1, now_s=0)
    at, _ = patiently(at, who="b", messages=1, now_s=0.1)
    at, _ = patiently(at, who="c", messages=1, now_s=0.2)
    at, of_b = patiently(at, who="b", messages=1, now_s=1.005)
    at, of_c = patiently(at, who="c", messages=1, now_s=1.005)
    at, impatient = at_once(at, who="d", messages=1, now_s=1.02)
    assert of_c > of_b > 0
    assert impatient > of_c
    at, of_c = patiently(at, who="c", messages=1, now_s=1.02)
    assert of_c > 0, "b was there before it"
    at, of_b = patiently(at, who="b", messages=1, now_s=1.03)
    assert of_b == 0


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    at = pool(0, 100, largest=50)
    at, _ = patiently(at, who="first", messages=50, now_s=0)
    at, wait_s = patiently(at, who="large", messages=50, now_s=0)
    assert wait_s == pytest.approx(WINDOW_S / 2)
    _, wait_s = at_once(at, who="small", messages=1, now_s=0.5)
    assert wait_s > WINDOW_S / 2 - 0.5


def test_the_place_of_somebody_who_is_gone_is_free_after_a_second() -> None:
    at, _ = patiently(pool(60), who="a", messages=1, now_s=0)
    at, _ = patiently(at, who="dead", messages=1, now_s=0.1)
    at, early = patiently(at, who="c", messages=1, now_s=1.02)
    at, late = patiently(at, who="c", messages=1, now_s=0.1 + KEPT_S + 0.01)
    assert early > 0
    assert late == 0


def test_a_place_that_is_withdrawn_is_free_at_once() -> None:
    at, _ = patiently(pool(60), who="a", messages=1, now_s=0)
    at, _ = patiently(at, who="b", messages=1, now_s=0.1)
    at, wait_s = patiently(leases.withdrawn(at, who="b"), who="c", messages=1, now_s=1.02)
    assert wait_s == 0
    assert at.line == ()


def test_who_does_not_wait_keeps_no_place() -> None:
    at, _ = at_once(pool(60), who="a", messages=1, now_s=0)
    at, wait_s = at_once(at, who="b", messages=1, now_s=0)
    assert wait_s > 0
    assert at.line == ()


# ---- the minute -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a pool begins with, and how long its first turn takes then."""

    id: str
    requests: int = 0
    messages: int = 0
    ago_s: float = 0.0
    waits_s: float


BEFORE = [
    Before(id="nothing was spent", waits_s=0),
    Before(id="as much as there is, just now", requests=60, waits_s=WINDOW_S),
    Before(id="as much as there is, half a minute ago", requests=60, ago_s=30, waits_s=WINDOW_S - 30),
    Before(id="all but one", requests=59, waits_s=0),
    Before(id="all of it, more than a minute ago", requests=60, ago_s=61, waits_s=0),
    Before(id="all messages, and only they are limited too", messages=600, ago_s=20, waits_s=WINDOW_S - 20),
]


@pytest.mark.parametrize("before", BEFORE, ids=lambda each: each.id)
def test_what_was_spent_before_counts(before: Before) -> None:
    at = leases.spent_before(
        pool(60, 600), requests=before.requests, messages=before.messages, ago_s=before.ago_s, now_s=100.0
    )
    _, wait_s = patiently(at, who="a", messages=1, now_s=100.0)
    assert wait_s == pytest.approx(before.waits_s, abs=0.11)  # a tick


def test_a_new_keeper_may_have_to_take_the_last_minute_for_used_up() -> None:
    at = leases.used_up(pool(60), ago_s=12.5, now_s=100.0)
    _, wait_s = patiently(at, who="a", messages=1, now_s=100.0)
    assert wait_s == pytest.approx(WINDOW_S - 12.5, abs=0.11)


@pytest.mark.parametrize("limit", [1, 60, 1000])
def test_a_limit_is_used_to_nine_tenths_and_more(limit: int) -> None:
    turns = drained(pool(limit), seconds=180)
    assert 0.97 * 3 * limit <= len(turns) <= 3 * limit + 1 + limit // 400


@settings(max_examples=60, deadline=None)
@given(
    requests=st.integers(1, 40),
    messages=st.integers(0, 300),
    asks=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([0.0, 0.001, 0.05, 0.25, 1.3, 20.0]), st.booleans()),
        min_size=1,
        max_size=250,
    ),
    heard=st.dictionaries(
        st.integers(0, 249), st.builds(Heard, throttled=st.booleans(), retry_after_s=st.sampled_from([None, 0.5, 7.0]))
    ),
)
def test_no_sixty_seconds_pass_the_limit_whoever_asks_whenever(
    requests: int, messages: int, asks: list[tuple[int, float, bool]], heard: dict[int, Heard]
) -> None:
    """Six senders with requests of one to six messages; half of the asks come sooner than they were told to."""
    at, now_s = pool(requests, messages, largest=6), 0.0
    given_: list[tuple[float, int]] = []
    for number, (who, later_s, patient) in enumerate(asks):
        now_s += later_s
        if number in heard:
            at = leases.hear(at, heard[number], now_s=now_s)
        at, wait_s = leases.ask(at, who=str(who), messages=1 + who, patient=patient, now_s=now_s)
        if not wait_s:
            given_.append((now_s, 1 + who))
    assert fullest([(moment, 1) for moment, _ in given_]) <= requests
    if messages >= 6:
        assert fullest(given_) <= messages


@settings(max_examples=40, deadline=None)
@given(order=st.permutations(range(5)), limit=st.integers(10, 100))
def test_everybody_who_waits_gets_as_many_turns_as_the_others(order: list[int], limit: int) -> None:
    at, now_s, got = pool(limit), 0.0, Counter[int]()
    for _ in range(60):
        for who in order:
            at, wait_s = patiently(at, who=str(who), messages=1, now_s=now_s)
            got[who] += not wait_s
        now_s += 0.2
    assert max(got.values()) - min(got[who] for who in order) <= 1


# ---- a 429, and what headers say ------------------------------------------------------------------------------------


def test_a_429_of_one_pauses_everybody_and_halves_the_rate() -> None:
    at = leases.hear(pool(200), Heard(throttled=True, retry_after_s=4), now_s=10)
    _, wait_s = patiently(at, who="another", messages=1, now_s=10)
    assert wait_s == pytest.approx(4)
    assert at.limit.requests_per_minute == 100
    assert at.limit.slowed
    again = leases.hear(at, Heard(throttled=True, retry_after_s=4), now_s=11)
    assert again.limit.requests_per_minute == 100, "two of the same moment are one"


def test_a_rate_that_gave_way_climbs_back() -> None:
    at = leases.hear(pool(200), Heard(throttled=True, retry_after_s=0), now_s=0)
    at, _ = at_once(at, who="a", messages=1, now_s=61)
    assert at.limit.requests_per_minute == 120
    at, _ = at_once(at, who="a", messages=1, now_s=600)
    assert at.limit.requests_per_minute == 200
    assert not at.limit.slowed


def test_a_429_pauses_also_where_nothing_is_limited() -> None:
    at = leases.hear(pool(0), Heard(throttled=True, retry_after_s=3), now_s=0)
    assert patiently(at, who="a", messages=1, now_s=1)[1] == pytest.approx(2)
    assert patiently(at, who="a", messages=1, now_s=3.1)[1] == 0


LEARNED = [
    ("a default gives way to what the API says", False, 300, 300, Source.LEARNED),
    ("a lower limit than the chosen one holds", True, 120, 120, Source.LEARNED),
    ("a higher one than the chosen one does not", True, 300, 200, Source.CONFIGURED),
]


@pytest.mark.parametrize(
    ("chosen", "says", "holds", "source"), [row[1:] for row in LEARNED], ids=[r[0] for r in LEARNED]
)
def test_a_limit_that_an_answer_names(chosen: bool, says: int, holds: int, source: Source) -> None:  # noqa: FBT001 - a row of the table
    at = leases.hear(pool(200, chosen=chosen), Heard(limit=says), now_s=0)
    assert (at.limit.requests_per_minute, at.limit.source) == (holds, source)


def test_a_429_that_names_a_lower_limit_does_not_halve_the_rate_besides() -> None:
    at = pool(200, chosen=False)
    for number in range(60):
        at, _ = at_once(at, who="a", messages=1, now_s=number * 0.31)
    at = leases.hear(at, Heard(throttled=True, retry_after_s=2, limit=60), now_s=20)
    assert at.limit.requests_per_minute == 60
    assert not at.limit.slowed


def test_what_others_spend_is_left_to_them() -> None:
    at, _ = at_once(pool(60), who="a", messages=1, now_s=0)
    at = leases.hear(at, Heard(remaining=0), now_s=1.2)
    _, wait_s = patiently(at, who="a", messages=1, now_s=5)
    assert wait_s == pytest.approx(WINDOW_S - 3.8 - 1.2, abs=0.2), "not before the first of the minute leaves it"
    assert at.held(now_s=5)[0] == 60


def test_another_run_of_the_account_brings_its_limits_and_finds_what_was_spent() -> None:
    at = pool(60)
    for number in range(5):
        at, _ = at_once(at, who="a", messages=1, now_s=number * 1.1)
    at = leases.hear(at, Heard(throttled=True, retry_after_s=30), now_s=5)
    again = leases.reopened(at, pool(20, now_s=6), now_s=6)
    assert again.limit.requests_per_minute == 20
    assert again.held(now_s=6)[0] == 5
    assert again.paused_s(now_s=6) == pytest.approx(29)
