"""A Go peer over ws and wss, whoever dials: pings, 64 MiB with checksums, orderly ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.errors import DialError
from mesh.services import echo, ping
from tests.interop.peers import DIRECTIONS, GoPeer, meet
from tests.interop.test_transfer import COUNT_PROTOCOL, MIB, TRANSFER_S, receive, send
from tests.network.certificates import NAME, Certificates, make_certificates
from tests.network.live import Nodes, eventually, exchange

pytestmark = pytest.mark.interop

PINGS = 1000
WS = "/ip4/127.0.0.1/tcp/0/ws"
WSS = "/ip4/127.0.0.1/tcp/0/tls/ws"
KINDS = pytest.mark.parametrize("listen", [WS, WSS], ids=["ws", "wss"])


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
async def go(_nothing_left: None, listen: str, certificates: Certificates) -> AsyncIterator[GoPeer]:
    """A Go peer that listens on the same kind of address as we do."""
    files = ["--tls-certificate", str(certificates.certificate), "--tls-key", str(certificates.key)]
    trust = ["--tls-trust", str(certificates.authority)]
    async with GoPeer("--transport", "ws", "--listen", listen, *files, *trust) as peer:
        yield peer


@KINDS
@DIRECTIONS
async def test_pings_both_ways(
    nodes: Nodes, go: GoPeer, certificates: Certificates, listen: str, we_dial: bool
) -> None:
    node = await nodes.start(listen, **certificates.settings)
    connection = await meet(node, go, we_dial=we_dial)
    suffix = listen.partition("/tcp/0")[2]
    assert str(connection.remote).endswith(suffix)
    trips = [each async for each in node.ping(connection, count=PINGS, interval_s=0)]
    assert len(trips) == PINGS
    assert None not in trips
    answer = await go.call("ping", peer=str(node.peer_id), count=PINGS)
    assert (answer["count"], answer["lost"]) == (PINGS, 0)


@KINDS
@DIRECTIONS
async def test_bytes_both_ways(
    nodes: Nodes, go: GoPeer, certificates: Certificates, listen: str, we_dial: bool
) -> None:
    node = await nodes.start(listen, **certificates.settings)
    connection = await meet(node, go, we_dial=we_dial)
    async with asyncio.timeout(TRANSFER_S), await node.open(connection, echo.PROTOCOL_ID) as stream:
        sent, (size, received) = await asyncio.gather(send(stream, 64 * MIB), receive(stream))
    assert size == 64 * MIB
    assert received == sent
    async with asyncio.timeout(TRANSFER_S), await node.open(connection, COUNT_PROTOCOL) as stream:
        sent = await send(stream, 64 * MIB)
        counted = await stream.read_all(64)
    assert counted[8:].hex() == sent
    answer = await go.call("echo", peer=str(node.peer_id), bytes=64 * MIB, seed=3, within_s=TRANSFER_S)
    assert answer["bytes"] == 64 * MIB
    assert connection.driver.session.held_bytes == 0


@KINDS
@DIRECTIONS
@pytest.mark.parametrize("we_close", [True, False], ids=["we-close", "go-closes"])
async def test_orderly_ends(
    nodes: Nodes, go: GoPeer, certificates: Certificates, listen: str, we_dial: bool, we_close: bool
) -> None:
    node = await nodes.start(listen, **certificates.settings)
    connection = await meet(node, go, we_dial=we_dial)
    if we_close:
        await connection.close()
    else:
        await go.call("close", peer=str(node.peer_id))
    await go.event("disconnected", lambda each: each["peer"] == str(node.peer_id))
    await eventually(lambda: not node.connections)
    assert node.counters.total("connection.closed") == 1


@pytest.mark.parametrize("listen", [WSS], ids=["wss"])
async def test_the_name_in_the_certificate(nodes: Nodes, go: GoPeer, certificates: Certificates) -> None:
    node = await nodes.start(f"/ip4/127.0.0.1/tcp/0/tls/sni/{NAME}/ws", **certificates.settings)
    named = go.address.replace("/tls/ws", f"/tls/sni/{NAME}/ws")
    connection = await node.connect(named)
    assert str(connection.remote) == named.partition("/p2p/")[0]
    async with await node.open(connection, ping.PROTOCOL_ID) as stream:
        assert await exchange(stream, bytes(32)) == bytes(32)
    await connection.close()
    stranger = await nodes.start("", tls_trust=certificates.authority)
    with pytest.raises(DialError, match=r"tls handshake.*other\.test"):
        await stranger.connect(named.replace(NAME, "other.test"))
    answer = await go.call("connect", addr=str(node.listen_addrs[0]))
    assert answer["transport"] == "websocket"
