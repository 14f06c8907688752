"""Circuits of which one or two of relay, source and target are written in Go."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from typing import Any

import pytest

from mesh.errors import NetworkError
from mesh.node import Node
from mesh.services import echo
from tests.interop.peers import GoPeer
from tests.network.live import Nodes, eventually, exchange, identified
from tests.services.relay.network import client_of, server_of
from tools.bench import relay as bench

pytestmark = pytest.mark.interop

MIB = 1 << 20
RELAY_FLAGS = {True: ("--relay", "serve"), False: ("--relay", "serve-unlimited")}
PARTIES = [each for each in itertools.product(["ours", "go"], repeat=3) if len(set(each)) > 1]
PATIENCE_S = 30.0


class Circuit(contextlib.AsyncExitStack):
    """A relay with a target that is reached through it, and a source; each a node of ours or a Go peer."""

    def __init__(self, nodes: Nodes, parties: tuple[str, ...], *, limited: bool) -> None:
        super().__init__()
        self._nodes = nodes
        self._parties = parties
        self._limited = limited

    async def set_up(self) -> tuple[Node | GoPeer, Node | GoPeer, Node | GoPeer, str]:
        """Relay, source, target, and the address of the target."""
        relay_by, source_by, target_by = self._parties
        relay: Node | GoPeer
        if relay_by == "go":
            relay = await self.enter_async_context(GoPeer(*RELAY_FLAGS[self._limited], "--unlimited"))
            where = relay.address
        else:
            limits: dict[str, Any] = {} if self._limited else {"circuit_s": 0.0, "circuit_bytes": 0}
            relay = await self._nodes.start(relay_serve=True, **limits)
            where = str(relay.listen_addrs[0])
        target = await self._target(target_by, where)
        source: Node | GoPeer = (
            await self.enter_async_context(GoPeer("--relay", "use"))
            if source_by == "go"
            else await self._nodes.start("")
        )
        peer = target.peer_id if isinstance(target, Node) else target.peer
        return relay, source, target, f"{where}/p2p-circuit/p2p/{peer}"

    async def _target(self, by: str, where: str) -> Node | GoPeer:
        if by == "go":
            target = await self.enter_async_context(GoPeer("--relay", "use"))
            granted = await target.call("reserve", addr=where)
            assert granted["voucher"]
            assert granted["limit_seconds"] == (120 if self._limited else 0)
            assert granted["limit_bytes"] == (131072 if self._limited else 0)
            return target
        node = await self._nodes.start("", serve=(), relays=(where,))
        node.handle(echo.PROTOCOL_ID, echo.serve, limited=True)
        await eventually(lambda: client_of(node).held, "the reservation")
        assert [str(each) for each in node.listen_addrs] == [f"{where}/p2p-circuit/p2p/{node.peer_id}"]
        return node


async def talk(source: Node | GoPeer, target: Node | GoPeer, address: str, size: int, limited: bool) -> None:
    """Dial, ping, and echo ``size`` bytes."""
    if isinstance(source, Node):
        connection = await source.connect(address)
        await identified(connection)
        assert (connection.limited is not None) is limited
        async for trip in source.ping(connection, count=1):
            assert trip is not None
        payload = os.urandom(size)
        stream = await source.open(connection, echo.PROTOCOL_ID, allow_limited=True)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            group.create_task(stream.write(payload))
            assert await stream.read_exactly(size) == payload
        await stream.close()
        return
    made = await source.call("connect", addr=address)
    assert made["limited"] is limited
    peer = str(target.peer_id)
    assert (await source.call("ping", peer=peer))["lost"] == 0
    assert (await source.call("echo", peer=peer, bytes=size))["bytes"] == size


@pytest.mark.parametrize("parties", PARTIES, ids=lambda each: "-".join(each))
@pytest.mark.parametrize("limited", [True, False], ids=["limited", "unlimited"])
async def test_relay_source_and_target(nodes: Nodes, parties: tuple[str, ...], limited: bool) -> None:
    async with Circuit(nodes, parties, limited=limited) as circuit:
        relay, source, target, address = await circuit.set_up()
        await talk(source, target, address, 32 * 1024 if limited else 8 * MIB, limited)
        if isinstance(target, Node) and isinstance(source, GoPeer):
            inbound = target.swarm.connection_to(source.peer_id)
            assert inbound is not None
            assert (inbound.limited is not None) is limited
            assert inbound.relay is not None
        if isinstance(relay, Node):
            assert server_of(relay).reservations.circuits == 1


async def test_a_go_relay_ends_a_circuit_at_its_bytes(nodes: Nodes) -> None:
    async with GoPeer("--relay", "serve", "--relay-bytes", "20000") as relay:
        target = await nodes.start("", relays=(relay.address,))
        target.handle("/loud/1", echo.serve, limited=True)
        await eventually(lambda: client_of(target).held, "the reservation")
        source = await nodes.start("")
        connection = await source.connect(target.listen_addrs[0])
        stream = await connection.open(["/loud/1"], allow_limited=True)
        with pytest.raises(NetworkError):
            await exchange(stream, bytes(MIB))
        await eventually(lambda: not source.swarm.is_connected(target.peer_id), "the end")


async def test_a_go_peer_leaves_a_circuit_of_ours_when_its_time_is_over(nodes: Nodes) -> None:
    relay = await nodes.start(relay_serve=True, circuit_s=1.0)
    async with GoPeer("--relay", "use") as target, GoPeer("--relay", "use") as source:
        await target.call("reserve", addr=str(relay.listen_addrs[0]))
        await source.call("connect", addr=f"{relay.listen_addrs[0]}/p2p-circuit/p2p/{target.peer}")
        ended = await source.event("disconnected", lambda each: each["peer"] == target.peer)
        assert "p2p-circuit" in ended["addr"]
        assert relay.counters["relay.ended:expired"] == 1


async def test_go_takes_the_announced_address_from_a_push(nodes: Nodes) -> None:
    async with GoPeer("--relay", "serve") as relay, GoPeer("--relay", "use") as other:
        node = await nodes.start(relays=(relay.address,))
        await other.call("connect", addr=str(node.listen_addrs[0]))
        await eventually(lambda: client_of(node).held, "the reservation")
        told = await other.event(
            "identified", lambda each: any("p2p-circuit" in addr for addr in each["addrs"])
        )
        assert f"{relay.address}/p2p-circuit" in told["addrs"]


async def test_a_go_relay_that_is_killed_is_replaced(nodes: Nodes) -> None:
    async with GoPeer("--relay", "serve") as first, GoPeer("--relay", "serve") as second:
        node = await nodes.start("", relays=(first.address, second.address), wanted=1)
        await eventually(lambda: client_of(node).held == [first.peer_id], "the reservation")
        await first.kill()
        await eventually(lambda: client_of(node).held == [second.peer_id], "the replacement")
        assert [str(each) for each in node.own_addresses] == [f"{second.address}/p2p-circuit"]


async def test_a_go_relay_over_quic(nodes: Nodes) -> None:
    async with (
        GoPeer("--transport", "quic", "--relay", "serve") as relay,
        GoPeer("--transport", "quic", "--relay", "use") as source,
    ):
        target = await nodes.start("", serve=(), relays=(relay.address,))
        target.handle(echo.PROTOCOL_ID, echo.serve, limited=True)
        await eventually(lambda: client_of(target).held, "the reservation")
        await talk(source, target, str(target.listen_addrs[0]), 16 * 1024, limited=True)
        await talk(await nodes.start(""), target, str(target.listen_addrs[0]), 16 * 1024, limited=True)


@pytest.mark.parametrize("kind", bench.KINDS)
async def test_the_benchmark_of_relays_runs(kind: str) -> None:
    speed, spent = await bench.measure(kind, 4 * MIB, circuits=2)
    assert speed > 0
    assert spent >= 0
