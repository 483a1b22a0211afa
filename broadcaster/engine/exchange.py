"""A look-up: paced like every other request, and repeated while the API is only busy or out of reach.

Look-ups repeat freely, so nothing is claimed. What the answer means is the caller's business.
"""

from collections.abc import Callable

from broadcaster.clock import Clock
from broadcaster.core.retry import RetryPolicy, delay_s
from broadcaster.core.values import Lost, Reply, Request, Unsent, Verdict
from broadcaster.core.words import Action, Executed
from broadcaster.engine.ports import Budget, Observe, Send, Waiting
from broadcaster.engine.retrying import persist
from broadcaster.engine.stop import Stop
from broadcaster.errors import StoppedEarly
from broadcaster.operations.envelope import hear_error, retry_after_s

_SLOWER = 429
_SERVER_ERRORS = 500
_TIMED_OUT = 408


class Exchange:
    """Sends look-ups; callable like :class:`broadcaster.engine.ports.Send`.

    Gives up after ``silent_s`` of trying without any answer, after ``busy_s`` of answers that do not decide, at a
    drain, and at once when the API asks to wait longer than that (the lock-out of a refused key): then the last result
    is returned as it is.
    """

    def __init__(
        self,
        *,
        send: Send,
        budget: Budget,
        stop: Stop,
        observe: Observe,
        clock: Clock,
        silent_s: float,
        busy_s: float,
        rand: Callable[[], float],
    ) -> None:
        self._send = send
        self._budget = budget
        self._stop = stop
        self._observe = observe
        self._clock = clock
        self._silent_s = silent_s
        self._busy_s = busy_s
        self._rand = rand

    async def __call__(self, request: Request) -> Reply | Lost | Unsent:
        """Return the answer that decides, or the last of those that do not.

        Raises:
            StoppedEarly: the run drains before the limit lets the request pass.
        """
        began_s = self._clock.monotonic()
        answered = False

        async def attempt() -> Reply | Lost | Unsent:
            nonlocal answered
            if not await self._budget.at_once(request.messages) and not await self._stop.unless_drained(
                self._budget.turn(request.messages)
            ):
                raise StoppedEarly("stopped while it waited for the account's limit")
            result = await self._send(request)
            answered = isinstance(result, Reply)
            if isinstance(result, Reply):
                self._budget.hear(result)
            return result

        def give_up() -> bool:
            tried_s = self._clock.monotonic() - began_s
            return self._stop.draining or tried_s >= (self._busy_s if answered else self._silent_s)

        def wait_s(result: Reply | Lost | Unsent, failed: int) -> float:
            asked_s = retry_after_s(result) if isinstance(result, Reply) else None
            if isinstance(result, Reply) and result.status == _SLOWER:
                self._budget.throttled(_slower(asked_s))
            seconds = delay_s(failed, policy=RetryPolicy(), retry_after_s=asked_s, rand=self._rand())
            self._observe(Waiting(code="look_up", sentence=_why(result), wait_s=seconds))
            return seconds

        result = await attempt()
        if not self._passing(result):
            return result
        return await persist(
            result,
            attempt,
            unfinished=self._passing,
            delay_s=wait_s,
            sleep=self._stop.sleep,
            give_up=give_up,
        )

    def _passing(self, result: Reply | Lost | Unsent) -> bool:
        """Whether another try may get a better answer."""
        if not isinstance(result, Reply):
            return True
        if result.status == _SLOWER:
            locked = hear_error((), result).code.startswith("AUTH_")
            return not locked and (retry_after_s(result) or 0.0) < self._busy_s
        return result.status == _TIMED_OUT or result.status >= _SERVER_ERRORS


def _slower(seconds: float | None) -> Verdict:
    return Verdict(action=Action.REPEAT, executed=Executed.NO, throttled=True, retry_after_s=seconds)


def _why(result: Reply | Lost | Unsent) -> str:
    if isinstance(result, Reply):
        return f"The API does not serve requests at the moment (HTTP {result.status})."
    return f"The API does not answer ({result.reason})."
