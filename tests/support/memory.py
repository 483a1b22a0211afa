"""The journal in memory."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from broadcaster.core.lifecycle import BatchState
from broadcaster.core.values import Attempt, Blame, Child, Claim, Outcome
from broadcaster.core.words import State
from broadcaster.errors import StoreError


@dataclass(frozen=True, slots=True)
class _Fact:
    line: str
    write: Callable[[], None]
    future: "asyncio.Future[None]"


class MemoryJournal:
    """The ``Journal`` port in memory: facts gather, are written together one step later, and a failure is for ever.

    ``lines`` tells every fact in words, in the order of writing; ``claim_calls`` which batches were claimed together.
    ``fail_at`` is the number of the call (from 0) that cannot be written.
    """

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.calls = 0
        self.claim_calls: list[tuple[int, ...]] = []
        self.lines: list[str] = []
        self.claims: dict[int, Claim] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.attempts: list[Attempt] = []
        self.children: dict[int, Child] = {}
        self.blames: list[Blame] = []
        self.stalled: asyncio.Event | None = None  # a disk that is slow: facts are written when it is set
        self._gathered: list[_Fact] = []
        self._failure: StoreError | None = None
        self._closed = False

    # the port

    async def claim(self, claims: Sequence[Claim]) -> None:
        """See ``broadcaster.engine.ports.Journal``."""
        self.claim_calls.append(tuple(each.batch for each in claims))

        def write() -> None:
            self.claims.update({each.batch: each for each in claims})

        await self._record("claim " + " ".join(str(each.batch) for each in claims), write)

    async def note(self, attempt: Attempt) -> None:
        """See ``broadcaster.engine.ports.Journal``."""
        await self._record(
            f"note {attempt.batch}: {attempt.code}, executed {attempt.executed}", lambda: self.attempts.append(attempt)
        )

    async def release(self, batch: int) -> None:
        """See ``broadcaster.engine.ports.Journal``."""

        def write() -> None:
            self.claims.pop(batch, None)

        await self._record(f"release {batch}", write)

    async def settle(self, outcome: Outcome, children: Sequence[Child] = (), blames: Sequence[Blame] = ()) -> None:
        """See ``broadcaster.engine.ports.Journal``."""

        def write() -> None:
            keys = {each.key for each in self.children.values()}
            taken = {(each.batch, each.position) for each in self.blames}
            if (
                outcome.batch in self.outcomes
                or any(each.id in self.children or each.key in keys for each in children)
                or len({each.key for each in children}) < len(children)
                or any((each.batch, each.position) in taken for each in blames)
            ):
                raise StoreError("this fact contradicts an earlier one")
            self.outcomes[outcome.batch] = outcome
            self.children.update({each.id: each for each in children})
            self.blames.extend(blames)

        parts = "".join(f", {len(each.positions)} to {each.id}" for each in children)
        blamed = f", {len(blames)} blamed" if blames else ""
        await self._record(f"settle {outcome.batch}: {outcome.state}{blamed}{parts}", write)

    def close(self) -> None:
        """Write what is waiting; refuse what comes later."""
        self._closed = True
        self._write()

    # what it says

    @property
    def broken(self) -> bool:
        """Whether a fact could not be written; no later one can."""
        return self._failure is not None

    def open_claims(self) -> list[Claim]:
        """Claims without an outcome, oldest first."""
        found = [claim for batch, claim in self.claims.items() if batch not in self.outcomes]
        return sorted(found, key=lambda claim: (claim.since.wall_us, claim.batch))

    def state(self, batch: int) -> BatchState:
        """What follows from the facts about a batch, for who comes after this process."""
        if batch in self.outcomes:
            return {
                State.ACCEPTED: BatchState.ACCEPTED,
                State.REJECTED: BatchState.REJECTED,
                State.SPLIT: BatchState.SPLIT,
                State.RESENT: BatchState.RESENT,
                State.SKIPPED: BatchState.SKIPPED,
            }[self.outcomes[batch].state]
        return BatchState.IN_DOUBT if batch in self.claims else BatchState.PENDING

    def states(self, batches: Iterable[int]) -> dict[int, BatchState]:
        """The state of each of *batches*."""
        return {batch: self.state(batch) for batch in batches}

    # how it works

    async def _record(self, line: str, write: Callable[[], None]) -> None:
        if self._closed:
            raise StoreError("the journal is closed")
        number, self.calls = self.calls, self.calls + 1
        if number == self.fail_at:
            write = _disk_full
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(_look_at)
        if not self._gathered and self.stalled is None:
            loop.call_soon(self._write)
        self._gathered.append(_Fact(line, write, future))
        if self.stalled is not None:
            await self.stalled.wait()
            self._write()
        # A cancelled caller does not take its fact back.
        await asyncio.shield(future)

    def _write(self) -> None:
        gathered, self._gathered = self._gathered, []
        before = self.claims.copy(), self.outcomes.copy(), self.children.copy(), self.blames[:], self.attempts[:]
        written = len(self.lines)
        try:
            if self._failure is None:
                for fact in gathered:
                    fact.write()
                    self.lines.append(fact.line)
        except StoreError as error:  # one transaction: all of it, or nothing
            self._failure = error
            self.claims, self.outcomes, self.children, self.blames, self.attempts = before
            del self.lines[written:]
        for fact in gathered:
            if fact.future.done():
                continue
            if self._failure is None:
                fact.future.set_result(None)
            else:
                fact.future.set_exception(self._failure)

    def forget_what_gathers(self) -> None:
        """Die like a process: what no commit has reached is gone."""
        self._gathered.clear()
        self._closed = True

    def reopen(self) -> None:
        """Begin a new process on the facts that were written."""
        self._closed, self._failure = False, None


def _disk_full() -> None:
    raise StoreError("no space is left on the disk")


def _look_at(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()
