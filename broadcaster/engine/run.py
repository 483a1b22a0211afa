"""The sending loop: feeder → bounded line → senders, all attempts through one dispatcher.

Theory of operation. Requests go alone until the API has accepted one: its answer tells how large answers are, and only
then concurrency opens. A reason to stop *drains*: what is in flight ends properly. A second Ctrl-C, a full disk or a
bug *aborts*: everything is cancelled at once, and the journal says what a ``kill -9`` would have left.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable

from broadcaster.clock import Clock
from broadcaster.engine.dispatch import Dispatcher
from broadcaster.engine.guard import Guard
from broadcaster.engine.ports import Budget, Journal, Observe, Send
from broadcaster.engine.sender import Sender
from broadcaster.engine.servertime import ServerTime
from broadcaster.engine.stop import Stop
from broadcaster.engine.terms import Shared, Terms
from broadcaster.engine.work import Task, Work
from broadcaster.errors import BroadcasterError, Halted, first_of

LARGEST_ANSWER = 4_000_000  # bytes: the API forgets a key whose answer passed 5 MB


class _Aborted(Exception):
    """Asked to stop now."""


async def execute(
    tasks: AsyncGenerator[Task, None],
    *,
    terms: Terms,
    send: Send,
    journal: Journal,
    budget: Budget,
    stop: Stop,
    observe: Observe,
    clock: Clock,
    concurrency: int,
    largest_batch: int,
    next_child: int,
    server_us: int | None,
    rand: Callable[[], float],
    answer_row: float | None = None,
    held_s: Callable[[], float] = lambda: 0.0,
) -> Shared:
    """Deliver *tasks* until they end or the run is stopped; then ``stop.because`` tells why, if anything is left.

    Args:
        tasks: in sending order, replays first.
        terms: what holds for every batch.
        send: one exchange with the API.
        journal: keeps the facts.
        budget: keeps the account's limit.
        observe: hears of every event.
        stop: asked by others, and by the engine when the API says so.
        clock: for claims and silence.
        concurrency: senders, and so the bound on doubt after a kill, in batches.
        largest_batch: deliveries of the largest batch, for the size that its answer would have.
        next_child: number of the first part of a split (-1 downwards).
        server_us: the API's time as just heard, or ``None``.
        rand: uniform in [0, 1), for jitter.
        answer_row: bytes per delivery of the largest answer of an earlier launch, if there was any.
        held_s: seconds that people have paused the run so far; they are no silence of the API.

    Returns:
        What the senders know at the end.

    Raises:
        StoreError: a fact could not be written, or the plan is damaged.
    """
    work = Work(room=2 * concurrency, stop=stop)
    server_time = ServerTime(clock=clock, told_us=server_us)
    guard = Guard(terms=terms, senders=concurrency, stop=stop, observe=observe, clock=clock, held_s=held_s)
    line = Dispatcher(
        budget=budget,
        guard=guard,
        journal=journal,
        clock=clock,
        stop=stop,
        server_time=server_time,
        weight=terms.operation.weight,
        good_s=terms.margin_s,
        is_late=lambda batch: terms.due(batch, now_us=server_time.now_us() or clock.reading()[0]) is not None,
    )
    shared = Shared(server_time=server_time, next_child=next_child, bisections=terms.bisections, answer_row=answer_row)
    sender = Sender(
        terms=terms,
        send=send,
        journal=journal,
        budget=budget,
        line=line,
        guard=guard,
        stop=stop,
        observe=observe,
        clock=clock,
        shared=shared,
        rand=rand,
    )
    opened = asyncio.Event()

    async def first() -> None:
        while shared.alone and (task := await work.take()) is not None:
            await deliver(task)
        opened.set()
        await follow()

    async def follow() -> None:
        await opened.wait()
        while (task := await work.take()) is not None:
            await deliver(task)

    async def deliver(task: Task) -> None:
        children = await sender.deliver(task)
        _check_answer_size(shared, largest_batch, stop)
        await work.done(children)

    try:
        async with asyncio.TaskGroup() as outer:
            beside = [
                outer.create_task(_abort(stop), name="abort"),
                outer.create_task(line.run(), name="dispatcher"),
                outer.create_task(work.wake_on_drain(), name="drain"),
            ]
            async with asyncio.TaskGroup() as inner:
                inner.create_task(work.feed(tasks), name="feeder")
                inner.create_task(first(), name="sender-0")
                for number in range(1, concurrency):
                    inner.create_task(follow(), name=f"sender-{number}")
            for each in beside:
                each.cancel()
    except* _Aborted:
        pass
    except* BroadcasterError as group:
        raise first_of(group) from None
    return shared


async def _abort(stop: Stop) -> None:
    await stop.aborted()
    raise _Aborted


def _check_answer_size(shared: Shared, largest_batch: int, stop: Stop) -> None:
    if (shared.largest_answer_row or 0) * largest_batch > LARGEST_ANSWER:
        stop.drain(
            Halted(
                f"the API's answers take {shared.largest_answer_row:.0f} bytes a message: one to a batch of "
                f"{largest_batch} would pass {LARGEST_ANSWER / 1e6:.0f} MB, and beyond 5 MB the API does not remember "
                "the key that protects from sending twice. Raise message.body_length to the longest text, or lower "
                "limits.batch_size, and plan under a new campaign name"
            )
        )
