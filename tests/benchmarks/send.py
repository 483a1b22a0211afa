"""Requests a second of the whole durable sender, side by side with loops that send and keep nothing.

The server is :mod:`tests.benchmarks.sink`, a process of its own on core 0; the client is a process of its own on core 1
(where ``taskset`` is there and there are two). Each measurement is a fresh process that reports the seconds of its
requests, without its imports. The ways take turns within a round; a ratio is of one round.

``python -m tests.benchmarks.send WAY URL PLAN REQUESTS`` is one measurement and prints one JSON line. Ways:

- ``durable`` is what ``broadcaster resume`` does with a frozen plan and no rate limit: claim, POST, decode and match,
  settle, each claim on disk before its bytes leave; 64 requests at once;
- ``bare`` is a loop of aiohttp, uvloop and orjson: body out of the same plan, POST, decode, count the ids; 64 at once;
- ``sdk-N`` is the official client with its aiohttp transport and N requests at once, the same numbers and template.
"""

import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from . import lists
from .simulator import Rate, _can_pin, _start
from .turns import spread

_SENDERS = 64
_DECODED = 256  # batches at a time, as a run does
_PATIENCE_S = 120.0  # for one measurement; only a hang reaches it
_SDK_AT_ONCE = (8, 16, 32)
_SIZES = ((1, 20_000, 3_000), (1000, 2_000, 100))  # recipients a request, requests, requests of the SDK


async def measure(*, rounds: int) -> list[str]:
    """Return the figures as lines, for requests of one recipient and of a thousand."""
    lines = [f"{_SENDERS} requests at once, {rounds} rounds; pinned: {_can_pin()}"]
    with tempfile.TemporaryDirectory() as scratch:
        for size, requests, few in _SIZES:
            plan = Path(scratch, f"plan-{size}")
            _plan(plan, size=size, requests=requests)
            ways = {"bare": requests, "durable": requests} | {f"sdk-{each}": few for each in _SDK_AT_ONCE}
            found: dict[str, list[Rate]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, count in ways.items():
                    found[way].append(await _round(way, plan, count))
            lines += [f"{size:,} recipients a request:" if size > 1 else "one recipient a request:"]
            lines += [_describe(way, rates) for way, rates in found.items()]
            sdk = [way for way in ways if way.startswith("sdk")]
            best = max(sdk, key=lambda way: statistics.median(rate.by_clock for rate in found[way]))
            lines += [_compare(found, "durable", other) for other in ("bare", best)]
    return lines


def _describe(way: str, rates: Sequence[Rate]) -> str:
    clock, processor = ([getattr(rate, by) for rate in rates] for by in ("by_clock", "by_processor"))
    return f"  {way:<8} {spread(clock, form=',.0f')} requests/s, {spread(processor, form=',.0f')} a second of processor"


def _compare(found: Mapping[str, Sequence[Rate]], way: str, other: str) -> str:
    pairs = list(zip(found[way], found[other], strict=True))
    clock = [ours.by_clock / theirs.by_clock for ours, theirs in pairs]
    processor = [ours.by_processor / theirs.by_processor for ours, theirs in pairs]
    return f"  {way} / {other}: {spread(clock)} by the clock, {spread(processor)} by processor time"


def _plan(run: Path, *, size: int, requests: int) -> None:
    """Freeze a plan of *requests* requests to *size* recipients each."""
    source = run.with_suffix(".parquet")
    lists.make_list(source, size * requests, sets=None)
    template: dict[str, Any] = {"template_id": lists._TEMPLATE}
    if size == 1:
        template["parameters"] = {"name": "{name}", "code": "{code}"}
    lists.plan_list(source, run, message=template)


async def _round(way: str, plan: Path, requests: int) -> Rate:
    """Return the requests a second of one way, in a process and with a journal of its own."""
    with tempfile.TemporaryDirectory(dir=plan.parent) as fresh:
        run = Path(fresh, "run")
        shutil.copytree(plan, run)
        async with sink() as (url, _):
            arguments = ["-m", "tests.benchmarks.send", way, url, str(run), str(requests)]
            async with asyncio.timeout(_PATIENCE_S):
                client = await _start(arguments, core=1)
                told, _ = await client.communicate()
    if client.returncode:
        raise RuntimeError(f"{way} ended with {client.returncode}")
    took = json.loads(told)
    return Rate(by_clock=requests / took["seconds"], by_processor=requests / took["processor"])


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """Run the server; yield its address, and where it says when it first answered a send."""
    server = await _start([str(Path(__file__).with_name("sink.py"))], core=0)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield json.loads(await server.stdout.readline())["url"], server.stdout
    finally:
        server.stdin.close()
        await server.wait()


# ---- one measurement -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """Seconds by the clock, and of the client's processor."""

    seconds: float
    processor: float


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._clock, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> Took:
        """Return what has passed."""
        return Took(seconds=time.perf_counter() - self._clock, processor=time.process_time() - self._processor)


async def _durable(url: str, run: str, requests: int) -> Took:
    from broadcaster.api.client import Client
    from broadcaster.clock import SystemClock
    from broadcaster.engine.pacer import Pacer
    from broadcaster.engine.run import execute
    from broadcaster.engine.stop import Stop
    from broadcaster.engine.terms import Terms
    from broadcaster.operations import OPERATIONS
    from broadcaster.store.facts import Facts
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir
    from broadcaster.store.writer import JournalWriter

    plan, clock = Plan.open(RunDir(Path(run))), SystemClock()
    credentials = {"x-api-key": "benchmark"}
    with JournalWriter(plan.run_dir.journal, version="benchmark") as journal:
        client = Client(base_url=url, credentials=credentials, timeout_s=60, connections=_SENDERS + 1, clock=clock)
        async with client:
            started = Stopwatch()
            shared = await execute(
                _tasks(plan),
                terms=Terms(
                    message=plan.head.message,
                    operation=OPERATIONS[plan.head.operation],
                    window_s=86_400,
                    margin_s=3_600,
                    give_up_after_s=60,
                    row_bytes=200,
                ),
                send=client,
                journal=journal,
                budget=Pacer(requests_per_minute=0, messages_per_minute=0, largest=1, clock=clock),
                stop=Stop(),
                observe=lambda _: None,
                clock=clock,
                concurrency=_SENDERS,
                largest_batch=max(part.head.heaviest for part in plan.parts),
                next_child=-1,
                server_us=None,
                rand=lambda: 0.5,
            )
            took = started.read()
    settled = len(Facts.read(plan, whole=False).settled)
    if settled != requests or shared.postponed:
        raise RuntimeError(f"{settled} of {requests} requests were settled")
    return took


async def _tasks(plan: Any) -> AsyncGenerator[Any, None]:
    from broadcaster.engine.work import Task

    batches = plan.read_batches()
    while following := await asyncio.to_thread(lambda: list(islice(batches, _DECODED))):
        for batch in following:
            yield Task(batch=batch)


async def _bare(url: str, run: str, requests: int) -> Took:
    import aiohttp
    import orjson

    bodies = iter(_payloads(run))
    headers = {"x-api-key": "benchmark", "Content-Type": "application/json"}
    ids = 0

    async def sender(session: aiohttp.ClientSession) -> None:
        nonlocal ids
        for payload in bodies:
            async with session.post(f"{url}/v3/messages", data=orjson.dumps(payload)) as response:
                answer = orjson.loads(await response.read())
                if response.status != 202:
                    raise RuntimeError(answer)
                ids += sum(1 for row in answer["data"]["recipients"] if row["message_id"])

    connector = aiohttp.TCPConnector(limit=_SENDERS)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        started = Stopwatch()
        await _together(lambda: sender(session), _SENDERS)
        took = started.read()
    if ids < requests:
        raise RuntimeError(f"{ids} ids in {requests} answers")
    return took


async def _sdk(url: str, run: str, requests: int, *, at_once: int) -> Took:
    from sent_dm import AsyncSent, DefaultAioHttpClient

    payloads = iter(_payloads(run)[:requests])

    async def sender(client: AsyncSent) -> None:
        for payload in payloads:
            answer = await client.messages.send(to=payload["to"], template=payload["template"])
            if answer.data is None or not answer.data.recipients:
                raise RuntimeError(answer)

    async with AsyncSent(api_key="benchmark", base_url=url, http_client=DefaultAioHttpClient()) as client:
        started = Stopwatch()
        await _together(lambda: sender(client), at_once)
        return started.read()


async def _together(work: Callable[[], Awaitable[None]], count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(work())  # type: ignore[arg-type]  # an async function's coroutine


def _payloads(run: str) -> list[dict[str, Any]]:
    """Return what the plan's requests say, made before the clock starts: others may have their data in memory."""
    from broadcaster.store.plan import Plan
    from broadcaster.store.rundir import RunDir

    plan = Plan.open(RunDir(Path(run)))
    return [
        {"to": batch.to, "template": {"id": plan.head.template_id, "parameters": json.loads(batch.parameters)}}
        for batch in plan.read_batches()
    ]


def main() -> int:
    """Measure one way in this process, each on the loop that it would run on."""
    import uvloop

    from broadcaster.app.parts import run_loop

    way, url, run, requests = sys.argv[1:]
    count = int(requests)
    if way == "durable":
        took = run_loop(_durable(url, run, count))
    else:
        work = _bare(url, run, count) if way == "bare" else _sdk(url, run, count, at_once=int(way.removeprefix("sdk-")))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took = runner.run(work)
    print(json.dumps(asdict(took)))  # noqa: T201 - the line is the interface
    return 0


if __name__ == "__main__":
    sys.exit(main())
