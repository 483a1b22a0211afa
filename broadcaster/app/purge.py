"""``purge``: the personal data of a finished run go, its counts stay, and its campaign is never sent again."""

import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from broadcaster.app.conclude import conclude
from broadcaster.clock import wall_us
from broadcaster.errors import StoppedEarly
from broadcaster.store import account
from broadcaster.store.exports import write_summary
from broadcaster.store.facts import Facts, tally
from broadcaster.store.journal import JournalReader
from broadcaster.store.plan import Plan
from broadcaster.store.purge import (
    Record,
    clean_codes,
    count_rows,
    read_record,
    remove_files,
    scrub,
    write_record,
)
from broadcaster.store.rundir import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """A purged run, and the names of what else is in its directory: nobody but its owner knows what that holds."""

    record: Record
    left: tuple[str, ...]


def check_finished(plan: Plan) -> None:
    """Refuse a run whose plan and journal are still needed; the caller holds the lock.

    Raises:
        StoppedEarly: something is pending or in doubt, and without keys and claims nobody could settle it.
    """
    counts = tally(plan, Facts.read(plan))
    if not (counts.pending or counts.in_doubt):
        return
    where = os.fspath(plan.run_dir.path)
    if not (counts.in_doubt or counts.accepted or counts.rejected):
        raise StoppedEarly(
            f"nothing of {where} was sent yet ({counts.pending} deliveries are pending); 'broadcaster resume {where}' "
            "sends it. If it is never to be sent, delete the directory"
        )
    raise StoppedEarly(
        f"{where} has not ended: {counts.pending} deliveries are pending and {counts.in_doubt} in doubt, and only its "
        f"plan and journal keep them from being sent twice. Settle them first, with 'broadcaster resume {where}' or, "
        "what stays in doubt, with 'broadcaster resolve'; then purge"
    )


def purge(run_dir: RunDir) -> Purged:
    """Remove what says who somebody is from *run_dir*, or finish a purge that was interrupted.

    The caller holds the run's lock. What is gone is gone for this program; it does not overwrite the disk's own blocks.

    Raises:
        StoppedEarly: something is pending or in doubt.
        StoreError: when the disk refuses; the same command goes on.
    """
    record = read_record(run_dir) or _begin(Plan.open(run_dir))
    if record.account is not None and record.run is not None:
        launch = account.Launch(
            account=record.account,
            mode=record.mode,
            campaign=record.campaign,
            run=record.run,
            run_dir=run_dir.path,
            keys_sha256="",
        )
        account.mark_purged(launch, now_us=wall_us())
    if run_dir.manifest.exists():
        scrub(run_dir.manifest)
    write_summary(run_dir.summary, record.summary)
    left = remove_files(run_dir)
    if not record.done:
        record = replace(record, done=True)
        write_record(run_dir, record)
    return Purged(record=record, left=left)


def _begin(plan: Plan) -> Record:
    """Bring manifest and counts up to date one last time, and declare the run purged."""
    check_finished(plan)
    ended = conclude(plan, examples=False)  # the report stays, and speaks of no single row
    with JournalReader(plan.run_dir.journal) as journal:
        known = journal.meta()
    batches = {**ended.summary["batches"], "refusals": clean_codes(ended.summary["batches"]["refusals"])}
    record = Record(
        campaign=plan.head.campaign,
        mode=plan.head.mode,
        account=known.get("account"),
        run=known.get("run"),
        purged_at=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        exit_code=int(ended.code),
        batches=batches["settled"],
        summary={**ended.summary, "batches": batches},
        rows=count_rows(plan.run_dir.manifest),
    )
    write_record(plan.run_dir, record)
    return record
