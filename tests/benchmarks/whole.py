"""Whole commands: how soon an alert is on its way, and how much memory a long run takes.

The commands are processes of their own, with no rate limit, against :mod:`tests.benchmarks.sink`. The first figure is
the time from the start of ``broadcaster run JOB --yes`` to the first batch that was answered, for a list of 100,000
rows. The second is the most memory that the sending process ever had, from its start to the finished manifest, for a
plan of ``--rows`` deliveries that ``broadcaster plan`` has frozen before; once.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import lists
from .send import sink
from .turns import ROOT, spread

_ALERTED = 100_000
_JOB = """\
campaign = "benchmark"
recipients = {{ file = "{list}", phone = "phone", default_region = "US" }}
message = {{ template_id = "{template}", channels = ["sms"], parameters = {{ name = "{{first}}", code = "{{code}}" }} }}
limits = {{ requests_per_minute = 0, concurrency = 8 }}
"""


async def measure(*, rounds: int, rows: int) -> list[str]:
    """Return the figures as lines."""
    with tempfile.TemporaryDirectory() as scratch:
        alerts = [await _run(Path(scratch), _ALERTED) for _ in range(1 + rounds)][1:]
        first_s, whole_s = ([getattr(each, name) for each in alerts] for name in ("first_s", "whole_s"))
        long = await _run(Path(scratch), rows, planned=True)
    return [
        f"{_ALERTED:,} rows, from the start of the command; {rounds} rounds after one that fills the caches:",
        f"  first batch accepted after {spread(first_s)} s, all of them after {spread(whole_s)} s",
        f"sending a plan of {rows:,} rows: {long.whole_s:.1f} s, {long.peak_mb:.0f} MB at the most",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds from the start of a command to the first answer and to its end, and the most memory that it had."""

    first_s: float
    whole_s: float
    peak_mb: float


async def _run(scratch: Path, rows: int, *, planned: bool = False) -> Took:
    """Send to a list of *rows*, with a plan that is frozen before the clock starts, or not."""
    source = scratch / f"{rows}.parquet"
    if not source.exists():
        lists.make_list(source, rows, sets=lists._SETS)
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        job = await asyncio.to_thread(_write_job, Path(directory, "job.toml"), source)
        run_dir = str(Path(directory, "run"))
        async with sink() as (url, said):
            env = {name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
            env |= {"SENT_BASE_URL": url, "SENT_DM_API_KEY": "benchmark", "XDG_STATE_HOME": directory}
            if planned:
                await _end(await _start(["plan", job, "--run-dir", run_dir], env))
            began_s = time.time()
            process = await _start(["run", job, "--run-dir", run_dir, "--yes"], env)
            first_s = json.loads(await said.readline())["first_s"] - began_s
            peak_mb = await _end(process)
            return Took(first_s=first_s, whole_s=time.time() - began_s, peak_mb=peak_mb)


def _write_job(path: Path, source: Path) -> str:
    path.write_text(_JOB.format(list=source, template=lists._TEMPLATE), encoding="utf-8")
    return str(path)


async def _start(arguments: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "broadcaster", *arguments]
    return await asyncio.to_thread(
        subprocess.Popen, command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def _end(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a command; return the most memory that it had, in MB."""
    _, status, usage = await asyncio.to_thread(os.wait4, process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"The command ended with {process.returncode}")
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
