"""Sending a frozen plan: who we are, whether the template may be sent, the run itself, and what is left behind."""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from broadcaster.api import lookups
from broadcaster.app.conclude import Conclusion, conclude, counted
from broadcaster.app.parts import VERSION, Access, Line, line
from broadcaster.clock import SystemClock, wall_us
from broadcaster.core.control import Order, followed
from broadcaster.core.doubt import MARGIN_SHARE
from broadcaster.core.sizes import most_row_bytes
from broadcaster.core.tally import Ahead
from broadcaster.core.timetable import Hold, Timetable
from broadcaster.core.values import Batch, Decided, Tally
from broadcaster.core.words import Channel, Mode, On5xx, Repeat, Waiver
from broadcaster.engine.control import Helm, steered
from broadcaster.engine.ports import Concluding, Event, Noticed, Observe
from broadcaster.engine.run import execute
from broadcaster.engine.stop import Stop, on_signals
from broadcaster.engine.terms import Terms
from broadcaster.engine.work import Task
from broadcaster.errors import (
    BelongsToAnother,
    BroadcasterError,
    ScheduleStale,
    StoppedEarly,
    StoreError,
    TemplateUnusable,
    WindowShut,
)
from broadcaster.job.model import Api, Limits, Notify, Safety, Schedule
from broadcaster.planning.timing import check_times, timetable
from broadcaster.store import account
from broadcaster.store.canary import Gate, closed_gates
from broadcaster.store.control import read_control, require_going
from broadcaster.store.facts import Facts, ahead, open_children, tally, unsettled
from broadcaster.store.feedback import Feedback
from broadcaster.store.head import Head
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.writer import JournalWriter
from broadcaster.tracking.canary import await_canary
from broadcaster.tracking.chronicle import Chronicle
from broadcaster.tracking.watching import Watch, watched

_FEW = 256  # batches that are decoded at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to send, and when: as the job says, or the plan when there is no job at hand.

    ``skip_canary`` names who decided that nobody waits for the canary any more.
    """

    limits: Limits
    safety: Safety
    api: Api
    notify_url: str = ""
    preflight: bool = True
    timetable: Timetable = field(default_factory=Timetable)
    wait: bool = True  # while the window is shut
    skip_canary: str | None = None

    @classmethod
    def of(cls, head: Head, *, preflight: bool, wait: bool = True, skip_canary: str | None = None) -> "Settings":
        """Return what the plan remembers."""
        return cls(
            limits=Limits.model_validate(head.limits),
            safety=Safety.model_validate(head.safety),
            api=Api.model_validate(head.api),
            notify_url=Notify.model_validate(head.notify).url,
            preflight=preflight,
            timetable=timetable(head.schedule),
            wait=wait,
            skip_canary=skip_canary,
        )

    def unpaced(self) -> "Settings":
        """Return the same without any rate limit, and at any hour."""
        limits = self.limits.model_copy(update={"requests_per_minute": 0, "messages_per_minute": 0})
        return replace(self, limits=limits, timetable=replace(self.timetable, hold=Hold.API))


def has_work(plan: Plan) -> bool:
    """Whether anything is left that a run may send: nothing of it needs the network."""
    facts = Facts.read(plan, whole=False)
    repeated = bool(facts.claims) and plan.head.asked.repeat is not Repeat.NEVER
    return repeated or bool(unsettled(plan, facts).any()) or bool(open_children(facts))


async def deliver(
    plan: Plan,
    *,
    to: Access,
    settings: Settings,
    observe: Observe,
    begin: Callable[[Tally, Line, Ahead], None],
    stop: Stop | None = None,
) -> Conclusion:
    """Send what is not settled and bring the run's files up to date; the caller holds the run's lock.

    Args:
        plan: frozen.
        to: the API.
        settings: how fast, how careful.
        observe: hears every event; must return at once.
        begin: called when the first message may leave, with what is known before it.
        stop: asked to drain or abort by others; SIGINT and SIGTERM are heard in any case.

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
            requests=lambda: api_line.send.exchanges,
            limit=lambda: api_line.pacer.limit.requests_per_minute,
        )
        begin(counts, api_line, left)

    try:
        ended = await _deliver(plan, to=to, settings=settings, observe=heard, begin=begun, stop=stop or Stop())
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
) -> Conclusion:
    because: BroadcasterError | None = None
    try:
        await _send(plan, to=to, settings=settings, observe=observe, begin=begin, stop=stop)
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
    _require_hours(plan, settings)
    with JournalWriter(plan.run_dir.journal, version=VERSION) as journal, on_signals(stop):
        async with opened as api_line:
            server_us = await _identify(plan, to, api_line, journal)
            if settings.preflight and operation.sends_messages and operation.looks_ahead:
                await _check_template(head, plan.channels, api_line)
            if stop.draining:
                return
            facts = Facts.read(plan, whole=False)
            launch = _launch(plan)
            # Where no key protects, a second directory is never let in.
            window_s = 0.0 if operation.repeat is Repeat.NEVER else api.idempotency_window * (1 - MARGIN_SHARE)
            account.register(launch, now_us=wall_us(), window_s=window_s)
            journal.before_parts = partial(account.mark_divided, launch)
            known = tally(plan, facts)
            watch.accepted, watch.rejected = known.accepted, known.rejected
            begin(known, api_line, ahead(plan, facts, counts=known))
            terms = Terms(
                message=head.message,
                operation=operation,
                window_s=api.idempotency_window,
                margin_s=api.idempotency_window * MARGIN_SHARE,
                give_up_after_s=settings.safety.give_up_after,
                on_5xx=On5xx(settings.safety.on_5xx),
                timetable=settings.timetable,
                patient=settings.wait,
                row_bytes=most_row_bytes(auto=plan.channels == (Channel.AUTO,), text=head.text),
            )
            answer_row = _measured(plan, facts)
            helm = _helm(plan, api_line, journal, observe=watch, clock=clock)
            feedback = Feedback(plan.run_dir, operation)
            gates = await _gates(plan, facts, journal, settings, observe=watch)
            async with steered(helm), watched(watch, feedback.look, clock=clock):
                while True:
                    shared = await execute(
                        _tasks(plan, facts, gates),
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
                            raise ScheduleStale(_left_over(shared.stale))
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


def _require_hours(plan: Plan, settings: Settings) -> None:
    """Refuse to begin at a time at which nothing may go out.

    Raises:
        ScheduleStale: it is too late for all of it.
        WindowShut: the run is not to wait until the window opens.
        ConfigError: a send time is farther ahead than the API takes it.
    """
    table, now_us = settings.timetable, wall_us()
    if table.is_stale(now_us):
        raise ScheduleStale("schedule.not_after has passed; nothing more goes out")
    opens_us = table.shut_until_us(now_us)
    if opens_us is not None and not settings.wait:
        until = table.clock(opens_us)
        raise WindowShut(f"the window ({table.text}) is shut until {until}; come back then", until=until)
    times = [each for part in plan.parts for each in part.head.times]
    check_times(times, schedule=Schedule(), now_us=now_us, fresh=False)


def _left_over(deliveries: int) -> str:
    return f"for {deliveries:,} deliveries the next time that suits is after schedule.not_after; they stay pending"


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


async def _identify(plan: Plan, to: Access, api_line: Line, journal: JournalWriter) -> int | None:
    """Ask whose key it is, first and alone; refuse another account than the journal's. Return the API's time.

    Where the credentials themselves say whose they are, nothing is asked and no time is told.
    """
    who = await lookups.me(api_line.ask) if to.account is None else None
    account_id = who.id if who is not None else str(to.account)
    api_line.belongs_to(account_id)
    fingerprint = account.fingerprint(base_url=to.identity, account_id=account_id, profile=to.profile)
    with JournalReader(plan.run_dir.journal) as reader:
        known = reader.meta()
    if known.get("account", fingerprint) != fingerprint:
        raise BelongsToAnother(
            f"{plan.run_dir.path} was sent with another account or from another address than this key's; the API "
            "would not recognise what was sent already. Use the key of that account"
        )
    if "account" not in known:
        await journal.put_meta(
            account=fingerprint,
            base_url=to.identity,
            mode=plan.head.mode,
            plan=plan.fingerprint,
            keys=plan.head.keys_sha256,
            run=uuid.uuid4().hex,
        )
    return None if who is None else who.reply.server_us


async def _check_template(head: Head, channels: Sequence[Channel], api_line: Line) -> None:
    if head.text is not None:
        return
    template = await lookups.template(api_line.ask, id=head.template_id, name=head.template_name)
    problems = lookups.template_problems(template, channels=channels, parameters=set(head.parameters))
    if problems:
        name = head.template_name or head.template_id
        raise TemplateUnusable(f"template {name} cannot be sent: {' '.join(problems)} Nobody was messaged")


def _measured(plan: Plan, facts: Facts) -> float | None:
    """Return how long a row of the answers so far was at most, in bytes: what may be repeated depends on it."""
    if not facts.claims or not facts.settled:
        return None
    sizes = plan.sizes()
    with JournalReader(plan.run_dir.journal) as journal:
        some = islice(((number, body) for number, body in journal.answers() if number >= 0), _FEW)
        return max((len(body) / sizes[number] for number, body in some), default=None)


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


async def _tasks(plan: Plan, facts: Facts, gates: Sequence[Gate]) -> AsyncGenerator[Task, None]:
    """Yield what is left: claimed without an outcome (oldest first), parts of splits, then what was never claimed.

    What is behind *gates* is left out.
    """
    claimed = plan.fetch([batch for batch in facts.claims if batch >= 0]) | facts.children
    for number in facts.to_repeat():
        yield Task(batch=claimed[number], claim=facts.claims[number], attempts=max(1, facts.tried(number)))
    for child in open_children(facts):
        yield Task(batch=child, attempts=facts.tried(child.id))
    fresh = unsettled(plan, facts)
    for gate in gates:
        fresh[gate.rest.start : gate.rest.stop] = False
    batches = plan.read_batches(lambda numbers: fresh[numbers])
    while True:
        # Decoding a row group takes longer than the loop may stand still.
        following = await asyncio.to_thread(_next_few, batches)
        for batch in following:
            yield Task(batch=batch, attempts=facts.tried(batch.id))
        if not following:
            return


def _next_few(batches: Iterator[Batch]) -> list[Batch]:
    return list(islice(batches, _FEW))
