"""The journal of one shard, as immutable objects in shared storage.

Theory of operation. The same facts as in the SQLite journal, as the same rows, gathered by the same group commit; what
has gathered becomes one *part*, created exclusively under the next number. An owner writes under its own claim only, so
that nobody ever writes what another one wrote. A claim of batches is durable before :meth:`PartsJournal.claim` looks
whether somebody else has taken the shard, and if so nothing of it may be sent (see :mod:`broadcaster.cluster.owner`).
Outcomes of what is on its way then are still written: they say what became of people.
"""

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from broadcaster.clock import boot_id, wall_us
from broadcaster.cluster.heart import BEAT_S, SILENT_S, Heart
from broadcaster.cluster.objects import Fact, pack, part_name
from broadcaster.cluster.owner import overtaken, take
from broadcaster.cluster.storage import Storage
from broadcaster.core.values import Attempt, Blame, Child, Claim, Decided, Outcome
from broadcaster.errors import BroadcasterError, Fenced, StoreError
from broadcaster.store.committing import GroupCommit
from broadcaster.store.rows import (
    bearing,
    beginning,
    blaming,
    claiming,
    deciding,
    ending,
    noting,
    settling,
    unclaiming,
)
from broadcaster.store.shadow import Shadow

__all__ = ["PartsJournal", "take"]

_RIDE_S = 0.05  # an accepting outcome waits so long for others to share its part; nobody's message waits for it
_SHARDS = 1 << 20  # more than anybody cuts: numbers of processes go by claim, then by shard


class PartsJournal:
    """The journal of a shard that we have taken: implements the engine's ``Journal`` port.

    An asynchronous context manager. *lost*, if it is given, is called once, on the loop, as soon as it is known that
    nothing more may be sent: :class:`Fenced`, or a :class:`StoreError` when no sign of life could be written for 20 s.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        shard: int,
        epoch: int,
        version: str,
        lost: Callable[[BroadcasterError], None] | None = None,
        beat_s: float = BEAT_S,
        silent_s: float = SILENT_S,
    ) -> None:
        self._storage = storage
        self._shard = shard
        self._epoch = epoch
        self._version = version
        self._writer = uuid.uuid4().hex
        self._number = 0
        self._process = epoch * _SHARDS + shard + 1
        self._tell = lost
        self._lost: BroadcasterError | None = None
        self._heart = Heart(
            storage,
            shard,
            epoch=epoch,
            check=self._look,
            failed=self._fall_silent,
            written=lambda: self._number,
            every_s=beat_s,
            silent_s=silent_s,
        )

    async def __aenter__(self) -> Self:
        """Begin: the first sign of life, and who works here.

        Raises:
            StoreError: the shard was not taken with this claim, or the store does not do what it is asked.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._require_taken)
        await asyncio.to_thread(self._heart.start)
        where = f"{self._storage.name}, shard {self._shard}"
        self._shadow = Shadow(where)
        self._line = GroupCommit[Callable[[], Fact]](self._write, name="journal", where=where, ride_s=_RIDE_S)
        begun = beginning(
            self._process,
            host=socket.gethostname(),
            pid=os.getpid(),
            boot=boot_id(),
            version=self._version,
            started_us=wall_us(),
        )
        try:
            await self._line.record(lambda: [begun])
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Write what is waiting and how the process ended, and leave the shard to whoever comes."""
        how = "done" if error is None else type(error).__name__
        ended = ending(self._process, ended_us=wall_us(), how=how)
        try:
            await self._line.record(lambda: [ended])
        except BroadcasterError:
            if error is None and self._line.failure is None:
                raise  # else the first failure is the one worth telling
        finally:
            await self._close()

    async def _close(self) -> None:
        await self._line.aclose()
        self._shadow.close()
        try:
            await asyncio.to_thread(self._heart.stop)
        except StoreError:  # whoever comes next waits a little longer
            return

    # ---- in the threads ---------------------------------------------------------------------------------------------

    def _require_taken(self) -> None:
        if not self._storage.exists(part_name(self._shard, self._epoch, 0)):
            raise StoreError(f"shard {self._shard} of {self._storage.name} was not taken with claim {self._epoch}")

    def _write(self, facts: Sequence[Callable[[], Fact]]) -> None:
        """Write one part."""
        number = self._number + 1
        made = [make() for make in facts]
        self._shadow.admit(statement for fact in made for statement in fact)
        content = pack(made, shard=self._shard, epoch=self._epoch, number=number, writer=self._writer)
        name = part_name(self._shard, self._epoch, number)
        if not self._storage.create(name, content):
            raise StoreError(f"{self._storage.name}/{name} is there already, though nobody else may write it")
        self._number = number

    def _look(self) -> None:
        """Find out whether somebody else has taken the shard."""
        if self._lost is None and (who := overtaken(self._storage, self._shard, epoch=self._epoch)) is not None:
            self._lose(
                Fenced(
                    f"shard {self._shard} of {self._storage.name} was taken over by {who}; this process sends nothing "
                    "more of it"
                )
            )

    def _fall_silent(self, error: StoreError) -> None:
        self._lose(StoreError(f"no sign of life could be written, so that nothing more is sent: {error.sentence}"))

    def _lose(self, error: BroadcasterError) -> None:
        if self._lost is None:
            self._lost = error
            if self._tell is not None:
                self._loop.call_soon_threadsafe(self._tell, error)

    # ---- the port ---------------------------------------------------------------------------------------------------

    async def claim(self, claims: Sequence[Claim]) -> None:
        """Write claims; when it returns they are durable, and their batches may be sent.

        Raises:
            Fenced: another process has taken the shard: nothing of these may be sent.
            StoreError: they cannot be written, or no sign of life could be given for too long.
        """
        self._require_owned()
        await self._line.record(lambda: [claiming(claims, process=self._process)])
        await asyncio.to_thread(self._look)  # after the claims are durable, never before
        self._require_owned()

    async def note(self, attempt: Attempt) -> None:
        """Write an attempt that settled nothing; durable when it returns."""
        await self._line.record(lambda: [noting(attempt, process=self._process)])

    async def release(self, batch: int) -> None:
        """Take a claim back: every attempt of the batch is recorded and provably created nothing."""
        await self._line.record(lambda: [unclaiming(batch)])

    async def settle(self, outcome: Outcome, children: Sequence[Child] = (), blames: Sequence[Blame] = ()) -> None:
        """Write an outcome with all that follows from it, in one object; durable when it returns."""
        if children or blames:
            await self._line.record(lambda: [*settling(outcome), bearing(children), blaming(blames)])
        else:
            await self._line.record(partial(settling, outcome), may_ride=True)

    async def decide(
        self, decisions: Sequence[Decided], outcomes: Sequence[Outcome] = (), children: Sequence[Child] = ()
    ) -> None:
        """Write what a person decided, with all that follows from it, in one object."""
        settled = [statement for outcome in outcomes for statement in settling(outcome)]
        await self._line.record(lambda: [deciding(decisions), *settled, bearing(children)])

    def _require_owned(self) -> None:
        if self._lost is not None:
            raise self._lost
