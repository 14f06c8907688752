"""The Go peer, a daemon of this project as a process, and what tests of both directions share."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.node import Node
from tests.network.live import eventually, identified
from tools.interop_peers.building import BINARY
from tools.interop_peers.process import Answer, PeerProcess

LIFETIME_S = 110
"""The Go process ends by itself after this, whatever becomes of the test."""
DAEMON_S = 15.0
DIRECTIONS = pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "go-dials"])


class GoPeer(PeerProcess):
    """`peer serve` with further flags, for the length of an `async with`."""

    def __init__(self, *flags: str) -> None:
        super().__init__(str(BINARY), "serve", "--timeout", f"{LIFETIME_S}s", *flags)

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
    """A running `mesh daemon`; ``peer`` and ``addresses`` are what it printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.peer = ""
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

    async def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send it a signal; its exit status and all it wrote to stderr."""
        self.process.send_signal(number)
        async with asyncio.timeout(DAEMON_S):
            _, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


@contextlib.asynccontextmanager
async def daemon(folder: Path) -> AsyncIterator[Daemon]:
    """A daemon with its identity in ``folder``, on a free port, that serves everything; killed at the end."""
    pipe = asyncio.subprocess.PIPE
    arguments = ["--path", str(folder), "--listen", "/ip4/127.0.0.1/tcp/0", "--serve", "echo,perf"]
    arguments += ["--api", "off"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh", "daemon", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
    )
    try:
        running = Daemon(process)
        async with asyncio.timeout(DAEMON_S):
            await running.until_ready()
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
