"""A disk that is full, fails, or may not be written: nothing leaves without its claim, and later the run goes on.

Small disks are real ones; single writes and syncs are made to fail by the tracer, so that each file has its turn.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, Result, matches
from support.fiction import numbers
from support.simulator import Simulator
from support.smalldisk import SmallDisk, why_no_disk
from support.syscalls import failing, why_untraced
from support.wrapped import Wrapped

from broadcaster.app.inspect import verify
from broadcaster.store.facts import Facts
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

RUN_DIR = "runs/acceptance"
ROOMY = 16 << 20  # bytes: more than any run here takes
_GO = ("run", "job.toml", "--yes")
_GO_ON = ("resume", RUN_DIR, "--yes")


@pytest.fixture(scope="module")
def api() -> Iterator[Simulator]:
    with Simulator(key=KEY, lifecycle_speed=0) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def people() -> Iterator[str]:
    """Numbers that no test of the module has had yet."""
    return iter(numbers(9_000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a user of their own, at an API that all tests share."""

    cli: Cli
    api: Simulator
    to: list[str]
    asked_before: int

    @property
    def path(self) -> Path:
        return self.cli.home / RUN_DIR

    def keys(self) -> list[str]:
        """Return the keys of this run's requests to send, as the API received them."""
        return [each["key"] for each in self.api.requests()[self.asked_before :] if each["method"] == "POST"]

    def messages(self) -> list[dict[str, Any]]:
        """Return the API's messages to this run's people."""
        mine = set(self.to)
        return [each for each in self.api.messages() if each["recipient"] in mine]

    def check_claims(self, left: Path) -> None:
        """Fail when the API received a key of which the journal in *left* knows nothing: its claim had failed."""
        received = set(self.keys())
        if received:
            plan = Plan.open(RunDir(left))
            facts = Facts.read(plan)
            known = plan.fetch([*facts.claims, *facts.settled])
            assert received <= {batch.key for batch in known.values()}

    def check_end(self, ended: Path) -> None:
        """Fail unless everybody was messaged once, everything is accounted for, and nothing half done is left."""
        matches(ended, self.messages())
        assert len(self.messages()) == len(self.to)
        _, counts = verify(ended)
        assert (counts["accepted"], counts["total"]) == (len(self.to), len(self.to) + 1)
        assert [each.name for each in ended.iterdir() if each.name.startswith(".")] == []


Begin = Callable[[int], Run]


@pytest.fixture
def begin(tmp_path: Path, api: Simulator, people: Iterator[str]) -> Begin:
    """Return how a run of so many people, and of a row that is nobody's number, is prepared."""

    def begin(recipients: int) -> Run:
        cli = Cli(tmp_path)
        to = list(islice(people, recipients))
        cli.people([*to, "12"])
        cli.job(limits={"batch_size": 5, "concurrency": 4})
        cli.use(api)
        api.set_faults([])
        return Run(cli=cli, api=api, to=to, asked_before=len(api.requests()))

    return begin


@pytest.fixture
def _traceable() -> None:
    if (why := why_untraced()) is not None:
        pytest.skip(why)


@pytest.fixture
def _small_disks() -> None:
    if (why := why_no_disk()) is not None:
        pytest.skip(why)


def refused(ended: Result, *, naming: str) -> None:
    """Fail unless a command said in its last line which file it could not write and what to do."""
    assert ended.code == 74, ended.stderr
    said = ended.stderr.splitlines()[-1]
    assert said.startswith("Error: ")
    assert naming in said
    assert "make room or allow writing, then run" in said
    assert ended.stdout == ""


# ---- a disk without room ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_small_disks")
@pytest.mark.parametrize(
    ("kilobytes", "may_send"),
    [
        pytest.param(12, False, id="no room for the plan"),
        pytest.param(64, False, id="no room for the journal"),
        pytest.param(200, True, id="no room for more than a few claims"),
        pytest.param(640, True, id="no room in the middle of the run"),
    ],
)
def test_on_a_full_disk_the_run_stops_and_with_more_room_it_ends(
    begin: Begin, tmp_path: Path, kilobytes: int, *, may_send: bool
) -> None:
    run = begin(1_200)
    with SmallDisk(tmp_path / "runs", size=kilobytes << 10) as disk:
        inside = Wrapped(run.cli, disk.entering)
        refused(inside(*_GO), naming=RUN_DIR)
        assert len(run.keys()) < 240
        assert may_send or not run.keys()
        left = copied(disk.inside(run.path), tmp_path / "left")
        run.check_claims(left)
        disk.resize(ROOMY)
        ended = inside(*(_GO_ON if (left / "plan.json").exists() else _GO))
        assert ended.code == 0, ended.stderr
        run.check_end(copied(disk.inside(run.path), tmp_path / "ended"))


def copied(run_dir: Path, to: Path) -> Path:
    """Return a copy of a run directory on a disk that only its commands see."""
    return Path(shutil.copytree(run_dir, to))


@pytest.mark.usefixtures("_small_disks")
def test_a_disk_that_stays_full_is_refused_again_and_nobody_else_is_messaged(begin: Begin, tmp_path: Path) -> None:
    run = begin(600)
    with SmallDisk(tmp_path / "runs", size=300 << 10) as disk:
        inside = Wrapped(run.cli, disk.entering)
        refused(inside(*_GO), naming="journal.sqlite")
        sent = set(run.keys())
        there = disk.inside(tmp_path / "runs")
        (there / "ballast").write_bytes(bytes(shutil.disk_usage(there).free))
        refused(inside(*_GO_ON), naming=RUN_DIR)
        refused(inside("manifest", RUN_DIR), naming=RUN_DIR)
        assert set(run.keys()) == sent  # what was in doubt may have gone again, under its key


def test_no_file_may_be_larger_than_so(begin: Begin) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed")
    run = begin(600)
    refused(Wrapped(run.cli, ["prlimit", f"--fsize={96 << 10}", "--"])(*_GO), naming="journal.sqlite")
    run.check_claims(run.path)
    assert 0 < len(run.keys()) < 120
    assert run.cli(*_GO).code == 0
    run.check_end(run.path)


# ---- a disk that fails -----------------------------------------------------------------------------------------------

_IN = f"{RUN_DIR}/"
# File, system call, error, from which call on (of each thread), and how many requests may have left by then.
FAILING = [
    pytest.param(f"{_IN}.broadcaster-rows", "write", "ENOSPC", 1, 0, id="what planning puts aside"),
    pytest.param(f"{_IN}plan.parquet", "fsync", "EIO", 1, 0, id="the plan, which does not reach the disk"),
    pytest.param(f"{_IN}.broadcaster-journal.sqlite", "pwrite64", "ENOSPC", 5, 0, id="half of a new journal"),
    pytest.param(f"{_IN}journal.sqlite-shm", "ftruncate", "ENOSPC", 1, 0, id="the journal's index"),
    pytest.param(".state/broadcaster/campaigns.sqlite", "pwrite64", "ENOSPC", 1, 0, id="the registry of campaigns"),
    pytest.param(f"{_IN}journal.sqlite-wal", "pwrite64", "ENOSPC", 4, 7, id="the first claim"),
    pytest.param(f"{_IN}journal.sqlite-wal", "fdatasync", "EIO", 3, 7, id="facts that do not reach the disk"),
    pytest.param(f"{_IN}.broadcaster-manifest.parquet", "write", "ENOSPC", 1, 8, id="the manifest"),
    pytest.param(f"{_IN}.broadcaster-summary.json", "write", "ENOSPC", 1, 8, id="the summary"),
]


@pytest.mark.usefixtures("_traceable")
@pytest.mark.parametrize(("file", "call", "error", "nth", "most"), FAILING)
def test_whatever_cannot_be_written_the_run_stops_and_later_it_ends(
    begin: Begin, file: str, call: str, error: str, nth: int, most: int
) -> None:
    run = begin(40)
    named = Path(file).name.removeprefix(".broadcaster-").removesuffix("-wal").removesuffix("-shm")
    refused(Wrapped(run.cli, failing(run.cli.home / file, call=call, error=error, nth=nth))(*_GO), naming=named)
    assert len(run.keys()) <= most
    run.check_claims(run.path)
    ended = run.cli(*_GO)
    assert ended.code == 0, ended.stderr
    run.check_end(run.path)


@pytest.mark.usefixtures("_traceable")
def test_a_new_journal_has_no_file_beside_it_that_a_crash_could_leave_for_somebody_to_undo(begin: Begin) -> None:
    """Who only reads may not undo it: every command would be refused from then on."""
    run = begin(40)
    beside = run.path / "journal.sqlite-journal"
    assert Wrapped(run.cli, failing(beside, call="fdatasync", error="EIO", nth=1))(*_GO).code == 0
    run.check_end(run.path)


@pytest.mark.usefixtures("_traceable")
def test_a_journal_that_cannot_be_folded_up_is_whole_all_the_same(begin: Begin) -> None:
    """At its end a run lays its log into the journal; where that fails the log stays, and nothing is lost."""
    run = begin(40)
    journal = run.path / "journal.sqlite"
    assert Wrapped(run.cli, failing(journal, call="pwrite64", error="ENOSPC", nth=1))(*_GO).code == 0
    assert (run.path / "journal.sqlite-wal").stat().st_size
    run.check_end(run.path)


# ---- a disk that may not be written, or that is none -----------------------------------------------------------------

_HALFWAY = [{"on": "POST /v3/messages", "nth": [3], "do": "status", "status": 402, "code": "BUSINESS_003"}]


@pytest.mark.usefixtures("_small_disks")
def test_on_a_disk_that_may_only_be_read_nothing_is_begun_and_a_run_can_be_looked_at(
    begin: Begin, tmp_path: Path
) -> None:
    run = begin(40)
    with SmallDisk(tmp_path / "runs", size=ROOMY) as disk:
        inside = Wrapped(run.cli, disk.entering)
        disk.forbid_writing()
        refused(inside(*_GO), naming=f"{RUN_DIR}: Read-only file system")
        disk.allow_writing()
        run.api.set_faults(_HALFWAY)
        assert inside(*_GO).code == 5
        sent = len(run.keys())
        disk.forbid_writing()
        refused(inside(*_GO_ON), naming="Read-only file system")
        shown = inside("status", RUN_DIR)
        assert shown.code == 0, shown.stderr
        assert "sending" not in shown.stdout, "nobody works where nobody can write"
        assert len(run.keys()) == sent
        disk.allow_writing()
        assert inside(*_GO_ON).code == 0
        run.check_end(copied(disk.inside(run.path), tmp_path / "ended"))


def test_a_network_file_system_is_refused_with_the_reason(begin: Begin) -> None:
    run = begin(40)
    run.api.set_faults(_HALFWAY)
    assert run.cli(*_GO).code == 5
    sent = len(run.keys())
    elsewhere = Wrapped(run.cli, module=("support.mounted", "nfs4"))
    for command in (_GO_ON, ("plan", "job.toml", "--run-dir", "runs/new")):
        ended = elsewhere(*command)
        assert ended.code == 2, ended.stderr
        assert "is on a network file system (nfs4), where locks and the journal are not safe" in ended.stderr
        assert "choose a local directory with --run-dir" in ended.stderr
    assert len(run.keys()) == sent
    assert run.cli(*_GO_ON).code == 0
    run.check_end(run.path)
