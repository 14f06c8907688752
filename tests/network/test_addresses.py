"""What a multiaddr means to the transports, also when a peer made it as long as it may be."""

from __future__ import annotations

import socket

import pytest

from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import MAX_BYTES, Multiaddr
from mesh.network import addresses
from mesh.network.addresses import (
    QuicEndpoint,
    TcpEndpoint,
    quic_address,
    quic_endpoint,
    tcp_address,
    tcp_endpoint,
    udp_address,
)

PEER = PeerId.from_public_key(PrivateKey.from_seed(b"e" * 32).public)


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    """In place of the package's own check, which needs a loop: nothing here has one."""


@pytest.mark.parametrize(
    ("text", "host", "family"),
    [
        ("/ip4/192.0.2.1/tcp/4001", "192.0.2.1", socket.AF_INET),
        ("/ip6/2001:db8::1/tcp/4001", "2001:db8::1", socket.AF_INET6),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/4001", "fe80::1%eth0", socket.AF_INET6),
        ("/dns4/a.example/tcp/4001", "a.example", socket.AF_INET),
    ],
)
@pytest.mark.parametrize("suffix", ["", f"/p2p/{PEER}"], ids=["bare", "with peer"])
def test_endpoints(text: str, host: str, family: socket.AddressFamily, suffix: str) -> None:
    address = Multiaddr.parse(text + suffix)
    assert tcp_endpoint(address) == TcpEndpoint(host, 4001, family)
    assert tcp_endpoint(Multiaddr.from_bytes(address.to_bytes())) == TcpEndpoint(host, 4001, family)


@pytest.mark.parametrize(
    "text", ["/ip4/192.0.2.1/udp/1", "/ip4/192.0.2.1/tcp/1/ws", "/ip4/192.0.2.1", "/memory/1", "/tls"]
)
def test_other_addresses_have_none(text: str) -> None:
    assert tcp_endpoint(Multiaddr.parse(text)) is None


def test_a_long_address_is_not_remembered() -> None:
    circuit = Multiaddr.parse("/p2p-circuit").to_bytes()
    front = Multiaddr.parse("/ip4/192.0.2.1/tcp/1").to_bytes()
    before = addresses._tcp_endpoint.cache_info().currsize
    for number in range(3):
        long = front + circuit * ((MAX_BYTES - len(front)) // len(circuit) - number)
        assert tcp_endpoint(Multiaddr.from_bytes(long)) is None
    assert addresses._tcp_endpoint.cache_info().currsize == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (("127.0.0.1", 0), "/ip4/127.0.0.1/tcp/0"),
        (("192.0.2.1", 65535), "/ip4/192.0.2.1/tcp/65535"),
        (("::1", 4001, 0, 0), "/ip6/::1/tcp/4001"),
        (("fe80::1%eth0", 4001, 0, 2), "/ip6zone/eth0/ip6/fe80::1/tcp/4001"),
    ],
)
def test_a_sockets_name_is_read_like_text(
    name: tuple[str, int] | tuple[str, int, int, int], text: str
) -> None:
    address = tcp_address(name)
    assert address == Multiaddr.parse(text)
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "host", "family"),
    [
        ("/ip4/192.0.2.1/udp/4001/quic-v1", "192.0.2.1", socket.AF_INET),
        ("/ip6/2001:db8::1/udp/4001/quic-v1", "2001:db8::1", socket.AF_INET6),
        ("/ip6zone/eth0/ip6/fe80::1/udp/4001/quic-v1", "fe80::1%eth0", socket.AF_INET6),
        ("/dns/a.example/udp/4001/quic-v1", "a.example", socket.AF_UNSPEC),
        ("/dns6/a.example/udp/4001/quic-v1", "a.example", socket.AF_INET6),
    ],
)
@pytest.mark.parametrize("suffix", ["", f"/p2p/{PEER}"], ids=["bare", "with peer"])
def test_quic_endpoints(text: str, host: str, family: socket.AddressFamily, suffix: str) -> None:
    address = Multiaddr.parse(text + suffix)
    assert quic_endpoint(address) == QuicEndpoint(host, 4001, family)
    assert tcp_endpoint(address) is None


@pytest.mark.parametrize(
    "text",
    [
        "/ip4/192.0.2.1/udp/1",
        "/ip4/192.0.2.1/udp/1/quic",
        "/ip4/192.0.2.1/tcp/1",
        "/ip4/192.0.2.1/tcp/1/quic-v1",
        "/ip4/192.0.2.1/udp/1/quic-v1/webtransport",
        f"/ip4/192.0.2.1/udp/1/quic-v1/p2p/{PEER}/p2p-circuit",
        "/ip4/192.0.2.1",
        "/memory/1",
    ],
)
def test_what_is_no_quic_endpoint(text: str) -> None:
    assert quic_endpoint(Multiaddr.parse(text)) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (("127.0.0.1", 0), "/ip4/127.0.0.1/udp/0"),
        (("::1", 4001, 0, 0), "/ip6/::1/udp/4001"),
        (("fe80::1%eth0", 4001, 0, 2), "/ip6zone/eth0/ip6/fe80::1/udp/4001"),
        (("fe80::1", 4001, 0, 99_999), "/ip6zone/99999/ip6/fe80::1/udp/4001"),
    ],
)
def test_a_udp_sockets_name(name: tuple[str, int] | tuple[str, int, int, int], text: str) -> None:
    assert udp_address(name) == Multiaddr.parse(text)
    assert quic_address(name) == Multiaddr.parse(f"{text}/quic-v1")
    endpoint = quic_endpoint(quic_address(name))
    assert endpoint is not None
    assert endpoint.port == name[1]


def test_a_scope_is_named() -> None:
    index, name = socket.if_nameindex()[0]
    assert udp_address(("fe80::1", 1, 0, index)) == Multiaddr.parse(f"/ip6zone/{name}/ip6/fe80::1/udp/1")
