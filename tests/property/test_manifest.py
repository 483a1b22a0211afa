"""Whatever a journal says, every row has a state on every channel, and plan, journal and manifest agree on it."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.plans import (
    Settling,
    accepted,
    attempt,
    child_of,
    claim,
    divided,
    make_plan,
    message_id,
    people,
    record,
    rejected,
)

from broadcaster.core.values import Attempt, Batch, Child, Claim
from broadcaster.core.words import Status
from broadcaster.planning import rowtable
from broadcaster.store import spill
from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan
from broadcaster.store.story import StoryReader, became

FATES = st.sampled_from(["pending", "released", "claimed", "tried", "accepted", "partial", "rejected", "split"])


@dataclass
class Story:
    """A journal in the making, and what each delivery's status must be after it."""

    plan: Plan
    draw: Any
    facts: list[Claim | Attempt | Settling] = field(default_factory=list)
    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    born: int = 0

    def tell(self, batch: Batch, *, depth: int = 0) -> None:
        deliveries = [(to, str(channel)) for to in batch.to for channel in batch.channels]
        fate = self.draw(FATES)
        if fate not in {"pending", "released"}:
            self.facts.append(claim(batch.id))
        match fate:
            case "pending":
                self.all(deliveries, "pending")
            case "released":
                self.facts.append(attempt(batch.id))
                self.all(deliveries, "pending")
            case "claimed":
                self.all(deliveries, "in_doubt")
            case "tried":
                self.facts.append(attempt(batch.id))
                self.all(deliveries, "in_doubt")
            case "accepted" | "partial":
                without = self.draw(st.lists(st.sampled_from(deliveries), unique=True)) if fate == "partial" else []
                self.facts.append(accepted(batch, without=without))
                self.all(deliveries, "accepted")
                self.all(without, "in_doubt")
                self.ids |= {message_id(*each) for each in deliveries if each not in without}
            case "rejected":
                self.facts.append(rejected(batch))
                self.all(deliveries, "rejected")
            case _:
                self.split(batch, depth)

    def split(self, batch: Batch, depth: int) -> None:
        """Blame some positions and share the others out to at most three children."""
        highest = 3 if depth < 2 else 0
        shares = [self.draw(st.integers(0, highest)) for _ in batch.to]
        if len(set(shares)) == 1:
            shares[0] = 0  # a split whose one child is all of its parent is none
        blamed = [position for position, share in enumerate(shares) if share == 0]
        children: list[tuple[Child, Batch]] = []
        for share in range(1, highest + 1):
            positions = [position for position, each in enumerate(shares) if each == share]
            if positions:
                self.born += 1
                children.append(child_of(self.plan, batch, positions, number=-self.born))
        self.facts.append(divided(batch, blamed=blamed, children=[child for child, _ in children]))
        self.all([(batch.to[each], str(channel)) for each in blamed for channel in batch.channels], "rejected")
        for _, child in children:
            self.tell(child, depth=depth + 1)

    def all(self, deliveries: list[tuple[str, str]], status: str) -> None:
        self.expected |= dict.fromkeys(deliveries, status)


def told_of(plan: Plan) -> Iterator[tuple[str, str, str | None, str | None, str | None]]:
    """Tell the story of every recipient by itself, row by row: what ``trace`` says of each delivery."""
    with StoryReader(plan.run_dir.journal) as journal:
        for row in range(plan.rows):
            for batch, position in plan.holding(row):
                story = journal.story(plan, batch, position)
                for channel in sorted(batch.channels):
                    told = became(story, channel)
                    yield channel, told.status, told.reason, told.error, told.message_id


@pytest.fixture(autouse=True, scope="module")
def small_row_groups() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowtable, "ROW_GROUP", 4)
        patch.setattr(spill, "ROW_SHIFT", 2)
        yield


@settings(max_examples=30, deadline=None)
@given(
    data=st.data(),
    recipients=st.integers(1, 14),
    batch_size=st.integers(1, 6),
    channels=st.sampled_from([[], ["sms"], ["whatsapp", "sms"], ["sms", "rcs", "whatsapp"]]),
    vias=st.lists(st.sampled_from(["", "", "sms", "sms+whatsapp", "auto", "mms"]), min_size=1, max_size=5),
)
def test_rows_times_channels_each_with_the_state_that_the_journal_gives_it(
    data: st.DataObject, recipients: int, batch_size: int, channels: list[str], vias: list[str]
) -> None:
    with TemporaryDirectory() as directory:
        rows = [
            *people(recipients, name=["Ada", "Bea"], via=vias),
            {"id": "x", "mobile": "none", "name": "A", "via": ""},
        ]
        tables: dict[str, dict[str, Any]] = {
            "recipients": {"channel": "via"},
            "message": {"channels": channels, "parameters": {"name": "{name}"}},
        }
        plan = make_plan(Path(directory), rows, tables, batch_size=batch_size)
        story = Story(plan=plan, draw=data.draw)
        for batch in plan.read_batches():
            story.tell(batch)
        record(plan, *story.facts)
        facts = Facts.read(plan)
        made = build_manifest(plan, facts, to=plan.run_dir.manifest)
        found = pq.read_table(plan.run_dir.manifest).to_pylist()
        counted = tally(plan, facts)
        checked = audit(plan)
        traced = list(told_of(plan))

    width = max(1, len(channels))
    assert [(row["input_row"], row["channel"]) for row in found] == [
        (n, channel)
        for n, row in enumerate(rows)
        for channel in (row["via"].split("+") if row["via"] else sorted(channels or ["auto"]))
    ]
    assert {(row["to"], row["channel"]): row["status"] for row in found[:-width]} == story.expected
    assert {row["status"] for row in found[-width:]} == {"excluded"}
    accepted_ids = [row["message_id"] for row in found if row["message_id"] is not None]
    assert len(accepted_ids) == len(set(accepted_ids))
    assert set(accepted_ids) == story.ids
    assert all((row["status"] == "accepted") == (row["message_id"] is not None) for row in found)
    assert made.counts == {status: Counter(row["status"] for row in found)[status] for status in Status}
    assert {status: getattr(counted, status) for status in Status} == made.counts
    assert checked.difference is None
    assert traced == [
        (row["channel"], row["status"], row["reason"], row["error"], row["message_id"])
        for row in found
        if row["status"] != "excluded"
    ]
