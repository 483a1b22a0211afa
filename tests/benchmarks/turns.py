"""Ways that take turns: a busy machine is busy for all of them, and a ratio is of one round."""

import asyncio
import json
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNITS = {"peak_mb": "MB", "workers_mb": "MB"}  # everything else is in seconds


async def child(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, float]:
    """Run one measurement in a process of its own; return the figures of the JSON line that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE, cwd=ROOT, env=env
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments[0]} ended with {process.returncode}")
    figures: dict[str, float] = json.loads(told)
    return figures


async def compare(
    ways: Sequence[str], one: Callable[[str], Awaitable[dict[str, float]]], *, rounds: int, of: Sequence[str]
) -> list[str]:
    """Let the ways take turns at *one*; return what they took *of* each figure, and the first one's ratio to others."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            found[way].append(await one(way))
    lines = [
        f"  {way:<14} "
        + "; ".join(f"{name} {spread([each[name] for each in found[way]], UNITS.get(name, 's'))}" for name in of)
        for way in ways
    ]
    first, *others = ways
    for other in others:
        for name in of:
            ratios = [mine[name] / theirs[name] for mine, theirs in zip(found[first], found[other], strict=True)]
            lines.append(f"  {first} / {other}, {name}: {spread(ratios)}")
    return lines


def spread(values: Sequence[float], unit: str = "", *, form: str = ".2f") -> str:
    """Return the median with the extremes."""
    return f"{statistics.median(values):{form}} [{min(values):{form}}-{max(values):{form}}] {unit}".rstrip()


def peak_mb() -> float:
    """Return the most memory that this process has had; where the system does not tell, that may be its parent's."""
    import resource

    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
