"""Drain and abort as values, waits that a drain cuts short, and the signals that ask for them."""

import asyncio
import os
import signal

import pytest
from support.doubles import CountingBudget

from broadcaster.engine.stop import Stop, on_signals
from broadcaster.errors import AccountRefused, Halted

LONG_S = 3600.0


async def test_it_goes_until_it_is_asked() -> None:
    stop = Stop()

    assert (stop.draining, stop.aborting, stop.because) == (False, False, None)


async def test_a_drain_is_no_abort() -> None:
    stop = Stop()
    stop.drain()

    assert (stop.draining, stop.aborting) == (True, False)


async def test_an_abort_drains_as_well() -> None:
    stop = Stop()
    stop.abort()

    assert (stop.draining, stop.aborting) == (True, True)


async def test_the_first_reason_is_kept() -> None:
    stop, first = Stop(), AccountRefused()
    stop.drain()
    stop.drain(first)
    stop.drain(Halted())
    stop.drain()

    assert stop.because is first


async def test_who_waits_for_a_drain_or_an_abort_is_woken() -> None:
    stop = Stop()
    async with asyncio.TaskGroup() as group:
        drained = group.create_task(stop.drained())
        aborted = group.create_task(stop.aborted())
        await asyncio.sleep(0)
        stop.drain()
        await drained
        assert not aborted.done()
        stop.abort()


async def test_a_wait_ends_with_the_drain() -> None:
    stop = Stop()
    async with asyncio.TaskGroup() as group:
        group.create_task(stop.sleep(LONG_S))
        await asyncio.sleep(0)
        stop.drain()


async def test_a_wait_after_the_drain_is_none() -> None:
    stop = Stop()
    stop.drain()

    await stop.sleep(LONG_S)


async def test_a_wait_ends_by_itself_and_the_run_goes_on() -> None:
    stop = Stop()

    await stop.sleep(0)

    assert not stop.draining


async def test_what_ends_before_a_drain_has_ended() -> None:
    assert await Stop().unless_drained(asyncio.sleep(0)) is True


async def test_a_drain_cancels_what_is_waited_for_and_waits_until_it_is_gone() -> None:
    stop, cleaned = Stop(), list[str]()

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            cleaned.append("up")

    async with asyncio.TaskGroup() as group:
        waited = group.create_task(stop.unless_drained(waiting()))
        await asyncio.sleep(0)
        stop.drain()

    assert (waited.result(), cleaned) == (False, ["up"])


async def test_who_is_cancelled_while_waiting_leaves_nobody_behind() -> None:
    stop, budget = Stop(), CountingBudget()
    waiting = asyncio.ensure_future(stop.unless_drained(budget.turn(1)))
    await budget.asked()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_breaks_while_it_is_waited_for_is_heard() -> None:
    async def broken() -> None:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await Stop().unless_drained(broken())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_first_signal_drains_and_the_second_aborts(number: signal.Signals) -> None:
    stop = Stop()
    with on_signals(stop):
        os.kill(os.getpid(), number)
        await stop.drained()
        assert not stop.aborting
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.aborted()

    assert stop.because is None


async def test_a_signal_while_the_run_drains_for_a_reason_of_its_own_aborts() -> None:
    stop = Stop()
    stop.drain(Halted())
    with on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        await stop.aborted()

    assert type(stop.because) is Halted


async def test_afterwards_signals_do_again_what_they_did() -> None:
    with on_signals(Stop()):
        pass

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


async def test_the_repr_tells_the_state() -> None:
    stop = Stop()
    going = repr(stop)
    stop.drain(Halted())
    draining = repr(stop)
    stop.abort()

    assert (going, draining, repr(stop)) == (
        "<Stop going>",
        "<Stop draining because halted>",
        "<Stop aborting because halted>",
    )
