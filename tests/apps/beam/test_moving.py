"""Providers whose addresses change, over real sockets: announced again, and reached by those who knew the old ones."""

from __future__ import annotations

import asyncio

import pytest

from mesh.apps.beam.beam import Beam
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.beam.record_keys import service_key
from mesh.protocols.beam.service_record import open_service
from tests.apps.beam.beams import Beams, exchange, join, tcp_service, until
from tests.network.live import PATIENCE_S, TCP

SERVICE = "myapp.local"


async def move(beam: Beam) -> set[str]:
    """Another socket takes the place of the one that it listened at; the addresses of then."""
    swarm = beam.node.swarm
    before = list(swarm._listeners)
    await swarm.listen(Multiaddr.parse(TCP))
    for listener in before:
        swarm._listeners.remove(listener)
        await listener.close()
    return ends(beam)


def ends(beam: Beam) -> set[str]:
    return {f"{each}/p2p/{beam.node.peer_id}" for each in beam.node.own_addresses}


def told_of(beam: Beam, provider: Beam) -> set[str]:
    """The endpoints of a provider as a node knows them."""
    entry = beam.table.get(SERVICE, provider.node.peer_id)
    return set() if entry is None else {str(each) for each in entry.record.endpoints}


async def part(one: Beam, *others: Beam) -> None:
    """End every connection between one and others, also those that are made again meanwhile."""
    peers = {each.node.peer_id for each in others}
    async with asyncio.timeout(PATIENCE_S):
        while met := [each for each in one.node.connections if each.peer in peers]:
            for connection in met:
                await connection.close()
            for other in others:
                await until(lambda other=other: gone(one, other))  # type: ignore[misc]


def gone(one: Beam, other: Beam) -> bool:
    """Whether the other end knows, too, unless they have met again."""
    met_again = one.node.swarm.is_connected(other.node.peer_id)
    return met_again or not other.node.swarm.is_connected(one.node.peer_id)


async def test_a_provider_that_moved_announces_itself_and_is_reached(beams: Beams) -> None:
    meeting, holder, provider, client = await beams.network(4, listen=TCP)
    async with tcp_service(b"here ") as port:
        await provider.expose("myapp", port, public=True)
        found = await client.find("myapp")
        assert {str(each) for each in found.providers[0].record.endpoints} == ends(provider)
        old = ends(provider)
        new = await move(provider)
        assert new.isdisjoint(old)
        for each in (meeting, holder, client):
            await until(lambda each=each: told_of(each, provider) == new)  # type: ignore[misc]
        key = service_key(SERVICE, provider.node.peer_id)
        async with asyncio.timeout(PATIENCE_S):
            kept: set[str] = set()
            while kept != new:
                record = open_service(await holder.node.dht.get_value(key))
                kept = {str(each) for each in record.endpoints}
        await part(client, provider)
        client.node.addresses.forget(provider.node.peer_id)
        tunnel = await client.open("myapp")
        assert await exchange(tunnel.port, b"hello") == b"here hello"


async def test_who_was_away_while_a_provider_moved_reaches_it_at_once(
    beams: Beams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table has the record of before, which counts for an hour yet, and nobody has told it of the new one."""
    monkeypatch.setattr("mesh.apps.beam.syncing.SOON_S", 3600.0)
    meeting, holder, provider = await beams.network(3, listen=TCP)
    client = await beams.beam("", to=meeting, dht="client")
    async with tcp_service(b"here ") as port:
        await provider.expose("myapp", port, public=True)
        await client.find("myapp")
        old = ends(provider)
        await part(client, meeting, holder, provider)
        new = await move(provider)
        await until(lambda: told_of(meeting, provider) == new)
        assert told_of(client, provider) == old
        client.node.addresses.forget(provider.node.peer_id)
        client.gossip.observers.clear()
        await join(client, meeting)
        assert not client.node.swarm.is_connected(provider.node.peer_id)
        tunnel = await client.open("myapp")
        assert await exchange(tunnel.port, b"hello") == b"here hello"
        assert told_of(client, provider) == new
