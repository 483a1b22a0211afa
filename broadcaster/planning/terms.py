"""What a plan asks of the engine: its message, how long its keys protect, when to give up, and when it is too late."""

from broadcaster.clock import wall_us
from broadcaster.core.doubt import MARGIN_SHARE
from broadcaster.core.sizes import most_row_bytes
from broadcaster.core.timetable import Timetable
from broadcaster.core.words import Channel, On5xx
from broadcaster.engine.terms import Replays, Terms
from broadcaster.errors import ScheduleStale, WindowShut
from broadcaster.job.model import Api, Safety, Schedule
from broadcaster.planning.timing import check_times
from broadcaster.store.plan import Plan


def terms_of(
    plan: Plan,
    *,
    api: Api,
    safety: Safety,
    timetable: Timetable,
    patient: bool = True,
    replays: Replays | None = None,
) -> Terms:
    """Return what holds for every batch of *plan*; whoever is *patient* waits while the window is shut."""
    return Terms(
        message=plan.head.message,
        operation=plan.head.asked,
        window_s=api.idempotency_window,
        margin_s=api.idempotency_window * MARGIN_SHARE,
        give_up_after_s=safety.give_up_after,
        on_5xx=On5xx(safety.on_5xx),
        timetable=timetable,
        patient=patient,
        replays=replays,
        row_bytes=most_row_bytes(auto=plan.channels == (Channel.AUTO,), text=plan.head.text),
    )


def require_hours(plan: Plan, table: Timetable, *, patient: bool) -> None:
    """Refuse to begin at a time at which nothing may go out.

    Raises:
        ScheduleStale: it is too late for all of it.
        WindowShut: the window is shut, and nobody is *patient* enough to wait until it opens.
        ConfigError: a send time is farther ahead than the API takes it.
    """
    now_us = wall_us()
    if table.is_stale(now_us):
        raise ScheduleStale("schedule.not_after has passed; nothing more goes out")
    opens_us = table.shut_until_us(now_us)
    if opens_us is not None and not patient:
        until = table.clock(opens_us)
        raise WindowShut(f"the window ({table.text}) is shut until {until}; come back then", until=until)
    times = [each for part in plan.parts for each in part.head.times]
    check_times(times, schedule=Schedule(), now_us=now_us, fresh=False)


def too_late(deliveries: int) -> ScheduleStale:
    """Return why so many deliveries stay pending."""
    return ScheduleStale(
        f"for {deliveries:,} deliveries the next time that suits is after schedule.not_after; they stay pending"
    )
