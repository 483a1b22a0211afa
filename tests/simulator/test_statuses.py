"""The feed of status changes: every one once, in order, whatever happens to the messages meanwhile."""

import sqlite3
from collections.abc import AsyncIterator
from functools import partial

import pytest
from support.sends import ANN, BOB, NOTICE

from broadcaster.simulator.ids import message_ids
from broadcaster.simulator.ledger import Ledger, open_ledger
from broadcaster.simulator.lifecycle import US, Lifecycle
from broadcaster.simulator.record import find
from broadcaster.simulator.statuses import StatusChange, StatusFeed
from broadcaster.simulator.templates import BUILT_IN, Catalogue

WORLD = Lifecycle()
CATALOGUE = Catalogue(BUILT_IN, clock=lambda: 0)
LONG_US = 1000 * US
DELIVERED = ["QUEUED", "PROCESSED", "ROUTED", "SENT", "DELIVERED"]


@pytest.fixture
async def ledger() -> AsyncIterator[Ledger]:
    opened = open_ledger(":memory:")
    opened.start()
    yield opened
    opened.close()


async def put(ledger: Ledger, *, at_us: int, to: str = ANN, channel: str = "sms", release_us: int | None = None) -> str:
    """A message accepted at *at_us*; its id, which starts with the real time, is its name."""
    (name,) = message_ids(1)
    row = (name, to, channel, NOTICE, "x", "QUEUED", "req", at_us, release_us)

    def job(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO message (message_id, recipient, channel, template_id, body, status, request_id, created_us,"
            " release_us, scheduled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '2026-06-01T12:00:00Z')",
            row,
        )

    await ledger.run(job)
    return name


async def execute(ledger: Ledger, statement: str, *values: int) -> None:
    def job(connection: sqlite3.Connection) -> None:
        connection.execute(statement, values)

    await ledger.run(job)


async def cancel(ledger: Ledger, *, at_us: int) -> None:
    await execute(ledger, "UPDATE message SET status = 'CANCELLED', changed_us = ?", at_us)


def feed(*, since_us: int = 0, world: Lifecycle = WORLD) -> StatusFeed:
    return StatusFeed(world=world, catalogue=CATALOGUE, since_us=since_us)


def seen(changes: list[StatusChange], name: str) -> list[str]:
    return [change.change.status for change in changes if change.message.message_id == name]


async def test_every_change_comes_once_in_order_of_time(ledger: Ledger) -> None:
    names = [await put(ledger, at_us=at * US, to=to) for at, to in ((1, ANN), (2, BOB), (3, "+14155550102"))]
    status_feed = feed()
    changes = await status_feed.due(ledger, until_us=LONG_US)
    assert [seen(changes, name) for name in names] == [DELIVERED] * 3
    moments = [change.change.at_us for change in changes]
    assert moments == sorted(moments)
    assert await status_feed.due(ledger, until_us=LONG_US) == []


async def test_a_change_comes_when_its_time_has_come(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US)
    message = await ledger.run(partial(find, message_id=name))
    assert message is not None
    status_feed = feed()
    for n, change in enumerate(message.course(WORLD, CATALOGUE)):
        assert await status_feed.due(ledger, until_us=change.at_us - 1) == []
        assert status_feed.next_us == change.at_us
        (due,) = await status_feed.due(ledger, until_us=change.at_us)
        assert (due.n, due.change, due.message) == (n, change, message)
    assert status_feed.next_us is None


async def test_messages_sent_later_are_found(ledger: Ledger) -> None:
    status_feed = feed()
    assert await status_feed.due(ledger, until_us=LONG_US) == []
    name = await put(ledger, at_us=US)
    assert seen(await status_feed.due(ledger, until_us=LONG_US), name) == DELIVERED


async def test_a_long_queue_comes_in_parts(ledger: Ledger) -> None:
    names = {await put(ledger, at_us=at) for at in range(1, 31)}
    status_feed, parts = feed(), []
    while part := await status_feed.due(ledger, until_us=31, limit=7):
        parts.append(part)
    assert {change.message.message_id for part in parts for change in part} == names
    assert [len(part) for part in parts] == [7, 7, 7, 7, 2]


async def test_a_cancelled_message_is_not_released(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US, release_us=60 * US)
    status_feed = feed()
    assert seen(await status_feed.due(ledger, until_us=2 * US), name) == ["QUEUED", "SCHEDULED"]
    await cancel(ledger, at_us=3 * US)
    assert seen(await status_feed.due(ledger, until_us=LONG_US), name) == ["CANCELLED"]
    assert await status_feed.due(ledger, until_us=LONG_US) == []


async def test_a_cancelling_before_the_first_look_comes_once(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US, release_us=60 * US)
    await cancel(ledger, at_us=3 * US)
    assert seen(await feed().due(ledger, until_us=LONG_US), name) == ["QUEUED", "SCHEDULED", "CANCELLED"]


async def test_a_cancelling_before_the_holding_was_told_comes_once(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US, release_us=60 * US)
    status_feed = feed()
    assert seen(await status_feed.due(ledger, until_us=US, limit=0), name) == []
    await cancel(ledger, at_us=3 * US)
    told = await status_feed.due(ledger, until_us=LONG_US) + await status_feed.due(ledger, until_us=LONG_US)
    assert seen(told, name) == ["QUEUED", "SCHEDULED", "CANCELLED"]


async def test_a_feed_begun_later_goes_on_from_there(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US)
    everything = await feed().due(ledger, until_us=LONG_US)
    cut = everything[2].change.at_us
    assert seen(await feed(since_us=cut).due(ledger, until_us=LONG_US), name) == DELIVERED[2:]


async def test_a_failing_ledger_loses_nothing(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US)
    status_feed = feed()
    await status_feed.due(ledger, until_us=0)
    await execute(ledger, "ALTER TABLE message RENAME TO away")
    with pytest.raises(sqlite3.Error):
        await status_feed.due(ledger, until_us=LONG_US)
    await execute(ledger, "ALTER TABLE away RENAME TO message")
    assert seen(await status_feed.due(ledger, until_us=LONG_US), name) == DELIVERED


async def test_at_speed_zero_only_the_acceptance_is_told(ledger: Ledger) -> None:
    name = await put(ledger, at_us=US)
    status_feed = feed(world=Lifecycle(speed=0))
    assert seen(await status_feed.due(ledger, until_us=LONG_US), name) == ["QUEUED"]
    assert status_feed.next_us is None
