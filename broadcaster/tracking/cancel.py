"""Cancelling held messages, one request each: paced, resumable, nearest release first.

Theory of operation. The order is the caller's: the nearest release first, because it is the one that can still be
lost. A message whose release has come is not asked about any more, since its request would only delay the others. Each
cancellation is kept as a receipt before it counts, so that whoever goes on asks for none of them again; cancelling
twice is harmless.

It must not know journals: it is handed ids, and somebody who keeps receipts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from broadcaster.api.asking import Sending
from broadcaster.api.cancelling import Answer, cancel
from broadcaster.core.receipts import Receipt
from broadcaster.errors import BroadcasterError

SOURCE = "cancel"
Target = tuple[str, int | None]
"""A message id, and when the message is released, in µs since 1970, if anybody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """How far it came.

    Attributes:
        cancelled: messages called off.
        too_late: released before their turn came, or by the API's word.
        failed: unknown to the API, or refused for another reason.
        left: not asked for.
        because: what ended it early, if something did.
    """

    cancelled: int = 0
    too_late: int = 0
    failed: int = 0
    left: int = 0
    because: BroadcasterError | None = None


def receipt_of(message_id: str, *, at_us: int) -> Receipt:
    """Return the receipt of a cancellation."""
    return Receipt(
        message_id=message_id,
        status="CANCELLED",
        channel=None,
        code=None,
        reason=None,
        updated_us=at_us,
        event_key=f"{SOURCE}:{message_id}",
        source=SOURCE,
    )


async def cancel_all(
    targets: Sequence[Target],
    *,
    ask: Sending,
    keep: Callable[[Receipt], Awaitable[object]],
    now_us: Callable[[], int],
    concurrency: int,
    observe: Callable[[Cancelled], None],
) -> Cancelled:
    """Cancel *targets* in their order. May be cancelled itself at any moment: what was done is kept.

    Args:
        targets: messages, nearest release first.
        ask: sends the requests; it decides about pace and retries.
        keep: makes a receipt durable.
        now_us: the time.
        concurrency: requests under way at a time.
        observe: hears of every answer.
    """
    so_far = Cancelled(left=len(targets))
    upcoming = iter(targets)

    async def one_after_the_other() -> None:
        nonlocal so_far
        while so_far.because is None and (target := next(upcoming, None)) is not None:
            try:
                what = await _cancel(target, ask=ask, keep=keep, now_us=now_us)
            except BroadcasterError as error:
                so_far = replace(so_far, because=error)
            else:
                so_far = replace(so_far, left=so_far.left - 1, **{what: getattr(so_far, what) + 1})
                observe(so_far)

    async with asyncio.TaskGroup() as group:
        for number in range(min(concurrency, len(targets))):
            group.create_task(one_after_the_other(), name=f"cancel-{number}")
    return so_far


async def _cancel(
    target: Target, *, ask: Sending, keep: Callable[[Receipt], Awaitable[object]], now_us: Callable[[], int]
) -> str:
    """Cancel one message; return as what it counts."""
    message_id, release_us = target
    if release_us is not None and release_us <= now_us():
        return "too_late"
    match await cancel(ask, message_id):
        case Answer.CANCELLED:
            await keep(receipt_of(message_id, at_us=now_us()))
            return "cancelled"
        case Answer.TOO_LATE:
            return "too_late"
        case Answer.UNKNOWN | Answer.REFUSED:
            return "failed"
