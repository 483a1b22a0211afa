"""Figures of a report: those of a real run directory, and made-up ones to draw."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from broadcaster.app.conclude import counted
from broadcaster.core.receipts import Receipt
from broadcaster.errors import BroadcasterError
from broadcaster.report.figures import (
    Cost,
    Decision,
    Doubt,
    Example,
    Exclusion,
    Failure,
    Figures,
    Group,
    Kind,
    Launch,
    ListFile,
    Outcome,
    Price,
    Promise,
    Rate,
    Receipts,
    Result,
    State,
    Step,
    Timeline,
)
from broadcaster.report.summary import Source, summarise
from broadcaster.store.facts import Facts
from broadcaster.store.manifest import build_manifest
from broadcaster.store.plan import Plan
from broadcaster.store.receipts import ReceiptsWriter
from support.plans import SECOND, T0


def hear(plan: Plan, words: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
    """Write receipts of a run as ``serve`` does: message id, status, and what else they say."""
    receipts = [
        Receipt(
            message_id=message,
            status=status,
            channel=more.get("channel", "sms"),
            code=more.get("code"),
            reason=more.get("reason"),
            updated_us=T0 + more.get("at_s", 10) * SECOND,
            event_key=f"{message} {status}",
            source="webhook",
            price=more.get("price"),
        )
        for message, status, more in words
    ]

    async def write() -> None:
        with ReceiptsWriter(plan.run_dir.receipts) as writer:
            await writer.add(receipts)

    asyncio.run(write())


def figures_of(plan: Plan, *, because: BroadcasterError | None = None, **more: Any) -> Figures:
    """Build the manifest of a run and count it."""
    facts = Facts.read(plan)
    made = build_manifest(plan, facts, to=plan.run_dir.manifest)
    return summarise(
        Source(
            plan=plan,
            facts=facts,
            manifest=plan.run_dir.manifest,
            clashes=made.clashes,
            summary=counted(plan, facts, because=because).summary,
            **more,
        )
    )


def drawn(words: str = "spring-sale", **more: Any) -> Figures:
    """Return figures in which every section has something; *words* stand wherever a text of somebody else may stand."""
    outcomes = dict.fromkeys(map(str, Outcome), 0)
    outcomes |= {"read": 20, "delivered": 900, "sent": 30, "failed": 40, "rejected": 5, "in_doubt": 3, "pending": 2}
    group = Group(name=words, outcomes={name: count for name, count in outcomes.items() if count})
    times = Timeline(start="2026-11-21T08:46:00+00:00", step_s=30, series={"accepted": (10, 980), "rejected": (0, 5)})
    figures = Figures(
        campaign=words,
        mode="live",
        run_dir=words,
        written_at="2026-11-21T09:00:00+00:00",
        state=State.HALTED,
        headline=words,
        exit_code=5,
        stopped_by="halted",
        why=words,
        commands=((f"broadcaster resume {words}", words),),
        rows=1010,
        recipients=1000,
        outcomes=outcomes,
        funnel=(
            Step(name="On the list", unit="rows", count=1010, meaning="Rows."),
            Step(name="Eligible", unit="rows", count=1000, meaning="Valid."),
            Step(name="Accepted", unit="messages", count=990, meaning="Taken."),
            Step(name="Sent", unit="messages", count=950, meaning="Handed on."),
            Step(name="Delivered", unit="messages", count=920, meaning="There."),
            Step(name="Read", unit="messages", count=20, meaning="Opened."),
        ),
        receipts=Receipts(known=True, messages=985, of=990, last="2026-11-21T08:59:00+00:00"),
        channels=(group,),
        countries=(group,),
        failures=tuple(
            Failure(kind=kind, code=words, count=None if kind is Kind.STOPPED else 7, meaning=words, advice=words)
            for kind in Kind
        ),
        sending=times,
        told=replace(times, series={"delivered": (0, 900), "not delivered": (1, 39)}),
        rate=Rate(
            requests=12,
            refused=2,
            limit=200,
            busiest=12,
            messages_limit=6000,
            busiest_messages=990,
            over_time=replace(times, series={"requests": (2, 12)}),
        ),
        cost=Cost(
            total="12345.6789",
            messages=980,
            unpriced=10,
            channels=(Price(name=words, messages=980, cost="12345.6789"),),
            countries=(Price(name=words, messages=980, cost="12345.6789"),),
        ),
        exclusions=(
            Exclusion(reason=words, rows=10, examples=(Example(file=words, line=1041, shown=words, error=words),)),
        ),
        doubts=(
            Doubt(
                code=words, messages=3, since="2026-11-21T08:46:00+00:00", protected_until="2026-11-22T07:46:00+00:00"
            ),
            Doubt(code="partial", messages=1, since=None, protected_until=None),
        ),
        promises=tuple(Promise(what=words, result=result, how=words) for result in Result),
        facts=((words, words), ("Planned at", "2026-11-21T08:45:00+00:00")),
        lists=(ListFile(name=words, part=0, bytes=43_500, sha256="ab" * 32),),
        launches=(
            Launch(started="2026-11-21T08:46:00+00:00", ended=None, version=words, ending=None),
            Launch(
                started="2026-11-21T08:47:00+00:00",
                ended="2026-11-21T08:59:01+00:00",
                version="0.1.0",
                ending=words,
            ),
        ),
        decisions=(Decision(at="2026-11-21T08:58:00+00:00", who=words, what=words, requests=2, note=words),),
    )
    return replace(figures, **more)
