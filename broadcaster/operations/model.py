"""What an endpoint is, as a value: how its requests are written and its answers read.

Nobody else asks which kind or version a job has; :data:`broadcaster.operations.OPERATIONS` is the only table that
knows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from broadcaster.core.classify import NO_ROWS, Row
from broadcaster.core.values import Batch, Heard, Message, Reading, Reply, Request
from broadcaster.core.words import Repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that an operation adds to the manifest; ``None`` in it is "not told"."""

    name: str
    kind: type[str] | type[bool]


def no_messages(_body: bytes) -> Sequence[str]:
    """Return no message ids: of an answer that names no message, receipts cannot speak."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One way to ask the API for something, once per batch.

    Attributes:
        name: stable: ``messages/v3``.
        method, path: of the first request; part of the idempotency key.
        repeat: what protects a repeated request.
        largest_batch: recipients that one request may carry.
        encode: message and batch to the exact body bytes, format ``f1``. A pure function that is never edited.
        hear: a reply to what the classification may know of it; where a batch takes several requests, the last one's.
        read: an accepting body to message ids by position. Raises ``ValueError`` on a body that :attr:`hear` does not
            call whole or partial.
        ids: an accepting body to its message ids, in whatever order, without a look at whose they are; there are none
            where nobody is messaged, or nobody tells.
        next_request: what has to follow the replies so far, or ``None``: the last of them is the answer. The operation
            itself is ``None`` where one request is always enough. Only a request that repeats naturally may have more.
        codes: rows that go before those of the common table of :mod:`broadcaster.core.classify`.
        columns: what it adds to the manifest, besides the id that ``read`` gives.
        id_column: the column of that id.
        gives_ids: whether an accepting answer names what was created.
        sends_messages: whether anybody gets a message: it counts on the limit of messages then, and costs.
        looks_ahead: whether the API tells, before anything is sent, whose key it is and what a template needs.
        takes_opt_outs: an opt-out in the list is part of what is asked for, and no reason to leave somebody out.
        has_sandbox: whether Sent's sandbox knows it.
        is_legacy: it needs the credentials of the API's first version.
    """

    name: str
    method: str
    path: str
    repeat: Repeat
    largest_batch: int
    encode: Callable[[Message, Batch], bytes]
    hear: Callable[[Batch, Reply], Heard]
    read: Callable[[Batch, bytes], Reading]
    ids: Callable[[bytes], Sequence[str]] = no_messages
    next_request: Callable[[Message, Batch, tuple[Reply, ...]], Request | None] | None = None
    codes: Mapping[tuple[int, str], Row] = field(default_factory=lambda: NO_ROWS)
    columns: tuple[Column, ...] = ()
    id_column: str = "message_id"
    gives_ids: bool = True
    sends_messages: bool = True
    looks_ahead: bool = True
    takes_opt_outs: bool = False
    has_sandbox: bool = True
    is_legacy: bool = False

    def request(self, message: Message, batch: Batch) -> Request:
        """Return the first request of *batch*; it has no key where nobody would look at it."""
        return Request(
            method=self.method,
            path=self.path,
            body=self.encode(message, batch),
            key=None if self.repeat is Repeat.NEVER else batch.key,
            messages=self.weight(batch),
        )

    def weight(self, batch: Batch) -> int:
        """Return what *batch* counts on the limit of messages."""
        return batch.deliveries if self.sends_messages else 0
