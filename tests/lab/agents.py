"""`mesh daemon --agent` in the places of a laboratory: started, killed, started again, asked by `mesh agent`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tomlkit

from mesh.lab import Lab
from tests.lab.punching import listening
from tools.interop_peers.process import PeerProcess

READY_S = 60.0
SOON_S = 60.0
POLL_S = 0.2
HOOK = 18789
TOKEN = "token-of-the-gateway"
Settings = dict[str, dict[str, Any]]


class DaemonProcess:
    """`mesh WORDS` that runs until it is ended; leaving it ends it."""

    def __init__(self, lab: Lab, place: str, folder: Path, *words: str) -> None:
        self._lab = lab
        self._place = place
        self._folder = folder
        self._log = folder / "log"
        self._words = words
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[bytes] | None = None
        self.told: list[str] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end(signal.SIGTERM)

    def command(self, *words: str) -> list[str]:
        return self._lab.command(
            self._place, sys.executable, "-m", "mesh", *words, "--path", str(self._folder)
        )

    async def start(self) -> None:
        """Until it says that it is ready."""
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.command(*self._words), stdout=asyncio.subprocess.PIPE, stderr=log
            )
        self._process, self.told = process, []
        assert process.stdout is not None
        async with asyncio.timeout(READY_S):
            while line := (await process.stdout.readline()).decode().rstrip():
                self.told.append(line)
                if line == "ready":
                    break
        assert self.told[-1:] == ["ready"], self._log.read_text(errors="replace")
        self._reader = asyncio.create_task(process.stdout.read())

    async def end(self, how: signal.Signals) -> None:
        """Send a signal and wait until the process is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        await process.wait()
        if self._reader is not None:
            await self._reader

    @property
    def peer(self) -> str:
        return next(line.removeprefix("peer ") for line in self.told if line.startswith("peer "))

    async def tells(self, *words: str) -> dict[str, Any]:
        """What the command line says, as JSON."""
        asked = await asyncio.create_subprocess_exec(
            *self.command(*words, "--json"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        told, errors = await asked.communicate()
        assert told, errors.decode()
        found: dict[str, Any] = json.loads(told)
        return found

    async def until(
        self, *words: str, holds: Callable[[dict[str, Any]], object], within_s: float = SOON_S
    ) -> dict[str, Any]:
        """What the command line says once that holds."""
        found: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within_s):
                while not holds(found := await self.tells(*words)):  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise AssertionError(f"{self._place}: {' '.join(words)} still says {found}") from None
        return found


class LabAgent(DaemonProcess):
    """An agent daemon with a gateway beside it, which stands while the daemon is killed and started again."""

    def __init__(self, lab: Lab, place: str, folder: Path, settings: Settings, name: str) -> None:
        super().__init__(lab, place, folder, "daemon", "--agent")
        folder.mkdir()
        (folder / "gateway.token").write_text(TOKEN)
        general: Settings = {
            "network": {"listen": listening("tcp,quic")},
            "agent": {
                "name": name,
                "gateway_url": f"http://127.0.0.1:{HOOK}",
                "gateway_token_file": str(folder / "gateway.token"),
                "wake_retry_s": 0.5,
            },
        }
        sections = {key: general.get(key, {}) | settings.get(key, {}) for key in general | settings}
        (folder / "config.toml").write_text(tomlkit.dumps(sections))
        self.gateway = PeerProcess(*lab.command(place, sys.executable, "-m", "tests.lab.gateway", str(HOOK)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        async with self.gateway, self:
            yield self

    async def send(self, other: LabAgent, text: str, wait_s: float = 3.0) -> dict[str, Any]:
        """What the answer says; its `messageId` names the message."""
        return await self.tells("agent", "send", other.peer, text, "--wait", f"{wait_s:g}")

    async def why(self, message_id: str, *states: str) -> dict[str, Any]:
        """The way of a message once it is in one of these states."""
        found = await self.until(
            "agent", "why", message_id, holds=lambda told: told["ways"][0]["state"] in states
        )
        [way] = found["ways"]
        return dict(way)

    async def hears_of(self, other: LabAgent, at: str = "") -> None:
        """Wait until the other announced itself, at an address with that in it."""

        def heard(told: dict[str, Any]) -> bool:
            return any(at in each for peer in told["peers"] for each in peer["multiaddrs"])

        await self.until("agent", "discover", "--peer", other.peer, holds=heard)

    async def connections_to(self, other: LabAgent) -> list[str]:
        """What leads to another: `relayed` or `direct`, for each connection."""
        found = (await self.tells("swarm", "peers"))["peers"]
        kinds = {True: "relayed", False: "direct"}
        return [kinds["/p2p-circuit" in each["addr"]] for each in found if each["peer"] == other.peer]

    async def received(self, other: LabAgent) -> list[str]:
        """The texts that came from another, oldest first."""
        words = ("agent", "messages", "list", "--peer", other.peer, "--direction", "inbound")
        found = await self.tells(*words, "--limit", "500")
        return [str(each["content"]) for each in reversed(found["messages"])]

    async def waked(self, message_id: str) -> dict[str, Any]:
        """The first call of the gateway that told of a message."""
        return await self.gateway.event("waked", lambda each: message_id in each["messages"], within_s=SOON_S)

    def keys_of(self, message_id: str) -> set[str]:
        """The keys of all calls that told of a message: one, if it had one effect."""
        return {
            each["key"]
            for each in self.gateway.events
            if each["event"] == "waked" and message_id in each["messages"]
        }
