"""The real sending loop on stand-ins, ready to run: batches whose keys fit their bytes, and a bench to run them on."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass, field, replace

from broadcaster.core.keys import idempotency_key
from broadcaster.core.values import Batch, Message, Scope
from broadcaster.core.words import Channel, Mode
from broadcaster.engine.ports import Budget, Send
from broadcaster.engine.run import execute
from broadcaster.engine.stop import Stop
from broadcaster.engine.terms import Terms
from broadcaster.engine.work import Task
from broadcaster.operations.messages import MESSAGES_V3
from support.answers import Answer
from support.doubles import FreeBudget, ManualClock, Recorder, ScriptedSend, SteppingStop
from support.memory import MemoryJournal
from support.plans import phone

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
SCOPE = Scope(campaign="spring-sale", generation="0", mode=Mode.LIVE, profile=None, method="POST", path="/v3/messages")
MESSAGE = Message(template_id="7ba7b820-9dad-11d1-80b4-00c04fd430c8", scope=SCOPE)
TERMS = Terms(message=MESSAGE, operation=MESSAGES_V3, window_s=DAY_S, margin_s=HOUR_S, give_up_after_s=1800)


def make_batch(
    number: int, *, size: int = 2, to: Sequence[str] | None = None, channels: tuple[Channel, ...] = (Channel.SMS,)
) -> Batch:
    """Return a batch that may be sent. Its recipients are the *number*-th few of those reserved for fiction."""
    numbers = tuple(phone(number * size + n) for n in range(size)) if to is None else tuple(to)
    return keyed(Batch(id=number, key="", to=numbers, channels=channels, parameters=b"{}"))


def keyed(batch: Batch) -> Batch:
    """Return *batch* with the key of its bytes."""
    return replace(batch, key=idempotency_key(MESSAGES_V3.encode(MESSAGE, batch), scope=SCOPE))


def batches(count: int, *, size: int = 2) -> list[Batch]:
    """Return the first *count* batches."""
    return [make_batch(number, size=size) for number in range(count)]


async def feed(tasks: Sequence[Batch | Task]) -> AsyncGenerator[Task, None]:
    """Yield *tasks* one step of the loop at a time."""
    for each in tasks:
        await asyncio.sleep(0)
        yield each if isinstance(each, Task) else Task(batch=each)


@dataclass(slots=True, kw_only=True)
class Bench:
    """Everything that a run needs, to be looked at afterwards. ``stop`` steps the clock instead of waiting."""

    clock: ManualClock = field(default_factory=ManualClock)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    budget: Budget = field(default_factory=FreeBudget)
    heard: Recorder = field(default_factory=Recorder)
    terms: Terms = TERMS
    concurrency: int = 1
    largest_batch: int = 2
    send: ScriptedSend = field(init=False)
    stop: Stop = field(init=False)

    def __post_init__(self) -> None:
        self.send = ScriptedSend(clock=self.clock, journal=self.journal)
        self.stop = SteppingStop(self.clock)

    def answer(self, *answers: Answer) -> None:
        """Answer in turn like this, then accept."""
        self.send = ScriptedSend(*answers, clock=self.clock, journal=self.journal)

    async def run(self, *tasks: Batch | Task, send: Send | None = None, server_us: int | None = None) -> None:
        """Deliver *tasks*."""
        await execute(
            feed(tasks),
            terms=self.terms,
            send=send or self.send,
            journal=self.journal,
            budget=self.budget,
            stop=self.stop,
            observe=self.heard,
            clock=self.clock,
            concurrency=self.concurrency,
            largest_batch=self.largest_batch,
            next_child=-1,
            server_us=self.clock.wall_us if server_us is None else server_us,
            rand=lambda: 0.0,
        )

    async def run_beside(self, meanwhile: Coroutine[None, None, None], *tasks: Batch | Task) -> None:
        """Deliver *tasks* while something else happens; return when both are done."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.run(*tasks), name="run")
            group.create_task(meanwhile, name="meanwhile")
