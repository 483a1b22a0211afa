"""One timer for many time limits: each goes off in its turn, and those that were kept never do."""

import asyncio

from support.jumping import on_jumping_loop

from broadcaster.api.deadlines import Deadlines

LIMIT_S = 60.0


async def ended_s(deadlines: Deadlines, *, starts_s: float, works_s: float | None) -> tuple[float, bool]:
    """Begin after a while and work so long, or for ever; return when it ended, and whether it was in time."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(starts_s)
    limit = deadlines.begin()
    try:
        async with limit:
            await (asyncio.Event().wait() if works_s is None else asyncio.sleep(works_s))
    except TimeoutError:
        return loop.time(), False
    finally:
        deadlines.end(limit)
    return loop.time(), True


def together(*works: tuple[float, float | None]) -> list[tuple[float, bool]]:
    """Return how each of (start, work) ended, in seconds since the first began."""

    async def main() -> list[tuple[float, bool]]:
        began_s = asyncio.get_running_loop().time()
        deadlines = Deadlines(LIMIT_S)
        ends = await asyncio.gather(*(ended_s(deadlines, starts_s=at_s, works_s=work_s) for at_s, work_s in works))
        return [(round(at_s - began_s, 3), in_time) for at_s, in_time in ends]

    return on_jumping_loop(main)


def test_each_limit_goes_off_when_its_own_time_has_passed() -> None:
    assert together((0, None), (10, None), (10, None), (59, None)) == [
        (60, False), (70, False), (70, False), (119, False),
    ]  # fmt: skip


def test_who_is_done_in_time_hears_nothing_and_stops_nobody_elses_limit() -> None:
    assert together((0, 59), (5, None), (6, 59.5)) == [(59, True), (65, False), (65.5, True)]


def test_a_limit_that_begins_when_none_was_open_goes_off_too() -> None:
    assert together((0, 1), (200, None)) == [(1, True), (260, False)]
