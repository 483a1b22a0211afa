"""What became of every batch: the journal's facts joined with the plan's batches.

The one place that derives a delivery's status; manifest, status and verify all read it, so that they cannot disagree.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broadcaster.core.classify import ANSWER_TOO_LARGE
from broadcaster.core.split import child_batch
from broadcaster.core.tally import Ahead
from broadcaster.core.values import Batch, Child, Claim, Tally
from broadcaster.core.words import Channel, Decision, Repeat, State, Status
from broadcaster.errors import StoreDamaged
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.settled import STATES, SettledBatches

PROVED = "proved"  # outcome.code of a batch that look-ups show whole
_WHOSE = frozenset({"account", "run"})  # written together, before the first claim
_NO_BLAME: dict[int, tuple[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that the journal says, read at one moment."""

    settled: SettledBatches
    claims: dict[int, Claim]
    attempts: dict[int, tuple[int, int | None, int, str, str]]
    blames: dict[int, dict[int, tuple[str, str]]]
    children: dict[int, Batch]
    parts: dict[int, list[Child]]  # the children of each batch that has any, in the order of their creation
    evidence: dict[int, dict[tuple[int, Channel], str]]
    waived: frozenset[int]  # batches of which a person decided not to send again what is in doubt
    running: bool

    @classmethod
    def read(cls, plan: Plan, *, whole: bool = True) -> "Facts":
        """Read the journal; a run that has none yet has no facts.

        Args:
            plan: of the run.
            whole: with everything about settled batches, each row checked. Without it only their state and what is
                missing in their answers: enough to count and to go on, and in a tenth of the time.

        Raises:
            StoreError: when it cannot be read, or does not fit the plan.
        """
        if not plan.run_dir.journal.exists():
            nothing: dict[int, Any] = {}
            return cls(
                settled=SettledBatches.none(),
                claims=nothing,
                attempts=nothing,
                blames=nothing,
                children=nothing,
                parts=nothing,
                evidence=nothing,
                waived=frozenset(),
                running=False,
            )
        try:
            with JournalReader(plan.run_dir.journal) as journal, journal.at_one_moment():
                if (known := journal.meta()) and not known.keys() >= _WHOSE:
                    raise StoreDamaged(f"{plan.run_dir.journal} does not say whose it is; restore it from a copy")
                born = list(journal.children())
                parts: dict[int, list[Child]] = {}
                for child in born:
                    parts.setdefault(child.parent, []).append(child)
                # What repeats naturally is done again, however far it had come: a claim says nothing then.
                natural = plan.head.asked.repeat is Repeat.NATURAL
                facts = cls(
                    settled=SettledBatches.read(journal) if whole else SettledBatches.read_states(journal),
                    claims={} if natural else {each.batch: each for each in journal.open_claims()},
                    attempts=journal.last_attempts(),
                    blames=journal.blames(),
                    children=_whole(plan, born),
                    parts=parts,
                    evidence=journal.evidence(),
                    waived=frozenset(
                        each.batch
                        for each in journal.decisions()
                        if each.what is Decision.SKIP and each.batch is not None
                    ),
                    running=plan.run_dir.is_in_use(),
                )
        except (LookupError, ValueError) as error:  # a word, a parent or a position that was never written by us
            raise StoreDamaged(
                f"{plan.run_dir.journal}: it does not fit the plan ({error}); restore the run directory from a copy"
            ) from error
        _require_known(plan, facts)
        return facts

    def tried(self, batch: int) -> int:
        """Return how many attempts of an unsettled batch are recorded."""
        return self.attempts[batch][0] if batch in self.attempts else 0

    def to_repeat(self) -> list[int]:
        """Return the batches that were claimed without an outcome and may be asked for again, oldest first."""
        forgotten = {number for number, (*_, code, _) in self.attempts.items() if code == ANSWER_TOO_LARGE}
        return [number for number in self.claims if number not in forgotten]

    def state(self, batch: int) -> Status | State:
        """Return a batch's settled state, else ``in_doubt`` or ``pending``."""
        settled = self.settled.state(batch)
        if settled is not None:
            return settled
        return Status.IN_DOUBT if batch in self.claims else Status.PENDING


def _whole(plan: Plan, entries: list[Child]) -> dict[int, Batch]:
    """Return the children as batches of their own: children of children too."""
    parents = plan.fetch([each.parent for each in entries if each.parent >= 0])
    children: dict[int, Batch] = {}
    for each in entries:  # in the order of creation: a parent comes before its children
        parent = parents[each.parent] if each.parent >= 0 else children[each.parent]
        children[each.id] = child_batch(parent, each)
    return children


def unsettled(plan: Plan, facts: Facts) -> NDArray[np.bool_]:
    """Return, per planned batch, whether it was neither settled nor claimed: what a run goes on with."""
    fresh = np.ones(plan.batches, dtype=bool)
    for touched in (facts.settled.batches, np.array(list(facts.claims), dtype=np.int64)):
        fresh[touched[touched >= 0]] = False
    return fresh


def open_children(facts: Facts) -> list[Batch]:
    """Return the parts of batches that were neither settled nor claimed."""
    return [
        child for batch, child in facts.children.items() if batch not in facts.settled and batch not in facts.claims
    ]


def ahead(plan: Plan, facts: Facts, *, counts: Tally) -> Ahead:
    """Return what a run that goes on has before it; *counts* are those of *facts*."""
    again = facts.to_repeat()
    planned = plan.fetch([each for each in again if each >= 0]) if again else {}
    return Ahead(
        requests=len(again) + len(open_children(facts)) + int(np.count_nonzero(unsettled(plan, facts))),
        messages=counts.pending + sum((planned | facts.children)[each].deliveries for each in again),
        largest=max(part.head.heaviest for part in plan.parts),
    )


def _require_known(plan: Plan, facts: Facts) -> None:
    settled = facts.settled.batches
    few = (*settled[settled < 0].tolist(), *settled[-1:].tolist(), *facts.claims)  # they rise: the last is the highest
    for batch in few:
        if batch >= plan.batches or (batch < 0 and batch not in facts.children):
            raise StoreDamaged(f"{plan.run_dir.journal} speaks of batch {batch}, which was never planned")


def tally(plan: Plan, facts: Facts) -> Tally:
    """Count deliveries by status."""
    recipients, channels = plan.shapes()
    counts = _ordinary(facts, recipients * channels)
    resent = Counter[int]()
    for child in facts.children.values():
        resent[child.parent or 0] += child.deliveries
    for batch in _special(facts):
        part = facts.children.get(batch)
        width = int(channels[batch]) if part is None else len(part.channels)
        size = int(recipients[batch]) * width if part is None else part.deliveries
        proved = len(facts.evidence.get(batch, ()))
        match facts.state(batch):
            case State.ACCEPTED:
                missing = int(facts.settled.missing[facts.settled.places([batch])[0]]) - proved
                counts[Status.ACCEPTED] += size - missing
                left = Status.EXCLUDED if batch in facts.waived else Status.IN_DOUBT
                counts[left] += missing - resent[batch]
            case State.REJECTED:
                counts[Status.REJECTED] += size
            case State.SPLIT:
                counts[Status.REJECTED] += len(facts.blames.get(batch, _NO_BLAME)) * width
            case State.RESENT:
                counts[Status.ACCEPTED] += proved
            case State.SKIPPED:
                counts[Status.ACCEPTED] += proved
                counts[Status.EXCLUDED] += size - proved
            case Status.IN_DOUBT:
                counts[Status.ACCEPTED] += proved
                counts[Status.IN_DOUBT] += size - proved
            case _:
                counts[Status.PENDING] += size
    for status, replaced in _replaced(plan).items():  # of whoever is in a retry the later word counts
        counts[status] -= replaced
    counts[Status.EXCLUDED] += sum(part.head.excluded_in_manifest for part in plan.parts)
    return Tally(
        pending=counts[Status.PENDING],
        accepted=counts[Status.ACCEPTED],
        rejected=counts[Status.REJECTED],
        excluded=counts[Status.EXCLUDED],
        in_doubt=counts[Status.IN_DOUBT],
    )


def _replaced(plan: Plan) -> Counter[Status]:
    """Return how many deliveries of which status have a later word by a retry."""
    found = Counter[Status]()
    for planned in plan.parts:
        found.update({Status(status): count for status, count in planned.head.replaces.items()})
    return found


def _special(facts: Facts) -> set[int]:
    """Return the batches about which more is known than their state."""
    return {*facts.claims, *facts.children, *facts.parts, *facts.evidence, *facts.waived, *facts.blames}


def _ordinary(facts: Facts, sizes: NDArray[np.int64]) -> dict[Status, int]:
    """Count the deliveries of all other batches: there may be millions of them."""
    special = np.array([each for each in _special(facts) if each >= 0], dtype=np.int64)
    ordinary = np.ones(len(sizes), dtype=bool)
    ordinary[special] = False
    settled, states, missing = facts.settled.batches, facts.settled.states, facts.settled.missing
    mine = settled >= 0
    mine[mine] = ordinary[settled[mine]]
    settled, states, missing = settled[mine], states[mine], missing[mine]
    by_state = dict.fromkeys(State, 0)
    for place, state in enumerate(STATES):
        by_state[state] = int(sizes[settled[states == place]].sum())
    lacking = int(missing[states == STATES.index(State.ACCEPTED)].sum())
    counts = dict.fromkeys(Status, 0)
    counts[Status.PENDING] = int(sizes[ordinary].sum()) - sum(by_state.values())
    counts[Status.ACCEPTED] = by_state[State.ACCEPTED] - lacking
    counts[Status.IN_DOUBT] = lacking
    counts[Status.REJECTED] = by_state[State.REJECTED]
    counts[Status.EXCLUDED] = by_state[State.SKIPPED]
    return counts
