"""The courier: turns status changes into events, and carries the events to their endpoints, in a task of its own.

Theory of operation: each turn takes what became of messages from the feed and writes it down as events, one for each
endpoint that wants it; then it claims events whose time has come and delivers them, a few dozen at a time. All is in
the ledger, so that a restart goes on where it stopped; an event's id follows from the message and the change, so that
nothing is written down twice. When events pile up, no more are taken from the feed until some are gone. Without an
endpoint that is switched on, it sleeps.
"""

import asyncio
import contextlib
import logging
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import replace

from broadcaster.simulator.account import account_id, sending_number
from broadcaster.simulator.envelope import encode
from broadcaster.simulator.lifecycle import US
from broadcaster.simulator.parts import Parts
from broadcaster.simulator.statuses import StatusChange, StatusFeed
from broadcaster.simulator.webhooks import store
from broadcaster.simulator.webhooks.catalogue import event_of
from broadcaster.simulator.webhooks.envelopes import payload_of, request_id_of, wrap
from broadcaster.simulator.webhooks.post import now_us
from broadcaster.simulator.webhooks.store import Event, Webhook

_LOGGER = logging.getLogger(__name__)
_TURN_S = 0.05
_AFTER_FAILURE_S = 1.0
_AT_ONCE = 32  # deliveries
_CHANGES_A_TURN = 500  # more would keep requests waiting
_LARGEST_QUEUE = 10_000
_OVERLAP_US = 5 * US  # a change may be noted a moment after it happened: a new life looks that much further back


class Courier:
    """Runs until it is cancelled."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._feed: StatusFeed | None = None
        self._started = False
        self._at_work: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Courier {len(self._at_work)} at work>"

    async def run(self) -> None:
        """Collect and deliver for ever."""
        try:
            await self._parts.ledger.run(lambda connection: store.recover(connection, now_us=now_us()))
            while True:
                self._parts.bell.clear()
                if await self._turn():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._parts.bell.wait(), _TURN_S)
                else:
                    await self._parts.bell.wait()
        finally:
            for task in self._at_work:
                task.cancel()
            await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _turn(self) -> bool:
        """Do what can be done now; tell whether there is anybody to deliver to."""
        try:
            hooks = await self._parts.ledger.run(store.active)
            await self._collect(hooks)
            if hooks:
                await self._dispatch()
        except Exception:  # of the ledger, or a bug: neither may end the deliveries for good
            _LOGGER.exception("Events wait: this turn failed.")
            await asyncio.sleep(_AFTER_FAILURE_S)
            return True
        return bool(hooks)

    async def _collect(self, hooks: Mapping[str, Webhook]) -> None:
        parts, first, self._started = self._parts, not self._started, True
        if not hooks:
            self._feed = None
            return
        if self._feed is None:
            since_us = min(hook.since_us for hook in hooks.values())
            marked_us = await parts.ledger.run(store.mark) if first else None
            self._feed = StatusFeed(
                world=parts.settings.world,
                catalogue=parts.catalogue,
                since_us=since_us if marked_us is None else max(since_us, marked_us - _OVERLAP_US),
            )
        if await parts.ledger.run(store.waiting) >= _LARGEST_QUEUE:
            return
        changes = await self._feed.due(parts.ledger, until_us=now_us(), limit=_CHANGES_A_TURN)
        if not changes:
            return
        events = [
            self._write(change, event, hook)
            for change in changes
            if (event := event_of(change.change.status)) is not None
            for hook in hooks.values()
            if self._concerns(change, hook) and hook.wants(event)
        ]

        def job(connection: sqlite3.Connection) -> None:
            store.add_events(connection, events)
            store.set_mark(connection, changes[-1].change.at_us)

        await parts.ledger.run(job)

    def _concerns(self, change: StatusChange, hook: Webhook) -> bool:
        """Whether it happened to a message of *hook*'s owner, since the hook is on."""
        account = account_id(self._parts.settings, self._parts.ledger.account_id)
        return change.change.at_us >= hook.since_us and (change.message.profile_id or account) == hook.owner

    def _write(self, change: StatusChange, event: str, hook: Webhook) -> Event:
        settings, message = self._parts.settings, change.message
        event_id = str(uuid.uuid5(uuid.UUID(hook.webhook_id), f"{message.message_id}/{change.n}"))
        template = self._parts.catalogue.by_id(message.template_id) if message.template_id is not None else None
        event_type, body = wrap(
            settings.webhooks.envelope,
            event,
            payload_of(message, change.change, account=hook.owner, template=template),
            emitted_us=now_us(),
            number=sending_number(settings),
            request_id=request_id_of(event_id),
        )
        name = f"{message.recipient}/{message.channel}/{message.attempt}/{change.n}"
        held_us = int(settings.webhooks.held_back_s(name, seed=settings.seed, speed=settings.world.speed) * US)
        return Event(
            event_id=event_id,
            webhook_id=hook.webhook_id,
            event_type=event_type,
            body=encode(body).decode(),
            name=name,
            status=store.PENDING,
            attempts=0,
            created_us=now_us(),
            next_us=now_us() + held_us,
        )

    async def _dispatch(self) -> None:
        free = _AT_ONCE - len(self._at_work)
        if not free:
            return
        claimed = await self._parts.ledger.run(lambda it: store.claim(it, now_us=now_us(), limit=free))
        for hook, event in claimed:
            task = asyncio.create_task(self._deliver(hook, event))
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
            if len(claimed) == free:  # there may be more: go on as soon as one is done
                task.add_done_callback(lambda _: self._parts.bell.set())

    async def _deliver(self, hook: Webhook, event: Event) -> None:
        rules, parts = self._parts.settings.webhooks, self._parts
        stamp_s = now_us() // US
        if rules.retry_stamp == "original" and event.stamp_s is not None:
            stamp_s = event.stamp_s
        outcome = await parts.post.deliver(hook, event, stamp_s=stamp_s)
        attempts = event.attempts + 1
        if outcome.succeeded and rules.is_doubled(event.name, seed=parts.settings.seed):
            await parts.post.deliver(hook, event, stamp_s=stamp_s)
            attempts += 1
        again = not outcome.succeeded and attempts <= hook.retry_count
        ended = replace(
            event,
            status=store.DELIVERED if outcome.succeeded else store.RETRYING if again else store.FAILED,
            attempts=attempts,
            next_us=now_us() + int(rules.wait_s(attempts) * US) if again else None,
            stamp_s=event.stamp_s or stamp_s,
            started_us=event.started_us or now_us(),
            completed_us=None if again else now_us(),
            http_status=outcome.status,
            error=outcome.error,
            response=outcome.response,
        )

        def job(connection: sqlite3.Connection) -> None:
            store.settle(connection, ended)
            store.count_attempt(connection, hook.webhook_id, succeeded=outcome.succeeded, now_us=now_us())
            if again and not store.is_on(connection, hook.webhook_id):
                store.give_up(connection, hook.webhook_id, now_us=now_us())

        try:
            await parts.ledger.run(job)
        except sqlite3.Error:
            _LOGGER.exception("The ledger failed; a delivery is not written down.")
