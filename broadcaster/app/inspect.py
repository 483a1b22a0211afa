"""Looking at a run without sending anything: status, verify, manifest."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broadcaster.app.conclude import Conclusion, conclude, counted, refresh
from broadcaster.core.control import Control
from broadcaster.errors import DifferenceFound, ExitCode, RunLocked, StoreError
from broadcaster.store.audit import Audit, audit, require_frozen
from broadcaster.store.control import read_control
from broadcaster.store.facts import Facts, tally
from broadcaster.store.manifest import count_deliveries, receipts_revision
from broadcaster.store.plan import Plan
from broadcaster.store.purge import Record, read_record
from broadcaster.store.rundir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a run stands; ``holder`` names the process that is working on it now.

    ``purged`` is what is left of it when its personal data were removed. ``control`` holds the orders of people;
    ``damaged`` says why they cannot be read.
    """

    conclusion: Conclusion
    holder: str | None
    batches: int
    settled: int
    in_doubt: int
    purged: Record | None = None
    control: Control = field(default_factory=Control)
    damaged: str | None = None


def status(path: Path) -> Standing:
    """Read where the run in *path* stands; works while it runs."""
    run_dir = RunDir(path)
    record = read_record(run_dir)
    if record is not None:
        return Standing(
            conclusion=Conclusion(code=ExitCode(record.exit_code), counts=record.counts, summary=record.summary),
            holder=run_dir.holder() if run_dir.is_in_use() else None,
            batches=record.batches,
            settled=record.batches,
            in_doubt=0,
            purged=record,
        )
    plan = Plan.open(run_dir)
    facts = Facts.read(plan)
    control, damaged = Control(), None
    try:
        control = read_control(run_dir)
    except StoreError as error:
        damaged = error.sentence
    conclusion = counted(plan, facts)
    conclusion.summary["receipts"] = _told(plan)
    return Standing(
        conclusion=conclusion,
        holder=run_dir.holder() if run_dir.is_in_use() else None,
        batches=plan.batches + len(facts.children),
        settled=len(facts.settled),
        in_doubt=len(facts.claims),
        control=control,
        damaged=damaged,
    )


def _told(plan: Plan) -> dict[str, int]:
    """Return what receipts say of the accepted deliveries; nothing where that cannot be known now.

    A manifest that receipts have overtaken is brought up to date, unless somebody works here or the disk refuses.
    """
    if not plan.run_dir.manifest.exists() or plan.run_dir.is_in_use():
        return {}
    if receipts_revision(plan):
        try:
            with plan.run_dir.locked():
                refresh(plan)
        except (RunLocked, StoreError):
            return {}
    return count_deliveries(plan.run_dir.manifest)


def rebuild(path: Path) -> Conclusion:
    """Build the manifest anew from plan and journal, whatever is there."""
    run_dir = RunDir(path)
    plan = require_frozen(Plan.open(run_dir))
    with run_dir.locked():
        plan.run_dir.manifest.unlink(missing_ok=True)
        return conclude(plan)


def verify(path: Path) -> tuple[Audit, dict[str, Any]]:
    """Prove that every row is accounted for.

    Returns:
        What was checked, and the counts.

    Raises:
        DifferenceFound: naming the first difference.
        RunLocked: while a run is going on.
    """
    run_dir = RunDir(path)
    plan = Plan.open(run_dir)
    with run_dir.locked():
        found = audit(plan)
        if found.difference is not None:
            raise DifferenceFound(found.difference)
        counts = tally(plan, Facts.read(plan))
    return found, {
        "rows": plan.rows,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "in_doubt": counts.in_doubt,
        "pending": counts.pending,
        "excluded": counts.excluded,
        "total": counts.total,
    }
