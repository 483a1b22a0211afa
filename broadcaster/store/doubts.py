"""The deliveries in doubt, batch by batch: claimed without an answer, or missing in the answer."""

from collections.abc import Iterator

from broadcaster.core.resolution import Delivery, Doubted
from broadcaster.core.values import Batch
from broadcaster.core.words import State
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.known import answered_ids
from broadcaster.store.plan import Plan


def deliveries_in_doubt(plan: Plan, facts: Facts) -> Iterator[Doubted]:
    """Yield every batch that has deliveries in doubt, oldest claims first."""
    claimed = plan.fetch([each for each in facts.claims if each >= 0]) | facts.children
    for number, claim in facts.claims.items():
        _, _, _, code, sentence = facts.attempts.get(number, (0, None, 0, "", ""))
        yield Doubted(
            batch=claimed[number],
            deliveries=_without(claimed[number], known=set(facts.evidence.get(number, ()))),
            claim=claim,
            since_us=claim.since.wall_us,
            attempts=facts.tried(number),
            code=code or "no_answer",
            sentence=sentence or "The process ended before an answer came.",
        )
    yield from _missing(plan, facts)


def _missing(plan: Plan, facts: Facts) -> Iterator[Doubted]:
    """Yield the batches whose answer lacks deliveries that nobody has decided about."""
    partial = {
        number: settled
        for number, settled in facts.settled.items()
        if settled.state is State.ACCEPTED and settled.missing and number not in facts.waived
    }
    batches = plan.fetch([each for each in partial if each >= 0]) | facts.children
    if not partial:
        return
    with JournalReader(plan.run_dir.journal) as journal:
        for number, settled in partial.items():
            batch = batches[number]
            known = set(facts.evidence.get(number, ()))
            for child in facts.parts.get(number, ()):
                known.update((position, channel) for position in child.positions for channel in child.channels)
            if number not in facts.evidence or len(facts.evidence[number]) < batch.deliveries:
                known.update(_answered(plan, batch, journal))
            left = _without(batch, known=known)
            if left:
                yield Doubted(
                    batch=batch,
                    deliveries=left,
                    claim=None,
                    since_us=settled.first_us or settled.settled_us,
                    attempts=settled.attempts,
                    code=settled.code,
                    sentence=settled.sentence,
                )


def _answered(plan: Plan, batch: Batch, journal: JournalReader) -> Iterator[Delivery]:
    ids = answered_ids(plan, batch, journal.answer(batch.id))
    yield from (delivery for delivery, message_id in zip(_all(batch), ids, strict=True) if message_id is not None)


def _all(batch: Batch) -> list[Delivery]:
    return [(position, channel) for position in range(len(batch.to)) for channel in batch.channels]


def _without(batch: Batch, *, known: set[Delivery]) -> tuple[Delivery, ...]:
    return tuple(delivery for delivery in _all(batch) if delivery not in known)
