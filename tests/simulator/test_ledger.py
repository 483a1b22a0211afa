"""The ledger's promise: failed means that it did not happen, and nobody looks while another one writes."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.sends import SEND, notice
from support.simulator import Simulator

from broadcaster.simulator.ledger import Job, Ledger, open_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(str(tmp_path / "s"))
    yield opened
    opened.close()


def write(name: str) -> Job[object]:
    return lambda connection: connection.execute("INSERT INTO meta VALUES (?, '')", (name,))


def names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM meta")} - {"format", "account_id"}


async def test_what_was_run_is_committed_when_run_returns(ledger: Ledger) -> None:
    ledger.start()
    await ledger.run(write("a"))
    with closing(sqlite3.connect(ledger.path)) as reader:
        assert names(reader) == {"a"}


async def test_jobs_of_one_transaction_succeed_or_fail_together(ledger: Ledger) -> None:
    jobs = [asyncio.ensure_future(ledger.run(write(name))) for name in ("a", "b", "a")]
    await asyncio.sleep(0)  # all three are queued before the thread starts
    ledger.start()
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [type(result) for result in results] == [sqlite3.IntegrityError] * 3
    assert await ledger.run(names) == set()


async def test_a_posted_job_comes_before_a_later_one(ledger: Ledger) -> None:
    ledger.start()
    ledger.post(write("a"))
    assert await ledger.run(names) == {"a"}


async def test_a_look_up_waits_for_another_process_that_is_writing(ledger: Ledger) -> None:
    ledger.start()
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write("theirs")(other)
        look_up = asyncio.ensure_future(ledger.run(names))
        done, _ = await asyncio.wait({look_up}, timeout=0.2)
        assert not done
        other.execute("COMMIT")
    assert await look_up == {"theirs"}


async def test_closing_finishes_what_is_queued(ledger: Ledger) -> None:
    ledger.start()
    for at in range(300):
        ledger.post(write(f"n{at}"))
    ledger.close()
    with closing(sqlite3.connect(ledger.path)) as reader:
        assert len(names(reader)) == 300


def test_a_broken_key_store_refuses_keyed_requests_only_and_executes_nothing(tmp_path: Path) -> None:
    with Simulator(tmp_path / "s") as sim:
        with closing(sqlite3.connect(sim.state)) as other:
            other.execute("DROP TABLE idempotency")
        reply = sim.call("POST", SEND, notice(), idempotency_key="k")
        assert (reply.status, reply.code) == (503, "SERVICE_001")
        assert sim.messages() == []
        assert [(row["status"], row["code"]) for row in sim.requests()] == [(503, "SERVICE_001")]
        assert sim.call("POST", SEND, notice()).status == 202
