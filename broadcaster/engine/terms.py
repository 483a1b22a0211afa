"""What holds for all batches of a run, and what its senders know together."""

from dataclasses import dataclass, field

from broadcaster.core.breaker import BreakerPolicy
from broadcaster.core.retry import RetryBudget, RetryPolicy
from broadcaster.core.timetable import Retimed, Stale, Timetable
from broadcaster.core.values import Batch, Instant, Message
from broadcaster.core.words import On5xx
from broadcaster.engine.servertime import ServerTime
from broadcaster.operations.model import Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Replays:
    """The keys of another launch of the same plan protect everybody *until* then; *run_dir* is where it was."""

    until: Instant
    run_dir: str

    def are_over(self, now: Instant) -> bool:
        """Whether that moment has passed, by any clock that tells."""
        same_start = now.boot is not None and now.boot == self.until.boot
        by_boot = same_start and (now.boot_us or 0) >= (self.until.boot_us or 0)
        return by_boot or now.wall_us >= self.until.wall_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for every batch of a run."""

    message: Message
    operation: Operation
    window_s: float
    margin_s: float
    give_up_after_s: float
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retry_budget: RetryBudget = field(default_factory=RetryBudget)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    on_5xx: On5xx = On5xx.RETRY
    row_bytes: int = 0  # an answer's row is no longer than that
    timetable: Timetable = field(default_factory=Timetable)
    patient: bool = True  # waits while the window is shut, instead of ending
    replays: Replays | None = None  # of another directory's launch; nothing leaves after them
    bisections: int = 40  # requests that looking for an unnamed bad recipient may cost in one run

    def due(self, batch: Batch, *, now_us: int) -> Retimed | Stale | None:
        """Decide about the time of a batch whose turn it is: see :meth:`broadcaster.core.timetable.Timetable.due`."""
        return self.timetable.due(batch.due_at, batch.zones, now_us=now_us)


class Shared:
    """What the senders of a run know together."""

    def __init__(
        self, *, server_time: ServerTime, next_child: int, bisections: int, answer_row: float | None = None
    ) -> None:
        self.server_time = server_time
        self.next_child = next_child
        self.bisections_left = bisections
        self.alone = True  # no request was accepted yet: one at a time
        self.largest_answer_row = answer_row  # bytes of an accepting answer, per delivery; None: not measured yet
        self.postponed = 0  # batches that wait for a measure
        self.stale = 0  # deliveries for which no time is left
