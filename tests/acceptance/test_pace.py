"""The account's limit on real clocks: never passed, nearly all of it used, learned, and estimated.

The API counts any sixty seconds, so showing this takes minutes of waiting. They pass beside all other tests: a process
of its own begins with the session (``support.pacestory``), and here, at the very end, its ledgers are looked at.
"""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import pacestory
from support.cli import KEY, matches, once, rows, told_no_secrets
from support.jumping import worst_minute

WINDOW_S = 60.6  # the API's minute and the allowance that a run keeps
pytestmark = pytest.mark.timeout(pacestory.PATIENCE_S + 20)  # selected alone, the whole story has to be waited for


@pytest.fixture(scope="module")
def place(pace_story: Path) -> Path:
    return pace_story


@pytest.fixture(scope="module")
def told(place: Path) -> dict[str, Any]:
    return pacestory.listen(place)


def ledger(path: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query)]


def requests(path: Path) -> list[dict[str, Any]]:
    return ledger(path, "SELECT * FROM request ORDER BY n")


def messages(path: Path) -> list[dict[str, Any]]:
    return ledger(path, "SELECT * FROM message ORDER BY rowid")


def seconds(received: list[dict[str, Any]]) -> list[float]:
    return [each["received_us"] / 1e6 for each in received]


def test_two_runs_a_kill_and_a_restart_pass_no_minute_and_leave_hardly_anything_of_it(
    place: Path, told: dict[str, Any]
) -> None:
    received = requests(place / "shared" / "shared.sqlite")
    refused = [each for each in received if each["status"] == 429]
    at_s = seconds(received)

    assert [told["shared"][name]["code"] for name in ("one", "two")] == [0, 0], told["shared"]
    # A machine that stands still for longer than the allowance sends late what was due long before.
    assert not refused or (len(refused) <= 2 and told["stood_still_s"] > 0.4), f"{len(refused)} refused"
    limit = pacestory.SHARED_LIMIT
    assert worst_minute((each, 1) for each in at_s) <= limit
    windows_s = 2 * WINDOW_S
    assert at_s[-1] - at_s[0] >= windows_s - 2
    used = sum(1 for each in at_s if each < at_s[0] + windows_s)
    assert used / (limit * windows_s / 60) >= 0.97


def test_nobody_is_messaged_twice_or_lost_over_all_of_it(place: Path, told: dict[str, Any]) -> None:
    sent = messages(place / "shared" / "shared.sqlite")
    once(sent)

    for name in ("one", "two"):
        run_dir = place / "shared" / "runs" / name
        to = {row["to"] for row in rows(run_dir)}
        matches(run_dir, [row for row in sent if row["recipient"] in to])
        assert len(to) == pacestory.SHARED_EACH
        assert "limit 120 requests/min (configured)" in told["shared"][name]["stderr"]


@pytest.mark.parametrize("name", ["lone", "messages"])
def test_a_run_takes_as_long_as_its_plan_says_to_five_percent(place: Path, told: dict[str, Any], name: str) -> None:
    planned = json.loads(told[name]["plan"]["stdout"])
    at_s = seconds(requests(place / name / f"runs/{name}.simulated" / "simulator.sqlite"))

    assert told[name]["run"]["code"] == 0, told[name]["run"]["stderr"]
    assert len(at_s) == planned["requests"] + 2
    assert at_s[-1] - at_s[0] == pytest.approx(planned["duration_s"], rel=0.05)


def test_batches_fill_the_minute_of_a_limit_of_messages_and_pass_none(place: Path, told: dict[str, Any]) -> None:
    state = place / "messages" / "runs/messages.simulated" / "simulator.sqlite"
    posts = [each for each in requests(state) if each["method"] == "POST"]
    sent = list(zip(seconds(posts), [each["recipients"] for each in posts], strict=True))

    assert (
        "(up to 24 recipients each, so that 600 messages a minute are used well)" in told["messages"]["plan"]["stderr"]
    )
    assert worst_minute(sent) <= pacestory.MESSAGES_LIMIT
    first = sum(amount for at_s, amount in sent if at_s < sent[0][0] + WINDOW_S - 0.1)
    assert first / (pacestory.MESSAGES_LIMIT * WINDOW_S / 60) >= 0.95


def test_a_storm_of_429_fails_no_delivery_and_teaches_the_limit(place: Path, told: dict[str, Any]) -> None:
    state = place / "storm" / "storm.sqlite"
    received = requests(state)
    storm, calm = received[: told["storm"]["requests_before"]], received[told["storm"]["requests_before"] :]

    assert told["storm"]["storm"]["code"] == 0, told["storm"]["storm"]["stderr"]
    assert (
        1 <= sum(1 for each in storm if each["status"] == 429) <= 16
    )  # those that were under way, or followed at once
    assert re.search(rf"limit {pacestory.STORM_LIMIT} requests/min \(learned\)", told["storm"]["storm"]["stderr"])
    run_dirs = [place / "storm" / "runs" / name for name in ("storm", "calm")]
    assert {row["status"] for run_dir in run_dirs for row in rows(run_dir)} == {"accepted"}
    once(messages(state))

    assert told["storm"]["calm"]["code"] == 0
    assert [each["status"] for each in calm if each["status"] == 429] == []
    assert f"{pacestory.STORM_LIMIT} requests a minute (learned from the API)" in told["storm"]["calm"]["stderr"]


def test_no_secret_was_told(told: dict[str, Any]) -> None:
    text = json.dumps(told)
    told_no_secrets(text, key=KEY)
