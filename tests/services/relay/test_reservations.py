"""Holding reservations: asked for, renewed, lost, replaced, listed and told."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh.codecs.relay import HopMessage, HopType, Reservation, Status
from mesh.config import RelaySection
from mesh.errors import ConfigError, Malformed
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.circuit import hop
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.relay import HOP_PROTOCOL, Limit, answer_hop, holdings, make_voucher, need
from tests.network.live import Nodes, byte_driver, connected, eventually, identified
from tests.services.relay.network import (
    circuit_to,
    client_of,
    dial_through,
    reached_through,
    relay_node,
    server_of,
)


def told_addresses(node: Node, peer: Node) -> list[str]:
    """What a node was told by another of where it is."""
    connection = node.swarm.connection_to(peer.peer_id)
    info = None if connection is None else node._identify.known(connection)
    return [] if info is None else [str(each) for each in info.listen_addrs]


async def test_as_many_relays_are_held_as_wanted_and_told_to_peers(nodes: Nodes) -> None:
    relays = [await relay_node(nodes) for _ in range(3)]
    watcher = await nodes.start()
    node = await nodes.start(relays=tuple(str(each.listen_addrs[0]) for each in relays))
    await node.connect(watcher.listen_addrs[0])
    await eventually(lambda: len(client_of(node).held) == 2, "two reservations")
    held = [each for each in relays if each.peer_id in client_of(node).held]
    expected = {f"{each.listen_addrs[0]}/p2p-circuit" for each in held}
    assert {str(each) for each in node.own_addresses if each.has("p2p-circuit")} == expected
    await eventually(lambda: expected <= set(told_addresses(watcher, node)), "the push")
    assert all(node.swarm.manager.is_protected(each.peer_id) for each in held)


async def test_a_relay_that_dies_is_replaced_within_ten_seconds(nodes: Nodes) -> None:
    relays = [await relay_node(nodes) for _ in range(3)]
    node = await reached_through(nodes, *relays)
    first = client_of(node).held[0]
    dead = next(each for each in relays if each.peer_id == first)
    await dead.stop()
    spare = next(each for each in relays if each.peer_id not in client_of(node).held and each is not dead)
    await eventually(lambda: spare.peer_id in client_of(node).held, "the replacement")
    assert not any(str(first) in str(each) for each in node.own_addresses)
    assert not node.swarm.manager.is_protected(first)
    source = await nodes.start("")
    assert (await dial_through(source, node)).peer == node.peer_id


async def test_a_relay_that_falls_silent_is_replaced_and_asked_again_when_it_speaks(nodes: Nodes) -> None:
    relays = [await relay_node(nodes) for _ in range(2)]
    node = await reached_through(nodes, *relays, wanted=1, check_s=0.1)
    silent = next(each for each in relays if each.peer_id in client_of(node).held)
    spare = next(each for each in relays if each is not silent)
    deaf = byte_driver(await connected(silent, node)).transport
    deaf.pause_reading()
    await eventually(lambda: spare.peer_id in client_of(node).held, "the replacement")
    assert node.counters["relay.held:silent"] == 1
    assert node.swarm.is_connected(silent.peer_id)
    assert not any(str(silent.peer_id) in str(each) for each in node.own_addresses)
    deaf.resume_reading()
    await spare.stop()
    await eventually(lambda: silent.peer_id in client_of(node).held, "the first again")


async def test_the_only_relay_is_asked_again_when_it_is_lost(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    node = await reached_through(nodes, relay)
    await (await connected(relay, node)).close()
    await eventually(lambda: node.counters["relay.held:lost"] == 1, "the loss")
    assert relay.peer_id not in client_of(node).held
    assert not node.listen_addrs
    await eventually(lambda: client_of(node).held, "another reservation")
    assert server_of(relay).reservations.expires_at(node.peer_id, time.monotonic()) is not None


async def test_a_reservation_is_renewed_before_it_ends(nodes: Nodes) -> None:
    relay = await relay_node(nodes, reservation_s=2.0)
    node = await reached_through(nodes, relay)
    pushed = node.counters["relay.held:granted"]
    await eventually(lambda: relay.counters["relay.reservation:renewed"] >= 2, "the renewals")
    assert node.counters["relay.held:granted"] > pushed
    assert node.counters["relay.held:expired"] == 0
    assert relay.counters["relay.reservation:opened"] == 1


async def test_relays_among_the_connected_peers_are_used_when_that_is_wanted(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    keen, reserved = await nodes.start("", auto=True), await nodes.start("")
    for node in (keen, reserved):
        await identified(await node.connect(relay.listen_addrs[0]))
    await eventually(lambda: client_of(keen).held == [relay.peer_id], "the reservation")
    assert reserved.relaying is None
    assert len(server_of(relay).reservations) == 1
    await relay.stop()
    await eventually(lambda: not client_of(keen).held, "the loss")
    assert not keen.listen_addrs


async def test_a_relay_that_a_source_names_is_used_the_configured_one_first(nodes: Nodes) -> None:
    hub = await nodes.start(pex=True)
    named, found = await relay_node(nodes), await relay_node(nodes, pex=True)
    await found.connect(hub.listen_addrs[0])
    await eventually(lambda: hub.counters["pex.answered"] >= 1, "its acquaintance with the hub")
    node = await nodes.start("", relays=(str(named.listen_addrs[0]),), auto=True, pex=True)
    await eventually(lambda: client_of(node).held == [named.peer_id], "the configured one")
    await node.connect(hub.listen_addrs[0])
    await eventually(lambda: client_of(node).held == [named.peer_id, found.peer_id], "the one that was named")


async def test_a_full_relay_refuses_and_is_left_alone(nodes: Nodes) -> None:
    relay = await relay_node(nodes, max_reservations=1)
    await reached_through(nodes, relay)
    late = await nodes.start("", relays=(str(relay.listen_addrs[0]),))
    await eventually(lambda: late.counters["relay.held:refused"] == 1, "the refusal")
    assert relay.counters["relay.reserve:full"] == 1
    assert not late.listen_addrs


@pytest.mark.parametrize("how", ["signed by another", "for another", "expired", "no grant"])
async def test_a_relay_that_lies_holds_nothing(nodes: Nodes, how: str) -> None:
    liar = await nodes.start()
    other = PrivateKey.generate()
    later = int(time.time()) + 600

    async def lie(stream: Stream) -> None:
        await stream.read_message(4096)
        peer = stream.connection.peer
        vouchers = {
            "signed by another": make_voucher(other, peer, later),
            "for another": make_voucher(liar.key, PeerId.from_public_key(other.public), later),
            "expired": make_voucher(liar.key, peer, 1000),
        }
        if how == "no grant":
            await stream.write_message(HopMessage(type=HopType.RESERVE).encode())
        else:
            expire = 1000 if how == "expired" else later
            granted = Reservation(expire=expire, voucher=vouchers[how])
            await stream.write_message(answer_hop(Status.OK, granted, Limit(0, 0)))

    liar.handle(HOP_PROTOCOL, lie)
    node = await nodes.start("", relays=(str(liar.listen_addrs[0]),))
    await eventually(lambda: node.counters["relay.held:failed"], "the failure")
    assert not node.listen_addrs
    connection = node.swarm.connection_to(liar.peer_id)
    assert connection is not None
    with pytest.raises(Malformed):
        await hop.reserve(connection, node.peer_id)


async def test_reservations_are_let_go_once_others_reach_the_node_and_held_again_when_not(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(need, "RELEASE_S", 0.0)
    relay = await relay_node(nodes)
    servers = [await nodes.start(autonat_serve=True, private_addresses=True) for _ in range(2)]
    node = await nodes.start(relays=(str(relay.listen_addrs[0]),), private_addresses=True)
    always = await nodes.start(relays=(str(relay.listen_addrs[0]),), always=True, private_addresses=True)
    await eventually(lambda: client_of(node).held and client_of(always).held, "the reservations")
    for each in (node, always):
        for server in servers:
            await each.connect(server.listen_addrs[0])
    await eventually(lambda: node.counters["relay.held:released"] == 1, "the release")
    assert node.reachability.state == "public"
    assert not any(each.has("p2p-circuit") for each in node.listen_addrs)
    assert not node.swarm.manager.is_protected(relay.peer_id)
    assert node.relaying is not None
    node.relaying.set_reachability(False)
    await eventually(lambda: client_of(node).held, "the reservation again")
    assert circuit_to(node)
    await eventually(lambda: always.reachability.state == "public", "the other's verdict")
    assert client_of(always).held


async def test_another_network_ends_the_pauses(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holdings, "FIRST_BACKOFF_S", 1000.0)
    key = PrivateKey.generate()
    first = await nodes.start(key=key, relay_serve=True)
    where = first.listen_addrs[0]
    await first.stop()
    node = await nodes.start("", relays=(str(where),))
    await eventually(lambda: node.counters["relay.held:failed"] == 1, "the failure")
    await nodes.start(str(where.without_peer()), key=key, relay_serve=True)
    assert not client_of(node).held
    for tell in node.discovery.watch.observers:
        tell()
    await eventually(lambda: client_of(node).held, "the reservation")


async def test_what_is_no_relay_is_refused_as_a_setting(nodes: Nodes) -> None:
    with pytest.raises(ConfigError, match=r"relay\.relays"):
        await nodes.start("", relays=("/ip4/127.0.0.1/tcp/4001",))
    with pytest.raises(ConfigError):
        RelaySection(relays=("somewhere",))


async def test_a_node_that_is_its_own_relay_asks_nobody(nodes: Nodes) -> None:
    key = PrivateKey.generate()
    own = PeerId.from_public_key(key.public)
    node = await nodes.start("", key=key, relays=(f"/ip4/127.0.0.1/tcp/1/p2p/{own}",))
    await asyncio.sleep(0)
    assert node.counters.total("relay.held") == 0


async def test_addresses_through_relays_are_not_passed_on_by_a_relay(nodes: Nodes) -> None:
    outer = await relay_node(nodes)
    inner = await nodes.start(relays=(str(outer.listen_addrs[0]),), relay_serve=True)
    await eventually(lambda: client_of(inner).held, "the reservation")
    assert circuit_to(inner)
    asker = await nodes.start("")
    grant = await hop.reserve(await asker.connect(inner.listen_addrs[0]), asker.peer_id)
    assert [str(each) for each in grant.addresses] == [str(inner.listen_addrs[0].without_peer())]


async def test_whose_reservation_gave_way_learns_of_it_and_is_held_elsewhere(nodes: Nodes) -> None:
    relay, spare = await relay_node(nodes), await relay_node(nodes)
    node = await reached_through(nodes, relay, spare, wanted=1)
    held, free = (relay, spare) if relay.peer_id in client_of(node).held else (spare, relay)
    books = server_of(held).reservations
    books.release(node.peer_id)
    books.displaced.append(node.peer_id)
    await reached_through(nodes, held)
    await eventually(lambda: free.peer_id in client_of(node).held, "the other relay")
    assert held.counters["relay.reservation:displaced"] == 1
    assert books.displaced == []
