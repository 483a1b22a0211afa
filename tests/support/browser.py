"""A real browser without a window, spoken to over its own protocol (DevTools, a web socket).

::

    async with browser(tmp_path) as page:
        await page.open(path_or_url, width=360, dark=True)
        await page.shoot(tmp_path / "shot.png")
        assert await page.evaluate("document.title") == "…"
        assert not page.complaints

Nothing is waited for by the clock: a page is open when it says that it has loaded, and :meth:`Page.until` asks once for
each picture that the browser draws.
"""

import asyncio
import base64
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for name in _NAMES if (path := shutil.which(name))), "")
in_a_browser = pytest.mark.skipif(not BROWSER, reason="no chromium here: apt-get install chromium")

_PATIENCE_S = 60.0  # far above anything measured: only a hang reaches it
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
    "--remote-debugging-port=0", "--remote-allow-origins=*", "--force-color-profile=srgb",
)  # fmt: skip
_LARGEST_ANSWER = 256 << 20  # bytes; a picture of a long page


class ProtocolError(AssertionError):
    """The browser refused what it was asked for."""


@dataclass(slots=True)
class Page:
    """One tab.

    Attributes:
        complaints: what the page has complained about: errors, warnings, refusals of its security policy.
        requests: addresses that it has fetched, itself included.
    """

    _socket: aiohttp.ClientWebSocketResponse
    _session: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _waiting: dict[int, "asyncio.Future[dict[str, Any]]"] = field(default_factory=dict)
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(
        self, where: str | Path, *, width: int = 1280, height: int = 800, dark: bool = False, scripts: bool = True
    ) -> None:
        """Show a file or an address and return when it has loaded. Without *scripts* the page's own are not run."""
        await self.resize(width, height, dark=dark)
        await self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._loaded.clear()
        answer = await self.call("Page.navigate", url=_address(where))
        if answer.get("errorText"):
            raise ProtocolError(f"{where}: {answer['errorText']}")
        async with asyncio.timeout(_PATIENCE_S):
            await self._loaded.wait()

    async def resize(self, width: int, height: int = 800, *, dark: bool = False, medium: str = "screen") -> None:
        """Give the window another size, in CSS pixels, and the user another taste."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", media=medium, features=[feature])

    async def evaluate(self, expression: str) -> Any:
        """Return what a JavaScript expression is, after its promise if it is one. Works without scripts too."""
        answer = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise ProtocolError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Return when a JavaScript expression is true, looking again with every picture that is drawn."""
        await self.evaluate(
            "new Promise(done => { const look = () => (" + expression + ") ? done() : requestAnimationFrame(look);"
            " look(); })"
        )

    async def click(self, selector: str) -> None:
        """Click on the middle of an element, as a mouse would."""
        box = await self.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2]; }})(document.querySelector({selector!r}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Do in the block what leads to another page; it ends when that has loaded."""
        self._loaded.clear()
        yield
        async with asyncio.timeout(_PATIENCE_S):
            await self._loaded.wait()

    async def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """Press a key, such as ``press("Tab", code=9)`` or ``press("Enter", code=13, text="\\r")``."""
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **shared)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **shared)

    async def shoot(self, path: Path) -> Path:
        """Photograph the whole page, however long it is, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return _keep(path, answer["data"])

    async def print(self, path: Path) -> Path:
        """Print the page on A4 as PDF."""
        answer = await self.call(
            "Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69
        )
        return _keep(path, answer["data"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the protocol and return its answer."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        await self._socket.send_json(message)
        async with asyncio.timeout(_PATIENCE_S):
            found = await answer
        if "error" in found:
            raise ProtocolError(f"{method}: {found['error']['message']}")
        result: dict[str, Any] = found["result"]
        return result

    async def _listen(self) -> None:
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            said = message.json()
            if "id" in said:
                answer = self._waiting.pop(said["id"])
                if not answer.done():
                    answer.set_result(said)
            else:
                self._hear(said["method"], said.get("params", {}))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ProtocolError("the browser is gone"))

    def _hear(self, event: str, about: dict[str, Any]) -> None:
        match event:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if about["type"] in {"error", "warning", "assert"}:
                self.complaints.append(" ".join(str(each.get("value")) for each in about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(about["entry"]["text"])


def _address(where: str | Path) -> str:
    return where.absolute().as_uri() if isinstance(where, Path) else where


def _keep(path: Path, data: str) -> Path:
    path.write_bytes(base64.b64decode(data))
    return path


@asynccontextmanager
async def browser(scratch: Path) -> AsyncIterator[Page]:
    """Start a browser and yield its only tab; both are gone afterwards. *scratch* takes the browser's own files."""
    home = scratch / "browser"
    process = await asyncio.create_subprocess_exec(
        BROWSER,
        *_FLAGS,
        f"--user-data-dir={home}",
        "about:blank",
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                if not line:
                    raise ProtocolError("the browser ended before it listened")
        address = line.decode().split(" on ", maxsplit=1)[1].strip()
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(address, max_msg_size=_LARGEST_ANSWER) as socket,
            asyncio.TaskGroup() as tasks,
        ):
            page = Page(socket)
            listening = tasks.create_task(page._listen(), name="browser")
            emptying = tasks.create_task(_drop(process.stderr), name="browser's complaints")
            failure: BaseException | None = None
            try:
                tab = await page.call("Target.createTarget", url="about:blank")
                attached = await page.call("Target.attachToTarget", targetId=tab["targetId"], flatten=True)
                page._session = attached["sessionId"]
                for domain in ("Page", "Runtime", "Network", "Log"):
                    await page.call(f"{domain}.enable")
                yield page
            except BaseException as error:  # noqa: BLE001 - raised below: the group would wrap a test's own assertion
                failure = error
            finally:
                listening.cancel()
                emptying.cancel()
        if failure is not None:
            raise failure
    finally:
        with suppress(ProcessLookupError):  # it went by itself
            os.killpg(process.pid, 9)  # its own session: the tab's processes go with it
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else its pipe is a warning of an unclosed resource


async def _drop(stream: asyncio.StreamReader) -> None:
    """Read what the browser says to nobody, so that its pipe never fills."""
    while await stream.read(1 << 16):
        pass
