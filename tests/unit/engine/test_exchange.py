"""Look-ups are paced, repeated while the API is only busy, and given up in time."""

import asyncio

import pytest
from support.doubles import ManualClock

from broadcaster.core.values import Instant, Lost, Reply, Request, Unsent, Verdict
from broadcaster.engine.exchange import Exchange
from broadcaster.engine.ports import Event, Waiting
from broadcaster.engine.stop import Stop
from broadcaster.errors import StoppedEarly

NOW = Instant(wall_us=0)
GET = Request(method="GET", path="/v3/me")
Result = Reply | Lost | Unsent


def reply(status: int, body: bytes = b"{}", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, body=body, started=NOW, ended=NOW)


class Line:
    """Answers in turn, the last one for ever; counts turns, and drains when it is told to."""

    def __init__(self, *answers: Result, drain_after: int | None = None) -> None:
        self.answers = list(answers)
        self.turns = 0
        self.sent = 0
        self.slower: list[float | None] = []
        self.heard: list[Reply] = []
        self.open = asyncio.Event()  # the limit lets everybody pass
        self.open.set()
        self.events: list[Event] = []
        self.stop = Stop()
        self.drain_after = drain_after
        self.clock = ManualClock()
        self.ask = Exchange(
            send=self.send,
            budget=self,
            stop=self.stop,
            observe=self.events.append,
            clock=self.clock,
            silent_s=5.0,
            busy_s=90.0,
            rand=lambda: 0.0,
        )

    def let_time_pass(self) -> None:
        """Let waiting take no time but the clock's."""

        async def sleep(seconds: float) -> None:
            self.clock.step(seconds)

        self.stop.sleep = sleep  # type: ignore[method-assign]  # the one thing of a Stop that takes time

    async def send(self, request: Request) -> Result:
        assert request is GET
        self.sent += 1
        assert self.turns == self.sent, "a look-up left without its turn"
        if self.sent == self.drain_after:
            self.stop.drain()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def turn(self, messages: int) -> None:
        assert messages == 0
        await self.open.wait()
        self.turns += 1

    async def at_once(self, messages: int) -> bool:
        if self.open.is_set():
            await self.turn(messages)
        return self.open.is_set()

    def hear(self, reply: Reply) -> None:
        self.heard.append(reply)

    def throttled(self, verdict: Verdict) -> None:
        self.slower.append(verdict.retry_after_s)


LOST = Lost(reason="reset", started=NOW, ended=NOW)
UNSENT = Unsent(reason="refused", started=NOW, ended=NOW)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(200), id="a yes"),
        pytest.param(reply(401), id="a refused key"),
        pytest.param(reply(404), id="not there"),
        pytest.param(reply(429, b'{"error":{"code":"AUTH_002"}}'), id="a locked key by its code"),
        pytest.param(reply(429, retry_after="3600"), id="a lock-out longer than we try"),
    ],
)
async def test_an_answer_that_decides_is_asked_for_once(answer: Reply) -> None:
    line = Line(answer)
    assert await line.ask(GET) is answer
    assert (line.sent, line.events) == (1, [])


@pytest.mark.parametrize(
    "passing",
    [
        pytest.param(LOST, id="lost"),
        pytest.param(UNSENT, id="unsent"),
        pytest.param(reply(503, retry_after="0.001"), id="503"),
        pytest.param(reply(408), id="408"),
        pytest.param(reply(429, retry_after="0.001"), id="429"),
    ],
)
async def test_what_passes_is_asked_again_until_an_answer_decides(passing: Result) -> None:
    line = Line(passing, passing, reply(200))
    line.let_time_pass()
    found = await line.ask(GET)
    assert isinstance(found, Reply)
    assert found.status == 200
    assert line.sent == 3
    assert [type(event) for event in line.events] == [Waiting, Waiting]


async def test_a_429_slows_everybody_as_long_as_it_asks() -> None:
    line = Line(reply(429, retry_after="7"), reply(200))
    line.let_time_pass()
    await line.ask(GET)
    assert line.slower == [7.0]


async def test_it_gives_up_in_time_and_returns_what_it_has() -> None:
    busy = reply(503)
    for answer, limit_s in ((UNSENT, 5.0), (busy, 90.0)):
        line = Line(answer)
        line.let_time_pass()
        began_s = line.clock.monotonic()
        assert await line.ask(GET) is answer
        assert limit_s <= line.clock.monotonic() - began_s < limit_s + 31.0


async def test_a_drain_ends_the_waiting() -> None:
    line = Line(UNSENT, drain_after=1)
    assert await line.ask(GET) is UNSENT
    assert line.sent == 1


async def test_a_drain_ends_the_waiting_for_a_turn_and_nothing_is_asked() -> None:
    line = Line(reply(200))
    line.open.clear()
    asking = asyncio.ensure_future(line.ask(GET))
    await asyncio.sleep(0.01)
    line.stop.drain()

    with pytest.raises(StoppedEarly):
        await asking
    assert (line.sent, line.turns) == (0, 0)


async def test_every_answer_is_told_to_the_pacer() -> None:
    answers = [reply(503), reply(429, retry_after="1"), reply(200, x_ratelimit_limit="60")]
    line = Line(*answers)
    line.let_time_pass()
    await line.ask(GET)

    assert line.heard == answers
