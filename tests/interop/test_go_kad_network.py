"""The Go Kademlia network by itself: what other tests and the benchmark stand on."""

from __future__ import annotations

import asyncio
import hashlib
import random

import pytest

from mesh.identity.peer_id import PeerId
from tests.network.live import PATIENCE_S
from tools.interop_peers.kad_network import GoKadNetwork
from tools.interop_peers.process import CommandFailed

pytestmark = pytest.mark.interop

NODES = 24
"""More than the 20 that keep a record, so that some do not."""
K = 20
CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
KEY = b"/v/key"


async def holders(network: GoKadNetwork) -> list[int]:
    """The nodes that were told of a provider of `CID`, once the announcements have arrived."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            told = [node for node in range(NODES) if await network.stored_providers(node, CID)]
            if len(told) >= K:
                return told


async def test_values_and_providers_are_found_though_a_third_of_the_nodes_dies() -> None:
    async with GoKadNetwork(NODES, prefix="/custom") as network:
        await network.put(2, KEY, b"value")
        await network.provide(3, CID)
        assert 3 in await holders(network)
        assert await network.get(4, KEY) == b"value"
        [provider] = await network.find_providers(5, CID)
        assert provider.peer == network.nodes[3].peer
        assert f"{provider.addresses[0]}/p2p/{provider.peer}" == network.nodes[3].addresses[0]

        for node in range(NODES - NODES // 3, NODES):
            await network.close(node)
        assert await network.get(6, KEY) == b"value"
        assert [each.peer for each in await network.find_providers(7, CID)] == [network.nodes[3].peer]
        with pytest.raises(CommandFailed, match=f"node {NODES - 1} is closed"):
            await network.table(NODES - 1)


async def test_a_stranger_finds_peers_it_never_met() -> None:
    async with GoKadNetwork(NODES + 1, prefix="/custom", join=False) as network:
        for node in range(1, NODES):
            await network.connect(node, network.nodes[node - 1].addresses[0])
            await network.until_known(node, network.nodes[node - 1].peer)
            await network.until_known(node - 1, network.nodes[node].peer)
        stranger, contact, target = NODES, 0, NODES - 1
        await network.connect(stranger, network.nodes[contact].addresses[0])
        await network.until_known(stranger, network.nodes[contact].peer)
        await network.until_known(contact, network.nodes[stranger].peer)
        found = await network.find_peer(stranger, network.nodes[target].peer)
        assert found.peer == network.nodes[target].peer
        assert f"{found.addresses[0]}/p2p/{found.peer}" == network.nodes[target].addresses[0]

        assert await network.refresh(stranger) >= K
        await network.disconnect(stranger, found.peer)
        assert (await network.find_peer(stranger, found.peer)).addresses == found.addresses


async def test_lookup_ends_at_the_peers_closest_by_exclusive_or() -> None:
    key = random.Random(1).randbytes(32)
    async with GoKadNetwork(NODES) as network:
        found = await network.closest_peers(0, key)
        told = [each.peer for each in network.nodes[1:]]
        assert found == sorted(told, key=lambda peer: distance(key, peer))[:K]
        stats = await network.stats(0)
        assert stats["table"] == len(await network.table(0)) >= K
        assert stats["connections"] >= K
        assert stats["elapsed_ms"] >= 0


async def test_public_network_refuses_values_of_other_namespaces() -> None:
    async with GoKadNetwork(2) as network:
        with pytest.raises(CommandFailed, match="invalid record keytype"):
            await network.put(0, KEY, b"value")


async def test_greatest_value_wins() -> None:
    async with GoKadNetwork(3, prefix="/custom") as network:
        await network.put(0, KEY, b"b")
        await network.put(1, KEY, b"c")
        assert await network.get(2, KEY) == b"c"
        with pytest.raises(CommandFailed, match="older value"):
            await network.put(0, KEY, b"a")
        assert [await network.stored(node, KEY) for node in range(3)] == [b"c"] * 3
        assert await network.stored(0, b"/v/nothing") is None


def distance(key: bytes, peer: str) -> int:
    hashes = (hashlib.sha256(each).digest() for each in (key, PeerId.parse(peer).to_bytes()))
    one, other = (int.from_bytes(each, "big") for each in hashes)
    return one ^ other
