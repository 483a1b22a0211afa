"""The sign of life of a shard's owner: an object that is written again and again, from a thread of its own.

It says that the process lives and reaches the store, and how many parts it has written, so that one that was lost later
is missed. Nobody's safety depends on it: see :mod:`broadcaster.cluster.owner`.
"""

import json
import threading
from collections.abc import Callable

from broadcaster.clock import Clock, SystemClock, wall_us
from broadcaster.cluster.objects import beat_name
from broadcaster.cluster.storage import Storage
from broadcaster.errors import StoreError

BEAT_S = 10.0
SILENT_S = 20.0  # an owner that could not give a sign of life for so long stops
_MOMENT_S = 1.0


class Heart:
    """The sign of life of a shard's owner, from a thread of its own."""

    def __init__(
        self,
        storage: Storage,
        shard: int,
        *,
        epoch: int,
        check: Callable[[], None],
        failed: Callable[[StoreError], None],
        written: Callable[[], int] = lambda: 0,
        clock: Clock | None = None,
        every_s: float = BEAT_S,
        silent_s: float = SILENT_S,
    ) -> None:
        """Prepare it.

        Args:
            storage: the shared run directory.
            shard: its number.
            epoch: the number of our claim.
            check: called after every beat, in the thread.
            failed: called in the thread, once, when no beat could be written for so long.
            written: how many parts we have written; whoever reads them later knows that so many must be there.
            clock: for that.
            every_s: between two beats.
            silent_s: how long it may fail.
        """
        self._storage = storage
        self._name = beat_name(shard, epoch)
        self._check = check
        self._failed = failed
        self._written = written
        self._clock = clock or SystemClock()
        self._every_s, self._silent_s = every_s, silent_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="beat", daemon=True)

    def start(self) -> None:
        """Beat for the first time, then again and again.

        Raises:
            StoreError: not even the first one can be written.
        """
        self._beat(ended=False)
        self._thread.start()

    def stop(self) -> None:
        """Say that the owner came to an end; whoever comes next need not wait."""
        self._ended.set()
        self._thread.join(_MOMENT_S)  # a last beat may be on its way; it is waited for no longer than that
        self._beat(ended=True)

    def _work(self) -> None:
        heard_s, told = self._clock.monotonic(), False
        trying: _Try | None = None
        while not self._ended.wait(self._every_s):
            if trying is None or trying.is_over:
                trying = _Try(self._once)
            try:
                trying.wait(heard_s + self._silent_s - self._clock.monotonic())
                heard_s = self._clock.monotonic()
            except StoreError as error:
                late = self._clock.monotonic() - heard_s >= self._silent_s
                if late and not told and not self._ended.is_set():
                    told = True
                    self._failed(error)

    def _once(self) -> None:
        self._beat(ended=False)
        self._check()

    def _beat(self, *, ended: bool) -> None:
        words = {"ended": ended, "at_us": wall_us(), "parts": self._written()}
        self._storage.replace(self._name, json.dumps(words).encode())


class _Try:
    """One beat, in a thread of its own: a store that is out of reach may hold it for longer than we may be silent."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._over = threading.Event()
        self._error: StoreError | None = None
        threading.Thread(target=self._run, name="one beat", daemon=True).start()

    @property
    def is_over(self) -> bool:
        """Whether it came to an end."""
        return self._over.is_set()

    def wait(self, seconds: float) -> None:
        """Return when it is done; raise what went wrong, or that there is no answer after so many *seconds*.

        A process that was stopped meanwhile finds its time over when it wakes up, and the answer a moment later.
        """
        if not self._over.wait(max(0.0, seconds)):
            self._over.wait(_MOMENT_S)
        if not self.is_over:
            raise StoreError("the store does not answer")
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._work()
        except StoreError as error:
            self._error = error
        finally:
            self._over.set()
