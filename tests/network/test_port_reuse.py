"""TCP dials that leave from the port the node listens on, for hole punches; and that others do not."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from mesh.errors import AddressInUse, NetworkError
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network import port_reuse
from mesh.network.addresses import TcpEndpoint
from mesh.network.port_reuse import can_reuse, connect_from, listening_socket, reaches
from mesh.protocols.machine import Role
from tests.network.live import Nodes, connected, round_trip

pytestmark = pytest.mark.skipif(not can_reuse(), reason="this system does not share ports")
LOOPBACK = TcpEndpoint("127.0.0.1", 0, socket.AF_INET)
DIAL_S = 5.0


def port_of(address: Multiaddr) -> str | None:
    return address.value("tcp")


@pytest.mark.both_loops
async def test_a_dial_leaves_from_the_listening_port(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start(hole_punching=True)
    connection = await client.connect(server.listen_addrs[0])
    assert port_of(connection.local) == port_of(client.listen_addrs[0])
    inbound = await connected(server, client)
    assert inbound.remote == connection.local
    await round_trip(client, server)


async def test_without_the_setting_it_leaves_from_another(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start()
    connection = await client.connect(server.listen_addrs[0])
    assert port_of(connection.local) != port_of(client.listen_addrs[0])


async def test_both_listeners_go_on_to_accept(nodes: Nodes) -> None:
    one = await nodes.start(hole_punching=True)
    two = await nodes.start(hole_punching=True)
    three = await nodes.start("", hole_punching=True)
    await one.connect(two.listen_addrs[0])
    for each in (one, two):
        await round_trip(three, each)


async def test_the_same_four_tuple_once_more_leaves_from_a_port_of_its_own(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start(hole_punching=True)
    address = server.listen_addrs[0].without_peer()
    first = await client.swarm.dial_as(server.peer_id, address, Role.INITIATOR, DIAL_S)
    second = await client.swarm.dial_as(server.peer_id, address, Role.INITIATOR, DIAL_S)
    assert port_of(first.local) == port_of(client.listen_addrs[0]) != port_of(second.local)


async def test_a_port_that_is_taken_is_an_error_all_the_same(nodes: Nodes) -> None:
    taken = await nodes.start(hole_punching=True)
    where = str(taken.listen_addrs[0].without_peer())
    for punching in (True, False):
        with pytest.raises(AddressInUse):
            await nodes.make(where, hole_punching=punching).start()


async def test_a_listener_that_was_closed_is_no_source(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start(hole_punching=True)
    for listener in client.swarm._listeners:
        await listener.close()
    connection = await client.connect(server.listen_addrs[0])
    assert port_of(connection.local) not in {port_of(each) for each in client.listen_addrs}


async def test_simultaneous_open_with_the_roles_settled_before(nodes: Nodes) -> None:
    """Both connect from the ports they listen on, until their SYNs cross: neither listener takes part then."""
    one = await nodes.start(hole_punching=True)
    two = await nodes.start(hole_punching=True)
    here, there = (each.listen_addrs[0].without_peer() for each in (one, two))

    async def dial(node: object, peer: object, address: Multiaddr, role: Role) -> bool:
        try:
            await node.swarm.dial_as(peer.peer_id, address, role, 1.0)  # type: ignore[attr-defined]
        except NetworkError:
            return False
        return True

    await asyncio.gather(dial(one, two, there, Role.INITIATOR), dial(two, one, here, Role.RESPONDER))
    initiator = await connected(one, two)
    responder = await connected(two, one)
    assert not initiator.inbound
    assert responder.inbound
    await round_trip(one, two)


async def test_a_role_dial_says_why_it_failed(nodes: Nodes) -> None:
    client, other = await nodes.start(hole_punching=True), await nodes.start("")
    closed = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")
    with pytest.raises(NetworkError, match=r"/ip4/127\.0\.0\.1/tcp/1: Connection refused"):
        await client.swarm.dial_as(other.peer_id, closed, Role.INITIATOR, DIAL_S)
    nowhere = Multiaddr.parse("/ip4/127.0.0.1/sctp/1")
    with pytest.raises(NetworkError, match="no transport"):
        await client.swarm.dial_as(other.peer_id, nowhere, Role.INITIATOR, DIAL_S)
    assert not client.swarm.knock(closed, b"x")


async def test_a_knock_leaves_from_where_quic_listens(nodes: Nodes) -> None:
    node = await nodes.start("/ip4/127.0.0.1/udp/0/quic-v1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
        target.bind(("127.0.0.1", 0))
        target.settimeout(DIAL_S)
        assert node.swarm.knock(
            Multiaddr.parse(f"/ip4/127.0.0.1/udp/{target.getsockname()[1]}/quic-v1"), b"knock"
        )
        data, source = target.recvfrom(100)
    assert data == b"knock"
    assert str(source[1]) == node.listen_addrs[0].value("udp")


async def test_nothing_that_listens_cannot_knock(nodes: Nodes) -> None:
    node = await nodes.start("/ip4/127.0.0.1/udp/0/quic-v1")
    assert not node.swarm.knock(Multiaddr.parse("/ip6/::1/udp/1/quic-v1"), b"x")


async def test_what_the_peer_did_is_no_reason_for_another_port() -> None:
    with listening_socket(LOOPBACK) as bound:
        with pytest.raises(ConnectionRefusedError):
            await connect_from(bound.getsockname(), TcpEndpoint("127.0.0.1", 1, socket.AF_INET))
        assert await connect_from(bound.getsockname(), TcpEndpoint("a.name", 1, socket.AF_UNSPEC)) is None


async def test_an_address_this_machine_does_not_have_is_one() -> None:
    assert errno.EADDRNOTAVAIL in port_reuse._TAKEN
    found = await connect_from(("192.0.2.1", 4001), TcpEndpoint("127.0.0.1", 1, socket.AF_INET))
    assert found is None


@pytest.mark.parametrize(
    ("name", "host", "reached"),
    [
        (("0.0.0.0", 1), "192.0.2.1", True),
        (("0.0.0.0", 1), "2001:db8::1", False),
        (("::", 1, 0, 0), "2001:db8::1", True),
        (("127.0.0.1", 1), "127.0.0.2", True),
        (("127.0.0.1", 1), "192.0.2.1", False),
        (("192.168.1.4", 1), "192.0.2.1", True),
        (("192.168.1.4", 1), "127.0.0.1", False),
    ],
)
def test_which_listener_a_dial_can_leave_from(name: port_reuse.Name, host: str, reached: bool) -> None:
    assert reaches(name, TcpEndpoint(host, 1, socket.AF_UNSPEC)) is reached


def test_a_host_that_is_nowhere_cannot_be_listened_on() -> None:
    with pytest.raises(OSError, match="assign"):
        listening_socket(TcpEndpoint("192.0.2.1", 0, socket.AF_INET))


async def test_a_dial_that_may_leave_from_anywhere_spares_the_port(nodes: Nodes) -> None:
    server = await nodes.start()
    client = await nodes.start(hole_punching=True)
    address = server.listen_addrs[0].without_peer()
    found = await client.swarm.dial_as(server.peer_id, address, Role.INITIATOR, DIAL_S, from_any_port=True)
    assert port_of(found.local) != port_of(client.listen_addrs[0])
