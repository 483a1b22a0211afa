"""What a report says, as values: frozen, and the same for every format.

Counts are rows of the manifest (*messages*: one per recipient and channel) unless a name says otherwise; moments are
ISO 8601 in UTC. ``None`` is "not known", which is never the same as 0: of a run without receipts nobody knows how many
messages arrived. The JSON format is these names, so that a change of one is a change of :data:`FORMAT`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto

FORMAT = "broadcaster-report/1"


class Outcome(StrEnum):
    """What is known of a message at last: each has exactly one. In the order in which they are shown."""

    READ = auto()
    DELIVERED = auto()
    SENT = auto()  # handed to the operator
    UNDER_WAY = auto()  # the API has it: queued, routed, scheduled, or a word that we do not know
    ACCEPTED = auto()  # the API said yes, and no receipt has come
    FAILED = auto()
    BLOCKED = auto()
    FILTERED = auto()
    CANCELLED = auto()
    REJECTED = auto()
    IN_DOUBT = auto()
    PENDING = auto()
    EXCLUDED = auto()


class State(StrEnum):
    """Where a run stands."""

    PLANNED = auto()  # nothing of it was ever sent
    SENDING = auto()
    UNFINISHED = auto()
    HALTED = auto()
    COMPLETE = auto()


class Kind(StrEnum):
    """Where on its way a message stopped."""

    STOPPED = auto()  # the run itself
    IN_DOUBT = auto()
    NOT_DELIVERED = auto()
    REJECTED = auto()
    EXCLUDED = auto()


class Result(StrEnum):
    """What became of a promise."""

    KEPT = auto()
    BROKEN = auto()
    NOT_CHECKED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of the way from the list to the phone; *count* is ``None`` where no receipt tells."""

    name: str
    unit: str
    count: int | None
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The messages on one channel, or to one country, by outcome."""

    name: str
    outcomes: Mapping[str, int]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why so many messages did not go on, and what to do about it."""

    kind: Kind
    code: str
    count: int | None
    meaning: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Counts over time: every value of *series* belongs to *step_s* seconds, the first of which begins at *start*."""

    start: str
    step_s: int
    series: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Requests against the limit.

    Attributes:
        requests: that left, repeated ones included.
        refused: of these, answered with 429: too many.
        limit: requests per minute that the job allows, 0 for no cap.
        busiest: most requests in any 60 seconds.
        messages_limit, busiest_messages: the same for messages; ``None`` where they have no cap.
        over_time: requests in the 60 seconds before each moment.
    """

    requests: int
    refused: int
    limit: int
    busiest: int
    messages_limit: int | None
    busiest_messages: int | None
    over_time: Timeline | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the messages of one channel or country cost, as far as receipts say; decimals as text."""

    name: str
    messages: int
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What receipts say of prices, in the account's currency. *unpriced*: accepted messages without a price."""

    total: str
    messages: int
    unpriced: int
    channels: tuple[Price, ...]
    countries: tuple[Price, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A row, by its line in the list's file (the header is line 1). *shown* is its number, masked."""

    file: str
    line: int
    shown: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """Input rows that are not messaged, for one reason."""

    reason: str
    rows: int
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Messages in doubt for one reason; *since* is the oldest attempt.

    Until *protected_until* ``resume`` may repeat the oldest with its own key; ``None``: no key helps.
    """

    code: str
    messages: int
    since: str | None
    protected_until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One promise: what, whether it was kept, and how that is known."""

    what: str
    result: Result
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A process that worked on the run. *ending* says how it ended: ``None`` when it left no word."""

    started: str
    ended: str | None
    version: str
    ending: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What somebody decided about requests in doubt."""

    at: str
    who: str
    what: str
    requests: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFile:
    """A list as it was read; only its name, since a path may say whose machine it is."""

    name: str
    part: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipts:
    """How many accepted messages have a receipt, and when the last one was.

    Unless *known*, nobody can say how many messages arrived: some were accepted or are in doubt, and nobody told.
    """

    known: bool
    messages: int
    of: int
    last: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All that a report says.

    Attributes:
        headline: one sentence.
        commands: what to do next, each with its reason.
        funnel: from the list to the phone.
        outcomes: all rows of the manifest, by :class:`Outcome`.
        facts: name and value, for people.
    """

    format: str = FORMAT
    campaign: str
    mode: str
    run_dir: str
    written_at: str
    state: State
    headline: str
    exit_code: int
    stopped_by: str | None
    why: str | None
    commands: tuple[tuple[str, str], ...]
    rows: int
    recipients: int
    outcomes: Mapping[str, int]
    funnel: tuple[Step, ...]
    receipts: Receipts
    channels: tuple[Group, ...]
    countries: tuple[Group, ...]
    failures: tuple[Failure, ...]
    sending: Timeline | None
    told: Timeline | None
    rate: Rate
    cost: Cost | None
    exclusions: tuple[Exclusion, ...]
    doubts: tuple[Doubt, ...]
    promises: tuple[Promise, ...]
    facts: tuple[tuple[str, str], ...]
    lists: tuple[ListFile, ...]
    launches: tuple[Launch, ...]
    decisions: tuple[Decision, ...]

    @property
    def messages(self) -> int:
        """Rows of the manifest."""
        return sum(self.outcomes.values())

    @property
    def creates(self) -> bool:
        """Whether contacts are created, and nobody is messaged."""
        return any(step.unit == "contacts" for step in self.funnel)

    @property
    def is_real(self) -> bool:
        """Whether anybody could have been messaged."""
        return self.mode == "live"
