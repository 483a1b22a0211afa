"""Torn logs and flipped bits: a run goes on and is right, or it refuses and says why; ``verify`` names what is wrong.

A run is stopped in its middle, and another is let to its end; then copies of them are damaged, hundreds of times. All
go on at the same API, which remembers every key: a batch that is sent again with its key is answered as before, and
with any other key or body there are messages too many.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, Result, matches, once, rows
from support.damage import Kept, flips
from support.inprocess import call
from support.simulator import Simulator
from support.wrapped import Wrapped

import broadcaster
from broadcaster.errors import StoreDamaged

SEED = 20261121
RUN_DIR = "runs/acceptance"
WHO, NOBODY = 40, "12"
_KILLED = "broadcaster.store.writer:JournalWriter.claim:after:4"
_HEADER, _FRAME = 32, 24 + 4096  # bytes of SQLite's log


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A run with everything in it: a split, claims without an answer, a batch that was never claimed."""

    cli: Cli
    api: Simulator
    people: set[str]
    killed: Kept  # with its log
    stopped: Kept  # the same, the log laid into the journal
    ended: Kept
    manifest: list[dict[str, Any]]

    @property
    def path(self) -> Path:
        return self.cli.home / RUN_DIR

    def right(self) -> str | None:
        """Return what is wrong with a run that says it has ended, or ``None``."""
        try:
            matches(self.path, self.api.messages())
        except AssertionError as error:
            return f"manifest and ledger differ: {error}"
        ours = [(row["input_row"], row["to"], row["status"], row["message_id"]) for row in rows(self.path)]
        theirs = [(row["input_row"], row["to"], row["status"], row["message_id"]) for row in self.manifest]
        return None if ours == theirs else "the manifest is not what it is without the damage"

    def honest(self) -> str | None:
        """Return what is wrong with a run that has forgotten a refusal and leaves a batch in doubt, or ``None``."""
        sent = {each["message_id"]: each["recipient"] for each in self.api.messages()}
        left = {row["to"]: row for row in rows(self.path) if row["status"] != "excluded"}
        if any(row["status"] == "accepted" and sent.get(row["message_id"]) != row["to"] for row in left.values()):
            return "somebody is accepted of whom the ledger knows nothing"
        if any(left[to]["status"] not in {"accepted", "in_doubt"} for to in sent.values()):
            return "somebody was messaged, and the manifest does not say so"
        return None

    def harmless(self) -> None:
        """Fail when somebody was messaged twice, or somebody who is not on the list."""
        once(self.api.messages())
        assert {each["recipient"] for each in self.api.messages()} <= self.people

    def goes_on_or_refuses(self, where: str) -> int:
        """Go on with the run as it lies there; fail unless that is right or refused. Return the exit code."""
        ended = call(self.cli, "resume", RUN_DIR, "--yes")
        self.harmless()
        if ended.code in {3, 4}:  # one was refused by name; or that was forgotten, and cannot be asked again
            wrong = self.right() if ended.code == 3 else self.honest()
            assert wrong is None, f"{where}: {wrong}"
        else:
            refused(ended, where)
        return ended.code


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    cli = Cli(tmp_path_factory.mktemp("damage"))
    to = cli.people(WHO)
    cli.people([*to, NOBODY])
    cli.job(limits={"batch_size": 5, "concurrency": 2})
    state = cli.home / ".state" / "broadcaster"
    with Simulator(key=KEY, refuse_number=[to[2]], lifecycle_speed=0) as api:
        cli.use(api)
        died = Wrapped(cli, module=("support.broken", _KILLED, "--"))("run", "job.toml", "--yes")
        assert died.code == -9, died.stderr
        run_dir = cli.home / RUN_DIR
        killed = Kept.of(run_dir, state)
        with closing(sqlite3.connect(run_dir / "journal.sqlite")) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        stopped = Kept.of(run_dir, state)
        assert cli("resume", RUN_DIR, "--yes").code == 3
        statuses = Counter(row["status"] for row in rows(run_dir))
        assert statuses == {"accepted": WHO - 1, "rejected": 1, "excluded": 1}
        yield Scene(
            cli=cli,
            api=api,
            people=set(to),
            killed=killed,
            stopped=stopped,
            ended=Kept.of(run_dir, state),
            manifest=rows(run_dir),
        )


def refused(ended: Result, where: str) -> None:
    """Fail unless a command said in one sentence that something is damaged, or is not its own."""
    assert ended.code in {74, 78}, f"{where}: exit code {ended.code}, {ended.stderr}"
    assert any(line.startswith(("Error: ", "Stopped: ")) for line in ended.stderr.splitlines()), where
    assert ended.stdout == "", where


# ---- a log that is torn ----------------------------------------------------------------------------------------------


def torn(log: bytes) -> dict[str, bytes]:
    """Return a log cut off at the ends of frames, beside them and inside them, and with rubbish after its end."""
    frames = range(_HEADER, len(log) + 1, _FRAME)
    cuts = {0, 10, *frames[::3], *(at - 1 for at in frames[1::3]), *(at + 30 for at in frames[2::3])}
    found = {f"cut off at byte {at}": log[:at] for at in sorted(cuts) if at < len(log)}
    found |= {f"without its last {frames} frames": log[: -frames * _FRAME] for frames in (1, 2)}
    found["with zeroes after its end"] = log + bytes(_FRAME)
    found["with rubbish after its end"] = log + bytes(range(256)) * 20
    found["with an old frame after its end"] = log + log[_HEADER : _HEADER + _FRAME]
    found["with a last page of zeroes"] = log[:-4096] + bytes(4096)
    return found


def test_a_torn_log_is_what_a_crash_leaves_and_the_run_ends_well(scene: Scene) -> None:
    journal = scene.path / "journal.sqlite"
    log, index = Path(f"{journal}-wal"), Path(f"{journal}-shm")
    codes = Counter[int]()
    for how, left in torn(scene.killed.files[log]).items():
        scene.killed.lay_out({log: left, index: None})  # after a crash the index is made again
        codes[scene.goes_on_or_refuses(f"the log {how}")] += 1
    # 78: it has forgotten its own name, and the registry knows of parts of batches that it has forgotten too.
    assert codes.keys() <= {3, 4, 78}, "a log that only ends too early is no reason to refuse"
    assert codes[3]


def test_a_log_with_flipped_bits_ends_before_them(scene: Scene) -> None:
    journal = scene.path / "journal.sqlite"
    log, index = Path(f"{journal}-wal"), Path(f"{journal}-shm")
    codes = Counter[int]()
    for where, damaged in flips(scene.killed.files[log], count=12, seed=SEED):
        scene.killed.lay_out({log: damaged, index: None})
        codes[scene.goes_on_or_refuses(f"{where} of the log")] += 1
    assert codes[3] + codes[4], "what stands before the damage counts"


# ---- flipped bits ----------------------------------------------------------------------------------------------------

# File of a run that stopped halfway, how many bits, and how many of these must be noticed: far fewer than are, because
# ids and times differ from one run of the test to the next.
HALFWAY = [
    pytest.param("plan.json", 25, 20, id="the plan's head"),
    pytest.param("plan.parquet", 20, 20, id="the plan's rows"),
    pytest.param("batches.parquet", 20, 20, id="the plan's batches"),
    pytest.param("journal.sqlite", 45, 20, id="the journal"),
]


@pytest.mark.parametrize(("name", "count", "least"), HALFWAY)
def test_a_run_does_not_go_on_in_error_after_a_flipped_bit_in(scene: Scene, name: str, count: int, least: int) -> None:
    path = scene.path / name
    codes = Counter[int]()
    for where, damaged in flips(scene.stopped.files[path], count=count, seed=SEED):
        scene.stopped.lay_out({path: damaged})
        codes[scene.goes_on_or_refuses(f"{where} of {name}")] += 1
    assert codes[74] + codes[78] >= least, codes


# The same of a run that has ended. A journal's pages have room that nobody uses, and a Parquet file's foot has notes
# (minima, maxima, a second schema) from which no row is made.
ENDED = [
    pytest.param("plan.json", 30, 25, id="the plan's head"),
    pytest.param("plan.parquet", 20, 20, id="the plan's rows"),
    pytest.param("batches.parquet", 20, 20, id="the plan's batches"),
    pytest.param("journal.sqlite", 60, 35, id="the journal"),
    pytest.param("manifest.parquet", 50, 15, id="the manifest"),
]


@pytest.mark.parametrize(("name", "count", "least"), ENDED)
def test_verify_names_a_flipped_bit_in(scene: Scene, name: str, count: int, least: int) -> None:
    path = scene.path / name
    noticed = 0
    for where, damaged in flips(scene.ended.files[path], count=count, seed=SEED):
        scene.ended.lay_out({path: damaged})
        ended = call(scene.cli, "verify", RUN_DIR)
        if ended.code:
            refused(ended, f"{where} of {name}")
            noticed += 1
            continue
        wrong = scene.right()
        assert wrong is None, f"{where} of {name} went unnoticed, and {wrong}"
        assert call(scene.cli, "manifest", RUN_DIR).code == 0
        assert rows(scene.path) == scene.manifest, f"{where} of {name} went unnoticed"
    assert noticed >= least


def test_no_flipped_bit_of_a_manifest_is_read_as_something_else(scene: Scene) -> None:
    """Without checksums of pages most of them are read as other values."""
    scene.ended.lay_out()
    frame = broadcaster.read_manifest(scene.path)
    path = scene.path / "manifest.parquet"
    noticed = 0
    for where, damaged in flips(scene.ended.files[path], count=200, seed=SEED):
        path.write_bytes(damaged)
        try:
            found = broadcaster.read_manifest(scene.path)
        except StoreDamaged:
            noticed += 1
        else:
            assert found.equals(frame), f"{where} went unnoticed"
    assert noticed >= 60


@pytest.mark.parametrize("name", ["plan.json", "plan.parquet", "batches.parquet", "journal.sqlite"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_file_that_lost_its_end_is_refused(scene: Scene, name: str, left: float) -> None:
    path = scene.path / name
    content = scene.stopped.files[path]
    scene.stopped.lay_out({path: content[: int(len(content) * left)]})
    before = len(scene.api.requests())
    for command in (("verify", RUN_DIR), ("resume", RUN_DIR, "--yes"), ("run", "job.toml", "--yes")):
        refused(call(scene.cli, *command), f"{name} after {command[0]}")
    assert len(scene.api.requests()) == before
