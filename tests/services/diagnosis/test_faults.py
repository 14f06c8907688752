"""What errors mean: each fault as real nodes meet it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from mesh.codecs.relay import Status
from mesh.errors import (
    CertificateRefused,
    Closed,
    DialError,
    DialFailure,
    LimitError,
    Malformed,
    PeerError,
    RelayRefused,
    TurnedAway,
    WrongPeer,
)
from mesh.multiformats.multiaddr import Multiaddr
from mesh.node import Node
from mesh.protocols.diagnosis import Attempt, Fault
from mesh.services.diagnosis.faults import fault_of, read_failure
from mesh.services.diagnosis.probing import probe
from mesh.services.node_host import NodeHost
from tests.network.live import QUIC, TCP, Nodes


@pytest.fixture
def silent_udp() -> Iterator[int]:
    """The port of a socket that answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture
def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


async def failing(node: Node, address: Multiaddr | str) -> Attempt:
    """The one failure of a dial."""
    target = Multiaddr.parse(address) if isinstance(address, str) else address
    with pytest.raises(DialError) as caught:
        await node.connect(target)
    (failure,) = caught.value.failures
    return read_failure(failure)


async def test_nobody_listens(nodes: Nodes, free_port: int) -> None:
    node = await nodes.start("")
    found = await failing(node, f"/ip4/127.0.0.1/tcp/{free_port}")
    assert (found.fault, found.transport, found.family) == (Fault.REFUSED, "tcp", "ip4")


async def test_no_datagram_comes_back(nodes: Nodes, silent_udp: int) -> None:
    node = await nodes.start("", connect_timeout_s=0.2, address_timeout_s=0.2)
    found = await failing(node, f"/ip4/127.0.0.1/udp/{silent_udp}/quic-v1")
    assert (found.fault, found.transport) == (Fault.SILENT, "quic")


@pytest.mark.parametrize("listen", [TCP, QUIC])
@pytest.mark.parametrize("security", ["noise", "tls"])
async def test_another_peer_answers(nodes: Nodes, listen: str, security: str) -> None:
    server, other = await nodes.start(listen, security=(security,)), await nodes.start("")
    node = await nodes.start("", security=(security,))
    address = server.listen_addrs[0].without_peer() / f"/p2p/{other.peer_id}"
    found = await failing(node, address)
    assert (found.fault, found.found) == (Fault.WRONG_PEER, str(server.peer_id))


async def test_an_own_limit(nodes: Nodes) -> None:
    first, second = await nodes.start(), await nodes.start()
    node = await nodes.start("", max_connections=1)
    await node.connect(first.listen_addrs[0])
    found = await failing(node, second.listen_addrs[0])
    assert (found.fault, found.found) == (Fault.OWN_LIMIT, "network.max_connections")


def test_a_name_leads_nowhere() -> None:
    failure = DialFailure(
        "/dns4/nobody.invalid/tcp/4001", "resolve", "lookup of nobody.invalid: no such name"
    )
    assert read_failure(failure).fault is Fault.NO_ADDRESS


async def test_a_relay_without_a_reservation_of_the_peer(nodes: Nodes) -> None:
    relay, peer, node = await nodes.start(relay_serve=True), await nodes.start(""), await nodes.start("")
    found = await failing(node, relay.listen_addrs[0] / f"/p2p-circuit/p2p/{peer.peer_id}")
    assert (found.fault, found.transport) == (Fault.NO_RESERVATION, "circuit")


async def test_who_is_asked_for_a_circuit_relays_for_nobody(nodes: Nodes) -> None:
    plain, peer, node = await nodes.start(), await nodes.start(""), await nodes.start("")
    found = await failing(node, plain.listen_addrs[0] / f"/p2p-circuit/p2p/{peer.peer_id}")
    assert found.fault is Fault.NOT_A_RELAY


async def test_a_relay_that_is_not_there(nodes: Nodes, free_port: int) -> None:
    gone, peer, node = await nodes.start(""), await nodes.start(""), await nodes.start("")
    relay = f"/ip4/127.0.0.1/tcp/{free_port}/p2p/{gone.peer_id}"
    found = await failing(node, f"{relay}/p2p-circuit/p2p/{peer.peer_id}")
    assert found.fault is Fault.RELAY_UNREACHED


async def test_a_stranger_probes_each_address_by_itself(nodes: Nodes, free_port: int) -> None:
    """Both addresses of one peer, at the same time: the dials do not share what comes of them, and nothing is left."""
    server, node = await nodes.start(), await nodes.start("")
    good = server.listen_addrs[0]
    bad = Multiaddr.parse(f"/ip4/127.0.0.1/tcp/{free_port}/p2p/{server.peer_id}")
    found = await probe(NodeHost(node).make_stranger, [good, bad, good])
    assert [(each.address, each.fault) for each in found] == [
        (str(good), Fault.NONE),
        (str(bad), Fault.REFUSED),
    ]
    assert node.connections == []


def caused(number: int) -> Exception:
    error = Closed("quic says so")
    error.__cause__ = OSError(number, os.strerror(number))
    return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENETUNREACH, ""), Fault.NO_ROUTE),
        (OSError(errno.EHOSTUNREACH, ""), Fault.SILENT),
        (caused(errno.ECONNREFUSED), Fault.REFUSED),
        (RelayRefused("", wire_code=Status.RESERVATION_REFUSED), Fault.RELAY_FULL),
        (RelayRefused("", wire_code=Status.RESOURCE_LIMIT_EXCEEDED), Fault.CIRCUITS_FULL),
        (RelayRefused("", wire_code=12345), Fault.OTHER),
        (Malformed("Reservation.expire", None, "has passed"), Fault.EXPIRED),
        (Malformed("Reservation.voucher", None, "is missing"), Fault.OTHER),
        (PeerError("", protocol="tls", wire_code=45), Fault.EXPIRED),
        (CertificateRefused("", protocol="tls", wire_code=45), Fault.EXPIRED),
        (PeerError("", protocol="quic-v1", wire_code=0x12D), Fault.EXPIRED),
        (PeerError("", protocol="/noise", wire_code=45), Fault.OTHER),
        (TurnedAway("closed before it said anything"), Fault.OTHER),
        (TimeoutError(), Fault.SILENT),
        (None, Fault.OTHER),
    ],
    ids=lambda each: each.name if isinstance(each, Fault) else type(each).__name__,
)
def test_errors_by_themselves(error: Exception | None, fault: Fault) -> None:
    assert fault_of(error)[0] is fault


def test_what_kept_a_relay_from_being_reached_is_told_where_it_is_this_end_s_or_another_s() -> None:
    wrong = WrongPeer("dialled one", found="12D3KooWFound")
    limited = LimitError("node", "connections", 1, "network.max_connections")
    for error, expected in (
        (wrong, (Fault.WRONG_PEER, "12D3KooWFound")),
        (limited, (Fault.OWN_LIMIT, "network.max_connections")),
        (TimeoutError(), (Fault.RELAY_UNREACHED, "")),
    ):
        inner = DialError("cannot connect:", [DialFailure("/ip4/11.1.1.2/tcp/4001", "connect", "", error)])
        assert fault_of(inner) == expected
