"""Connections whose own end is at an address that is gone: those of TCP end, QUIC finds another way itself."""

from __future__ import annotations

from mesh.errors import Closed
from tests.network.live import QUIC, TCP, Nodes


async def test_tcp_at_an_address_that_is_gone_ends_and_quic_stays(nodes: Nodes) -> None:
    _, client, over_tcp = await nodes.pair(TCP)
    _, other, over_quic = await nodes.pair(QUIC)
    for node in (client, other):
        assert node.swarm.drop_stranded({"127.0.0.1", "::1"}) == []
    assert client.swarm.drop_stranded({"192.168.1.11"}) == [over_tcp]
    assert other.swarm.drop_stranded({"192.168.1.11"}) == []
    await over_tcp.ended()
    assert isinstance(over_tcp.close_reason, Closed)
    assert client.counters["connection.stranded"] == 1
    assert over_quic.usable


async def test_a_change_that_leaves_the_address_ends_nothing(nodes: Nodes) -> None:
    """Whatever changed, this machine has the address still."""
    _, client, connection = await nodes.pair(TCP)
    for tell in client.discovery.watch.observers:
        tell()
    assert connection.usable
