"""The whole sending loop: everybody settles, and however it is stopped, the journal says what is known."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from support.answers import Answer, Result, accepts, lost, raises, refuses, unsent
from support.doubles import CountingBudget, FreeBudget, Hanging
from support.engine import DAY_S, TERMS, Bench, batches, make_batch
from support.memory import MemoryJournal

from broadcaster.core.lifecycle import BatchState
from broadcaster.core.values import Claim, Request
from broadcaster.engine.run import execute
from broadcaster.engine.stop import Stop
from broadcaster.engine.work import Task
from broadcaster.errors import AccountRefused, Halted, StoppedEarly, StoreDamaged, StoreError

SENDERS = 8
ACCEPTED, IN_DOUBT, PENDING = BatchState.ACCEPTED, BatchState.IN_DOUBT, BatchState.PENDING


def opened(*, budget: FreeBudget | None = None) -> Bench:
    """A bench with eight senders whose waits are real: whoever waits there is woken or the test hangs."""
    bench = Bench(concurrency=SENDERS, budget=budget or FreeBudget())
    bench.stop = Stop()
    return bench


# ---- everybody settles ----------------------------------------------------------------------------------------------


async def test_500_batches_with_8_senders_all_settle_and_every_claim_has_its_outcome() -> None:
    bench = Bench(concurrency=SENDERS)

    await bench.run(*batches(500))

    assert set(bench.journal.outcomes) == set(bench.journal.claims) == set(range(500))
    assert bench.heard.counts == {"accepted": 1000}
    assert bench.stop.because is None


async def test_500_batches_settle_whatever_happens_on_the_way() -> None:
    bench = Bench(concurrency=SENDERS)
    odd: list[Answer] = [
        lost,
        unsent,
        refuses(500),
        refuses(429, "BUSINESS_002", retry_after_s=1),
        refuses(503, "SERVICE_001"),
    ]
    for batch in batches(500):
        bench.send.script(batch.key, *odd[: batch.id % 6])
        if batch.id % 7 == 1:
            bench.send.script(batch.key, *[refuses(400, "VALIDATION_002", to=[0])] * (batch.id % 6 == 0))

    await bench.run(*batches(500))

    assert set(bench.journal.claims) == set(bench.journal.outcomes)
    split = sum(1 for number in range(500) if number % 42 == 36)
    assert bench.heard.counts == {"accepted": 1000 - split, "rejected": split}


async def test_nothing_to_do_is_nothing_done() -> None:
    bench = Bench(concurrency=SENDERS)

    await bench.run()

    assert (bench.journal.calls, bench.send.seen, bench.stop.because) == (0, [], None)


async def test_there_are_never_more_requests_under_way_than_senders_and_as_many_as_there_are() -> None:
    bench = Bench(concurrency=SENDERS)

    await bench.run(*batches(100))

    assert bench.send.most_under_way == SENDERS


async def test_no_request_leaves_before_its_claim_is_durable() -> None:
    bench = Bench(concurrency=SENDERS)
    wanted = {batch.key: batch.id for batch in batches(100)}

    await bench.run(*batches(100))

    assert len(bench.send.seen) == 100
    assert all(wanted[request.key] in request.claimed - request.settled for request in bench.send.seen)


async def test_a_slow_disk_holds_every_request_back() -> None:
    bench = Bench(concurrency=SENDERS)
    bench.journal.stalled = asyncio.Event()

    async def meanwhile() -> None:
        await steps()
        assert (bench.journal.claim_calls, bench.send.seen) == ([(0,)], [])
        assert bench.journal.stalled is not None
        bench.journal.stalled.set()

    await bench.run_beside(meanwhile(), *batches(3))

    assert len(bench.send.seen) == 3


async def test_senders_that_are_free_together_claim_together() -> None:
    bench = Bench(concurrency=SENDERS)

    await bench.run(*batches(1 + 10 * SENDERS))

    assert bench.journal.claim_calls[0] == (0,)
    assert max(len(group) for group in bench.journal.claim_calls) == SENDERS


async def test_batches_go_in_the_order_in_which_they_were_planned_when_the_limit_is_slow() -> None:
    budget = CountingBudget()
    bench = Bench(concurrency=SENDERS, budget=budget)

    async def meanwhile() -> None:
        for _ in range(20):
            await budget.asked()
            await budget.give()

    await bench.run_beside(meanwhile(), *batches(20))

    keys = {batch.key: batch.id for batch in batches(20)}
    assert [keys[request.key] for request in bench.send.seen] == list(range(20))


async def test_the_tasks_are_closed_when_they_are_not_read_to_their_end() -> None:
    bench, closed = Bench(), list[bool]()

    async def endless() -> AsyncGenerator[Task, None]:
        try:
            for number in range(10_000):
                yield Task(batch=make_batch(number, to=[f"+1415555{100 + number % 100:04}"]))
        finally:
            closed.append(True)

    bench.answer(refuses(401))
    await execute(
        endless(),
        terms=TERMS,
        send=bench.send,
        journal=bench.journal,
        budget=bench.budget,
        stop=bench.stop,
        observe=bench.heard,
        clock=bench.clock,
        concurrency=1,
        largest_batch=1,
        next_child=-1,
        server_us=None,
        rand=lambda: 0.0,
    )

    assert closed == [True]


# ---- the first request goes alone -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "alone"),
    [
        ((), 1),
        ((lost, lost), 3),
        ((refuses(429, "BUSINESS_002"), unsent), 3),
        ((refuses(400, "VALIDATION_008"),), 2),
        ((refuses(400, "VALIDATION_002", to=[0]),), 2),
        ((lost, refuses(400, "VALIDATION_002")), 3),
    ],
    ids=["accepted", "lost twice", "slower, unsent", "rejected", "split", "held"],
)
async def test_requests_go_alone_until_one_is_accepted(first: tuple[Answer, ...], alone: int) -> None:
    bench = Bench(concurrency=SENDERS)
    bench.answer(*first)
    together = list[int]()
    bench.send.after = lambda _: together.append(bench.send.under_way)

    await bench.run(*batches(40))

    assert together[:alone] == [1] * alone
    assert max(together) == SENDERS


async def test_a_batch_that_is_held_unsent_opens_nothing() -> None:
    bench = Bench(concurrency=SENDERS)
    old = [Task(batch=batch, claim=Claim(batch=batch.id, since=bench.clock.now)) for batch in batches(3)]
    bench.clock.step(DAY_S)
    together = list[int]()
    bench.send.after = lambda _: together.append(bench.send.under_way)

    await bench.run(*old, *batches(40)[3:])

    assert bench.heard.counts == {"accepted": 74, "in_doubt": 6}
    assert together[0] == 1


async def test_a_refused_key_is_used_once() -> None:
    bench = Bench(concurrency=SENDERS)
    bench.answer(*[refuses(401)] * 100)

    await bench.run(*batches(100))

    assert type(bench.stop.because) is AccountRefused
    assert (len(bench.send.seen), bench.journal.claims) == (1, {})


# ---- the size of answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "requests"),
    [([], 1), ([refuses(400, "VALIDATION_008")], 2), ([lost], 2)],
    ids=["the first", "the first that is accepted", "a replay"],
)
async def test_answers_too_large_to_be_remembered_stop_the_run_before_it_opens(
    script: list[Answer], requests: int
) -> None:
    bench = Bench(concurrency=SENDERS, largest_batch=1000)
    bench.answer(*script, *[accepts(padding=8_000)] * 100)

    await bench.run(*batches(100))

    assert type(bench.stop.because) is Halted
    assert "body_length" in str(bench.stop.because)
    assert len(bench.send.seen) == requests


async def test_answers_that_grow_later_stop_the_run_too() -> None:
    bench = Bench(concurrency=1, largest_batch=1000)
    bench.answer(accepts(), accepts(), accepts(padding=8_000))

    await bench.run(*batches(100))

    assert type(bench.stop.because) is Halted
    assert len(bench.send.seen) == 3
    assert bench.heard.counts == {"accepted": 6}


async def test_large_answers_to_small_batches_are_no_reason_to_stop() -> None:
    bench = Bench(concurrency=SENDERS, largest_batch=2)
    bench.answer(*[accepts(padding=100_000)] * 20)

    await bench.run(*batches(20))

    assert bench.stop.because is None
    assert bench.heard.counts == {"accepted": 40}


# ---- draining -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["arriving", "answering"])
async def test_a_drain_finishes_what_is_in_flight_and_begins_nothing(phase: str) -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging(phase, numbers=range(1, 100))

    async def meanwhile() -> None:
        await hanging.reached(SENDERS)
        bench.stop.drain()
        await steps()
        hanging.released.set()

    await bench.run_beside(meanwhile(), *batches(100))

    assert len(bench.send.seen) == 1 + SENDERS
    assert set(bench.journal.claims) == set(bench.journal.outcomes) == set(range(1 + SENDERS))
    assert bench.heard.counts == {"accepted": 2 * (1 + SENDERS)}


async def test_after_a_drain_only_what_is_in_doubt_has_a_claim_without_an_outcome() -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging("arriving", numbers=range(1, 100))
    script: list[Answer] = [lost, unsent, refuses(500), refuses(503, "SERVICE_001"), refuses(429), accepts()]
    for batch, answer in zip(batches(9)[1:], [*script, refuses(409), lost], strict=True):
        bench.send.script(batch.key, answer)

    async def meanwhile() -> None:
        await hanging.reached(SENDERS)
        bench.stop.drain(StoppedEarly())
        hanging.released.set()

    await bench.run_beside(meanwhile(), *batches(100))

    assert bench.journal.states(range(10)) == {
        0: ACCEPTED,
        1: IN_DOUBT,  # lost
        2: PENDING,  # unsent
        3: IN_DOUBT,  # 500
        4: PENDING,  # SERVICE_001
        5: PENDING,  # 429
        6: ACCEPTED,
        7: IN_DOUBT,  # 409 that nobody documents
        8: IN_DOUBT,  # lost
        9: PENDING,
    }
    assert bench.heard.counts == {"accepted": 4, "in_doubt": 8}
    assert len(bench.send.seen) == 1 + SENDERS
    assert not bench.heard.waits
    assert type(bench.stop.because) is StoppedEarly


@pytest.mark.parametrize(
    ("answer", "state"), [(lost, IN_DOUBT), (unsent, PENDING), (refuses(429, retry_after_s=3000), PENDING)]
)
async def test_a_drain_ends_the_wait_before_the_next_attempt(answer: Answer, state: BatchState) -> None:
    bench = opened()
    bench.answer(answer)

    async def meanwhile() -> None:
        await bench.heard.waited.wait()
        bench.stop.drain()

    await bench.run_beside(meanwhile(), *batches(3))

    assert len(bench.send.seen) == 1
    assert bench.journal.states(range(3)) == {0: state, 1: PENDING, 2: PENDING}


async def test_a_drain_ends_the_wait_for_a_turn() -> None:
    budget = CountingBudget(turns=1)
    bench = opened(budget=budget)

    async def meanwhile() -> None:
        await budget.asked()
        await steps()
        bench.stop.drain()

    await bench.run_beside(meanwhile(), *batches(100))

    assert (len(bench.send.seen), set(bench.journal.claims)) == (1, {0})


@pytest.mark.parametrize(("answer", "state"), [(lost, IN_DOUBT), (unsent, PENDING)])
async def test_a_drain_ends_the_wait_for_the_turn_of_a_repeat(answer: Answer, state: BatchState) -> None:
    budget = CountingBudget(turns=1)
    bench = Bench(budget=budget)
    bench.answer(answer)

    async def meanwhile() -> None:
        await budget.asked()
        bench.stop.drain()

    await bench.run_beside(meanwhile(), make_batch(0))

    assert bench.journal.state(0) is state
    assert bench.heard.counts == ({"in_doubt": 2} if state is IN_DOUBT else {})


async def test_children_of_a_split_during_a_drain_are_durable_and_not_sent() -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging("arriving")
    bench.send.script(make_batch(0).key, refuses(400, "VALIDATION_002"))

    async def meanwhile() -> None:
        await hanging.reached()
        bench.stop.drain()
        hanging.released.set()

    await bench.run_beside(meanwhile(), *batches(3))

    assert bench.journal.states([0, -1, -2, 1]) == {0: BatchState.SPLIT, -1: PENDING, -2: PENDING, 1: PENDING}
    assert sorted(bench.journal.children) == [-2, -1]
    assert len(bench.send.seen) == 1


async def test_a_run_that_drains_before_it_begins_sends_nothing() -> None:
    bench = opened()
    bench.stop.drain()

    await bench.run(*batches(10))

    assert (bench.journal.calls, bench.send.seen) == (0, [])


async def test_a_reason_to_stop_lets_the_others_finish_and_nobody_begin() -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging("answering", numbers=range(2, 100))
    bench.send.script(make_batch(1).key, refuses(401))

    async def meanwhile() -> None:
        await bench.stop.drained()
        await steps()
        hanging.released.set()

    await bench.run_beside(meanwhile(), *batches(100))

    assert type(bench.stop.because) is AccountRefused
    assert len(bench.send.seen) == 1 + SENDERS
    assert set(bench.journal.claims) == set(bench.journal.outcomes) == {0, *range(2, 1 + SENDERS)}


async def test_a_refused_key_is_not_used_again_while_the_refusal_is_being_written_down() -> None:
    """A repeat needs no new claim, so that the slow disk alone would not hold it back."""
    budget = CountingBudget(turns=3)
    bench = Bench(budget=budget, concurrency=2)
    hanging = bench.send.hanging = Hanging("answering", numbers=[2])
    bench.send.script(make_batch(1).key, lost)
    bench.send.script(make_batch(2).key, refuses(401))

    async def meanwhile() -> None:
        await budget.asked()  # by the repeat of batch 1
        await hanging.reached()
        bench.journal.stalled = asyncio.Event()
        hanging.released.set()
        await steps()
        await budget.give()
        await steps()
        bench.journal.stalled.set()

    await bench.run_beside(meanwhile(), *batches(3))

    assert type(bench.stop.because) is AccountRefused
    assert len(bench.send.seen) == 3
    assert bench.journal.states(range(3)) == {0: ACCEPTED, 1: IN_DOUBT, 2: PENDING}


async def test_what_was_drained_goes_on_where_it_stopped() -> None:
    bench = opened()
    bench.send.after = lambda number: bench.stop.drain() if number == 20 else None
    await bench.run(*batches(60))
    settled = set(bench.journal.outcomes)
    bench.stop = Stop()

    await bench.run(*[batch for batch in batches(60) if batch.id not in settled])

    assert 20 < len(settled) < 40
    assert set(bench.journal.outcomes) == set(range(60))
    assert len(bench.send.seen) == 60


# ---- aborting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["arriving", "answering"])
@pytest.mark.parametrize("drained_before", [False, True], ids=["at once", "after a drain"])
async def test_an_abort_leaves_in_doubt_exactly_what_was_in_flight(phase: str, *, drained_before: bool) -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging(phase, numbers=range(21, 200))

    async def meanwhile() -> None:
        await hanging.reached(SENDERS)
        if drained_before:
            bench.stop.drain()
            await steps()
        bench.stop.abort()

    await bench.run_beside(meanwhile(), *batches(200))

    assert [claim.batch for claim in bench.journal.open_claims()] == list(range(21, 21 + SENDERS))
    assert set(bench.journal.outcomes) == set(range(21))


async def test_an_abort_while_everybody_waits_for_a_turn_leaves_nothing_in_doubt() -> None:
    budget = CountingBudget(turns=1)
    bench = opened(budget=budget)

    async def meanwhile() -> None:
        await budget.asked()
        await steps()
        bench.stop.abort()

    await bench.run_beside(meanwhile(), *batches(100))

    assert bench.journal.states(range(3)) == {0: ACCEPTED, 1: PENDING, 2: PENDING}


@pytest.mark.parametrize(
    ("answer", "code", "state"), [(lost, "lost", IN_DOUBT), (unsent, "unsent", PENDING)], ids=["lost", "unsent"]
)
async def test_an_abort_between_two_attempts_forgets_no_attempt(answer: Answer, code: str, state: BatchState) -> None:
    bench = opened()
    bench.answer(answer)

    async def meanwhile() -> None:
        await bench.heard.waited.wait()
        bench.stop.abort()

    await bench.run_beside(meanwhile(), make_batch(0))

    assert [attempt.code for attempt in bench.journal.attempts] == [code]
    assert bench.journal.state(0) is state
    assert len(bench.send.seen) == 1


async def test_an_abort_before_it_begins_sends_nothing() -> None:
    bench = opened()
    bench.stop.abort()

    await bench.run(*batches(10))

    assert bench.send.seen == []


async def test_whoever_cancels_the_run_gets_what_a_kill_would_leave() -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging("arriving", numbers=range(1, 100))
    running = asyncio.ensure_future(bench.run(*batches(100)))
    await hanging.reached(SENDERS)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert len(bench.journal.open_claims()) == SENDERS


# ---- bugs and disks -------------------------------------------------------------------------------------------------


def leaves(error: BaseException) -> list[BaseException]:
    """The errors of a group, however deep."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in leaves(each)]


@pytest.mark.parametrize("number", [0, 1, 30], ids=["in the first request", "in the second", "in the midst"])
async def test_a_bug_in_a_sender_is_heard_and_ends_everything_at_once(number: int) -> None:
    bench = opened()
    bench.answer(*[accepts()] * number, raises(LookupError("a bug")))

    with pytest.raises(ExceptionGroup) as caught:
        await bench.run(*batches(100))

    assert [(type(each), str(each)) for each in leaves(caught.value)] == [(LookupError, "a bug")]
    assert number < len(bench.send.seen) <= number + SENDERS
    assert 1 <= len(bench.journal.open_claims()) <= SENDERS


async def test_a_bug_in_who_watches_is_heard() -> None:
    bench = opened()

    def broken(_: object) -> None:
        raise LookupError("a bug")

    bench.heard = broken  # type: ignore[assignment]
    with pytest.raises(ExceptionGroup) as caught:
        await bench.run(*batches(100))

    assert [type(each) for each in leaves(caught.value)] == [LookupError]
    assert bench.journal.state(0) is ACCEPTED  # what is told is durable already


async def test_a_plan_that_cannot_be_read_on_ends_the_run_as_an_error_of_the_store() -> None:
    bench = opened()

    async def damaged() -> AsyncGenerator[Task, None]:
        yield Task(batch=make_batch(0))
        raise StoreDamaged("a page of the plan is damaged")

    with pytest.raises(StoreDamaged, match="a page of the plan"):
        await run_tasks(bench, damaged())


def troubled(bench: Bench) -> None:
    """A little of everything, so that every kind of fact is written."""
    for batch, script in zip(
        batches(6),
        [
            (unsent,),
            (lost, refuses(503, "SERVICE_001")),
            (refuses(400, "VALIDATION_002"),),
            (refuses(400, "VALIDATION_008"),),
            (lost, refuses(400)),
            (),
        ],
        strict=True,
    ):
        bench.send.script(batch.key, *script)


async def facts_of_a_troubled_run(concurrency: int) -> int:
    """How many facts it writes, each a chance to fail."""
    bench = Bench(concurrency=concurrency)
    troubled(bench)
    await bench.run(*batches(6))
    assert set(bench.journal.claims) == set(bench.journal.outcomes) | {4}
    return bench.journal.calls


@pytest.mark.parametrize("concurrency", [1, SENDERS])
async def test_a_fact_that_cannot_be_written_stops_the_sending_whichever_it_is(concurrency: int) -> None:
    for fail_at in range(await facts_of_a_troubled_run(concurrency)):
        bench = Bench(concurrency=concurrency, journal=MemoryJournal(fail_at=fail_at))
        troubled(bench)
        afterwards = list[str]()

        async def send(request: Request, bench: Bench = bench, afterwards: list[str] = afterwards) -> Result:
            if bench.journal.broken:
                afterwards.append(request.key or "")
            return await bench.send(request)

        with pytest.raises(StoreError, match="no space"):
            await bench.run(*batches(6), send=send)

        assert len(afterwards) < concurrency  # those whose claims were durable when it broke
        for request in bench.send.seen:
            assert request.claimed - request.settled


@pytest.mark.parametrize("concurrency", [1, SENDERS])
async def test_after_a_full_disk_the_run_goes_on_and_everybody_settles(concurrency: int) -> None:
    for fail_at in range(await facts_of_a_troubled_run(concurrency)):
        bench = Bench(concurrency=concurrency, journal=MemoryJournal(fail_at=fail_at))
        troubled(bench)
        with pytest.raises(StoreError):
            await bench.run(*batches(6))
        bench.journal.reopen()
        bench.answer()

        await bench.run(*left(bench))

        assert set(bench.journal.claims) == set(bench.journal.outcomes)
        assert set(bench.journal.outcomes) == {*range(6), *bench.journal.children}


def left(bench: Bench) -> list[Task]:
    """What a new process goes on with."""
    journal = bench.journal
    known = {batch.id: batch for batch in batches(6)}
    for child in journal.children.values():
        parent = known[child.parent]
        known[child.id] = replace(
            parent, id=child.id, key=child.key, to=tuple(parent.to[n] for n in child.positions), parent=parent.id
        )
    return [
        Task(batch=batch, claim=journal.claims.get(batch.id))
        for batch in known.values()
        if batch.id not in journal.outcomes
    ]


async def test_a_bug_beside_a_full_disk_hides_neither() -> None:
    bench = opened()
    hanging = bench.send.hanging = Hanging("arriving", numbers=[1])

    async def send(request: Request) -> Result:
        try:
            if request.key == make_batch(1).key:
                await hanging.reached()
                bench.journal.fail_at = bench.journal.calls
            return await bench.send(request)
        except asyncio.CancelledError:
            raise LookupError("a bug in cleaning up") from None

    with pytest.raises(ExceptionGroup) as caught:
        await bench.run(*batches(3), send=send)

    assert {type(each) for each in leaves(caught.value)} == {LookupError, StoreError}


async def run_tasks(bench: Bench, tasks: AsyncGenerator[Task, None]) -> None:
    await execute(
        tasks,
        terms=bench.terms,
        send=bench.send,
        journal=bench.journal,
        budget=bench.budget,
        stop=bench.stop,
        observe=bench.heard,
        clock=bench.clock,
        concurrency=bench.concurrency,
        largest_batch=bench.largest_batch,
        next_child=-1,
        server_us=None,
        rand=lambda: 0.0,
    )


async def steps() -> None:
    """Let everybody go as far as they can."""
    for _ in range(50):
        await asyncio.sleep(0)
