"""Receipts on disk, as ``serve`` and ``reconcile`` write them, a word each."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from broadcaster.core.receipts import Receipt
from broadcaster.store.receipts import ReceiptsWriter

LONG_AGO_US = 1_764_580_000_000_000  # every failure of then has settled


def word(
    message_id: str, status: str, *, code: str | None = None, at_us: int = LONG_AGO_US, via: str = "sms"
) -> Receipt:
    """Return a receipt that says so; *via* is the channel in use."""
    return Receipt(
        message_id=message_id,
        status=status,
        channel=via,
        code=code,
        reason=None,
        updated_us=at_us,
        event_key=f"{message_id}:{status}:{at_us}",
        source="webhook",
    )


def hear(path: Path, *receipts: Receipt) -> None:
    """Write receipts into the file."""

    async def write() -> None:
        with ReceiptsWriter(path) as writer:
            await writer.add(receipts)

    asyncio.run(write())


def tell(path: Path, words: Mapping[str, str]) -> None:
    """Say of each message, by id, a status, with a code after a space if there is one."""
    told = {name: text.partition(" ") for name, text in words.items()}
    hear(path, *(word(name, status, code=code or None) for name, (status, _, code) in told.items()))
