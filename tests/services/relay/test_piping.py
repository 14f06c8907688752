"""Joining two streams: bytes in order, limits to the byte, half closes, back pressure, and nothing left of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mesh.errors import MeshError, StreamReset
from mesh.network.circuit import hop
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.relay.piping import MAX_SURPLUS_BYTES
from tests.network.live import MEMORY, PATIENCE_S, QUIC, TCP, Nodes, byte_driver, connected, eventually
from tests.services.relay.network import reached_through, relay_node, server_of

KIB, MIB = 1024, 1 << 20


class Joined:
    """Both ends of a circuit as bare streams, and the relay between them."""

    def __init__(self, relay: Node, source: Node, near: Stream, far: Stream) -> None:
        self.relay = relay
        self.source = source
        self.near = near
        self.far = far

    async def gone(self, how: str) -> None:
        """Until the relay has ended the circuit, for that reason."""
        await eventually(lambda: self.relay.counters[f"relay.ended:{how}"] == 1, f"the end: {how}")
        await eventually(lambda: not server_of(self.relay).reservations.circuits, "the books")


@dataclass
class Kept:
    """In place of what carries a connection."""

    ended: Coroutine[Any, Any, Literal[True]]


async def joined(nodes: Nodes, listen: str = TCP, **limits: Any) -> Joined:
    """A circuit whose target gives its stop stream away instead of upgrading it."""
    relay = await relay_node(nodes, listen, **limits)
    target = await reached_through(nodes, relay)
    source = await nodes.start("")
    arrived: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()
    transport = target.swarm.circuits
    real = transport.carry

    def keep(stream: Stream, *_rest: object) -> Kept:
        arrived.set_result(stream)
        return Kept(over.wait())

    transport.carry = keep  # type: ignore[assignment, method-assign]
    near, _ = await hop.connect(await source.connect(relay.listen_addrs[0]), target.peer_id)
    transport.carry = real  # type: ignore[method-assign]
    nodes.callback(over.set)
    async with asyncio.timeout(PATIENCE_S):
        return Joined(relay, source, near, await arrived)


async def send(stream: Stream, payload: bytes) -> None:
    await stream.write(payload)
    await stream.close_write()


@pytest.mark.parametrize("listen", [TCP, MEMORY, QUIC], ids=["tcp", "memory", "quic"])
@pytest.mark.both_loops
async def test_both_directions_at_once_to_the_end(nodes: Nodes, listen: str) -> None:
    circuit = await joined(nodes, listen, circuit_bytes=0)
    there, back = os.urandom(5 * MIB + 1), os.urandom(3 * MIB + 7)
    async with asyncio.timeout(PATIENCE_S * 3), asyncio.TaskGroup() as group:
        group.create_task(send(circuit.near, there))
        group.create_task(send(circuit.far, back))
        received = group.create_task(circuit.far.read_all(len(there)))
        returned = group.create_task(circuit.near.read_all(len(back)))
    assert received.result() == there
    assert returned.result() == back
    await circuit.gone("closed")
    assert server_of(circuit.relay).transferred_bytes == len(there) + len(back)


async def test_one_direction_goes_on_when_the_other_has_ended(nodes: Nodes) -> None:
    circuit = await joined(nodes)
    async with asyncio.timeout(PATIENCE_S):
        await send(circuit.near, b"question")
        assert await circuit.far.read_all(100) == b"question"
        for number in range(10):
            await circuit.far.write(bytes([number]))
            assert await circuit.near.read_exactly(1) == bytes([number])
        await circuit.far.close_write()
        assert await circuit.near.read() == b""
    await circuit.gone("closed")


@pytest.mark.parametrize("size", [9999, 10_000, 10_001])
async def test_exactly_the_limit_passes(nodes: Nodes, size: int) -> None:
    circuit = await joined(nodes, circuit_bytes=10_000)
    async with asyncio.timeout(PATIENCE_S):
        await send(circuit.near, bytes(size))
        assert len(await circuit.far.read_all(10_000)) == min(size, 10_000)
        await circuit.far.write(b"the other way has its own")
        assert await circuit.near.read_exactly(25) == b"the other way has its own"
        await circuit.far.close_write()
        assert await circuit.near.read() == b""
    await circuit.gone("closed")


async def test_who_goes_on_behind_the_limit_is_cut_off(nodes: Nodes) -> None:
    circuit = await joined(nodes, circuit_bytes=10_000)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StreamReset):
            await circuit.near.write(bytes(3 * MAX_SURPLUS_BYTES))
    await circuit.gone("reset")
    assert server_of(circuit.relay).transferred_bytes == 10_000


@pytest.mark.parametrize("end", ["near", "far"])
async def test_a_reset_passes_on(nodes: Nodes, end: str) -> None:
    circuit = await joined(nodes)
    mine, other = (circuit.near, circuit.far) if end == "near" else (circuit.far, circuit.near)
    mine.reset()
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(MeshError):
            await other.read()
    await circuit.gone("reset")


async def test_a_reader_that_waits_holds_the_sender_back_and_the_relay_holds_little(nodes: Nodes) -> None:
    circuit = await joined(nodes, circuit_bytes=0, max_window_bytes=256 * KIB)
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while True:
            await circuit.near.write(bytes(64 * KIB))
            sent += 64 * KIB

    pouring = asyncio.create_task(pour())
    relay = circuit.relay
    inbound = byte_driver(await connected(relay, circuit.source))
    await eventually(lambda: inbound.session.held_bytes >= 64 * KIB, "a window that fills")
    before = -1
    while before != sent:
        before = sent
        for _ in range(50):
            await asyncio.sleep(0)
    assert relay.swarm.memory.used_bytes <= 512 * KIB
    received = 0
    async with asyncio.timeout(PATIENCE_S):
        while received <= 2 * MIB:
            received += len(await circuit.far.read_chunk())
    pouring.cancel()
    await asyncio.wait([pouring])
    circuit.near.reset()
    await circuit.gone("reset")
    await eventually(lambda: relay.swarm.memory.used_bytes == 0, "the release")
