"""One DHT of Go's nodes and ours: 20 of each, over TCP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.multiformats.multihash import Multihash
from mesh.node import Node
from tests.network.live import PATIENCE_S, TCP, Nodes, eventually
from tests.services.kademlia.network import dht_node, multihash
from tools.interop_peers.kad_network import GoKadNetwork

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

EACH = 20
PREFIX = "/mixed"
K = 20


@dataclass
class Mixed:
    """Both halves, joined: everyone has refreshed its table since all were there."""

    go: GoKadNetwork
    ours: list[Node]

    @property
    def go_peers(self) -> list[PeerId]:
        return [PeerId.parse(each.peer) for each in self.go.nodes]


@pytest.fixture
async def mixed(nodes: Nodes) -> AsyncIterator[Mixed]:
    async with GoKadNetwork(EACH, prefix=PREFIX) as go:
        ours = [await dht_node(nodes, TCP, prefix=PREFIX) for _ in range(EACH)]
        for index, node in enumerate(ours):
            await node.connect(go.nodes[index].addresses[0])
            await node.connect(ours[index - 1].listen_addrs[0])
        for index, node in enumerate(ours):
            contact = go.nodes[index].peer
            await eventually(
                lambda node=node, contact=contact: PeerId.parse(contact) in node.dht.table,  # type: ignore[misc]
                "a Go node in our table",
            )
            await go.until_known(index, str(node.peer_id))
        for _ in range(2):
            await asyncio.gather(*(node.dht.refresh() for node in ours))
            await asyncio.gather(*(go.refresh(index) for index in range(EACH)))
        yield Mixed(go, ours)


def multihash_of(data: bytes) -> Multihash:
    return Multihash.from_bytes(multihash(data))


async def got(seeker: Node, key: bytes, wanted: PeerId) -> bool:
    """Whether one of ours finds a provider; announcements are not answered, so it may take another try."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async for each in seeker.dht.find_providers(key):
                if each.peer == wanted:
                    return bool(each.addresses)


async def test_everybody_finds_everybody_and_what_they_keep(mixed: Mixed) -> None:
    everyone = [*mixed.go_peers, *(node.peer_id for node in mixed.ours)]
    for seeker in mixed.ours:
        for wanted in everyone:
            if wanted != seeker.peer_id:
                found = await seeker.dht.find_peer(wanted)
                assert found.connected
                assert found.addresses
    for index, own in enumerate(mixed.go_peers):
        for wanted in everyone:
            if wanted != own:
                assert (await mixed.go.find_peer(index, str(wanted))).addresses
    await _values_cross(mixed)
    await _providers_cross(mixed)
    await _survive_a_third(mixed)


async def _values_cross(mixed: Mixed) -> None:
    assert (await mixed.ours[3].dht.put_value(b"/v/ours", b"from us")).reached
    assert await mixed.go.get(4, b"/v/ours") == b"from us"
    await mixed.go.put(5, b"/v/go", b"from go")
    assert await mixed.ours[6].dht.get_value(b"/v/go") == b"from go"
    await mixed.go.put(5, b"/v/ours", b"later than us")
    assert await mixed.ours[7].dht.get_value(b"/v/ours") == b"later than us"


async def _providers_cross(mixed: Mixed) -> None:
    content = Cid(1, 0x55, multihash_of(b"ours"))
    assert (await mixed.ours[3].dht.provide(content)).reached
    async with asyncio.timeout(PATIENCE_S):
        while not (found := await mixed.go.find_providers(4, str(content))):
            continue
    assert [each.peer for each in found] == [str(mixed.ours[3].peer_id)]
    assert found[0].addresses
    theirs = Cid(1, 0x55, multihash_of(b"theirs"))
    await mixed.go.provide(5, str(theirs))
    assert await got(mixed.ours[6], theirs.multihash.to_bytes(), mixed.go_peers[5])


async def _survive_a_third(mixed: Mixed) -> None:
    """A third of either kind dies; values, providers and the living are still found, from both sides."""
    third = EACH // 3
    for node in mixed.ours[-third:]:
        await node.stop()
    for index in range(EACH - third, EACH):
        await mixed.go.close(index)
    living_ours, living_go = mixed.ours[:-third], mixed.go_peers[: EACH - third]
    assert await mixed.ours[0].dht.get_value(b"/v/go") == b"from go"
    assert await mixed.go.get(0, b"/v/ours") == b"later than us"
    assert await got(mixed.ours[1], multihash(b"theirs"), mixed.go_peers[5])
    for wanted in [*living_go, *(node.peer_id for node in living_ours)]:
        if wanted != living_ours[2].peer_id:
            assert (await living_ours[2].dht.find_peer(wanted)).connected
        if wanted != living_go[1]:
            assert (await mixed.go.find_peer(1, str(wanted))).addresses
