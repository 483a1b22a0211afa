"""Thousands of people, and webhooks as they really are: out of order, twice, late. The manifest tells the truth.

The simulator is the truth: what it shows of each of its messages is what the manifest must say, row by row.
``STORY_PEOPLE=20000 pytest tests/acceptance/test_webhook_story.py`` tells it of more people than CI has time for.
"""

import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.cli import KEY, Cli, matches, wait_until
from support.endpoint import endpoint, truth
from support.fiction import numbers
from support.simulator import Simulator

PEOPLE = int(os.environ.get("STORY_PEOPLE", "4000"))
RUN = "runs/acceptance"
OVER = {"DELIVERED", "READ", "FAILED"}
# How a message ends: also twice, in either order, when it is read, or rerouted. The others would only take longer.
EVENTS = ("delivered", "read", "failed")


def events(shown: dict[str, Any]) -> list[str]:
    """What webhooks tell of a message."""
    return [each["status"] for each in shown["events"] if each["status"].lower() in EVENTS]


def receipts(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM receipt").fetchone()[0])


@pytest.mark.timeout(240)  # of 20,000 people there are 25,000 webhooks, each signed, sent, checked and on disk
def test_every_row_says_what_the_api_says(cli: Cli) -> None:
    options: dict[str, Any] = {
        "lifecycle_speed": 20,
        "failed_share": 0.1,
        "read_share": 0.2,
        "webhook_duplicates": 0.2,
        "webhook_disorder": 0.3,
        "webhook_retry_s": 0.5,
        "seed": 7,
    }
    with Simulator(key=KEY, **options) as sim, endpoint(cli, sim, events=EVENTS) as it:
        cli.use(sim)
        cli.people(numbers(PEOPLE))
        cli.job(recipients={"default_region": "AU"}, message={"channels": []}, safety={"halt_share": 0.9})
        ended = cli("run", "job.toml", "--yes", "--json")
        assert ended.code == 0, ended.stderr
        file = cli.home / "runs" / "receipts.sqlite"
        wait_until(lambda: receipts(file) >= PEOPLE, what="a receipt for each", patience_s=100, every_s=0.1)
        shown: dict[str, Any] = {}

        def all_is_told() -> bool:
            shown.update(truth(sim))
            told = sum(len(events(each)) for each in shown.values())
            if not {each["status"] for each in shown.values()} <= OVER or receipts(file) != told:  # each is kept once
                return False
            return truth(sim) == shown  # nobody has read anything meanwhile

        wait_until(all_is_told, what="the receipts of it all", patience_s=100, every_s=0.5)
        said = it.stop()
        assert "were repeated" in said
        assert cli("manifest", RUN).code == 0
        matches(cli.home / RUN, sim.messages())

    counts: Counter[str] = Counter()
    rerouted = 0
    for row in cli.manifest():
        message = shown[row["message_id"]]
        counts[message["status"]] += 1
        rerouted += message["status"] != "FAILED" and "FAILED" in events(message)
        assert row["to"] == message["phone"]
        assert row["delivery_status"] == message["status"].lower(), row["input_row"]
        if message["status"] == "FAILED":  # twice within one second of this fast world, by either of two routes
            assert row["delivery_reason"].startswith("DELIVERY_")
            continue
        assert (row["delivery_channel"], row["delivery_reason"]) == (message["channel"], None), row["input_row"]
    assert counts.total() == PEOPLE
    assert set(counts) == OVER
    assert min(counts.values()) > PEOPLE // 100
    assert rerouted > PEOPLE // 100
    verified = cli("verify", RUN)
    assert verified.code == 0, verified.stderr
    assert "delivery columns are what the receipts say" in verified.stdout
