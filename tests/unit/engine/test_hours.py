"""Send times and hours in the sending loop: what is late is timed again, nothing leaves while the window is shut."""

from dataclasses import replace
from datetime import UTC, datetime

from support.answers import refuses
from support.doubles import ManualClock
from support.engine import TERMS, Bench, keyed, make_batch

from broadcaster.core.timetable import Hold, Timetable
from broadcaster.core.values import Batch
from broadcaster.core.windows import parse_window
from broadcaster.core.words import State
from broadcaster.core.zones import MINUTE_US, write
from broadcaster.engine.ports import Noticed
from broadcaster.errors import ScheduleStale, WindowShut

WINDOW = parse_window("Mon-Fri 09:00-20:00")
NOW = round(datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000  # a Tuesday


def bench(*, now: int = NOW, patient: bool = True, **table: object) -> Bench:
    return Bench(
        clock=ManualClock(wall_us=now),
        terms=replace(TERMS, timetable=Timetable(**table), patient=patient),  # type: ignore[arg-type]  # its fields
    )


def timed(number: int, *, ahead_minutes: float, zones: tuple[str, ...] = ()) -> Batch:
    """Return a batch whose time is so far ahead of NOW."""
    at = write(NOW + round(ahead_minutes * MINUTE_US), UTC)
    return keyed(replace(make_batch(number), send_at=at, zones=zones))


async def test_a_batch_whose_time_is_ahead_leaves_as_it_was_planned() -> None:
    api = bench()
    await api.run(timed(0, ahead_minutes=10))
    assert [each.key for each in api.send.seen] == [timed(0, ahead_minutes=10).key]
    assert not api.journal.children


async def test_a_batch_whose_time_has_passed_goes_at_once_as_its_own_child() -> None:
    api = bench()
    late = timed(0, ahead_minutes=-10)

    await api.run(late)

    assert api.journal.outcomes[0].state is State.SPLIT
    assert api.journal.outcomes[0].code == "retimed"
    assert api.journal.outcomes[-1].state is State.ACCEPTED
    (seen,) = api.send.seen
    assert b"scheduled_at" not in seen.body
    assert seen.key == api.journal.children[-1].key == late.key, "whoever launches it at another hour has the same key"
    assert 0 not in api.journal.claims  # nothing of the parent was ever claimed
    assert api.journal.lines[0].startswith("settle 0")


async def test_outside_the_window_it_goes_when_that_opens() -> None:
    api = bench(now=NOW + 9 * 60 * MINUTE_US, window=WINDOW)  # 21:00 UTC
    await api.run(timed(0, ahead_minutes=-10, zones=("UTC",)))
    (seen,) = api.send.seen
    assert b'"scheduled_at":"2026-12-02T09:00:00Z"' in seen.body


async def test_a_time_that_passes_while_the_api_asks_to_wait_is_found_anew() -> None:
    api = bench()
    api.answer(refuses(429, "BUSINESS_002", retry_after_s=300))

    await api.run(timed(0, ahead_minutes=3))

    first, second = api.send.seen
    assert b"scheduled_at" in first.body
    assert b"scheduled_at" not in second.body
    assert api.journal.outcomes[-1].state is State.ACCEPTED


async def test_after_the_end_nothing_is_claimed_and_the_run_says_why() -> None:
    api = bench(not_after_us=NOW)
    await api.run(make_batch(0), timed(1, ahead_minutes=10))
    assert not api.send.seen
    assert not api.journal.lines
    assert isinstance(api.stop.because, ScheduleStale)


async def test_what_no_time_is_left_for_stays_while_the_others_go() -> None:
    api = bench(now=NOW + 9 * 60 * MINUTE_US, window=WINDOW, not_after_us=NOW + 12 * 60 * MINUTE_US)
    await api.run(timed(0, ahead_minutes=-10, zones=("UTC",)), timed(1, ahead_minutes=600, zones=("UTC",)))
    assert [each.key for each in api.send.seen] == [timed(1, ahead_minutes=600).key]
    assert set(api.journal.outcomes) == {1}


async def test_a_run_waits_until_its_window_opens_and_says_so_once() -> None:
    api = bench(now=NOW - 4 * 60 * MINUTE_US, window=WINDOW, hold=Hold.RUN, zone="UTC", text="Mon-Fri 09:00-20:00")

    await api.run(make_batch(0), make_batch(1))

    assert len(api.send.seen) == 2
    assert api.clock.wall_us >= NOW - 3 * 60 * MINUTE_US
    assert [each.sentence for each in api.heard.events if isinstance(each, Noticed)] == [
        "The window (Mon-Fri 09:00-20:00) is shut: waiting until 2026-12-01 09:00 UTC."
    ]


async def test_an_impatient_run_ends_and_says_when_to_come_back() -> None:
    api = bench(now=NOW - 4 * 60 * MINUTE_US, window=WINDOW, hold=Hold.RUN, patient=False)
    await api.run(make_batch(0))
    assert not api.send.seen
    assert isinstance(api.stop.because, WindowShut)
    assert api.stop.because.until == "2026-12-01 09:00 UTC"


async def test_a_window_that_opens_after_the_end_is_not_waited_for() -> None:
    api = bench(now=NOW - 4 * 60 * MINUTE_US, window=WINDOW, hold=Hold.RUN, not_after_us=NOW - 3 * 60 * MINUTE_US)
    await api.run(make_batch(0))
    assert not api.send.seen
    assert isinstance(api.stop.because, ScheduleStale)
