"""Live orders as values: what holds, what changes anything, what is news."""

from datetime import timedelta, timezone

import pytest

from broadcaster.core.control import Control, Order, changes, followed, news
from broadcaster.core.words import Steering

MINUTE = 60_000_000
T0 = 1_764_580_000_000_000  # 2025-12-01 09:06:40 UTC


def order(what: str, *, at: int = 0, who: str = "ada@desk", per_minute: int | None = None) -> Order:
    return Order(what=Steering(what), who=who, at_us=T0 + at * MINUTE, per_minute=per_minute)


PAUSE, GO, RATE = order("pause"), order("go", at=1), order("rate", at=2, per_minute=60)
LATER_PAUSE = order("pause", at=3, who="bo@desk")
NOTHING = Control()


def test_the_last_word_about_each_thing_holds() -> None:
    control = followed([PAUSE, RATE, GO, LATER_PAUSE, order("rate", at=9, per_minute=7)])

    assert control.paused == LATER_PAUSE
    assert control.rate is not None
    assert control.rate.per_minute == 7
    assert followed([PAUSE, GO]).paused is None
    assert followed([]) == NOTHING


@pytest.mark.parametrize(
    ("holds", "given", "expected"),
    [
        ([], PAUSE, True),
        ([PAUSE], LATER_PAUSE, False),
        ([PAUSE, GO], LATER_PAUSE, True),
        ([], GO, False),
        ([PAUSE], GO, True),
        ([PAUSE, GO], order("go", at=5), False),
        ([], RATE, True),
        ([RATE], order("rate", at=5, per_minute=60), False),
        ([RATE], order("rate", at=5, per_minute=61), True),
        ([PAUSE], RATE, True),
    ],
    ids=[
        "a first pause",
        "a second pause",
        "a pause after a go",
        "a go without a pause",
        "a go after a pause",
        "a second go",
        "a first rate",
        "the same rate",
        "another rate",
        "a rate of a paused run",
    ],
)
def test_an_order_changes_something_or_not(holds: list[Order], given: Order, *, expected: bool) -> None:
    assert changes(followed(holds), given) is expected


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        ([], [], []),
        ([PAUSE], [], [PAUSE]),
        ([PAUSE], [PAUSE], []),
        ([LATER_PAUSE], [PAUSE], [LATER_PAUSE]),
        ([PAUSE, GO], [], []),
        ([PAUSE, GO], [PAUSE], [GO]),
        ([PAUSE, GO, LATER_PAUSE], [PAUSE], [LATER_PAUSE]),
        ([RATE], [], [RATE]),
        ([RATE], [RATE], []),
        ([PAUSE, RATE], [], [PAUSE, RATE]),
        ([PAUSE, RATE], [PAUSE], [RATE]),
        ([], [PAUSE, RATE], []),
    ],
    ids=[
        "nothing was ever ordered",
        "a pause",
        "a pause that is known, as after a restart",
        "somebody else's pause",
        "a pause and a go that nobody saw",
        "a go after a known pause",
        "a go and a pause in quick succession: the last wins",
        "a rate",
        "a rate that is known",
        "both at once",
        "a rate of a paused run",
        "orders that are not there any more are no orders",
    ],
)
def test_what_is_new_to_whoever_follows(asked: list[Order], known: list[Order], expected: list[Order]) -> None:
    assert list(news(followed(asked), known=followed(known))) == expected


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0, "09:06"), (14.8, "09:06"), (14.9, "2025-12-01 09:06"), (24, "2025-12-01 09:06")],
    ids=["now", "late the same day", "after midnight", "a day later"],
)
def test_a_moment_is_told_with_its_date_unless_that_is_todays(hours: float, expected: str) -> None:
    assert PAUSE.since(now_us=T0 + round(hours * 60 * MINUTE), zone=timezone(timedelta(0))) == expected


def test_a_moment_is_told_in_the_zone_of_whoever_reads_it() -> None:
    assert PAUSE.since(now_us=T0, zone=timezone(timedelta(hours=-5))) == "04:06"
