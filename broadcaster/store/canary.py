"""Which parts of a plan still wait for their canary, and what the journal knows of its messages.

Whether a canary was judged well is not written down: whoever finds that a batch behind it was claimed knows that the
gate was passed. So a crash can lose nothing but the judgement itself, which is made again from journal and receipts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from broadcaster.core.canary import IN_DOUBT, REJECTED, Probe
from broadcaster.core.values import Batch
from broadcaster.core.words import Channel, State
from broadcaster.store.facts import Facts
from broadcaster.store.journal import JournalReader
from broadcaster.store.known import answered_ids
from broadcaster.store.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A part of the plan whose batches in *rest* wait for those in *canary*; both are ranges of batch numbers."""

    part: int
    canary: range
    rest: range


def closed_gates(plan: Plan, facts: Facts) -> tuple[Gate, ...]:
    """Return the gates that nobody has passed, by what was claimed or settled, or has opened by a decision.

    Raises:
        StoreError: the journal cannot be read.
    """
    gates = [_gate(part.head.part, part.head.first_batch, part.head.canary_batches, part.head.batches)
             for part in plan.parts if 0 < part.head.canary_batches < part.head.batches]  # fmt: skip
    waived: set[str] = set()
    if gates and plan.run_dir.journal.exists():
        with JournalReader(plan.run_dir.journal) as journal:
            waived = {each.note for each in journal.waivers()}
    return tuple(gate for gate in gates if str(gate.part) not in waived and not _was_passed(gate, facts))


def _gate(part: int, first: int, canary: int, batches: int) -> Gate:
    return Gate(part=part, canary=range(first, first + canary), rest=range(first + canary, first + batches))


def _was_passed(gate: Gate, facts: Facts) -> bool:
    settled = facts.settled.batches
    return bool(((settled >= gate.rest.start) & (settled < gate.rest.stop)).any()) or any(
        batch in gate.rest for batch in facts.claims
    )


def probes(plan: Plan, facts: Facts, gates: Iterable[Gate]) -> tuple[Probe, ...]:
    """Return every message of the canaries of *gates*, as far as the journal knows it.

    Raises:
        StoreError: plan or journal cannot be read.
    """
    batches = plan.fetch([batch for gate in gates for batch in gate.canary])
    with JournalReader(plan.run_dir.journal) as journal:
        refusals = journal.refusals([*batches, *facts.children])
        return tuple(probe for batch in batches.values() for probe in _probes_of(plan, batch, facts, journal, refusals))


def _probes_of(
    plan: Plan, batch: Batch, facts: Facts, journal: JournalReader, refusals: dict[int, str]
) -> Iterator[Probe]:
    state = facts.state(batch.id)
    proved = list(facts.evidence.get(batch.id, {}).values())
    parts = facts.parts.get(batch.id, ())
    match state:
        case State.ACCEPTED:
            answers = dict(journal.answers_of([batch.id]))
            ids = answered_ids(plan, batch, answers[batch.id]) if batch.id in answers else ()
            yield from _accepted(batch, [*(each for each in ids if each is not None), *proved])
            unknown = sum(1 for each in ids if each is None) - (len(proved) if batch.id in answers else 0)
        case State.REJECTED:
            yield from [Probe(settled_as=REJECTED, code=refusals.get(batch.id))] * batch.deliveries
            unknown = 0
        case State.SPLIT:
            for code, _ in facts.blames.get(batch.id, {}).values():
                yield from [Probe(settled_as=REJECTED, code=code)] * len(batch.channels)
            unknown = 0
        case State.SKIPPED:
            yield from _accepted(batch, proved)
            unknown = 0  # a person decided that nobody needs to know
        case _:  # claimed or not yet, or resent: those whom no look-up found
            yield from _accepted(batch, proved)
            unknown = batch.deliveries - len(proved)
    for part in parts:
        child = facts.children[part.id]
        unknown -= 0 if state is State.SPLIT else child.deliveries
        yield from _probes_of(plan, child, facts, journal, refusals)
    yield from [Probe(settled_as=IN_DOUBT)] * max(0, unknown)


def _accepted(batch: Batch, ids: Sequence[str]) -> Iterator[Probe]:
    for each in ids:
        yield Probe(message_id=each, may_reroute=batch.channels == (Channel.AUTO,))


def canary_settled_us(plan: Plan, gates: Iterable[Gate]) -> int | None:
    """Return when the last batch of the canaries of *gates* was settled; ``None``: none was.

    Raises:
        StoreError: the journal cannot be read.
    """
    with JournalReader(plan.run_dir.journal) as journal:
        found = [
            outcome.settled_us for gate in gates for batch in gate.canary for outcome in journal.outcomes(of=batch)
        ]
    return max(found, default=None)
