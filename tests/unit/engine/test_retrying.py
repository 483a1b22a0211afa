from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from broadcaster.engine.retrying import persist


@dataclass
class Script:
    """Results in turn, a record of every wait, and a moment at which to give up."""

    results: Iterator[str]
    stop_before_wait: int = 10**6
    stop_after_wait: int = 10**6
    waits: list[float] = field(default_factory=list)
    tries: int = 0
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def again(self) -> str:
        self.tries += 1
        return next(self.results)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def delay_s(self, last: str, failed: int) -> float:
        self.asked.append((last, failed))
        return failed * 1.5

    def give_up(self) -> bool:
        return self.tries + 1 >= self.stop_before_wait or len(self.waits) >= self.stop_after_wait

    async def run(self, first: str) -> str:
        return await persist(
            first,
            self.again,
            unfinished=lambda result: result.startswith("again"),
            delay_s=self.delay_s,
            sleep=self.sleep,
            give_up=self.give_up,
        )


async def test_it_goes_on_until_something_is_finished() -> None:
    script = Script(iter(["again 2", "again 3", "done", "never asked for"]))

    assert await script.run("again 1") == "done"
    assert script.tries == 3


async def test_each_wait_is_told_by_the_result_before_it() -> None:
    script = Script(iter(["again 2", "done"]))
    await script.run("again 1")

    assert script.asked == [("again 1", 1), ("again 2", 2)]
    assert script.waits == [1.5, 3.0]


async def test_a_first_result_that_is_finished_is_returned_as_it_is() -> None:
    script = Script(iter([]))

    assert await script.run("done") == "done"
    assert (script.tries, script.waits) == (0, [])


async def test_giving_up_before_a_wait_returns_the_last_result_without_waiting() -> None:
    script = Script(iter(["again 2", "again 3"]), stop_before_wait=2)

    assert await script.run("again 1") == "again 2"
    assert len(script.waits) == 1


async def test_giving_up_during_a_wait_makes_no_further_try() -> None:
    script = Script(iter(["again 2", "again 3"]), stop_after_wait=2)

    assert await script.run("again 1") == "again 2"
    assert (script.tries, len(script.waits)) == (1, 2)


async def test_giving_up_at_once_returns_the_first_result() -> None:
    script = Script(iter([]), stop_before_wait=0)

    assert await script.run("again 1") == "again 1"
    assert script.waits == []


async def test_what_a_try_raises_is_raised_as_it_is() -> None:
    async def broken() -> str:
        raise OSError("disk full")

    script = Script(iter([]))
    with pytest.raises(OSError, match="disk full"):
        await persist(
            "again 1",
            broken,
            unfinished=lambda result: result.startswith("again"),
            delay_s=script.delay_s,
            sleep=script.sleep,
            give_up=script.give_up,
        )
