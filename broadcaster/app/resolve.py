"""``resolve``: what a person decides about deliveries in doubt, written down with who and when.

Nothing is sent here; ``resume`` acts on what was decided.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from broadcaster.app.conclude import Conclusion, conclude
from broadcaster.app.parts import VERSION
from broadcaster.clock import SystemClock, wall_us
from broadcaster.core.doubt import MARGIN_SHARE, may_repeat
from broadcaster.core.keys import idempotency_key
from broadcaster.core.resolution import Doubted, follow
from broadcaster.core.split import child_batch
from broadcaster.core.values import Batch, Child, Decided, Instant, Outcome
from broadcaster.core.words import Decision
from broadcaster.job.model import Api
from broadcaster.operations import OPERATIONS
from broadcaster.store.audit import require_frozen
from broadcaster.store.doubts import deliveries_in_doubt
from broadcaster.store.facts import Facts
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from broadcaster.store.writer import JournalWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A batch in doubt, and whether its own key still protects a repeat (``refusal`` says why not).

    ``can_be_found``: the API shows messages, so that a look-up may find it.
    """

    doubted: Doubted
    refusal: str
    can_be_found: bool = True

    @property
    def is_protected(self) -> bool:
        """Whether ``resume`` repeats it by itself, and nobody can get it twice."""
        return not self.refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a decision covers."""

    conclusion: Conclusion
    decided: tuple[Known, ...]


def open_doubts(plan: Plan) -> list[Known]:
    """Return what is in doubt, and what may be done about it without any decision."""
    api = Api.model_validate(plan.head.api)
    now = Instant.at(SystemClock().reading())
    known = []
    for doubted in deliveries_in_doubt(plan, Facts.read(plan)):
        if doubted.claim is None:
            refusal = "The API has answered this request, and does not name them."
        elif not doubted.is_whole:
            refusal = "Some of the request's messages were found."
        else:
            refusal = may_repeat(
                doubted.claim,
                now,
                server_us=None,
                window_s=api.idempotency_window,
                margin_s=api.idempotency_window * MARGIN_SHARE,
                repeat=OPERATIONS[plan.head.operation].repeat,
            ).reason
        known.append(Known(doubted=doubted, refusal=refusal, can_be_found=plan.head.asked.gives_ids))
    return known


def look(path: Path) -> list[Known]:
    """Return what is in doubt in the run at *path*, which nobody may be working on."""
    run_dir = RunDir(path)
    plan = Plan.open(run_dir)
    with run_dir.locked():
        return open_doubts(plan)


def resolve(path: Path, what: Decision, *, expected: list[Known], who: str, note: str) -> Resolved:
    """Write down a decision about everything in doubt.

    ``SKIP`` ends it: those deliveries are never sent again. ``RESEND`` gives deliveries whose key protects no more new
    keys, under a generation of their own; the others keep their keys and bytes, with which ``resume`` repeats them.

    Args:
        path: the run directory.
        what: the decision.
        expected: what the person was shown; when it is not what is there now, nothing is decided.
        who: the person, for the record.
        note: the reason, for the record.

    Raises:
        RunLocked: while somebody works on the run.
    """
    run_dir = RunDir(path)
    with run_dir.locked():
        plan = require_frozen(Plan.open(run_dir))
        here = open_doubts(plan)
        shown = {each.doubted.batch.id for each in expected}
        decided = tuple(each for each in here if each.doubted.batch.id in shown)
        if decided:
            asyncio.run(_write(plan, what, decided, who=who, note=note))
        return Resolved(conclusion=conclude(plan), decided=decided)


async def _write(plan: Plan, what: Decision, known: tuple[Known, ...], *, who: str, note: str) -> None:
    at_us = wall_us()
    facts = Facts.read(plan)
    generation = f"s{_resends(facts) + 1}"
    decisions: list[Decided] = []
    outcomes: list[Outcome] = []
    children: list[Child] = []
    for each in known:
        batch = each.doubted.batch
        decisions.append(Decided(at_us=at_us, who=who, what=what, batch=batch.id, note=note))
        ended, born = follow(each.doubted, what, protected=each.is_protected, generation=generation, at_us=at_us)
        if ended is not None:
            outcomes.append(ended)
        for bare in born:
            number = min(facts.children, default=0) - len(children) - 1
            children.append(replace(bare, id=number, key=_key(plan, batch, bare)))
    with JournalWriter(plan.run_dir.journal, version=VERSION) as journal:
        await journal.decide(decisions, outcomes, children)


def _resends(facts: Facts) -> int:
    """Return how often something was sent anew in this run."""
    return len({each.generation for each in facts.children.values() if each.generation.startswith("s")})


def _key(plan: Plan, parent: Batch, bare: Child) -> str:
    head = plan.part_of(parent.id).head if parent.id >= 0 else plan.head
    body = OPERATIONS[head.operation].encode(head.message, child_batch(parent, bare).as_planned)
    return idempotency_key(body, scope=head.scope.of(bare.generation))
