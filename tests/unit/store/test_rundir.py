"""The layout of a run directory, who may read it, and its lock."""

import json
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broadcaster.errors import ConfigError, ExitCode, RunLocked, StoreError
from broadcaster.store import rundir
from broadcaster.store.rundir import RunDir, campaign_dir, filesystem

HOLD = """
import pathlib, sys
from broadcaster.store.rundir import RunDir
with RunDir(pathlib.Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""
TRY = """
import pathlib, sys
from broadcaster.errors import RunLocked
from broadcaster.store.rundir import RunDir
try:
    with RunDir(pathlib.Path(sys.argv[1])).locked():
        print("held")
except RunLocked as error:
    print(error.sentence)
"""


@contextmanager
def another_process_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "runs" / "spring-sale")
    made.create()
    return made


def test_a_new_directory_is_its_owners_alone(run_dir: RunDir) -> None:
    assert run_dir.path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_is_there_is_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    RunDir(tmp_path).create()

    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="Not a directory"):
        RunDir(tmp_path / "file" / "run").create()


def test_parts_are_numbered_from_the_second_on(tmp_path: Path) -> None:
    here = RunDir(tmp_path)

    assert [path.name for path in (here.head(0), here.rows(0), here.batches(0))] == [
        "plan.json",
        "plan.parquet",
        "batches.parquet",
    ]
    assert [path.name for path in (here.head(2), here.rows(2), here.batches(2))] == [
        "plan-2.json",
        "plan-2.parquet",
        "batches-2.parquet",
    ]


def test_a_directory_without_a_plan_is_refused_where_one_is_needed(run_dir: RunDir) -> None:
    with pytest.raises(ConfigError, match="holds no plan"):
        run_dir.require_planned()
    with pytest.raises(ConfigError, match="no such run directory"):
        RunDir(run_dir.path / "none").require_planned()
    run_dir.head(0).touch()
    run_dir.require_planned()


@pytest.mark.parametrize(
    ("mode", "name"),
    [("live", "spring-sale"), ("sandbox", "spring-sale.sandbox"), ("simulated", "spring-sale.simulated")],
)
def test_other_modes_than_live_have_a_directory_of_their_own(mode: str, name: str) -> None:
    assert campaign_dir(Path("runs"), "spring-sale", mode) == Path("runs") / name


# ---- the lock --------------------------------------------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_holds_the_lock(run_dir: RunDir) -> None:
    with another_process_holds(run_dir.path) as holder:
        for _ in range(2):  # asking must not wipe the holder's name out
            with pytest.raises(RunLocked) as refused, run_dir.locked():
                pass
            assert f"in use by process {holder.pid} on " in refused.value.sentence
        assert refused.value.exit_code is ExitCode.STOPPED
        assert run_dir.is_in_use()
        assert f"process {holder.pid} on " in (run_dir.holder() or "")


def test_a_lock_that_we_hold_is_refused_to_another_process(run_dir: RunDir) -> None:
    with run_dir.locked():
        done = subprocess.run(
            [sys.executable, "-c", TRY, str(run_dir.path)], capture_output=True, text=True, check=True
        )
    again = subprocess.run([sys.executable, "-c", TRY, str(run_dir.path)], capture_output=True, text=True, check=True)

    assert "is in use by process" in done.stdout
    assert again.stdout == "held\n"


def test_the_lock_is_free_when_its_holder_was_killed(run_dir: RunDir) -> None:
    with another_process_holds(run_dir.path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait()

        assert not run_dir.is_in_use()
        with run_dir.locked():
            assert run_dir.is_in_use()
    assert not run_dir.is_in_use()


def test_the_lock_is_free_after_an_error_inside(run_dir: RunDir) -> None:
    with pytest.raises(RuntimeError, match="inside"), run_dir.locked():
        raise RuntimeError("inside")

    assert not run_dir.is_in_use()


def test_the_lock_file_is_its_owners_alone(run_dir: RunDir) -> None:
    with run_dir.locked():
        assert run_dir.lock.stat().st_mode & 0o777 == 0o600
    assert not run_dir.is_in_use()
    assert run_dir.lock.stat().st_mode & 0o777 == 0o600


def test_a_directory_without_a_lock_file_is_not_in_use_and_asking_makes_none(run_dir: RunDir) -> None:
    assert not run_dir.is_in_use()
    assert run_dir.holder() is None
    assert list(run_dir.path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"since": "x"})])
def test_a_lock_file_that_names_nobody_is_no_error(run_dir: RunDir, content: str) -> None:
    run_dir.lock.write_text(content, encoding="utf-8")

    assert run_dir.holder() is None


def test_a_lock_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match=r"file/run\.lock: "), RunDir(tmp_path / "file").locked():
        pass


# ---- the file system -------------------------------------------------------------------------------------------------

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /run tmpfs rw 0 0
server:/export /mnt/shared nfs4 rw 0 0
server:/other /mnt/shared\\040files cifs rw 0 0
/dev/vdb /mnt/shared/local xfs rw 0 0
first /mnt/twice tmpfs rw 0 0
second /mnt/twice 9p rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/home/runs", "ext4", id="the root"),
        pytest.param("/run/x", "tmpfs", id="a mount point's inside"),
        pytest.param("/mnt/shared", "nfs4", id="a mount point itself"),
        pytest.param("/mnt/shared/runs/a", "nfs4", id="deep inside"),
        pytest.param("/mnt/shared/local/runs", "xfs", id="the longest mount point counts"),
        pytest.param("/mnt/sharedness", "ext4", id="a name that only begins alike"),
        pytest.param("/mnt/shared files/x", "cifs", id="a space is written as an escape"),
        pytest.param("/mnt/twice/x", "9p", id="the last of two mounts on one point counts"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount_point(path: str, kind: str) -> None:
    assert filesystem(Path(path), mounts=MOUNTS) == kind


def test_without_mounts_nothing_is_known() -> None:
    assert filesystem(Path("/x"), mounts="") is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(rundir, "filesystem", lambda _path: kind)

    with pytest.raises(ConfigError, match=rf"network file system \({kind}\).*--run-dir"):
        RunDir(tmp_path / "run").create()


@pytest.mark.parametrize("kind", ["ext4", "apfs", "tmpfs", None])
def test_a_local_or_unknown_file_system_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    monkeypatch.setattr(rundir, "filesystem", lambda _path: kind)
    RunDir(tmp_path / "run").create()

    assert (tmp_path / "run").is_dir()


def test_what_a_killed_process_left_half_done_goes_when_the_next_takes_the_lock(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    (tmp_path / ".broadcaster-rows").write_text("half")
    (tmp_path / ".broadcaster-manifest-abc").mkdir()
    (tmp_path / ".broadcaster-manifest-abc" / "0-0.arrows").write_text("half")
    (tmp_path / ".env").write_text("somebody else's")
    (tmp_path / "plan.json").write_text("{}")
    with run_dir.locked():
        assert sorted(path.name for path in tmp_path.iterdir()) == [".env", "plan.json", "run.lock"]


def test_a_directory_with_somebody_elses_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigError, match="not empty"):
        RunDir(tmp_path).create()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
