"""The closed sets of words that the program, its files and its users share.

A word stands here once and means one thing; what follows from a word is decided elsewhere.
"""

from enum import StrEnum, auto


class Channel(StrEnum):
    """Where a delivery goes; ``AUTO`` leaves the choice to the API."""

    SMS = auto()
    WHATSAPP = auto()
    RCS = auto()
    MMS = auto()
    AUTO = auto()


class Mode(StrEnum):
    """Who is messaged: people, nobody (Sent's own sandbox), nobody (the local simulator)."""

    LIVE = auto()
    SANDBOX = auto()
    SIMULATED = auto()


class Status(StrEnum):
    """The one state that a delivery has in the manifest."""

    PENDING = auto()
    ACCEPTED = auto()
    REJECTED = auto()
    EXCLUDED = auto()
    IN_DOUBT = auto()


class Reason(StrEnum):
    """Why a row is excluded, in the order in which the reasons are decided."""

    MALFORMED_ROW = auto()
    INVALID_NUMBER = auto()
    SUPPRESSED = auto()
    UNKNOWN_PROFILE = auto()
    MISSING_PARAMETER = auto()
    INVALID_PARAMETER = auto()
    FILTERED = auto()
    INVALID_CHANNEL = auto()
    INVALID_TIMEZONE = auto()
    UNKNOWN_ZONE = auto()
    TOO_LATE = auto()
    DUPLICATE = auto()


class State(StrEnum):
    """How a batch was settled."""

    ACCEPTED = auto()
    REJECTED = auto()
    SPLIT = auto()
    RESENT = auto()  # in doubt, and a person decided: again, under new keys
    SKIPPED = auto()  # in doubt, and a person decided: never again


class Decision(StrEnum):
    """What a person decides about deliveries in doubt."""

    RESEND = auto()
    SKIP = auto()


class Steering(StrEnum):
    """What a person orders of a run while it works."""

    PAUSE = auto()
    GO = auto()
    RATE = auto()


class Waiver(StrEnum):
    """What a person lets a run do without."""

    SKIP_CANARY = auto()  # the rest is sent whatever became of the canary, and whether anybody knows


class Action(StrEnum):
    """What to do after an attempt."""

    ACCEPT = auto()  # settle as accepted
    REPEAT = auto()  # wait, then the same key and the same bytes again
    REJECT = auto()  # settle as rejected: the API created nothing and never will
    SPLIT = auto()  # reject whom the API named, make new batches of the others
    HOLD = auto()  # leave it in doubt and go on with the others
    RETIME = auto()  # nothing was sent: its time has passed, another one is found
    STOP = auto()  # leave it and stop the run


class Executed(StrEnum):
    """Whether an attempt created messages, as far as anybody can know."""

    YES = auto()
    NO = auto()
    UNKNOWN = auto()


class Repeat(StrEnum):
    """What protects a repeated request."""

    KEYED = auto()  # the idempotency key, inside the API's window
    NATURAL = auto()  # nothing needed: twice is once
    NEVER = auto()  # nothing: doubt stays doubt


class On5xx(StrEnum):
    """What an ambiguous server error (500, 502, 504) leads to."""

    RETRY = auto()  # the vendor's advice: same key again
    HOLD = auto()  # leave the batch in doubt


class Shape(StrEnum):
    """How an answer compares with what was asked."""

    WHOLE = auto()  # an entry for every recipient and channel
    PARTIAL = auto()  # entries for some of them only
    FOREIGN = auto()  # an entry for somebody who was not asked for, or the same message id twice
    UNREADABLE = auto()  # not the documented shape, or cut off
    ERROR = auto()  # an error answer, or none of the above: the status and the code tell
