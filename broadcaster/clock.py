"""The only reader of time. Everything else is handed a :class:`Clock` or a moment.

Two clocks, because each lies in its own way: wall time can be set back or forward by anybody; boot time cannot, counts
through sleep, but means nothing after a restart of the machine. The boot id tells whether two boot times compare.
"""

import asyncio
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the program asks of time."""

    def reading(self) -> tuple[int, int | None, str | None]:
        """Return wall time in µs since 1970, boot time in µs, boot id; the latter two ``None`` where unknown."""

    def monotonic(self) -> float:
        """Return seconds that never go back, for waiting and rates."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._boot = boot_id()

    def reading(self) -> tuple[int, int | None, str | None]:
        """See :class:`Clock`."""
        boot_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000 if self._boot else None
        return time.time_ns() // 1000, boot_us, self._boot

    def monotonic(self) -> float:
        """See :class:`Clock`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See :class:`Clock`."""
        await asyncio.sleep(seconds)


def boot_id() -> str | None:
    """Return the name of this start of the machine, or ``None`` where the platform has none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def wall_us() -> int:
    """Return microseconds since 1970."""
    return time.time_ns() // 1000


def today(timezone: str) -> date:
    """Return the date that it is now in *timezone* (an IANA name)."""
    return datetime.now(tz=UTC).astimezone(ZoneInfo(timezone)).date()
