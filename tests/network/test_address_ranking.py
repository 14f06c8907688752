"""The order in which addresses are tried, and the pauses between them."""

from __future__ import annotations

import pytest

from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.address_ranking import rank

QUIC4 = "/ip4/1.2.3.4/udp/4001/quic-v1"
QUIC4_HIGH = "/ip4/1.2.3.4/udp/9001/quic-v1"
QUIC6 = "/ip6/2600::1/udp/4001/quic-v1"
TCP4 = "/ip4/1.2.3.4/tcp/4001"
TCP4_HIGH = "/ip4/1.2.3.4/tcp/9001"
TCP6 = "/ip6/2600::1/tcp/4001"
NEAR_QUIC = "/ip4/192.168.1.2/udp/4001/quic-v1"
NEAR_TCP = "/ip4/192.168.1.2/tcp/4001"
RELAYED = "/ip4/5.6.7.8/tcp/4001/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit"


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([TCP4, QUIC4], [(0, QUIC4), (250, TCP4)]),
        ([TCP4, QUIC4, QUIC6], [(0, QUIC6), (250, QUIC4), (500, TCP4)]),
        ([QUIC4_HIGH, QUIC4], [(0, QUIC4), (250, QUIC4_HIGH)]),
        ([QUIC4_HIGH, QUIC4, QUIC6], [(0, QUIC6), (250, QUIC4), (500, QUIC4_HIGH)]),
        ([TCP4, TCP6, TCP4_HIGH], [(0, TCP6), (250, TCP4), (500, TCP4_HIGH)]),
        (
            [QUIC4, TCP4, TCP6, TCP4_HIGH],
            [(0, QUIC4), (250, TCP6), (500, TCP4), (750, TCP4_HIGH)],
        ),
        ([NEAR_TCP, NEAR_QUIC], [(0, NEAR_QUIC), (30, NEAR_TCP)]),
        ([NEAR_TCP, QUIC4], [(0, NEAR_TCP), (0, QUIC4)]),
        ([RELAYED, QUIC4, TCP4], [(0, QUIC4), (250, TCP4), (500, RELAYED)]),
        ([RELAYED], [(0, RELAYED)]),
        ([RELAYED, NEAR_TCP], [(0, NEAR_TCP), (0, RELAYED)]),
        ([TCP4, TCP4], [(0, TCP4)]),
        ([], []),
    ],
)
def test_order_and_delay(addresses: list[str], expected: list[tuple[int, str]]) -> None:
    ranked = rank(Multiaddr.parse(each) for each in addresses)
    assert [(round(delay * 1000), str(address)) for delay, address in ranked] == sorted(
        expected, key=lambda each: each[0]
    )
