"""``report``: what happened in a run, for people and for machines, at any time."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from broadcaster.app.conclude import counted, refresh
from broadcaster.errors import BelongsToAnother, RunLocked
from broadcaster.report.figures import Figures
from broadcaster.report.formats import FORMATS
from broadcaster.report.summary import Source, summarise
from broadcaster.store.audit import audit
from broadcaster.store.facts import Facts
from broadcaster.store.files import write_atomically
from broadcaster.store.manifest import build_manifest, clashes_if_current
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_QUICK = 100_000  # rows that are verified in a second or two: nobody need ask for it
_STOP = ("exit_code", "stopped_by", "why")


def report(path: Path, *, form: str, verify: bool) -> str:
    """Return the report of the run in *path*.

    A run that somebody works on is reported as it is at this moment.

    Args:
        path: the run directory.
        form: one of :data:`~broadcaster.report.formats.FORMATS`.
        verify: check the promises too, however long the run is. Up to 100,000 rows they are checked anyway.

    Raises:
        ConfigError: there is no plan.
        BelongsToAnother: the run was purged.
        StoreError: a file of the run cannot be read or written.
    """
    run_dir = RunDir(path)
    if run_dir.purged.exists() and run_dir.report.exists():
        raise BelongsToAnother(
            f"{path} was purged, so that no report can be made anew. The one that was made before is {run_dir.report}; "
            f"'broadcaster status {path}' prints the counts"
        )
    plan = Plan.open(run_dir)
    try:
        with run_dir.locked():
            return FORMATS[form](_figures(plan, verify=verify))
    except RunLocked:
        return FORMATS[form](_figures_aside(plan))


def keep(path: Path, content: str) -> None:
    """Write a report to a file, whole or not at all.

    Raises:
        StoreError: when the disk refuses.
    """
    write_atomically(path, content.encode())


def _figures(plan: Plan, *, verify: bool) -> Figures:
    """Count a run that nobody else works on."""
    refresh(plan)
    facts = Facts.read(plan)
    source = Source(
        plan=plan,
        facts=facts,
        manifest=plan.run_dir.manifest,
        clashes=clashes_if_current(plan) or 0,
        summary=_last_word(plan, counted(plan, facts).summary),
    )
    if verify or plan.rows <= _QUICK:
        source = replace(source, audit=audit(plan))
    return summarise(source)


def _figures_aside(plan: Plan) -> Figures:
    """Count a run while somebody works on it, who owns the files in its directory."""
    facts = Facts.read(plan)
    with TemporaryDirectory(prefix="broadcaster-") as scratch:
        manifest = Path(scratch, "manifest.parquet")
        made = build_manifest(plan, facts, to=manifest)
        return summarise(
            Source(
                plan=plan,
                facts=facts,
                manifest=manifest,
                clashes=made.clashes,
                summary=counted(plan, facts).summary,
                working=True,
            )
        )


def _last_word(plan: Plan, now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the summary as it is now, with what stopped the run, if nothing has happened since that was written."""
    try:
        before = json.loads(plan.run_dir.summary.read_bytes())
        if before["deliveries"] == now["deliveries"]:
            return {**now, **{name: before[name] for name in _STOP}}
    except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours: what is known now must do
        pass
    return dict(now)
