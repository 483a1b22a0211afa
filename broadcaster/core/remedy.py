"""Why a message did not arrive, by the status and the code of its receipts, and whether it may be tried again. Pure.

``BLOCKED`` is about the account: nothing was sent, and nothing will be until somebody has mended what the code names.
``FILTERED`` is about consent, whatever its code says: never again. ``FAILED`` is about the number, the channel or the
moment; only the code tells which. A code that nobody has listed goes by its status.
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from types import MappingProxyType


class Cause(StrEnum):
    """What stands in the way of a message."""

    MONEY = auto()
    TEMPLATE = auto()
    SENDER = auto()
    ACCOUNT = auto()  # Sent holds it back, and does not say why
    CONVERSATION = auto()  # free text, and no open conversation
    CONSENT = auto()
    ROUTE = auto()  # a rule of the account
    NUMBER = auto()
    CHANNEL = auto()  # not on this channel
    DELIVERY = auto()  # this time
    CANCELLED = auto()


class Again(StrEnum):
    """Who may be sent the message again."""

    YES = auto()  # on the same channel, or on another
    ELSEWHERE = auto()  # on another channel only
    NEVER = auto()


OF_THE_ACCOUNT = frozenset({Cause.MONEY, Cause.TEMPLATE, Cause.SENDER, Cause.ACCOUNT})
"""Whatever is sent meets the same end until somebody has mended it: such a run stops early."""
PERMANENT = frozenset({Cause.CONSENT, Cause.NUMBER})
"""Whoever it happened to is to be left alone by the next job too."""

_BY_CODE: Mapping[str, Cause] = MappingProxyType(
    {
        "BUSINESS_003": Cause.MONEY,
        "BUSINESS_008": Cause.MONEY,  # a quota
        "BUSINESS_005": Cause.TEMPLATE,
        "BUSINESS_012": Cause.TEMPLATE,
        "CONFLICT_006": Cause.TEMPLATE,  # in review
        "BUSINESS_029": Cause.SENDER,
        "BUSINESS_014": Cause.ACCOUNT,  # suspended
        "WHATSAPP_TEMPLATE_REQUIRED": Cause.CONVERSATION,
        "CONVERSATION_TEMPLATE_REQUIRED": Cause.CONVERSATION,
        "BUSINESS_004": Cause.CONSENT,
        "ERR_CONSENT_BLOCKED": Cause.CONSENT,
        "ERR_ROUTE_DENIED": Cause.ROUTE,
        "VALIDATION_002": Cause.NUMBER,
        "CHANNEL_002": Cause.NUMBER,  # no channel leads there
        "BUSINESS_007": Cause.CHANNEL,
        "DELIVERY_007": Cause.CHANNEL,
        "CHANNEL_001": Cause.CHANNEL,
    }
)
_BY_STATUS: Mapping[str, Cause] = MappingProxyType(
    {
        "BLOCKED": Cause.ACCOUNT,
        "FAILED": Cause.DELIVERY,
        "FILTERED": Cause.CONSENT,
        "CANCELLED": Cause.CANCELLED,
    }
)
_AGAIN: Mapping[Cause, Again] = MappingProxyType(
    {
        Cause.MONEY: Again.YES,
        Cause.TEMPLATE: Again.YES,
        Cause.SENDER: Again.YES,
        Cause.ACCOUNT: Again.YES,
        Cause.CONVERSATION: Again.NEVER,  # the same text meets the same end
        Cause.CONSENT: Again.NEVER,
        Cause.ROUTE: Again.NEVER,
        Cause.NUMBER: Again.NEVER,
        Cause.CHANNEL: Again.ELSEWHERE,
        Cause.DELIVERY: Again.YES,
        Cause.CANCELLED: Again.NEVER,
    }
)
_MEND: Mapping[Cause, str] = MappingProxyType(
    {
        Cause.MONEY: "the account's balance or quota is used up: top it up",
        Cause.TEMPLATE: "the template is not approved for it: have it approved in Sent's dashboard",
        Cause.SENDER: "the number that it is sent from is not active: activate it in Sent's dashboard",
        Cause.ACCOUNT: "Sent holds them back: look at the account in Sent's dashboard",
        Cause.CONVERSATION: "free text needs an open conversation: send a template in place of message.text",
    }
)


def cause_of(status: str, code: str | None) -> Cause | None:
    """Return why a message did not arrive; ``None`` when its status does not say that.

    Args:
        status: in upper case, as receipts have it.
        code: or the sentence that stands in its place, or nothing.
    """
    usual = _BY_STATUS.get(status)
    known = None if code is None else _BY_CODE.get(code)
    if usual is Cause.CONSENT:  # a filtered message stays filtered, whatever a code may mean elsewhere
        return known if known is Cause.ROUTE else usual
    return usual if usual is None or usual is Cause.CANCELLED or known is None else known


def again(cause: Cause) -> Again:
    """Return who may be sent it again."""
    return _AGAIN[cause]


def mend(cause: Cause) -> str | None:
    """Return, for the middle of a sentence, what is wrong and what to do about it; ``None`` where nobody can."""
    return _MEND.get(cause)
