"""Ten thousand pings back to back, none lost, whoever sends them and whoever dialled."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import StreamReset
from mesh.protocols.yamux import ResetCode
from mesh.services import ping
from tests.interop.peers import DIRECTIONS, GoPeer, meet
from tests.network.live import Nodes, exchange

pytestmark = pytest.mark.interop

COUNT = 10_000
PAYLOAD = bytes(range(32))


@DIRECTIONS
async def test_our_pings_are_all_answered(nodes: Nodes, go: GoPeer, we_dial: bool) -> None:
    node = await nodes.start()
    connection = await meet(node, go, we_dial=we_dial)
    trips = [each async for each in node.ping(connection, count=COUNT, interval_s=0)]
    assert len(trips) == COUNT
    assert None not in trips


@DIRECTIONS
async def test_pings_from_go_are_all_answered(nodes: Nodes, go: GoPeer, we_dial: bool) -> None:
    node = await nodes.start()
    connection = await meet(node, go, we_dial=we_dial)
    answer = await go.call("ping", peer=str(node.peer_id), count=COUNT)
    assert (answer["count"], answer["lost"], answer["streams"]) == (COUNT, 0, 1)
    assert not connection.closed


async def test_third_ping_stream_is_refused_by_go_with_a_code(nodes: Nodes, go: GoPeer) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    accepted = [await node.open(connection, ping.PROTOCOL_ID) for _ in range(2)]
    for stream in accepted:
        assert await exchange(stream, PAYLOAD) == PAYLOAD
    refused = await node.open(connection, ping.PROTOCOL_ID)
    with pytest.raises(StreamReset) as refusal:
        await exchange(refused, PAYLOAD)
    assert refusal.value.wire_code == ResetCode.RESOURCE_LIMIT
    for stream in accepted:
        await stream.close()


@pytest.mark.long
async def test_streams_that_go_ends_after_half_a_minute_are_replaced_without_a_loss(
    nodes: Nodes, go: GoPeer
) -> None:
    node = await nodes.start()
    connection = await meet(node, go)
    loop = asyncio.get_running_loop()
    started = loop.time()
    async for round_trip in node.ping(connection, interval_s=0):
        assert round_trip is not None
        if loop.time() - started > 35:
            break
    assert not connection.closed
