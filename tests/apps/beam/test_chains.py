"""Chains of forwarders on live nodes: bytes through three of them, who forwards, what is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from mesh.apps.beam.beam import Beam
from mesh.apps.beam.chains import ROUTE_PROTOCOL
from mesh.apps.beam.registry import Wanted
from mesh.codecs.beam_route import MAX_ANSWER_BYTES, RouteAnswer, RouteRequest, RouteStatus
from mesh.config import BeamSection
from mesh.errors import MeshError, PeerError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.protocols.beam.abuse import MAX_REFUSED_CHAINS
from mesh.protocols.beam.gossip_message import ROUTE_UPDATE
from mesh.protocols.beam.path_choice import CHAINED, PathKey
from mesh.protocols.beam.path_quality import Quality
from tests.apps.beam.beams import Beams, exchange, join, tcp_service, until
from tests.network.live import PATIENCE_S

ECHO = "/echo/1.0.0"


async def row(beams: Beams, count: int, *, forward: bool = True, **settings: Any) -> list[Beam]:
    """Nodes of which each is connected with the one before it and the one behind it alone."""
    made: list[Beam] = []
    for number in range(count):
        made.append(await beams.beam(dht="off", forward=forward and 0 < number < count - 1, **settings))
        if number:
            await join(made[number], made[number - 1])
    return made


def peers(beams: Sequence[Beam]) -> list[PeerId]:
    return [each.node.peer_id for each in beams]


async def ask(opener: Beam, forwarder: Beam, hops: Sequence[PeerId]) -> RouteStatus:
    """What a forwarder answers to a request."""
    stream = await opener.node.open(forwarder.node.peer_id, ROUTE_PROTOCOL)
    await stream.write_message(RouteRequest(hops=[each.to_bytes() for each in hops]).encode())
    async with asyncio.timeout(PATIENCE_S):
        answer = RouteAnswer.decode(await stream.read_message(MAX_ANSWER_BYTES))
    return RouteStatus(answer.status)


async def test_a_connection_through_three_forwarders_is_with_its_far_end(beams: Beams) -> None:
    made = await row(beams, 5)
    end = made[-1].node

    @end.protocol(ECHO)
    async def echo(stream) -> None:  # type: ignore[no-untyped-def]
        await stream.write(b"heard " + await stream.read())

    connection = await made[0].routing.chains.dial(peers(made[1:]))
    assert connection.peer == end.peer_id
    assert connection.limited is None
    assert made[0].routing.chains.relays(connection) == tuple(peers(made[1:4]))
    async with await connection.open([ECHO]) as stream:
        await stream.write(b"hello")
        assert await stream.read() == b"heard hello"
    assert [each.routing.chains.forwarded for each in made] == [0, 1, 1, 1, 0]
    await connection.close()
    await until(lambda: not any(each.routing.chains.forwarded for each in made))


async def test_a_tunnel_goes_through_a_chain_where_nothing_else_leads(beams: Beams) -> None:
    opener, one, two, provider = await row(beams, 4)
    async with tcp_service(b"hello ") as port:
        await provider.expose("myapp", port, public=True)
        await until(lambda: opener.table.get("myapp.local", provider.node.peer_id))
        await until(lambda: len(opener.routing.table) >= 4)
        opener.node.addresses.forget(provider.node.peer_id)
        tunnel = await opener.open("myapp")
        assert await exchange(tunnel.port, b"x" * 100_000) == b"hello " + b"x" * 100_000
        first = opener.routing.switches(provider.node.peer_id)[0].after
        assert first == PathKey(CHAINED, tuple(peers([one, two])))
        assert opener.paths.describe(provider.node.peer_id) == str(first)


async def test_requests_that_are_refused(beams: Beams) -> None:
    opener, forwarder, end = await row(beams, 3)
    stranger = await beams.beam(dht="off")
    own, middle, far = peers([opener, forwarder, end])
    assert await ask(opener, forwarder, [stranger.node.peer_id]) == RouteStatus.NOT_CONNECTED
    assert await ask(opener, forwarder, [middle]) == RouteStatus.BAD_ROUTE
    assert await ask(opener, forwarder, [own]) == RouteStatus.BAD_ROUTE
    assert await ask(opener, forwarder, [far, far]) == RouteStatus.BAD_ROUTE
    assert await ask(opener, forwarder, [far, stranger.node.peer_id]) == RouteStatus.BUSY
    for _ in range(BeamSection().max_chains_per_peer):
        assert await ask(opener, forwarder, [far]) == RouteStatus.OK
    assert await ask(opener, forwarder, [far]) == RouteStatus.BUSY
    assert forwarder.node.counters["beam.route:busy"] == 2
    with pytest.raises(UsageError):
        await opener.routing.chains.dial([far])
    with pytest.raises(MeshError, match="not directly connected"):
        await opener.routing.chains.dial([stranger.node.peer_id, far])


async def test_a_node_forwards_only_where_it_is_told_to(beams: Beams) -> None:
    made = await row(beams, 3, forward=False)
    with pytest.raises(PeerError, match="leads no further"):
        await made[0].routing.chains.dial(peers(made[1:]))
    assert len(made[0].routing.table) == 0


async def test_a_forwarder_that_passes_nothing_on_is_given_up(beams: Beams) -> None:
    """It answers as if the chain stood: nobody comes to an end of it that is not the one that was named."""
    opener, hole, end = await row(beams, 3)
    hole.routing.chains.stop()

    async def pretend(stream) -> None:  # type: ignore[no-untyped-def]
        await stream.read_message(1000)
        await stream.write_message(RouteAnswer().encode())
        await stream.close()

    hole.node.handle(ROUTE_PROTOCOL, pretend)
    with pytest.raises(MeshError):
        await opener.routing.chains.dial(peers([hole, end]))
    assert not opener.node.swarm.is_connected(end.node.peer_id)


async def test_one_peer_gets_no_more_chains_than_it_may_have_whatever_room_there_is(beams: Beams) -> None:
    opener, forwarder, end = await row(beams, 3, max_chains=8, max_chains_per_peer=1)
    other = await beams.beam(dht="off", to=forwarder)
    far = end.node.peer_id
    assert await ask(opener, forwarder, [far]) == RouteStatus.OK
    assert await ask(opener, forwarder, [far]) == RouteStatus.BUSY
    assert await ask(other, forwarder, [far]) == RouteStatus.OK
    assert forwarder.routing.chains.passing.refused == 1


async def test_a_chain_ends_where_its_bytes_are_used_up(beams: Beams) -> None:
    opener, forwarder, end = await row(beams, 3, chain_bytes=64 * 1024)

    @end.node.protocol(ECHO)
    async def echo(stream) -> None:  # type: ignore[no-untyped-def]
        await stream.write(await stream.read())

    connection = await opener.routing.chains.dial(peers([forwarder, end]))
    stream = await connection.open([ECHO])
    with pytest.raises(MeshError):
        await stream.write(bytes(1_000_000))
    await until(lambda: forwarder.routing.chains.passing.cut == 1)
    assert forwarder.node.counters["beam.route:cut"] == 1
    await until(lambda: not forwarder.routing.chains.forwarded)


async def test_a_chain_ends_when_its_time_is_over(beams: Beams) -> None:
    opener, forwarder, end = await row(beams, 3, chain_s=1)
    connection = await opener.routing.chains.dial(peers([forwarder, end]))
    async with asyncio.timeout(PATIENCE_S):
        await connection.ended()
    await until(lambda: forwarder.routing.chains.passing.cut == 1)


async def test_who_asks_for_chains_that_it_may_not_have_raises_an_alert(beams: Beams) -> None:
    opener, forwarder, end = await row(beams, 3, max_chains_per_peer=1)
    for _ in range(MAX_REFUSED_CHAINS + 2):
        await ask(opener, forwarder, [end.node.peer_id])
    assert [each.detector for each in forwarder.abuse.alerts(0.0)] == ["chain-hoarding"]
    assert forwarder.abuse.alerts(0.0)[0].peer == opener.node.peer_id


async def test_a_silent_forwarder_costs_a_moment_and_loses_standing(beams: Beams) -> None:
    """It takes the chain and says nothing: the next one is tried beside it, and it is blamed though nobody waits."""
    opener = await beams.beam(dht="off")
    end = await beams.beam(dht="off")
    hole, good = [await beams.beam(dht="off", forward=True, to=end) for _ in range(2)]
    for each in (hole, good):
        await join(opener, each)
    held = asyncio.Event()

    async def swallow(stream) -> None:  # type: ignore[no-untyped-def]
        await stream.read_message(1000)
        await stream.write_message(RouteAnswer().encode())
        await held.wait()

    hole.routing.chains.stop()
    hole.node.handle(ROUTE_PROTOCOL, swallow)
    opener.node.addresses.forget(end.node.peer_id)
    await until(lambda: len(opener.routing.table) >= 4)
    table = opener.routing.table
    best = Quality(0.001, 1e6, 1.0, 0.0)
    opener.routing.own_links = lambda: {
        hole.node.peer_id: best,
        good.node.peer_id: Quality(0.1, 1e3, 1.0, 0.0),
    }
    assert [
        each.relays
        for each in table.routes(end.node.peer_id, opener.routing.own_links(), time.monotonic())
        if len(each.relays) == 1
    ] == [(hole.node.peer_id,), (good.node.peer_id,)]
    async with asyncio.timeout(PATIENCE_S):
        connection = await opener.routing._connection(opener.routing._state(end.node.peer_id))
    assert opener.routing.chains.relays(connection) == (good.node.peer_id,)
    held.set()
    await until(lambda: table.standing(hole.node.peer_id, time.monotonic()) < 0.9)
    assert table.standing(good.node.peer_id, time.monotonic()) == 1.0


async def test_a_chain_gives_way_when_its_peer_has_most(beams: Beams) -> None:
    hoarder, forwarder, end = await row(beams, 3, max_chains=3)
    late = await beams.beam(dht="off", to=forwarder)
    far = end.node.peer_id
    for _ in range(3):
        assert await ask(hoarder, forwarder, [far]) == RouteStatus.OK
    assert await ask(late, forwarder, [far]) == RouteStatus.OK
    assert forwarder.node.counters["beam.route:displaced"] == 1
    assert forwarder.routing.chains.forwarded == 3
    assert forwarder.routing.chains.passing.of(late.node.peer_id) == 1


async def test_a_provider_tells_by_whom_it_is_reached_and_who_boasts_of_it_is_not_believed(
    beams: Beams,
) -> None:
    opener, forwarder, provider = await row(beams, 3, forward=False)
    far, near = provider.node.peer_id, forwarder.node.peer_id
    assert len(opener.routing.table) == 0
    boaster = await beams.beam(dht="off", to=opener, forward=True)
    boast = {"peer": str(far), "latency_ms": 0.0, "bandwidth": 2**40, "reliability": 1.0, "congestion": 0.0}
    await boaster.gossip.publish(ROUTE_UPDATE, {"links": [boast]})
    own = {boaster.node.peer_id: Quality(0.001, 1e6, 1.0, 0.0), near: Quality(0.1, 1e3, 1.0, 0.0)}

    def relays() -> list[tuple[PeerId, ...]]:
        found = opener.routing.table.routes(far, own, time.monotonic())
        return [each.relays for each in found if each.relays]

    await until(lambda: relays() == [(boaster.node.peer_id,)])
    said = {"peer": str(near), "latency_ms": 1.0, "bandwidth": 1.0, "reliability": 1.0, "congestion": 0.0}
    await forwarder.gossip.publish(ROUTE_UPDATE, {"links": [said | {"peer": str(far)}]})
    await until(lambda: provider.routing.table.forwards(near))
    await provider.register("shop", lambda service_id: Wanted(service_id))
    provider.links.changed()
    await until(lambda: relays() == [(near,)])
    assert not opener.routing.table.forwards(far)


async def test_that_all_places_are_taken_is_told_through_the_chain(beams: Beams) -> None:
    opener, one, two, end = await row(beams, 4, max_chains=1)
    stranger = await beams.beam(dht="off")
    assert await ask(opener, one, peers([two, stranger])) == RouteStatus.FAILED
    await until(lambda: not two.routing.chains.forwarded)
    assert await ask(one, two, [end.node.peer_id]) == RouteStatus.OK
    assert await ask(opener, one, peers([two, end])) == RouteStatus.BUSY
    assert await ask(opener, one, [opener.node.peer_id, end.node.peer_id]) == RouteStatus.BAD_ROUTE
