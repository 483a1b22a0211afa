"""Small plans and journals on a temporary directory: the list, the job, the frozen plan, and facts about its batches.

Everything goes through the real code that freezes plans and writes journals, so that a test of one part stands on what
the other parts really write.
"""

import asyncio
import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from broadcaster.app.prepare import Ask, Prepared, prepare
from broadcaster.core.keys import idempotency_key
from broadcaster.core.split import child_batch
from broadcaster.core.values import (
    Attempt,
    Batch,
    Blame,
    Child,
    Claim,
    Decided,
    Evidence,
    Instant,
    Message,
    Outcome,
    Scope,
)
from broadcaster.core.words import Channel, Executed, Mode, State
from broadcaster.job.load import job_from, render_campaign
from broadcaster.job.model import Job
from broadcaster.lists.columns import Columns
from broadcaster.lists.places import Place
from broadcaster.lists.read import ListSource
from broadcaster.operations import OPERATIONS
from broadcaster.planning.followup import Known
from broadcaster.planning.pipeline import Audience, Built, Wording, build_part
from broadcaster.store.plan import Plan
from broadcaster.store.rows import checksum
from broadcaster.store.rundir import RunDir
from broadcaster.store.writer import JournalWriter

TEMPLATE = "7ba7b820-9dad-11d1-80b4-00c04fd430c8"
T0 = 1_764_580_000_000_000  # a moment, in µs: every later one counts from here
SECOND = 1_000_000
_AREAS = ("415", "212", "303", "206", "312", "617", "702", "503", "602", "713", "305", "404")

Cells = Mapping[str, str]


def phone(n: int) -> str:
    """Return the n-th (below 1,200) of the numbers that are reserved for fiction, as E.164."""
    area, last = divmod(n, 100)
    return f"+1{_AREAS[area]}55501{last:02}"


def people(count: int, **columns: Sequence[str]) -> list[dict[str, str]]:
    """Return *count* rows with a number of their own, an id, and *columns* whose values repeat as needed."""
    return [
        {"id": f"c{n}", "mobile": phone(n), **{name: values[n % len(values)] for name, values in columns.items()}}
        for n in range(count)
    ]


def write_csv(path: Path, rows: Iterable[Cells]) -> Path:
    """Write *rows* with the columns of the first."""
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_job(base: Path, tables: Mapping[str, Mapping[str, Any]] | None = None, **top: Any) -> Job:
    """Return a job over ``list.csv`` in *base*; *tables* go over the defaults, key by key."""
    values: dict[str, dict[str, Any]] = {
        "recipients": {"file": "list.csv", "phone": "mobile", "id": "id", "default_region": "US"},
        "message": {"template_id": TEMPLATE},
    }
    for name, table in (tables or {}).items():
        values.setdefault(name, {}).update(table)
    return job_from({"campaign": "spring-sale", **top, **values}, base=base, name="job.toml")


def freeze(
    base: Path,
    job: Job,
    *,
    run_dir: Path | None = None,
    mode: Mode = Mode.LIVE,
    extend: bool = False,
    profile: str | None = None,
) -> Prepared:
    """Freeze *job* in ``run`` under *base*, or extend what is there."""
    where = RunDir(run_dir or base / "run")
    where.create()
    ask = Ask(mode=mode, run_dir=where.path, extend=extend)
    campaign = render_campaign(job, day=ask.day) if ask.day else job.campaign
    return prepare(job, ask, run_dir=where, campaign=campaign, profile=profile)


def make_plan(
    base: Path,
    rows: Iterable[Cells],
    tables: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    batch_size: int = 1000,
    mode: Mode = Mode.LIVE,
    **top: Any,
) -> Plan:
    """Write *rows* to ``list.csv`` in *base* and freeze a plan for them."""
    write_csv(base / "list.csv", rows)
    given = {name: dict(table) for name, table in (tables or {}).items()}
    given.setdefault("limits", {}).setdefault("batch_size", batch_size)
    return freeze(base, make_job(base, given, **top), mode=mode).plan


def extend_plan(
    base: Path, rows: Iterable[Cells], tables: Mapping[str, Mapping[str, Any]] | None = None, *, batch_size: int = 1000
) -> Plan:
    """Replace ``list.csv`` and extend the plan that :func:`make_plan` froze."""
    write_csv(base / "list.csv", rows)
    given = {name: dict(table) for name, table in (tables or {}).items()}
    given.setdefault("limits", {}).setdefault("batch_size", batch_size)
    return freeze(base, make_job(base, given), extend=True).plan


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFile:
    """Rows as a list file whose record batches have *size* rows."""

    rows: Sequence[Cells]
    size: int
    place: Place = Place.local(Path("memory.csv"))  # noqa: RUF009 - a value

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0])

    def batches(
        self,
        columns: Sequence[str],
        *,
        malformed: dict[int, str] | None = None,  # noqa: ARG002 - of every list
    ) -> Iterator[Any]:
        """Yield the rows, *size* at a time; none of them is *malformed*."""
        for at in range(0, len(self.rows), self.size):
            few = self.rows[at : at + self.size]
            yield pa.RecordBatch.from_arrays(
                [pa.array([row[name] for row in few], pa.string()) for name in columns], list(columns)
            )


SCOPE = Scope(campaign="spring-sale", generation="0", mode=Mode.LIVE, profile=None, method="POST", path="/v3/messages")


def build_tables(
    directory: Path,
    rows: Sequence[Cells],
    *,
    size: int = 1000,
    largest: int = 1000,
    parameters: Mapping[str, str] | None = None,
    channels: tuple[Channel, ...] = (Channel.AUTO,),
    suppressed: Sequence[str] = (),
    opt_out: str | None = None,
    channel: str | None = None,
) -> Built:
    """Write the tables of a first part for *rows* (columns ``id`` and ``mobile``), read *size* rows at a time."""
    return build_part(
        Audience(
            source=ListSource(files=(MemoryFile(rows=rows, size=size),)),
            columns=Columns(phone="mobile", id="id", region=None, opt_out=opt_out, channel=channel, chosen=""),
            default_region="US",
            suppressed=np.array(sorted(int(number) for number in suppressed), dtype=np.int64),
        ),
        Wording(
            message=Message(template_id=TEMPLATE, scope=SCOPE),
            parameters=dict(parameters or {}),
            channels=channels,
            operation=OPERATIONS["message", "v3"],
            largest_batch=lambda _: largest,
        ),
        run_dir=RunDir(directory),
        part=0,
        first_row=0,
        first_batch=0,
        known=Known.none(),
    )


def moment(seconds: float) -> Instant:
    """Return the instant *seconds* after :data:`T0`."""
    return Instant(wall_us=T0 + round(seconds * SECOND))


def message_id(to: str, channel: str) -> str:
    """Return the id that :func:`answer` gives a delivery."""
    return f"msg-{to[1:]}-{channel}"


def answer(batch: Batch, *, without: Sequence[tuple[str, str]] = (), ids: Mapping[str, str] | None = None) -> bytes:
    """Return an accepting body for *batch*; *without* names deliveries that it has no entry for."""
    found = ids or {}
    rows = [
        {"message_id": found.get(to, message_id(to, channel)), "to": to, "channel": channel}
        for to in batch.to
        for channel in batch.channels
        if (to, channel) not in without
    ]
    return json.dumps({"success": True, "data": {"status": "QUEUED", "recipients": rows}, "meta": {}}).encode()


def claim(batch: int, *, at_s: float = 0) -> Claim:
    """Return the claim of a batch."""
    return Claim(batch=batch, since=moment(at_s), server_us=T0)


def attempt(batch: int, n: int = 1, *, at_s: float = 0, http: int | None = 503, code: str = "SERVICE_001") -> Attempt:
    """Return an attempt that settled nothing."""
    return Attempt(
        batch=batch,
        n=n,
        started=moment(at_s),
        ended=moment(at_s + 1),
        executed=Executed.UNKNOWN,
        http=http,
        code=code,
        request_id=f"req-{batch}-{n}",
        sentence=f"attempt {n} of batch {batch}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """An outcome with what follows from it."""

    outcome: Outcome
    children: tuple[Child, ...] = ()
    blames: tuple[Blame, ...] = ()


def accepted(
    batch: Batch, *, without: Sequence[tuple[str, str]] = (), ids: Mapping[str, str] | None = None
) -> Settling:
    """Settle a batch as accepted."""
    return Settling(
        outcome=Outcome(
            batch=batch.id,
            state=State.ACCEPTED,
            attempts=1,
            first_us=T0 + 1 * SECOND,
            settled_us=T0 + 2 * SECOND,
            http=202,
            request_id=f"req-{batch.id}",
            missing=len(without),
            answer=answer(batch, without=without, ids=ids),
        )
    )


def rejected(batch: Batch, *, code: str = "BUSINESS_003", sentence: str = "no balance", attempts: int = 2) -> Settling:
    """Settle a batch as rejected."""
    return Settling(
        outcome=Outcome(
            batch=batch.id,
            state=State.REJECTED,
            attempts=attempts,
            first_us=T0 + 3 * SECOND,
            settled_us=T0 + 4 * SECOND,
            http=422,
            code=code,
            sentence=sentence,
            request_id=f"req-{batch.id}",
        )
    )


def child_of(plan: Plan, parent: Batch, positions: Sequence[int], *, number: int) -> tuple[Child, Batch]:
    """Return a part of a batch, as an entry of the journal and as a batch with the key of its own body."""
    bare = Child(id=number, parent=parent.id, positions=tuple(positions), key="", cause="VALIDATION_002")
    body = OPERATIONS[plan.head.operation].encode(plan.head.message, child_batch(parent, bare))
    key = idempotency_key(body, scope=plan.head.scope.of(parent.generation))
    child = Child(id=number, parent=parent.id, positions=tuple(positions), key=key, cause="VALIDATION_002")
    return child, child_batch(parent, child)


def divided(parent: Batch, *, blamed: Sequence[int], children: Sequence[Child] = ()) -> Settling:
    """Settle a batch as split: *blamed* positions are rejected, the others are with its children."""
    code, sentence = "VALIDATION_002", "the number is not valid"
    return Settling(
        outcome=Outcome(
            batch=parent.id,
            state=State.SPLIT,
            attempts=1,
            first_us=T0,
            settled_us=T0 + SECOND,
            http=400,
            code=code,
            sentence=sentence,
            request_id=f"req-{parent.id}",
        ),
        children=tuple(children),
        blames=tuple(Blame(batch=parent.id, position=each, code=code, sentence=sentence) for each in blamed),
    )


def record(plan: Plan, *facts: Claim | Attempt | Settling | Evidence | Decided) -> None:
    """Write *facts* into the plan's journal, in this order, by the journal's own writer."""

    async def write() -> None:
        with JournalWriter(plan.run_dir.journal, version="test") as journal:
            for fact in facts:
                match fact:
                    case Claim():
                        await journal.claim([fact])
                    case Attempt():
                        await journal.note(fact)
                    case Settling():
                        await journal.settle(fact.outcome, fact.children, fact.blames)
                    case Evidence():
                        await journal.prove([fact], [])
                    case Decided():
                        await journal.decide([fact], [], [])

    asyncio.run(write())


def reseal(db: sqlite3.Connection) -> None:
    """Give every row of a journal that was tampered with its right checksum again."""
    for table in ("claim", "outcome", "answer", "attempt", "child", "blame", "evidence"):
        columns = [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")][:-1]
        for row in db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall():
            where = " AND ".join(f"{name} IS ?" for name in columns)
            db.execute(f"UPDATE {table} SET crc = ? WHERE {where}", (checksum(row), *row))
