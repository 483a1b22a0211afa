"""Whose a run is, and what was begun already: nobody begins to send what somebody has sent from elsewhere."""

import shutil
from pathlib import Path

import pytest
from support.plans import make_plan, people

from broadcaster.app.parts import Access
from broadcaster.clock import wall_us
from broadcaster.cluster.mirror import mirror, publish_plan
from broadcaster.cluster.owner import take
from broadcaster.cluster.shard import settle_whose
from broadcaster.cluster.storage import Storage
from broadcaster.errors import BelongsToAnother, StoreDamaged
from broadcaster.job.settings import Secret
from broadcaster.store import account
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.store.writer import create_journal

API = "https://api.sent.dm"
TO = Access(base_url=API, identity=API, place=API, key=Secret("sk_test"), profile=None)
MINE = account.fingerprint(base_url=API, account_id="me", profile=None)
DAY_S = 86_400.0


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(tmp_path, people(12), batch_size=2)


@pytest.fixture
def shared(plan: Plan, disk: Storage) -> Storage:
    """A plan that is published, and that nobody has begun."""
    publish_plan(plan, disk, shards=None, meta={})
    return disk


def begin(shared: Storage, plan: Plan) -> None:
    settle_whose(shared, plan, to=TO, account_id="me", shards=2)


# ---- from elsewhere -------------------------------------------------------------------------------------------------


def test_what_a_directory_of_its_own_has_sent_a_moment_ago_is_not_sent_by_shards(shared: Storage, plan: Plan) -> None:
    """The keys protect now, and not when the last shard is sent tomorrow."""
    sent = account.Launch(
        account=MINE,
        mode=plan.head.mode,
        campaign=plan.head.campaign,
        run="another",
        run_dir=Path("/srv/runs/spring"),
        keys_sha256=plan.keys_sha256,
    )
    assert account.register(sent, now_us=wall_us(), window_s=DAY_S) is None

    with pytest.raises(BelongsToAnother, match="was sent from /srv/runs/spring"):
        begin(shared, plan)


def test_all_processes_of_a_run_begin_the_same_run(shared: Storage, plan: Plan) -> None:
    begin(shared, plan)
    begin(shared, plan)


def test_a_directory_that_one_process_has_begun_is_not_sent_by_shards(shared: Storage, plan: Plan) -> None:
    """It was planned for shards, sent by one process all the same, and another machine knows nothing of that."""
    create_journal(Path(shared.url.removeprefix("file://"), "journal.sqlite"))

    with pytest.raises(BelongsToAnother, match="was begun by one process, and cannot be sent in shards any more"):
        begin(shared, plan)


# ---- lost words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "shards"), [("meta.json", 5), ("account.json", 2)])
def test_what_was_said_before_the_first_shard_is_not_said_anew(
    shared: Storage, plan: Plan, tmp_path: Path, name: str, shards: int
) -> None:
    """Shards of another number have other batches, and another account's API does not know the keys."""
    begin(shared, plan)
    take(shared, 0, idle_s=0)
    shared.remove(name)

    with pytest.raises(StoreDamaged, match=f"{name} is missing, though shards were begun"):
        mirror(shared, RunDir(tmp_path / "mirror"))
    with pytest.raises(StoreDamaged, match=f"{name} is missing, though shards were begun"):
        settle_whose(shared, plan, to=TO, account_id="another", shards=shards)


# ---- directories ----------------------------------------------------------------------------------------------------


def test_the_names_of_new_directories_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must not take a directory away with all the claims in it."""
    order: list[str] = []
    root = tmp_path / "new" / "shared"

    def note(path: Path) -> None:
        order.append("a file" if path.is_file() else path.relative_to(tmp_path).as_posix())

    monkeypatch.setattr("broadcaster.cluster.directory.sync", note)
    storage = Storage.open(f"file://{root}")
    storage.create("shards/00007/part-0000-000001", b"claims")
    storage.create("shards/00007/part-0000-000002", b"claims")
    first = [".", "new", "new/shared", "new/shared/shards", "a file", "new/shared/shards/00007"]
    assert order == [*first, *first[-2:]]

    order.clear()
    Storage.open(f"file://{root}").create("shards/00007/part-0000-000003", b"claims")  # by whoever did not make them
    assert order == first[2:]
    shutil.rmtree(root)
