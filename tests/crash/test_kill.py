"""A process that is really killed, again and again, and a ledger that says who was messaged."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.fiction import numbers
from support.simulator import PATIENCE_S, ROOT, Simulator

import broadcaster

SEED = 20261121
KILLS = 8
RECIPIENTS = 4_000
JOB = """
campaign = "kill"
[recipients]
file = "list.csv"
phone = "phone"
[message]
template_id = "3f2504e0-4f89-41d3-9a0c-0305e82c3302"
channels = ["sms"]
[limits]
requests_per_minute = 0
batch_size = 10
"""


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    (tmp_path / "list.csv").write_text("phone\n" + "\n".join(numbers(RECIPIENTS)) + "\n")
    (tmp_path / "job.toml").write_text(JOB)
    return tmp_path


def environment(workplace: Path, **extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
    here = {"HOME": str(workplace), "XDG_STATE_HOME": str(workplace / "state"), "PYTHONPATH": str(ROOT)}
    return {**kept, **here, **extra}


def start(workplace: Path, *words: str, **extra: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "broadcaster", *words]
    return subprocess.Popen(
        command,
        cwd=workplace,
        env=environment(workplace, **extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def ledger(state: Path) -> list[tuple[str, str]]:
    """Every message that the simulator ever created: id and recipient."""
    with closing(sqlite3.connect(f"{state.as_uri()}?mode=ro", uri=True, timeout=PATIENCE_S)) as db:
        return db.execute("SELECT message_id, recipient FROM message").fetchall()


def sent_so_far(state: Path) -> int:
    if not state.exists():
        return 0
    with closing(sqlite3.connect(f"{state.as_uri()}?mode=ro", uri=True, timeout=PATIENCE_S)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM message").fetchone()[0])
        except sqlite3.OperationalError:  # it is being made
            return 0


def kill_when(process: "subprocess.Popen[bytes]", reached: Callable[[], bool]) -> bool:
    """Kill *process* when something is *reached*; return whether it was still alive."""
    until = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < until, "the run stands still"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
            return False
    process.send_signal(signal.SIGKILL)
    return process.wait(PATIENCE_S) == -signal.SIGKILL


def assert_nobody_twice_nobody_lost(run_dir: Path, state: Path) -> None:
    sent = ledger(state)
    assert len(sent) == RECIPIENTS
    assert sorted(number for _, number in sent) == sorted(numbers(RECIPIENTS))
    manifest = broadcaster.read_manifest(run_dir)
    assert set(manifest["status"]) == {"accepted"}
    assert set(zip(manifest["message_id"], manifest["to"], strict=True)) == set(sent)


def test_killed_at_random_times_nobody_is_messaged_twice_and_nobody_is_lost(workplace: Path) -> None:
    """The API lives on while the runner dies: what was in flight is executed without anybody hearing the answer."""
    chance = random.Random(SEED)
    run_dir = workplace / "runs" / "kill"
    with Simulator(faults=[{"do": "drop_after_accept", "share": 0.02}], seed=SEED) as api:
        reach = {"SENT_BASE_URL": api.url, "SENT_DM_API_KEY": api.key}
        assert start(workplace, "plan", "job.toml", **reach).wait(PATIENCE_S) == 0
        killed = 0
        for round_number in range(KILLS):
            target = (round_number * RECIPIENTS) // (KILLS + 1) + chance.randrange(1, RECIPIENTS // (KILLS + 1))
            process = start(workplace, "resume", "runs/kill", "--yes", **reach)
            killed += kill_when(process, lambda: sent_so_far(api.state) >= target)  # noqa: B023 - called at once
        assert killed == KILLS
        assert start(workplace, "resume", "runs/kill", "--yes", **reach).wait(PATIENCE_S) == 0
        assert_nobody_twice_nobody_lost(run_dir, api.state)
        assert start(workplace, "verify", "runs/kill").wait(PATIENCE_S) == 0
        before = len(api.requests())
        assert start(workplace, "resume", "runs/kill", "--yes", **reach).wait(PATIENCE_S) == 0
        assert len(api.requests()) == before, "a finished run asks the API nothing"


def test_killed_with_its_embedded_simulator_the_run_goes_on_and_finishes(workplace: Path) -> None:
    """The old simulator may still be ending when the next run starts a new one on the same file."""
    run_dir = workplace / "runs" / "kill.simulated"
    state = run_dir / "simulator.sqlite"
    for round_number in range(3):
        process = start(workplace, "run", "job.toml", "--simulate", "--yes")
        target = (round_number + 1) * RECIPIENTS // 5
        assert kill_when(process, lambda: sent_so_far(state) >= target)  # noqa: B023 - called at once
    assert start(workplace, "run", "job.toml", "--simulate", "--yes").wait(PATIENCE_S) == 0
    assert_nobody_twice_nobody_lost(run_dir, state)
    assert start(workplace, "verify", str(run_dir)).wait(PATIENCE_S) == 0


def test_a_kill_before_the_plan_is_frozen_leaves_nothing_that_counts(workplace: Path) -> None:
    run_dir = workplace / "runs" / "kill.simulated"
    process = start(workplace, "run", "job.toml", "--simulate", "--yes")
    assert kill_when(process, run_dir.exists)
    assert start(workplace, "run", "job.toml", "--simulate", "--yes").wait(PATIENCE_S) == 0
    assert_nobody_twice_nobody_lost(run_dir, run_dir / "simulator.sqlite")
