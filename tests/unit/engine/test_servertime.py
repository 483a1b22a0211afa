"""The API's own time, counted on between two answers."""

import pytest
from support.doubles import SECOND, T0, ManualClock

from broadcaster.engine.servertime import ServerTime

TOLD = T0 - 500 * SECOND


@pytest.mark.parametrize("boot", ["boot-1", None], ids=["with a boot clock", "without"])
def test_it_goes_on_since_it_was_told(boot: str | None) -> None:
    clock = ManualClock(boot=boot)
    server_time = ServerTime(clock=clock, told_us=TOLD)
    clock.step(90)

    assert server_time.now_us() == TOLD + 90 * SECOND


@pytest.mark.parametrize("boot", ["boot-1", None], ids=["with a boot clock", "without"])
def test_nobody_moves_it_by_setting_the_wall_clock(boot: str | None) -> None:
    clock = ManualClock(boot=boot)
    server_time = ServerTime(clock=clock, told_us=TOLD)
    clock.set_wall(-7200)

    assert server_time.now_us() == TOLD


def test_the_last_word_counts() -> None:
    clock = ManualClock()
    server_time = ServerTime(clock=clock, told_us=TOLD)
    clock.step(90)
    server_time.hear(TOLD + 100 * SECOND)
    clock.step(1)

    assert server_time.now_us() == TOLD + 101 * SECOND


def test_an_answer_without_a_date_says_nothing() -> None:
    clock = ManualClock()
    server_time = ServerTime(clock=clock, told_us=TOLD)
    clock.step(90)
    server_time.hear(None)

    assert server_time.now_us() == TOLD + 90 * SECOND


def test_there_is_none_before_the_api_told_it() -> None:
    clock = ManualClock()
    server_time = ServerTime(clock=clock, told_us=None)
    clock.step(90)
    before = server_time.now_us()
    server_time.hear(TOLD)

    assert (before, server_time.now_us()) == (None, TOLD)


@pytest.mark.parametrize("boot", ["boot-1", None], ids=["with a boot clock", "without"])
def test_an_answer_that_was_long_on_its_way_does_not_set_it_back(boot: str | None) -> None:
    clock = ManualClock(boot=boot)
    server_time = ServerTime(clock=clock, told_us=TOLD)
    clock.step(3600)
    server_time.hear(TOLD + 5 * SECOND)

    assert server_time.now_us() == TOLD + 3600 * SECOND
