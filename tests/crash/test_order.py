"""What reaches the disk before what leaves: system calls in their order, because SIGKILL does not show a missing sync.

At every ``POST /v3/messages`` the power "fails": from the system calls so far we lay out what the disk would hold, and
ask the program itself what it finds there.
"""

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.cli import KEY, Cli, sends
from support.powercut import Disk
from support.simulator import Simulator
from support.syscalls import Call, read_trace, tracer, why_untraced
from support.wrapped import Wrapped

from broadcaster.errors import BroadcasterError
from broadcaster.store.facts import Facts
from broadcaster.store.parquet import reading
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

PEOPLE = 24
BATCHES = 12
RUN_DIR = "runs/acceptance"
_SENDS = frozenset({"write", "writev", "send", "sendto", "sendmsg", "sendmmsg"})
_KEY = re.compile(rb"\r\nIdempotency-Key: ([^\r]+)\r\n", re.IGNORECASE)
_FILES = {"plan.json", "plan.parquet", "batches.parquet", "journal.sqlite", "journal.sqlite-wal"}


@pytest.fixture(scope="module", autouse=True)
def _traceable() -> None:
    if (why := why_untraced()) is not None:
        pytest.skip(why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """A run that was traced: its user, its system calls, and the keys that the API received."""

    cli: Cli
    calls: list[Call]
    received: list[str]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    return trace(tmp_path_factory.mktemp("traced"))


def trace(home: Path, *module: str) -> Traced:
    """Send to everybody with *module*, or with the program as it is."""
    cli = Cli(home)
    cli.people(PEOPLE)
    cli.job(limits={"batch_size": PEOPLE // BATCHES, "concurrency": 4})
    where = home / "trace"
    faults = [{"on": "POST /v3/messages", "nth": [3], "do": "status", "status": 503, "code": "SERVICE_001"}]
    with Simulator(key=KEY, faults=faults) as sim:
        cli.use(sim)
        ended = Wrapped(cli, tracer(where), module=module or ("broadcaster",))("run", "job.toml", "--yes")
        assert ended.code == 0, ended.stderr
        return Traced(cli=cli, calls=read_trace(where), received=[each["key"] for each in sends(sim)])


def files(disk: Disk) -> dict[str, bytes]:
    """Return the run's files as they are on disk, by name."""
    return {Path(path).name: content for path, content in disk.files().items()}


def posts(run: Traced) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the key of every request to send, with the run's files as they are on disk when its first byte leaves."""
    disk = Disk(run.cli.home / RUN_DIR, home=run.cli.home)
    for call in disk.follow(run.calls):
        if call.name in _SENDS and (said := b"".join(call.strings)).startswith(b"POST /v3/messages "):
            found = _KEY.search(said)
            assert found is not None, "a request to send without a key"
            yield found[1].decode(), files(disk)


def facts_of(found: dict[str, bytes]) -> tuple[Plan, Facts]:
    """Return what a run would know that began with these files.

    Raises:
        BroadcasterError: when it would refuse them.
    """
    with tempfile.TemporaryDirectory() as directory:
        for name in _FILES & found.keys():
            Path(directory, name).write_bytes(found[name])
        plan = Plan.open(RunDir(Path(directory)))
        return plan, Facts.read(plan)


def unprotected(run: Traced) -> list[str]:
    """Return the keys that left before their claim was on disk."""
    with reading(run.cli.home / RUN_DIR / "batches.parquet") as file:
        key_of = dict(enumerate(file.read(["idempotency_key"])["idempotency_key"].to_pylist()))
    left = []
    for key, found in posts(run):
        try:
            _, facts = facts_of(found)
            known = {key_of[batch] for batch in (*facts.claims, *facts.settled)}
        except BroadcasterError:
            known = set()
        if key not in known:
            left.append(key)
    return left


def test_no_request_leaves_before_its_claim_is_on_disk(traced: Traced) -> None:
    seen = [key for key, _ in posts(traced)]
    assert sorted(seen) == sorted(traced.received), "a request left by a way that this test does not see"
    assert (len(seen), len(set(seen))) == (BATCHES + 1, BATCHES)
    assert unprotected(traced) == []


def test_no_request_leaves_before_its_plan_is_on_disk(traced: Traced) -> None:
    frozen = {
        name: (traced.cli.home / RUN_DIR / name).read_bytes()
        for name in ("plan.json", "plan.parquet", "batches.parquet")
    }
    for _, found in posts(traced):
        assert {name: found.get(name) for name in frozen} == frozen


def test_what_a_finished_run_left_is_on_disk(traced: Traced) -> None:
    """An exit code of 0 is a promise that no power cut takes back."""
    disk = Disk(traced.cli.home / RUN_DIR, home=traced.cli.home)
    assert [call for call in disk.follow(traced.calls) if "POST " in call.arguments]
    left = files(disk)
    for name in ("manifest.parquet", "summary.json"):
        assert left[name] == (traced.cli.home / RUN_DIR / name).read_bytes()
    plan, facts = facts_of(left)
    assert len(facts.settled) == plan.batches == BATCHES


@pytest.mark.parametrize("mutant", ["synchronous_off", "no_claim"])
def test_this_check_would_see(tmp_path: Path, mutant: str) -> None:
    run = trace(tmp_path, "support.broken", f"mutant:{mutant}", "--")
    assert len(run.received) > BATCHES
    assert len(unprotected(run)) > BATCHES // 2
