"""The Go peer, a daemon of this project as a process, and what tests of both directions share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.api import token
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.node import Node
from tests.network.live import eventually, identified
from tools.interop_peers.building import PEER, GoProgram, ensure_built
from tools.interop_peers.process import Answer, PeerProcess

LIFETIME_S = 110
"""The Go process ends by itself after this, whatever becomes of the test."""
DAEMON_S = 15.0
SECURITY = pytest.mark.parametrize("security", ["noise", "tls"])
"""What the Go peer speaks alone; this node speaks both, and proposes Noise first."""
DIRECTIONS = pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "go-dials"])


class GoPeer(PeerProcess):
    """`peer serve` with further flags, for the length of an `async with`."""

    def __init__(self, *flags: str, program: GoProgram = PEER) -> None:
        super().__init__(str(ensure_built(program)), "serve", "--timeout", f"{LIFETIME_S}s", *flags)

    @property
    def peer_id(self) -> PeerId:
        return PeerId.parse(self.peer)

    async def identified_us(self, node: Node, *, after: int = 0) -> Answer:
        """Its event about what our node told of itself."""
        return await self.event("identified", lambda each: each["peer"] == str(node.peer_id), after=after)

    async def about(self, node: Node) -> Answer:
        """What its peerstore holds about our node."""
        return await self.call("identify", peer=str(node.peer_id))


async def meet(node: Node, go: GoPeer, *, we_dial: bool = True) -> Connection:
    """Our end of a connection with the Go peer, when both ends have been identified."""
    if we_dial:
        connection = await node.connect(go.address)
    else:
        await go.call("connect", addr=str(node.listen_addrs[0]))
        await eventually(lambda: node.swarm.connection_to(go.peer_id), "the connection")
        found = node.swarm.connection_to(go.peer_id)
        assert found is not None
        connection = found
    assert connection.inbound is not we_dial
    await identified(connection)
    await go.identified_us(node)
    return connection


class Daemon:
    """A running `mesh daemon`; ``peer``, ``addresses`` and ``url`` (of its control API) are what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.peer = ""
        self.url = ""
        self.addresses: list[str] = []

    async def until_ready(self) -> None:
        """Read what it prints. Fails with its stderr when it ends before that."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        while (line := (await self.process.stdout.readline()).decode().rstrip("\n")) != "ready":
            assert line, f"the daemon ended: {(await self.process.stderr.read()).decode()}"
            word, _, rest = line.partition(" ")
            if word == "peer":
                self.peer = rest
            elif word == "listening":
                self.addresses.append(rest)
            elif word == "api":
                self.url = rest

    def control(self) -> httpx.AsyncClient:
        """A client of its control API, for an `async with`."""
        return httpx.AsyncClient(
            base_url=f"{self.url}/v0",
            headers={"authorization": f"Bearer {token.load(self.folder)}"},
            timeout=DAEMON_S,
            trust_env=False,
        )

    async def until_stats(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """What `mesh stats` shows as soon as ``condition`` holds for it; `AssertionError` with the last otherwise."""
        shown: dict[str, Any] = {}
        async with self.control() as control:
            try:
                async with asyncio.timeout(DAEMON_S):
                    while not shown or not condition(shown):
                        shown = (await control.get("/stats")).raise_for_status().json()
            except TimeoutError:
                raise AssertionError(f"it did not come to that within {DAEMON_S:g} s: {shown}") from None
        return shown

    @property
    def resident_bytes(self) -> int:
        """Its memory now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        """How many it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send it a signal; its exit status and all it wrote to stderr."""
        self.process.send_signal(number)
        async with asyncio.timeout(DAEMON_S):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def daemon(folder: Path, *flags: str, api: str = "off") -> AsyncIterator[Daemon]:
    """A daemon with its identity in ``folder``, on a free port, that serves everything; killed at the end."""
    pipe = asyncio.subprocess.PIPE
    arguments = ["--path", str(folder), "--listen", "/ip4/127.0.0.1/tcp/0", "--serve", "echo,perf"]
    arguments += ["--api", api, *flags]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "daemon", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        running = Daemon(process, folder)
        async with asyncio.timeout(DAEMON_S):
            await running.until_ready()
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
