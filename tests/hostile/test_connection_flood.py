"""Ten thousand connection attempts in a row against a daemon: it serves on, and nothing of them is left in it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
from pathlib import Path

import pytest

from mesh.node import Node
from tests.interop.peers import Daemon, daemon
from tests.network.live import Nodes, eventually

ATTEMPTS = 10_000
BATCH = 400
"""Attempts at once: more than may be in their handshake, fewer than the system queues for a listener."""
GROWTH_BYTES = 20 * 1024 * 1024
LINES = 100
"""What may be logged about all of them at level info."""
RESET = struct.pack("ii", 1, 0)
SAID = (b"", b"", b"\x13/multistream/1.0.0\n", b"GET / HTTP/1.1\r\n\r\n")

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="NO /proc: MEMORY IS NOT MEASURED"
)


async def attempt(port: int, number: int, held: contextlib.ExitStack) -> None:
    """A connection that says nothing, a little, or something else entirely, and ends in order or with a reset."""
    raw = held.enter_context(socket.socket())
    raw.setblocking(False)
    if number % 2:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with contextlib.suppress(ConnectionError):  # it may be refused before it has said anything
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        raw.send(SAID[number // 2 % len(SAID)])


async def flood(port: int, attempts: int) -> None:
    """All attempts, so many at a time."""
    for first in range(0, attempts, BATCH):
        with contextlib.ExitStack() as held:
            numbers = range(first, min(first + BATCH, attempts))
            await asyncio.gather(*(attempt(port, number, held) for number in numbers))


async def until_over(target: Daemon, attempts: int) -> dict[str, int]:
    """The daemon's counters when it has dealt with all attempts."""
    shown = await target.until_stats(lambda stats: ended(stats["counters"]) >= attempts)
    counters: dict[str, int] = shown["counters"]
    assert ended(counters) == attempts
    return counters


def ended(counters: dict[str, int]) -> int:
    return sum(
        value for name, value in counters.items() if name.startswith(("upgrade.failed", "connection.refused"))
    )


async def pinged(node: Node, target: Daemon) -> None:
    async with asyncio.timeout(10):
        async for seconds in node.ping(target.addresses[0], count=1):
            assert seconds is not None


async def test_ten_thousand_attempts(nodes: Nodes, tmp_path: Path) -> None:
    async with daemon(tmp_path / "home", "--log-level", "info", api="127.0.0.1:0") as target:
        port = int(target.addresses[0].split("/")[4])
        bystander = await nodes.start("")
        await pinged(bystander, target)
        connection = bystander.connections[0]
        await target.until_stats(bool)
        memory, descriptors = target.resident_bytes, target.descriptors
        await flood(port, ATTEMPTS)
        counters = await until_over(target, ATTEMPTS)
        growth = target.resident_bytes - memory
        assert bystander.connections == [connection]
        await pinged(bystander, target)
        await pinged(await nodes.start(""), target)
        shown = await target.until_stats(lambda stats: stats["connections"] == 2)
        assert shown["held_bytes"] == 0
        refused = counters.get("connection.refused:pending upgrades", 0)
        assert counters["upgrade.failed:security negotiation"] == ATTEMPTS - refused
        await eventually(
            lambda: target.descriptors <= descriptors + 1, "only the second node's connection to be new"
        )
        await nodes.aclose()
        status, said = await target.end(signal.SIGTERM)
    lines = said.splitlines()
    assert status == 0
    assert len(lines) < LINES
    assert all(" INFO " in line for line in lines), said
    assert growth < GROWTH_BYTES, f"memory grew by {growth} bytes"
