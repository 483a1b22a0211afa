"""The ledger in memory settles in the event loop: the same promises as the one in a file."""

import asyncio
import sqlite3
from collections.abc import Iterator

import pytest

from broadcaster.simulator.ledger import MEMORY, Job, Ledger, open_ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    opened = open_ledger(MEMORY)
    yield opened
    opened.close()


def note(name: str) -> Job[object]:
    return lambda connection: connection.execute("INSERT INTO meta VALUES (?, '')", (name,))


def noted(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM meta")} - {"format", "account_id"}


def fail(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta VALUES ('half', '')")
    raise sqlite3.OperationalError("the disk is full")


async def test_jobs_of_one_turn_share_a_transaction_and_keep_their_order(ledger: Ledger) -> None:
    ledger.start()
    ledger.post(note("a"))
    in_transaction, seen = await asyncio.gather(ledger.run(lambda it: it.in_transaction), ledger.run(noted))
    assert in_transaction is True
    assert seen == {"a"}


async def test_what_is_done_is_committed(ledger: Ledger) -> None:
    ledger.start()
    await ledger.run(note("a"))
    assert ledger._connection.in_transaction is False


async def test_a_failed_job_takes_its_neighbours_along_and_leaves_nothing(ledger: Ledger) -> None:
    ledger.start()
    results = await asyncio.gather(ledger.run(noted), ledger.run(fail), return_exceptions=True)
    assert [type(result) for result in results] == [sqlite3.OperationalError, sqlite3.OperationalError]
    assert await ledger.run(noted) == set()


async def test_nobody_hears_of_the_failure_of_a_posted_job(ledger: Ledger) -> None:
    ledger.start()
    ledger.post(fail)
    await asyncio.sleep(0)  # the turn in which it fails alone
    assert await ledger.run(noted) == set()


async def test_a_caller_that_went_away_disturbs_nobody(ledger: Ledger) -> None:
    ledger.start()
    gone = asyncio.ensure_future(ledger.run(note("a")))
    await asyncio.sleep(0)
    gone.cancel()
    assert await ledger.run(noted) == {"a"}


async def test_closing_finishes_what_is_waiting() -> None:
    ledger = open_ledger(MEMORY)
    ledger.start()
    done: list[bool] = []
    ledger.post(lambda _: done.append(True))
    ledger.close()
    assert done == [True]
