"""``python -m tests.cluster.soak --misfortunes 30``: what a test session has no time for, on processes as people have.

One run is sent by ``dask scheduler`` and ``dask worker`` processes, each started from nothing, at the API's own limit.
Every few requests something happens to one of them, by chance: a worker is killed and another one joins; a worker is
stopped until its shard is another's, and woken; the scheduler stands still, and goes on; the driver is killed, or the
scheduler, and the run is gone on with by hand. At the end it is finished and proved: ledger and manifest agree, nobody
twice, nobody lost, no 429. Prints what happened; exits with 1 when something is wrong. A misfortune takes about ten
seconds, a lost scheduler or driver half a minute more. (200,000 deliveries with one worker killed:
``python -m tests.benchmarks cluster --rows 200000``.)
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does, for tests/support

from support.cli import KEY, Cli, Running, matches
from support.cluster import Cluster, ClusterRun, happens, stop, wake
from support.fiction import numbers
from support.jumping import worst_minute
from support.simulator import Simulator

_BATCH = 20
_APART = 20  # requests between two misfortunes, at the most
_ENOUGH_S = 20.0  # for a stopped worker's shard to be taken over, if another has a hand free
_CUT_OFF_S = 3.0  # a second more than a turn may be old that is used
_PATIENCE_S = 900.0  # for the rest of a run, after the last misfortune


class Misfortune(StrEnum):
    """What happens."""

    WORKER_KILLED = "a worker is killed"
    WORKER_STOPPED = "a worker is stopped and woken"
    SCHEDULER_STOPPED = "the scheduler stands still"
    DRIVER_KILLED = "the driver is killed"
    SCHEDULER_KILLED = "the scheduler is killed"


_WEIGHTS = {  # the last two cost half a minute each
    Misfortune.WORKER_KILLED: 6,
    Misfortune.WORKER_STOPPED: 4,
    Misfortune.SCHEDULER_STOPPED: 3,
    Misfortune.DRIVER_KILLED: 1,
    Misfortune.SCHEDULER_KILLED: 1,
}


class Soak:
    """One run and what happens to it."""

    def __init__(self, home: Path, simulator: Simulator, *, chance: random.Random, recipients: int, limit: int) -> None:
        self.happened: Counter[Misfortune] = Counter()
        self.launches = 0
        self.why: list[str] = []  # launches ended early by themselves
        self.cluster: Cluster | None = None
        self._home = home
        self._chance = chance
        (home / "home").mkdir()
        cli = Cli(home / "home")
        cli.people(numbers(recipients))
        cli.job(limits={"batch_size": _BATCH, "concurrency": 2, "requests_per_minute": limit})
        self.run = ClusterRun(cli, simulator)

    def suffer(self, misfortunes: int) -> None:
        """Let so many things happen, and the run come to its end."""
        driver = self._launch()
        while driver.process.poll() is None and self.happened.total() < misfortunes:
            with suppress(AssertionError):  # it has come to its end
                self.run.reaches(self._chance.randint(1, _APART), what="it goes on")
            if driver.process.poll() is None:
                driver = self._suffer(driver)
        driver.process.wait(_PATIENCE_S)
        while (ended := driver.result()).code == 75:
            self.why.append(
                " · ".join(line for line in ended.stderr.splitlines() if not line.startswith((" ", "shard")))
            )
            driver = self._launch()
            driver.process.wait(_PATIENCE_S)
        if ended.code:
            raise RuntimeError(f"exit code {ended.code}: {ended.stderr}")

    def close(self) -> None:
        """End what is left."""
        if self.cluster is not None:
            self.cluster.close()

    def _launch(self) -> Running:
        if self.cluster is None:
            self.cluster = Cluster(self._home / f"cluster-{self.launches}", None, workers=3)
        words = ["run", "job.toml"] if not self.launches else ["resume", "runs/acceptance"]
        self.launches += 1
        return self.run.start(*words, "--cluster", self.cluster.address, "--yes")

    def _suffer(self, driver: Running) -> Running:
        what = self._next()
        assert self.cluster is not None
        with suppress(StopIteration, ProcessLookupError):  # nobody who lives has a shard in hand just now
            match what:
                case Misfortune.WORKER_KILLED:
                    os.kill(self.run.at_work()[2], signal.SIGKILL)
                    self.cluster.join()
                case Misfortune.WORKER_STOPPED:
                    shard, claim, pid = self.run.at_work()
                    stop(pid)
                    with suppress(AssertionError):  # nobody had a hand free
                        happens(
                            lambda: (shard, claim + 1) in [each[:2] for each in self.run.owners()],
                            what="the shard is taken over",
                            patience_s=_ENOUGH_S,
                        )
                    wake(pid)
                case Misfortune.SCHEDULER_STOPPED:
                    self._stand_still(self.cluster)
                case Misfortune.DRIVER_KILLED:
                    driver.process.kill()
                    driver.result()
                    driver = self._launch()
                case Misfortune.SCHEDULER_KILLED:
                    self.cluster.scheduler.kill()
                    code = driver.result().code
                    assert code == 75, f"the driver ended with {code}"
                    self.close()
                    self.cluster = None
                    driver = self._launch()
            self.happened[what] += 1
        return driver

    def _next(self) -> Misfortune:
        """Choose: each kind once, then by chance."""
        left = [each for each in Misfortune if not self.happened[each]]
        return self._chance.choice(left) if left else self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]

    def _stand_still(self, cluster: Cluster) -> None:
        """Nobody may send for longer than a turn is good for."""
        cluster.scheduler.send_signal(signal.SIGSTOP)
        time.sleep(_CUT_OFF_S)
        reached = self.run.simulator.received("POST")
        time.sleep(_CUT_OFF_S)
        late = self.run.simulator.received("POST") - reached
        cluster.scheduler.send_signal(signal.SIGCONT)
        assert not late, f"{late} requests left while nobody kept the limit"

    def prove(self, *, recipients: int, limit: int) -> list[str]:
        """Return the figures; raise ``AssertionError`` when something is wrong."""
        messages, requests = self.run.simulator.messages(), self.run.simulator.requests()
        matches(self.run.path, messages)
        answers = Counter(str(each["status"]) for each in requests)
        counted = [(each["received_us"] / 1e6, 1) for each in requests if each["path"].startswith("/v3")]
        fullest = worst_minute(counted)
        taken = self.run.owners()
        assert len(messages) == recipients, f"{recipients - len(messages)} recipients have no message"
        assert not answers["429"], f"{answers['429']} requests were refused as too fast"
        assert fullest <= limit or not limit, f"{fullest} requests in 60 s"
        verified = self.run.cli("verify", self.run.url)
        assert verified.code == 0, verified.stderr
        return [
            f"launches     {self.launches:>9,}",
            *(f"  {each}" for each in self.why),
            *(f"  {each:<30} {self.happened[each]:>9,}" for each in Misfortune),
            f"shards taken {len(taken):>9,}   {sum(claim > 0 for _, claim, _ in taken):,} of them over from somebody",
            f"deliveries   {len(messages):>9,}   each once, in ledger and manifest",
            f"requests     {len(requests):>9,}   answers: {dict(answers)}; at the most {fullest} in 60 s",
        ]


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.soak", description=__doc__)
    parser.add_argument("--misfortunes", type=int, default=30)
    parser.add_argument("--recipients", type=int, default=40_000, help="80,000 at the most")
    parser.add_argument("--limit", type=int, default=300, help="requests per minute; 0 is none")
    parser.add_argument("--seed", default="1", help="of all chance; the kernel's scheduling stays its own")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as home,
        Simulator(key=KEY, requests_per_minute=given.limit, lifecycle_speed=0) as simulator,
    ):
        chance = random.Random(given.seed)
        soak = Soak(Path(home), simulator, chance=chance, recipients=given.recipients, limit=given.limit)
        began_s = time.monotonic()
        try:
            soak.suffer(given.misfortunes)
            lines = soak.prove(recipients=given.recipients, limit=given.limit)
        except AssertionError as error:
            print(f"WRONG after {dict(soak.happened)}: {error}")  # noqa: T201 - for the person at the terminal
            return 1
        finally:
            soak.close()
        for line in (*lines, f"seconds      {time.monotonic() - began_s:>9,.0f}"):
            print(line)  # noqa: T201 - see above
    return 0


if __name__ == "__main__":
    sys.exit(main())
