"""How many single-recipient sends a second the simulator takes on one core.

The simulator has core 0 for itself and the load generator core 1 (where ``taskset`` is there and there are two), so
that neither is measured instead of the other. Every round is a process of its own: nothing is warm, nothing is full.
Where others use the machine as well, the rate by the simulator's own processor time says more than the clock's.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LOAD = Path(__file__).with_name("load.py")
_ROOT = Path(__file__).parents[2]
_SECONDS = 3.0
_CONNECTIONS = 48
_PATIENCE_S = 30.0  # for one round; only a hang reaches it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Requests a second: by the clock, and by the processor time the simulator used (0: unknown)."""

    by_clock: float
    by_processor: float


async def measure(*, rounds: int) -> list[str]:
    """Return the figures as lines: requests a second with the ledger in memory, and in a file."""
    lines = [f"{_CONNECTIONS} connections, {_SECONDS:g} s a round, {rounds} rounds; pinned: {_can_pin()}"]
    for name, in_file in (("in memory", False), ("in a file", True)):
        rates = [await _round(at, in_file=in_file) for at in range(rounds)]
        lines.append(f"ledger {name}, by the clock:       {_describe([rate.by_clock for rate in rates])}")
        lines.append(f"ledger {name}, by processor time:  {_describe([rate.by_processor for rate in rates])}")
    return lines


def _describe(rates: Sequence[float]) -> str:
    return f"median {statistics.median(rates):,.0f} requests/s, from {min(rates):,.0f} to {max(rates):,.0f}"


async def _round(at: int, *, in_file: bool) -> Rate:
    with tempfile.TemporaryDirectory() as scratch:
        state = str(Path(scratch, "state.sqlite")) if in_file else ":memory:"
        server = await _start(["-m", "broadcaster.simulator", "--state", state, "--until-stdin-closes"], core=0)
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                url = json.loads(await server.stdout.readline())["url"]
                before_s = _processor_s(server.pid)
                arguments = [str(_LOAD), url, f"--run={at}", f"--seconds={_SECONDS}", f"--connections={_CONNECTIONS}"]
                load = await _start(arguments, core=1)
                told, _ = await load.communicate()
                used_s = _processor_s(server.pid) - before_s
        finally:
            server.stdin.close()
            await server.wait()
    result = json.loads(told)
    if result["other"] or not result["accepted"]:
        raise RuntimeError(f"not every answer was a 202: {result}")
    return Rate(
        by_clock=result["accepted"] / result["seconds"], by_processor=result["accepted"] / used_s if used_s else 0.0
    )


async def _start(
    arguments: Sequence[str], *, core: int, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    pinned = ["taskset", "-c", str(core)] if _can_pin() else []
    return await asyncio.create_subprocess_exec(
        *pinned,
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
        | dict(environment or {}),
    )


def _can_pin() -> bool:
    return shutil.which("taskset") is not None and (os.cpu_count() or 1) > 1


def _processor_s(pid: int) -> float:
    """Seconds of processor time the process used so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / os.sysconf("SC_CLK_TCK")
