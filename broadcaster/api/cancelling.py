"""Calling a held message off: ``POST /v3/messages/{id}/cancel``. It is free, and saying it twice is once."""

from enum import Enum, auto
from urllib.parse import quote

from broadcaster.api.asking import Sending, change
from broadcaster.core.values import Reply

_NOT_FOUND = 404
_NOT_HELD = "BUSINESS_006"  # the message's state does not allow it


class Answer(Enum):
    """What the API says to a cancellation."""

    CANCELLED = auto()
    TOO_LATE = auto()  # not held, or no more
    UNKNOWN = auto()  # the API does not know the message
    REFUSED = auto()  # for another reason


async def cancel(ask: Sending, message_id: str) -> Answer:
    """Cancel a message.

    Raises:
        AccountRefused, Unreachable: as :func:`broadcaster.api.asking.find`.
    """
    heard = await change(ask, f"/v3/messages/{quote(message_id, safe='')}/cancel")
    if isinstance(heard, Reply):
        return Answer.CANCELLED
    if heard.code == _NOT_HELD:
        return Answer.TOO_LATE
    return Answer.UNKNOWN if heard.status == _NOT_FOUND else Answer.REFUSED
