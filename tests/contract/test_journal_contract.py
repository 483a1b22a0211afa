"""What the engine may rely on in a journal: one suite for the stand-in and for the real ones."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest
from support.memory import MemoryJournal

from broadcaster.cluster.fold import fold
from broadcaster.cluster.parts import PartsJournal, take
from broadcaster.cluster.storage import Storage
from broadcaster.core.values import Attempt, Blame, Child, Claim, Instant, Outcome
from broadcaster.core.words import Executed, State
from broadcaster.engine.ports import Journal
from broadcaster.errors import StoreError
from broadcaster.store.journal import JournalReader
from broadcaster.store.writer import JournalWriter, create_journal

T0 = 1_764_580_000_000_000  # a moment, in µs since 1970
SECOND = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Everything that a journal says, in one form: what another process would find."""

    open_claims: tuple[tuple[int, int, int | None, int | None], ...]  # batch, wall, boot and the API's time
    settled: dict[int, tuple[State, int, int, str, str, int]]
    answers: dict[int, bytes]
    attempts: dict[int, tuple[int, str]]  # how many, and the last one's code
    children: tuple[Child, ...]
    blames: dict[int, dict[int, tuple[str, str]]]


class Opened(Protocol):
    """A journal that is open for writing, and its reader."""

    port: Journal

    async def close(self) -> None: ...
    def read(self) -> Said: ...


class InMemory:
    def __init__(self) -> None:
        self._journal = MemoryJournal()
        self.port: Journal = self._journal

    async def close(self) -> None:
        self._journal.close()

    def read(self) -> Said:
        journal = self._journal
        attempts = {
            batch: [each for each in journal.attempts if each.batch == batch]
            for batch in dict.fromkeys(each.batch for each in journal.attempts)
        }
        blames: dict[int, dict[int, tuple[str, str]]] = {}
        for blame in journal.blames:
            blames.setdefault(blame.batch, {})[blame.position] = (blame.code, blame.sentence)
        return Said(
            open_claims=tuple(told(claim) for claim in journal.open_claims()),
            settled={
                each.batch: (each.state, each.attempts, each.settled_us, each.code, each.replayed, each.missing)
                for each in journal.outcomes.values()
            },
            answers={each.batch: each.answer for each in journal.outcomes.values() if each.answer is not None},
            attempts={batch: (len(found), found[-1].code) for batch, found in attempts.items()},
            children=tuple(journal.children.values()),
            blames=blames,
        )


class OnDisk:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = JournalWriter(path, version="test")
        self._open = True
        self.port: Journal = self._writer

    async def close(self) -> None:
        if self._open:
            self._open = False
            self._writer.close(ending="done")

    def read(self) -> Said:
        return said_in(self._path)


class InParts:
    """Parts in a shared directory; what they say is read from the journal that they are folded into."""

    def __init__(self, storage: Storage, journal: PartsJournal, scratch: Path) -> None:
        self._storage, self._journal, self._scratch = storage, journal, scratch
        self._open = True
        self.port: Journal = journal

    @classmethod
    async def opened(cls, directory: Path) -> "InParts":
        storage = Storage.open(f"file://{directory}/shared")
        journal = PartsJournal(storage, shard=0, epoch=take(storage, 0, idle_s=0), version="test")
        await journal.__aenter__()
        return cls(storage, journal, directory / "journal.sqlite")

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._journal.__aexit__(None, None, None)

    def read(self) -> Said:
        create_journal(self._scratch, fold(self._storage, 0))
        return said_in(self._scratch)


def said_in(path: Path) -> Said:
    with JournalReader(path) as reader:
        return Said(
            open_claims=tuple(told(claim) for claim in reader.open_claims()),
            settled={
                each.batch: (each.state, each.attempts, each.settled_us, each.code, each.replayed, each.missing)
                for each in reader.outcomes()
            },
            answers=dict(reader.answers()),
            attempts={batch: (count, code) for batch, (count, _, _, code, _) in reader.last_attempts().items()},
            children=tuple(reader.children()),
            blames=reader.blames(),
        )


@contextlib.asynccontextmanager
async def opened(kind: str, directory: Path) -> AsyncIterator[Opened]:
    """Open a journal of any kind."""
    journal: Opened
    match kind:
        case "memory":
            journal = InMemory()
        case "disk":
            journal = OnDisk(directory / "journal.sqlite")
        case _:
            journal = await InParts.opened(directory)
    try:
        yield journal
    finally:
        await journal.close()


@pytest.fixture(params=["memory", "disk", "parts"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    async with opened(request.param, tmp_path) as found:
        yield found


def told(claim: Claim) -> tuple[int, int, int | None, int | None]:
    return claim.batch, claim.since.wall_us, claim.since.boot_us, claim.server_us


def claim(batch: int, *, at_s: int = 0) -> Claim:
    since = Instant(wall_us=T0 + at_s * SECOND, boot_us=77 + at_s, boot="boot")
    return Claim(batch=batch, since=since, server_us=T0 - SECOND)


def attempt(batch: int, *, code: str = "lost") -> Attempt:
    moment = Instant(wall_us=T0)
    return Attempt(batch=batch, n=1, started=moment, ended=moment, executed=Executed.UNKNOWN, code=code)


def outcome(batch: int, state: State = State.ACCEPTED) -> Outcome:
    return Outcome(
        batch=batch,
        state=state,
        attempts=2,
        first_us=T0,
        settled_us=T0 + SECOND,
        http=202,
        code="earlier_launch",
        replayed="req-0",
        missing=1,
        answer=b'{"data": 1}' if state is State.ACCEPTED else None,
    )


def child(number: int, *, parent: int = 0, positions: tuple[int, ...] = (0, 2), key: str = "") -> Child:
    return Child(id=number, parent=parent, positions=positions, key=key or f"f1-{number}", cause="VALIDATION_002")


def blame(batch: int, position: int) -> Blame:
    return Blame(batch=batch, position=position, code="VALIDATION_002", sentence="No.")


# ---- durable when it returns ----------------------------------------------------------------------------------------


async def test_a_new_journal_says_nothing(journal: Opened) -> None:
    assert journal.read() == Said(open_claims=(), settled={}, answers={}, attempts={}, children=(), blames={})


async def test_a_claim_is_durable_when_it_returns(journal: Opened) -> None:
    await journal.port.claim([claim(3)])

    assert journal.read().open_claims == ((3, T0, 77, T0 - SECOND),)


async def test_a_group_of_claims_is_durable_together_and_read_oldest_first(journal: Opened) -> None:
    await journal.port.claim([claim(0, at_s=5), claim(1, at_s=3), claim(-1, at_s=4), claim(2, at_s=3)])

    assert [batch for batch, *_ in journal.read().open_claims] == [1, 2, -1, 0]


async def test_a_later_claim_of_the_same_batch_replaces_the_first(journal: Opened) -> None:
    await journal.port.claim([claim(0), claim(1)])
    await journal.port.claim([claim(0, at_s=9)])

    assert journal.read().open_claims == (told(claim(1)), told(claim(0, at_s=9)))


async def test_an_attempt_is_durable_when_it_returns_and_the_claim_stands(journal: Opened) -> None:
    await journal.port.claim([claim(0)])
    await journal.port.note(attempt(0))
    await journal.port.note(attempt(0, code="http_500"))
    await journal.port.note(attempt(1))

    said = journal.read()
    assert said.attempts == {0: (2, "http_500"), 1: (1, "lost")}
    assert said.open_claims == (told(claim(0)),)


async def test_a_release_takes_one_claim_back_and_no_attempt(journal: Opened) -> None:
    await journal.port.claim([claim(0), claim(1)])
    await journal.port.note(attempt(0, code="unsent"))
    await journal.port.release(0)

    said = journal.read()
    assert said.open_claims == (told(claim(1)),)
    assert said.attempts == {0: (1, "unsent")}


async def test_a_batch_may_be_claimed_anew_after_its_release(journal: Opened) -> None:
    await journal.port.claim([claim(0)])
    await journal.port.release(0)
    await journal.port.claim([claim(0, at_s=9)])

    assert journal.read().open_claims == (told(claim(0, at_s=9)),)


async def test_a_release_of_what_was_never_claimed_changes_nothing(journal: Opened) -> None:
    await journal.port.release(0)
    await journal.port.claim([claim(1)])

    assert journal.read().open_claims == (told(claim(1)),)


@pytest.mark.parametrize("state", list(State))
async def test_an_outcome_is_durable_when_it_returns_and_closes_the_claim(journal: Opened, state: State) -> None:
    await journal.port.claim([claim(0), claim(1)])
    await journal.port.settle(outcome(0, state))

    said = journal.read()
    assert said.settled == {0: (state, 2, T0 + SECOND, "earlier_launch", "req-0", 1)}
    assert said.answers == ({0: b'{"data": 1}'} if state is State.ACCEPTED else {})
    assert said.open_claims == (told(claim(1)),)


async def test_a_split_comes_with_its_children_and_those_it_blames(journal: Opened) -> None:
    await journal.port.claim([claim(0)])
    await journal.port.settle(
        outcome(0, State.SPLIT), [child(-1), child(-2, positions=(3,))], [blame(0, 1), blame(0, 4)]
    )
    await journal.port.settle(outcome(-1, State.SPLIT), [child(-3, parent=-1, positions=(1,))], [blame(-1, 0)])

    said = journal.read()
    assert said.children == (child(-1), child(-2, positions=(3,)), child(-3, parent=-1, positions=(1,)))
    no = ("VALIDATION_002", "No.")
    assert said.blames == {0: {1: no, 4: no}, -1: {0: no}}


async def test_many_callers_at_once_are_all_served(journal: Opened) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(journal.port.claim([claim(number, at_s=number)]))
    async with asyncio.TaskGroup() as group:
        for number in range(0, 100, 2):
            group.create_task(journal.port.settle(outcome(number)))

    said = journal.read()
    assert [batch for batch, *_ in said.open_claims] == list(range(1, 100, 2))
    assert sorted(said.settled) == list(range(0, 100, 2))


async def test_a_cancelled_caller_does_not_take_its_fact_back(journal: Opened) -> None:
    hasty = asyncio.ensure_future(journal.port.claim([claim(0)]))
    await asyncio.sleep(0)
    hasty.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hasty
    await journal.port.claim([claim(1)])

    assert [batch for batch, *_ in journal.read().open_claims] == [0, 1]


async def test_closing_writes_what_is_waiting(journal: Opened) -> None:
    waiting = asyncio.ensure_future(journal.port.claim([claim(0)]))
    await asyncio.sleep(0)
    await journal.close()
    await waiting

    assert journal.read().open_claims == (told(claim(0)),)


# ---- what is refused, is refused for good ---------------------------------------------------------------------------

Call = Callable[[Journal], Awaitable[None]]
CALLS: dict[str, Call] = {
    "a claim": lambda port: port.claim([claim(9)]),
    "an attempt": lambda port: port.note(attempt(9)),
    "a release": lambda port: port.release(0),
    "an outcome": lambda port: port.settle(outcome(9)),
}
CONTRADICTIONS: dict[str, Call] = {
    "a second outcome": lambda port: port.settle(outcome(0)),
    "a child that is there already": lambda port: port.settle(outcome(9, State.SPLIT), [child(-1, key="f1-new")]),
    "a child with another child's key": lambda port: port.settle(outcome(9, State.SPLIT), [child(-9, key="f1--1")]),
    "two children with one key": lambda port: port.settle(
        outcome(9, State.SPLIT), [child(-8, key="f1-x"), child(-9, key="f1-x")]
    ),
    "somebody blamed twice": lambda port: port.settle(outcome(9, State.SPLIT), [child(-9)], [blame(0, 1)]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_after_closing_nothing_is_taken(journal: Opened, call: Call) -> None:
    await journal.port.claim([claim(0)])
    before = journal.read()
    await journal.close()

    with pytest.raises(StoreError, match="closed"):
        await call(journal.port)

    assert journal.read() == before


@pytest.mark.parametrize("wrong", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
async def test_a_contradiction_is_refused_whole(journal: Opened, wrong: Call) -> None:
    await journal.port.settle(outcome(0, State.SPLIT), [child(-1)], [blame(0, 1)])
    before = journal.read()

    with pytest.raises(StoreError):
        await wrong(journal.port)

    assert journal.read() == before


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_after_a_failure_nothing_succeeds(journal: Opened, call: Call) -> None:
    await journal.port.claim([claim(0)])
    await journal.port.settle(outcome(1))
    before = journal.read()
    with pytest.raises(StoreError) as first:
        await journal.port.settle(replace(outcome(1), attempts=3))

    with pytest.raises(StoreError) as second:
        await call(journal.port)

    assert str(second.value) == str(first.value)
    assert journal.read() == before
