"""From a run's files to :class:`~broadcaster.report.figures.Figures`: everything that a report says is decided here."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from broadcaster.core.doubt import MARGIN_SHARE
from broadcaster.core.words import Channel, Status
from broadcaster.job.model import Api
from broadcaster.phones.origins import countries
from broadcaster.report.cost import count_cost
from broadcaster.report.counting import Counted, Sample, count_manifest, numbers_of
from broadcaster.report.figures import Doubt, Example, Exclusion, Figures, Group, Outcome, Receipts, Step, Timeline
from broadcaster.report.masking import masked_cell, masked_text
from broadcaster.report.outcomes import ACCEPTED, DELIVERED, SENT, total
from broadcaster.report.promises import promises
from broadcaster.report.reasons import reasons
from broadcaster.report.requests import measure_rate
from broadcaster.report.standing import Standing, commands, headline, state_of
from broadcaster.report.story import about, decisions, launches, lists
from broadcaster.report.times import iso, timeline
from broadcaster.store.audit import Audit
from broadcaster.store.facts import Facts, tally
from broadcaster.store.head import Head
from broadcaster.store.plan import Plan

_MOST_COUNTRIES = 12  # the others are one group
_WITHOUT_HEADER = frozenset({".parquet", ".pq"})
_SAME = re.compile(r"input row (\d+)$")  # what a duplicate's sentence ends with
_NO_KEY_HELPS = frozenset({"missing_in_answer", "partial", "answer_too_large", "answer_size_unknown", "window_passed"})
_RECEIPT_WORDS = {Outcome.READ: "read", Outcome.DELIVERED: "delivered", Outcome.SENT: "sent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a report is made of.

    Attributes:
        manifest: the table of all deliveries; current.
        clashes: message ids that stand twice in it.
        summary: as in ``summary.json``: exit code, and what stopped the run.
        working: somebody is sending at the moment.
        audit: what ``verify`` found, if it was asked.
        examples: show what is about single rows and people: excluded rows, by line and masked; the words of receipts
            that are no codes; who decided something.
    """

    plan: Plan
    facts: Facts
    manifest: Path
    clashes: int
    summary: Mapping[str, Any]
    working: bool = False
    audit: Audit | None = None
    examples: bool = True


def summarise(source: Source) -> Figures:
    """Count everything that a report says.

    Raises:
        StoreError: a file of the run cannot be read.
    """
    plan, facts, head = source.plan, source.facts, source.plan.head
    counted = count_manifest(source.manifest, examples=source.examples)
    outcomes = counted.by_outcome()
    receipts = _receipts(counted, outcomes)
    ended = Standing(
        state=state_of(outcomes, source.summary, working=source.working),
        outcomes=outcomes,
        receipts=receipts,
        mode=head.mode,
        run_dir=str(plan.run_dir.path),
        why=masked_text(source.summary["why"]) if source.summary["why"] else None,
        creates=not head.asked.sends_messages,
        named=head.asked.gives_ids,
    )
    verify = next(command for command, _ in (ended.verify,))
    return Figures(
        campaign=head.campaign,
        mode=head.mode,
        run_dir=str(plan.run_dir.path),
        written_at=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        state=ended.state,
        headline=headline(ended),
        exit_code=int(source.summary["exit_code"]),
        stopped_by=source.summary["stopped_by"],
        why=ended.why,
        commands=commands(ended, verified=source.audit is not None and source.audit.difference is None),
        rows=plan.rows,
        recipients=plan.recipients,
        outcomes=outcomes,
        funnel=_funnel(plan, outcomes, receipts),
        receipts=receipts,
        channels=_channels(counted),
        countries=_countries(counted),
        failures=reasons(counted, stopped_by=source.summary["stopped_by"], sentences=source.examples),
        sending=_sending(counted),
        told=_told(counted),
        rate=measure_rate(plan, facts),
        cost=count_cost(plan.run_dir.path, source.manifest),
        exclusions=_exclusions(plan, counted),
        doubts=_doubts(counted, head),
        promises=promises(counted, tally(plan, facts), clashes=source.clashes, audit=source.audit, verify=verify),
        facts=about(plan),
        lists=lists(plan),
        launches=launches(plan),
        decisions=decisions(plan) if source.examples else (),
    )


def _receipts(counted: Counted, outcomes: Mapping[str, int]) -> Receipts:
    last = max((second for _, second in counted.told), default=None)
    with_one = sum(
        count for cell, count in counted.cells.items() if cell.status == Status.ACCEPTED and cell.delivery_status
    )
    accepted = total(outcomes, ACCEPTED)
    return Receipts(
        known=bool(with_one) or not (accepted or outcomes[Outcome.IN_DOUBT]),
        messages=with_one,
        of=accepted,
        last=None if last is None else iso(last * 1_000_000),
    )


def _funnel(plan: Plan, outcomes: Mapping[str, int], receipts: Receipts) -> tuple[Step, ...]:
    known = receipts.known
    eligible = plan.rows - sum(plan.excluded.values())
    steps = [
        Step(name="On the list", unit="rows", count=plan.rows, meaning="Rows of the list, blank lines left out."),
        Step(
            name="Eligible",
            unit="rows",
            count=eligible,
            meaning="Valid numbers that nobody has suppressed, each once.",
        ),
    ]
    if not plan.head.asked.sends_messages:
        there = Step(
            name="At Sent",
            unit="contacts",
            count=total(outcomes, ACCEPTED),
            meaning="Created, or there already.",
        )
        return (*steps, there)
    if plan.deliveries != eligible:
        steps.append(
            Step(
                name="Planned",
                unit="messages",
                count=plan.deliveries,
                meaning="One message for each person and channel.",
            )
        )
    steps += [
        Step(
            name="Accepted",
            unit="messages",
            count=total(outcomes, ACCEPTED),
            meaning="The API took them; that alone delivers nothing.",
        ),
        Step(
            name="Sent",
            unit="messages",
            count=total(outcomes, SENT) if known else None,
            meaning="Handed to the operator, by receipt.",
        ),
        Step(
            name="Delivered",
            unit="messages",
            count=total(outcomes, DELIVERED) if known else None,
            meaning="On the phone, by receipt.",
        ),
        Step(
            name="Read",
            unit="messages",
            count=outcomes[Outcome.READ] if known else None,
            meaning="Opened; only WhatsApp and RCS tell.",
        ),
    ]
    return tuple(steps)


def _channels(counted: Counted) -> tuple[Group, ...]:
    groups: dict[str, Counter[str]] = {}
    for cell, count in counted.cells.items():
        if cell.outcome is Outcome.EXCLUDED:
            continue
        used = (cell.delivery_channel or "").lower()
        name = cell.channel
        if used and used != cell.channel and used in set(Channel) - {Channel.AUTO}:
            name = f"{cell.channel} → {used}"
        groups.setdefault(name, Counter())[cell.outcome] += count
    order = {str(channel): place for place, channel in enumerate(Channel)}
    names = sorted(groups, key=lambda name: (order.get(name.split(" ")[0], len(order)), "→" not in name, name))
    return tuple(Group(name=name, outcomes=_ordered(groups[name])) for name in names)


def _countries(counted: Counted) -> tuple[Group, ...]:
    groups: dict[str, Counter[str]] = {}
    for outcome, numbers in numbers_of(counted).items():
        for country, count in countries(numbers).items():
            groups.setdefault(country, Counter())[outcome] += count
    names = sorted(groups, key=lambda name: (-groups[name].total(), name))
    shown = names if len(names) <= _MOST_COUNTRIES + 1 else names[:_MOST_COUNTRIES]
    found = [Group(name=name, outcomes=_ordered(groups[name])) for name in shown]
    if rest := names[len(shown) :]:
        others: Counter[str] = Counter()
        for name in rest:
            others.update(groups[name])
        found.append(Group(name=f"{len(rest)} others", outcomes=_ordered(others)))
    return tuple(found)


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return {str(outcome): counts[outcome] for outcome in Outcome if counts.get(outcome)}


def _sending(counted: Counted) -> Timeline | None:
    series: dict[str, dict[int, int]] = {"accepted": {}, "rejected": {}}
    for (status, second), count in counted.settled.items():
        series[status][second] = count
    return timeline(series)


def _told(counted: Counted) -> Timeline | None:
    series: dict[str, Counter[int]] = {
        name: Counter() for name in ("read", "delivered", "sent", "under way", "not delivered")
    }
    for (outcome, second), count in counted.told.items():
        word = _RECEIPT_WORDS.get(outcome, "under way" if outcome is Outcome.UNDER_WAY else "not delivered")
        series[word][second] += count
    return timeline(series)


def _exclusions(plan: Plan, counted: Counted) -> tuple[Exclusion, ...]:
    heads = {part.head.part: part.head for part in plan.parts}
    rows = {
        reason: tuple(_example(heads[each.part], each) for each in samples)
        for reason, samples in counted.samples.items()
    }
    return tuple(
        Exclusion(reason=reason, rows=count, examples=rows.get(reason, ())) for reason, count in plan.excluded.items()
    )


def _example(head: Head, sample: Sample) -> Example:
    file, line = _place(head, sample.input_row)
    return Example(
        file=file,
        line=line,
        shown=masked_cell(sample.phone_input, sample.to),
        error=_SAME.sub(lambda found: f"line {_place(head, int(found[1]))[1]:,}", masked_text(sample.error)),
    )


def _place(head: Head, row: int) -> tuple[str, int]:
    """Return in which file and on which line of it a row of a part's list stands."""
    for file, rows in zip(head.lists, head.rows_by_file, strict=False):
        if row < rows:
            header = 0 if Path(file.path).suffix.lower() in _WITHOUT_HEADER else 1
            return Path(file.path).name, row + 1 + header
        row -= rows
    return Path(head.lists[0].path).name if head.lists else "", row + 2


def _doubts(counted: Counted, head: Head) -> tuple[Doubt, ...]:
    window_s = Api.model_validate(head.api).idempotency_window * (1 - MARGIN_SHARE)
    messages: Counter[str] = Counter()
    for cell, count in counted.cells.items():
        if cell.outcome is Outcome.IN_DOUBT:
            messages[cell.reason or "no_answer"] += count
    found = []
    for code, count in messages.most_common():
        oldest = counted.oldest_doubt.get(code)
        protected = oldest is not None and code not in _NO_KEY_HELPS
        until = iso(oldest + int(window_s * 1_000_000)) if oldest is not None and protected else None
        found.append(Doubt(code=code, messages=count, since=iso(oldest), protected_until=until))
    return tuple(found)
