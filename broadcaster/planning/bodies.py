"""Batches with their keys: the body is encoded here only to take its key, and again when it is sent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.keys import idempotency_key
from broadcaster.core.values import Batch, Message
from broadcaster.core.words import Channel
from broadcaster.phones import format_e164
from broadcaster.store.plan import BATCHES

_RECIPIENTS_PER_GROUP = 100_000  # of a row group: small enough to decode at once, large enough to compress


class Digest(Protocol):
    """A running digest, as :mod:`hashlib` makes them."""

    def update(self, data: bytes, /) -> None:
        """Add *data*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """What to send to whom in which order: see :func:`broadcaster.planning.group.cut`."""

    rows: NDArray[np.int64]  # row numbers in sending order
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    numbers: NDArray[np.int64]  # E.164 digits by row, counted from the part's first row
    sets: NDArray[np.int32]  # parameter set by row
    first_row: int
    first_batch: int


def tables(
    cuts: Cuts,
    *,
    parameters: Sequence[bytes],
    channels: tuple[Channel, ...],
    message: Message,
    encode: Callable[[Message, Batch], bytes],
    keys: Digest,
) -> Iterator[pa.Table]:
    """Yield the batches as row groups of ``batches.parquet``; *keys* is fed every key in order."""
    at = 0
    while at < len(cuts.starts):
        until = int(np.searchsorted(cuts.ends, cuts.starts[at] + _RECIPIENTS_PER_GROUP, side="right"))
        until = max(until, at + 1)
        yield _group(cuts, at, until, parameters, channels, message, encode, keys)
        at = until


def _group(
    cuts: Cuts,
    begin: int,
    end: int,
    parameters: Sequence[bytes],
    channels: tuple[Channel, ...],
    message: Message,
    encode: Callable[[Message, Batch], bytes],
    keys: Digest,
) -> pa.Table:
    base = int(cuts.starts[begin])
    rows = cuts.rows[base : int(cuts.ends[end - 1])]
    to = format_e164(cuts.numbers[rows])
    written = to.to_pylist()
    starts = (cuts.starts[begin:end] - base).tolist()
    ends = (cuts.ends[begin:end] - base).tolist()
    found_keys: list[str] = []
    found_parameters: list[str] = []
    for number, (start, stop) in enumerate(zip(starts, ends, strict=True)):
        body = parameters[int(cuts.sets[rows[start]])]
        batch = Batch(
            id=cuts.first_batch + begin + number,
            key="",
            to=tuple(written[start:stop]),
            channels=channels,
            parameters=body,
        )
        key = idempotency_key(encode(message, batch), scope=message.scope)
        keys.update(key.encode() + b"\n")
        found_keys.append(key)
        found_parameters.append(body.decode())
    count = end - begin
    offsets = pa.array([*starts, ends[-1]], pa.int32())
    return pa.table(
        [
            pa.array(np.arange(begin, end, dtype=np.int32) + cuts.first_batch),
            pa.array(found_keys, pa.string()),
            pa.array(found_parameters, pa.string()),
            pa.nulls(count, pa.string()),
            pa.array(["+".join(channels)] * count).dictionary_encode(),
            pa.ListArray.from_arrays(offsets, pa.array(rows + cuts.first_row)),
            pa.ListArray.from_arrays(offsets, to),
        ],
        schema=BATCHES,
    )
