"""A command on a directory with a run for each profile: done for each of them, in its environment.

Whoever names one of the runs in such a directory gets that run's environment, so that it can be looked at, and gone on
with, like any other.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from broadcaster.app.conclude import refresh
from broadcaster.app.inspect import status
from broadcaster.cli.beside import Errand, one_by_one
from broadcaster.cli.confirming import was_started
from broadcaster.cli.options import shared_at
from broadcaster.errors import BroadcasterError, ConfigError, ExitCode, RunLocked
from broadcaster.job.profiles import Sender, environment_of
from broadcaster.store.joint import is_joint, join_manifests, join_summaries, planned_in, sums
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir

_WHOLE = frozenset({"resume", "serve"})  # take a directory with several runs in it as it is
# Leave other manifests than they found.
_JOINS = frozenset({"cancel", "manifest", "purge", "reconcile", "resolve", "resume", "retry-failed"})


def each_of(words: Sequence[str], *, at_end: Callable[[Callable[[], None]], object]) -> Callable[[], ExitCode] | None:
    """Return what does a command, its name the first of *words*, for each of the runs in the directory that they name.

    Args:
        words: of the command line.
        at_end: is told what there is to do when the command has ended.

    Returns:
        ``None``: they name no such directory. Where they name one of its runs, this process has its environment then.
    """
    for at, word in enumerate(words):
        path = Path(word)
        if not at or word.startswith("-"):
            continue
        if is_joint(path) and words[0] not in _WHOLE:
            return partial(_in_each, path, words, at)
        senders = planned_in(path.parent)
        sender = next((each for each in senders if each.name == path.name), None)
        if sender is not None:
            environ = environment_of(sender, senders, os.environ, needs_key=False)  # who only looks needs none
            os.environ.clear()
            os.environ.update(environ)
            if words[0] in _JOINS and "--beside" not in words:  # else whoever started it does so for all
                at_end(partial(_join_quietly, path.parent))
            return None
    return None


def _join_quietly(path: Path) -> None:
    """Bring what was put together up to date after a command on one of the runs, unless somebody is at work there."""
    with suppress(BroadcasterError), RunDir(path).locked():
        join(path)


def _in_each(path: Path, words: Sequence[str], at: int) -> ExitCode:
    senders = planned_in(path)
    if not senders:
        RunDir(path).require_planned()
    if words[0] == "report" and any(word.startswith(("--out", "--format")) for word in words):
        names = ", ".join(str(path / sender.name) for sender in senders)
        raise ConfigError(f"{path} has a report for each profile; name one of them with --out or --format: {names}")
    errands = [
        Errand(
            name=sender.name,
            words=(*words[:at], str(path / sender.name), *words[at + 1 :]),
            environ=environment_of(sender, senders, os.environ, needs_key=False),
        )
        for sender in senders
    ]
    code = one_by_one(errands, as_json="--json" in words)
    if words[0] in _JOINS:
        with RunDir(path).locked():
            tell_whole(path, join(path))
    elif words[0] == "status" and "--json" not in words:
        tell_whole(path, {"deliveries": _sums(path)})
    return code


def tell_whole(path: Path, whole: Mapping[str, Any]) -> None:
    """Say for people what the runs in *path* are together."""
    counts = " · ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in whole["deliveries"].items())
    click.echo(f"all profiles: {counts}", err=True)
    if RunDir(path).manifest.exists():
        click.echo(f"  {RunDir(path).manifest}", err=True)


def _sums(path: Path) -> dict[str, int]:
    return sums(status(child_of(path, sender).path).conclusion.summary for sender in planned_in(path))


def child_of(path: Path, sender: Sender) -> RunDir:
    """Return the run of one profile."""
    return RunDir(path / sender.name)


def join(path: Path) -> dict[str, Any]:
    """Put together what the runs in *path* left: one manifest, and the summaries of all, which are returned."""
    summaries = {sender.name: _up_to_date(child_of(path, sender)) for sender in planned_in(path)}
    join_manifests(path, summaries)
    return join_summaries(path, summaries)


def _up_to_date(child: RunDir) -> dict[str, Any]:
    """Bring a run's manifest up to date, which one that was killed left as it was; return its summary."""
    if (url := shared_at(child.path)) is not None:
        from broadcaster.cli.mirrored import on_a_copy

        found = on_a_copy(status, url, builds=True, keeps="results", counts_shards=False)
    else:
        if not child.purged.exists():
            with suppress(RunLocked), child.locked():  # whoever works there brings it up to date at the end
                refresh(Plan.open(child))
        found = status(child.path)
    return {**found.conclusion.summary, "run_dir": str(child.path)}


def has_begun(plan: Plan) -> bool:
    """Whether anything of a run's plan was ever on its way."""
    return was_started(plan) or shared_at(plan.run_dir.path) is not None
