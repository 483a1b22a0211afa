"""The sliding window: at most so much in any 60 seconds."""

import time

import pytest
from support.sends import ANN, BOB, EVE, SEND, notice
from support.simulator import Simulator

from broadcaster.simulator.envelope import Refusal
from broadcaster.simulator.limits import SlidingWindow


def wait_s(window: SlidingWindow, amount: int, *, now: float) -> int | None:
    """How long the window asks to wait; ``None`` when it lets us through."""
    try:
        window.take(amount, now=now, wall=1000.0)
    except Refusal as refusal:
        return int(refusal.headers["Retry-After"])
    return None


def test_what_was_taken_comes_back_after_sixty_seconds() -> None:
    window = SlidingWindow(2)
    assert [wait_s(window, 1, now=now) for now in (0.0, 10.0, 20.0, 59.5, 60.0, 60.0, 70.0)] == [
        None, None, 40, 1, None, 10, None,
    ]  # fmt: skip


def test_a_refused_request_takes_nothing() -> None:
    window = SlidingWindow(1)
    assert [wait_s(window, 1, now=now) for now in (0.0, 30.0, 60.0)] == [None, 30, None]


def test_a_large_amount_waits_for_enough_of_the_small_ones() -> None:
    window = SlidingWindow(10)
    for now in (0.0, 1.0, 2.0):
        assert wait_s(window, 3, now=now) is None
    assert wait_s(window, 6, now=3.0) == 58


def test_more_than_the_whole_limit_never_fits() -> None:
    assert wait_s(SlidingWindow(10), 11, now=0.0) == 60


def test_what_is_given_back_is_free_at_once() -> None:
    window = SlidingWindow(5)
    share = window.take(5, now=0.0, wall=0.0)
    window.give_back(share)
    assert wait_s(window, 5, now=0.0) is None
    assert wait_s(window, 1, now=1.0) == 59


def test_giving_back_late_frees_nothing_twice() -> None:
    window = SlidingWindow(5)
    share = window.take(5, now=0.0, wall=0.0)
    window.take(5, now=61.0, wall=0.0)
    window.give_back(share)
    assert wait_s(window, 1, now=62.0) == 59


def test_no_limit_is_no_limit() -> None:
    assert {wait_s(SlidingWindow(0), 10**9, now=0.0)} == {None}


def test_too_many_requests_are_refused_with_the_rate_headers_and_logged() -> None:
    with Simulator(requests_per_minute=3) as sim:
        replies = [sim.call("GET", "/v3/me"), *(sim.call("POST", SEND, notice(), idempotency_key="k") for _ in "123")]
        assert [reply.status for reply in replies] == [200, 202, 202, 429]
        headers = replies[-1].headers
        assert replies[-1].code == "BUSINESS_002"
        assert 1 <= int(headers["retry-after"]) <= 60
        assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("3", "0")
        assert 0 < int(headers["x-ratelimit-reset"]) - time.time() <= 61
        assert [row["status"] for row in sim.requests()] == [200, 202, 202, 429]
        assert not [name for reply in replies[:-1] for name in reply.headers if "ratelimit" in name]


def test_a_wrong_key_does_not_use_the_accounts_limit() -> None:
    with Simulator(requests_per_minute=1) as sim:
        assert [sim.call("GET", "/v3/me", key=key).status for key in ("wrong", "", "")] == [401, 200, 429]


def test_messages_are_limited_by_recipients_times_channels() -> None:
    with Simulator(messages_per_minute=5) as sim:
        assert sim.call("POST", SEND, notice(ANN, BOB, channel=["sms", "rcs"])).status == 202
        reply = sim.call("POST", SEND, notice(ANN, BOB))
        assert (reply.status, reply.code) == (429, "BUSINESS_002")
        assert sim.call("POST", SEND, notice(EVE)).status == 202
        assert len(sim.messages()) == 5


@pytest.mark.parametrize("again", [notice(ANN), notice("x")], ids=["a replay", "a refused request"])
def test_what_creates_nothing_uses_no_messages(again: object) -> None:
    with Simulator(messages_per_minute=2, reused_key="replay") as sim:
        for body in (notice(ANN), again, again):
            sim.call("POST", SEND, body, idempotency_key="k")
        assert sim.call("POST", SEND, notice(BOB)).status == 202
        assert sim.call("POST", SEND, notice(BOB)).status == 429
