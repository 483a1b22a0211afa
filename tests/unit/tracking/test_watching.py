"""Receipts that come while a run sends: heard beside it, and a halt when they say so."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.doubles import ManualClock, Recorder

from broadcaster.core.remedy import Cause
from broadcaster.engine.ports import Noticed, Settled
from broadcaster.engine.stop import Stop
from broadcaster.errors import BalanceExhausted, Halted, StoppedEarly, StoreError
from broadcaster.job.model import Safety
from broadcaster.store.feedback import Told
from broadcaster.tracking.watching import Watch, watched


def watch(*, count: int = 10, share: float = 0.1, accepted: int = 0, rejected: int = 0) -> Watch:
    found = Watch(
        safety=Safety(halt_count=count, halt_share=share),
        stop=Stop(),
        largest=1,
        observe=Recorder(),
        where=Path("runs/spring sale"),
    )
    found.accepted, found.rejected = accepted, rejected
    return found


def told(known: int, **causes: int) -> Told:
    return Told(told=known, causes={Cause(name): count for name, count in causes.items()})


@pytest.mark.parametrize(
    ("accepted", "rejected", "heard", "halts"),
    [
        (200, 0, told(200, delivery=21), True),
        (200, 0, told(200, delivery=20), False),
        (190, 10, told(190, delivery=11), True),
        (50, 0, told(50, delivery=50), False),
        (1000, 0, told(50, delivery=50), False),
        (1000, 0, told(50, money=6), True),
        (3, 0, told(3, template=3), True),
        (1000, 0, told(50, money=2, delivery=3), False),
    ],
    ids=[
        "over a tenth", "a tenth", "refusals and receipts together", "too few settled", "a small part of all",
        "money: over a tenth of those told of", "the template, after three", "two without money",
    ],
)  # fmt: skip
async def test_the_limits_hold_for_refusals_and_receipts_together(
    accepted: int, rejected: int, heard: Told, *, halts: bool
) -> None:
    watching = watch(accepted=accepted, rejected=rejected)
    watching.hear(heard)

    assert watching.stop.draining is halts


@pytest.mark.parametrize(
    ("heard", "kind", "says"),
    [
        (told(10, money=5), BalanceExhausted, "5 of the 10 messages that receipts speak of so far were stopped"),
        (told(10, money=5), BalanceExhausted, "top it up. Then 'broadcaster resume 'runs/spring sale''"),
        (told(10, template=5), Halted, "have it approved"),
        (told(10, sender=5), Halted, "activate it in Sent's dashboard"),
        (told(300, delivery=100), Halted, "100 of 300 deliveries went wrong, 0 of them rejected and 100 by receipts"),
    ],
)
async def test_the_sentence_says_what_stops_them_and_what_to_do(heard: Told, kind: type[Halted], says: str) -> None:
    watching = watch(accepted=300)
    watching.hear(heard)

    assert type(watching.stop.because) is kind
    assert says in str(watching.stop.because)


async def test_a_failure_that_was_rerouted_does_not_count_any_more() -> None:
    watching = watch(accepted=100)
    watching.hear(told(100, delivery=8))
    watching.hear(told(100, delivery=3))
    watching(Settled(rejected=7))
    assert not watching.stop.draining
    watching(Settled(rejected=4))
    assert watching.stop.draining


class Receipts:
    """What is looked at, look by look."""

    def __init__(self, *answers: Told | StoreError | None) -> None:
        self.answers = list(answers)
        self.asked: list[Sequence[int]] = []

    def __call__(self, accepted: Sequence[int]) -> Told | None:
        self.asked.append(list(accepted))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, StoreError):
            raise answer
        return answer

    async def looks(self, clock: ManualClock, times: int) -> None:
        """Let time pass until so many looks have ended."""
        async with asyncio.timeout(5):
            while len(self.asked) < times + 1:  # the next one begins when this one has been heard
                clock.step(1)
                await asyncio.sleep(0)


async def test_each_look_is_given_what_was_accepted_since_the_one_before() -> None:
    clock, watching, receipts = ManualClock(), watch(), Receipts()
    async with watched(watching, receipts, clock=clock):
        await asyncio.sleep(0)
        watching(Settled(accepted=1, batch=7))
        watching(Settled(accepted=1, batch=-1))
        await receipts.looks(clock, 1)
        watching(Settled(accepted=1, batch=8))
        await receipts.looks(clock, len(receipts.asked))

    assert [numbers for numbers in receipts.asked if numbers] == [[7, -1], [8]]


async def test_what_is_heard_halts_the_run_while_it_sends() -> None:
    clock, watching = ManualClock(), watch()
    receipts = Receipts(None, told(9, money=9))
    async with watched(watching, receipts, clock=clock):
        await receipts.looks(clock, 2)
        await asyncio.wait_for(watching.stop.drained(), 5)

    assert isinstance(watching.stop.because, BalanceExhausted)


async def test_receipts_that_cannot_be_read_are_told_once_and_stop_nobody() -> None:
    clock, watching = ManualClock(), watch()
    heard = Recorder()
    watching.observe = heard
    receipts = Receipts(StoreError("runs/x: damaged"), StoreError("runs/x: damaged"), told(3, money=1))
    async with watched(watching, receipts, clock=clock):
        await receipts.looks(clock, 4)

    notices = [event for event in heard.events if isinstance(event, Noticed)]
    assert [event.sentence for event in notices] == [
        "runs/x: damaged. Until then what becomes of messages cannot halt the run"
    ]
    assert not watching.stop.draining


async def test_an_error_of_the_run_itself_comes_out_as_it_is() -> None:
    with pytest.raises(StoppedEarly, match="no"):
        async with watched(watch(), Receipts(), clock=ManualClock()):
            raise StoppedEarly("no")
