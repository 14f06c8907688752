"""Connections with a Go peer through a proxy that harms them: faults that can be borne are, others end one connection
with an error that says so, and the next connection is whole."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import MeshError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.node import Node
from mesh.services import echo
from tests.interop.peers import GoPeer
from tests.network.live import configured
from tools.interop_peers.chaos_proxy import ChaosProxy, Faults

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

TRANSFER_BYTES = 300_000
PATIENCE_S = 30.0
SPARED_BYTES = 4096
"""The handshakes and identify pass; what comes after does not."""
BORNE = {
    "delay": Faults(delay_s=0.02),
    "throttle": Faults(throttle=1_000_000),
    "delayed handshake": Faults(delay_s=0.1),
}
FATAL = {
    "cut": Faults(cut=50_000, spared=SPARED_BYTES),
    "cut in the handshake": Faults(cut=100),
    "corrupt": Faults(corrupt=1, spared=SPARED_BYTES),
    "corrupt in the handshake": Faults(corrupt=1),
    "reorder": Faults(reorder=1000, spared=SPARED_BYTES),
    "reorder in the handshake": Faults(reorder=10),
}


def through(proxy: ChaosProxy, go: GoPeer) -> Multiaddr:
    return Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{proxy.port}/p2p/{go.peer}")


def port_of(go: GoPeer) -> int:
    return int(Multiaddr.parse(go.address).value("tcp") or 0)


async def echoed(connection: Connection) -> bool:
    """Whether so many bytes come back as they went."""
    payload = bytes(range(256)) * (TRANSFER_BYTES // 256)
    async with asyncio.timeout(PATIENCE_S):
        stream = await connection.open([echo.PROTOCOL_ID])
        writing = asyncio.ensure_future(stream.write(payload))
        try:
            same = bool(await stream.read_exactly(len(payload)) == payload)
            await writing
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        await stream.close()
    return same


@pytest.mark.parametrize("security", ["noise", "tls"])
@pytest.mark.parametrize("name", BORNE)
async def test_what_can_be_borne_is(name: str, security: str) -> None:
    async with (
        GoPeer("--security", security) as go,
        ChaosProxy("127.0.0.1", port_of(go), BORNE[name]) as proxy,
        Node(configured()) as node,
    ):
        assert await echoed(await node.connect(through(proxy, go)))
        assert proxy.tally.done, "nothing was done to it"


@pytest.mark.parametrize("security", ["noise", "tls"])
@pytest.mark.parametrize("name", FATAL)
async def test_what_cannot_ends_one_connection_and_the_next_is_whole(name: str, security: str) -> None:
    async with (
        GoPeer("--security", security) as go,
        ChaosProxy("127.0.0.1", port_of(go), FATAL[name]) as proxy,
        Node(configured()) as node,
    ):
        with pytest.raises(MeshError):
            await echoed(await node.connect(through(proxy, go)))
        assert proxy.tally.done, "nothing was done to it"
        proxy.faults = Faults()
        assert await echoed(await node.connect(through(proxy, go)))


async def test_a_stalled_connection_is_given_up() -> None:
    async with (
        GoPeer() as go,
        ChaosProxy("127.0.0.1", port_of(go), Faults(stall=1)) as proxy,
        Node(configured(upgrade_timeout_s=1.0)) as node,
    ):
        with pytest.raises(MeshError):
            async with asyncio.timeout(PATIENCE_S):
                await node.connect(through(proxy, go))
        assert proxy.tally.done["stall"]
        proxy.faults = Faults()
        assert await echoed(await node.connect(through(proxy, go)))
