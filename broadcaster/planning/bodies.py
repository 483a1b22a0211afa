"""Batches with their keys: the body is encoded here only to take its key, and again when it is sent."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from broadcaster.core.keys import FORMAT, LETTERS, begin_digest
from broadcaster.core.values import Batch, Message
from broadcaster.core.words import Channel
from broadcaster.phones import format_e164
from broadcaster.planning.slots import Slot
from broadcaster.store.plan import BATCHES, BETWEEN_ZONES

_RECIPIENTS_PER_GROUP = 100_000  # of a row group: small enough to decode at once, large enough to compress
_ALPHABET = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz234567", dtype=np.uint8)  # base32, in lower case
_BYTES, _OF_BYTES = 5, 8  # five bytes are eight letters of base32


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
    channels: NDArray[np.signedinteger]  # set of channels by row
    first_row: int
    first_batch: int
    slots: NDArray[np.int32] | None = None  # send time by row; None: at once


def tables(
    cuts: Cuts,
    *,
    parameters: pa.Array,
    channels: Sequence[tuple[Channel, ...]],
    slots: Sequence[Slot] = (),
    message: Message,
    encode: Callable[[Message, Batch], bytes],
    keys: Digest,
) -> Iterator[pa.Table]:
    """Yield the batches as row groups of ``batches.parquet``; *keys* is fed every key in order.

    *parameters*, *channels* and *slots* are what the numbers in *cuts* stand for.
    """
    at = 0
    while at < len(cuts.starts):
        until = max(group_end(cuts.ends, opened=int(cuts.starts[at])), at + 1)
        yield _group(cuts, at, until, parameters, channels, slots, message, encode, keys)
        at = until


def group_end(ends: NDArray[np.int64], *, opened: int) -> int:
    """Return the first batch that is not in the row group which begins at *opened*; at least one is in it, though."""
    return int(np.searchsorted(ends, opened + _RECIPIENTS_PER_GROUP, side="right"))


def _group(
    cuts: Cuts,
    begin: int,
    end: int,
    parameters: pa.Array,
    channels: Sequence[tuple[Channel, ...]],
    slots: Sequence[Slot],
    message: Message,
    encode: Callable[[Message, Batch], bytes],
    keys: Digest,
) -> pa.Table:
    base = int(cuts.starts[begin])
    rows = cuts.rows[base : int(cuts.ends[end - 1])]
    to = format_e164(cuts.numbers[rows])
    written: list[str] = to.to_pylist()
    starts = cuts.starts[begin:end] - base
    ends = cuts.ends[begin:end] - base
    own = parameters.take(pa.array(cuts.sets[rows[starts]]))
    codes = cuts.channels[rows[starts]]
    when = _when(cuts, rows[starts], slots)
    begun = begin_digest(message.scope)
    digests = bytearray()
    number = cuts.first_batch + begin
    each = zip(starts.tolist(), ends.tolist(), own.to_pylist(), codes.tolist(), when.to_pylist(), strict=True)
    for start, stop, body, code, send_at in each:
        batch = Batch(
            id=number,
            key="",
            to=tuple(written[start:stop]),
            channels=channels[code],
            parameters=body.encode(),
            send_at=send_at,
        )
        digest = begun.copy()
        digest.update(encode(message, batch))
        digests += digest.digest()
        number += 1
    found = _keys(digests)
    keys.update(found.tobytes())
    offsets = pa.array(np.append(starts, ends[-1]).astype(np.int32))
    names = pa.array(["+".join(each) for each in channels], pa.string())
    return pa.table(
        [
            pa.array(np.arange(begin, end, dtype=np.int32) + cuts.first_batch),
            _texts(found[:, :-1]),
            own.cast(pa.string()),
            when,
            pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names),
            pa.ListArray.from_arrays(offsets, pa.array(rows + cuts.first_row)),
            pa.ListArray.from_arrays(offsets, to),
            _where(cuts, rows[starts], slots),
        ],
        schema=BATCHES,
    )


def _when(cuts: Cuts, firsts: NDArray[np.int64], slots: Sequence[Slot]) -> pa.Array:
    """Return the send time of each batch, by its first row."""
    if cuts.slots is None or not slots:
        return pa.nulls(len(firsts), pa.string())
    return pa.array([slot.send_at for slot in slots], pa.string()).take(pa.array(cuts.slots[firsts]))


def _where(cuts: Cuts, firsts: NDArray[np.int64], slots: Sequence[Slot]) -> pa.Array:
    """Return the zones of each batch, by its first row."""
    if cuts.slots is None or not any(slot.zones for slot in slots):
        return pa.nulls(len(firsts), BATCHES.field("zones").type)
    names = pa.array([BETWEEN_ZONES.join(slot.zones) for slot in slots], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(cuts.slots[firsts].astype(np.int32)), names)


def _keys(digests: bytearray) -> NDArray[np.uint8]:
    """Return keys as rows of letters, each with a line feed at its end: :func:`core.keys.idempotency_key`, many."""
    prefix = f"{FORMAT}-".encode()
    whole = np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)  # sha256
    used = whole[:, : LETTERS // _OF_BYTES * _BYTES].reshape(len(whole), -1, _BYTES).astype(np.uint64)
    words = np.zeros(used.shape[:2], dtype=np.uint64)
    for at in range(_BYTES):
        words = (words << np.uint64(8)) | used[:, :, at]
    shifts = np.arange(_OF_BYTES - 1, -1, -1, dtype=np.uint64) * np.uint64(5)
    letters = _ALPHABET[((words[:, :, None] >> shifts) & np.uint64(31)).astype(np.uint8)]
    keys = np.empty((len(whole), len(prefix) + LETTERS + 1), dtype=np.uint8)
    keys[:, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    keys[:, len(prefix) : -1] = letters.reshape(len(whole), -1)
    keys[:, -1] = ord("\n")
    return keys


def _texts(letters: NDArray[np.uint8]) -> pa.Array:
    """Return rows of ASCII letters as strings."""
    count, width = letters.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    content = pa.py_buffer(np.ascontiguousarray(letters))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), content)
