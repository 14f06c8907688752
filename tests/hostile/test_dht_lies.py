"""Members that lie in their answers, or do not answer: lookups go on, and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from dataclasses import replace

import pytest

from mesh.codecs.kademlia import Message, Peer
from mesh.errors import RecordNotFound
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.services.kademlia import Step
from mesh.services.kademlia.address_filter import FILTERS
from tests.hostile.conftest import Target
from tests.hostile.dht import (
    HERE,
    LIES,
    NOBODY,
    dht,
    liar,
    multihash,
    naming,
    server,
    stranger,
    stranger_id,
)
from tests.network.live import PATIENCE_S, TCP, eventually


async def looked_up(target: Target) -> list[Step]:
    """The steps of a lookup that ends in time."""
    steps: list[Step] = []
    async with asyncio.timeout(PATIENCE_S):
        await target.node.dht.closest_peers(os.urandom(8), on_step=steps.append)
    return steps


def count(steps: list[Step], kind: str) -> int:
    return sum(type(step).__name__ == kind for step in steps)


@server()
@pytest.mark.parametrize("number", [21, 64, 10_000])
async def test_invented_peers(target: Target, number: int) -> None:
    """Nobody serves where they are said to be. They are given up after a few, and none comes into the table."""
    lie = naming(lambda _request: [Peer(stranger_id(), [NOBODY]) for _ in range(number)])
    async with liar(target, lie) as who:
        steps = await looked_up(target)
        assert count(steps, "Ended") == 1
        assert count(steps, "Asked") <= 22
        assert {entry.peer for entry in target.node.dht.table} <= {who.node.peer_id}
        async with asyncio.timeout(PATIENCE_S):
            found = [each async for each in target.node.dht.find_providers(multihash())]
        assert len(found) <= 20
        with pytest.raises(RecordNotFound):
            await target.node.dht.find_peer(stranger())


@server()
async def test_named_peers_never_enter_the_table(target: Target) -> None:
    """Neither one that is there but serves something else, nor one under another's address."""
    plain, member = await target.nodes.start(TCP), await dht(target)
    wrong = stranger()

    def peers(_request: Message) -> list[Peer]:
        at_member = member.listen_addrs[0].without_peer().to_bytes()
        at_plain = plain.listen_addrs[0].without_peer().to_bytes()
        return [
            Peer(plain.peer_id.to_bytes(), [at_plain]),
            Peer(wrong.to_bytes(), [at_member]),
            Peer(stranger_id(), [member.listen_addrs[0].to_bytes()]),
        ]

    async with liar(target, naming(peers)) as who:
        steps = await looked_up(target)
        assert count(steps, "Failed") == 3
        assert {entry.peer for entry in target.node.dht.table} <= {who.node.peer_id}
    await plain.stop()
    await member.stop()


@server()
async def test_addresses_that_are_none(target: Target) -> None:
    relayed = f"/ip4/192.0.2.1/tcp/1/p2p/{stranger()}/p2p-circuit"
    given = [b"", b"\xff" * 30, b"\x04\x7f", HERE[:-1], Multiaddr.parse(relayed).to_bytes()]
    given += [
        Multiaddr.parse(each).to_bytes()
        for each in ("/ip4/224.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/0", "/memory/9")
    ]
    lie = naming(
        lambda _request: [Peer(stranger_id(), given), Peer(b"no id", [NOBODY]), Peer(stranger_id(), [])]
    )
    async with liar(target, lie):
        steps = await looked_up(target)
        assert count(steps, "Asked") <= 2


@pytest.mark.parametrize("name", ["public", "private"])
def test_addresses_of_other_networks_are_not_dialled(name: str) -> None:
    relay = f"/ip4/8.8.8.8/tcp/1/p2p/{stranger()}/p2p-circuit"
    given = [
        Multiaddr.parse(each) for each in ("/ip4/8.8.8.8/tcp/1", "/ip4/10.0.0.1/tcp/1", "/memory/1", relay)
    ]
    assert FILTERS[name](given) == [given[0 if name == "public" else 1]]


@server()
@pytest.mark.parametrize("lie", LIES)
async def test_a_lookup_goes_on_without_the_liar(target: Target, lie: str) -> None:
    """Two honest members are found whatever the third does, and it loses its place when it does so again."""
    honest = [await dht(target) for _ in range(2)]
    for each in honest:
        await each.connect(target.node.listen_addrs[0])
        await eventually(lambda each=each: each.peer_id in target.node.dht.table)  # type: ignore[misc]
    search = target.node.dht._search
    object.__setattr__(search, "settings", replace(search.settings, request_limit_s=0.3))
    async with liar(target, LIES[lie]) as who:
        for _ in range(2):
            async with asyncio.timeout(PATIENCE_S):
                found = await target.node.dht.closest_peers(os.urandom(8))
            assert set(found) == {each.peer_id for each in honest}
        await eventually(lambda: who.node.peer_id not in target.node.dht.table, "the liar's end")
        connection = target.node.swarm.connection_to(who.node.peer_id)
        assert connection is not None
        await eventually(lambda: connection.stream_count == 0, "the end of its streams")
    for each in honest:
        await each.stop()


@server()
async def test_a_peer_named_at_a_thousand_addresses(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is looked for is dialled at a bounded number of addresses, whatever liars say."""
    wanted = stranger()
    ports = iter(range(1, 60_000))

    def peers(_request: Message) -> list[Peer]:
        fresh = [Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{next(ports)}").to_bytes() for _ in range(400)]
        return [Peer(wanted.to_bytes(), fresh[at : at + 20]) for at in range(0, 400, 20)]

    async with liar(target, naming(peers)):
        tried: list[Multiaddr] = []

        async def reach(_peer: PeerId, addresses: Iterable[Multiaddr], _reached: asyncio.Event) -> None:
            tried.extend(addresses)

        monkeypatch.setattr(target.node.dht, "_reach", reach)
        with contextlib.suppress(RecordNotFound):
            async with asyncio.timeout(PATIENCE_S):
                await target.node.dht.find_peer(wanted)
        assert 0 < len(set(tried)) <= 16, "of one answer"
