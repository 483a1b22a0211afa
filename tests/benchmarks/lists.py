"""Planning a list and going on with a run, side by side with what a person would write with pandas.

Every measurement is a process of its own and reports its own seconds (after its imports), processor seconds and peak
memory (imports included). The ways take turns within a round, so that a busy machine is busy for all of them, and a
ratio is of one round. Nothing is sent. The numbers are made up: area codes of twelve American cities and seven random
digits, written as E.164; 85 % of the rows have a number of their own, the others repeat one.

``python -m tests.benchmarks.lists WAY …`` is one measurement and prints one JSON line. Ways to plan:

- ``ours`` freezes a plan, as ``broadcaster plan`` does, with the automaton for numbers in its cache;
- ``pandas`` reads the file, normalises with the same :func:`broadcaster.phones.normalise`, drops duplicates, groups by
  the parameters, cuts into chunks of 1,000, writes each body as JSON and takes its SHA-256, and keeps rows and keys in
  memory;
- ``pandas-files`` also writes rows and batches as Parquet, as a plan has to be.

Ways to go on with a run that is almost done: ``resume`` does what happens before the first request; ``pandas-resume``
reads batches and outcomes and leaves out those that are settled.
"""

import asyncio
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .turns import child, compare, peak_mb

if TYPE_CHECKING:
    from broadcaster.core.values import Instant, Outcome

_MODULE = "tests.benchmarks.lists"
_TEMPLATE = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"
_SETS = 250
_OWN = 0.85  # of the rows have a number of their own
_AREAS = (415, 212, 303, 206, 312, 617, 702, 503, 602, 713, 305, 404)
_PIECE = 1 << 20  # rows made, or normalised, at once
_LEFT = 10  # batches that a stopped run has not settled
_SEED = 20_260_401
_SENT_US = 1_764_580_000_000_000


async def measure(*, rounds: int, rows: int) -> list[str]:
    """Return the figures as lines; planning is measured for *rows*, single requests for a tenth of them."""
    lines = [f"{rows:,} rows, {rounds} rounds, {os.cpu_count()} cores"]
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        grouped, single = base / "grouped.parquet", base / "single.parquet"
        make_list(grouped, rows, sets=_SETS)
        make_list(single, max(1, rows // 10), sets=None)
        make_list(base / "few.parquet", 100, sets=_SETS)
        await child(
            _MODULE, "ours", str(base / "few.parquet"), str(base / "few")
        )  # builds what is kept between processes
        lines += [f"{_SETS} parameter sets, {_share(rows)}:"]
        lines += await _compare(["ours", "pandas", "pandas-files"], str(grouped), scratch=base, rounds=rounds)
        lines += [f"{rows // 10:,} rows, each with parameters of its own:"]
        lines += await _compare(["ours"], str(single), scratch=base, rounds=rounds)
        for less in (100, 10):
            small = base / f"{less}.parquet"
            make_list(small, max(1, rows // less), sets=_SETS)
            lines += [f"{rows // less:,} rows:"]
            lines += await _compare(["ours"], str(small), scratch=base, rounds=rounds)
        for what, source in (("batches of up to 1,000", grouped), ("single requests", single)):
            run = base / source.stem
            await child(_MODULE, "ours", str(source), str(run))
            batches = _settle(run)
            lines += [f"going on with {batches:,} {what}, {_LEFT} of them left:"]
            lines += await _compare(["resume", "pandas-resume"], str(run), scratch=None, rounds=rounds)
    return lines


def _share(rows: int) -> str:
    return f"{rows - int(rows * _OWN):,} rows repeat a number"


async def _compare(ways: Sequence[str], what: str, *, scratch: Path | None, rounds: int) -> list[str]:
    """Let the ways take turns, each with a directory of its own where there is *scratch*."""

    async def one(way: str) -> dict[str, float]:
        if scratch is None:
            return await child(_MODULE, way, what)
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            return await child(_MODULE, way, what, str(Path(directory, "run")))

    return await compare(ways, one, rounds=rounds, of=("seconds", "processor", "peak_mb"))


# ---- what is measured against ----------------------------------------------------------------------------------------


def make_list(path: Path, rows: int, *, sets: int | None, share: float = _OWN) -> None:
    """Write a list of *rows* people, a *share* of whom have a number of their own.

    There are *sets* pairs of parameters, or one for each row and no number twice.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    chance = np.random.default_rng(_SEED)
    own = rows if sets is None else max(1, int(rows * share))
    who = np.concatenate([np.arange(own), chance.integers(0, own, rows - own)])
    chance.shuffle(who)
    schema = pa.schema([(name, pa.string()) for name in ("phone", "name", "first", "code")])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for at in range(0, rows, _PIECE):
            here = who[at : at + _PIECE]
            areas = np.array(_AREAS)[here % len(_AREAS)]
            digits = 10_000_000_000 + areas * 10_000_000 + 2_000_000 + here // len(_AREAS) * 7919 % 8_000_000
            pair = np.arange(at, at + len(here)) if sets is None else chance.integers(0, sets, len(here))
            columns = {
                "phone": ("+", digits),
                "name": ("Person ", here),
                "first": ("Name", pair // 10),
                "code": ("CODE", pair),
            }
            writer.write_table(
                pa.table(
                    [
                        pc.binary_join_element_wise(word, pa.array(number).cast(pa.string()), "")
                        for word, number in columns.values()
                    ],
                    schema=schema,
                )
            )


def accepted(batch: int, since: "Instant", answer: bytes) -> "Outcome":
    """Return the outcome of a batch that was claimed at *since* and accepted at once."""
    from broadcaster.core.values import Outcome
    from broadcaster.core.words import State

    return Outcome(
        batch=batch,
        state=State.ACCEPTED,
        attempts=1,
        first_us=since.wall_us,
        settled_us=since.wall_us + 1,
        http=202,
        request_id=f"req-{batch}",
        answer=answer,
    )


def _settle(run: Path) -> int:
    """Write the journal of a run of which all but a few batches were accepted; return how many batches it has."""
    from broadcaster.core.values import Claim, Instant
    from broadcaster.store import rows, writer
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    plan = Plan.open(RunDir(run))
    chance = random.Random(_SEED)
    journal = plan.run_dir.journal
    writer.create_journal(journal)
    db = sqlite3.connect(journal, isolation_level=None)
    db.execute("BEGIN")
    db.execute("INSERT INTO process (id, host, pid, boot, version, started_us) VALUES (1, 'a', 1, 'b', 'c', 1)")
    for batch in plan.read_batches(lambda numbers: numbers < plan.batches - _LEFT):
        since = Instant(wall_us=_SENT_US + batch.id)
        recipients = [{"message_id": f"{chance.getrandbits(128):032x}", "to": to, "channel": None} for to in batch.to]
        answer = json.dumps({"success": True, "data": {"status": "QUEUED", "recipients": recipients}, "meta": {}})
        outcome = accepted(batch.id, since, answer.encode())
        for statement, values in (
            rows.claiming([Claim(batch=batch.id, since=since)], process=1),
            *rows.settling(outcome),
        ):
            db.executemany(statement, values)
    db.execute("COMMIT")
    db.close()
    return plan.batches


# ---- one measurement -------------------------------------------------------------------------------------------------


def plan_list(source: Path, run: Path, *, message: dict[str, Any]) -> None:
    """Freeze a plan for the list in *source*, as ``broadcaster plan`` does."""
    from broadcaster.app.prepare import Ask, prepare
    from broadcaster.core.words import Mode
    from broadcaster.job.load import job_from
    from broadcaster.store.rundir import RunDir

    job = job_from(
        {
            "campaign": "benchmark",
            "recipients": {"file": str(source), "phone": "phone", "default_region": "US"},
            "message": message,
        },
        base=source.parent,
        name="job.toml",
    )
    run_dir = RunDir(run)
    run_dir.create()
    prepare(job, Ask(mode=Mode.LIVE, run_dir=run_dir.path), run_dir=run_dir, campaign="benchmark", profile=None)


def _ours(source: str, run: str) -> Callable[[], None]:
    import broadcaster.app.prepare
    import broadcaster.job.load  # noqa: F401 - what is imported is not measured

    message = {"template_id": _TEMPLATE, "parameters": {"name": "{first}", "code": "{code}"}}
    return lambda: plan_list(Path(source), Path(run), message=message)


def _pandas(source: str, run: str, *, files: bool) -> Callable[[], None]:
    import hashlib

    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from broadcaster.phones import normalise

    def work() -> None:
        frame = pd.read_parquet(source)
        pieces = [frame["phone"].iloc[at : at + _PIECE] for at in range(0, len(frame), _PIECE)]
        frame["number"] = np.concatenate([normalise(pa.array(piece, pa.string()), "US").e164 for piece in pieces])
        frame = frame[frame["number"] > 0].drop_duplicates("number")
        frame["to"] = "+" + frame["number"].astype(str)
        keys, parameters, of_row = [], [], []
        for (first, code), group in frame.groupby(["first", "code"], sort=False):
            to = group["to"].tolist()
            words = {"code": code, "name": first}
            for at in range(0, len(to), 1000):
                few = to[at : at + 1000]
                body = {"to": few, "template": {"id": _TEMPLATE, "parameters": words}}
                keys.append(hashlib.sha256(json.dumps(body).encode()).hexdigest())
                parameters.append(json.dumps(words))
                of_row.append(few)
        if files:
            Path(run).mkdir()
            frame.to_parquet(Path(run, "plan.parquet"), compression="zstd")
            batches = pd.DataFrame({"key": keys, "parameters": parameters, "to": of_row})
            batches.to_parquet(Path(run, "batches.parquet"), compression="zstd")

    return work


def _resume(run: str) -> Callable[[], None]:
    from broadcaster.planning.left import has_work, tasks_left
    from broadcaster.store.audit import require_frozen
    from broadcaster.store.facts import Facts, tally
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir
    from broadcaster.store.writer import JournalWriter

    async def start(plan: Plan) -> None:
        with JournalWriter(plan.run_dir.journal, version="benchmark"):
            facts = Facts.read(plan, whole=False)
            tally(plan, facts)
            tasks = tasks_left(plan, facts, ())
            await anext(tasks)
            await tasks.aclose()

    def work() -> None:
        plan = require_frozen(Plan.open(RunDir(Path(run))))
        has_work(plan)
        asyncio.run(start(plan))

    return work


def _pandas_resume(run: str) -> Callable[[], None]:
    import pandas as pd

    def work() -> None:
        batches = pd.read_parquet(Path(run, "batches.parquet"))
        with sqlite3.connect(Path(run, "journal.sqlite")) as db:
            settled = pd.read_sql("SELECT * FROM outcome", db)
        left = batches[~batches["batch"].isin(settled["batch"])]
        if len(left) != _LEFT:
            raise RuntimeError(f"{len(left)} batches are left")

    return work


_WAYS: dict[str, Callable[..., Callable[[], None]]] = {
    "ours": _ours,
    "pandas": lambda source, run: _pandas(source, run, files=False),
    "pandas-files": lambda source, run: _pandas(source, run, files=True),
    "resume": _resume,
    "pandas-resume": _pandas_resume,
}


def main() -> int:
    """Measure one way in this process."""
    way, *arguments = sys.argv[1:]
    work = _WAYS[way](*arguments)
    began, used = time.perf_counter(), time.process_time()
    work()
    took = {"seconds": time.perf_counter() - began, "processor": time.process_time() - used, "peak_mb": peak_mb()}
    print(json.dumps(took))  # noqa: T201 - the line is the interface
    return 0


if __name__ == "__main__":
    sys.exit(main())
