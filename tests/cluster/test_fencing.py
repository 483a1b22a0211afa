"""Nobody sends what another process may send as well: who takes a shard, and what its old owner may still do."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.plans import claim
from support.shared import Watched, folded

from broadcaster.cluster.objects import beat_name, epoch_name
from broadcaster.cluster.parts import PartsJournal, take
from broadcaster.cluster.storage import Storage
from broadcaster.errors import BroadcasterError, Fenced, RunLocked, StoreError

OLD = 60.0  # seconds after which an owner counts as gone in these tests


def open_claims(storage: Storage, scratch: Path) -> list[int]:
    with folded(storage, scratch) as reader:
        return [each.batch for each in reader.open_claims()]


# ---- taking ---------------------------------------------------------------------------------------------------------


def test_claims_of_a_shard_are_numbered_and_each_shard_has_its_own(storage: Storage) -> None:
    assert [take(storage, 7, idle_s=0) for _ in range(3)] == [0, 1, 2]
    assert take(storage, 8, idle_s=0) == 0


@pytest.mark.parametrize("idle_s", [0, OLD], ids=["by force", "after a silence"])
def test_of_many_takers_at_once_one_gets_it_and_the_others_are_told(disk: Storage, idle_s: float) -> None:
    takers = 4
    together = threading.Barrier(takers, timeout=30)
    watched = Watched(disk)

    def wait(method: str, name: str) -> None:
        if method == "create" and "epoch" in name:
            together.wait()

    watched.before = wait

    def one(_: int) -> int | RunLocked:
        try:
            return take(watched, 0, idle_s=idle_s)
        except RunLocked as error:
            return error

    with ThreadPoolExecutor(takers) as pool:
        ended = list(pool.map(one, range(takers)))

    assert [each for each in ended if isinstance(each, int)] == [0]
    told = [each.sentence for each in ended if isinstance(each, RunLocked)]
    assert told == [f"another process has just taken shard 0 of {disk.url}; let it work"] * (takers - 1)


async def test_an_owner_that_lives_is_left_alone_and_named(storage: Storage) -> None:
    epoch = take(storage, 0, idle_s=OLD)
    with pytest.raises(RunLocked, match=rf"process {os.getpid()} on .* gave a sign of life \d s ago"):
        take(storage, 0, idle_s=OLD)  # it has not even begun
    async with PartsJournal(storage, shard=0, epoch=epoch, version="test"):
        with pytest.raises(RunLocked) as error:
            take(storage, 0, idle_s=OLD)

    assert error.value.exit_code == 75


async def test_after_a_proper_end_nobody_waits(disk: Storage) -> None:
    async with PartsJournal(disk, shard=0, epoch=take(disk, 0, idle_s=OLD), version="test"):
        pass

    assert take(disk, 0, idle_s=OLD) == 1


@pytest.mark.parametrize("began", [False, True], ids=["before it began", "while it worked"])
def test_an_owner_that_died_is_taken_over_when_it_was_silent_for_so_long(disk: Storage, *, began: bool) -> None:
    name = epoch_name(0, take(disk, 0, idle_s=OLD))
    if began:
        name = beat_name(0, 0)
        disk.replace(name, b'{"ended": false}')

    aged(disk, name, by_s=OLD / 2)
    with pytest.raises(RunLocked):
        take(disk, 0, idle_s=OLD)
    aged(disk, name, by_s=OLD)
    assert take(disk, 0, idle_s=OLD) == 1


async def test_an_old_owner_s_sign_of_life_is_not_its_successor_s(disk: Storage) -> None:
    """It hangs, is taken over, wakes up and beats; its successor has died meanwhile."""
    async with PartsJournal(disk, shard=0, epoch=take(disk, 0, idle_s=0), version="test"):
        take(disk, 0, idle_s=0)
        aged(disk, epoch_name(0, 1), by_s=2 * OLD)

        assert take(disk, 0, idle_s=OLD) == 2


def aged(storage: Storage, name: str, *, by_s: float) -> None:
    """Let an object be older than it is."""
    path = Path(storage.url.removeprefix("file://"), name)
    written = path.stat().st_mtime
    os.utime(path, (written - by_s, written - by_s))


async def test_nobody_works_on_a_shard_that_it_has_not_taken(disk: Storage) -> None:
    with pytest.raises(StoreError, match=r"shard 0 .* was not taken with claim 3"):
        await PartsJournal(disk, shard=0, epoch=3, version="test").__aenter__()


# ---- an old owner ---------------------------------------------------------------------------------------------------


async def test_an_owner_that_was_overtaken_claims_nothing_more(storage: Storage, tmp_path: Path) -> None:
    told: list[BroadcasterError] = []
    async with PartsJournal(storage, shard=0, epoch=take(storage, 0, idle_s=0), version="test", lost=told.append) as it:
        await it.claim([claim(0)])
        take(storage, 0, idle_s=0)
        for batch in (1, 2):
            with pytest.raises(Fenced, match=f"taken over by process {os.getpid()} on .*sends nothing more"):
                await it.claim([claim(batch)])
    await asyncio.sleep(0)

    assert [type(each) for each in told] == [Fenced]
    assert open_claims(storage, tmp_path / "journal.sqlite") == [0]


MOMENTS = {
    "before anything": ("never", ""),
    "before the claims are written": ("create", "part-0000-000002"),
    "between writing and looking": ("exists", "epoch-0001"),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
async def test_whenever_a_shard_is_taken_its_claims_are_seen_or_not_sent(
    disk: Storage, tmp_path: Path, moment: tuple[str, str]
) -> None:
    """The taker comes between two steps of the owner."""
    seen: list[list[int]] = []

    def taken(method: str, name: str) -> None:
        if not seen and (method == moment[0] and moment[1] in name):
            take(disk, 0, idle_s=0)
            seen.append(open_claims(disk, tmp_path / "taker.sqlite"))

    watched = Watched(disk)
    async with PartsJournal(watched, shard=0, epoch=take(disk, 0, idle_s=0), version="test") as owner:
        watched.before = taken
        sent = await claimed(owner, 5)
        if not seen:
            take(disk, 0, idle_s=0)
            seen.append(open_claims(disk, tmp_path / "taker.sqlite"))

    assert sent == (moment[0] == "never")  # else the taker was there before the owner looked
    assert not sent or seen == [[5]]
    assert open_claims(disk, tmp_path / "later.sqlite") == seen[0]  # what everybody says who comes later


STEPS = {
    "before the shard is claimed": ("before", "create", "epoch-0001"),
    "between the claim and the look": ("after", "create", "epoch-0001"),
    "before it is written down what was seen": ("before", "create", "part-0001-000000"),
    "after that": ("after", "create", "part-0001-000000"),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_whenever_an_owner_claims_the_taker_sees_it_or_it_is_not_sent(
    disk: Storage, tmp_path: Path, step: tuple[str, str, str]
) -> None:
    """The owner comes between two steps of the taker."""
    when, method, name = step
    sent: list[bool] = []
    watched = Watched(disk)
    async with PartsJournal(disk, shard=0, epoch=take(disk, 0, idle_s=0), version="test") as owner:
        loop = asyncio.get_running_loop()

        def claims(done: str, of: str) -> None:
            if not sent and done == method and name in of:
                sent.append(asyncio.run_coroutine_threadsafe(claimed(owner, 5), loop).result())

        setattr(watched, when, claims)
        await asyncio.to_thread(take, watched, 0, idle_s=0)
        seen = open_claims(disk, tmp_path / "taker.sqlite")

    assert sent == [when == "before" and method == "create" and name == "epoch-0001"]
    assert not sent[0] or seen == [5]
    assert open_claims(disk, tmp_path / "later.sqlite") == seen


async def claimed(owner: PartsJournal, batch: int) -> bool:
    """Claim as the engine does; return whether the batch would be sent."""
    try:
        await owner.claim([claim(batch)])
    except Fenced:
        return False
    return True


# ---- the sign of life -----------------------------------------------------------------------------------------------


async def test_an_owner_hears_that_it_was_overtaken_though_it_claims_nothing(disk: Storage) -> None:
    told: asyncio.Queue[BroadcasterError] = asyncio.Queue()
    epoch = take(disk, 0, idle_s=0)
    async with PartsJournal(disk, shard=0, epoch=epoch, version="test", lost=told.put_nowait, beat_s=0.01):
        take(disk, 0, idle_s=0)

        assert isinstance(await told.get(), Fenced)


async def test_an_owner_that_cannot_give_a_sign_of_life_stops(disk: Storage) -> None:
    """The store takes nothing for long: somebody else would think that it is dead."""
    told: asyncio.Queue[BroadcasterError] = asyncio.Queue()
    watched = Watched(disk)
    epoch = take(disk, 0, idle_s=0)
    async with PartsJournal(
        watched, shard=0, epoch=epoch, version="test", lost=told.put_nowait, beat_s=0.01, silent_s=1.0
    ) as owner:
        await owner.claim([claim(0)])
        watched.before = refuse("replace", "beat")
        lost = await told.get()
        with pytest.raises(StoreError, match=r"nothing more is sent.*the line is cut"):
            await owner.claim([claim(1)])
        watched.before = lambda _method, _name: None

    assert isinstance(lost, StoreError)


async def test_an_owner_whose_store_does_not_answer_at_all_stops(disk: Storage) -> None:
    """A cut line is silent: the request for the sign of life hangs for longer than the owner may be silent."""
    told: asyncio.Queue[BroadcasterError] = asyncio.Queue()
    watched, answered = Watched(disk), threading.Event()

    def hang(method: str, name: str) -> None:
        if method == "replace" and "beat" in name:
            answered.wait()

    epoch = take(disk, 0, idle_s=0)
    async with PartsJournal(
        watched, shard=0, epoch=epoch, version="test", lost=told.put_nowait, beat_s=0.01, silent_s=0.05
    ):
        watched.before = hang
        lost = await told.get()
        answered.set()

    assert lost.sentence == "no sign of life could be written, so that nothing more is sent: the store does not answer"


async def test_an_owner_that_cannot_be_heard_of_does_not_begin(disk: Storage) -> None:
    watched = Watched(disk)
    epoch = take(disk, 0, idle_s=0)
    watched.before = refuse("replace", "beat")

    with pytest.raises(StoreError, match="the line is cut"):
        await PartsJournal(watched, shard=0, epoch=epoch, version="test").__aenter__()


async def test_after_a_part_that_could_not_be_written_nothing_is(disk: Storage, tmp_path: Path) -> None:
    watched = Watched(disk)
    async with PartsJournal(watched, shard=0, epoch=take(disk, 0, idle_s=0), version="test") as owner:
        await owner.claim([claim(0)])
        watched.before = refuse("create", "part-")
        with pytest.raises(StoreError, match="the line is cut"):
            await owner.claim([claim(1)])
        watched.before = lambda _method, _name: None
        with pytest.raises(StoreError, match="the line is cut"):
            await owner.claim([claim(2)])

    assert open_claims(disk, tmp_path / "journal.sqlite") == [0]


async def test_two_owners_by_the_same_claim_are_found_out(disk: Storage) -> None:
    """It cannot be; if it were, the second one must not write over the first."""
    epoch = take(disk, 0, idle_s=0)
    async with PartsJournal(disk, shard=0, epoch=epoch, version="test") as owner:
        await owner.claim([claim(0)])
        with pytest.raises(StoreError, match="is there already"):
            await PartsJournal(disk, shard=0, epoch=epoch, version="test").__aenter__()


def refuse(method: str, part: str) -> Callable[[str, str], None]:
    """Return what lets a step fail."""

    def fails(done: str, name: str) -> None:
        if done == method and part in name:
            raise StoreError("the line is cut")

    return fails


def test_a_claim_says_who_and_when(disk: Storage) -> None:
    take(disk, 3, idle_s=0)

    said = json.loads(disk.read("shards/00003/epoch-0000.json") or b"")
    assert said["pid"] == os.getpid()
    assert said.keys() == {"host", "pid", "process", "at_us"}
