"""Sending a frozen plan: who we are, whether the template may be sent, the run itself, and what is left behind."""

import asyncio
import random
from collections.abc import Callable
from functools import partial

from broadcaster.app.conclude import Conclusion, conclude, counted
from broadcaster.app.manner import Settings
from broadcaster.app.parts import VERSION, Access, Line, line
from broadcaster.app.preflight import NOTHING_ASKED, Asked, check_template, identify
from broadcaster.clock import SystemClock, wall_us
from broadcaster.core.control import Order, followed
from broadcaster.core.doubt import MARGIN_SHARE
from broadcaster.core.tally import Ahead
from broadcaster.core.values import Decided, Instant, Tally
from broadcaster.core.words import Mode, Repeat, Waiver
from broadcaster.engine.control import Helm, steered
from broadcaster.engine.ports import Concluding, Event, Noticed, Observe
from broadcaster.engine.run import execute
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.engine.terms import Replays
from broadcaster.errors import (
    BroadcasterError,
    StoppedEarly,
    StoreError,
)
from broadcaster.planning.left import has_work, largest_answer_row, tasks_left
from broadcaster.planning.terms import require_hours, terms_of, too_late
from broadcaster.store import account
from broadcaster.store.canary import Gate, closed_gates
from broadcaster.store.control import read_control, require_going
from broadcaster.store.facts import Facts, ahead, tally
from broadcaster.store.feedback import Feedback
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.writer import JournalWriter
from broadcaster.tracking.canary import await_canary
from broadcaster.tracking.chronicle import Chronicle
from broadcaster.tracking.watching import Watch, watched


async def deliver(
    plan: Plan,
    *,
    to: Access,
    settings: Settings,
    observe: Observe,
    begin: Callable[[Tally, Line, Ahead], None],
    stop: Stop | None = None,
    asked: Asked = NOTHING_ASKED,
) -> Conclusion:
    """Send what is not settled and bring the run's files up to date; the caller holds the run's lock.

    Args:
        plan: frozen.
        to: the API.
        settings: how fast, how careful.
        observe: hears every event; must return at once.
        begin: called when the first message may leave, with what is known before it.
        stop: asked to drain or abort by others; SIGINT and SIGTERM are heard in any case.
        asked: what the API said before, and is not asked again.

    Raises:
        StoreError: a fact could not be written, or a file of the run is damaged.
    """
    chronicle = Chronicle(plan.run_dir, campaign=plan.head.campaign, mode=plan.head.mode)

    def heard(event: Event) -> None:
        chronicle(event)
        observe(event)

    def begun(counts: Tally, api_line: Line, left: Ahead) -> None:
        chronicle.begin(
            counts,
            requests=lambda: asked.requests + api_line.send.exchanges,
            limit=lambda: api_line.pacer.limit.requests_per_minute,
        )
        begin(counts, api_line, left)

    for event in asked.events:
        chronicle(event)
    try:
        ended = await _deliver(
            plan, to=to, settings=settings, observe=heard, begin=begun, stop=stop or Stop(), asked=asked
        )
    except BroadcasterError as error:
        await asyncio.to_thread(chronicle.end, error.exit_code, why=error.sentence)
        raise
    except BaseException:
        chronicle.leave()
        raise
    await asyncio.to_thread(chronicle.end, ended.code, counts=ended.counts, why=ended.summary["why"])
    return ended


async def _deliver(
    plan: Plan,
    *,
    to: Access,
    settings: Settings,
    observe: Observe,
    begin: Callable[[Tally, Line, Ahead], None],
    stop: Stop,
    asked: Asked,
) -> Conclusion:
    because: BroadcasterError | None = None
    try:
        await _send(plan, to=to, settings=settings, observe=observe, begin=begin, stop=stop, asked=asked)
    except StoreError:
        raise
    except BroadcasterError as error:
        because = error
    because = because or stop.because
    if stop.aborting:
        because = because or StoppedEarly("stopped at once; what was in flight is in doubt until the run goes on")
        return await asyncio.to_thread(lambda: counted(plan, Facts.read(plan), because=because))
    if stop.draining and because is None:
        because = StoppedEarly("stopped before everything was sent") if has_work(plan) else None
    observe(Concluding())
    return await asyncio.to_thread(conclude, plan, because=because)


async def _send(
    plan: Plan,
    *,
    to: Access,
    settings: Settings,
    observe: Observe,
    begin: Callable[[Tally, Line, Ahead], None],
    stop: Stop,
    asked: Asked,
) -> None:
    clock = SystemClock()
    head, limits, api = plan.head, settings.limits, settings.api
    operation = head.asked
    largest = max(part.head.heaviest for part in plan.parts)
    watch = Watch(safety=settings.safety, stop=stop, largest=largest, observe=observe, where=plan.run_dir.path)
    opened = line(
        to,
        limits=limits,
        timeout_s=api.timeout,
        largest=largest,
        clock=clock,
        stop=stop,
        observe=observe,
    )
    require_going(plan.run_dir)
    require_hours(plan, settings.timetable, patient=settings.wait)
    with JournalWriter(plan.run_dir.journal, version=VERSION) as journal, on_signals(stop):
        async with opened as api_line:
            server_us = await identify(plan, to, api_line, journal, asked=asked)
            if settings.preflight and operation.sends_messages and operation.looks_ahead:
                await check_template(plan, api_line.ask, asked=asked)
            if stop.draining:
                return
            facts = Facts.read(plan, whole=False)
            launch = _launch(plan)
            # Where no key protects, a second directory is never let in.
            window_s = 0.0 if operation.repeat is Repeat.NEVER else api.idempotency_window * (1 - MARGIN_SHARE)
            elsewhere = account.register(launch, now_us=wall_us(), window_s=window_s)
            journal.before_parts = partial(account.mark_divided, launch)
            known = tally(plan, facts)
            watch.accepted, watch.rejected = known.accepted, known.rejected
            begin(known, api_line, ahead(plan, facts, counts=known))
            terms = terms_of(
                plan,
                api=api,
                safety=settings.safety,
                timetable=settings.timetable,
                patient=settings.wait,
                replays=_replays(elsewhere, window_s=window_s, clock=clock),
            )
            answer_row = largest_answer_row(plan, facts)
            helm = _helm(plan, api_line, journal, observe=watch, clock=clock)
            feedback = Feedback(plan.run_dir, operation)
            gates = await _gates(plan, facts, journal, settings, observe=watch)
            async with steered(helm), watched(watch, feedback.look, clock=clock):
                while True:
                    shared = await execute(
                        tasks_left(plan, facts, gates),
                        terms=terms,
                        send=api_line.send,
                        journal=journal,
                        budget=api_line.pacer,
                        stop=stop,
                        observe=watch,
                        clock=clock,
                        concurrency=limits.concurrency,
                        largest_batch=largest,
                        next_child=min(facts.children, default=0) - 1,
                        server_us=server_us,
                        rand=random.random,
                        answer_row=answer_row,
                        held_s=helm.held_s,
                    )
                    answer_row = shared.largest_answer_row
                    if not shared.postponed or answer_row is None:
                        if shared.stale:
                            raise too_late(shared.stale)
                        if not gates or stop.draining:
                            return
                        await await_canary(
                            plan,
                            gates,
                            safety=settings.safety,
                            ask=api_line.ask,
                            stop=stop,
                            observe=watch,
                            clock=clock,
                        )
                        gates = ()
                    facts = Facts.read(plan, whole=False)  # what was postponed can be judged now


def _replays(elsewhere: account.Elsewhere | None, *, window_s: float, clock: SystemClock) -> Replays | None:
    """Return until when the keys of a launch elsewhere protect; the moment is told to every clock now."""
    if elsewhere is None:
        return None
    now = Instant.at(clock.reading())
    until_us = elsewhere.first_us + int(window_s * 1_000_000)
    boot_us = None if now.boot_us is None else now.boot_us + until_us - now.wall_us
    until = Instant(wall_us=until_us, boot_us=boot_us, boot=now.boot)
    return Replays(until=until, run_dir=elsewhere.run_dir)


async def _gates(
    plan: Plan, facts: Facts, journal: JournalWriter, settings: Settings, *, observe: Observe
) -> tuple[Gate, ...]:
    """Return behind which canaries the run must wait; a decision not to wait is written down."""
    gates = closed_gates(plan, facts)
    if gates and plan.head.mode == Mode.SANDBOX:
        observe(
            Noticed(code="canary_in_sandbox", sentence="Sent's sandbox delivers nothing: nobody waits for the canary")
        )
        return ()
    if gates and settings.skip_canary is not None:
        at_us, who = wall_us(), settings.skip_canary
        waivers = [
            Decided(at_us=at_us, who=who, what=Waiver.SKIP_CANARY, batch=None, note=str(gate.part)) for gate in gates
        ]
        await journal.decide(waivers, [], [])
        return ()
    return gates


def _helm(plan: Plan, api_line: Line, journal: JournalWriter, *, observe: Observe, clock: SystemClock) -> Helm:
    """Return who follows live orders, and writes down those that no earlier process has followed."""

    async def record(order: Order) -> None:
        note = "" if order.per_minute is None else str(order.per_minute)
        decided = Decided(at_us=order.at_us, who=order.who, what=order.what, batch=None, note=note)
        await journal.decide([decided], [], [])

    with JournalReader(plan.run_dir.journal) as reader:
        known = followed(reader.orders())
    return Helm(
        look=partial(read_control, plan.run_dir),
        known=known,
        pacer=api_line.pacer,
        record=record,
        observe=observe,
        clock=clock,
    )


def _launch(plan: Plan) -> account.Launch:
    with JournalReader(plan.run_dir.journal) as reader:
        known = reader.meta()
    return account.Launch(
        account=known["account"],
        mode=plan.head.mode,
        campaign=plan.head.campaign,
        run=known["run"],
        run_dir=plan.run_dir.path,
        keys_sha256=plan.keys_sha256,
    )
