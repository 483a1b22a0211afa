"""What became of a message, from all that was ever said about it, in whatever order it was heard.

Theory of operation. Webhooks come in any order, twice, and late; look-ups say the same again; two files are read
together. So the state must depend on the *set* of receipts and on nothing else. That holds because every receipt has a
place in one total order, and the state is simply the highest one heard: the highest of a set is the same whatever the
order, and however often each is looked at (a join; tests/property/test_receipts.py draws orders and repeats). Nothing
is remembered besides the state itself, so it can be stored, and folded further, anywhere.

The order, from its first criterion to its last:

1. **Class.** Words that we do not know < words for a message under way, or stopped for now < ``FILTERED`` and
   ``CANCELLED``, after which nothing comes < ``DELIVERED`` and ``READ``. Who has a message will always have had it: no
   later word takes that back, be it the failure of a second route or of a ``resend``.
2. **Time**, in whole seconds, for the classes that can go on: later wins. That is how a ``FAILED`` is superseded by the
   ``QUEUED`` of a reroute, a ``BLOCKED`` by that of a ``resend``, while a ``SENT`` that is merely late changes nothing.
   The API says "order by ``updated_at``"; webhooks have it to the second and look-ups to the microsecond, so a finer
   comparison would put a ``SENT`` of 10.3 s behind a ``FAILED`` that is told as 10 s.
3. **Progress** (:data:`ORDER`) within a second, and between ``DELIVERED`` and ``READ`` at any time. The price: a
   message that fails and is rerouted within one second shows ``FAILED`` until a word of a later second comes. The other
   way round, a message that is queued and fails within one second would never be shown as failed.
4. Exact time, then reason and channel, for one reason only: no two different receipts may be equal.

Status words are compared in upper case, as the API's current documents write them, and kept so here and in
``receipts.sqlite``; the manifest has them in lower case, as all its words.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_US = 1_000_000
SETTLING_US = 600 * _US
"""How long a ``FAILED`` may be superseded by another route. Not documented; reroutes take seconds."""

ORDER = (
    "ACCEPTED",  # an older word for QUEUED
    "QUEUED",
    "SCHEDULED",
    "PROCESSED",
    "ROUTED",
    "SENT",
    "BLOCKED",
    "FAILED",
    "FILTERED",
    "CANCELLED",
    "DELIVERED",
    "READ",
)
"""The statuses that we know, by progress: of two in the same second, the later one here is the state."""

ARRIVED = frozenset({"DELIVERED", "READ"})
FINAL = frozenset({"BLOCKED", "FILTERED", "CANCELLED"}) | ARRIVED
"""Nothing more comes by itself, except a ``READ``, and except what a ``resend`` by somebody starts. ``FAILED`` is not
final: see :func:`is_over`."""
NOT_ARRIVED = frozenset({"BLOCKED", "FAILED", "FILTERED", "CANCELLED"})
"""As far as it is known now, the recipient does not get it."""

_PROGRESS: Mapping[str, int] = MappingProxyType({status: at for at, status in enumerate(ORDER)})
_CLOSED = frozenset({"FILTERED", "CANCELLED"})
_Key = tuple[int | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One word about one message, by webhook or look-up. Moments are microseconds since 1970.

    ``status`` is any word, in upper case; ``code`` is stable, ``reason`` a sentence. ``updated_us`` is when the status
    was reached. ``event_key`` is the same whenever the same word comes again, so that it is kept once. ``source`` says
    who told it: ``webhook``, ``lookup`` or ``cancel``. ``to`` is never stored: receipts are matched by message id.
    """

    message_id: str
    status: str
    channel: str | None
    code: str | None
    reason: str | None
    updated_us: int
    event_key: str
    source: str
    price: str | None = None
    to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryState:
    """What is known of a message: the fold of its receipts.

    ``reason`` is the code where the receipt has one, else its sentence. ``price`` is the latest that was told, by
    whichever receipt, and ``priced_us`` its moment.
    """

    status: str
    channel: str | None
    reason: str | None
    updated_us: int
    final: bool
    price: str | None = None
    priced_us: int | None = None


def merge_status(known: DeliveryState | None, receipt: Receipt) -> DeliveryState:
    """Return what is known after *receipt*: *known* itself unless the receipt says more.

    Any order and any repetition of the same receipts lead to the same state; the module's docstring says why.
    """
    told = state_of(receipt)
    return told if known is None else join(known, told)


def join(one: DeliveryState, other: DeliveryState) -> DeliveryState:
    """Return what two folds know together: of two files about the same message."""
    best = max(one, other, key=_key)
    priced = max(one, other, key=_price_key)
    if (best.price, best.priced_us) == (priced.price, priced.priced_us):
        return best
    return DeliveryState(
        status=best.status,
        channel=best.channel,
        reason=best.reason,
        updated_us=best.updated_us,
        final=best.final,
        price=priced.price,
        priced_us=priced.priced_us,
    )


def state_of(receipt: Receipt) -> DeliveryState:
    """Return what a receipt says when it is the only one."""
    status = receipt.status.upper()
    return DeliveryState(
        status=status,
        channel=receipt.channel,
        reason=receipt.code or receipt.reason,
        updated_us=receipt.updated_us,
        final=status in FINAL,
        price=receipt.price,
        priced_us=None if receipt.price is None else receipt.updated_us,
    )


def is_over(state: DeliveryState, *, now_us: int) -> bool:
    """Whether nothing more is to be expected: final, or failed for so long that no other route is tried any more."""
    return state.final or (state.status == "FAILED" and now_us - state.updated_us > SETTLING_US)


def in_order(receipts: Iterable[Receipt]) -> list[Receipt]:
    """Return receipts as they happened: by second, within a second by progress."""
    return sorted(receipts, key=lambda each: (each.updated_us // _US, *_key(state_of(each)), each.event_key))


def _key(state: DeliveryState) -> _Key:
    """The place of a state in the order. Equal keys are equal states, but for the price."""
    known = _PROGRESS.get(state.status, -1)
    second = state.updated_us // _US
    rest = (state.updated_us, state.status, *_or_less(state.reason), *_or_less(state.channel))
    if state.status in ARRIVED:
        return (3, known, second, *rest)
    return (2 if state.status in _CLOSED else 0 if known < 0 else 1, second, known, *rest)


def _price_key(state: DeliveryState) -> tuple[int, int, str]:
    return (0, 0, "") if state.price is None else (1, state.priced_us or 0, state.price)


def _or_less(text: str | None) -> tuple[int, str]:
    """Nothing sorts before anything, also before an empty text."""
    return (0, "") if text is None else (1, text)
