"""A shared run directory and its mirror: what goes out comes in, and an ordinary run directory cannot tell."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.cli import rows
from support.plans import accepted, child_of, claim, divided, make_plan, message_id, people, rejected
from support.receipts import tell

from broadcaster.app.conclude import conclude
from broadcaster.app.inspect import verify
from broadcaster.cluster.census import Stands, take_census
from broadcaster.cluster.meta import Whose, read_meta, write_whose
from broadcaster.cluster.mirror import fetch_manifest, mirror, publish_plan, publish_report, publish_results
from broadcaster.cluster.objects import done_name
from broadcaster.cluster.owner import take
from broadcaster.cluster.parts import PartsJournal
from broadcaster.cluster.storage import Storage
from broadcaster.core.shards import cut_shards, first_child
from broadcaster.core.values import Tally
from broadcaster.errors import BelongsToAnother, ConfigError, StoreDamaged
from broadcaster.store.facts import Facts, tally
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

MINE = Whose(account="0" * 64, base_url="https://api.sent.dm")
SHARDS = 3


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Six batches of two people, and somebody who cannot be messaged."""
    return make_plan(tmp_path, [*people(12), {"id": "c12", "mobile": "12"}], batch_size=2)


def published(plan: Plan, storage: Storage) -> Storage:
    publish_plan(plan, storage, shards=SHARDS, meta={})
    write_whose(storage, MINE)
    return storage


async def send(storage: Storage, plan: Plan, *, shards: Sequence[int] = range(SHARDS)) -> None:
    """Write what the shards' owners would: shard 0 splits its first batch, shard 1 leaves its last in doubt."""
    batches = {batch.id: batch for batch in plan.read_batches()}
    for shard in cut_shards(plan.batches, of=SHARDS):
        if shard.index not in shards:
            continue
        epoch = take(storage, shard.index, idle_s=0)
        async with PartsJournal(storage, shard=shard.index, epoch=epoch, version="test") as journal:
            for number in range(shard.first, shard.stop):
                await journal.claim([claim(number)])
                if number == 0:
                    entry, part = child_of(plan, batches[0], (1,), number=first_child(0))
                    facts = divided(batches[0], blamed=(0,), children=(entry,))
                    await journal.settle(facts.outcome, facts.children, facts.blames)
                    await journal.claim([claim(part.id)])
                    await journal.settle(accepted(part).outcome)
                elif number == shard.stop - 1 and shard.index == 1:
                    continue
                elif number == plan.batches - 1:
                    await journal.settle(rejected(batches[number]).outcome)
                else:
                    await journal.settle(accepted(batches[number]).outcome)


COUNTS = Tally(accepted=7, rejected=3, in_doubt=2, excluded=1, pending=0)


async def test_a_mirror_says_what_all_shards_say(storage: Storage, plan: Plan, tmp_path: Path) -> None:
    await send(published(plan, storage), plan)

    copy = mirror(storage, RunDir(tmp_path / "copy"))

    assert copy.fingerprint == plan.fingerprint
    assert [batch.key for batch in copy.read_batches()] == [batch.key for batch in plan.read_batches()]
    assert tally(copy, Facts.read(copy)) == COUNTS
    ended = conclude(copy)
    assert ended.counts == COUNTS
    audit, counts = verify(tmp_path / "copy")
    assert audit.difference is None
    assert counts["total"] == 13


async def test_a_mirror_of_one_shard_has_its_facts_and_no_rows(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    await send(published(plan, disk), plan)

    copy = mirror(disk, RunDir(tmp_path / "copy"), shards=(1,), rows=False)

    assert Facts.read(copy, whole=False).settled.batches.tolist() == [2]
    assert list(Facts.read(copy, whole=False).claims) == [3]
    assert not (tmp_path / "copy" / "plan.parquet").exists()


async def test_a_mirror_is_brought_up_to_date(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    await send(published(plan, disk), plan, shards=(0,))
    copy = mirror(disk, RunDir(tmp_path / "copy"))
    before = tally(copy, Facts.read(copy))
    frozen = (tmp_path / "copy" / "plan.parquet").stat()
    await send(disk, plan, shards=(1, 2))

    copy = mirror(disk, RunDir(tmp_path / "copy"))

    assert before == Tally(accepted=3, rejected=1, pending=8, excluded=1, in_doubt=0)
    assert tally(copy, Facts.read(copy)) == COUNTS
    assert (tmp_path / "copy" / "plan.parquet").stat().st_ino == frozen.st_ino  # not fetched again


async def test_a_mirror_names_whose_the_run_is(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    mirror(published(plan, disk), RunDir(tmp_path / "copy"))

    with JournalReader(tmp_path / "copy" / "journal.sqlite") as journal:
        meta = journal.meta()
    assert (meta["account"], meta["base_url"]) == (MINE.account, MINE.base_url)
    assert meta["keys"] == plan.keys_sha256
    assert meta["run"] == read_meta(disk).run


def test_a_run_that_nobody_began_is_pending(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    publish_plan(plan, disk, shards=None, meta={})

    copy = mirror(disk, RunDir(tmp_path / "copy"))

    assert tally(copy, Facts.read(copy)) == Tally(pending=12, excluded=1, accepted=0, rejected=0, in_doubt=0)


async def test_receipts_that_are_put_there_are_in_the_manifest(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    await send(published(plan, disk), plan)
    accepted_in = next(batch for batch in plan.read_batches() if batch.id == 1)
    heard = tmp_path / "elsewhere.sqlite"
    name = message_id(str(accepted_in.to[0]), "auto")
    await asyncio.to_thread(tell, heard, {name: "DELIVERED"})
    disk.upload(heard, "receipts.sqlite", exclusively=False)

    copy = mirror(disk, RunDir(tmp_path / "copy"))
    conclude(copy)

    told = {row["message_id"]: row["delivery_status"] for row in rows(copy.run_dir.path)}
    assert told[name] == "delivered"


# ---- publishing -----------------------------------------------------------------------------------------------------


def test_a_plan_is_published_once_and_again_and_stays_the_same_run(disk: Storage, plan: Plan) -> None:
    first = publish_plan(plan, disk, shards=SHARDS, meta={"cluster": "local:3"})
    second = publish_plan(plan, disk, shards=SHARDS, meta={})

    assert second == first == read_meta(disk)
    assert (first.shards, first.plan, first.more) == (SHARDS, plan.fingerprint, {"cluster": "local:3"})


@pytest.mark.parametrize("left", ["plan.parquet", "batches.parquet", "plan.json"])
def test_publishing_goes_on_where_it_was_killed(disk: Storage, plan: Plan, tmp_path: Path, left: str) -> None:
    """Objects are written in this order; it was killed after the one that is named."""
    names = ("plan.parquet", "batches.parquet", "plan.json")
    for name in names[: names.index(left) + 1]:
        disk.upload(plan.run_dir.path / name, name, exclusively=True)

    publish_plan(plan, disk, shards=SHARDS, meta={})

    assert mirror(disk, RunDir(tmp_path / "copy")).fingerprint == plan.fingerprint


def test_another_plan_does_not_replace_the_first(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    published(plan, disk)
    (tmp_path / "other").mkdir()
    other = make_plan(tmp_path / "other", people(4), batch_size=2)

    with pytest.raises(BelongsToAnother, match="is of another plan") as error:
        publish_plan(other, disk, shards=SHARDS, meta={})

    assert error.value.exit_code == 78
    assert mirror(disk, RunDir(tmp_path / "copy")).fingerprint == plan.fingerprint


def test_the_number_of_shards_stays_what_it_was(disk: Storage, plan: Plan) -> None:
    published(plan, disk)

    with pytest.raises(BelongsToAnother, match="in 3 shards instead of 4"):
        publish_plan(plan, disk, shards=SHARDS + 1, meta={})


def test_whoever_starts_first_says_whose_it_is(disk: Storage, plan: Plan) -> None:
    published(plan, disk)
    write_whose(disk, MINE)

    with pytest.raises(BelongsToAnother, match="another account"):
        write_whose(disk, Whose(account="1" * 64, base_url=MINE.base_url))


def test_a_canary_is_refused(disk: Storage, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(12), {"safety": {"canary": 2}}, batch_size=2)

    with pytest.raises(ConfigError, match=r"without safety\.canary"):
        publish_plan(plan, disk, shards=SHARDS, meta={})

    assert disk.names("") == []


def test_what_has_no_keys_is_refused(disk: Storage, tmp_path: Path) -> None:
    plan = make_plan(tmp_path, people(3), {"api": {"version": "v1"}}, batch_size=1)

    with pytest.raises(ConfigError, match="no idempotency keys"):
        publish_plan(plan, disk, shards=SHARDS, meta={})


# ---- what is wrong there --------------------------------------------------------------------------------------------


def test_where_nothing_is_nothing_is_made_up(disk: Storage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no shared run.*--run-dir file://"):
        mirror(disk, RunDir(tmp_path / "copy"))

    assert not (tmp_path / "copy").exists()


DAMAGE = {
    "plan.json": "the plan",
    "plan.parquet": "is not what was planned",
    "batches.parquet": "is not what was planned",
    "meta.json": "cannot be read",
    "account.json": "cannot be read",
}


@pytest.mark.parametrize(("name", "why"), DAMAGE.items(), ids=DAMAGE)
def test_what_is_damaged_there_is_named(disk: Storage, plan: Plan, tmp_path: Path, name: str, why: str) -> None:
    published(plan, disk)
    content = disk.read(name) or b""
    disk.replace(name, content.replace(b"0", b"x") if name == "plan.json" else content[:-9])

    with pytest.raises(StoreDamaged, match=why) as error:
        mirror(disk, RunDir(tmp_path / "copy"))

    assert name in error.value.sentence


@pytest.mark.parametrize("name", ["plan.json", "plan.parquet", "batches.parquet"])
def test_what_is_missing_there_is_named(disk: Storage, plan: Plan, tmp_path: Path, name: str) -> None:
    published(plan, disk).remove(name)

    with pytest.raises(StoreDamaged, match=f"{disk.url}/{name} is missing"):
        mirror(disk, RunDir(tmp_path / "copy"))


# ---- results --------------------------------------------------------------------------------------------------------


async def test_results_are_for_all_and_name_the_address(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    await send(published(plan, disk), plan)
    disk.replace("suppress.csv", b"of an earlier time")
    copy = mirror(disk, RunDir(tmp_path / "copy"))
    conclude(copy)

    publish_results(disk, copy.run_dir)

    for path in (copy.run_dir.manifest, copy.run_dir.failed, copy.run_dir.excluded):
        assert disk.read(path.name) == path.read_bytes()
    summary, report = disk.read("summary.json") or b"", disk.read("report.html") or b""
    assert f'"run_dir": "{disk.url}"'.encode() in summary
    assert disk.url.encode() in report
    assert str(tmp_path / "copy").encode() not in summary + report
    assert copy.run_dir.suppress.exists() == disk.exists("suppress.csv")
    fetch_manifest(disk, RunDir(tmp_path / "copy"))


async def test_a_report_leaves_the_other_results_alone(disk: Storage, plan: Plan, tmp_path: Path) -> None:
    published(plan, disk)
    disk.replace("failed.csv", b"somebody")
    copy = mirror(disk, RunDir(tmp_path / "copy"))
    copy.run_dir.report.write_text(f"about {copy.run_dir.path}")

    publish_report(disk, copy.run_dir)

    assert disk.read("failed.csv") == b"somebody"
    assert disk.read("report.html") == f"about {disk.url}".encode()


# ---- where the shards stand -----------------------------------------------------------------------------------------


async def test_shards_are_counted_by_where_they_stand(disk: Storage, plan: Plan) -> None:
    assert take_census(disk, batches=plan.batches).counts == {}
    published(plan, disk)
    assert take_census(disk, batches=plan.batches).counts[Stands.WAITING] == SHARDS
    await send(disk, plan, shards=(0, 1))
    disk.create(done_name(0), b"-")
    async with PartsJournal(disk, shard=2, epoch=take(disk, 2, idle_s=0), version="test"):
        census = take_census(disk, batches=plan.batches)

    assert census.counts == {Stands.DONE: 1, Stands.SENDING: 1, Stands.STOPPED: 1, Stands.WAITING: 0}
    assert [each.pid for each in census.senders] == [os.getpid()]
