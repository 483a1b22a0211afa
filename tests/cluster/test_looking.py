"""The commands that look at a run, on one that several machines share; and those that refuse it."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from support.cli import Cli, rows
from support.forks import Forks
from support.plans import accepted, claim, make_plan, people, rejected
from support.s3 import BUCKET, S3

from broadcaster.cluster.meta import Whose, write_whose
from broadcaster.cluster.mirror import publish_plan
from broadcaster.cluster.objects import done_name, part_name
from broadcaster.cluster.owner import take
from broadcaster.cluster.parts import PartsJournal
from broadcaster.cluster.storage import Storage
from broadcaster.core.shards import cut_shards

SHARDS = 3


@pytest.fixture
def cli(tmp_path: Path, forks: Forks) -> Cli:
    return Cli(tmp_path, launcher=forks)


def begun(storage: Storage, base: Path, *, all_done: bool = True) -> Storage:
    """Put a run of six requests there: accepted, but for the last, which is rejected, or still in doubt."""
    base.mkdir()
    plan = make_plan(base, [*people(12), {"id": "c12", "mobile": "12"}], batch_size=2)
    publish_plan(plan, storage, shards=SHARDS, meta={})
    write_whose(storage, Whose(account="0" * 64, base_url="https://api.sent.dm"))
    batches = list(plan.read_batches())

    async def send() -> None:
        for shard in cut_shards(len(batches), of=SHARDS):
            epoch = take(storage, shard.index, idle_s=0)
            async with PartsJournal(storage, shard=shard.index, epoch=epoch, version="test") as journal:
                for number in range(shard.first, shard.stop):
                    await journal.claim([claim(number)])
                    if number < len(batches) - 1:
                        await journal.settle(accepted(batches[number]).outcome)
                    elif all_done:
                        await journal.settle(rejected(batches[number]).outcome)
            if shard.index < SHARDS - 1 or all_done:
                storage.create(done_name(shard.index), b"{}")

    asyncio.run(send())
    return storage


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended, for copies."""
    base = tmp_path_factory.mktemp("ended")
    begun(Storage.open(f"file://{base}/shared"), base / "planned")
    return base / "shared"


@pytest.fixture
def url(disk: Storage, ended: Path) -> str:
    """A run that has ended."""
    shutil.copytree(ended, disk.url.removeprefix("file://"))
    return disk.url


def test_status_tells_where_it_stands_under_its_own_name(cli: Cli, disk: Storage, tmp_path: Path) -> None:
    url = begun(disk, tmp_path / "planned", all_done=False).url

    told = cli("status", url)

    assert told.code == 0
    assert "batches    5 of 6 settled, 1 without an answer" in told.stdout
    assert "in doubt   2" in told.stdout
    assert told.stdout.endswith("shards     2 done · 1 stopped\n")
    assert f"broadcaster resume {url}" in told.stderr

    summary = cli("status", url, "--json").json
    assert summary["run_dir"] == url
    assert summary["deliveries"] == {"accepted": 10, "rejected": 0, "in_doubt": 2, "pending": 0, "excluded": 1}


async def test_while_it_is_sent_it_looks_like_a_run_that_somebody_works_on(
    cli: Cli, disk: Storage, tmp_path: Path
) -> None:
    url = (await asyncio.to_thread(begun, disk, tmp_path / "planned", all_done=False)).url
    owner = f"process {os.getpid()} on "
    async with PartsJournal(disk, shard=2, epoch=take(disk, 2, idle_s=0), version="test"):
        status = await asyncio.to_thread(cli, "status", url)
        verify = await asyncio.to_thread(cli, "verify", url)
        report = await asyncio.to_thread(cli, "report", url, "--format", "json")

    assert f"state      sending: {owner}" in status.stdout
    assert status.stdout.endswith("shards     2 done · 1 sending\n")
    assert "broadcaster resume" not in status.stderr
    assert (verify.code, verify.stderr.startswith(f"Error: {url} is in use by {owner}")) == (75, True)
    assert report.code == 0


def test_verify_proves_it_before_and_after_a_manifest_was_made(cli: Cli, url: str, disk: Storage) -> None:
    before = cli("verify", url)
    assert (before.code, disk.exists("manifest.parquet")) == (0, False)
    made = cli("manifest", url)
    assert (made.code, made.stdout) == (0, f"{url}/manifest.parquet\n")
    after = cli("verify", url)

    assert after.code == 0
    assert after.stdout == before.stdout
    assert "13 manifest rows = 10 accepted + 2 rejected + 0 in doubt + 0 pending + 1 excluded" in after.stdout


def test_verify_looks_at_the_manifest_that_is_there(cli: Cli, url: str, disk: Storage) -> None:
    cli("manifest", url)
    content = disk.read("manifest.parquet") or b""
    middle = len(content) // 3
    disk.replace("manifest.parquet", content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    told = cli("verify", url)

    assert told.code == 74
    assert f"{url}/manifest.parquet" in told.stderr


def test_manifest_puts_everything_where_all_machines_find_it(cli: Cli, url: str, disk: Storage) -> None:
    assert cli("manifest", url, "--json").json["run_dir"] == url

    shared = Path(disk.url.removeprefix("file://"))
    assert [row["status"] for row in rows(shared)].count("accepted") == 10
    assert (shared / "failed.csv").read_text().count("\n") == 3
    assert (shared / "excluded.csv").read_text().count("\n") == 2
    assert json.loads((shared / "summary.json").read_text())["run_dir"] == url


def test_report_is_put_there_and_printed(cli: Cli, url: str, disk: Storage) -> None:
    told = cli("report", url)
    assert (told.code, told.stdout) == (0, f"{url}/report.html\n")
    assert b"spring-sale" in (disk.read("report.html") or b"")

    figures = json.loads(cli("report", url, "--format", "json").stdout)
    assert figures["run_dir"] == url


def test_trace_tells_of_one_recipient(cli: Cli, url: str) -> None:
    told = cli("trace", url, "--row", "12")
    assert told.code == 0
    assert "excluded   invalid_number" in told.stdout

    nobody = cli("trace", url, "--row", "99")
    assert (nobody.code, nobody.stderr) == (
        2,
        f"Error: the list of {url} has no row 99; its 13 rows count from 0\n",
    )


def test_nothing_is_left_of_what_was_looked_at(cli: Cli, url: str, tmp_path: Path) -> None:
    place = tmp_path / "scratch"
    place.mkdir()
    for command in ("status", "verify", "manifest", "report"):
        assert cli(command, url, env={"TMPDIR": str(place)}).code == 0

    assert list(place.iterdir()) == []


def test_a_bucket_serves_as_well(cli: Cli, s3: S3, tmp_path: Path) -> None:
    storage = begun(Storage.open(f"s3://{BUCKET}/looking"), tmp_path / "planned")
    cli.environment.update(s3.environment)

    assert cli("report", storage.url).stdout == f"s3://{BUCKET}/looking/report.html\n"


def test_a_damaged_part_is_named(cli: Cli, url: str, disk: Storage) -> None:
    name = part_name(1, 0, 2)
    disk.replace(name, (disk.read(name) or b"")[:-1])

    for command in ("status", "verify", "report", "manifest"):
        told = cli(command, url)
        assert (told.code, f"{url}/{name} is damaged" in told.stderr) == (74, True)


WRONG = {
    "memory://run": "does not keep what several machines rely on",
    "file:///nowhere/at/all": "holds no shared run",
    "gs://bucket/run": "pip install gcsfs",
    "s3://bucket": "names a bucket only",
}


@pytest.mark.parametrize(("address", "why"), WRONG.items(), ids=WRONG)
def test_an_address_that_is_none_is_a_sentence(cli: Cli, address: str, why: str) -> None:
    told = cli("status", address)

    assert told.code == 2
    assert why in told.stderr


REFUSED: dict[str, list[str]] = {
    "purge": ["--yes"],
    "resolve": [],
    "reconcile": [],
    "retry-failed": [],
    "cancel": [],
    "serve": [],
}


@pytest.mark.parametrize(("command", "more"), REFUSED.items(), ids=REFUSED)
def test_what_needs_a_directory_of_this_machine_says_what_helps(cli: Cli, command: str, more: list[str]) -> None:
    told = cli(command, *more, "s3://user:secret@bucket/run")

    assert told.code == 2
    assert told.stderr.startswith(f"Error: 'broadcaster {command}' works on a run directory of this machine, and s3://")
    assert "several share; " in told.stderr
    assert "secret" not in told.stderr
