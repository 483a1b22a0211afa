"""The dashboard's updates: one look at the files for everybody, only what has changed, and an end when asked for."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support.plans import make_plan, people

from broadcaster.core.words import Steering
from broadcaster.errors import StoreError
from broadcaster.store.plan import Plan
from broadcaster.tracking import dashboard as module
from broadcaster.tracking.chronicle import tell_planned
from broadcaster.tracking.dashboard import Feed, add_dashboard
from broadcaster.tracking.listening import listening
from broadcaster.tracking.live import RunReader


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    found = make_plan(tmp_path, people(3))
    found.run_dir.path.rename(tmp_path / "spring")
    return Plan.open(type(found.run_dir)(tmp_path / "spring"))


@asynccontextmanager
async def served(directory: Path, steer: Any = None) -> AsyncIterator[str]:
    app = web.Application()
    add_dashboard(app, directories=[directory], token=None, steer=steer or (lambda _path, _what: None))
    async with listening(app, host="127.0.0.1", port=0) as url:
        yield url


async def news(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The next event of a stream."""
    while True:
        line = await response.content.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            found: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
            return found


async def test_viewers_share_a_look_and_a_fresh_one_is_taken_when_asked_for(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    read_all = RunReader.read_all

    def counting(self: RunReader, *given: Any, **named: Any) -> Any:
        looks.append(time.monotonic())
        return read_all(self, *given, **named)

    monkeypatch.setattr(RunReader, "read_all", counting)
    monkeypatch.setattr(module, "_LOOK_S", 3600.0)
    feed = Feed([plan.run_dir.path])
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(feed.runs())
    assert len(looks) == 1
    assert list(await feed.runs(fresh=True)) == ["spring"]
    assert len(looks) == 2


async def test_a_page_hears_of_what_has_changed_and_of_nothing_else(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_STILL_HERE_S", 0.05)
    async with served(plan.run_dir.path.parent) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/runs/spring/updates") as response, http.get("/updates") as overview:
            assert response.content_type == "text/event-stream"
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none';")
            first = await news(response)
            assert set(first["regions"]) == {"state", "figures", "controls", "rate", "events"}
            assert first["said"] == "Planned. 0 of 3 settled, 0 rejected, 0 in doubt."
            assert (await news(overview))["said"] == "1 run, 0 at work."
            assert await response.content.readline() == b"\n"
            assert await response.content.readline() == b": still here\n"
            tell_planned(plan)
            assert set((await news(response))["regions"]) == {"events"}
            shutil.rmtree(plan.run_dir.path)
            gone = await news(response)
            assert "not there any more" in gone["regions"]["state"]
            assert "No run in" in (await news(overview))["regions"]["runs"]
        async with http.get("/runs/spring/updates") as late:
            assert late.status == 404


async def test_open_pages_keep_no_server_from_ending(plan: Plan) -> None:
    async with aiohttp.ClientSession() as http:
        async with served(plan.run_dir.path.parent) as url:
            open_pages = [await http.get(f"{url}/updates") for _ in range(3)]
            for each in open_pages:
                await news(each)
        for each in open_pages:
            await each.content.read()  # to its proper end: a server that had to cut it off would be an error here
            each.close()


async def test_too_many_open_pages_are_refused_and_room_is_made_when_one_is_closed(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_VIEWERS", 2)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_STILL_HERE_S", 0.01)
    async with served(plan.run_dir.path.parent) as url, aiohttp.ClientSession(url) as http:
        first, second = await http.get("/updates"), await http.get("/runs/spring/updates")
        async with http.get("/updates") as third:
            assert (third.status, third.headers["Retry-After"]) == (503, "30")
        first.close()
        async with asyncio.timeout(30):
            while (again := await http.get("/updates")).status == 503:
                again.close()
        second.close()
        again.close()


async def test_a_button_orders_of_the_run_that_it_stands_beside(plan: Plan) -> None:
    ordered: list[tuple[Path, Steering]] = []

    def steer(path: Path, what: Steering) -> None:
        ordered.append((path, what))
        if len(ordered) > 2:
            raise StoreError("+14155550123: the disk is full")

    async with served(plan.run_dir.path.parent, steer) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/runs/spring/pause") as asked:
            form = (await asked.text()).partition('name="form" value="')[2][:64]
        for what in ("pause", "go"):
            async with http.post(f"/runs/spring/{what}", data={"form": form}, allow_redirects=False) as done:
                assert (done.status, done.headers["Location"]) == (303, "/runs/spring")
        async with http.post("/runs/spring/pause", data={"form": form}) as refused:
            text = await refused.text()
            assert refused.status == 409
    assert ordered == [(plan.run_dir.path, each) for each in (Steering.PAUSE, Steering.GO, Steering.PAUSE)]
    assert "the disk is full" in text
    assert "55550123" not in text
