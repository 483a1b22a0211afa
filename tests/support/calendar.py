"""Another day for whole processes: the command line and the simulator live on it together.

Days on which clocks change are a few in a year, and the API takes times of the next thirty days only. A directory of a
``sitecustomize`` on ``PYTHONPATH`` moves the clocks of every process that is started with :func:`moved`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

_MOVE = """
import os
import time

_BY_S = int(os.environ["MOVED_BY_S"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _BY_S
time.time_ns = lambda: _time_ns() + _BY_S * 10**9
"""


def moved(directory: Path, *, to: datetime, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what has to be added to *environment*, so that a process started now begins at *to*."""
    directory.mkdir(exist_ok=True)
    (directory / "sitecustomize.py").write_text(_MOVE)
    by_s = round((to - datetime.now(tz=UTC)).total_seconds())
    paths = [str(directory), *filter(None, [environment.get("PYTHONPATH")])]
    return {"PYTHONPATH": ":".join(paths), "MOVED_BY_S": str(by_s)}
