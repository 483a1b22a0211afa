"""The API's own time between two of its answers: as it was last told, and counted on by this machine.

Without counting on, a claim would bear the time of the last answer, and an age would end with it: both may be hours
old where turns are rare.
"""

from broadcaster.clock import Clock
from broadcaster.core.values import Instant

_US = 1_000_000


class ServerTime:
    """What all senders of a run hear together."""

    def __init__(self, *, clock: Clock, told_us: int | None) -> None:
        self._clock = clock
        self._told_us = told_us
        self._at, self._at_s = self._present()

    def hear(self, told_us: int | None) -> None:
        """Take the API's word, in µs since 1970; ``None`` says nothing.

        An earlier time than the one counted on is that of an answer that was long on its way: it is not taken.
        """
        if told_us is None or (self._told_us is not None and told_us <= self._told_us):
            return  # the usual case: many answers of one second
        known_us = self.now_us()
        if known_us is None or told_us > known_us:
            self._told_us = told_us
            self._at, self._at_s = self._present()

    def now_us(self) -> int | None:
        """Return the API's time in µs since 1970, or ``None`` when it never told."""
        if self._told_us is None:
            return None
        now, now_s = self._present()
        if now.boot_us is not None and self._at.boot_us is not None and now.boot == self._at.boot:
            return self._told_us + now.boot_us - self._at.boot_us  # counts through sleep
        return self._told_us + round((now_s - self._at_s) * _US)

    def _present(self) -> tuple[Instant, float]:
        return Instant.at(self._clock.reading()), self._clock.monotonic()
