"""One batch from its first attempt to its outcome.

Theory of operation. A batch has at most one *claim*: the start of the earliest attempt that may have executed. As long
as every attempt provably created nothing, the next one replaces the claim, so that it does not age; from the first
doubtful attempt on the claim stands, and the same key and bytes may go again only while :func:`may_repeat` allows it.
What an answer means is decided in ``core.classify``; what follows is done here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from broadcaster.clock import Clock
from broadcaster.core.classify import ANSWER_TOO_LARGE, classify
from broadcaster.core.doubt import may_repeat
from broadcaster.core.keys import idempotency_key, is_key_of
from broadcaster.core.retry import delay_s
from broadcaster.core.sizes import FORGOTTEN_BYTES
from broadcaster.core.split import child_batch, cut_after_400
from broadcaster.core.timetable import RETIMED, Retimed, Stale
from broadcaster.core.values import (
    Batch,
    Blame,
    Child,
    Claim,
    Instant,
    Lost,
    Reply,
    Request,
    Unsent,
    Verdict,
)
from broadcaster.core.words import Action, Executed, Repeat, State
from broadcaster.engine.dispatch import Dispatcher, Drained, Late
from broadcaster.engine.guard import Guard
from broadcaster.engine.ports import Budget, Journal, Observe, Send, Settled, Waiting
from broadcaster.engine.record import History, Try, attempt_of, outcome_of
from broadcaster.engine.retrying import persist
from broadcaster.engine.series import Series
from broadcaster.engine.stop import Stop
from broadcaster.engine.terms import Shared, Terms
from broadcaster.engine.work import Task
from broadcaster.errors import Halted, StoreDamaged

POSTPONED = "answer_size_unknown"
_DRAINED = Verdict(action=Action.REPEAT, executed=Executed.NO, code="drained")
_LATE = Verdict(
    action=Action.RETIME,
    executed=Executed.NO,
    code=RETIMED,
    sentence="Its send time had passed: it goes at another one.",
)


class Sender:
    """Delivers batches, one at a time."""

    def __init__(
        self,
        *,
        terms: Terms,
        send: Send,
        journal: Journal,
        budget: Budget,
        line: Dispatcher,
        guard: Guard,
        stop: Stop,
        observe: Observe,
        clock: Clock,
        shared: Shared,
        rand: Callable[[], float],
    ) -> None:
        self._terms = terms
        self._series = Series(
            operation=terms.operation,
            message=terms.message,
            send=send,
            budget=budget,
            stop=stop,
            listen=self._listen,
        )
        self._journal = journal
        self._budget = budget
        self._line = line
        self._guard = guard
        self._stop = stop
        self._observe = observe
        self._clock = clock
        self._shared = shared
        self._rand = rand

    async def deliver(self, task: Task) -> Sequence[Task]:
        """Deliver a batch; return the tasks that a split leaves.

        Raises:
            StoreError: when a fact could not be written; nothing may be sent after that.
        """
        batch = task.batch
        request = self._terms.operation.request(self._terms.message, batch)
        planned = request.body
        if batch.moved_to is not None:
            planned = self._terms.operation.encode(self._terms.message, batch.as_planned)
        if not is_key_of(batch.key, planned, scope=self._terms.message.scope.of(batch.generation)):
            raise StoreDamaged(
                f"batch {batch.id} does not encode to the bytes that its key was taken from: the plan is damaged, "
                "or was made by a version with another format; restore it, or finish with the version that planned it"
            )
        first_us = task.claim.since.wall_us if task.claim else None
        history = History(attempts=task.attempts, claim=task.claim, first_us=first_us)

        tried = await self._attempt(batch, request, history)
        if tried.verdict.action is Action.REPEAT:
            tried = await persist(
                tried,
                lambda: self._attempt(batch, request, history),
                unfinished=lambda each: each.verdict.action is Action.REPEAT,
                delay_s=self._delay_s,
                sleep=self._stop.sleep,
                give_up=lambda: self._stop.draining,
            )
        return await self._conclude(batch, tried, history)

    # ---- one attempt ------------------------------------------------------------------------------------------------

    async def _attempt(self, batch: Batch, request: Request, history: History) -> Try:
        try:
            return await self._try(batch, request, history)
        finally:
            self._guard.leave(batch.id)  # also when nothing was sent, or the run was cancelled

    async def _try(self, batch: Batch, request: Request, history: History) -> Try:
        refusal = self._may_not_repeat(batch, history)
        if refusal is not None:
            return Try(verdict=refusal)
        claim = await self._admitted(batch, history)
        if isinstance(claim, Verdict):
            return Try(verdict=claim)
        refusal = self._may_not_repeat(batch, history)  # the turn may have taken longer than the window had left
        if refusal is not None:
            return Try(verdict=refusal)
        history.attempts += 1
        history.claimed = True
        result = await self._series(batch, request)
        if result is None:  # between two requests that repeat naturally: nothing is lost
            return Try(verdict=_DRAINED)
        heard = self._terms.operation.hear(batch, result) if isinstance(result, Reply) else None
        verdict = classify(
            heard if heard is not None else result,  # type: ignore[arg-type]  # heard is None only without a reply
            repeat=self._terms.operation.repeat,
            doubtful=history.doubtful,
            on_5xx=self._terms.on_5xx,
            codes=self._terms.operation.codes,
            retimed=batch.moved_to is not None,
        )
        if history.first_us is None:
            history.first_us = result.started.wall_us
        self._hear(batch, result, verdict)
        tried = Try(verdict=verdict, result=result, heard=heard)
        if verdict.action is Action.REPEAT:
            await self._journal.note(attempt_of(batch, tried, history))
            doubtful = verdict.executed is Executed.UNKNOWN and self._terms.operation.repeat is not Repeat.NATURAL
            if doubtful and history.claim is None:
                history.claim = claim
            self._guard.give_up_if_silent()
        return tried

    async def _admitted(self, batch: Batch, history: History) -> Claim | Verdict | None:
        """Return when the batch's bytes may leave, with its new claim if it needed one; else why they may not."""
        if not history.doubtful and self._due(batch) is not None:  # before it takes a turn
            return _LATE
        try:
            return await self._line.admit(batch, needs_claim=not history.doubtful)
        except Late:
            return _LATE
        except Drained:
            return _DRAINED

    def _may_not_repeat(self, batch: Batch, history: History) -> Verdict | None:
        if history.claim is None:
            return None
        row_bytes = self._shared.largest_answer_row
        if batch.deliveries * (self._terms.row_bytes if row_bytes is None else row_bytes) > FORGOTTEN_BYTES:
            return Verdict(
                action=Action.HOLD,
                executed=Executed.UNKNOWN,
                code=POSTPONED if row_bytes is None else ANSWER_TOO_LARGE,
                sentence="The API forgets a key whose answer was longer than 5 MB, and this one may have been.",
            )
        allowed = may_repeat(
            history.claim,
            Instant.at(self._clock.reading()),
            server_us=self._shared.server_time.now_us(),
            window_s=self._terms.window_s,
            margin_s=self._terms.margin_s,
            repeat=self._terms.operation.repeat,
        )
        if allowed.allowed:
            return None
        return Verdict(action=Action.HOLD, executed=Executed.UNKNOWN, code="window_passed", sentence=allowed.reason)

    def _hear(self, batch: Batch, result: Reply | Lost | Unsent, verdict: Verdict) -> None:
        self._listen(batch, result)
        if verdict.throttled:
            self._budget.throttled(verdict)

    def _listen(self, batch: Batch, result: Reply | Lost | Unsent) -> None:
        """Take what a result tells besides what became of its batch."""
        if isinstance(result, Reply):
            self._shared.server_time.hear(result.server_us)
            self._budget.hear(result)
        self._guard.hear(batch.id, result)

    def _delay_s(self, tried: Try, failed: int) -> float:
        if self._stop.draining:
            return 0.0  # there is no next attempt
        wait_s = delay_s(
            failed,
            policy=self._terms.retry,
            retry_after_s=tried.verdict.retry_after_s,
            rand=self._rand(),
            hurried=self._guard.may_hurry(),
        )
        self._observe(Waiting(code=tried.verdict.code, sentence=tried.verdict.sentence, wait_s=wait_s))
        return wait_s

    # ---- what follows -----------------------------------------------------------------------------------------------

    async def _conclude(self, batch: Batch, tried: Try, history: History) -> Sequence[Task]:
        match tried.verdict.action:
            case Action.ACCEPT:
                await self._accept(batch, tried, history)
            case Action.REJECT:
                await self._journal.settle(outcome_of(batch, State.REJECTED, tried, history, self._clock))
                self._tell(tried, rejected=batch.deliveries)
            case Action.SPLIT:
                return await self._split(batch, tried, history)
            case Action.RETIME:
                return await self._retime(batch, tried, history)
            case Action.HOLD:
                await self._hold(batch, tried, history)
            case Action.STOP:
                await self._halt(batch, tried, history)
            case Action.REPEAT:  # the run drains before the batch is settled
                await self._release_if_untouched(batch, history)
                if history.doubtful:
                    self._tell(tried, in_doubt=batch.deliveries)
        return ()

    async def _hold(self, batch: Batch, tried: Try, history: History) -> None:
        if tried.result is not None:
            await self._journal.note(attempt_of(batch, tried, history))
        if tried.verdict.code == POSTPONED:
            self._shared.postponed += 1
        else:
            self._tell(tried, in_doubt=batch.deliveries)

    async def _accept(self, batch: Batch, tried: Try, history: History) -> None:
        reply, heard = tried.result, tried.heard
        if not isinstance(reply, Reply) or heard is None:  # for the type checker: only replies are accepted
            raise TypeError(tried)
        self._guard.accepted(repeated=history.attempts > 1)
        elsewhere = bool(heard.replayed) and not history.doubtful
        missing = heard.missing
        await self._journal.settle(
            outcome_of(batch, State.ACCEPTED, tried, history, self._clock, answer=reply.body, missing=missing)
        )
        self._shared.alone = False
        self._shared.largest_answer_row = max(self._shared.largest_answer_row or 0, len(reply.body) / batch.deliveries)
        accepted = batch.deliveries - missing
        earlier = accepted if elsewhere else 0
        self._tell(tried, accepted=accepted, in_doubt=missing, earlier_launch=earlier, batch=batch.id)

    async def _split(self, batch: Batch, tried: Try, history: History) -> Sequence[Task]:
        positions = tuple(range(len(batch.to)))
        cut = cut_after_400(positions, blamed=tried.verdict.blamed, bisections_left=self._shared.bisections_left)
        if not tried.verdict.blamed:
            self._shared.bisections_left -= len(cut.children)
        blames = [
            Blame(batch=batch.id, position=position, code=tried.verdict.code, sentence=tried.verdict.sentence)
            for position in cut.rejected
        ]
        born = [self._child(batch, chosen, cause=tried.verdict.code) for chosen in cut.children]
        await self._journal.settle(
            outcome_of(batch, State.SPLIT, tried, history, self._clock), [child for child, _ in born], blames
        )
        self._tell(tried, rejected=len(blames) * len(batch.channels), born=len(born))
        return [Task(batch=each) for _, each in born]

    async def _retime(self, batch: Batch, tried: Try, history: History) -> Sequence[Task]:
        """Put a batch of which nothing was sent at another time, or leave it where no time is left."""
        due = self._due(batch)
        if isinstance(due, Stale):
            self._shared.stale += batch.deliveries
            self._guard.end_if_too_late()
            await self._release_if_untouched(batch, history)
            return ()
        send_at = batch.due_at if due is None else due.send_at
        child, same = self._child(batch, tuple(range(len(batch.to))), cause=RETIMED, send_at=send_at or "")
        await self._journal.settle(outcome_of(batch, State.SPLIT, tried, history, self._clock), [child])
        self._tell(tried, born=1)
        return [Task(batch=same)]

    def _due(self, batch: Batch) -> Retimed | Stale | None:
        return self._terms.due(batch, now_us=self._shared.server_time.now_us() or self._clock.reading()[0])

    def _child(
        self, parent: Batch, positions: tuple[int, ...], *, cause: str, send_at: str | None = None
    ) -> tuple[Child, Batch]:
        number = self._shared.next_child
        self._shared.next_child -= 1
        bare = Child(id=number, parent=parent.id, positions=positions, key="", cause=cause, send_at=send_at)
        message = self._terms.message
        body = self._terms.operation.encode(message, child_batch(parent, bare).as_planned)
        child = replace(bare, key=idempotency_key(body, scope=message.scope.of(parent.generation)))
        return child, child_batch(parent, child)

    async def _halt(self, batch: Batch, tried: Try, history: History) -> None:
        self._stop.drain((tried.verdict.error or Halted)(tried.verdict.sentence))  # first: nobody else may set out
        await self._journal.note(attempt_of(batch, tried, history))
        if tried.verdict.executed is Executed.NO:
            await self._release_if_untouched(batch, history)
        else:
            self._tell(tried, in_doubt=batch.deliveries)

    async def _release_if_untouched(self, batch: Batch, history: History) -> None:
        """Take the claim back when every attempt, all of them recorded, created nothing."""
        if history.claimed and not history.doubtful:
            await self._journal.release(batch.id)

    def _tell(
        self,
        tried: Try,
        *,
        accepted: int = 0,
        rejected: int = 0,
        in_doubt: int = 0,
        earlier_launch: int = 0,
        born: int = 0,
        batch: int | None = None,
    ) -> None:
        self._observe(
            Settled(
                accepted=accepted,
                rejected=rejected,
                in_doubt=in_doubt,
                earlier_launch=earlier_launch,
                born=born,
                code=tried.verdict.code,
                sentence=tried.verdict.sentence,
                batch=batch,
            )
        )
