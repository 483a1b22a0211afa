"""Live orders are followed, written down once and told; a pause ages no claim and is no silence of the API."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from support.answers import accepts, lost
from support.doubles import ManualClock, Recorder, SteppingStop
from support.engine import DAY_S, HOUR_S, MESSAGE, TERMS, Bench, batches, make_batch

from broadcaster.core.control import Control, Order, followed
from broadcaster.core.lifecycle import BatchState
from broadcaster.core.words import Steering
from broadcaster.engine.control import Helm, steered
from broadcaster.engine.guard import Guard
from broadcaster.engine.pacer import Pacer
from broadcaster.engine.ports import Noticed, Ordered
from broadcaster.errors import Halted, StoreDamaged, StoreError, Unreachable

REQUEST = TERMS.operation.request(MESSAGE, make_batch(0))


def order(what: str, at_us: int, per_minute: int | None = None, who: str = "ada@desk") -> Order:
    return Order(what=Steering(what), who=who, at_us=at_us, per_minute=per_minute)


PAUSE, GO, RATE, SLOWER = order("pause", 1), order("go", 2), order("rate", 3, 60), order("rate", 4, 30)
PAUSE_AGAIN = order("pause", 5, who="bo@desk")


def free_pacer(clock: ManualClock, *, requests_per_minute: int = 0) -> Pacer:
    return Pacer(requests_per_minute=requests_per_minute, messages_per_minute=0, largest=2, clock=clock)


@dataclass(slots=True, kw_only=True)
class Desk:
    """Somebody who gives orders, a helm that follows them, and what came of it."""

    known: Sequence[Order] = ()
    clock: ManualClock = field(default_factory=ManualClock)
    heard: Recorder = field(default_factory=Recorder)
    written: list[Order] = field(default_factory=list)
    orders: Control = field(default_factory=Control)
    damage: StoreError | None = None
    full: StoreError | None = None
    pacer: Pacer = field(init=False)
    helm: Helm = field(init=False)

    def __post_init__(self) -> None:
        self.pacer = free_pacer(self.clock, requests_per_minute=200)
        self.helm = Helm(
            look=self._look,
            known=followed(self.known),
            pacer=self.pacer,
            record=self._record,
            observe=self.heard,
            clock=self.clock,
        )

    def _look(self) -> Control:
        if self.damage is not None:
            raise self.damage
        return self.orders

    async def _record(self, given: Order) -> None:
        if self.full is not None:
            raise self.full
        self.written.append(given)

    async def give(self, *orders: Order) -> None:
        """Give *orders* and let the helm look once."""
        for each in orders:
            self.orders = self.orders.after(each)
        await self.helm.follow_once()

    @property
    def told(self) -> list[Order]:
        return [each.order for each in self.heard.events if isinstance(each, Ordered)]

    @property
    def noticed(self) -> list[str]:
        return [each.sentence for each in self.heard.events if isinstance(each, Noticed)]

    @property
    def limit(self) -> tuple[int | None, str]:
        return self.pacer.limit.requests_per_minute, self.pacer.limit.source


# ---- following ------------------------------------------------------------------------------------------------------


async def test_a_pause_holds_everybody_and_a_go_lets_them_go() -> None:
    desk = Desk()
    await desk.give(PAUSE)
    assert desk.pacer.held

    await desk.give(GO)

    assert not desk.pacer.held
    assert desk.written == desk.told == [PAUSE, GO]


async def test_a_rate_is_the_limit_from_now_on() -> None:
    desk = Desk()
    await desk.give(RATE)
    assert desk.limit == (60, "live")

    await desk.give(SLOWER)

    assert desk.limit == (30, "live")
    assert desk.written == desk.told == [RATE, SLOWER]


async def test_looking_again_at_the_same_orders_does_nothing() -> None:
    desk = Desk()
    await desk.give(PAUSE, RATE)
    await desk.give()
    await desk.give()

    assert desk.written == desk.told == [PAUSE, RATE]


async def test_of_two_orders_between_two_looks_the_last_one_wins() -> None:
    desk = Desk()
    await desk.give(PAUSE, GO)
    assert (desk.pacer.held, desk.written, desk.told) == (False, [], [])

    await desk.give(PAUSE, GO, PAUSE_AGAIN)

    assert (desk.pacer.held, desk.written, desk.told) == (True, [PAUSE_AGAIN], [PAUSE_AGAIN])


async def test_a_rate_that_an_earlier_process_followed_is_in_force_and_not_written_down_again() -> None:
    desk = Desk(known=[RATE], orders=followed([RATE]))
    await desk.give()

    assert desk.limit == (60, "live")
    assert desk.pacer._deaf_until_us == RATE.at_us  # what the API said after the order still lowers it
    assert desk.told == [RATE]
    assert desk.written == []


async def test_a_go_after_a_process_that_died_paused_is_written_down() -> None:
    desk = Desk(known=[PAUSE], orders=followed([PAUSE, GO]))
    await desk.give()

    assert not desk.pacer.held
    assert desk.written == [GO]


async def test_orders_that_cannot_be_read_change_nothing_and_are_spoken_of_once() -> None:
    desk = Desk()
    await desk.give(PAUSE, RATE)
    desk.damage = StoreDamaged("control.json cannot be read")
    await desk.give()
    await desk.give()

    assert (desk.pacer.held, desk.limit) == (True, (60, "live"))
    assert desk.noticed == ["control.json cannot be read. Until then the run goes on as it is"]

    desk.damage = None
    await desk.give(GO)
    assert not desk.pacer.held
    desk.damage = StoreDamaged("again")
    await desk.give()
    assert len(desk.noticed) == 2


async def test_orders_that_are_gone_are_no_orders() -> None:
    desk = Desk()
    await desk.give(PAUSE, RATE)
    desk.orders = Control()
    await desk.give()

    assert (desk.pacer.held, desk.limit) == (True, (60, "live"))


async def test_only_the_time_of_pauses_counts_as_held() -> None:
    desk = Desk()
    desk.clock.step(100)
    await desk.give(PAUSE)
    desk.clock.step(7)
    await desk.give(PAUSE_AGAIN)
    desk.clock.step(3)
    assert desk.helm.held_s() == 10
    await desk.give(GO)
    desk.clock.step(50)
    await desk.give(PAUSE)
    desk.clock.step(1)

    assert desk.helm.held_s() == 11


async def test_what_was_ordered_before_is_in_force_when_the_block_begins_and_later_orders_are_followed_beside_it() -> (
    None
):
    desk = Desk(orders=followed([RATE]))
    async with steered(desk.helm):
        assert desk.limit == (60, "live")
        desk.orders = desk.orders.after(PAUSE)
        while not desk.pacer.held:
            desk.clock.step(0.25)
            await asyncio.sleep(0)


async def test_an_order_that_cannot_be_written_down_ends_the_block() -> None:
    desk = Desk()

    async def block() -> None:
        async with steered(desk.helm):
            desk.full = StoreError("disk full")
            desk.orders = followed([PAUSE])
            while True:
                desk.clock.step(0.25)
                await asyncio.sleep(0)

    with pytest.raises(StoreError, match="disk full"):
        await block()


async def test_what_goes_wrong_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(Halted, match="enough"):
        async with steered(Desk().helm):
            raise Halted("enough")


# ---- a pause and the window -----------------------------------------------------------------------------------------


async def test_nothing_is_claimed_while_paused_so_that_no_claim_ages() -> None:
    bench = Bench(concurrency=4)
    bench.budget = pacer = free_pacer(bench.clock)
    pacer.hold()

    async def meanwhile() -> None:
        await steps(50)
        assert (bench.send.seen, bench.journal.claims) == ([], {})
        bench.clock.step(3 * DAY_S)
        await steps(50)
        assert (bench.send.seen, bench.journal.claims) == ([], {})
        pacer.go()

    began_us = bench.clock.wall_us
    await bench.run_beside(meanwhile(), *batches(6))

    assert bench.heard.counts == {"accepted": 12}
    since_s = {claim.since.wall_us - began_us for claim in bench.journal.claims.values()}
    assert since_s == {round(3 * DAY_S * 1e6)}


async def test_what_is_under_way_ends_while_nobody_follows() -> None:
    bench = Bench()
    bench.budget = pacer = free_pacer(bench.clock)
    bench.send.after = lambda number: pacer.hold() if number == 1 else None

    async def meanwhile() -> None:
        await steps(200)
        assert len(bench.send.seen) == 2
        assert bench.journal.states(range(2)) == dict.fromkeys(range(2), BatchState.ACCEPTED)
        assert set(bench.journal.claims) == {0, 1}
        bench.stop.drain()

    await bench.run_beside(meanwhile(), *batches(5))

    assert len(bench.send.seen) == 2


@pytest.mark.parametrize(("paused_s", "asked"), [(HOUR_S, 2), (25 * HOUR_S, 1)], ids=["an hour", "beyond the window"])
async def test_a_batch_in_doubt_is_repeated_after_a_pause_only_inside_the_window(paused_s: float, asked: int) -> None:
    bench = Bench(terms=replace(TERMS, give_up_after_s=10 * DAY_S))
    bench.budget = pacer = free_pacer(bench.clock)
    bench.answer(lost, accepts())
    bench.send.after = lambda number: pacer.hold() if number == 0 else None

    async def meanwhile() -> None:
        await steps(200)
        assert len(bench.send.seen) == 1
        bench.clock.step(paused_s)
        pacer.go()

    await bench.run_beside(meanwhile(), make_batch(0))

    assert len(bench.send.seen) == asked
    assert bench.heard.counts == ({"accepted": 2} if asked == 2 else {"in_doubt": 2})


# ---- a pause and the patience ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held_s", "gives_up"), [(HOUR_S, False), (0.0, True)], ids=["an hour of pause", "an hour of silence"]
)
async def test_a_pause_is_no_silence_of_the_api(held_s: float, *, gives_up: bool) -> None:
    clock = ManualClock()
    stop, held = SteppingStop(clock), 0.0
    guard = Guard(terms=TERMS, senders=1, stop=stop, observe=Recorder(), clock=clock, held_s=lambda: held)
    guard.hear(0, lost(REQUEST, clock))
    clock.step(60)
    guard.hear(0, lost(REQUEST, clock))
    clock.step(HOUR_S)
    held = held_s

    guard.hear(0, lost(REQUEST, clock))
    guard.give_up_if_silent()

    assert type(stop.because) is (Unreachable if gives_up else type(None))


async def test_patience_goes_on_after_a_pause_from_where_it_was() -> None:
    clock = ManualClock()
    stop, held = SteppingStop(clock), 0.0
    terms = replace(TERMS, give_up_after_s=600)
    guard = Guard(terms=terms, senders=1, stop=stop, observe=Recorder(), clock=clock, held_s=lambda: held)
    guard.hear(0, lost(REQUEST, clock))
    clock.step(500 + HOUR_S)
    held = HOUR_S
    guard.give_up_if_silent()
    assert stop.because is None

    clock.step(100)
    guard.give_up_if_silent()

    assert str(stop.because) == "the API has not answered for 10 minutes"


async def steps(count: int) -> None:
    """Let everybody go as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)
