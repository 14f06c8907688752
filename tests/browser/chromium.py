"""A real Chromium without a window, driven over its DevTools protocol; it reaches loopback and nothing else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

READY_S = 60.0
CALL_S = 30.0
WAIT_S = 20.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--force-color-profile=srgb",
    "about:blank",
)


def found() -> str | None:
    """The browser's program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[str]:
    """Run it with a profile in ``folder``; its DevTools' `http://HOST:PORT`. Everything it started ends with it."""
    program = found()
    assert program is not None
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    output = (folder / "chromium.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *(program, f"--user-data-dir={folder / 'profile'}", *root, *FLAGS),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(READY_S):
            yield f"http://127.0.0.1:{await _port(folder / 'profile' / 'DevToolsActivePort', process)}"
    finally:
        output.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()


async def _port(file: Path, process: asyncio.subprocess.Process) -> int:
    while True:
        assert process.returncode is None, "chromium ended before it was ready"
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(_first_line(file))
        await asyncio.sleep(0.02)


def _first_line(file: Path) -> str:
    return file.read_text().splitlines()[0]


class Page:
    """A tab of its own for the length of an `async with`. ``faults`` are errors, warnings of the policy and exceptions
    of its scripts; ``asked`` the addresses that it requested."""

    def __init__(self, devtools: str) -> None:
        self._devtools = devtools
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.faults: list[str] = []
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        async with httpx.AsyncClient(trust_env=False, timeout=CALL_S) as client:
            target = (await client.put(f"{self._devtools}/json/new?about:blank")).json()
        self._socket: ClientConnection = await connect(
            target["webSocketDebuggerUrl"], max_size=64 * 1024 * 1024, proxy=None
        )
        self._reading = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._socket.close()

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the DevTools protocol, and its result."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(CALL_S):
            reply = await answer
        assert "error" not in reply, (method, reply)
        result: dict[str, Any] = reply["result"]
        return result

    async def open(self, url: str, width: int = 1280, height: int = 800) -> None:
        """Show a page in a window of that size; below 600 pixels as a phone does."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        await self.call("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What an expression is in the page; promises are awaited. `AssertionError` for what it throws."""
        found = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression holds; `AssertionError` with what the page shows when it does not."""
        try:
            async with asyncio.timeout(WAIT_S):
                while True:
                    with contextlib.suppress(AssertionError):
                        if await self.value(f"!!({expression})"):
                            return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.value("document.body.innerText")
            raise AssertionError(f"{expression} did not hold: {self.faults}\n{shown}") from None

    async def press(self, key: str, code: int) -> None:
        """A key as the keyboard sends it."""
        down: dict[str, Any] = {"type": "keyDown", "key": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", **down, text="\r" if key == "Enter" else "")
        await self.call("Input.dispatchKeyEvent", **{**down, "type": "keyUp"})

    async def picture(self) -> bytes:
        """A PNG of the whole page."""
        size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
        found = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(found["data"])

    async def _read(self) -> None:
        async for line in self._socket:
            message = json.loads(line)
            if "id" in message:
                waiter = self._waiting.pop(message["id"])
                if not waiter.done():
                    waiter.set_result(message)
            else:
                self._note(message["method"], message["params"])

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.faults.append(str(told["exceptionDetails"].get("exception", told["exceptionDetails"])))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.faults.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.faults.append(str(told["args"]))
        elif method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
