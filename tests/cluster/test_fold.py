"""What the facts of a shard's owners say together: the same as if one process had written them all."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import SECOND, T0, attempt, claim, moment
from support.shared import folded, killed

from broadcaster.cluster.fold import fold
from broadcaster.cluster.objects import Fact, epoch_name, pack, part_name
from broadcaster.cluster.owner import take
from broadcaster.cluster.parts import PartsJournal
from broadcaster.cluster.storage import Storage
from broadcaster.core.shards import first_child
from broadcaster.core.values import Attempt, Blame, Child, Outcome
from broadcaster.core.words import State
from broadcaster.engine.ports import Journal
from broadcaster.errors import StoreDamaged, StoreError
from broadcaster.store.journal import JournalReader
from broadcaster.store.rows import bearing, blaming, claiming, noting, settling, unclaiming
from broadcaster.store.writer import JournalWriter

_TABLES = ("claim", "outcome", "answer", "attempt", "child", "blame")
_OF_THE_WRITER = {"process", "crc"}  # columns that say who wrote a row


def outcome(batch: int, state: State = State.ACCEPTED, *, request_id: str = "") -> Outcome:
    return Outcome(
        batch=batch,
        state=state,
        attempts=1,
        first_us=T0,
        settled_us=T0 + SECOND,
        http=202,
        request_id=request_id,
        answer=b'{"data": %d}' % batch if state is State.ACCEPTED else None,
    )


def child(number: int, *, parent: int) -> Child:
    return Child(id=number, parent=parent, positions=(0, 2), key=f"f1-{parent}-{number}", cause="VALIDATION_002")


# ---- one story, told to both journals -------------------------------------------------------------------------------


@dataclass
class Story:
    """Facts that the engine could have written, made from numbers: a claim before all else, one outcome for each."""

    fresh: list[int] = field(default_factory=lambda: list(range(12)))
    claimed: list[int] = field(default_factory=list)
    attempts: dict[int, int] = field(default_factory=dict)
    at_s: int = 0
    next_child: int = first_child(0)

    async def tell(self, journal: Journal, choice: int) -> None:
        """Write one fact."""
        self.at_s += 1
        what, which = choice % 7, choice // 7
        if what in {0, 1} or not self.claimed:
            await self._claim(journal, which)
            return
        batch = self.claimed[which % len(self.claimed)]
        match what:
            case 2 | 3:
                self.attempts[batch] = self.attempts.get(batch, 0) + 1
                await journal.note(attempt(batch, self.attempts[batch], at_s=self.at_s))
            case 4:
                self.claimed.remove(batch)
                self.fresh.append(batch)
                await journal.release(batch)
            case 5:
                self.claimed.remove(batch)
                await journal.settle(outcome(batch, State.REJECTED if which % 3 else State.ACCEPTED))
            case _:
                self.claimed.remove(batch)
                await self._divide(journal, batch, which)

    async def _claim(self, journal: Journal, which: int) -> None:
        few = self.fresh[: 1 + which % 3]
        if not few:  # the same again, later
            few = self.claimed[:1]
        self.claimed += [each for each in few if each not in self.claimed]
        self.fresh = [each for each in self.fresh if each not in few]
        if few:
            await journal.claim([claim(each, at_s=self.at_s) for each in few])

    async def _divide(self, journal: Journal, batch: int, which: int) -> None:
        born = [child(self.next_child - at, parent=batch) for at in range(which % 3)]
        self.next_child -= len(born)
        self.fresh += [each.id for each in born]
        await journal.settle(
            outcome(batch, State.SPLIT), born, [Blame(batch=batch, position=1, code="VALIDATION_002", sentence="No.")]
        )


@dataclass(frozen=True)
class Launch:
    """One process: the facts that it writes, and whether it came to a proper end."""

    choices: list[int]
    killed: bool


LAUNCHES = st.lists(
    st.builds(Launch, choices=st.lists(st.integers(0, 209), max_size=8), killed=st.booleans()), min_size=1, max_size=4
)


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, without who wrote it."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with closing(sqlite3.connect(path)) as db:
        for table in _TABLES:
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})") if row[1] not in _OF_THE_WRITER]
            order = "rowid" if table == "attempt" else columns[0]
            found[table] = db.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}").fetchall()
    return found


async def into_sqlite(path: Path, launches: Sequence[Launch]) -> None:
    story = Story()
    for launch in launches:
        with JournalWriter(path, version="test") as journal:
            for choice in launch.choices:
                await story.tell(journal, choice)


async def into_parts(storage: Storage, launches: Sequence[Launch]) -> None:
    story = Story()
    for launch in launches:
        journal = PartsJournal(storage, shard=0, epoch=take(storage, 0, idle_s=0), version="test")
        await journal.__aenter__()
        for choice in launch.choices:
            await story.tell(journal, choice)
        if launch.killed:
            with killed(storage):
                await journal.__aexit__(None, None, None)
        else:
            await journal.__aexit__(None, None, None)


@settings(max_examples=15, deadline=None)  # each example is a few dozen files on a disk
@given(LAUNCHES)
def test_parts_of_many_owners_fold_into_what_one_journal_would_say(launches: list[Launch]) -> None:
    with tempfile.TemporaryDirectory() as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setattr("broadcaster.cluster.parts._RIDE_S", 0)  # nobody to ride with: one fact at a time
        storage, base = Storage.open(f"file://{scratch}/shared"), Path(scratch)
        asyncio.run(into_sqlite(base / "one.sqlite", launches))
        asyncio.run(into_parts(storage, launches))

        with folded(storage, base / "many.sqlite") as reader:
            assert reader.damage() is None
            endings = [ending for *_, ending in reader.processes()]
        assert rows(base / "many.sqlite") == rows(base / "one.sqlite")
        assert endings == [None if launch.killed else "done" for launch in launches]


async def test_facts_of_callers_who_wait_together_share_a_part(disk: Storage, tmp_path: Path) -> None:
    async with PartsJournal(disk, shard=0, epoch=take(disk, 0, idle_s=0), version="test") as journal:
        await journal.claim([claim(batch) for batch in range(40)])
        async with asyncio.TaskGroup() as group:
            for batch in range(40):
                group.create_task(journal.settle(outcome(batch)))

    with folded(disk, tmp_path / "journal.sqlite") as reader:
        assert [each.batch for each in reader.outcomes()] == list(range(40))
    parts = [name for name in disk.names("shards") if "part-" in name]
    assert len(parts) < 8  # what was seen, the beginning, the claims, the end, and a few for the outcomes


async def test_shards_do_not_mix(disk: Storage, tmp_path: Path) -> None:
    for shard in (0, 1):
        async with PartsJournal(disk, shard=shard, epoch=take(disk, shard, idle_s=0), version="test") as journal:
            await journal.claim([claim(shard)])
            number = first_child(shard)
            await journal.settle(outcome(shard, State.SPLIT), [child(number, parent=shard)])

    with folded(disk, tmp_path / "both.sqlite", shards=(0, 1)) as reader:
        assert {each.id: each.parent for each in reader.children()} == {first_child(0): 0, first_child(1): 1}
    with folded(disk, tmp_path / "one.sqlite", shards=(1,)) as reader:
        assert [each.batch for each in reader.outcomes()] == [1]


# ---- what an owner writes that was overtaken ------------------------------------------------------------------------


class Owners:
    """Owners of shard 0 whose parts are written at chosen moments."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._last: dict[int, int] = {}

    def takes(self) -> int:
        epoch = take(self.storage, 0, idle_s=0)
        self._last[epoch] = 0
        return epoch

    def writes(self, epoch: int, *facts: Fact) -> str:
        """Write a part; return its name."""
        self._last[epoch] += 1
        name = part_name(0, epoch, self._last[epoch])
        content = pack(facts, shard=0, epoch=epoch, number=self._last[epoch], writer="test")
        assert self.storage.create(name, content)
        return name


CLAIMED: Fact = [claiming([claim(5)], process=1)]
RELEASED: Fact = [unclaiming(5)]
TRIED: Fact = [noting(attempt(5), process=1)]
ACCEPTED: Fact = settling(outcome(5, request_id="old"))
LACKING: Fact = [*settling(replace(outcome(5, request_id="old"), missing=1)), bearing([child(-1, parent=5)])]
REJECTED: Fact = settling(outcome(5, State.REJECTED, request_id="old"))
DIVIDED: Fact = [
    *settling(outcome(5, State.SPLIT, request_id="old")),
    bearing([child(-1, parent=5)]),
    blaming([Blame(batch=5, position=1, code="VALIDATION_002", sentence="No.")]),
]
ACCEPTED_ANEW: Fact = settling(outcome(5, request_id="new"))
REJECTED_ANEW: Fact = settling(outcome(5, State.REJECTED, request_id="new"))
DIVIDED_ANEW: Fact = [*settling(outcome(5, State.SPLIT, request_id="new")), bearing([child(-1, parent=5)])]


@dataclass(frozen=True, kw_only=True)
class Late:
    """What the old owner wrote before it was overtaken and after it, what the new one wrote, and what holds."""

    before: tuple[Fact, ...] = (CLAIMED,)
    late: tuple[Fact, ...]
    new: tuple[Fact, ...] = ()
    state: State | None = None
    request_id: str | None = None
    open: bool = True
    attempts: int = 0
    children: int = 0


LATE = {
    "a late claim was never sent": Late(before=(), late=(CLAIMED,), open=False),
    "a late release may come after the new owner's attempt": Late(late=(RELEASED,)),
    "a late attempt was made": Late(late=(TRIED,), attempts=1),
    "who was messaged late was messaged": Late(late=(ACCEPTED,), state=State.ACCEPTED, request_id="old", open=False),
    "a late answer that lacks rows leaves them in doubt": Late(
        late=(LACKING,), state=State.ACCEPTED, request_id="old", open=False
    ),
    "a late refusal may come after the new owner's attempt": Late(late=(REJECTED,)),
    "a late division was never sent, and its numbers may be another's": Late(late=(DIVIDED,)),
    "the new owner's acceptance counts": Late(
        late=(ACCEPTED,), new=(ACCEPTED_ANEW,), state=State.ACCEPTED, request_id="new", open=False
    ),
    "the new owner's acceptance counts, not the old one's refusal": Late(
        late=(REJECTED,), new=(ACCEPTED_ANEW,), state=State.ACCEPTED, request_id="new", open=False
    ),
    "the new owner's refusal counts": Late(
        late=(ACCEPTED,), new=(REJECTED_ANEW,), state=State.REJECTED, request_id="new", open=False
    ),
    "the new owner's division has its numbers": Late(
        late=(DIVIDED,), new=(DIVIDED_ANEW,), state=State.SPLIT, request_id="new", open=False, children=1
    ),
    "what was in time counts with all that came with it": Late(
        before=(CLAIMED, DIVIDED), late=(), state=State.SPLIT, request_id="old", open=False, children=1
    ),
}


@pytest.mark.parametrize("case", LATE.values(), ids=LATE)
def test_of_what_came_late_only_this_counts(disk: Storage, tmp_path: Path, case: Late) -> None:
    owners = Owners(disk)
    old = owners.takes()
    for fact in case.before:
        owners.writes(old, fact)
    new = owners.takes()
    for fact in case.late:
        owners.writes(old, fact)
    for fact in case.new:
        owners.writes(new, fact)

    says(disk, tmp_path / "journal.sqlite", case)


def says(storage: Storage, scratch: Path, case: Late) -> None:
    with folded(storage, scratch) as reader:
        settled = {each.batch: (each.state, each.request_id) for each in reader.outcomes()}
        assert settled == ({} if case.state is None else {5: (case.state, case.request_id)})
        assert [each.batch for each in reader.open_claims()] == ([5] if case.open else [])
        assert reader.last_attempts().get(5, (0,))[0] == case.attempts
        assert len(list(reader.children())) == case.children
        assert dict(reader.answers()) == ({5: b'{"data": 5}'} if case.state is State.ACCEPTED else {})


def test_what_only_the_third_owner_saw_stays_late(disk: Storage, tmp_path: Path) -> None:
    """The second may have acted as if it were not there."""
    owners = Owners(disk)
    first = owners.takes()
    owners.writes(first, CLAIMED)
    owners.takes()
    owners.writes(first, DIVIDED)
    owners.takes()

    says(disk, tmp_path / "journal.sqlite", Late(late=()))


def test_who_took_a_shard_and_died_before_it_looked_made_nobody_late(disk: Storage, tmp_path: Path) -> None:
    owners = Owners(disk)
    first = owners.takes()
    owners.writes(first, CLAIMED)
    assert disk.create(epoch_name(0, 1), b"{}")
    owners.writes(first, REJECTED)
    assert owners.takes() == 2

    case = Late(late=(), state=State.REJECTED, request_id="old", open=False)
    says(disk, tmp_path / "journal.sqlite", case)


def test_of_two_late_words_the_first_owner_s_counts(disk: Storage, tmp_path: Path) -> None:
    owners = Owners(disk)
    first = owners.takes()
    owners.writes(first, CLAIMED)
    second = owners.takes()
    owners.takes()
    owners.writes(second, ACCEPTED_ANEW)
    owners.writes(first, ACCEPTED)

    case = Late(late=(), state=State.ACCEPTED, request_id="old", open=False)
    says(disk, tmp_path / "journal.sqlite", case)


def test_a_new_claim_that_replaces_an_old_one_counts(disk: Storage, tmp_path: Path) -> None:
    """Every attempt so far provably did nothing: the engine says so by claiming anew."""
    owners = Owners(disk)
    owners.writes(owners.takes(), CLAIMED)
    owners.writes(owners.takes(), [claiming([claim(5, at_s=9)], process=2)])

    with folded(disk, tmp_path / "journal.sqlite") as reader:
        assert [each.since.wall_us for each in reader.open_claims()] == [moment(9).wall_us]


# ---- damage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(disk: Storage) -> Storage:
    """Two owners with a few parts each."""
    owners = Owners(disk)
    for _ in range(2):
        epoch = owners.takes()
        for at in range(3):
            owners.writes(epoch, [claiming([claim(epoch * 3 + at)], process=1)])
    return disk


def path_of(storage: Storage, name: str) -> Path:
    return Path(storage.url.removeprefix("file://"), name)


@pytest.mark.parametrize("name", [part_name(0, 0, 2), part_name(0, 1, 0), part_name(0, 0, 0), part_name(0, 1, 1)])
def test_a_part_that_is_missing_is_named(written: Storage, name: str) -> None:
    path_of(written, name).unlink()

    with pytest.raises(StoreDamaged, match=f"{written.url}/{name} is missing"):
        list(fold(written, 0))


@pytest.mark.parametrize("number", range(3))
def test_a_part_with_any_byte_changed_is_named(written: Storage, number: int) -> None:
    path = path_of(written, part_name(0, 1, number))
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])
        with pytest.raises(StoreDamaged, match=f"{part_name(0, 1, number)} is damaged"):
            list(fold(written, 0))


@pytest.mark.parametrize("left", [0, 3, 8, 20])
def test_a_part_that_was_cut_is_named(written: Storage, left: int) -> None:
    path = path_of(written, part_name(0, 1, 2))
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(StoreDamaged, match=f"{part_name(0, 1, 2)} is damaged"):
        list(fold(written, 0))


@pytest.mark.parametrize(("source", "target"), [((0, 1), (1, 1)), ((0, 1), (0, 2)), ((0, 0), (1, 0)), ((1, 0), (1, 3))])
def test_a_part_that_is_another_is_named(written: Storage, source: tuple[int, int], target: tuple[int, int]) -> None:
    shutil.copy(path_of(written, part_name(0, *source)), path_of(written, part_name(0, *target)))

    with pytest.raises(StoreDamaged, match=f"{part_name(0, *target)} is damaged: it has another part in it"):
        list(fold(written, 0))


def test_a_part_of_another_shard_is_named(written: Storage) -> None:
    assert take(written, 1, idle_s=0) == 0
    for number in range(2):
        shutil.copy(path_of(written, part_name(0, 0, number)), path_of(written, part_name(1, 0, number)))

    with pytest.raises(StoreDamaged, match=part_name(1, 0, 0)):
        list(fold(written, 1))


def test_rows_that_this_version_does_not_know_are_not_read(written: Storage) -> None:
    statement, _ = claiming([claim(1)], process=1)
    content = pack([[(statement, [(1, 2)])]], shard=0, epoch=1, number=4, writer="test")
    path_of(written, part_name(0, 1, 4)).write_bytes(content)

    with pytest.raises(StoreDamaged, match=f"{part_name(0, 1, 4)} is damaged: it has rows of 'claim' that"):
        list(fold(written, 0))


def test_no_statement_but_the_journal_s_own_is_written() -> None:
    with pytest.raises(KeyError):
        pack([[("DROP TABLE claim", [(1,)])]], shard=0, epoch=0, number=1, writer="test")


async def test_a_contradiction_is_never_written(disk: Storage, tmp_path: Path) -> None:
    async with PartsJournal(disk, shard=0, epoch=take(disk, 0, idle_s=0), version="test") as journal:
        await journal.claim([claim(5)])
        await journal.settle(outcome(5))
        with pytest.raises(StoreError, match="UNIQUE"):
            await journal.settle(outcome(5, State.REJECTED))

    case = Late(late=(), state=State.ACCEPTED, request_id="", open=False)
    says(disk, tmp_path / "journal.sqlite", case)


def test_a_shard_that_nobody_took_has_no_facts(disk: Storage, tmp_path: Path) -> None:
    with folded(disk, tmp_path / "journal.sqlite") as reader:
        assert isinstance(reader, JournalReader)
        assert list(reader.open_claims()) == []


def test_an_attempt_is_what_it_was(disk: Storage, tmp_path: Path) -> None:
    owners = Owners(disk)
    noted: Attempt = attempt(5, 2, http=None, code="lost")
    owners.writes(owners.takes(), [noting(noted, process=1)])

    with folded(disk, tmp_path / "journal.sqlite") as reader:
        assert reader.last_attempts() == {5: (1, T0, 0, "lost", "attempt 2 of batch 5")}
