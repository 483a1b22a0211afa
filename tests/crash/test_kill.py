"""A process that is killed at random moments, again and again, and a ledger that says who was messaged."""

import random
import sqlite3
from pathlib import Path

from support.campaign import KILLED, Begin
from support.chance import How, kill_when, live
from support.cli import Cli, embedded_ledger, matches, sends
from support.fiction import numbers
from support.simulator import Simulator

SEED = 20261121
LIVES = [How.PROGRESS, How.PROGRESS, How.PLACE, How.PROGRESS, How.MOMENT]


def test_killed_at_random_moments_nobody_is_messaged_twice_and_nobody_is_lost(begin: Begin, api: Simulator) -> None:
    """The API lives on while the runner dies: what was in flight is executed without anybody hearing the answer."""
    chance = random.Random(SEED)
    campaign = begin(
        1_200,
        faults=[{"on": "POST /v3/messages", "do": "drop_after_accept", "share": 0.02}],
        limits={"batch_size": 5},
    )
    killed = [live(campaign, chance, how) for how in LIVES]
    assert all(killed[:-1]), "only the last may have come to its end before"
    campaign.finish()
    before = len(sends(api))
    campaign.finish()
    assert len(sends(api)) == before, "a finished run sends nothing"


def test_killed_with_its_embedded_simulator_the_run_goes_on_and_finishes(tmp_path: Path) -> None:
    """The old simulator may still be ending when the next run starts a new one on the same file."""
    user = Cli(tmp_path)
    to = user.people(numbers(1_200))
    user.job(limits={"requests_per_minute": 0, "batch_size": 5})
    run_dir = tmp_path / "runs" / "acceptance.simulated"
    for share in (0.25, 0.5):
        running = user.start("run", "job.toml", "--simulate", "--yes")
        kill_when(running, lambda: _messages(run_dir) >= share * len(to))  # noqa: B023 - called at once
        assert running.result().code == KILLED
    assert user("run", "job.toml", "--simulate", "--yes").code == 0
    matches(run_dir, embedded_ledger(run_dir))
    assert len(embedded_ledger(run_dir)) == len(to)
    assert user("verify", run_dir).code == 0


def _messages(run_dir: Path) -> int:
    """Return how many messages an embedded simulator has created; it may still be making its file."""
    try:
        return len(embedded_ledger(run_dir))
    except sqlite3.OperationalError:
        return 0
