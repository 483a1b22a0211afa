"""The bounded line of tasks: what is taken next, when there is no more, and who is woken."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from support.engine import feed, make_batch

from broadcaster.engine.stop import Stop
from broadcaster.engine.work import Task, Work

ROOM = 2


def task(number: int) -> Task:
    return Task(batch=make_batch(number))


async def taken(work: Work) -> int | None:
    found = await work.take()
    return None if found is None else found.batch.id


async def test_tasks_are_taken_in_the_order_in_which_they_were_fed() -> None:
    work = Work(room=ROOM, stop=Stop())
    async with asyncio.TaskGroup() as group:
        group.create_task(work.feed(feed([make_batch(number) for number in range(5)])))
        found = []
        while (number := await taken(work)) is not None:
            found.append(number)
            await work.done()

    assert found == [0, 1, 2, 3, 4]


async def test_the_feeder_is_never_further_ahead_than_there_is_room() -> None:
    work, fed = Work(room=ROOM, stop=Stop()), list[int]()

    async def tasks() -> AsyncGenerator[Task, None]:
        for number in range(6):
            fed.append(number)
            yield task(number)

    async with asyncio.TaskGroup() as group:
        group.create_task(work.feed(tasks()))
        for _ in range(20):
            await asyncio.sleep(0)
        assert fed == [0, 1, 2]  # two in the line, and one in the hand
        await work.take()
        for _ in range(20):
            await asyncio.sleep(0)
        assert fed == [0, 1, 2, 3]
        await work.done()
        while await work.take():
            await work.done()


async def test_children_go_before_what_is_in_the_line() -> None:
    work = Work(room=ROOM, stop=Stop())
    async with asyncio.TaskGroup() as group:
        group.create_task(work.feed(feed([make_batch(0), make_batch(1), make_batch(2)])))
        assert await taken(work) == 0
        await work.done([task(10), task(11)])
        assert [await taken(work), await taken(work), await taken(work)] == [10, 11, 1]
        for _ in range(3):
            await work.done()
        assert await taken(work) == 2
        await work.done()


async def test_there_is_more_to_come_while_anybody_may_leave_children() -> None:
    work = Work(room=ROOM, stop=Stop())
    await work.feed(feed([make_batch(0)]))
    assert await taken(work) == 0
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(taken(work))
        await asyncio.sleep(0)
        assert not waiting.done()
        await work.done([task(1)])

    assert waiting.result() == 1


async def test_everybody_who_waits_is_told_that_there_is_no_more() -> None:
    work = Work(room=ROOM, stop=Stop())
    async with asyncio.TaskGroup() as group:
        group.create_task(work.feed(feed([make_batch(0)])))
        assert await taken(work) == 0
        waiting = [group.create_task(taken(work)) for _ in range(8)]
        await asyncio.sleep(0)
        await work.done()

    assert [each.result() for each in waiting] == [None] * 8


async def test_without_any_task_there_is_none() -> None:
    work = Work(room=ROOM, stop=Stop())
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(taken(work))
        await asyncio.sleep(0)
        group.create_task(work.feed(feed([])))

    assert waiting.result() is None


async def test_a_drain_wakes_everybody_and_leaves_the_line_as_it_is() -> None:
    stop, closed = Stop(), list[bool]()
    work = Work(room=ROOM, stop=stop)

    async def tasks() -> AsyncGenerator[Task, None]:
        try:
            for number in range(100):
                yield task(number)
        finally:
            closed.append(True)

    async with asyncio.TaskGroup() as group:
        group.create_task(work.wake_on_drain())
        feeding = group.create_task(work.feed(tasks()))
        assert await taken(work) == 0
        for _ in range(20):
            await asyncio.sleep(0)
        assert not feeding.done()
        stop.drain()

    assert closed == [True]
    assert await work.take() is None


async def test_a_drain_wakes_takers_of_an_empty_line() -> None:
    stop = Stop()
    work = Work(room=ROOM, stop=stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(work.wake_on_drain())
        waiting = [group.create_task(taken(work)) for _ in range(3)]
        await asyncio.sleep(0)
        stop.drain()

    assert [each.result() for each in waiting] == [None] * 3


async def test_children_of_a_split_that_ends_during_a_drain_are_left_to_the_next_run() -> None:
    stop = Stop()
    work = Work(room=ROOM, stop=stop)
    await work.feed(feed([make_batch(0)]))
    assert await taken(work) == 0
    stop.drain()
    await work.done([task(1)])

    assert await work.take() is None


async def test_a_taker_who_is_cancelled_takes_nothing_with_it() -> None:
    work = Work(room=ROOM, stop=Stop())
    impatient = asyncio.ensure_future(taken(work))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await work.feed(feed([make_batch(0)]))

    assert await taken(work) == 0
    await work.done()
    assert await work.take() is None


async def test_what_breaks_while_tasks_are_read_is_heard() -> None:
    async def tasks() -> AsyncGenerator[Task, None]:
        yield task(0)
        raise OSError("the plan cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        await Work(room=ROOM, stop=Stop()).feed(tasks())


async def test_the_repr_tells_the_state() -> None:
    work = Work(room=ROOM, stop=Stop())
    before = repr(work)
    await work.feed(feed([make_batch(0), make_batch(1)]))
    await work.take()

    assert (before, repr(work)) == (
        "<Work 0 waiting, 0 children, 0 in progress, being fed>",
        "<Work 1 waiting, 0 children, 1 in progress, all fed>",
    )
