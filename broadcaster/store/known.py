"""Which messages a run's own journal explains: every id that an answer or a look-up gave it."""

from collections.abc import Iterator, Sequence

from broadcaster.core.values import Batch, Reading
from broadcaster.errors import BroadcasterError, StoreDamaged
from broadcaster.store import account
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir


def accepted(plan: Plan, facts: Facts) -> Iterator[tuple[Batch, Sequence[str]]]:
    """Yield every accepted batch with the ids of its messages, as the journal of *plan* knows them."""
    proved = plan.fetch([each for each in facts.evidence if each >= 0]) | facts.children
    for number, found in facts.evidence.items():
        yield proved[number], list(found.values())
    if not facts.settled:
        return
    with JournalReader(plan.run_dir.journal) as journal:
        answers = journal.answers(of_children=False)  # both in the order of their numbers
        upcoming = next(answers, None)
        for batch in plan.read_batches():
            if upcoming is not None and upcoming[0] == batch.id:
                yield batch, [each for each in answered_ids(plan, batch, upcoming[1]) if each is not None]
                upcoming = next(answers, None)
        for number, body in journal.answers(of_children=True):
            child = facts.children.get(number)
            if child is not None:
                yield child, [each for each in answered_ids(plan, child, body) if each is not None]


def message_ids(plan: Plan, facts: Facts) -> Iterator[str]:
    """Yield the message ids that the journal of *plan* knows."""
    for _, found in accepted(plan, facts):
        yield from found


def answered_ids(plan: Plan, batch: Batch, answer: bytes) -> Sequence[str | None]:
    """Return the message ids of a batch's deliveries by its raw answer; ``None`` where it has no entry.

    Raises:
        StoreDamaged: the answer cannot be read.
    """
    return answered(plan, batch, answer).message_ids


def answered(plan: Plan, batch: Batch, answer: bytes) -> Reading:
    """Return all that a batch's raw answer tells.

    Raises:
        StoreDamaged: the answer cannot be read.
    """
    try:
        return plan.head.asked.read(batch, answer)
    except ValueError as error:
        raise StoreDamaged(f"{plan.run_dir.journal}: the answer to batch {batch.id} cannot be read") from error


def ids_of_account(plan: Plan, facts: Facts, fingerprint: str) -> tuple[set[str], tuple[str, ...]]:
    """Return the ids that this user's journals of an account explain, and the runs whose journals cannot be read."""
    known, unread = set(message_ids(plan, facts)), []
    here = plan.run_dir.path.resolve()
    for path in account.run_dirs(fingerprint):
        if path == here:
            continue
        try:
            other = Plan.open(RunDir(path))
            known.update(message_ids(other, Facts.read(other)))
        except (BroadcasterError, OSError):  # moved, removed, purged: the person is told
            unread.append(str(path))
    return known, tuple(unread)
