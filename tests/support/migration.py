"""A migration that is killed again and again and must create every contact once: of any size, for tests and by hand."""

import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from support.cli import Cli, wait_until
from support.simulator import Simulator

RUN = "runs/acceptance"
_PATIENCE_S = 1200.0  # of the largest that is run by hand; pytest's own time limit is below it


def job(cli: Cli, people: Sequence[str], *, opted_out: Sequence[str] = (), **tables: Any) -> Path:
    """Write a list of *people* and a job that creates them as contacts; *opted_out* are marked so in the list."""
    stop = set(opted_out)
    lines = [f"{number},N-{at},{'yes' if number in stop else ''}" for at, number in enumerate(people)]
    cli.write("people.csv", "\n".join(["phone,code,stop", *lines, ""]))
    return cli.job(kind="contacts", message=None, recipients={"id": "code", "opt_out": "stop"}, **tables)


def contacts(state: Path) -> dict[str, tuple[str, bool]]:
    """Return the simulator's contacts: by number, id and whether they have opted out."""
    with closing(sqlite3.connect(state, timeout=10)) as db:
        found = db.execute("SELECT phone, contact_id, opt_out FROM contact").fetchall()
    return {phone: (contact_id, bool(opt_out)) for phone, contact_id, opt_out in found}


def count(state: Path) -> int:
    """Return how many contacts the simulator has."""
    with closing(sqlite3.connect(state, timeout=10)) as db:
        return int(db.execute("SELECT count(*) FROM contact").fetchone()[0])


def _has(state: Path, least: int) -> bool:
    return count(state) >= least


def created(sim: Simulator) -> int:
    """Return how often the simulator has answered that a contact was created."""
    return sum(each["status"] == 201 and not each["replayed"] for each in sim.requests())


def manifest(cli: Cli, run_dir: str = RUN) -> dict[str, tuple[str, bool]]:
    """Return what the manifest says of the contacts, in the form of :func:`contacts`."""
    rows = [row for row in cli.manifest(run_dir) if row["status"] == "accepted"]
    return {row["to"]: (row["contact_id"], row["opt_out"]) for row in rows}


def killed_and_continued(cli: Cli, sim: Simulator, people: Sequence[str], *, marks: Sequence[int]) -> int:
    """Migrate *people*, every fiftieth of them opted out, killing the run when so many contacts are there.

    Fails unless the account then has every contact once, with its opt-out, and the manifest says the same.

    Returns:
        How many requests the simulator received.
    """
    opted_out = people[::50]
    job(cli, people, opted_out=opted_out, limits={"concurrency": 16})
    for at, mark in enumerate(marks):
        running = cli.start(*(("resume", RUN) if at else ("run", "job.toml")), "--yes")
        wait_until(partial(_has, sim.state, mark), what=f"{mark} contacts", patience_s=_PATIENCE_S)
        running.signal(signal.SIGKILL)
        running.result()
    statuses = cli("status", RUN, "--json").json["deliveries"]
    assert statuses["in_doubt"] == 0
    assert statuses["pending"] > 0
    last = cli.start("resume", RUN, "--yes", "--json")
    wait_until(lambda: last.process.poll() is not None, what="the end", patience_s=_PATIENCE_S, every_s=0.05)
    ended = last.result()
    assert ended.code == 0, ended.stderr
    assert "earlier launch" not in ended.stderr
    assert ended.json["deliveries"]["accepted"] == len(people)
    assert cli("verify", RUN).code == 0
    there = contacts(sim.state)
    assert set(there) == set(people)
    assert {number for number, (_, opt_out) in there.items() if opt_out} == set(opted_out)
    assert manifest(cli) == there
    assert created(sim) == len(people)
    asked = len(sim.requests())
    assert cli("run", "job.toml", "--yes").code == 0
    assert len(sim.requests()) == asked, "a finished migration asks for nothing"
    return asked
