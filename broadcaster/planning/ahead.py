"""Two cores for one stream: work on what follows while what came before is still in hand.

Threads are enough: Arrow, NumPy, the compressor and the disk all work without the interpreter's lock. On one core
everything simply happens in turn.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def each_ahead(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``work(item)`` in the order of *items*, with as many under way as there are cores.

    *items* is read in this thread. What *work* raises is raised where its result would have come.
    """
    workers = min(2, cores())
    with ThreadPoolExecutor(workers, thread_name_prefix="plan") as pool:
        under_way: deque[Future[R]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) > workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for each in under_way:
                each.cancel()


@contextmanager
def beside(work: Callable[[], R]) -> Iterator[Future[R]]:
    """Do *work* in a thread while the block runs; what it raises is raised when the block ends, unless that fails."""
    with ThreadPoolExecutor(1, thread_name_prefix="plan") as pool:
        future = pool.submit(work)
        yield future
        future.result()


@contextmanager
def one_behind(write: Callable[[T], object]) -> Iterator[Callable[[T], None]]:
    """Yield a function that hands things to *write* in a thread, in order; it waits while two are waiting.

    What *write* raises is raised by the next call, or when the block ends.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="plan") as pool:
        waiting: deque[Future[object]] = deque()

        def put(item: T) -> None:
            waiting.append(pool.submit(write, item))
            if len(waiting) > 2:  # noqa: PLR2004 - one being written, one ready; more would only be memory
                waiting.popleft().result()

        yield put
        while waiting:
            waiting.popleft().result()
