"""A run on a cluster of this machine's processes, one of which is killed midway; and what the cluster costs.

``--rows`` deliveries (200,000 in the figures that are told) are sent by two worker processes to the local simulator,
which keeps the account's limit of 200 requests in any minute; 500 deliveries a request. When some more than half are
messaged, the process that has taken the last shard is killed. At the end ledger and manifest must agree, and nothing
may have been answered with 429. The ideal is what the limit itself needs: every request of the run, look-ups included,
at the pace of the limit, and nothing else.

Then a list of ten people is sent by one process and on a cluster, in turns: how long it takes until the first message
is asked for, and the most memory that all processes of the command had together (shared pages counted once).
"""

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import lists
from .turns import ROOT, spread

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as pytest does, for tests/support

from support.sends import NOTICE
from support.simulator import Simulator

_LIMIT = 200
_SIZE = 500
_KILLED_AT = 0.62  # of the deliveries: at the half, shards of a quarter would just be done
_WORKERS = 2
_KEY = "benchmark"
_LOOK_S = 0.5
_JOB = """\
campaign = "benchmark"
recipients = {{ file = "{list}", phone = "phone", default_region = "US" }}
message = {{ template_id = "{template}", channels = ["sms"] }}
limits = {{ requests_per_minute = {limit}, batch_size = {size} }}
"""


async def measure(*, rounds: int, rows: int) -> list[str]:
    """Return the figures as lines."""
    return await asyncio.to_thread(_measure, rounds, rows)


def _measure(rounds: int, rows: int) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        lines = _killed(base, rows)
        one, many = [], []
        for number in range(rounds):
            one.append(_short(base / f"one-{number}", cluster=False))
            many.append(_short(base / f"many-{number}", cluster=True))
    for what, found in (("one process", one), (f"a cluster of {_WORKERS} processes", many)):
        first_s, peak = [each.first_s for each in found], [each.peak_mb for each in found]
        lines.append(f"{what}: first request after {spread(first_s)} s, {spread(peak, form='.0f')} MB in all")
    return lines


@dataclass(slots=True)
class Command:
    """A command that runs, and the most memory that it and its children had."""

    process: "subprocess.Popen[bytes]"
    said: Path
    began_s: float = field(default_factory=time.time)
    first_s: float = 0.0
    peak_mb: float = 0.0

    def look(self) -> None:
        """Take a sample of its memory."""
        self.peak_mb = max(self.peak_mb, sum(_pss_mb(pid) for pid in _family(self.process.pid)))

    def look_until(self, happened: Callable[[], bool]) -> None:
        """Take samples until something has happened, or the command has ended; fail when it has failed."""
        while not happened() and self.process.poll() is None:
            self.look()
            time.sleep(_LOOK_S)
        if self.process.poll():
            raise RuntimeError(f"the command ended with {self.process.returncode}: {self.said.read_text()}")

    def end(self) -> None:
        """Take samples until its end."""
        self.look_until(lambda: False)


def _killed(base: Path, rows: int) -> list[str]:
    home = base / "killed"
    with Simulator(key=_KEY, requests_per_minute=_LIMIT, lifecycle_speed=0) as api:
        command = _start(home, api, rows=rows, limit=_LIMIT, size=_SIZE, cluster=True)
        command.look_until(lambda: _messages(api) >= rows * _KILLED_AT)
        killed = _owners(home)[-1]
        os.kill(killed, signal.SIGKILL)
        command.end()
        whole_s = time.time() - command.began_s
        return _judge(home, api, rows=rows, whole_s=whole_s, peak_mb=command.peak_mb)


def _judge(home: Path, api: Simulator, *, rows: int, whole_s: float, peak_mb: float) -> list[str]:
    from pyarrow import parquet

    requests, messages = api.requests(), api.messages()
    table = parquet.read_table(home / "run/manifest.parquet", columns=["to", "status", "message_id"])
    accepted = table.filter([each == "accepted" for each in table["status"].to_pylist()])
    ours = sorted(zip(accepted["to"].to_pylist(), accepted["message_id"].to_pylist(), strict=True))
    theirs = sorted((each["recipient"], each["message_id"]) for each in messages)
    twice = sum(count - 1 for count in Counter(to for to, _ in theirs).values())
    at_s = [each["received_us"] / 1e6 for each in requests]
    counted = [at for at, each in zip(at_s, requests, strict=True) if each["path"].startswith("/v3")]
    fullest = _fullest(counted)
    spacing_s = 60.6 / _LIMIT  # as core.window has it
    ideal_s, took_s = (len(counted) - 1) * spacing_s, counted[-1] - counted[0]
    taken = len(list((home / "run/shards").glob("*/epoch-*.json")))
    shards = len(list((home / "run/shards").glob("*/epoch-0000.json")))
    same = "they agree" if ours == theirs else "THEY DIFFER"
    answers = dict(Counter(str(each["status"]) for each in requests))
    return [
        f"{rows:,} deliveries in {len(counted):,} requests, {shards} shards on {_WORKERS} processes, one killed:",
        f"  {len(theirs):,} in the ledger, {len(ours):,} accepted in the manifest; {same}",
        f"  messaged twice: {twice}; shards taken over: {taken - shards}",
        f"  answers by status: {answers}; at most {fullest} requests in 60 s",
        f"  sent in {took_s:.1f} s, {took_s / ideal_s:.3f} of the limit's own {ideal_s:.1f} s; in all {whole_s:.1f} s",
        f"  {peak_mb:.0f} MB at the most, in all processes together",
    ]


def _fullest(moments: Sequence[float]) -> int:
    """Return the most that happened in any sixty seconds."""
    most, first = 0, 0
    for last, at_s in enumerate(moments):
        while moments[first] <= at_s - 60:
            first += 1
        most = max(most, last - first + 1)
    return most


def _short(home: Path, *, cluster: bool) -> Command:
    with Simulator(key=_KEY, lifecycle_speed=0) as api:
        command = _start(home, api, rows=10, limit=0, size=1, cluster=cluster)
        command.end()
        first_us = min(each["received_us"] for each in api.requests() if each["method"] == "POST")
        command.first_s = first_us / 1e6 - command.began_s
        return command


def _start(home: Path, api: Simulator, *, rows: int, limit: int, size: int, cluster: bool) -> Command:
    home.mkdir()
    source = home / "list.parquet"
    lists.make_list(source, math.ceil(rows / lists._OWN), sets=lists._SETS)  # the others repeat a number
    job = home / "job.toml"
    job.write_text(_JOB.format(list=source, template=NOTICE, limit=limit, size=size), encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("SENT_")}
    env |= {"SENT_BASE_URL": api.url, "SENT_DM_API_KEY": _KEY, "XDG_STATE_HOME": str(home)}
    flags = ["--cluster", f"local:{_WORKERS}"] if cluster else []
    arguments = ["run", str(job), "--run-dir", str(home / "run"), "--yes", *flags]
    with (home / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "broadcaster", *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    return Command(process, home / "said")


def _messages(api: Simulator) -> int:
    return int(api.call("GET", "/_simulator/messages", key=None).json["count"])


def _owners(home: Path) -> list[int]:
    """Return the processes that have taken shards, in order of the shards."""
    claims = sorted((home / "run/shards").glob("*/epoch-*.json"))
    return [int(json.loads(path.read_bytes())["pid"]) for path in claims]


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants."""
    yield pid
    try:
        children = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return
    for child in children.split():
        yield from _family(int(child))


def _pss_mb(pid: int) -> float:
    """Return a process's share of the memory that it uses."""
    try:
        words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
        return int(words[words.index("Pss:") + 1]) / 1024
    except (OSError, ValueError):  # it has ended
        return 0.0
