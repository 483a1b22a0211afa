"""The real sending loop in a world of faults, crashes and lying clocks: nobody is messaged twice, nobody is lost.

One history is a series of processes on one journal. After each the oracle is compared with what the journal says; at
the end a process without faults must bring everybody to an end that is true.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from support.doubles import ManualClock, Recorder, SteppingStop
from support.engine import HOUR_S, TERMS, make_batch
from support.world import Fault, SlowTurns, Wire, World

from broadcaster.core.breaker import BreakerPolicy
from broadcaster.core.doubt import may_repeat
from broadcaster.core.keys import idempotency_key
from broadcaster.core.lifecycle import BatchState
from broadcaster.core.resolution import Doubted, follow
from broadcaster.core.retry import RetryBudget
from broadcaster.core.split import child_batch
from broadcaster.core.values import Instant
from broadcaster.core.words import Channel, Decision, State
from broadcaster.engine.run import execute
from broadcaster.engine.terms import Terms
from broadcaster.engine.work import Task
from broadcaster.errors import StoreError

BATCHES, SIZE = 6, 3
PLANNED = tuple(make_batch(number, size=SIZE) for number in range(BATCHES))
# A breaker that opens with the second failure, and hardly a retry in a hurry.
JUMPY = replace(TERMS, breaker=BreakerPolicy(least=3, in_a_row=2, rounds=0), retry_budget=RetryBudget(left=1))
EVERYBODY = tuple(number for batch in PLANNED for number in batch.to)


class Machine(RuleBasedStateMachine):
    """A history."""

    @initialize(
        bad=st.frozensets(st.sampled_from(EVERYBODY), max_size=3),
        named=st.booleans(),
        boot=st.sampled_from(["boot-1", "boot-1", None]),
    )
    def begin(self, bad: frozenset[str], boot: str | None, *, named: bool) -> None:
        self.world = World(PLANNED, ManualClock(boot=boot), bad=bad, named=named)
        self.boots = 1
        self.resent: Counter[str] = Counter()  # how often a person decided to send to somebody anew

    @rule(
        faults=st.lists(st.sampled_from(Fault), max_size=12),
        concurrency=st.integers(1, 4),
        turns_h=st.lists(st.sampled_from([0.0, 0.0, 0.5, 14.0, 23.5]), max_size=6),
        jumpy=st.booleans(),
    )
    def run(self, faults: Sequence[Fault], concurrency: int, turns_h: Sequence[float], *, jumpy: bool) -> None:
        """A process: it ends by itself, is stopped, or dies."""
        asyncio.run(self._process(faults, concurrency, turns_h, terms=JUMPY if jumpy else TERMS))
        self.check()

    @rule(hours=st.sampled_from([0.1, 1, 6, 12, 21, 22.9, 24, 30]))
    def wait(self, hours: float) -> None:
        """Nobody does anything."""
        self.world.pass_time(hours * HOUR_S)

    @rule(hours=st.sampled_from([-30, -6, -1, 1, 6, 30]))
    def set_the_wall_clock(self, hours: float) -> None:
        """By hand, or by a time server."""
        self.world.set_wall(hours * HOUR_S)

    @precondition(lambda self: self.world.clock.boot is not None)
    @rule()
    def restart_the_machine(self) -> None:
        self.boots += 1
        self.world.clock.restart(f"boot-{self.boots}")

    @rule(what=st.sampled_from(Decision), which=st.integers(0, BATCHES))
    def resolve(self, what: Decision, which: int) -> None:
        """A person decides about a batch in doubt, as ``resolve`` lets them."""
        journal, world = self.world.journal, self.world
        claims = journal.open_claims()
        if not claims:
            return
        claim = claims[which % len(claims)]
        batch = {each.id: each for each in world.known().values()}[claim.batch]
        if world.may_still_execute(batch.key):
            return  # decided while the request is on its way: a person may do that, and it is their risk
        now = Instant.at(world.clock.reading())
        doubted = Doubted(
            batch=batch,
            deliveries=tuple((position, Channel.SMS) for position in range(len(batch.to))),
            claim=claim,
            since_us=claim.since.wall_us,
            attempts=1,
            code="lost",
            sentence="",
        )
        protected = may_repeat(
            claim, now, server_us=None, window_s=TERMS.window_s, margin_s=TERMS.margin_s, repeat=TERMS.operation.repeat
        )
        generation = f"s{len(journal.children) + 1}"
        ended, born = follow(doubted, what, protected=bool(protected), generation=generation, at_us=now.wall_us)
        assert (ended is None) == (what is Decision.RESEND and bool(protected))
        if ended is not None:
            journal.outcomes[batch.id] = ended
        for bare in born:
            number = min(journal.children, default=0) - 1
            body = TERMS.operation.encode(TERMS.message, child_batch(batch, bare))
            key = idempotency_key(body, scope=TERMS.message.scope.of(generation))
            journal.children[number] = replace(bare, id=number, key=key)
            self.resent.update(batch.to)
        self.check()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.pass_time(0.5 * HOUR_S)  # whatever is late has arrived by then
        asyncio.run(self._process((), 2, ()))
        self.check()
        self.check_the_end()

    async def _process(
        self, faults: Sequence[Fault], concurrency: int, turns_h: Sequence[float], *, terms: Terms = TERMS
    ) -> None:
        world, stop = self.world, SteppingStop(self.world.clock)
        world.journal.reopen()
        world.journal.fail_at = None

        def crash() -> None:
            world.journal.forget_what_gathers()
            running.cancel()

        running = asyncio.ensure_future(
            execute(
                self._tasks(),
                terms=terms,
                send=Wire(world, faults, stop=stop, crash=crash),
                journal=world.journal,
                budget=SlowTurns(world, [hours * HOUR_S for hours in turns_h]),
                stop=stop,
                observe=Recorder(),
                clock=world.clock,
                concurrency=concurrency,
                largest_batch=SIZE,
                next_child=min(world.journal.children, default=0) - 1,
                server_us=world.server_us,
                rand=lambda: 0.5,
            )
        )
        with contextlib.suppress(asyncio.CancelledError, StoreError):
            await running
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "tasks that nobody waited for"
        world.journal.close()

    async def _tasks(self) -> AsyncGenerator[Task, None]:
        """What is left, as ``resume`` has it: what is in doubt, oldest first; open children; what was never claimed."""
        journal, known = self.world.journal, {batch.id: batch for batch in self.world.known().values()}
        claims = journal.open_claims()
        for claim in claims:
            yield Task(batch=known[claim.batch], claim=claim, attempts=1)
        claimed = {claim.batch for claim in claims}
        for number in [*journal.children, *range(BATCHES)]:
            if number not in claimed and number not in journal.outcomes:
                yield Task(batch=known[number])

    # ---- what must hold ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Compare what the journal says with what really happened."""
        world = self.world
        twice = {number for number, times in world.messaged.items() if times > 1 + self.resent[number]}
        assert not twice, f"P1: messaged twice: {twice}"
        for batch in world.known().values():
            match world.journal.state(batch.id):
                case BatchState.ACCEPTED:
                    answer = json.loads(world.journal.outcomes[batch.id].answer or b"")
                    ids = {row["to"]: row["message_id"] for row in answer["data"]["recipients"]}
                    true = {number: world.ids[number] for number in batch.to}
                    assert ids == true or any(map(self.resent.get, ids)), "I6: ids that are not true"
                case BatchState.SPLIT:
                    self._check_split(batch.id, batch.to, batch.key)
                case BatchState.REJECTED | BatchState.PENDING:
                    self._check_untouched(batch.to, batch.key)

    def _check_split(self, number: int, to: Sequence[str], key: str) -> None:
        journal = self.world.journal
        children = [child for child in journal.children.values() if child.parent == number]
        blamed = [blame.position for blame in journal.blames if blame.batch == number]
        heirs = [position for child in children for position in child.positions]
        assert sorted([*blamed, *heirs]) == list(range(len(to))), "I4: a split that loses somebody"
        assert not self.world.may_still_execute(key), "I4: split while its request is on its way"
        self._check_untouched([to[position] for position in blamed], key)

    def _check_untouched(self, to: Sequence[str], key: str) -> None:
        surprised = [each for each in to if self.world.messaged[each] > self.resent[each]]
        assert not surprised, "I3: messaged, and the journal does not know"
        assert not self.world.may_still_execute(key), "I3: not claimed, and its request is on its way"

    def check_the_end(self) -> None:
        """Nobody is left without an end, and doubt is only where it cannot be helped."""
        world = self.world
        for batch in world.known().values():
            state = world.journal.state(batch.id)
            assert state is not BatchState.PENDING, f"P2: batch {batch.id} was forgotten"
            if state is BatchState.IN_DOUBT and not world.clock_was_set:
                since_s = world.doubtful_since_s.get(batch.key, world.now_s)
                claim = world.journal.claims[batch.id]
                age_s = (world.clock.wall_us - claim.since.wall_us) / 1_000_000
                refused = any(number in world.bad for number in batch.to)
                assert refused or age_s >= world.window_s - world.margin_s, f"P2: needless doubt ({since_s=})"
        accepted = [
            row["message_id"]
            for outcome in world.journal.outcomes.values()
            if outcome.state is State.ACCEPTED
            for row in json.loads(outcome.answer or b"")["data"]["recipients"]
        ]
        assert len(accepted) == len(set(accepted)), "I6: a message id twice"


# When it fails, looking for the shortest history takes a minute or two.
TestMachine = pytest.mark.timeout(420)(Machine.TestCase)
TestMachine.settings = settings(
    max_examples=500,
    stateful_step_count=14,
    deadline=None,  # a history takes as long as it takes
    database=None,  # a failing history is printed whole; nothing is left in the tree
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],  # the machine is shared
)
