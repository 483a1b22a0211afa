"""However a run went and however often it is retried: a retry has those whom the API refused last, and nobody else."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import accepted, attempt, child_of, claim, divided, make_plan, people, record, rejected

from broadcaster.app.retry import add_retry
from broadcaster.core.values import Batch
from broadcaster.core.words import Status
from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan

# No test has a deadline: the machine may be busy with something else.
FATES = st.sampled_from(["rejected", "rejected", "split", "accepted", "partial", "claimed", "tried"])


class Story:
    """What became of a plan's people, told to its journal batch by batch: number → the last word."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.word: dict[str, str] = {}
        self.born = 0

    def tell(self, plan: Plan, batch: Batch, *, depth: int = 0) -> None:
        fate = self.draw(FATES if depth < 2 else FATES.filter(lambda each: each != "split"))
        record(plan, claim(batch.id))
        match fate:
            case "rejected":
                record(plan, rejected(batch))
            case "accepted":
                record(plan, accepted(batch))
            case "partial":
                record(plan, accepted(batch, without=[(batch.to[0], "auto")]))
            case "tried":
                record(plan, attempt(batch.id))
            case "split":
                self.split(plan, batch, depth)
                return
        words = {"partial": "accepted", "claimed": "in_doubt", "tried": "in_doubt"}
        self.word |= dict.fromkeys(batch.to, words.get(fate, fate))
        if fate == "partial":
            self.word[batch.to[0]] = "in_doubt"

    def split(self, plan: Plan, batch: Batch, depth: int) -> None:
        blamed = sorted(self.draw(st.sets(st.integers(0, len(batch.to) - 1), min_size=1)))
        rest = [position for position in range(len(batch.to)) if position not in blamed]
        children = []
        if rest:
            self.born += 1
            children = [child_of(plan, batch, rest, number=-self.born)]
        record(plan, divided(batch, blamed=blamed, children=[child for child, _ in children]))
        self.word |= {batch.to[position]: "rejected" for position in blamed}
        for _, child in children:
            self.tell(plan, child, depth=depth + 1)

    @property
    def refused(self) -> list[str]:
        return sorted(to for to, word in self.word.items() if word == "rejected")


@settings(max_examples=25, deadline=None)
@given(data=st.data(), recipients=st.integers(1, 9), batch_size=st.integers(1, 4))
def test_a_retry_has_exactly_those_who_were_refused_last(data: st.DataObject, recipients: int, batch_size: int) -> None:
    with TemporaryDirectory() as directory:
        tables = {"message": {"parameters": {"name": "{name}"}}}
        rows = [*people(recipients, name=["Ada", "Bea"]), {"id": "x", "mobile": "none", "name": "Ada"}]
        plan = make_plan(Path(directory), rows, tables, batch_size=batch_size)
        names = {row["mobile"]: row["name"] for row in rows}
        story = Story(data.draw)
        for _ in range(3):
            first = plan.parts[-1].head.first_batch
            for batch in [each for each in plan.read_batches() if each.id >= first]:
                story.tell(plan, batch)
            check(plan, story.word)
            longer = add_retry(plan)
            assert (longer is None) == (not story.refused)
            if longer is None:
                break
            plan = longer
            added = [each for each in plan.read_batches() if each.id >= plan.parts[-1].head.first_batch]
            assert sorted(to for batch in added for to in batch.to) == story.refused
            for batch in added:
                assert 1 <= len(batch.to) <= batch_size
                assert {f'{{"name":"{names[to]}"}}'.encode() for to in batch.to} == {batch.parameters}
            check(plan, story.word | dict.fromkeys(story.refused, "pending"))
        keys = [batch.key for batch in plan.read_batches()]
        assert len(set(keys)) == len(keys)


def check(plan: Plan, word: dict[str, str]) -> None:
    """Manifest, counts and audit say what *word* says of everybody; one row is excluded."""
    facts = Facts.read(plan)
    made = build_manifest(plan, facts, to=plan.run_dir.manifest)
    counted = tally(plan, facts)
    expected = {status: sum(each == status for each in word.values()) for status in Status} | {Status.EXCLUDED: 1}

    assert made.counts == expected
    assert {status: getattr(counted, status) for status in Status} == expected
    assert audit(plan).difference is None
