"""What a sender knows of one batch's attempts, and how that is written into the journal. Decides nothing."""

from dataclasses import dataclass

from broadcaster.clock import Clock
from broadcaster.core.values import Attempt, Batch, Claim, Heard, Lost, Outcome, Reply, Unsent, Verdict, quick
from broadcaster.core.words import Executed, State

EARLIER_LAUNCH = "earlier_launch"  # outcome.code of an answer to a key that this journal never sent


@quick
class Try:
    """One attempt with its meaning."""

    verdict: Verdict
    result: Reply | Lost | Unsent | None = None  # None: nothing was sent
    heard: Heard | None = None


@dataclass(slots=True)
class History:
    """What is known of a batch's attempts."""

    attempts: int
    claim: Claim | None  # of the earliest attempt that may have executed
    claimed: bool = False  # whether the journal holds a claim, doubtful or not
    first_us: int | None = None

    @property
    def doubtful(self) -> bool:
        """Whether an attempt is unresolved."""
        return self.claim is not None


def attempt_of(batch: Batch, tried: Try, history: History) -> Attempt:
    """Return an attempt that settled nothing, as the journal keeps it."""
    result, heard = tried.result, tried.heard
    if result is None:  # for the type checker: an attempt that sent nothing is never recorded
        raise TypeError(tried)
    contradicts = isinstance(result, Reply) and tried.verdict.executed is Executed.YES
    return Attempt(
        batch=batch.id,
        n=history.attempts,
        started=result.started,
        ended=result.ended,
        executed=tried.verdict.executed,
        http=heard.status if heard else None,
        code=tried.verdict.code,
        request_id=heard.request_id if heard else "",
        sentence=tried.verdict.sentence,
        body=result.body if contradicts and isinstance(result, Reply) else None,
    )


def outcome_of(
    batch: Batch,
    state: State,
    tried: Try,
    history: History,
    clock: Clock,
    *,
    answer: bytes | None = None,
    missing: int = 0,
) -> Outcome:
    """Return how a batch was settled, as the journal keeps it, with the *answer* that accepts it."""
    heard = tried.heard
    now_us = clock.reading()[0]
    replayed = heard.replayed if heard else ""
    elsewhere = state is State.ACCEPTED and replayed and not history.doubtful
    return Outcome(
        batch=batch.id,
        state=state,
        attempts=history.attempts,
        first_us=history.first_us or now_us,
        settled_us=now_us,
        http=heard.status if heard else None,
        code=EARLIER_LAUNCH if elsewhere else tried.verdict.code,
        sentence=tried.verdict.sentence,
        request_id=heard.request_id if heard else "",
        replayed=replayed,
        answer=answer,
        missing=missing,
    )
