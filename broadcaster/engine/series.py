"""The requests of one attempt: one as a rule, several where an operation wants something to follow its answer.

Each takes a turn of its own. What was asked for so far is lost when the run drains in between, or an answer does not
come: only operations that repeat naturally have more than one request.
"""

from collections.abc import Callable

from broadcaster.core.values import Batch, Lost, Message, Reply, Request, Unsent
from broadcaster.engine.ports import Budget, Send
from broadcaster.engine.stop import Stop
from broadcaster.operations.model import Operation


class Series:
    """Sends what an operation asks for a batch, from the first request to the last."""

    def __init__(
        self,
        *,
        operation: Operation,
        message: Message,
        send: Send,
        budget: Budget,
        stop: Stop,
        listen: Callable[[Batch, Reply], None],
    ) -> None:
        self._operation = operation
        self._message = message
        self._send = send
        self._budget = budget
        self._stop = stop
        self._listen = listen  # to the answers that something follows

    async def __call__(self, batch: Batch, request: Request) -> Reply | Lost | Unsent | None:
        """Send *request*, which has its turn, and whatever follows.

        Returns:
            The last result; ``None`` when the run drains before the next request may leave.
        """
        result = await self._send(request)
        further = self._operation.next_request
        if further is None:
            return result
        replies: tuple[Reply, ...] = ()
        while isinstance(result, Reply):
            replies = (*replies, result)
            following = further(self._message, batch, replies)
            if following is None:
                break
            self._listen(batch, result)
            if not await self._budget.at_once(following.messages) and not await self._stop.unless_drained(
                self._budget.turn(following.messages)
            ):
                return None
            result = await self._send(following)
        return result
