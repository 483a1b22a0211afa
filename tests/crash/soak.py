"""``python -m tests.crash.soak --kills 3000``: many more random kills than a test session has time for.

Campaigns are killed at random moments, after random numbers of messages, and at named places, again and again, while
the API misbehaves; each is then finished and proved. Prints what happened and what it says about the next kill; exits
with 1 on any duplicate or loss. A kill or two in a second.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does, for tests/support

from support.campaign import Campaign, Found
from support.chance import How, live
from support.cli import KEY
from support.fiction import numbers
from support.simulator import Simulator
from support.warm import Warm

_SEND = "POST /v3/messages"
_SHARE = 0.003  # of the requests, for each fault
FAULTS = [
    {"on": _SEND, "share": _SHARE, "do": "drop_before"},
    {"on": _SEND, "share": _SHARE, "do": "drop_after_accept"},
    {"on": _SEND, "share": _SHARE, "do": "reset_after_accept"},
    {"on": _SEND, "share": _SHARE, "do": "truncate"},
    {"on": _SEND, "share": _SHARE, "do": "status", "status": 500},
    {"on": _SEND, "share": _SHARE, "do": "status", "status": 503, "code": "SERVICE_001"},
    {"on": _SEND, "share": _SHARE, "do": "status_after_accept", "status": 502},
]


@dataclass(slots=True)
class Soak:
    """What all campaigns of a soak count together."""

    wanted: int
    kills: Counter[How] = field(default_factory=Counter)
    campaigns: int = 0
    people: int = 0
    deliveries: int = 0
    duplicates: int = 0
    losses: int = 0
    found: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def goes_on(self) -> bool:
        """Whether more kills are wanted, and nothing is wrong so far."""
        return sum(self.kills.values()) < self.wanted and not self.found

    def run(self, seed: str, size: int) -> None:
        """Run campaigns until nothing more is wanted."""
        with Warm() as warm:
            for number in range(self.wanted):
                if not self.goes_on():
                    break
                self._campaign(f"{seed}/{number}", size, warm)

    def _campaign(self, seed: str, size: int, warm: Warm) -> None:
        chance = random.Random(seed)
        with (
            tempfile.TemporaryDirectory() as home,
            Simulator(key=KEY, lifecycle_speed=0, faults=FAULTS, seed=chance.randrange(1 << 31)) as api,
        ):
            campaign = Campaign(Path(home), api, numbers(size), warm=warm, limits={"batch_size": 5})
            problem = ""
            try:
                alive = True
                while alive and self.goes_on():
                    how = chance.choice(list(How))
                    alive = live(campaign, chance, how)
                    with self.lock:
                        self.kills[how] += alive
                campaign.finish()
            except Found as error:
                problem = f"campaign {seed}: {error}"
            finally:
                campaign.close()
            times = Counter(to for to, _ in campaign.messaged())
            with self.lock:
                self.campaigns += 1
                self.people += size
                self.deliveries += times.total()
                self.duplicates += times.total() - len(times)
                self.losses += size - len(times)
                self.found += [problem] if problem else []

    def lines(self, *, seconds: float) -> Iterator[str]:
        """Yield the figures, and what they say."""
        kills = sum(self.kills.values())
        yield from self.found
        yield f"kills        {kills:>9,}   {kills / seconds:.1f} a second"
        for how in How:
            yield f"  {how:<10} {self.kills[how]:>9,}"
        yield f"campaigns    {self.campaigns:>9,}   {self.campaigns - len(self.found):,} of them finished and proved"
        yield f"recipients   {self.people:>9,}"
        yield f"deliveries   {self.deliveries:>9,}"
        yield f"duplicates   {self.duplicates:>9,}"
        yield f"losses       {self.losses:>9,}"
        if kills and not self.found:
            yield f"With 95 % confidence fewer than {3 / kills:.3%} of kills do harm (rule of three: 3/{kills:,})."


def main() -> int:
    """Kill as often as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=3_000)
    parser.add_argument("--workers", type=int, default=2, help="campaigns at once")
    parser.add_argument("--recipients", type=int, default=8_000, help="of each campaign")
    parser.add_argument("--seed", default="1", help="of all chance; the kernel's scheduling stays its own")
    given = parser.parse_args()
    soak = Soak(given.kills)
    began_s = time.monotonic()
    with ThreadPoolExecutor(given.workers) as workers:
        for each in [workers.submit(soak.run, f"{given.seed}/{n}", given.recipients) for n in range(given.workers)]:
            each.result()
    for line in soak.lines(seconds=time.monotonic() - began_s):
        print(line)  # noqa: T201 - the figures are for the person at the terminal
    return 1 if soak.found or soak.duplicates or soak.losses else 0


if __name__ == "__main__":
    sys.exit(main())
