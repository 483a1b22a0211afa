"""The one line for turns and claims: in order, in groups, never a request before its claim is durable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from support.answers import refuses, unsent
from support.doubles import SECOND, T0, CountingBudget, FreeBudget, ManualClock, Recorder
from support.engine import MESSAGE, TERMS, batches, make_batch
from support.memory import MemoryJournal

from broadcaster.core.breaker import BreakerPolicy
from broadcaster.core.values import Batch, Claim
from broadcaster.engine.dispatch import Dispatcher, Drained
from broadcaster.engine.guard import Guard
from broadcaster.engine.ports import Budget
from broadcaster.engine.servertime import ServerTime
from broadcaster.engine.stop import Stop
from broadcaster.engine.terms import Terms
from broadcaster.errors import StoreError

REQUEST = TERMS.operation.request(MESSAGE, make_batch(0))


@dataclass(slots=True, kw_only=True)
class Line:
    """A dispatcher at work, and who was admitted, in order."""

    budget: Budget = field(default_factory=FreeBudget)
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    clock: ManualClock = field(default_factory=ManualClock)
    stop: Stop = field(default_factory=Stop)
    admitted: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    terms: Terms = TERMS
    server_time: ServerTime = field(init=False)
    guard: Guard = field(init=False)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.server_time = ServerTime(clock=self.clock, told_us=7 * SECOND)
        self.guard = Guard(terms=self.terms, senders=1, stop=self.stop, observe=Recorder(), clock=self.clock)
        self.dispatcher = Dispatcher(
            budget=self.budget,
            guard=self.guard,
            journal=self.journal,
            clock=self.clock,
            stop=self.stop,
            server_time=self.server_time,
        )

    async def ask(self, batch: Batch, *, needs_claim: bool = True) -> Claim | None:
        try:
            claim = await self.dispatcher.admit(batch, needs_claim=needs_claim)
        except Drained:
            self.refused.append(batch.id)
            return None
        self.admitted.append(batch.id)
        return claim

    def fail(self, batch: int) -> None:
        """Tell the guard that the request of *batch* failed."""
        self.guard.hear(batch, unsent(REQUEST, self.clock))

    def answer(self, batch: int) -> None:
        """Tell the guard that the request of *batch* was answered."""
        self.guard.hear(batch, refuses(400)(REQUEST, self.clock))

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
        line.clock.step(59)
        line.journal.stalled.set()

    claim = asking.result()
    assert claim is not None
    assert claim.since.wall_us == T0


@pytest.mark.parametrize("boot", ["boot-1", None], ids=["by the boot clock", "by the wall clock"])
async def test_a_claim_over_which_the_machine_slept_is_taken_back_and_made_anew(boot: str | None) -> None:
    """Somebody else may have sent the batch meanwhile: whoever keeps the journal is asked again."""
    line = Line(clock=ManualClock(boot=boot))
    line.journal.stalled = asyncio.Event()
    async with line.served() as group:
        asked = [group.create_task(line.ask(each)) for each in batches(2)]
        group.create_task(line.ask(make_batch(2), needs_claim=False))
        await steps()
        line.clock.step(86_400)
        if boot is not None:
            line.clock.set_wall(-86_400)
        line.journal.stalled.set()

    assert line.journal.lines == ["claim 0 1", "release 0", "release 1", "claim 0 1"]
    assert line.admitted == [0, 1, 2]
    assert [each.since for each in line.journal.claims.values()] == [line.clock.now] * 2
    assert [each.result() for each in asked] == list(line.journal.claims.values())


async def test_a_claim_over_which_the_machine_slept_is_taken_back_when_the_run_drains() -> None:
    line = Line()
    line.journal.stalled = asyncio.Event()
    async with line.served() as group:
        group.create_task(line.ask(make_batch(0)))
        await steps()
        line.clock.step(86_400)
        line.stop.drain()
        line.journal.stalled.set()

    assert line.journal.lines == ["claim 0", "release 0"]
    assert (line.admitted, line.refused) == ([], [0])


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


# ---- while the API fails --------------------------------------------------------------------------------------------


def failing(*, open_s: float = 0.0, budget: Budget | None = None) -> Line:
    """A line whose guard has just opened, by default for no time: one at a time may try."""
    policy = BreakerPolicy(in_a_row=1, rounds=0, open_s=open_s)
    line = Line(budget=budget or FreeBudget(), terms=replace(TERMS, breaker=policy))
    line.fail(99)
    return line


async def test_of_many_wishes_one_is_claimed_and_the_others_wait_for_its_answer() -> None:
    line = failing()
    async with line.served() as group:
        for batch in batches(5):
            group.create_task(line.ask(batch))
        await steps()
        assert (line.admitted, line.journal.claim_calls) == ([0], [(0,)])
        line.answer(0)

    assert line.journal.claim_calls == [(0,), (1, 2, 3, 4)]


async def test_nobody_is_claimed_while_it_is_open_and_a_drain_refuses_whoever_waits() -> None:
    line = failing(open_s=3600)
    async with line.served() as group:
        for batch in batches(3):
            group.create_task(line.ask(batch))
        await steps()
        assert (line.admitted, line.refused) == ([], [])
        line.stop.drain()

    assert (line.refused, line.journal.calls) == ([0, 1, 2], 0)


async def test_a_turn_that_was_waited_for_is_lost_when_the_api_began_to_fail_meanwhile() -> None:
    budget = CountingBudget()
    line = Line(budget=budget, terms=replace(TERMS, breaker=BreakerPolicy(in_a_row=1, rounds=0, open_s=3600)))
    async with line.served() as group:
        group.create_task(line.ask(make_batch(0)))
        await budget.asked()
        line.fail(99)
        await budget.give(2)
        await steps()
        assert (budget.turns, line.journal.calls) == ([2], 0)
        line.stop.drain()

    assert line.refused == [0]


async def test_the_one_that_tries_keeps_its_place_while_it_waits_for_its_turn() -> None:
    budget = CountingBudget()
    line = failing(budget=budget)
    async with line.served() as group:
        for batch in batches(2):
            group.create_task(line.ask(batch))
        await budget.asked()
        await budget.give(2)
        await steps()
        assert (line.admitted, budget.turns) == ([0], [2])
        line.answer(0)

    assert line.admitted == [0, 1]


@pytest.mark.parametrize("moment", ["before", "in line for a turn", "while the claim is written"])
async def test_when_the_one_that_tries_is_gone_the_next_one_does(moment: str) -> None:
    budget = CountingBudget()
    line = failing(budget=budget)
    gone = asyncio.ensure_future(line.ask(make_batch(0)))
    await asyncio.sleep(0)
    if moment == "before":
        gone.cancel()
        await budget.give(2)
    async with line.served() as group:
        group.create_task(line.ask(make_batch(1)))
        if moment == "in line for a turn":
            await budget.asked()
            gone.cancel()
            await budget.give(2)
        if moment == "while the claim is written":
            line.journal.stalled = asyncio.Event()
            await budget.asked()
            await budget.give(2)
            await steps()
            assert line.journal.claim_calls == [(0,)]
            gone.cancel()
            line.journal.stalled.set()

    assert line.admitted == [1]
    with pytest.raises(asyncio.CancelledError):
        await gone


# ---- what breaks ----------------------------------------------------------------------------------------------------


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
