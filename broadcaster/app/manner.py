"""How a plan is sent, and when: as the job says, or as the plan remembers it when there is no job at hand."""

from dataclasses import dataclass, field, replace

from broadcaster.core.timetable import Hold, Timetable
from broadcaster.job.model import Api, Limits, Notify, Safety
from broadcaster.planning.timing import timetable
from broadcaster.store.head import Head


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to send, and when: as the job says, or the plan when there is no job at hand.

    ``skip_canary`` names who decided that nobody waits for the canary any more.
    """

    limits: Limits
    safety: Safety
    api: Api
    notify_url: str = ""
    preflight: bool = True
    timetable: Timetable = field(default_factory=Timetable)
    wait: bool = True  # while the window is shut
    skip_canary: str | None = None

    @classmethod
    def of(cls, head: Head, *, preflight: bool, wait: bool = True, skip_canary: str | None = None) -> "Settings":
        """Return what the plan remembers."""
        return cls(
            limits=Limits.model_validate(head.limits),
            safety=Safety.model_validate(head.safety),
            api=Api.model_validate(head.api),
            notify_url=Notify.model_validate(head.notify).url,
            preflight=preflight,
            timetable=timetable(head.schedule),
            wait=wait,
            skip_canary=skip_canary,
        )

    def unpaced(self) -> "Settings":
        """Return the same without any rate limit, and at any hour."""
        limits = self.limits.model_copy(update={"requests_per_minute": 0, "messages_per_minute": 0})
        return replace(self, limits=limits, timetable=replace(self.timetable, hold=Hold.API))
