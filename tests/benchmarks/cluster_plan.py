"""Planning a list by one process and by the workers of a Dask cluster, side by side.

Every measurement is a process of its own, which plans a small list first: what is imported and kept between plans is
not measured, nor is how long a cluster takes to start. Scheduler and workers are processes besides (one thread each);
they report their processor seconds and their peak memory, the driver its own. The ways take turns within a round, and
each of them has to make the same keys and the same two files. Nothing is sent. The list is that of
:mod:`tests.benchmarks.lists`, in row groups of an eighth of it, or of a million rows.

``python -m tests.benchmarks.cluster_plan WAY LIST RUN`` is one measurement and prints one JSON line. Ways: ``alone``,
or how many workers.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from . import lists
from .turns import ROOT, child, compare, peak_mb

_MODULE = "tests.benchmarks.cluster_plan"
_ALONE = "alone"
_WAYS = (_ALONE, "1", "2")
_PIECES = 8
_LARGEST_PIECE = 1 << 20
_START_S = 60.0
_MESSAGE = {"template_id": lists._TEMPLATE, "parameters": {"name": "{first}", "code": "{code}"}}
_OF = ("seconds", "processor", "peak_mb", "workers_mb")


async def measure(*, rounds: int, rows: int) -> list[str]:
    """Return the figures as lines; planning is measured for *rows*, single requests for a tenth of them."""
    lines = [f"{rows:,} rows, {rounds} rounds, {os.cpu_count()} cores; alone, and by 1 and 2 workers"]
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        lists.make_list(base / "few.parquet", 100, sets=lists._SETS)
        for what, count, sets in (
            (f"{lists._SETS} parameter sets, {lists._share(rows)}", rows, lists._SETS),
            (f"{rows // 10:,} rows, each with parameters of its own", max(1, rows // 10), None),
        ):
            source = base / f"{sets}.parquet"
            _make_list(source, count, sets=sets)

            async def one(way: str, source: Path = source) -> dict[str, float]:
                with tempfile.TemporaryDirectory(dir=base) as directory:
                    return await child(_MODULE, way, str(source), str(Path(directory, "run")))

            lines += [f"{what}:", *await compare(_WAYS, one, rounds=rounds, of=_OF)]
    return lines


def _make_list(path: Path, rows: int, *, sets: int | None) -> None:
    """Write a list in as many row groups as several workers need."""
    from pyarrow import parquet

    whole = path.with_suffix(".whole")
    lists.make_list(whole, rows, sets=sets)
    size = min(_LARGEST_PIECE, -(-rows // _PIECES))
    with parquet.ParquetFile(whole) as file, parquet.ParquetWriter(path, file.schema_arrow, compression="zstd") as to:
        for batch in file.iter_batches(batch_size=size):
            to.write_batch(batch, row_group_size=size)
    whole.unlink()


# ---- one measurement -------------------------------------------------------------------------------------------------


def main(way: str, source: str, run: str) -> None:
    """Plan, and print what it took."""
    list_, where = Path(source), Path(run)
    with ExitStack() as stack:
        client = None if way == _ALONE else stack.enter_context(_cluster(where.parent, workers=int(way)))
        _plan(client, list_.with_name("few.parquet"), where.with_name("few"))
        before = _spent(client)
        began = time.perf_counter()
        _plan(client, list_, where)
        seconds = time.perf_counter() - began
        found = {"seconds": seconds, "processor": _spent(client) - before, "peak_mb": peak_mb(), "workers_mb": 0.0}
        if client is not None:
            found["workers_mb"] = sum(client.run(peak_mb).values())
    _check(list_.with_suffix(".keys"), where)
    print(json.dumps(found))  # noqa: T201 - what the parent reads


def _plan(client: Any, source: Path, where: Path) -> None:
    from broadcaster.app.prepare import Ask, prepare
    from broadcaster.core.words import Mode
    from broadcaster.job.load import job_from
    from broadcaster.planning.pipeline import build_part
    from broadcaster.store.rundir import RunDir

    build: Callable[..., Any] = build_part
    if client is not None:
        from broadcaster.cluster.dask_plan import build_part_on_cluster

        build = partial(build_part_on_cluster, client, say=_fail)
    job = job_from(
        {
            "campaign": "benchmark",
            "recipients": {"file": str(source), "phone": "phone", "default_region": "US"},
            "message": _MESSAGE,
        },
        base=source.parent,
        name="job.toml",
    )
    run_dir = RunDir(where)
    run_dir.create()
    ask = Ask(mode=Mode.LIVE, run_dir=where)
    prepare(job, ask, run_dir=run_dir, campaign="benchmark", profile=None, build=build)


def _fail(sentence: str) -> None:
    raise RuntimeError(sentence)


def _check(known: Path, run: Path) -> None:
    """Require that the plan in *run* is the one that was made of the list before."""
    head = json.loads(run.joinpath("plan.json").read_bytes())
    found = json.dumps([head["keys_sha256"], head["sha256"]])
    if not known.exists():
        known.write_text(found, encoding="utf-8")
    elif known.read_text(encoding="utf-8") != found:
        raise RuntimeError("the plans differ")


def _spent(client: Any) -> float:
    """Return the processor seconds of this process and of all workers so far."""
    return time.process_time() + (0.0 if client is None else sum(client.run(time.process_time).values()))


@contextmanager
def _cluster(base: Path, *, workers: int) -> Iterator[Any]:
    """Yield a client of a cluster whose processes end with the block."""
    from distributed import Client

    file = base / "scheduler.json"
    quiet = ["--no-dashboard", "--scheduler-file", str(file)]
    started = [
        _start("scheduler", "--host", "127.0.0.1", "--port", "0", *quiet),
        *(
            _start(
                "worker", "--nthreads", "1", "--no-nanny", "--memory-limit", "0", "--local-directory", str(base), *quiet
            )
            for _ in range(workers)
        ),
    ]
    try:
        while not file.exists():
            time.sleep(0.05)
        with Client(scheduler_file=str(file), timeout=_START_S) as client:  # type: ignore[no-untyped-call]  # Dask's
            client.wait_for_workers(workers, timeout=_START_S)
            yield client
    finally:
        for process in started:
            process.kill()
            process.wait()


def _start(what: str, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dask", what, *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:])
