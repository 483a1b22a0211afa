"""What the shared run directory promises, on a disk and in an object store."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.s3 import BUCKET, S3, Manner

from broadcaster.cluster.owner import take
from broadcaster.cluster.storage import Storage
from broadcaster.errors import ConfigError, StoreDamaged, StoreError

RACERS = 8


def test_what_is_created_is_there_whole_for_everybody(storage: Storage, elsewhere: Storage) -> None:
    assert storage.create("shards/00001/epoch-0000.json", b"one") is True

    assert elsewhere.read("shards/00001/epoch-0000.json") == b"one"
    assert elsewhere.exists("shards/00001/epoch-0000.json")


def test_what_is_there_is_not_created_again_and_stays_what_it_was(storage: Storage, elsewhere: Storage) -> None:
    storage.create("meta.json", b"first")

    assert elsewhere.create("meta.json", b"second") is False
    assert storage.read("meta.json") == b"first"


def test_who_is_told_that_its_own_object_is_there_already_got_it(storage: Storage) -> None:
    """A client repeats a request whose answer was lost; it must not take itself for somebody else."""
    storage.create("meta.json", b"mine alone")

    assert storage.create("meta.json", b"mine alone") is True


def test_of_many_who_create_one_name_exactly_one_gets_it(storage: Storage) -> None:
    together = threading.Barrier(RACERS, timeout=30)

    def race(number: int) -> bool:
        together.wait()
        return storage.create("one", b"racer %d" % number)

    with ThreadPoolExecutor(RACERS) as pool:
        won = list(pool.map(race, range(RACERS)))

    assert won.count(True) == 1
    assert storage.read("one") == b"racer %d" % won.index(True)


def test_what_is_replaced_is_new_for_everybody(storage: Storage, elsewhere: Storage) -> None:
    storage.replace("beat", b"old")
    assert elsewhere.read("beat") == b"old"
    storage.replace("beat", b"new")

    assert elsewhere.read("beat") == b"new"


def test_what_is_not_there_is_not_read(storage: Storage) -> None:
    assert storage.read("shards/00001/done") is None
    assert not storage.exists("shards/00001/done")
    assert not storage.exists("shards")
    assert storage.age_s("shards/00001/done") is None
    storage.remove("shards/00001/done")


def test_names_are_those_of_now_sorted_and_under_one_prefix(storage: Storage, elsewhere: Storage) -> None:
    assert elsewhere.names("") == elsewhere.names("shards/00001") == []
    for name in ("shards/00001/b", "shards/00001/a", "shards/00010/c", "meta.json"):
        storage.create(name, b"-")

    assert elsewhere.names("shards/00001") == ["shards/00001/a", "shards/00001/b"]
    storage.create("shards/00001/c", b"-")
    assert elsewhere.names("shards/00001") == ["shards/00001/a", "shards/00001/b", "shards/00001/c"]
    assert elsewhere.names("") == ["meta.json", *elsewhere.names("shards")]


def test_many_objects_come_in_the_order_of_their_names(storage: Storage) -> None:
    names = [f"part-{number:03}" for number in range(70)]  # more than are asked for together
    there = names[::30]
    for name in there:
        storage.create(name, name.encode())

    found = dict(storage.read_many(names))

    assert list(found) == names
    assert {name: content for name, content in found.items() if content is not None} == {
        name: name.encode() for name in there
    }


def test_a_file_goes_up_once_and_comes_down_as_it_was(storage: Storage, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    mine, other, back = tmp_path / "mine", tmp_path / "other", tmp_path / "back"
    mine.write_bytes(content)
    other.write_bytes(b"another")

    assert storage.upload(mine, "plan.parquet", exclusively=True) is True
    assert storage.upload(mine, "plan.parquet", exclusively=True) is True  # as after a crash half-way
    assert storage.upload(other, "plan.parquet", exclusively=True) is False
    storage.download("plan.parquet", back)
    assert back.read_bytes() == content

    assert storage.upload(other, "plan.parquet", exclusively=False) is True
    assert storage.read("plan.parquet") == b"another"


def test_what_cannot_be_fetched_is_named(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match=f"{storage.url}/plan.parquet is missing"):
        storage.download("plan.parquet", tmp_path / "back")


def test_a_store_that_is_exclusive_passes_and_keeps_nothing_of_it(storage: Storage) -> None:
    storage.require_exclusive()

    assert storage.names("") == []


def store(monkeypatch: pytest.MonkeyPatch, server: S3, manner: Manner) -> Storage:
    """Return a directory in a store of this manner, where this process finds it."""
    for name, value in server.by(manner).items():
        monkeypatch.setenv(name, value)
    return Storage.open(f"s3://{BUCKET}/{manner}")


def test_a_store_that_ignores_the_condition_is_refused(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    careless = store(monkeypatch, s3, Manner.CARELESS)

    with pytest.raises(StoreError, match=r"more than one is told that it got it.*If-None-Match"):
        careless.require_exclusive()
    with pytest.raises(StoreError, match="more than one is told"):  # and nobody takes a shard there
        take(careless, 0, idle_s=0)


@pytest.mark.parametrize("manner", [Manner.TERSE, Manner.CONTENDED])
def test_other_words_for_the_same_are_understood(s3: S3, monkeypatch: pytest.MonkeyPatch, manner: Manner) -> None:
    storage = store(monkeypatch, s3, manner)

    assert [storage.create("one", content) for content in (b"first", b"second")] == [True, False]
    assert storage.read("one") == b"first"


def test_age_is_told_by_the_store_and_never_by_our_own_clock(disk: Storage) -> None:
    disk.create("beat", b"-")
    disk.create("clock", b"-")
    path = Path(disk.url.removeprefix("file://"), "beat")
    written = path.stat().st_mtime

    os.utime(path, (written - 100, written - 100))
    assert 100 <= (disk.age_s("beat") or 0) < 160
    os.utime(path, (written + 100, written + 100))  # another machine's clock is ahead
    assert disk.age_s("beat") == 0


def test_a_new_object_in_a_bucket_is_young(s3: S3) -> None:
    del s3
    storage = Storage.open(f"s3://{BUCKET}/age")
    storage.create("beat", b"-")

    assert 0 <= (storage.age_s("beat") or 0) < 60


def test_a_file_that_a_killed_process_left_half_written_is_no_object(disk: Storage) -> None:
    disk.create("shards/00001/part-0000-000001", b"-")
    home = Path(disk.url.removeprefix("file://"), "shards/00001")
    (home / ".broadcaster-0123").write_bytes(b"half")

    assert disk.names("shards") == ["shards/00001/part-0000-000001"]


def test_only_the_owner_of_the_files_may_read_them(disk: Storage) -> None:
    disk.create("shards/00001/part-0000-000001", b"-")
    disk.replace("shards/00001/beat", b"-")
    root = Path(disk.url.removeprefix("file://"))

    assert {path.stat().st_mode & 0o077 for path in [root, *root.rglob("*")]} == {0}


REFUSED = {
    "memory://run": "memory:// does not keep",
    "https://host/run": "https:// does not keep",
    "runs/spring": "is no address",
    "file://runs/spring": "a whole path",
    f"s3://{BUCKET}": "a bucket only",
    "gs://bucket/run": "pip install gcsfs",
}


@pytest.mark.parametrize(("url", "why"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_relied_on_is_refused(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Storage.open(url)


def test_a_store_that_cannot_be_reached_is_a_sentence_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECRET")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")

    with pytest.raises(StoreError) as error:
        Storage.open("s3://user:hush@bucket/run?sig=hush").read("meta.json")

    assert "hush" not in error.value.sentence
    assert "cannot be reached" in error.value.sentence


def test_a_bucket_that_is_not_there_is_named(s3: S3) -> None:
    del s3
    with pytest.raises(StoreError, match=r"s3://nobody-made-it/run/meta.json: there is no such bucket"):
        Storage.open("s3://nobody-made-it/run").create("meta.json", b"-")
