"""The journal: what is written is read back, states follow from it, and nothing is taken for written that is not."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.plans import (
    SECOND,
    T0,
    Settling,
    accepted,
    attempt,
    child_of,
    claim,
    divided,
    make_plan,
    people,
    record,
    rejected,
)

from broadcaster.core.values import Batch, Blame, Child, Claim, Instant, Outcome, Tally
from broadcaster.core.words import Channel, State, Status
from broadcaster.errors import BelongsToAnother, BroadcasterError, StoreDamaged, StoreError
from broadcaster.store.facts import Facts, tally, unsettled
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.rows import VERSION, pack_answer, pack_positions, unpack_answer, unpack_positions
from broadcaster.store.settled import SettledBatches
from broadcaster.store.writer import JournalWriter

TO = tuple(f"+141555501{n:02}" for n in range(6))


def batch(number: int, *to: str) -> Batch:
    return Batch(id=number, key=f"k{number}", to=to or TO[:2], channels=(Channel.AUTO,), parameters=b"{}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchall()


# ---- what is written is read back -----------------------------------------------------------------------------------


async def test_a_claim_is_read_back_with_every_clock(path: Path) -> None:
    since = Instant(wall_us=T0, boot_us=77, boot="ignored: the process knows its boot")
    with JournalWriter(path, version="1.2") as journal:
        await journal.claim([Claim(batch=3, since=since, server_us=T0 + 5), Claim(batch=1, since=since)])
        with JournalReader(path) as reader:
            found = list(reader.open_claims())

    assert [(each.batch, each.since.wall_us, each.since.boot_us, each.server_us) for each in found] == [
        (1, T0, 77, None),
        (3, T0, 77, T0 + 5),
    ]
    assert {each.since.boot for each in found} == {query(path, "SELECT boot FROM process")[0][0]}


async def test_open_claims_come_oldest_first(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.claim([claim(0, at_s=9), claim(1, at_s=2), claim(-1, at_s=5), claim(2, at_s=2)])
        with JournalReader(path) as reader:
            assert [each.batch for each in reader.open_claims()] == [1, 2, -1, 0]


async def test_a_claim_that_is_written_again_replaces_the_first(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.claim([claim(0, at_s=1)])
        await journal.claim([claim(0, at_s=8)])
        with JournalReader(path) as reader:
            assert [each.since.wall_us for each in reader.open_claims()] == [T0 + 8 * SECOND]


async def test_an_outcome_is_read_back_and_closes_its_claim(path: Path) -> None:
    outcome = Outcome(
        batch=4,
        state=State.REJECTED,
        attempts=3,
        first_us=T0,
        settled_us=T0 + 9,
        http=422,
        code="BUSINESS_003",
        sentence="no balance \u2603",
        request_id="req-1",
        replayed="req-0",
        missing=2,
    )
    with JournalWriter(path, version="1") as journal:
        await journal.claim([claim(4), claim(5)])
        await journal.settle(outcome)
        with JournalReader(path) as reader:
            (found,) = reader.outcomes()
            open_claims = [each.batch for each in reader.open_claims()]
            settled = (list(reader.settled()), list(reader.exceptions()))

    fields = ("batch", "state", "attempts", "first_us", "settled_us", "http", "code", "sentence", "request_id")
    for name in (*fields, "replayed", "missing"):
        assert getattr(found, name) == getattr(outcome, name), name
    assert open_claims == [5]
    assert settled == ([4], [(4, State.REJECTED, 2)])


async def test_a_release_takes_a_claim_back_and_leaves_the_others(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.claim([claim(0), claim(1)])
        await journal.release(0)
        with JournalReader(path) as reader:
            assert [each.batch for each in reader.open_claims()] == [1]


async def test_a_split_is_one_transaction_with_its_children_and_those_it_blames(path: Path) -> None:
    children = (
        Child(id=-1, parent=0, positions=(0, 70_000), key="f1-a", cause="VALIDATION_002"),
        Child(id=-2, parent=0, positions=(2,), key="f1-b", cause="VALIDATION_002"),
    )
    fact = divided(batch(0, *TO), blamed=[1, 3])
    with JournalWriter(path, version="1") as journal:
        await journal.settle(fact.outcome, children, fact.blames)
        with JournalReader(path) as reader:
            assert tuple(reader.children()) == children
            assert reader.blames() == {
                0: {1: ("VALIDATION_002", "the number is not valid"), 3: ("VALIDATION_002", "the number is not valid")}
            }
            assert [each.state for each in reader.outcomes()] == [State.SPLIT]


async def test_a_split_of_which_a_part_cannot_be_written_is_not_written_at_all(path: Path) -> None:
    child = Child(id=-1, parent=0, positions=(0,), key="f1-same", cause="c")
    fact = divided(batch(0, *TO), blamed=[1])
    writer = JournalWriter(path, version="1")
    with pytest.raises(StoreDamaged):
        await writer.settle(fact.outcome, [child, replace(child, id=-2)], fact.blames)
    writer.close(ending="test")

    with JournalReader(path) as reader:
        assert (list(reader.outcomes()), list(reader.children()), reader.blames()) == ([], [], {})


async def test_the_last_attempt_is_told_with_the_count_and_the_first_start(path: Path) -> None:
    """The clock was set back between the attempts: the last is the one that was written last."""
    with JournalWriter(path, version="1") as journal:
        await journal.note(attempt(0, 1, at_s=10, http=500, code="A"))
        await journal.note(attempt(1, 1, at_s=3, http=None, code="D"))
        await journal.note(attempt(0, 2, at_s=5, http=None, code="B"))
        await journal.note(attempt(0, 3, at_s=8, http=502, code="C"))
        with JournalReader(path) as reader:
            assert reader.last_attempts() == {
                0: (3, T0 + 5 * SECOND, 502, "C", "attempt 3 of batch 0"),
                1: (1, T0 + 3 * SECOND, 0, "D", "attempt 1 of batch 1"),
            }


async def test_a_contradicting_body_is_kept_with_its_attempt(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.note(replace(attempt(0), body=b"\x00not ours"))

    assert query(path, "SELECT batch, n, executed, request_id, body FROM attempt") == [
        (0, 1, "unknown", "req-0-1", b"\x00not ours")
    ]


async def test_what_the_journal_belongs_to_is_replaced_word_by_word(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.put_meta(account="a", run="r")
        await journal.put_meta(account="b")
        with JournalReader(path) as reader:
            assert reader.meta() == {"account": "b", "run": "r"}


async def test_answers_are_compressed_on_disk_and_read_as_they_were_received(path: Path) -> None:
    large, small = b'{"x":"' + b"msg-" * 5000 + b'"}', b'{"ok":1}'
    with JournalWriter(path, version="1") as journal:
        for number, body in ((2, large), (0, small), (-1, b"")):
            await journal.settle(replace(accepted(batch(number)).outcome, answer=body))
        await journal.settle(rejected(batch(1)).outcome)
        with JournalReader(path) as reader:
            found = list(reader.answers())

    assert found == [(-1, b""), (0, small), (2, large)]
    assert query(path, "SELECT length(body) < 500 FROM answer WHERE batch = 2") == [(1,)]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_an_answer_of_any_size_survives_packing(size: int) -> None:
    body = bytes(n % 251 for n in range(size))

    assert unpack_answer(pack_answer(body)) == body


def test_positions_are_unsigned_32_bit_numbers_little_endian() -> None:
    assert pack_positions((1, 258, 2**32 - 1)) == b"\x01\0\0\0\x02\x01\0\0\xff\xff\xff\xff"
    assert unpack_positions(pack_positions((0, 999, 70_000))) == (0, 999, 70_000)
    assert unpack_positions(b"") == ()


async def test_each_process_is_written_down_with_how_it_ended(path: Path) -> None:
    with JournalWriter(path, version="1.2"):
        pass
    with pytest.raises(KeyError), JournalWriter(path, version="1.3"):
        raise KeyError("x")

    rows = query(path, "SELECT version, ending, ended_us >= started_us, pid > 0 FROM process ORDER BY id")
    assert rows == [("1.2", "done", 1, 1), ("1.3", "KeyError", 1, 1)]


async def test_every_fact_that_a_manifest_shows_changes_the_revision(path: Path) -> None:
    child = Child(id=-1, parent=1, positions=(0,), key="f1-a", cause="c")
    with JournalWriter(path, version="1") as journal, JournalReader(path) as reader:
        seen = [reader.revision()]
        for step in (
            journal.claim([claim(0)]),
            journal.note(attempt(0)),
            journal.release(0),
            journal.claim([claim(2)]),
            journal.settle(accepted(batch(0)).outcome),
            journal.settle(
                divided(batch(1), blamed=[1]).outcome, [child], [Blame(batch=1, position=1, code="", sentence="")]
            ),
        ):
            await step
            seen.append(reader.revision())
        await journal.put_meta(note="nothing that a manifest shows")
        assert reader.revision() == seen[-1]

    assert len(set(seen)) == len(seen)


# ---- states are derived ---------------------------------------------------------------------------------------------


def test_a_batch_is_what_follows_from_its_claim_and_its_outcome(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(5), batch_size=1)
    batches = list(plan.read_batches())
    record(plan, *map(claim, range(4)), accepted(batches[0]), rejected(batches[1]), divided(batches[2], blamed=[0]))
    facts = Facts.read(plan)

    assert [facts.state(number) for number in range(5)] == [
        State.ACCEPTED,
        State.REJECTED,
        State.SPLIT,
        Status.IN_DOUBT,
        Status.PENDING,
    ]
    assert not facts.running


def test_children_of_children_are_whole_batches(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(6), {"message": {"parameters": {"code": "X"}, "channels": ["sms", "whatsapp"]}})
    (parent,) = plan.read_batches()
    first, first_batch = child_of(plan, parent, [1, 2, 4, 5], number=-1)
    second, second_batch = child_of(plan, first_batch, [0, 3], number=-2)
    record(
        plan, divided(parent, blamed=[0, 3], children=[first]), divided(first_batch, blamed=[1, 2], children=[second])
    )
    children = Facts.read(plan).children

    assert children == {-1: first_batch, -2: second_batch}
    assert children[-2].to == (parent.to[1], parent.to[5])
    assert (children[-2].parent, children[-2].parameters, children[-2].channels) == (
        -1,
        b'{"code":"X"}',
        (Channel.SMS, Channel.WHATSAPP),
    )


def test_a_run_without_a_journal_has_no_facts(tmp_path: Path) -> None:
    facts = Facts.read(make_plan(tmp_path, people(1)))

    assert (dict(facts.settled), facts.claims, facts.children, facts.running) == ({}, {}, {}, False)


# ---- one thread, many callers ---------------------------------------------------------------------------------------


class Gate:
    """Holds the journal's thread before its next transaction, so that facts gather behind it."""

    def __init__(self, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
        self.transactions: list[int] = []
        self.entered, self.opened = threading.Event(), threading.Event()
        real = writer._transact

        def transact(statements: Any) -> None:
            self.transactions.append(len(statements))
            self.entered.set()
            self.opened.wait()
            real(statements)

        monkeypatch.setattr(writer, "_transact", transact)


async def test_many_callers_share_few_transactions(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JournalWriter(path, version="1") as journal:
        gate = Gate(journal, monkeypatch)
        first = asyncio.create_task(journal.claim([claim(0)]))
        await asyncio.to_thread(gate.entered.wait)
        others = [asyncio.create_task(journal.settle(rejected(batch(n)).outcome)) for n in range(200)]
        await asyncio.sleep(0)  # one turn of the loop: each of them has put its fact into the queue
        assert not any(task.done() for task in (first, *others))
        gate.opened.set()
        await asyncio.gather(first, *others)

    assert gate.transactions == [1, 200]
    assert query(path, "SELECT count(*) FROM outcome") == [(200,)]


async def test_a_cancelled_caller_does_not_take_its_fact_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JournalWriter(path, version="1") as journal:
        gate = Gate(journal, monkeypatch)
        task = asyncio.create_task(journal.settle(rejected(batch(7)).outcome))
        await asyncio.to_thread(gate.entered.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.opened.set()

    assert query(path, "SELECT batch FROM outcome") == [(7,)]


async def test_closing_writes_what_is_waiting(path: Path) -> None:
    journal = JournalWriter(path, version="1")
    tasks = [asyncio.create_task(journal.claim([claim(n)])) for n in range(50)]
    await asyncio.sleep(0)  # one turn of the loop: all facts are in the queue
    journal.close(ending="done")
    await asyncio.gather(*tasks)

    assert query(path, "SELECT count(*) FROM claim") == [(50,)]


async def test_a_fact_after_closing_is_refused(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        pass
    with pytest.raises(StoreError, match="closed"):
        await journal.claim([claim(0)])


async def test_it_is_read_while_it_is_written(path: Path) -> None:
    with JournalWriter(path, version="1") as journal, JournalReader(path) as reader:
        for n in range(5):
            await journal.claim([claim(n)])
            assert len(list(reader.open_claims())) == n + 1


async def test_one_moment_stays_one_moment_while_others_write(path: Path) -> None:
    """Without it a batch that settles between two queries would be neither settled nor claimed."""
    with JournalWriter(path, version="1") as journal, JournalReader(path) as reader:
        await journal.claim([claim(0)])
        with reader.at_one_moment():
            assert list(reader.outcomes()) == []
            await journal.settle(rejected(batch(0)).outcome)
            assert [each.batch for each in reader.open_claims()] == [0]
        assert [each.batch for each in reader.outcomes()] == [0]
        assert list(reader.open_claims()) == []


# ---- when the disk refuses ------------------------------------------------------------------------------------------


async def test_a_failing_disk_reaches_every_caller_and_nothing_succeeds_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalWriter(path, version="1")
    await journal.claim([claim(0)])
    real = journal._transact

    def refuse(_statements: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(journal, "_transact", refuse)
    failures = await asyncio.gather(*(journal.claim([claim(n)]) for n in range(1, 9)), return_exceptions=True)
    monkeypatch.setattr(journal, "_transact", real)  # room again: what failed must not be forgotten

    assert [type(each) for each in failures] == [StoreError] * 8
    for step in (journal.claim([claim(9)]), journal.settle(rejected(batch(0)).outcome), journal.note(attempt(0))):
        with pytest.raises(StoreError, match="disk is full; make room"):
            await step
    journal.close(ending="StoreError")
    assert query(path, "SELECT batch FROM claim") == [(0,)]
    assert query(path, "SELECT count(*) FROM outcome") == [(0,)]


async def test_a_fact_that_cannot_be_written_is_an_error_and_not_a_silent_thread(path: Path) -> None:
    """A header that is no UTF-8 arrives with lone surrogates, which SQLite does not take."""
    journal = JournalWriter(path, version="1")
    with pytest.raises(StoreError, match="cannot be written"):
        await journal.settle(replace(rejected(batch(0)).outcome, request_id="\udc80"))
    with pytest.raises(StoreError, match="cannot be written"):
        await journal.claim([claim(1)])
    journal.close(ending="StoreError")

    assert query(path, "SELECT count(*) FROM outcome") == [(0,)]


async def test_an_outcome_is_written_once(path: Path) -> None:
    journal = JournalWriter(path, version="1")
    await journal.settle(rejected(batch(0)).outcome)
    with pytest.raises(StoreError, match="UNIQUE"):
        await journal.settle(accepted(batch(0)).outcome)
    journal.close(ending="StoreError")

    assert query(path, "SELECT state FROM outcome") == [("rejected",)]
    assert query(path, "SELECT count(*) FROM answer") == [(0,)]


def test_a_disk_that_is_really_full_is_a_store_error_and_keeps_what_was_committed(path: Path) -> None:
    code = """
import asyncio, pathlib, resource, signal, sys
sys.path.insert(0, sys.argv[2])
from support.plans import claim
from broadcaster.errors import StoreError
from broadcaster.store.writer import JournalWriter

async def main():
    journal = JournalWriter(pathlib.Path(sys.argv[1]), version="1")
    await journal.claim([claim(0)])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    n = 0
    try:
        while n < 100_000:
            n += 100
            await journal.claim([claim(each) for each in range(n, n + 100)])
    except StoreError as error:
        print(type(error).__name__, n, error.sentence)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        await journal.claim([claim(1)])
    except StoreError:
        print("refused")
    journal.close(ending="StoreError")

asyncio.run(main())
"""
    tests = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-c", code, str(path), tests], capture_output=True, text=True, check=False)

    kind, count, sentence = done.stdout.splitlines()[0].split(" ", 2)
    assert (kind, done.stdout.splitlines()[1:], done.stderr) == ("StoreError", ["refused"], "")
    assert str(path) in sentence
    with JournalReader(path) as reader:
        claimed = sorted(each.batch for each in reader.open_claims())
    assert claimed == [0, *range(100, int(count))]


# ---- what is no journal of ours -------------------------------------------------------------------------------------


def fill(path: Path) -> Path:
    async def write() -> None:
        with JournalWriter(path, version="1") as journal:
            await journal.claim([claim(n) for n in range(500)])

    asyncio.run(write())
    return path


def close_at_once(path: Path) -> None:
    async def write() -> None:
        JournalWriter(path, version="1").close(ending="done")

    asyncio.run(write())


def read_claims(path: Path) -> None:
    with JournalReader(path) as reader:
        list(reader.open_claims())


def taken(path: Path) -> list[type[BaseException] | None]:
    """Return how a reader and a writer take the file: ``None``, or what they raise."""
    found: list[type[BaseException] | None] = []
    for use in (read_claims, close_at_once):
        try:
            use(path)
            found.append(None)
        except BroadcasterError as error:
            found.append(type(error))
    return found


def test_a_journal_of_our_own_is_taken(path: Path) -> None:
    assert taken(fill(path)) == [None, None]


def test_another_version_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(fill(path))) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")

    assert taken(path) == [BelongsToAnother, BelongsToAnother]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an emptied file: it would have forgotten every claim"),
        pytest.param(b"SQLite format 3\0" + b"\0" * 500, id="a header and nothing"),
        pytest.param(b"{}" * 2000, id="something else"),
    ],
)
def test_what_is_no_journal_is_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert taken(path) == [StoreDamaged, StoreDamaged]


def test_a_damaged_page_is_refused_before_anything_is_written(path: Path) -> None:
    content = bytearray(fill(path).read_bytes())
    content[-4096:] = b"\xff" * 4096
    path.write_bytes(content)

    with pytest.raises(StoreDamaged):
        close_at_once(path)


async def test_a_damaged_answer_is_refused(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.settle(replace(accepted(batch(0)).outcome, answer=b"x" * 9000))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE answer SET body = substr(body, 1, length(body) - 5)")

    with JournalReader(path) as reader, pytest.raises(StoreDamaged, match="a row of answer is damaged"):
        list(reader.answers())


def test_a_crash_while_the_journal_is_made_leaves_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broadcaster.store.writer.SCHEMA", "CREATE TABLE meta (name TEXT); SYNTAX ERROR;")
    with pytest.raises(StoreError):
        close_at_once(path)
    assert list(path.parent.iterdir()) == []

    monkeypatch.undo()
    path.with_name(f".broadcaster-{path.name}").write_bytes(b"what a killed process left")
    close_at_once(path)
    assert taken(path) == [None, None]


async def test_only_the_owner_may_read_a_journal(path: Path) -> None:
    with JournalWriter(path, version="1") as journal:
        await journal.claim([claim(0)])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}

    assert modes == dict.fromkeys(("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"), 0o600)


async def test_commits_reach_the_disk_before_they_return(path: Path) -> None:
    """The two settings on which every promise about a crash stands."""
    with JournalWriter(path, version="1") as journal:
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_what_does_not_fit_the_plan_is_damaged(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(2))
    (only,) = plan.read_batches()
    orphan = Settling(
        outcome=divided(only, blamed=[]).outcome,
        children=(Child(id=-1, parent=77, positions=(0,), key="k", cause="c"),),
    )
    record(plan, orphan)

    with pytest.raises(StoreDamaged, match="does not fit the plan"):
        Facts.read(plan)


# ---- settled batches as columns -------------------------------------------------------------------------------------


def settled_plan(tmp_path: Path) -> Plan:
    plan = make_plan(tmp_path, people(8), batch_size=2)
    one, two, three, four = plan.read_batches()
    record(plan, *(claim(each.id) for each in (one, two, three, four)), rejected(two, code="BUSINESS_003"))
    record(plan, accepted(one), accepted(four, without=[(four.to[0], "auto")]))
    return plan


def test_what_decides_is_the_same_whether_all_is_read_or_no_more_than_that(tmp_path: Path) -> None:
    plan = settled_plan(tmp_path)
    whole, states = Facts.read(plan), Facts.read(plan, whole=False)

    assert list(whole.settled) == list(states.settled) == [0, 1, 3]
    assert [facts.settled.state(1) for facts in (whole, states)] == [State.REJECTED] * 2
    assert states.settled.state(2) is None
    assert tally(plan, whole) == tally(plan, states) == Tally(accepted=3, rejected=2, in_doubt=3)
    assert unsettled(plan, whole).tolist() == unsettled(plan, states).tolist() == [False] * 4
    assert (whole.settled[1].code, whole.settled[3].missing) == ("BUSINESS_003", 1)


def test_of_a_brief_look_nobody_is_told_what_it_did_not_see(tmp_path: Path) -> None:
    states = Facts.read(settled_plan(tmp_path), whole=False)

    with pytest.raises(LookupError, match="only the state was read"):
        states.settled[1]


def test_settled_batches_are_counted_by_state_and_code(tmp_path: Path) -> None:
    counts = Facts.read(settled_plan(tmp_path)).settled.by_code()

    assert counts == {(State.ACCEPTED, ""): 2, (State.REJECTED, "BUSINESS_003"): 1}


def test_outcomes_that_are_not_in_their_order_are_damage_also_for_a_brief_look() -> None:
    class Disordered:
        def settled(self) -> Any:
            return iter([0, 5, 3])

    with pytest.raises(StoreDamaged, match="not in their order"):
        SettledBatches.read_states(Disordered())  # type: ignore[arg-type]  # a journal as damage leaves it
