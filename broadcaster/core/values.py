"""The values that travel between the rooms: frozen, slotted, keyword-only.

Nothing here decides, reads a clock or knows a library. Times are microseconds since 1970 (UTC) unless a name says
otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TypeVar, dataclass_transform

from broadcaster.core.words import Action, Channel, Decision, Executed, Mode, Shape, State, Steering, Waiver
from broadcaster.errors import BroadcasterError

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def quick(kind: type[T]) -> type[T]:
    """Make *kind* a value of which a run makes one for each request.

    For the type checker it is as frozen as the others; the interpreter does not watch over it, because that takes four
    times as long as making it: together a tenth of what a request costs.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)


@quick
class Instant:
    """One moment on every clock we have.

    ``boot_us`` counts since the machine's start and goes on during sleep; ``boot`` names that start. Both are ``None``
    where the platform does not tell.
    """

    wall_us: int
    boot_us: int | None = None
    boot: str | None = None

    @classmethod
    def at(cls, reading: tuple[int, int | None, str | None]) -> "Instant":
        """Name the parts of a clock's reading: wall time, boot time, boot id."""
        wall_us, boot_us, boot = reading
        return cls(wall_us=wall_us, boot_us=boot_us, boot=boot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an idempotency key belongs to besides the body: see :mod:`broadcaster.core.keys`."""

    campaign: str
    generation: str
    mode: Mode
    profile: str | None
    method: str
    path: str

    def of(self, generation: str) -> "Scope":
        """Return the same scope with another generation."""
        return self if generation == self.generation else replace(self, generation=generation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What all batches of a plan part share. Exactly one of ``template_id``, ``template_name``, ``text`` is set."""

    template_id: str | None = None
    template_name: str | None = None
    text: str | None = None
    scope: Scope


@quick
class Batch:
    """The deliveries of one request.

    ``to`` is in sending order. ``channels`` is never empty; ``(Channel.AUTO,)`` lets the API pick. ``parameters`` is a
    canonical JSON object, spliced into the body as it is. Planned batches count from 0; children of a split are
    numbered -1, -2, … and name their ``parent``. ``generation`` tells equal
    bodies apart that are meant to be sent again. ``send_at`` is the planned moment, as the API takes it; ``zones``,
    where the job has a window, are those in which another moment would have to suit. ``moved_to`` is that other moment,
    empty for "at once". The key is always the planned request's, so that nobody gets it twice whom two launches reach
    at two times.
    """

    id: int
    key: str
    to: tuple[str, ...]
    channels: tuple[Channel, ...]
    parameters: bytes
    send_at: str | None = None
    parent: int | None = None
    generation: str = "0"
    zones: tuple[str, ...] = ()
    moved_to: str | None = None

    @property
    def due_at(self) -> str | None:
        """When it is to go out, as the API takes it; ``None``: at once."""
        return self.send_at if self.moved_to is None else self.moved_to or None

    @property
    def as_planned(self) -> "Batch":
        """The same at its planned moment: what the key is taken from."""
        return self if self.moved_to is None else replace(self, moved_to=None)

    @property
    def deliveries(self) -> int:
        """Messages that this batch asks for: recipients x channels."""
        return len(self.to) * len(self.channels)


@quick
class Request:
    """One HTTP request: ``messages`` is its weight on the limit of messages per minute."""

    method: str
    path: str
    body: bytes = field(default=b"", repr=False)
    key: str | None = None
    messages: int = 0


@quick
class Reply:
    """A complete HTTP answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    started: Instant
    ended: Instant

    @property
    def server_us(self) -> int | None:
        """The server's own time, from the ``Date`` header; ``None`` when it does not say."""
        written = self.headers.get("date")
        return None if written is None else _http_date_us(written)


@lru_cache(maxsize=4)  # every answer of a second says the same
def _http_date_us(written: str) -> int | None:
    try:
        date = parsedate_to_datetime(written)
    except ValueError:
        return None
    # HTTP dates are UTC, also when they name no zone.
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()) * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Bytes may have left, and there is no complete answer."""

    reason: str
    started: Instant
    ended: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """Provably no byte of the request reached the API."""

    reason: str
    started: Instant
    ended: Instant


@quick
class Heard:
    """A reply as an operation reads it: all that the classification may look at.

    ``code`` is the API's error code or "". ``blamed`` holds the positions in the batch that the error names; ``about``
    holds the fields it names that are not recipients (``template``, ``channel`` …). ``request_id`` is "" when unknown.
    """

    status: int
    shape: Shape
    code: str = ""
    sentence: str = ""
    blamed: tuple[int, ...] = ()
    about: frozenset[str] = frozenset()
    retry_after_s: float | None = None
    request_id: str = ""
    replayed: str = ""  # the first request's id when the answer comes from the idempotency cache ("?" if not named)
    missing: int = 0  # deliveries that a partial answer has no entry for


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an attempt means: what to do, and whether it created messages. ``error`` is the reason of a ``STOP``."""

    action: Action
    executed: Executed
    code: str = ""
    sentence: str = ""
    retry_after_s: float | None = None
    blamed: tuple[int, ...] = ()
    throttled: bool = False  # the API said "slower": everybody waits
    error: type[BroadcasterError] | None = None


@quick
class Claim:
    """The durable word that a batch's bytes may leave.

    ``since`` is the start of the earliest attempt that may have executed.
    """

    batch: int
    since: Instant
    server_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One exchange that settled nothing. ``body`` is kept when an answer contradicts what was asked."""

    batch: int
    n: int
    started: Instant
    ended: Instant
    executed: Executed
    http: int | None = None
    code: str = ""
    request_id: str = ""
    sentence: str = ""
    body: bytes | None = field(default=None, repr=False)


@quick
class Outcome:
    """How a batch was settled. ``answer`` is the raw body of an accepting reply, the only source of message ids."""

    batch: int
    state: State
    attempts: int
    first_us: int
    settled_us: int
    http: int | None = None
    code: str = ""
    sentence: str = ""
    request_id: str = ""
    replayed: str = ""
    missing: int = 0  # deliveries that an accepting answer has no entry for
    answer: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """``positions`` in the parent become a batch of its own with its own key.

    ``channels`` and ``generation`` are the parent's where they are empty. ``send_at`` is another moment than the
    planned one, empty for "at once"; the parent's where it is ``None``.
    """

    id: int
    parent: int
    positions: tuple[int, ...]
    key: str
    cause: str
    channels: tuple[Channel, ...] = ()
    generation: str = ""
    send_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a person decided, when and why: about a batch in doubt, or, without a ``batch``, an order to the run.

    ``note`` is the person's own word; of a rate it is the requests per minute, of a waiver the part of the plan.
    """

    at_us: int
    who: str
    what: Decision | Steering | Waiver
    batch: int | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """A recipient, by position in its batch, that the API refused by name."""

    batch: int
    position: int
    code: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A look-up shows the message of one delivery that was in doubt. ``source`` says where it was seen."""

    batch: int
    position: int
    channel: Channel
    message_id: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An accepting answer, matched to its batch.

    ``message_ids`` has one entry per (recipient, channel), recipients outermost, channels in the batch's order;
    ``None`` where the answer has no entry. ``server_to`` maps a position to the number as the API wrote it, where that
    differs. ``columns`` holds what else the operation puts into the manifest, by column and in the same order.
    """

    message_ids: tuple[str | None, ...]
    server_to: Mapping[int, str]
    columns: Mapping[str, tuple[str | bool | None, ...]] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Deliveries without an entry."""
        return sum(1 for each in self.message_ids if each is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Deliveries by status."""

    pending: int = 0
    accepted: int = 0
    rejected: int = 0
    excluded: int = 0
    in_doubt: int = 0

    @property
    def total(self) -> int:
        """All manifest rows."""
        return self.pending + self.accepted + self.rejected + self.excluded + self.in_doubt
