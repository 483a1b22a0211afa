"""One run that several processes share: its plan at an address, a process for each shard, and what the ledger says."""

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from broadcaster.cluster.objects import epoch_name
from broadcaster.cluster.storage import Storage
from support.cli import Cli, Result, Running
from support.forks import Forks
from support.simulator import Simulator

KILLED = -9
STOPPED = 75
BATCH = 4  # recipients of a request
AT_ONCE = ("--take-over-after", "1ms")  # whoever is gone is gone for longer than that
_JOURNAL = "broadcaster.cluster.parts:PartsJournal"
BEFORE_CLAIM, AFTER_CLAIM = f"{_JOURNAL}.claim:before:2", f"{_JOURNAL}.claim:after:2"


class SharedRun:
    """A list, a job, and a plan at ``file://HOME/shared``; commands go to *simulator*.

    Other machines are :meth:`elsewhere`. Processes are forked by *forks*.
    """

    def __init__(
        self,
        home: Path,
        simulator: Simulator,
        to: Sequence[str],
        *,
        forks: Forks,
        url: str | None = None,
        **tables: Any,
    ) -> None:
        self.to = list(to)
        self.simulator = simulator
        self.url = url or f"file://{home}/shared"
        self.cli = Cli(home, launcher=forks)
        self._forks = forks
        self._started: list[Running] = []
        self.cli.use(simulator)
        self.cli.people(self.to)
        self.campaign = f"shards-{uuid.uuid4().hex}"
        limits = {"batch_size": BATCH, "concurrency": 1, **tables.pop("limits", {})}
        self.cli.job(campaign=self.campaign, limits=limits, **tables)

    @property
    def storage(self) -> Storage:
        return Storage.open(self.url)

    def plan(self, *flags: str) -> Result:
        """Plan it at its address."""
        return self.cli("plan", "job.toml", "--run-dir", self.url, *flags)

    def run(
        self,
        index: int,
        *flags: str,
        of: int = 2,
        broken: Sequence[str] = (),
        machine: Cli | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a shard to its end, whatever that is."""
        return self._forks.run(machine or self.cli, *broken, "--", *self._command(index, of, flags), env=env)

    def start(
        self, index: int, *flags: str, of: int = 2, broken: Sequence[str] = (), machine: Cli | None = None
    ) -> Running:
        """Start a process for a shard."""
        self._started.append(self._forks.start(machine or self.cli, *broken, "--", *self._command(index, of, flags)))
        return self._started[-1]

    def paused(self, index: int, place: str, *, of: int = 2) -> Running:
        """Start a process for a shard, and return once it has paused itself at *place*."""
        started = self.start(index, of=of, broken=[f"stop:{place}"])
        assert self._forks.pauses(started), f"it was not paused: {started.result().stderr}"
        return started

    def elsewhere(self, home: Path) -> Cli:
        """Return a user of another machine, who has nothing but the key."""
        home.mkdir()
        user = Cli(home, launcher=self._forks)
        user.use(self.simulator)
        return user

    def close(self) -> None:
        """Kill what still runs, or is paused."""
        for each in self._started:
            if each.process.poll() is None:
                each.process.kill()
                each.process.communicate()

    # ---- what is known ----------------------------------------------------------------------------------------------

    def messaged(self) -> Counter[str]:
        """Return how often each of its people was messaged."""
        ours = set(self.to)
        return Counter(each["recipient"] for each in self.simulator.messages() if each["recipient"] in ours)

    def everybody_once(self, *, but: Sequence[str] = ()) -> None:
        """Fail unless each of its people has exactly one message, and those in *but* have none."""
        assert self.messaged() == Counter(each for each in self.to if each not in but)

    def was_taken(self, index: int) -> int:
        """Return how often a shard was taken."""
        epoch = 0
        while self.storage.exists(epoch_name(index, epoch)):
            epoch += 1
        return epoch

    def verified(self) -> dict[str, Any]:
        """Prove that every row is accounted for; return the counts."""
        ended = self.cli("verify", self.url, "--json")
        assert ended.code == 0, ended.stderr
        found: dict[str, Any] = json.loads(ended.stdout)
        return found

    def _command(self, index: int, of: int, flags: Sequence[str]) -> tuple[str, ...]:
        return ("run-shard", "--plan", self.url, "--shard", str(index), "--of", str(of), *flags)
