"""Trying again after a first failure: the only user of tenacity, which costs too much for requests that just work.

Knows neither what is tried nor what failure means.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_result

T = TypeVar("T")


async def persist(
    first: T,
    again: Callable[[], Awaitable[T]],
    *,
    unfinished: Callable[[T], bool],
    delay_s: Callable[[T, int], float],
    sleep: Callable[[float], Awaitable[None]],
    give_up: Callable[[], bool],
) -> T:
    """Go on after *first* until something is finished; return the last result, finished or not.

    Args:
        first: the result of the first try.
        again: one more try. What it raises is raised.
        unfinished: whether a result calls for another try.
        delay_s: how long to wait after a result, the n-th in a row (from 1, which is *first*).
        sleep: waits; may return early.
        give_up: asked before and after each wait; no further try once it is true.
    """
    last, started = first, False

    async def attempt() -> T:
        nonlocal last, started
        if not started:
            started = True  # tenacity's first attempt is the one already made
        elif not give_up():
            last = await again()
        return last

    def wait(state: RetryCallState) -> float:
        return delay_s(last, state.attempt_number)

    retrying = AsyncRetrying(
        sleep=sleep,
        wait=wait,
        retry=retry_if_result(unfinished),
        stop=lambda _: give_up(),
        retry_error_callback=lambda _: last,
    )
    return await retrying(attempt)
