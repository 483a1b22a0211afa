"""The pacer on a loop whose time jumps from timer to timer, with the account's minute in a real file."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from support.jumping import LoopClock, now_s, on_jumping_loop, worst_minute

from broadcaster.core.pacing import Limit, Source
from broadcaster.core.values import Instant, Reply, Verdict
from broadcaster.core.words import Action, Executed
from broadcaster.engine.pacer import Pacer
from broadcaster.engine.ports import Event, Waiting
from broadcaster.store.spend import Spend

Sent = list[tuple[float, int]]  # when each turn was given, and for how many messages
WINDOW_S = 60.6


class Machine:
    """One machine: its clock, the file of its accounts' minutes, and the runs on it."""

    def __init__(self, path: Path) -> None:
        self._path = path / "limits.sqlite"
        self.clock = LoopClock()
        self.sent: Sent = []
        self._opened: list[Spend] = []

    def run(
        self,
        requests: int = 0,
        messages: int = 0,
        *,
        largest: int = 1,
        chosen: bool = True,
        account: str | None = "account",
        observe: Callable[[Event], None] | None = None,
    ) -> Pacer:
        """Begin a run: its pacer."""
        window = Spend(self._path, address="address", clock=self.clock)
        self._opened.append(window)
        pacer = Pacer(
            requests_per_minute=requests,
            messages_per_minute=messages,
            largest=largest,
            clock=self.clock,
            chosen=chosen,
            window=window,
            observe=observe,
        )
        if account is not None:
            pacer.belongs_to(account)
        return pacer

    async def send(self, pacer: Pacer, amounts: Iterator[int], *, until_s: float) -> Sent:
        """Send as fast as it may until then, at once where that is possible."""
        sent: Sent = []
        for amount in amounts:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    if not await pacer.at_once(amount):
                        await pacer.turn(amount)
                    sent.append((now_s(), amount))
                    self.sent.append(sent[-1])
                    await asyncio.sleep(0)
                    continue
            break
        return sent

    def close(self) -> None:
        for each in self._opened:
            each.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    it = Machine(tmp_path)
    yield it
    it.close()


def requests_of(sent: Sent) -> Sent:
    return [(at_s, 1) for at_s, _ in sent]


def slower(retry_after_s: float | None = None, *, throttled: bool = True) -> Verdict:
    return Verdict(
        action=Action.REPEAT, executed=Executed.NO, code="x", retry_after_s=retry_after_s, throttled=throttled
    )


def reply(clock: LoopClock, status: int = 202, *, started: Instant | None = None, **headers: int | str) -> Reply:
    """An answer with ``X-RateLimit-`` headers."""
    named = {f"x-ratelimit-{name}": str(value) for name, value in headers.items()}
    now = Instant.at(clock.reading())
    return Reply(status=status, headers=named, body=b"", started=started or now, ended=now)


# ---- never over, and hardly under -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("per_minute", "minutes"), [(1, 9), (7, 4), (60, 3), (200, 3), (399, 3), (400, 3), (1500, 1.5), (10_000, 1.15)]
)
def test_no_sliding_minute_passes_the_limit_of_requests_and_nearly_all_of_it_is_used(
    machine: Machine, per_minute: int, minutes: float
) -> None:
    async def main() -> Sent:
        return await machine.send(machine.run(per_minute), cycle([1]), until_s=now_s() + 60 * minutes)

    sent = on_jumping_loop(main)

    assert worst_minute(requests_of(sent)) <= per_minute
    assert (len(sent) - 1) / (sent[-1][0] - sent[0][0]) * 60 >= 0.97 * per_minute


@pytest.mark.parametrize(
    ("per_minute", "size"),
    [(24, 1), (60, 2), (1500, 60), (1510, 58), (10_000, 400)],
)
def test_no_sliding_minute_passes_the_limit_of_messages_and_nearly_all_of_it_is_used(
    machine: Machine, per_minute: int, size: int
) -> None:
    async def main() -> Sent:
        pacer = machine.run(messages=per_minute, largest=size)
        return await machine.send(pacer, cycle([size]), until_s=now_s() + 4 * WINDOW_S)

    sent = on_jumping_loop(main)

    assert worst_minute(sent) <= per_minute
    assert sum(amount for _, amount in sent) >= 0.95 * 4 * per_minute


@pytest.mark.parametrize("seed", range(3))
def test_batches_of_all_sizes_up_to_four_percent_use_95_percent_of_the_limit_of_messages(
    machine: Machine, seed: int
) -> None:
    chance = random.Random(seed)

    async def main() -> Sent:
        pacer = machine.run(6000, 2000, largest=80)
        amounts = iter(lambda: chance.choice([0, 1, 7, 40, 79, 80, 80, 80]), None)
        return await machine.send(pacer, amounts, until_s=now_s() + 4 * WINDOW_S)

    sent = on_jumping_loop(main)

    assert worst_minute(sent) <= 2000
    assert worst_minute(requests_of(sent)) <= 6000
    assert sum(amount for _, amount in sent) >= 0.95 * 4 * 2000


def test_both_limits_hold_when_both_bind(machine: Machine) -> None:
    amounts = [1, 40, 7, 40, 40, 2, 13, 40]

    async def main() -> Sent:
        return await machine.send(machine.run(60, 1000, largest=40), cycle(amounts), until_s=now_s() + 300)

    sent = on_jumping_loop(main)

    assert worst_minute(requests_of(sent)) <= 60
    assert worst_minute(sent) <= 1000
    assert len(sent) > 200


def test_a_batch_above_the_whole_limit_gets_a_minute_of_its_own(machine: Machine) -> None:
    async def main() -> Sent:
        pacer = machine.run(messages=50, largest=80)
        return await machine.send(pacer, iter([10, 80, 10, 80]), until_s=now_s() + 3.1 * WINDOW_S)

    sent = on_jumping_loop(main)

    assert [amount for _, amount in sent] == [10, 80, 10, 80]
    assert all(later - earlier >= 60 for (earlier, _), (later, _) in pairwise(sent))


def test_without_limits_nobody_waits_and_nothing_is_written_down(machine: Machine, tmp_path: Path) -> None:
    async def main() -> tuple[float, bool, Limit]:
        pacer, began_s = machine.run(), now_s()
        for _ in range(100):
            await pacer.turn(1000)
        return now_s() - began_s, await pacer.at_once(1000), pacer.limit

    passed_s, at_once, limit = on_jumping_loop(main)

    assert (passed_s, at_once) == (0.0, True)
    assert (limit.requests_per_minute, limit.messages_per_minute) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_request_without_messages_waits_for_no_limit_of_messages(machine: Machine) -> None:
    async def main() -> Sent:
        return await machine.send(machine.run(messages=60, largest=50), iter([50, 0, 0, 0]), until_s=now_s() + 1)

    assert [amount for _, amount in on_jumping_loop(main)] == [50, 0, 0, 0]


# ---- whatever was started when --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("requests", "messages"), [(7, 0), (200, 0), (0, 1000), (300, 3000)])
def test_a_run_that_is_killed_and_started_again_at_any_moment_spends_no_minute_twice(
    machine: Machine, requests: int, messages: int, seed: int
) -> None:
    """A kill is a pacer that nobody asks any more; its file is as it was."""
    chance = random.Random(seed)

    async def main() -> float:
        began_s = now_s()
        end_s = began_s + 6 * WINDOW_S
        while now_s() < end_s:
            pacer = machine.run(requests, messages, largest=40, account=None)
            until_s = min(end_s, now_s() + chance.choice([0.1, 1, 5, 20, 50, 100]))
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until_s):
                    await pacer.turn(0)  # the look-up that tells whose key it is
                    machine.sent.append((now_s(), 0))
                pacer.belongs_to("account")
                await machine.send(pacer, cycle([40, 3, 40]), until_s=until_s)
        return (now_s() - began_s) / WINDOW_S

    windows = on_jumping_loop(main)

    if requests:
        assert worst_minute(requests_of(machine.sent)) <= requests
    if messages:
        assert worst_minute(machine.sent) <= messages
    share = max(
        len(machine.sent) / (requests * windows) if requests else 0,
        sum(amount for _, amount in machine.sent) / (messages * windows) if messages else 0,
    )
    assert share >= 0.9  # what a kill costs is no more than the turn that was waited for


@pytest.mark.parametrize("runs", [2, 3])
@pytest.mark.parametrize(("requests", "messages", "size"), [(60, 0, 1), (200, 0, 1), (0, 1500, 60)])
def test_runs_of_one_account_at_once_share_its_limit_and_use_it(
    machine: Machine, requests: int, messages: int, size: int, runs: int
) -> None:
    async def main() -> list[Sent]:
        end_s = now_s() + 5 * WINDOW_S
        async with asyncio.TaskGroup() as group:
            going = [
                group.create_task(
                    machine.send(machine.run(requests, messages, largest=size), cycle([size]), until_s=end_s)
                )
                for _ in range(runs)
            ]
        return [each.result() for each in going]

    each = on_jumping_loop(main)

    everything = machine.sent
    spent = requests_of(everything) if requests else everything
    assert worst_minute(spent) <= (requests or messages)
    assert sum(amount for _, amount in spent) >= (0.97 if requests else 0.95) * 5 * (requests or messages)
    least = min(len(sent) for sent in each)
    assert least >= 0.5 * len(everything) / runs  # none of them is starved


def test_large_batches_are_not_starved_by_a_run_of_small_ones_beside_them(machine: Machine) -> None:
    async def main() -> tuple[Sent, Sent]:
        end_s = now_s() + 5 * WINDOW_S
        async with asyncio.TaskGroup() as group:
            large = group.create_task(machine.send(machine.run(0, 1000, largest=400), cycle([400]), until_s=end_s))
            small = group.create_task(machine.send(machine.run(0, 1000, largest=4), cycle([4]), until_s=end_s))
        return large.result(), small.result()

    large, small = on_jumping_loop(main)

    assert worst_minute([*large, *small]) <= 1000
    assert len(large) >= 4
    assert len(small) >= 100


def test_runs_of_two_accounts_do_not_slow_each_other_down(machine: Machine) -> None:
    async def main() -> list[Sent]:
        end_s = now_s() + 3 * WINDOW_S
        async with asyncio.TaskGroup() as group:
            going = [
                group.create_task(machine.send(machine.run(200, account=name), cycle([1]), until_s=end_s))
                for name in ("one", "two")
            ]
        return [each.result() for each in going]

    for sent in on_jumping_loop(main):
        assert worst_minute(sent) <= 200
        assert len(sent) >= 0.97 * 600


@pytest.mark.parametrize("by_s", [0, -3600, 3600])
def test_a_machine_that_is_started_anew_knows_what_it_spent(machine: Machine, by_s: float) -> None:
    async def main() -> None:
        for number in range(4):
            await machine.send(machine.run(100), cycle([1]), until_s=now_s() + 40)
            await asyncio.sleep(5)
            machine.clock.restart(f"boot-{number + 2}")
            if by_s < 0 or number == 0:  # set ahead, an older minute cannot be told from a younger one
                machine.clock.set_wall(min(by_s, 0))

    on_jumping_loop(main)

    assert worst_minute(machine.sent) <= 100
    assert len(machine.sent) >= 100


def test_who_has_to_wait_for_what_was_spent_before_is_told_so_once(machine: Machine) -> None:
    heard: list[Event] = []

    async def main() -> None:
        await machine.run(messages=100, largest=100).turn(100)
        pacer = machine.run(messages=100, largest=100, observe=heard.append)
        for _ in range(3):
            await pacer.turn(100)

    on_jumping_loop(main)

    assert [type(each) for each in heard] == [Waiting]
    assert isinstance(heard[0], Waiting)
    assert (heard[0].code, heard[0].wait_s > 2) == ("limit", True)


def test_who_has_to_wait_because_another_run_was_asked_to_is_told_that(machine: Machine) -> None:
    heard: list[Event] = []

    async def main() -> None:
        machine.run(200).throttled(slower(30))
        await machine.run(200, observe=heard.append).turn(1)

    on_jumping_loop(main)

    assert [each.sentence for each in heard if isinstance(each, Waiting)] == [
        "The API has asked this account to wait a moment ago."
    ]


# ---- in line --------------------------------------------------------------------------------------------------------


def test_first_come_is_first_served_whatever_the_amounts(machine: Machine) -> None:
    async def main() -> list[int]:
        pacer, served = machine.run(messages=1000, largest=100), list[int]()

        async def sender(number: int, amount: int) -> None:
            await pacer.turn(amount)
            served.append(number)

        async with asyncio.TaskGroup() as group:
            for number, amount in enumerate([100, 1, 100, 1, 1, 100, 1]):
                group.create_task(sender(number, amount))
        return served

    assert on_jumping_loop(main) == [0, 1, 2, 3, 4, 5, 6]


def test_at_once_takes_a_turn_that_needs_no_wait_and_only_such_a_one(machine: Machine) -> None:
    async def main() -> list[bool]:
        pacer = machine.run(60)
        given = [await pacer.at_once(1), await pacer.at_once(1)]
        await asyncio.sleep(1.02)
        return [*given, await pacer.at_once(1), await pacer.at_once(1)]

    assert on_jumping_loop(main) == [True, False, True, False]


@pytest.mark.parametrize(("amount", "expected"), [(10, True), (11, False)])
def test_at_once_asks_the_limit_of_messages_too(machine: Machine, amount: int, expected: bool) -> None:  # noqa: FBT001 - a column
    async def main() -> bool:
        pacer = machine.run(messages=1000, largest=40)
        await pacer.turn(30)
        return await pacer.at_once(amount)

    assert on_jumping_loop(main) is expected


def test_at_once_asks_what_was_spent_before(machine: Machine) -> None:
    async def main() -> bool:
        for _ in range(5):
            assert await machine.run(5).at_once(1)
        return await machine.run(5).at_once(1)

    assert on_jumping_loop(main) is False


def test_nobody_passes_somebody_who_waits(machine: Machine) -> None:
    async def main() -> bool:
        pacer = machine.run(messages=1000, largest=40)
        await pacer.turn(40)
        async with asyncio.TaskGroup() as group:
            group.create_task(pacer.turn(40))
            await asyncio.sleep(0)
            return await pacer.at_once(0)

    assert on_jumping_loop(main) is False


def test_who_gives_up_waiting_leaves_the_line_to_the_others(machine: Machine) -> None:
    async def main() -> float:
        pacer = machine.run(60)
        await pacer.turn(1)
        began_s = now_s()
        impatient = asyncio.ensure_future(pacer.turn(1))
        patient = asyncio.ensure_future(pacer.turn(1))
        await asyncio.sleep(0.1)
        impatient.cancel()
        await _cancelled(impatient)
        await patient
        return now_s() - began_s

    assert on_jumping_loop(main) == pytest.approx(1.01)


def test_who_gives_up_waiting_leaves_the_minute_to_the_other_runs(machine: Machine) -> None:
    async def main() -> bool:
        await machine.run(messages=100, largest=60).turn(60)
        large = machine.run(messages=100, largest=60)
        waiting = asyncio.ensure_future(large.turn(60))
        await asyncio.sleep(0.1)
        before = await machine.run(messages=100, largest=60).at_once(40)
        waiting.cancel()
        await _cancelled(waiting)
        after = await machine.run(messages=100, largest=60).at_once(40)
        return after and not before

    assert on_jumping_loop(main) is True


async def _cancelled(task: Awaitable[None]) -> None:
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- a 429 ----------------------------------------------------------------------------------------------------------


def test_a_429_pauses_everybody_and_halves_the_rate(machine: Machine) -> None:
    async def main() -> tuple[float, bool, Limit, Sent]:
        pacer = machine.run(200)
        await pacer.turn(1)
        began_s = now_s()
        pacer.throttled(slower(30))
        at_once, limit = await pacer.at_once(1), pacer.limit
        sent = await machine.send(pacer, cycle([1]), until_s=now_s() + 50)
        return began_s, at_once, limit, sent

    began_s, at_once, limit, sent = on_jumping_loop(main)

    assert sent[0][0] - began_s >= 30
    assert (limit.requests_per_minute, limit.source, limit.slowed, at_once) == (100, Source.CONFIGURED, True, False)
    assert (sent[-1][0] - sent[0][0]) / (len(sent) - 1) == pytest.approx(60.6 / 100)


@pytest.mark.parametrize("told_after_s", [0.5, 5.0])
def test_a_pause_holds_also_who_already_waits(machine: Machine, told_after_s: float) -> None:
    async def main() -> float:
        pacer = machine.run(10)
        await pacer.turn(1)
        began_s = now_s()
        async with asyncio.TaskGroup() as group:
            group.create_task(pacer.turn(1))
            await asyncio.sleep(told_after_s)
            pacer.throttled(slower(30))
        return now_s() - began_s

    assert on_jumping_loop(main) >= told_after_s + 30


def test_a_longer_pause_that_is_told_during_a_pause_is_kept(machine: Machine) -> None:
    async def main() -> float:
        pacer, began_s = machine.run(600), now_s()
        pacer.throttled(slower(10))
        async with asyncio.TaskGroup() as group:
            group.create_task(pacer.turn(1))
            await asyncio.sleep(5)
            pacer.throttled(slower(60))
        return now_s() - began_s

    assert on_jumping_loop(main) >= 65


def test_a_pause_holds_where_nothing_is_limited_and_ends(machine: Machine) -> None:
    async def main() -> tuple[float, float, bool]:
        pacer, began_s = machine.run(), now_s()
        pacer.throttled(slower(30))
        at_first = pacer.paused_for_s
        await pacer.turn(1)
        return now_s() - began_s, at_first, await pacer.at_once(1)

    waited_s, at_first_s, at_once = on_jumping_loop(main)

    assert [waited_s, at_first_s] == pytest.approx([30, 30])
    assert at_once is True


def test_a_lock_out_of_an_hour_does_not_keep_anybody_who_wants_to_stop(machine: Machine) -> None:
    async def main() -> float:
        pacer, began_s = machine.run(200), now_s()
        pacer.throttled(slower(3600))
        waiting = asyncio.ensure_future(pacer.turn(1))
        await asyncio.sleep(10)
        waiting.cancel()
        await _cancelled(waiting)
        return now_s() - began_s

    assert on_jumping_loop(main) == pytest.approx(10)


def test_the_rate_climbs_back_minute_by_minute(machine: Machine) -> None:
    async def main() -> list[int | None]:
        pacer = machine.run(200)
        pacer.throttled(slower(30))
        await asyncio.sleep(30)
        limits = []
        for _ in range(7):
            limits.append(pacer.limit.requests_per_minute)
            await asyncio.sleep(60)
        return limits

    assert on_jumping_loop(main) == [100, 120, 140, 160, 180, 200, 200]


def test_after_the_climb_the_whole_rate_is_used_again(machine: Machine) -> None:
    async def main() -> Sent:
        pacer = machine.run(200)
        pacer.throttled(slower(30))
        await asyncio.sleep(600)
        return await machine.send(pacer, cycle([1]), until_s=now_s() + 60)

    assert len(on_jumping_loop(main)) >= 0.97 * 200


def test_both_limits_give_way(machine: Machine) -> None:
    async def main() -> Sent:
        pacer = machine.run(10_000, 1000, largest=40)
        pacer.throttled(slower(30))
        return await machine.send(pacer, cycle([40]), until_s=now_s() + 60)

    sent = on_jumping_loop(main)

    assert sum(amount for _, amount in sent) <= 500 / 2 + 40  # half a minute of half the rate


def test_a_verdict_that_is_no_matter_of_speed_changes_nothing(machine: Machine) -> None:
    async def main() -> tuple[bool, int | None]:
        pacer = machine.run(200)
        pacer.throttled(slower(30, throttled=False))
        return await pacer.at_once(1), pacer.limit.requests_per_minute

    assert on_jumping_loop(main) == (True, 200)


@pytest.mark.parametrize(("asked_s", "expected_s"), [(None, 5), (30, 30), (3600, 60)])
def test_a_429_holds_also_a_run_that_is_started_after_it_but_no_longer_than_a_minute(
    machine: Machine, asked_s: float | None, expected_s: float
) -> None:
    async def main() -> float:
        began_s = now_s()
        machine.run(200).throttled(slower(asked_s))
        await machine.run(200, account=None).turn(0)
        return now_s() - began_s

    assert on_jumping_loop(main) == pytest.approx(expected_s, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_of_429_is_survived(machine: Machine, seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> int:
        pacer, given = machine.run(200), 0
        until_s = now_s() + 600
        while now_s() < until_s:
            await pacer.turn(1)
            given += 1
            if chance.random() < 0.1:
                pacer.throttled(slower(chance.choice([None, 1, 2])))
        return given

    assert on_jumping_loop(main) > 50  # it crawls, and never stands still


# ---- what the headers say -------------------------------------------------------------------------------------------


LEARNING: dict[str, tuple[int, bool, int, dict[str, Any], int | None, str]] = {
    "a lower limit": (200, True, 202, {"limit": 100}, 100, "learned"),
    "a higher limit than the chosen one": (200, True, 202, {"limit": 10_000}, 200, "configured"),
    "a higher limit than the default": (200, False, 202, {"limit": 10_000}, 10_000, "learned"),
    "a lower limit than the default": (200, False, 202, {"limit": 60}, 60, "learned"),
    "nonsense": (200, False, 202, {"limit": "unlimited"}, 200, "default"),
    "a limit of nothing": (200, False, 202, {"limit": 0, "remaining": 150}, 200, "default"),
    "any status tells": (200, True, 400, {"limit": 100}, 100, "learned"),
    "who has no limit hears of none": (0, True, 202, {"limit": 100}, None, "configured"),
}


@pytest.mark.parametrize("name", LEARNING)
def test_an_answer_tells(machine: Machine, name: str) -> None:
    asked, chosen, status, headers, expected, source = LEARNING[name]

    async def main() -> list[Limit]:
        pacer = machine.run(asked, chosen=chosen)
        pacer.hear(reply(machine.clock, status, **headers))
        return [pacer.limit, machine.run(asked, chosen=chosen).limit]

    limits = on_jumping_loop(main)

    assert [(each.requests_per_minute, each.source) for each in limits] == [(expected, Source(source))] * 2


def test_what_is_learned_with_the_look_up_of_the_account_is_newer_than_what_is_kept(machine: Machine) -> None:
    async def main() -> list[int | None]:
        machine.run(200).hear(reply(machine.clock, limit=50))
        pacer = machine.run(200, account=None)
        pacer.hear(reply(machine.clock, limit=80))
        pacer.belongs_to("account")
        return [pacer.limit.requests_per_minute, machine.run(200).limit.requests_per_minute]

    assert on_jumping_loop(main) == [80, 80]


def test_a_run_beside_hears_of_it_with_its_next_turn(machine: Machine) -> None:
    async def main() -> int | None:
        beside, learner = machine.run(200), machine.run(200)
        learner.hear(reply(machine.clock, limit=50))
        await beside.turn(1)
        return beside.limit.requests_per_minute

    assert on_jumping_loop(main) == 50


def test_a_429_that_names_a_lower_limit_teaches_it_and_halves_nothing(machine: Machine) -> None:
    async def main() -> tuple[Limit, float, Sent]:
        pacer = machine.run(200)
        await machine.send(pacer, cycle([1]), until_s=now_s() + 30)
        for _ in range(3):  # those that were under way
            pacer.hear(reply(machine.clock, 429, limit=90, remaining=0))
            pacer.throttled(slower(30))
        limit, paused_s = pacer.limit, pacer.paused_for_s
        return limit, paused_s, await machine.send(pacer, cycle([1]), until_s=now_s() + 150)

    limit, paused_s, sent = on_jumping_loop(main)

    assert (limit.requests_per_minute, limit.source, limit.slowed) == (90, Source.LEARNED, False)
    assert paused_s == pytest.approx(30)
    assert worst_minute(sent) <= 90
    assert len(sent) >= 0.9 * 90 * 2  # after the pause


def test_a_429_of_the_limit_of_messages_teaches_nothing_about_requests(machine: Machine) -> None:
    async def main() -> Limit:
        pacer = machine.run(200, largest=50)
        for _ in range(7):
            await pacer.turn(50)
        pacer.hear(reply(machine.clock, 429, limit=100, remaining=0))
        pacer.throttled(slower(30))
        return pacer.limit

    limit = on_jumping_loop(main)

    assert (limit.requests_per_minute, limit.source, limit.slowed) == (100, Source.CONFIGURED, True)


def test_what_is_spent_elsewhere_is_left_to_those_who_spend_it(machine: Machine) -> None:
    """The API counts sixty requests of somebody else's before each of our minutes."""
    elsewhere: Sent = []

    async def main() -> Sent:
        pacer, ours = machine.run(200), list[tuple[float, int]]()
        until_s = now_s() + 300
        while now_s() < until_s:
            await pacer.turn(1)
            at_s, started = now_s(), Instant.at(machine.clock.reading())
            ours.append((at_s, 1))
            if len(ours) % 10 == 0 and len(elsewhere) < len(ours) * 0.6:
                elsewhere.extend([(at_s, 1)] * 6)
            inside = sum(1 for each, _ in [*ours, *elsewhere] if each > at_s - 60)
            pacer.hear(reply(machine.clock, limit=200, remaining=max(0, 200 - inside), started=started))
        return ours

    ours = on_jumping_loop(main)

    assert worst_minute([*ours, *elsewhere]) <= 200 + 2 * 6  # what others do at one moment is heard only after it
    assert len(ours) + len(elsewhere) >= 0.9 * 200 * 5


def test_an_api_that_counts_a_burst_instead_of_a_minute_slows_nothing_down(machine: Machine) -> None:
    """A bucket of fifty that is filled up again 200 times a minute: it never has more than fifty left."""

    async def main() -> Sent:
        pacer = machine.run(200)
        sent: Sent = []
        until_s = now_s() + 180
        while now_s() < until_s:
            await pacer.turn(1)
            sent.append((now_s(), 1))
            pacer.hear(reply(machine.clock, limit=200, remaining=49))
        return sent

    assert len(on_jumping_loop(main)) >= 0.95 * 3 * 200


RESETS: dict[str, tuple[int, float, float]] = {
    "nothing left for twenty seconds": (0, 20, 20),
    "nothing left for an hour": (0, 3600, 60.6),
    "nothing left, but that is over": (0, -5, 0.6),
    "something left": (5, 20, 0.6),
}


@pytest.mark.parametrize("name", RESETS)
def test_where_others_left_nothing_the_end_of_it_is_waited_for(machine: Machine, name: str) -> None:
    remaining, reset_in_s, at_least_s = RESETS[name]

    async def main() -> float:
        pacer = machine.run(100)
        await pacer.turn(1)
        began_s, wall_s = now_s(), machine.clock.reading()[0] / 1_000_000
        pacer.hear(reply(machine.clock, limit=100, remaining=remaining, reset=round(wall_s + reset_in_s)))
        assert pacer.paused_for_s <= 61
        if remaining == 0:
            return max(0.6, pacer.paused_for_s)
        await pacer.turn(1)
        return now_s() - began_s

    assert on_jumping_loop(main) == pytest.approx(at_least_s, abs=1)


# ---- people at the controls -----------------------------------------------------------------------------------------


def test_who_is_held_passes_when_let_go_and_at_once(machine: Machine) -> None:
    async def main() -> tuple[bool, bool, float, bool]:
        pacer = machine.run()
        pacer.hold()
        held, at_once = pacer.held, await pacer.at_once(1)
        waiting = asyncio.ensure_future(pacer.turn(1))
        await asyncio.sleep(3600)
        assert not waiting.done()
        let_go_s = now_s()
        pacer.go()
        await waiting
        return held, at_once, now_s() - let_go_s, pacer.held

    held, at_once, late_s, after = on_jumping_loop(main)

    assert (held, at_once, after) == (True, False, False)
    assert late_s < 0.001


def test_a_hold_reaches_who_already_waits_for_a_permit(machine: Machine) -> None:
    async def main() -> bool:
        pacer = machine.run(60)
        await pacer.turn(1)
        waiting = asyncio.ensure_future(pacer.turn(1))
        await asyncio.sleep(0.5)
        pacer.hold()
        await asyncio.sleep(600)
        before = waiting.done()
        pacer.go()
        await waiting
        return before

    assert on_jumping_loop(main) is False


@pytest.mark.parametrize(
    ("first", "then", "at_most_s"),
    [
        pytest.param(1, 600, 1.0, id="a faster rate reaches who waits for a minute"),
        pytest.param(1, 0, 1.0, id="no limit reaches them too"),
    ],
)
def test_another_rate_is_acted_upon_within_a_second(machine: Machine, first: int, then: int, at_most_s: float) -> None:
    async def main() -> float:
        pacer = machine.run(first)
        await pacer.turn(1)
        waiting = asyncio.ensure_future(pacer.turn(1))
        await asyncio.sleep(5)
        pacer.set_limit(then)
        began_s = now_s()
        await waiting
        return now_s() - began_s

    assert on_jumping_loop(main) <= at_most_s


@pytest.mark.parametrize("asked", [0, 200])
def test_a_slower_rate_holds_from_now_on(machine: Machine, asked: int) -> None:
    async def main() -> tuple[Sent, Limit]:
        pacer = machine.run(asked)
        if asked:
            await machine.send(pacer, cycle([1]), until_s=now_s() + 60)
        pacer.set_limit(30)
        return await machine.send(pacer, cycle([1]), until_s=now_s() + 60), pacer.limit

    sent, limit = on_jumping_loop(main)

    assert 29 <= len(sent) <= 30
    assert (limit.requests_per_minute, limit.source) == (30, Source.LIVE)


def test_a_rate_that_is_set_outranks_what_was_learned_before_and_not_what_is_learned_after(machine: Machine) -> None:
    async def main() -> list[tuple[int | None, Source]]:
        pacer = machine.run(200)
        pacer.hear(reply(machine.clock, limit=50))
        await asyncio.sleep(1)

        async def seen() -> tuple[int | None, Source]:
            await pacer.turn(1)  # asks what is kept, too
            await asyncio.sleep(1)
            return pacer.limit.requests_per_minute, pacer.limit.source

        at_first = await seen()
        pacer.set_limit(150)
        then = await seen()
        pacer.hear(reply(machine.clock, limit=60))
        return [at_first, then, await seen()]

    assert on_jumping_loop(main) == [(50, Source.LEARNED), (150, Source.LIVE), (60, Source.LEARNED)]


def test_a_first_limit_by_hand_is_shared_with_the_other_runs_of_the_account(machine: Machine) -> None:
    async def main() -> bool:
        pacer = machine.run()
        pacer.set_limit(3)
        beside = machine.run(3)
        for _ in range(3):
            await pacer.turn(1)
        return await beside.at_once(1)

    assert on_jumping_loop(main) is False


def test_the_repr_tells_the_state(machine: Machine) -> None:
    async def main() -> list[str]:
        pacer, free = machine.run(200), machine.run()
        before = repr(pacer)
        pacer.throttled(slower(30))
        free.hold()
        return [before, repr(pacer), repr(free)]

    assert on_jumping_loop(main) == ["<Pacer 200/min>", "<Pacer 100/min, paused for 30 s>", "<Pacer no limit, held>"]


def test_without_a_window_the_buckets_still_hold() -> None:
    async def main() -> list[float]:
        pacer = Pacer(requests_per_minute=200, messages_per_minute=0, largest=1, clock=LoopClock())
        given = []
        for _ in islice(cycle([1]), 300):
            await pacer.turn(1)
            given.append(now_s())
        return given

    assert worst_minute((at_s, 1) for at_s in on_jumping_loop(main)) <= 200
