"""After a run, and any time later: manifest, lists to correct, summary, exit code."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from broadcaster.core.timetable import RETIMED
from broadcaster.core.values import Tally
from broadcaster.core.words import State
from broadcaster.engine.record import EARLIER_LAUNCH
from broadcaster.errors import BroadcasterError, DifferenceFound, ExitCode, WindowShut
from broadcaster.lists.read import ListSource, open_list
from broadcaster.store.exports import write_exports, write_summary
from broadcaster.store.facts import Facts, tally
from broadcaster.store.files import digest
from broadcaster.store.manifest import build_manifest, clashes_if_current, count_deliveries, count_opt_outs
from broadcaster.store.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What is left of a run when a command ends."""

    code: ExitCode
    counts: Tally
    summary: dict[str, Any]


def conclude(plan: Plan, *, because: BroadcasterError | None = None, examples: bool = True) -> Conclusion:
    """Bring manifest, ``failed.csv``, ``excluded.csv``, ``summary.json`` and ``report.html`` up to date.

    Args:
        plan: of the run; the caller holds its lock.
        because: what stopped the run, if something did.
        examples: show single rows in the report, by line and with their numbers masked.

    Raises:
        StoreError: when the disk refuses, or plan or journal are damaged.
    """
    from broadcaster.report.summary import Source
    from broadcaster.report.write import write_page  # its template engine is for those who come so far

    facts = Facts.read(plan)
    clashes = clashes_if_current(plan)
    if clashes is None:
        clashes = build_manifest(plan, facts, to=plan.run_dir.manifest).clashes
    if clashes:
        because = DifferenceFound(
            f"{clashes} message ids of the API's answers stand for more than one delivery, so that nobody can tell who "
            f"was messaged; 'broadcaster verify {plan.run_dir.path}' names the first, ask Sent about it"
        )
    counts = tally(plan, facts)
    code = exit_code(counts, because=because)
    summary = _summarise(plan, facts, counts, code=code, because=because)
    summary["receipts"] = count_deliveries(plan.run_dir.manifest) if plan.head.asked.sends_messages else {}
    if plan.head.asked.takes_opt_outs:
        summary["opted_out"] = count_opt_outs(plan.run_dir.manifest)
    phone = plan.head.identity["recipients"]["phone"]
    write_exports(
        plan.run_dir,
        sources={part: source.batches(malformed={}) for part, source in _sources(plan).items()},
        phone=phone,
    )
    write_summary(plan.run_dir.summary, summary)
    write_page(
        Source(
            plan=plan, facts=facts, manifest=plan.run_dir.manifest, clashes=clashes, summary=summary, examples=examples
        )
    )
    return Conclusion(code=code, counts=counts, summary=summary)


def refresh(plan: Plan) -> None:
    """Bring the manifest alone up to date; the caller holds the lock.

    Raises:
        StoreError: when the disk refuses, or plan, journal or receipts are damaged.
    """
    if clashes_if_current(plan) is None:
        build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)


def counted(plan: Plan, facts: Facts, *, because: BroadcasterError | None = None) -> Conclusion:
    """Count without writing anything: what *facts* say of a run."""
    counts = tally(plan, facts)
    code = exit_code(counts, because=because)
    return Conclusion(code=code, counts=counts, summary=_summarise(plan, facts, counts, code=code, because=because))


def exit_code(counts: Tally, *, because: BroadcasterError | None = None) -> ExitCode:
    """Return what a run's end means, the gravest first (design.md §3, "When several hold")."""
    if because is not None and because.exit_code is not ExitCode.STOPPED:
        return because.exit_code
    if because is not None or counts.pending:
        return ExitCode.STOPPED
    if counts.in_doubt:
        return ExitCode.SOME_IN_DOUBT
    return ExitCode.SOME_REJECTED if counts.rejected else ExitCode.DONE


def _sources(plan: Plan) -> dict[int, ListSource]:
    """Return, by part, the lists that still are what they were when they were planned."""
    found: dict[int, ListSource] = {}
    for part in plan.parts:
        lists = part.head.lists
        recipients = part.head.identity["recipients"]
        paths = [plan.run_dir.path.absolute() / each.path for each in lists]  # copies are in the run directory
        same = (path.is_file() and digest(path) == each.sha256 for path, each in zip(paths, lists, strict=True))
        if lists and all(same):
            found[part.head.part] = open_list(
                list(map(str, paths)),
                base=plan.run_dir.path,
                encoding=recipients["encoding"],
                delimiter=recipients["delimiter"],
                sheet=recipients.get("sheet"),
            )
    return found


def _summarise(
    plan: Plan, facts: Facts, counts: Tally, *, code: ExitCode, because: BroadcasterError | None
) -> dict[str, Any]:
    refusals: dict[str, int] = {}
    earlier = 0
    for (state, word), count in facts.settled.by_code().items():
        if word == EARLIER_LAUNCH:
            earlier += count
        elif state in {State.REJECTED, State.SPLIT} and word != RETIMED:
            refusals[word] = refusals.get(word, 0) + count
    return {
        "campaign": plan.head.campaign,
        "mode": plan.head.mode,
        "operation": plan.head.asked.name,
        "run_dir": str(plan.run_dir.path),
        "complete": not (counts.pending or counts.in_doubt),
        "exit_code": int(code),
        "stopped_by": because.code if because else None,
        "why": because.sentence if because else None,
        **({"come_back_at": because.until} if isinstance(because, WindowShut) else {}),
        "rows": plan.rows,
        "recipients": plan.recipients,
        "deliveries": {
            "accepted": counts.accepted,
            "rejected": counts.rejected,
            "in_doubt": counts.in_doubt,
            "pending": counts.pending,
            "excluded": counts.excluded,
        },
        "excluded_rows": plan.excluded,
        "batches": {
            "planned": plan.batches,
            "settled": len(facts.settled),
            "accepted_by_an_earlier_launch": earlier,
            "refusals": refusals,
        },
        "written_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
    }
