"""The dashboard: pages about runs that keep themselves up to date, and two buttons that ask first.

Theory of operation. All viewers share one look at the files, taken in a thread, at most once a second and only while
somebody is there. A page that is open hears over server-sent events which of its parts have changed. The buttons write
the same orders as the commands ``pause`` and ``go``: what follows from them is the run's business.

Who may come in is decided in :mod:`broadcaster.tracking.access`, what is shown in ``live``, how in ``pages``.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Concatenate

from aiohttp import web

from broadcaster.core.words import Steering
from broadcaster.errors import BroadcasterError
from broadcaster.phones import mask_in
from broadcaster.tracking import pages
from broadcaster.tracking.access import Door, Objection, Token, secure
from broadcaster.tracking.live import RunReader, RunView

_LOOK_S = 1.0  # between two looks at the files, for all viewers together
_STILL_HERE_S = 15.0  # between two lines to a page of which nothing changes
_MOST_VIEWERS = 50
_STATIC = {"style.css": "text/css", "live.js": "text/javascript"}
_ORDERS = {"pause": Steering.PAUSE, "go": Steering.GO}
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'; sandbox allow-popups allow-top-navigation-by-user-activation"
)
_ELSEWHERE = (
    "These pages are open to this machine only, and this request came by another name or through a proxy. Open the "
    "address that the command printed; for others, set BROADCASTER_DASHBOARD_TOKEN and start it again."
)
_NO_TOKEN = "Enter the token of this server: the command printed it when it started, or it was set by whoever did."  # noqa: S105 - a sentence
_STALE_FORM = (
    "This was not sent from a page of ours, or the server was started again since. Open the run and try again."
)
_PLAIN_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_Answer = Awaitable[web.StreamResponse]


def add_dashboard(
    app: web.Application, *, directories: Sequence[Path], token: Token | None, steer: Callable[[Path, Steering], object]
) -> None:
    """Add the pages to *app*: ``/``, ``/runs/…``, ``/updates``, ``/static/…``, ``/enter``.

    Args:
        app: other routes of it are left alone, and need no token.
        directories: with runs in them, or runs themselves; looked at anew every time.
        token: what :func:`broadcaster.tracking.access.token_for` returned.
        steer: orders something of the run in a directory; called in a thread, and may raise a ``BroadcasterError``.
    """
    dashboard = Dashboard(directories, Door(token), steer)
    guarded = dashboard.guarded
    app.router.add_get("/", guarded(Dashboard.list))
    app.router.add_get("/updates", guarded(Dashboard.list_updates))
    app.router.add_get("/runs/{name}", guarded(Dashboard.run))
    app.router.add_get("/runs/{name}/updates", guarded(Dashboard.run_updates))
    app.router.add_get("/runs/{name}/report", guarded(Dashboard.report))
    for what in _ORDERS:
        app.router.add_get(f"/runs/{{name}}/{what}", guarded(Dashboard.ask))
        app.router.add_post(f"/runs/{{name}}/{what}", guarded(Dashboard.order))
    app.router.add_post("/enter", dashboard.enter)
    app.router.add_get("/static/{name}", static)
    app.on_shutdown.append(dashboard.close)


class Feed:
    """The runs as they were at most a second ago."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.directories = tuple(directories)
        self._reader = RunReader()
        self._looking = asyncio.Lock()
        self._looked_s: float | None = None
        self._runs: Mapping[str, RunView] = {}

    async def runs(self, *, fresh: bool = False) -> Mapping[str, RunView]:
        """Return every run by name; *fresh* looks in any case."""
        async with self._looking:
            if fresh or self._looked_s is None or time.monotonic() - self._looked_s >= _LOOK_S:
                self._runs = await asyncio.to_thread(self._reader.read_all, self.directories, now_s=time.time())
                self._looked_s = time.monotonic()
            return self._runs


class Dashboard:
    """Answers requests for the pages."""

    def __init__(self, directories: Sequence[Path], door: Door, steer: Callable[[Path, Steering], object]) -> None:
        self._feed = Feed(directories)
        self._steer = steer
        self._door = door
        self._places = ", ".join(str(each) for each in directories)
        self._closing = asyncio.Event()
        self._viewers = 0

    async def close(self, app: web.Application) -> None:
        """End the open pages' updates, so that the server can end."""
        del app
        self._closing.set()

    def guarded(
        self, answer: Callable[Concatenate["Dashboard", web.Request, ...], _Answer]
    ) -> Callable[[web.Request], _Answer]:
        """Return a handler that lets in only whom the door lets in, and gives every answer the headers of a page."""

        async def handler(request: web.Request) -> web.StreamResponse:
            objection = self._door.objection(request)
            if objection is None and "token" in request.query:
                return self._without_token(request)
            if objection == "token" and self._door.fits(request.query.get("token", "")):
                return self._without_token(request)
            response = await answer(self, request) if objection is None else self._refuse(objection)
            if not response.prepared:
                secure(response)
            return response

        return handler

    def _without_token(self, request: web.Request) -> web.Response:
        """Let in whoever has the token in the address, and take it out of there."""
        response = web.Response(status=303, headers={"Location": request.path})
        self._door.let_in(response)
        secure(response)
        return response

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Let in whoever sends the token in the form."""
        fields = await request.post()
        token = fields.get("token")
        if not isinstance(token, str) or not self._door.fits(token.strip()):
            response: web.Response = self._refuse("token")
        else:
            response = web.Response(status=303, headers={"Location": "/"})
            self._door.let_in(response)
        secure(response)
        return response

    def _refuse(self, objection: Objection) -> web.Response:
        match objection:
            case "token":
                response = _page(pages.message_page("Who are you?", _NO_TOKEN, form=""), status=401)
                response.headers["WWW-Authenticate"] = 'Bearer realm="broadcaster"'
                return response
            case "elsewhere":
                return _page(pages.message_page("Not from here", _ELSEWHERE), status=421)
            case "form":
                return _page(pages.message_page("Nothing was changed", _STALE_FORM), status=403)

    # ---- pages ------------------------------------------------------------------------------------------------------

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Answer with all runs."""
        del request
        return _page(pages.list_page(await self._feed.runs(), now_s=time.time(), places=self._places))

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Answer with one run."""
        found = (await self._feed.runs()).get(request.match_info["name"])
        if found is None:
            return _no_run()
        return _page(pages.run_page(found, now_s=time.time(), form=self._door.form))

    async def report(self, request: web.Request) -> web.StreamResponse:
        """Answer with a run's report, as it is on disk; nothing in it may run or fetch anything."""
        found = (await self._feed.runs()).get(request.match_info["name"])
        if found is None:
            return _no_run()
        try:
            content = await asyncio.to_thread((found.path / "report.html").read_bytes)
        except OSError:
            return _page(pages.message_page("No report", "This run has no report.html yet."), status=404)
        response = web.Response(body=content, content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = _REPORT_POLICY
        return response

    # ---- buttons ----------------------------------------------------------------------------------------------------

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """Answer with the question whether to pause or to go on."""
        found = (await self._feed.runs()).get(request.match_info["name"])
        if found is None:
            return _no_run()
        return _page(pages.confirm_page(found, request.path.rpartition("/")[2], form=self._door.form))

    async def order(self, request: web.Request) -> web.StreamResponse:
        """Pause a run or let it go on, and lead back to its page."""
        objection = self._door.form_objection(request, await request.post())
        if objection is not None:
            return self._refuse(objection)
        found = (await self._feed.runs()).get(request.match_info["name"])
        if found is None:
            return _no_run()
        what = _ORDERS[request.path.rpartition("/")[2]]
        try:
            await asyncio.to_thread(self._steer, found.path, what)
        except BroadcasterError as error:
            return _page(pages.message_page("Nothing was changed", mask_in(error.sentence)), status=409)
        await self._feed.runs(fresh=True)
        return web.Response(status=303, headers={"Location": request.rel_url.parent.raw_path})

    # ---- updates ----------------------------------------------------------------------------------------------------

    async def list_updates(self, request: web.Request) -> web.StreamResponse:
        """Answer with the changes to the list, as they happen."""

        def regions(runs: Mapping[str, RunView]) -> tuple[dict[str, str], str]:
            return pages.list_regions(runs, now_s=time.time(), places=self._places), pages.said_of_all(runs)

        return await self._stream(request, regions)

    async def run_updates(self, request: web.Request) -> web.StreamResponse:
        """Answer with the changes to one run, as they happen."""
        name = request.match_info["name"]
        if name not in await self._feed.runs():
            return _no_run()

        def regions(runs: Mapping[str, RunView]) -> tuple[dict[str, str], str]:
            run = runs.get(name)
            if run is None:
                return pages.gone_regions(name), ""
            return pages.run_regions(run, now_s=time.time()), pages.said(run)

        return await self._stream(request, regions)

    async def _stream(
        self, request: web.Request, regions: Callable[[Mapping[str, RunView]], tuple[dict[str, str], str]]
    ) -> web.StreamResponse:
        if self._viewers >= _MOST_VIEWERS:
            return web.Response(status=503, text="too many pages are open", headers={"Retry-After": "30"})
        response = web.StreamResponse(headers=_PLAIN_HEADERS)
        secure(response)
        await response.prepare(request)
        self._viewers += 1
        try:
            await self._send_changes(response, regions)
        except ConnectionError:  # the page was closed
            pass
        finally:
            self._viewers -= 1
        return response

    async def _send_changes(
        self,
        response: web.StreamResponse,
        regions: Callable[[Mapping[str, RunView]], tuple[dict[str, str], str]],
    ) -> None:
        shown: dict[str, str] = {}
        sent_s = time.monotonic()
        while not self._closing.is_set():
            now, words = regions(await self._feed.runs())
            changed = {name: text for name, text in now.items() if shown.get(name) != text}
            if changed:
                await response.write(pages.update(changed, words))
                shown.update(changed)
                sent_s = time.monotonic()
            elif time.monotonic() - sent_s >= _STILL_HERE_S:
                await response.write(b": still here\n\n")
                sent_s = time.monotonic()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._closing.wait()
            except TimeoutError:
                continue


def _no_run() -> web.Response:
    text = "There is no such run here: it was moved or removed, or never made."
    return _page(pages.message_page("No such run", text), status=404)


def _page(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


async def static(request: web.Request) -> web.Response:
    """Answer with a file of the pages; they tell nothing, so nobody has to show a token."""
    name = request.match_info["name"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    content = (files("broadcaster.tracking") / "static" / name).read_bytes()
    response = web.Response(body=content, content_type=_STATIC[name], charset="utf-8")
    secure(response)
    return response
