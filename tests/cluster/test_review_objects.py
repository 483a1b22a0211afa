"""Objects that are gone, and listings that do not have them yet: nobody goes on as if they had never been."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.plans import claim
from support.shared import Watched, folded

from broadcaster.cluster.fold import fold
from broadcaster.cluster.objects import epoch_name, part_name
from broadcaster.cluster.parts import PartsJournal, take
from broadcaster.cluster.storage import Storage
from broadcaster.errors import StoreDamaged


class Lagging(Storage):
    """A store whose listings do not have yet what *hidden* says; objects that are asked for by name are there."""

    def __init__(self, storage: Storage, hidden: Callable[[str], bool]) -> None:
        super().__init__(storage.url, storage._place)
        self._hidden = hidden

    def names(self, under: str) -> list[str]:
        return [name for name in super().names(under) if not self._hidden(name)]


async def work(storage: Storage, *batches: int) -> int:
    """Take the shard, claim the batches one after the other, and come to a proper end."""
    epoch = take(storage, 0, idle_s=0)
    async with PartsJournal(storage, shard=0, epoch=epoch, version="test") as journal:
        for batch in batches:
            await journal.claim([claim(batch)])
    return epoch


def claimed(storage: Storage, scratch: Path) -> list[int]:
    with folded(storage, scratch) as reader:
        return sorted(each.batch for each in reader.open_claims())


HIDDEN: dict[str, Callable[[str], bool]] = {
    "the last claims": lambda name: name.endswith(("-0000-000003", "-0000-000004")),
    "all parts of the last owner": lambda name: "/part-0000-" in name,
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
async def test_a_taker_finds_what_the_listing_does_not_have_yet(
    disk: Storage, tmp_path: Path, hidden: Callable[[str], bool]
) -> None:
    """Batches that were claimed may have been sent: who does not see the claims sends them as if they were new."""
    await work(disk, 5, 6)
    lagging = Lagging(disk, hidden)
    assert take(lagging, 0, idle_s=0) == 1

    assert claimed(disk, tmp_path / "later.sqlite") == [5, 6]
    if hidden is HIDDEN["the last claims"]:
        assert claimed(lagging, tmp_path / "now.sqlite") == [5, 6]


async def test_a_taker_looks_beyond_one_that_died_before_it_looked(disk: Storage, tmp_path: Path) -> None:
    await work(disk, 5)
    assert disk.create(epoch_name(0, 1), b"{}")
    assert take(Lagging(disk, lambda name: name.endswith("-0000-000002")), 0, idle_s=0) == 2

    assert claimed(disk, tmp_path / "journal.sqlite") == [5]


async def test_a_taker_asks_for_the_last_owner_s_parts_only(disk: Storage) -> None:
    """A shard that was taken a hundred times must not be asked a hundred times over."""
    for _ in range(4):
        await work(disk, 5)
    watched = Watched(disk)
    asked: list[str] = []
    watched.before = lambda method, name: asked.append(name) if method == "exists" else None
    take(watched, 0, idle_s=0)

    assert asked == [part_name(0, 3, 4)]


@pytest.fixture
async def worked(disk: Storage) -> Storage:
    """Two owners, each of whom came to a proper end."""
    assert [await work(disk, 5), await work(disk, 6)] == [0, 1]
    return disk


_OBJECTS = [
    epoch_name(0, 0),
    epoch_name(0, 1),
    *(part_name(0, epoch, number) for epoch in (0, 1) for number in range(4)),
]


@pytest.mark.parametrize("name", _OBJECTS)
async def test_whatever_is_lost_of_a_shard_is_named(worked: Storage, name: str) -> None:
    """The last part of an owner too: no later one shows that it is missing."""
    assert name in worked.names("shards")
    worked.remove(name)

    with pytest.raises(StoreDamaged, match=f"{name} is missing"):
        list(fold(worked, 0))


async def test_every_object_of_a_shard_was_lost_once(worked: Storage) -> None:
    signs = {"shards/00000/beat-0000", "shards/00000/beat-0001"}

    assert {*worked.names("shards")} == {*_OBJECTS} | signs


@pytest.mark.parametrize("words", [b"", b"[]", b"{}", b'{"parts": "many"}', b"\x00\xff"])
async def test_a_sign_of_life_that_cannot_be_read_changes_nothing(
    worked: Storage, tmp_path: Path, words: bytes
) -> None:
    worked.replace("shards/00000/beat-0001", words)

    assert claimed(worked, tmp_path / "journal.sqlite") == [5, 6]


def test_a_claim_that_was_lost_does_not_give_its_number_to_somebody_else(disk: Storage) -> None:
    """Two owners by one number would write under the same names."""
    take(disk, 0, idle_s=0)
    disk.remove(epoch_name(0, 0))

    assert take(disk, 0, idle_s=0) == 1
