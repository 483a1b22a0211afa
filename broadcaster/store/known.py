"""Which messages a run's own journal explains: every id that an answer or a look-up gave it."""

from collections.abc import Iterator

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
        answers = dict(journal.answers())
    for batch in (*plan.read_batches(lambda numbers: numbers >= 0), *facts.children.values()):
        if batch.id in answers:
            try:
                reading = OPERATIONS[plan.head.operation].read(batch, answers[batch.id])
            except ValueError as error:
                raise StoreDamaged(f"{plan.run_dir.journal}: the answer to batch {batch.id} cannot be read") from error
            yield from (each for each in reading.message_ids if each is not None)
