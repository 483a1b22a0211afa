"""Which messages a run's own journal explains: every id that an answer or a look-up gave it."""

from collections.abc import Iterator, Sequence

from broadcaster.core.values import Batch
from broadcaster.errors import StoreDamaged
from broadcaster.operations import OPERATIONS
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan


def message_ids(plan: Plan, facts: Facts) -> Iterator[str]:
    """Yield the message ids that the journal of *plan* knows."""
    for found in facts.evidence.values():
        yield from found.values()
    if not facts.settled:
        return
    with JournalReader(plan.run_dir.journal) as journal:
        answers = journal.answers(of_children=False)  # both in the order of their numbers
        upcoming = next(answers, None)
        for batch in plan.read_batches():
            if upcoming is not None and upcoming[0] == batch.id:
                yield from (each for each in answered_ids(plan, batch, upcoming[1]) if each is not None)
                upcoming = next(answers, None)
        for number, body in journal.answers(of_children=True):
            if number in facts.children:
                yield from (each for each in answered_ids(plan, facts.children[number], body) if each is not None)


def answered_ids(plan: Plan, batch: Batch, answer: bytes) -> Sequence[str | None]:
    """Return the message ids of a batch's deliveries by its raw answer; ``None`` where it has no entry.

    Raises:
        StoreDamaged: the answer cannot be read.
    """
    try:
        return OPERATIONS[plan.head.operation].read(batch, answer).message_ids
    except ValueError as error:
        raise StoreDamaged(f"{plan.run_dir.journal}: the answer to batch {batch.id} cannot be read") from error
