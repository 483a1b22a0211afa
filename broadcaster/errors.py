"""Everything that can end a command, and the exit code it ends with.

::

    BroadcasterError
    ├─ ConfigError            2   the command line, the job file or the environment
    │  ├─ JobInvalid              the job file (every mistake in one message)
    │  ├─ FilterInvalid           the expression that says which rows of the list are meant
    │  ├─ TemplateUnusable        the API does not know or does not allow the template
    │  └─ RequestRefused          the API refuses the request as such, whoever it is for
    ├─ Halted                 5   a safety limit, the balance, or a count that is not as expected
    │  ├─ CountUnexpected
    │  ├─ BalanceExhausted
    │  ├─ CanaryFailed            what became of the first messages speaks against sending the rest
    │  ├─ ScheduleStale           not_after has passed
    │  └─ ContractBroken          an answer that contradicts what was asked
    ├─ ListUnusable          65   the list cannot be read, or nobody on it can be messaged
    ├─ StoreError            74   disk, journal, or a difference that ``verify`` found
    │  ├─ StoreDamaged
    │  └─ DifferenceFound
    ├─ StoppedEarly          75   ``resume`` goes on
    │  ├─ RunLocked
    │  ├─ RunPaused
    │  ├─ WindowShut
    │  ├─ Unreachable
    │  └─ Fenced                   another process has taken the shard over
    ├─ AccountRefused        77   key or account
    └─ BelongsToAnother      78   run directory, campaign, plan, account, mode or format

A class's docstring is its default sentence. ``code`` is stable, for scripts; the sentence is for people and says what
is wrong, where, and what to do. Expected failures of single deliveries are no exceptions: they are outcomes.
"""

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command's exit status says."""

    DONE = 0
    BUG = 1
    USAGE = 2
    SOME_REJECTED = 3
    SOME_IN_DOUBT = 4
    HALTED = 5
    LIST_UNUSABLE = 65
    STORE = 74
    STOPPED = 75
    REFUSED = 77
    FOREIGN = 78


class BroadcasterError(Exception):
    """Something went wrong that the program knows how to name."""

    exit_code: ClassVar[ExitCode] = ExitCode.BUG
    code: ClassVar[str] = "error"

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or " ".join((type(self).__doc__ or type(self).__name__).split()))

    @property
    def sentence(self) -> str:
        """What is wrong, where, and what to do."""
        return str(self.args[0])


class ConfigError(BroadcasterError):
    """The command line, the job file or the environment is not usable."""

    exit_code = ExitCode.USAGE
    code = "config"


class JobInvalid(ConfigError):
    """The job file is not valid."""

    code = "job_invalid"


class FilterInvalid(ConfigError):
    """The filter is no expression over the columns of the list."""

    code = "filter_invalid"


class TemplateUnusable(ConfigError):
    """The API does not know the template, or does not allow it to be sent."""

    code = "template_unusable"


class RequestRefused(ConfigError):
    """The API refuses the request as such, whoever it is for."""

    code = "request_refused"


class Halted(BroadcasterError):
    """A safety limit stopped the run."""

    exit_code = ExitCode.HALTED
    code = "halted"


class CountUnexpected(Halted):
    """The plan does not have the expected size."""

    code = "count_unexpected"


class BalanceExhausted(Halted):
    """The account's balance or quota does not allow more messages."""

    code = "balance_exhausted"


class CanaryFailed(Halted):
    """What became of the first messages speaks against sending the rest, or nobody knows what became of them."""

    code = "canary_failed"


class ContractBroken(Halted):
    """The API's answer contradicts what was asked; nothing more is sent until somebody has looked at it."""

    code = "contract_broken"


class ScheduleStale(Halted):
    """It is too late for the schedule; nothing more goes out."""

    code = "schedule_stale"


class ListUnusable(BroadcasterError):
    """The list cannot be read, or nobody on it can be messaged."""

    exit_code = ExitCode.LIST_UNUSABLE
    code = "list_unusable"


class StoreError(BroadcasterError):
    """The disk or the journal failed."""

    exit_code = ExitCode.STORE
    code = "store"


class StoreDamaged(StoreError):
    """A file of the run directory is damaged."""

    code = "store_damaged"


class DifferenceFound(StoreError):
    """Plan, journal and manifest do not agree."""

    code = "difference_found"


class StoppedEarly(BroadcasterError):
    """The run was stopped before everything was sent."""

    exit_code = ExitCode.STOPPED
    code = "stopped"


class RunLocked(StoppedEarly):
    """Another process is working in the run directory."""

    code = "locked"


class RunPaused(StoppedEarly):
    """The run is paused; nothing is sent until somebody lets it go on."""

    code = "paused"


class WindowShut(StoppedEarly):
    """The job's window is shut; the run goes on when it opens. ``until`` is when that is, by the job's clock."""

    code = "window_shut"

    def __init__(self, sentence: str | None = None, *, until: str | None = None) -> None:
        super().__init__(sentence)
        self.until = until


class Unreachable(StoppedEarly):
    """The API does not answer."""

    code = "unreachable"


class Fenced(StoppedEarly):
    """Another process has taken this shard over; this one sends nothing more of it."""

    code = "fenced"


class AccountRefused(BroadcasterError):
    """The API refuses the key or the account."""

    exit_code = ExitCode.REFUSED
    code = "account_refused"


class BelongsToAnother(BroadcasterError):
    """The run directory belongs to another campaign, plan, account or mode."""

    exit_code = ExitCode.FOREIGN
    code = "belongs_to_another"


def first_of(group: BaseExceptionGroup[BroadcasterError]) -> BroadcasterError:
    """Return the error that a user should read: the first one found in a group of tasks that failed together."""
    found = group.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found
