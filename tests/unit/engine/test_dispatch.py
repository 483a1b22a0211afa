"""The one line for turns and claims: in order, in groups, never a request before its claim is durable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from support.doubles import SECOND, T0, CountingBudget, FreeBudget, ManualClock
from support.engine import batches, make_batch
from support.memory import MemoryJournal

from broadcaster.core.values import Batch, Claim
from broadcaster.engine.dispatch import Dispatcher, Drained
from broadcaster.engine.ports import Budget
from broadcaster.engine.servertime import ServerTime
from broadcaster.engine.stop import Stop
from broadcaster.errors import StoreError


@dataclass(slots=True, kw_only=True)
class Line:
    """A dispatcher at work, and who was admitted, in order."""

    budget: Budget = field(default_factory=FreeBudget)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    clock: ManualClock = field(default_factory=ManualClock)
    stop: Stop = field(default_factory=Stop)
    admitted: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    server_time: ServerTime = field(init=False)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.server_time = ServerTime(clock=self.clock, told_us=7 * SECOND)
        self.dispatcher = Dispatcher(
            budget=self.budget, journal=self.journal, clock=self.clock, stop=self.stop, server_time=self.server_time
        )

    async def ask(self, batch: Batch, *, needs_claim: bool = True) -> Claim | None:
        try:
            claim = await self.dispatcher.admit(batch, needs_claim=needs_claim)
        except Drained:
            self.refused.append(batch.id)
            return None
        self.admitted.append(batch.id)
        return claim

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Serve; yield a group for those who ask."""
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self.dispatcher.run())
            async with asyncio.TaskGroup() as asking:
                yield asking
            serving.cancel()


async def test_several_wishes_are_claimed_in_one_call_when_the_limit_lets_them_all_through() -> None:
    line = Line()
    async with line.served() as group:
        for batch in batches(5):
            group.create_task(line.ask(batch))

    assert line.journal.claim_calls == [(0, 1, 2, 3, 4)]
    assert line.admitted == [0, 1, 2, 3, 4]


async def test_who_comes_while_a_group_is_claimed_is_in_the_next_group() -> None:
    line = Line()
    line.journal.stalled = asyncio.Event()
    async with line.served() as group:
        group.create_task(line.ask(make_batch(0)))
        await steps()
        for batch in batches(4)[1:]:
            group.create_task(line.ask(batch))
        await steps()
        assert (line.journal.claim_calls, line.admitted) == ([(0,)], [])
        line.journal.stalled.set()

    assert line.journal.claim_calls == [(0,), (1, 2, 3)]


async def test_nobody_is_admitted_before_the_claim_is_durable() -> None:
    line = Line()
    line.journal.stalled = asyncio.Event()
    async with line.served() as group:
        asking = group.create_task(line.ask(make_batch(0)))
        await steps()
        assert line.journal.claim_calls == [(0,)]
        assert not asking.done()
        line.journal.stalled.set()

    assert line.journal.claims[0] == asking.result()


async def test_turns_are_given_first_come_first_served_when_the_limit_is_slow() -> None:
    budget = CountingBudget()
    line = Line(budget=budget)
    given = []
    async with line.served() as group:
        for number, size in enumerate([100, 1, 50, 1, 1]):
            group.create_task(line.ask(make_batch(number, size=size)))
        for _ in range(5):
            await budget.asked()
            given.append(list(line.admitted))
            await budget.give()

    assert given == [[], [0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert line.admitted == [0, 1, 2, 3, 4]
    assert budget.turns == [100, 1, 50, 1, 1]
    assert line.journal.claim_calls == [(0,), (1,), (2,), (3,), (4,)]


async def test_those_the_limit_lets_through_do_not_wait_for_the_one_it_holds_back() -> None:
    budget = CountingBudget(turns=3)
    line = Line(budget=budget)
    async with line.served() as group:
        for batch in batches(5):
            group.create_task(line.ask(batch))
        await budget.asked()
        assert line.journal.claim_calls == [(0, 1, 2)]
        await steps()
        assert line.admitted == [0, 1, 2]
        await budget.give(2)

    assert line.journal.claim_calls == [(0, 1, 2), (3, 4)]


async def test_a_claim_is_as_old_as_its_turn_and_not_as_the_wish() -> None:
    budget = CountingBudget()
    line = Line(budget=budget)
    async with line.served() as group:
        asking = group.create_task(line.ask(make_batch(0)))
        await budget.asked()
        line.clock.step(1000)
        await budget.give()

    claim = asking.result()
    assert claim is not None
    assert (claim.batch, claim.since, claim.server_us) == (0, line.clock.now, 1007 * SECOND)
    assert claim.since.wall_us == T0 + 1000 * SECOND


async def test_a_claim_is_from_before_its_commit_however_slow_the_disk_is() -> None:
    line = Line()
    line.journal.stalled = asyncio.Event()
    async with line.served() as group:
        asking = group.create_task(line.ask(make_batch(0)))
        await steps()
        line.clock.step(1000)
        line.journal.stalled.set()

    claim = asking.result()
    assert claim is not None
    assert claim.since.wall_us == T0


async def test_a_repeat_under_its_old_claim_takes_a_turn_and_claims_nothing() -> None:
    budget = CountingBudget(turns=1)
    line = Line(budget=budget)
    async with line.served() as group:
        asking = group.create_task(line.ask(make_batch(0), needs_claim=False))

    assert asking.result() is None
    assert (budget.turns, line.journal.calls, line.admitted) == ([2], 0, [0])


async def test_in_a_mixed_group_only_those_who_need_a_claim_get_one() -> None:
    line = Line()
    async with line.served() as group:
        asking = [group.create_task(line.ask(batch, needs_claim=batch.id != 1)) for batch in batches(3)]

    assert line.journal.claim_calls == [(0, 2)]
    assert [each.result() is None for each in asking] == [False, True, False]


async def test_a_drain_refuses_whoever_waits_and_claims_nothing() -> None:
    budget = CountingBudget()
    line = Line(budget=budget)
    async with line.served() as group:
        for batch in batches(4):
            group.create_task(line.ask(batch))
        await budget.asked()
        line.stop.drain()

    assert (line.admitted, line.refused) == ([], [0, 1, 2, 3])
    assert (line.journal.calls, budget.turns) == (0, [])


async def test_a_drain_refuses_the_one_that_is_held_back_and_not_those_before_it() -> None:
    budget = CountingBudget(turns=2)
    line = Line(budget=budget)
    async with line.served() as group:
        for batch in batches(4):
            group.create_task(line.ask(batch))
        await budget.asked()
        line.stop.drain()

    assert (line.admitted, line.refused) == ([0, 1], [2, 3])
    assert line.journal.claim_calls == [(0, 1)]


async def test_after_a_drain_nobody_is_admitted_though_there_are_turns() -> None:
    line = Line()
    line.stop.drain()
    async with line.served() as group:
        for batch in batches(2):
            group.create_task(line.ask(batch))

    assert (line.admitted, line.refused, line.journal.calls) == ([], [0, 1], 0)


async def test_who_does_not_wait_any_more_is_not_claimed() -> None:
    budget = CountingBudget()
    line = Line(budget=budget)
    async with line.served() as group:
        gone = asyncio.ensure_future(line.ask(make_batch(0)))
        await budget.asked()
        group.create_task(line.ask(make_batch(1)))
        await steps()
        gone.cancel()
        await budget.give(2)

    assert (line.admitted, line.journal.claim_calls) == ([1], [(1,)])
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_claim_that_cannot_be_written_admits_nobody_and_ends_the_service() -> None:
    line = Line(journal=MemoryJournal(fail_at=0))
    serving = asyncio.ensure_future(line.dispatcher.run())
    asking = [asyncio.ensure_future(line.ask(batch)) for batch in batches(3)]

    with pytest.raises(StoreError, match="no space"):
        await serving

    assert [each.done() for each in asking] == [False] * 3
    for each in asking:
        each.cancel()
    await asyncio.wait(asking)


async def test_a_limit_that_breaks_ends_the_service() -> None:
    class Broken(CountingBudget):
        async def turn(self, messages: int) -> None:
            raise LookupError(messages)

    line = Line(budget=Broken())
    asking = asyncio.ensure_future(line.ask(make_batch(0)))
    with pytest.raises(LookupError):
        await line.dispatcher.run()
    asking.cancel()
    await asyncio.wait([asking])

    assert line.journal.calls == 0


async def steps() -> None:
    """Let everybody go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)
