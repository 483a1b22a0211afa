"""``python -m tests.crash.migration --contacts 50000``: the migration of the test session, at the size of a real one.

A list becomes contacts of a simulated account; the run is killed several times on the way and continued. Prints what
happened; ends with a failed assertion unless the account has every contact once and the manifest says the same.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does, for tests/support

from support.cli import Cli
from support.fiction import numbers
from support.migration import killed_and_continued
from support.simulator import Simulator


def main() -> int:
    """Migrate as many as the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.migration", description=__doc__)
    parser.add_argument("--contacts", type=int, default=50_000, help="80,000 at the most")
    parser.add_argument("--kills", type=int, default=5)
    given = parser.parse_args()
    people = numbers(given.contacts)
    marks = [len(people) * (at + 1) // (given.kills + 2) for at in range(given.kills)]
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as home, Simulator() as sim:
        cli = Cli(Path(home))
        cli.use(sim)
        requests = killed_and_continued(cli, sim, people, marks=marks)
    seconds = time.monotonic() - began_s
    for line in (
        f"contacts     {len(people):>9,}   every one created once, and in the manifest with its id",
        f"opted out    {len(people[::50]):>9,}",
        f"kills        {len(marks):>9,}   at {', '.join(f'{mark:,}' for mark in marks)} contacts",
        f"requests     {requests:>9,}",
        f"seconds      {seconds:>9,.0f}   {len(people) / seconds:,.0f} contacts a second",
    ):
        print(line)  # noqa: T201 - the figures are for the person at the terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
