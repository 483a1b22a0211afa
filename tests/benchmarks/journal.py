"""What durability costs: recording the outcomes of a million deliveries, and making the manifest of them.

Each measurement is a process of its own and reports its own seconds (after its imports), processor seconds and peak
memory. The ways take turns within a round; a ratio is of one round. Both are handed the same answers of the API, a
thousand deliveries each, and commit to the disk (``synchronous=FULL``) before the next.

``python -m tests.benchmarks.journal WAY PLAN`` is one measurement and prints one JSON line. Ways:

- ``ours`` claims and settles each batch in the run's journal, eight at once as a run does, and builds the manifest;
- ``plain`` is what a straightforward version would do: a SQLite table with a row for each delivery (its place in the
  list, number, status, message id, request, times, the batch's key), a commit for each batch; then a query in list
  order, joined with the plan's rows, into a Parquet file with the manifest's columns.
"""

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import lists
from .turns import child, compare, peak_mb

_AT_ONCE = 8
_SENT_US = 1_764_580_000_000_000
_FETCHED = 100_000  # rows at a time


async def measure(*, rounds: int, rows: int) -> list[str]:
    """Return the figures as lines."""
    lines = [f"{rows:,} deliveries in batches of 1,000, {rounds} rounds"]
    with tempfile.TemporaryDirectory() as scratch:
        plan = Path(scratch, "plan")
        source = plan.with_suffix(".parquet")
        lists.make_list(source, rows, sets=1, share=1.0)
        lists.plan_list(source, plan, message={"template_id": lists._TEMPLATE})

        async def one(way: str) -> dict[str, float]:
            with tempfile.TemporaryDirectory(dir=scratch) as fresh:
                run = Path(fresh, "run")
                shutil.copytree(plan, run)
                return await child("tests.benchmarks.journal", way, str(run))

        lines += await compare(["ours", "plain"], one, rounds=rounds, of=("seconds", "record", "compact", "processor"))
    return lines


def _answers(run: str) -> Iterator[tuple[Any, bytes]]:
    """Yield every batch of the plan with the answer that accepts it."""
    import random

    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    chance = random.Random(lists._SEED)
    for batch in Plan.open(RunDir(Path(run))).read_batches():
        rows = ",".join(f'{{"message_id":"{_uuid(chance)}","to":"{to}","channel":null,"body":null}}' for to in batch.to)
        answer = f'{{"success":true,"data":{{"status":"QUEUED","recipients":[{rows}]}},"meta":{{"request_id":"r"}}}}'
        yield batch, answer.encode()


def _uuid(chance: Any) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _ours(run: str) -> tuple[Callable[[], None], Callable[[], None]]:
    from broadcaster.core.values import Batch, Claim, Instant, Outcome
    from broadcaster.core.words import State
    from broadcaster.store.facts import Facts
    from broadcaster.store.manifest import build_manifest
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir
    from broadcaster.store.writer import JournalWriter

    answers = list(_answers(run))
    plan = Plan.open(RunDir(Path(run)))

    async def send(journal: JournalWriter, waiting: Iterator[tuple[Batch, bytes]]) -> None:
        for batch, answer in waiting:
            since = Instant(wall_us=_SENT_US + batch.id, boot_us=batch.id)
            await journal.claim([Claim(batch=batch.id, since=since, server_us=_SENT_US)])
            await journal.settle(
                Outcome(
                    batch=batch.id,
                    state=State.ACCEPTED,
                    attempts=1,
                    first_us=since.wall_us,
                    settled_us=since.wall_us + 1,
                    http=202,
                    request_id=f"req-{batch.id}",
                    answer=answer,
                )
            )

    async def main() -> None:
        waiting = iter(answers)
        with JournalWriter(plan.run_dir.journal, version="benchmark") as journal:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(send(journal, waiting))

    def compact() -> None:
        build_manifest(plan, Facts.read(plan), to=plan.run_dir.manifest)

    return lambda: asyncio.run(main()), compact


def _plain(run: str) -> tuple[Callable[[], None], Callable[[], None]]:
    import msgspec
    import pyarrow as pa
    import pyarrow.parquet as pq

    from broadcaster.store.manifest import MANIFEST

    answers = list(_answers(run))
    rows_of = pq.read_table(Path(run, "batches.parquet"), columns=["rows"])["rows"].to_pylist()
    db = sqlite3.connect(Path(run, "plain.sqlite"), isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        'CREATE TABLE delivery (input_row INTEGER PRIMARY KEY, "to" TEXT, status TEXT, message_id TEXT, '
        "idempotency_key TEXT, request_id TEXT, http_status INTEGER, attempts INTEGER, first_us INTEGER, "
        "settled_us INTEGER)"
    )

    def record() -> None:
        for batch, answer in answers:
            ids = {row["to"]: row["message_id"] for row in msgspec.json.decode(answer)["data"]["recipients"]}
            at_us = _SENT_US + batch.id
            fixed = (batch.key, f"req-{batch.id}", 202, 1, at_us, at_us + 1)
            db.execute("BEGIN")
            db.executemany(
                "INSERT INTO delivery VALUES (?, ?, 'accepted', ?, ?, ?, ?, ?, ?, ?)",
                [(row, to, ids[to], *fixed) for row, to in zip(rows_of[batch.id], batch.to, strict=True)],
            )
            db.execute("COMMIT")

    def compact() -> None:
        planned = pq.read_table(Path(run, "plan.parquet"), columns=["recipient_id", "phone_input"])
        cursor = db.execute("SELECT * FROM delivery ORDER BY input_row")
        at = 0
        with pq.ParquetWriter(Path(run, "plain.parquet"), MANIFEST, compression="zstd") as writer:
            while rows := cursor.fetchmany(_FETCHED):
                row, to, status, ids, keys, requests, http, attempts, first, settled = zip(*rows, strict=True)
                few = planned.slice(at, len(rows))
                at += len(rows)
                given = {
                    "input_row": row, "recipient_id": few["recipient_id"], "phone_input": few["phone_input"],
                    "to": to, "status": status, "message_id": ids, "idempotency_key": keys, "request_id": requests,
                    "http_status": http, "attempts": attempts, "first_attempt_at": first, "settled_at": settled,
                    "channel": ["auto"] * len(rows), "part": [0] * len(rows),
                }  # fmt: skip
                columns = []
                for field in MANIFEST:
                    values = given.get(field.name, [None] * len(rows))
                    if isinstance(values, pa.ChunkedArray):
                        columns.append(values.combine_chunks().cast(field.type))
                    else:
                        columns.append(pa.array(values, field.type))
                writer.write_table(pa.table(columns, schema=MANIFEST))

    return record, compact


_WAYS: dict[str, Callable[[str], tuple[Callable[[], None], Callable[[], None]]]] = {"ours": _ours, "plain": _plain}


def main() -> int:
    """Measure one way in this process."""
    way, run = sys.argv[1:]
    record, compact = _WAYS[way](run)
    began, used = time.perf_counter(), time.process_time()
    record()
    recorded = time.perf_counter()
    compact()
    ended = time.perf_counter()
    took = {
        "seconds": ended - began,
        "record": recorded - began,
        "compact": ended - recorded,
        "processor": time.process_time() - used,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(took))  # noqa: T201 - the line is the interface
    return 0


if __name__ == "__main__":
    sys.exit(main())
