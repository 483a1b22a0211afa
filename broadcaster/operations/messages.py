"""The v3 send: ``POST /v3/messages``, written and read.

:func:`encode` is format ``f1``: the idempotency key is a digest of its bytes, so it is never edited. A new format is a
new function under a new name; golden tests hold this one.

Answers are matched to the batch by (recipient, channel). One number that the server wrote in another way is recognised
when exactly one recipient and one unknown number are left over; anything else that was not asked for is foreign.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from broadcaster.core.values import Batch, Heard, Message, Reading, Reply
from broadcaster.core.words import Channel, Mode, Repeat, Shape
from broadcaster.operations.envelope import hear_error, replayed, request_id, retry_after_s
from broadcaster.operations.model import Operation

_AUTO = (Channel.AUTO,)


class _Row(msgspec.Struct, gc=False):
    """One entry of the answer; everything else in it, such as the rendered text, is skipped."""

    to: str
    message_id: str | None = None
    channel: str | None = None


class _Data(msgspec.Struct, gc=False):
    recipients: list[_Row]


class _Accepted(msgspec.Struct, gc=False):
    success: bool
    data: _Data
    meta: Any = None


_ANSWERS = msgspec.json.Decoder(_Accepted)


def encode(message: Message, batch: Batch) -> bytes:
    """Return the body of a batch's request, format ``f1``: UTF-8, no spaces, nothing escaped that need not be."""
    parts = [b'{"to":', orjson.dumps(batch.to)]
    if batch.channels != _AUTO:
        parts += [b',"channel":', orjson.dumps(batch.channels)]
    if message.text is not None:
        parts += [b',"text":', orjson.dumps(message.text)]
    else:
        by_id = message.template_id is not None
        parts += [b',"template":{"id":' if by_id else b',"template":{"name":']
        parts += [orjson.dumps(message.template_id if by_id else message.template_name)]
        if batch.parameters != b"{}":
            parts += [b',"parameters":', batch.parameters]
        parts += [b"}"]
    if (due_at := batch.due_at) is not None:
        parts += [b',"scheduled_at":', orjson.dumps(due_at)]
    if message.scope.mode is Mode.SANDBOX:
        parts += [b',"sandbox":true']
    return b"".join([*parts, b"}"])


def hear(batch: Batch, reply: Reply) -> Heard:
    """Return what the classification may know of a reply."""
    if not 200 <= reply.status < 300:  # noqa: PLR2004 - the success class
        return hear_error(batch.to, reply)
    shape, reading, meta = _understand(batch, reply.body)  # read again for the manifest: it is stored as received
    return Heard(
        status=reply.status,
        shape=shape,
        retry_after_s=retry_after_s(reply),
        request_id=request_id(meta, reply.headers),
        replayed=replayed(reply.headers),
        missing=reading.missing if reading is not None else 0,
    )


def read(batch: Batch, body: bytes) -> Reading:
    """Return the message ids of an accepting answer.

    Raises:
        ValueError: the body is not an answer to this batch.
    """
    shape, reading, _ = _understand(batch, body)
    if reading is None:
        raise ValueError(f"The answer is {shape}")
    return reading


def message_ids(body: bytes) -> list[str]:
    """Return the message ids of an accepting answer; it was read before, so that nothing is checked again."""
    return [row.message_id for row in _ANSWERS.decode(body).data.recipients if row.message_id]


def _understand(batch: Batch, body: bytes) -> tuple[Shape, Reading | None, object]:
    """Decode and match an answer; there is a reading exactly when it is whole or partial."""
    try:
        answer = _ANSWERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Shape.UNREADABLE, None, None
    if not answer.success:
        return Shape.UNREADABLE, None, answer.meta
    rows = answer.data.recipients
    ids = tuple([row.message_id for row in rows if row.message_id])
    if len(set(ids)) != len(ids):
        return Shape.FOREIGN, None, answer.meta
    if len(ids) == batch.deliveries == len(rows) and _in_order(batch, rows):
        return Shape.WHOLE, Reading(message_ids=ids, server_to={}), answer.meta
    reading = _matched(batch, rows)
    if reading is None:
        return Shape.FOREIGN, None, answer.meta
    return (Shape.PARTIAL if reading.missing else Shape.WHOLE), reading, answer.meta


def _in_order(batch: Batch, rows: Sequence[_Row]) -> bool:
    """Say whether as many rows as deliveries stand as they were asked for, which is the usual case."""
    width = len(batch.channels)
    for offset, channel in enumerate(batch.channels):
        few = rows[offset::width]
        if tuple([row.to for row in few]) != batch.to:
            return False
        if channel is not Channel.AUTO:  # which any channel fits
            written = {row.channel for row in few}
            if not all(_fits(each, channel, alone=width == 1) for each in written):
                return False
    return True


def _fits(answered: str | None, asked: Channel, *, alone: bool) -> bool:
    """Say whether a row's channel is the one asked for; with a single one, the answer may leave it out."""
    return asked is Channel.AUTO or (alone if answered is None else answered.lower() == asked)


def _matched(batch: Batch, rows: Iterable[_Row]) -> Reading | None:
    """Match rows in any order; ``None`` when one of them was not asked for."""
    width, alone = len(batch.channels), len(batch.channels) == 1
    places = {to: position for position, to in enumerate(batch.to)}
    ids: dict[int, str | None] = {}
    server_to: dict[int, str] = {}
    unknown: list[_Row] = []
    for row in rows:
        position = places.get(row.to)
        if position is None and (position := places.get(_plain(row.to))) is not None:
            server_to[position] = row.to
        if position is None:
            unknown.append(row)
        elif not _place(ids, row, batch.channels, at=position * width, alone=alone):
            return None
    if unknown:
        position = _left_over(unknown, ids, batch)
        if position is None:
            return None
        server_to[position] = unknown[0].to
        if not all(_place(ids, row, batch.channels, at=position * width, alone=alone) for row in unknown):
            return None
    return Reading(message_ids=tuple(map(ids.get, range(batch.deliveries))), server_to=server_to)


def _place(ids: dict[int, str | None], row: _Row, channels: Sequence[Channel], *, at: int, alone: bool) -> bool:
    """Put a row's id in its delivery's place; ``False`` when there is no such place, or it is taken."""
    for offset, channel in enumerate(channels):
        if _fits(row.channel, channel, alone=alone):
            if at + offset in ids:
                return False
            ids[at + offset] = row.message_id or None  # an entry without an id is no entry: the delivery is in doubt
            return True
    return False


def _left_over(unknown: Sequence[_Row], ids: Mapping[int, str | None], batch: Batch) -> int | None:
    """Return the one recipient without a full answer, if there is one unknown number and one such recipient."""
    missing = {place // len(batch.channels) for place in range(batch.deliveries) if place not in ids}
    if len({row.to for row in unknown}) == 1 == len(missing):
        return missing.pop()
    return None


def _plain(number: str) -> str:
    """Return *number* with its digits only, as E.164."""
    return "+" + "".join(filter(str.isdigit, number))


MESSAGES_V3 = Operation(
    name="messages/v3",
    method="POST",
    path="/v3/messages",
    repeat=Repeat.KEYED,
    largest_batch=1000,  # the documented ceiling
    encode=encode,
    hear=hear,
    read=read,
    ids=message_ids,
)
