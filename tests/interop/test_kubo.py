"""kubo in a network of its own: that it is alone there, and that it takes part in the DHT beside other Go nodes."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.protocols.kademlia import ipns
from tests.network.live import PATIENCE_S, QUIC, Nodes, eventually, identified
from tools.interop_peers.isolation import isolated, way_out
from tools.interop_peers.kad_network import GoKadNetwork
from tools.interop_peers.kubo import ROOT, Kubo

pytestmark = [pytest.mark.interop, pytest.mark.long]

PREFIX = "/ipfs/lan"


async def guarded(*command: str) -> tuple[int | None, str]:
    """How a command ends that is started through the guard, and what it writes to stderr."""
    guard = (sys.executable, "-m", "tools.interop_peers.isolation")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*guard, *command, cwd=ROOT, stderr=pipe)
    _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_nothing_starts_where_there_is_a_way_out() -> None:
    if not way_out():
        pytest.skip("this machine's own network has no way out")
    status, said = await guarded("true")
    assert status == 1
    assert "not started" in said


async def test_isolated_network_leads_nowhere(isolation: None) -> None:
    assert not way_out()
    assert await guarded("true") == (0, "")
    with socket.socket() as outward, pytest.raises(OSError, match="unreachable"):
        outward.connect(("192.0.2.1", 80))


async def test_kubo_talks_to_our_node(kubo: Kubo, nodes: Nodes) -> None:
    node = await nodes.start()
    connection = await node.connect(kubo.addresses[0])
    await identified(connection)
    assert connection.remote_protocols is not None
    assert f"{PREFIX}/kad/1.0.0" in connection.remote_protocols
    async for seconds in node.ping(connection, count=1):
        assert seconds is not None
    assert str(node.peer_id) in await kubo.run("swarm", "peers")


@pytest.mark.parametrize("engine", ["qh3", "aioquic"])
async def test_kubo_over_quic(kubo_built: None, isolation: None, nodes: Nodes, engine: str) -> None:
    """kubo dials: its quic-go 0.55 panics when it accepts anybody's connection, once built with Go 1.26 ("crypto/tls
    bug: where's my session ticket?"): go-libp2p has tickets disabled, and Go now says so without an error."""
    settings = {"Swarm": {"Transports": {"Network": {"QUIC": True}}}}
    async with Kubo(listen=[QUIC], settings=settings) as kubo:
        node = await nodes.start(QUIC, engine=engine)
        await kubo.connect(str(node.listen_addrs[0]))
        assert str(node.peer_id) in await kubo.run("swarm", "peers")
        (connection,) = node.connections
        assert connection.inbound
        assert str(connection.remote).endswith("/quic-v1")
        await identified(connection)
        async for seconds in node.ping(connection, count=3, interval_s=0):
            assert seconds is not None


async def test_kubo_over_tls(kubo: Kubo, nodes: Nodes) -> None:
    node = await nodes.start(security=("tls",))
    connection = await node.connect(kubo.addresses[0])
    await identified(connection)
    assert connection.security == "tls"
    await connection.close()
    await kubo.connect(str(node.listen_addrs[0]))
    assert [each.security for each in node.connections] == ["tls"]


async def test_kubo_and_go_nodes_find_each_other(kubo: Kubo) -> None:
    async with GoKadNetwork(8, prefix=PREFIX) as network:
        await kubo.connect(network.nodes[0].addresses[0])
        await network.until_known(0, kubo.peer)
        far = network.nodes[7]
        assert far.addresses[0] in [f"{each}/p2p/{far.peer}" for each in await kubo.find_peer(far.peer)]
        found = await network.find_peer(5, kubo.peer)
        assert set(kubo.addresses) <= {f"{each}/p2p/{found.peer}" for each in found.addresses}

        content = await kubo.add(b"some content")
        await kubo.provide(content)
        [provider] = await network.find_providers(4, content)
        assert provider.peer == kubo.peer

        await network.provide(3, content)
        assert set(await kubo.find_providers(content)) == {kubo.peer, network.nodes[3].peer}


async def test_public_dht_works_at_addresses_that_look_public(kubo_built: None, isolation: None) -> None:
    """One address group for each node: kubo drops answers with more than three peers of a group."""
    groups = [f"20.{number}.0.1" for number in range(9)]
    settings = {"Routing": {"Type": "dhtserver"}}
    with isolated(*groups):
        async with (
            Kubo(listen=[f"/ip4/{groups[0]}/tcp/0"], settings=settings) as kubo,
            GoKadNetwork(8, ips=groups[1:]) as network,
        ):
            await kubo.connect(network.nodes[0].addresses[0])
            await network.until_known(0, kubo.peer)
            assert network.nodes[0].peer in await kubo.table("wan")
            assert not await kubo.table("lan")
            content = await kubo.add(b"some content")
            await kubo.provide(content)
            assert [each.peer for each in await network.find_providers(4, content)] == [kubo.peer]


async def test_kubo_lists_our_server_and_finds_what_we_provide(kubo: Kubo, nodes: Nodes) -> None:
    """On the local network's DHT: our node is in kubo's table, and each finds the other's content."""
    first, second = [await nodes.start(mode="server", prefix=PREFIX, addresses="private") for _ in range(2)]
    for node in (first, second):
        await node.connect(kubo.addresses[0])
        await eventually(lambda node=node: PeerId.parse(kubo.peer) in node.dht.table, "kubo in our table")  # type: ignore[misc]
    async with asyncio.timeout(PATIENCE_S):
        while not {str(first.peer_id), str(second.peer_id)} <= set(await kubo.table()):
            continue

    ours = await kubo.add(b"what we say we have")
    assert (await first.dht.provide(Cid.parse(ours))).accepted
    async with asyncio.timeout(PATIENCE_S):
        while str(first.peer_id) not in await kubo.find_providers(ours):
            continue

    theirs = await kubo.add(b"what kubo has")
    await kubo.provide(theirs)
    found = [each.peer async for each in second.dht.find_providers(Cid.parse(theirs))]
    assert PeerId.parse(kubo.peer) in found
    assert (await second.dht.find_peer(first.peer_id)).connected


async def test_kubo_resolves_a_name_that_we_published(kubo: Kubo, nodes: Nodes) -> None:
    node = await nodes.start(mode="server", prefix=PREFIX, addresses="private")
    await node.connect(kubo.addresses[0])
    await eventually(lambda: PeerId.parse(kubo.peer) in node.dht.table, "kubo in our table")
    value = f"/ipfs/{await kubo.add(b'named')}"
    record = ipns.create(node.key, value.encode(), 1, time.time() + 3600, 60 * 10**9)
    assert (await node.dht.put_value(ipns.key_of(node.peer_id), record)).accepted
    assert (await kubo.run("name", "resolve", f"/ipns/{node.peer_id}")).strip() == value


FILE_BYTES = 100 * 1024 * 1024


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1024 * 1024):
        yield content[at : at + 1024 * 1024]


async def test_kubo_gets_a_file_of_100_mib_from_us(kubo: Kubo, nodes: Nodes, tmp_path: Path) -> None:
    node = await nodes.start(blocks=True, exchange=True)
    content = random.Random(1).randbytes(FILE_BYTES)
    file = await node.files.add(pieces(content))
    await kubo.connect(str(node.listen_addrs[0]))
    out = tmp_path / "file"
    await kubo.run("get", "--output", str(out), str(file.cid), within_s=12 * PATIENCE_S)
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(content).digest()


async def test_we_get_a_file_of_100_mib_from_kubo(kubo: Kubo, nodes: Nodes) -> None:
    node = await nodes.start(blocks=True, exchange=True)
    content = random.Random(2).randbytes(FILE_BYTES)
    cid = await kubo.add(content)
    await identified(await node.connect(kubo.addresses[0]))
    hashed = hashlib.sha256()
    async with asyncio.timeout(12 * PATIENCE_S):
        async for piece in node.files.read(Cid.parse(cid)):
            hashed.update(piece)
    assert hashed.digest() == hashlib.sha256(content).digest()
    assert (await node.files.add(pieces(content))).cid == Cid.parse(cid)
