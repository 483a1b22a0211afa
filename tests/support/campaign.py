"""One campaign that is killed, stopped, copied and gone on with, and what its journal and the API's ledger must say.

The ledger is the oracle: it knows who was really messaged. Its simulator may serve other campaigns, to other people.
"""

import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from enum import StrEnum, auto
from pathlib import Path
from typing import Any

from broadcaster.app.inspect import verify
from broadcaster.errors import DifferenceFound
from broadcaster.store.facts import Facts
from broadcaster.store.plan import Plan
from broadcaster.store.rundir import RunDir
from support.cli import Cli, Result, Running, rows
from support.simulator import Simulator
from support.warm import Warm
from support.wrapped import Wrapped

KILLED = -9
SOME_IN_DOUBT = 4  # exit code
BATCH = 4  # recipients of a request: many small batches, so that a kill finds some in every state


class Finding(StrEnum):
    """What can be wrong, in the words of the person who was, or was not, messaged."""

    TWICE = auto()
    UNCLAIMED = auto()  # messaged, and the journal has no claim
    LOST = auto()  # not messaged, and the journal says so or the run has ended
    MISCOUNTED = auto()  # messaged, and the manifest says something else
    OTHER_ID = auto()  # messaged under another id than the manifest's
    DIFFERENCE = auto()  # `verify` finds something
    ENDED_WRONG = auto()  # another exit code than expected


class Found(AssertionError):
    """Something is wrong."""

    def __init__(self, what: Finding, detail: str) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what


class Campaign:
    """A list, a job, and commands that go to *simulator*; ``home`` is all that the user has.

    With *warm*, commands that run to their end are forked from it.
    """

    def __init__(
        self, home: Path, simulator: Simulator, to: Sequence[str], *, warm: Warm | None = None, **tables: Any
    ) -> None:
        self.warm = warm
        self.cli = Cli(home)
        self.cli.use(simulator)
        self.simulator = simulator
        self.to = self.cli.people([*to, to[0]])[:-1]  # somebody stands twice on the list: excluded.csv is written
        limits = {"batch_size": BATCH, "concurrency": 4, **tables.pop("limits", {})}
        self.cli.job(campaign="crash", limits=limits, **tables)
        self.run_dir = home / "runs" / "crash"
        self._started: list[Running] = []

    def copied_to(self, home: Path) -> "Campaign":
        """Return the same campaign on another machine: only the run directory is copied."""
        other = Campaign(home, self.simulator, self.to, warm=self.warm)
        other._started = self._started
        shutil.copytree(self.run_dir, other.run_dir)
        return other

    def close(self) -> None:
        """Kill what still runs, or is paused."""
        for each in self._started:
            if each.process.poll() is None:
                each.process.kill()
                each.process.communicate()

    def start(self, *words: str, broken: Sequence[str] = ()) -> Running:
        """Start a command, or going on when none is given, in a process with these breaks."""
        user = Wrapped(self.cli, module=("support.broken", *broken, "--")) if broken else self.cli
        self._started.append(user.start(*self._command(words)))
        return self._started[-1]

    def run(self, *words: str, broken: Sequence[str] = ()) -> Result:
        """Do the same to its end, whatever that is."""
        if self.warm is not None:
            return self.warm.run(self.cli, *broken, "--", *self._command(words))
        return self.start(*words, broken=broken).result()

    def _command(self, words: Sequence[str]) -> tuple[str, ...]:
        words = words or (("resume", "runs/crash") if self.planned else ("run", "job.toml"))
        return (*words,) if words[0] == "plan" else (*words, "--yes")

    def paused(self, place: str) -> Running:
        """Start going on, and return once it has paused itself at *place*.

        Raises:
            Found: it never came there.
        """
        started = self.start(broken=[f"stop:{place}"])
        seen = os.waitid(os.P_PID, started.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if seen is None or seen.si_code != os.CLD_STOPPED:
            raise Found(Finding.ENDED_WRONG, f"it was not paused: {started.result().stderr}")
        return started

    def finish(self, *words: str, broken: Sequence[str] = (), in_doubt: int = 0) -> None:
        """Run a command to its end, which must leave nothing open but at most so many people in doubt.

        Raises:
            Found: something else is the case, or the exit code says so.
        """
        ended = self.run(*words, broken=broken)
        doubtful = self.check_ended(in_doubt=in_doubt)
        if ended.code != (SOME_IN_DOUBT if doubtful else 0):
            raise Found(Finding.ENDED_WRONG, f"exit code {ended.code} with {doubtful} in doubt: {ended.stderr}")

    def killed(self, failpoint: str, *words: str, broken: Sequence[str] = ()) -> None:
        """Run a command that must die at *failpoint*; then look at what it left."""
        ended = self.run(*words, broken=(*broken, failpoint))
        if ended.code != KILLED:
            raise Found(Finding.ENDED_WRONG, f"exit code {ended.code}, and not killed: {ended.stderr}")
        self.check()

    @property
    def planned(self) -> bool:
        """Whether a plan was frozen."""
        return RunDir(self.run_dir).is_planned

    def messaged(self) -> list[tuple[str, str]]:
        """Return recipient and id of every message to this campaign's people."""
        ours = set(self.to)
        query = "SELECT recipient, message_id FROM message"
        with closing(sqlite3.connect(f"{self.simulator.state.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            return [(to, message_id) for to, message_id in db.execute(query) if to in ours]

    def created(self) -> int:
        """Return how many messages its API has created, for anybody."""
        with closing(sqlite3.connect(f"{self.simulator.state.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute("SELECT count(*) FROM message").fetchone()[0])

    # ---- what must hold ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds at any moment, also after a kill: nobody twice, nobody without a claim, nobody forgotten.

        Raises:
            Found: it does not.
        """
        messaged = {to for to, _ in self.messaged()}
        self._nobody_twice()
        if not self.planned:
            if messaged:
                raise Found(Finding.UNCLAIMED, f"{len(messaged)} people without a plan")
            return
        plan = Plan.open(RunDir(self.run_dir))
        facts = Facts.read(plan)
        batches = {batch.id: batch for batch in plan.read_batches()} | facts.children
        claimed = {to for number in (*facts.settled, *facts.claims) for to in batches[number].to}
        if messaged - claimed:
            raise Found(Finding.UNCLAIMED, f"{len(messaged - claimed)} people")
        accepted = {
            to for number, settled in facts.settled.items() if settled.state == "accepted" for to in batches[number].to
        }
        if accepted - messaged:
            raise Found(Finding.LOST, f"{len(accepted - messaged)} people are accepted, and nobody messaged them")

    def check_ended(self, *, in_doubt: int = 0) -> int:
        """What holds after a run that finished, but for at most so many people *in_doubt*; return how many are.

        Raises:
            Found: it does not.
        """
        self.check()
        messaged = dict(self.messaged())
        found = {row["to"]: row for row in rows(self.run_dir) if row["status"] != "excluded"}
        doubtful = {to for to, row in found.items() if row["status"] == "in_doubt"}
        if set(self.to) - set(messaged) - doubtful or set(found) != set(self.to):
            raise Found(Finding.LOST, f"{len(set(self.to) - set(messaged))} people of {len(self.to)}")
        counts = Counter(row["status"] for row in found.values())
        if len(doubtful) > in_doubt or counts["accepted"] + counts["in_doubt"] != len(self.to):
            raise Found(Finding.MISCOUNTED, f"{counts} of {len(self.to)}, at most {in_doubt} in doubt")
        accepted = {to: row["message_id"] for to, row in found.items() if row["status"] == "accepted"}
        if accepted != {to: message_id for to, message_id in messaged.items() if to not in doubtful}:
            raise Found(Finding.OTHER_ID, "the manifest has other ids than the ledger")
        try:
            verify(self.run_dir)
        except DifferenceFound as error:
            raise Found(Finding.DIFFERENCE, error.sentence) from error
        return len(doubtful)

    def _nobody_twice(self) -> None:
        twice = [to for to, times in Counter(to for to, _ in self.messaged()).items() if times > 1]
        if twice:
            raise Found(Finding.TWICE, f"{len(twice)} people")


Begin = Callable[..., Campaign]
"""The fixture ``begin``: see tests/crash/conftest.py."""
