"""What an endpoint is, as a value: how its requests are written and its answers read.

Nobody else asks which kind or version a job has; :data:`broadcaster.operations.OPERATIONS` is the only table that
knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broadcaster.core.values import Batch, Heard, Message, Reading, Reply, Request
from broadcaster.core.words import Repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One way to ask the API for something, once per batch.

    Attributes:
        name: stable, stored in the plan: ``messages/v3``.
        method, path: of the request; part of the idempotency key.
        repeat: what protects a repeated request.
        largest_batch: recipients that one request may carry.
        encode: message and batch to the exact body bytes, format ``f1``. A pure function that is never edited.
        hear: a reply to what the classification may know of it.
        read: an accepting body to message ids by position. Raises ``ValueError`` on a body that :attr:`hear` does not
            call whole or partial.
        ids: an accepting body to its message ids, in whatever order, without a look at whose they are.
    """

    name: str
    method: str
    path: str
    repeat: Repeat
    largest_batch: int
    encode: Callable[[Message, Batch], bytes]
    hear: Callable[[Batch, Reply], Heard]
    read: Callable[[Batch, bytes], Reading]
    ids: Callable[[bytes], Sequence[str]]

    def request(self, message: Message, batch: Batch) -> Request:
        """Return the one request of *batch*."""
        return Request(
            method=self.method,
            path=self.path,
            body=self.encode(message, batch),
            key=batch.key,
            messages=batch.deliveries,
        )
