"""``python -m tests.benchmarks NAME``: figures, not tests; each benchmark says itself what it measures."""

import argparse
import asyncio
import sys

from . import numbers, simulator

_BENCHMARKS = {"numbers": numbers.measure, "simulator": simulator.measure}


def main() -> int:
    """Run the benchmark named on the command line and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(_BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    for line in asyncio.run(_BENCHMARKS[given.name](rounds=given.rounds)):
        print(line)  # noqa: T201 - the figures are for the person at the terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
