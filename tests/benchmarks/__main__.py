"""``python -m tests.benchmarks NAME``: figures, not tests; each benchmark says itself what it measures."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from . import cluster, cluster_plan, journal, lists, numbers, receipts, send, simulator, whole

_BENCHMARKS: dict[str, Callable[..., Coroutine[Any, Any, list[str]]]] = {
    "cluster": cluster.measure,
    "cluster-plan": cluster_plan.measure,
    "journal": journal.measure,
    "lists": lists.measure,
    "numbers": numbers.measure,
    "receipts": receipts.measure,
    "send": send.measure,
    "simulator": simulator.measure,
    "whole": whole.measure,
}
_OF_ROWS = frozenset({"cluster", "cluster-plan", "journal", "lists", "whole"})  # what takes --rows


def main() -> int:
    """Run the benchmark named on the command line and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(_BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000, help=f"of the list, for {', '.join(sorted(_OF_ROWS))}")
    given = parser.parse_args()
    options = {"rows": given.rows} if given.name in _OF_ROWS else {}
    for line in asyncio.run(_BENCHMARKS[given.name](rounds=given.rounds, **options)):
        print(line)  # noqa: T201 - the figures are for the person at the terminal
    return 0


if __name__ == "__main__":
    sys.exit(main())
