"""AutoNAT with go-libp2p over loopback, where go dials nobody: its refusals, their codes, and when it asks a price."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh.codecs.autonat import (
    DialBack,
    DialRequest,
    DialResponse,
    DialResponseV1,
    DialV1,
    MessageV1,
    MessageV2,
    PeerV1,
    ResponseStatus,
    StatusV1,
    TypeV1,
)
from mesh.errors import StreamReset
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.protocols.autonat.confidence import Reachability
from mesh.services.autonat.v1_client import ask_v1 as ask_for_verdict
from mesh.services.autonat.v1_server import PROTOCOL_ID
from mesh.services.autonat.v2_client import V2Client
from mesh.services.autonat.v2_server import DIAL_BACK_ID, DIAL_REQUEST_ID
from mesh.telemetry.counters import Counters
from tests.interop.peers import GoPeer, meet
from tests.network.live import PATIENCE_S, Nodes
from tests.services.autonat.network import answer, ask_v1, dial_v1, request, response, start

pytestmark = pytest.mark.interop

FAR = "/ip4/11.0.0.1/tcp/4001"
"""Somebody's real address: named, never dialled."""


@pytest.fixture
async def served(nodes: Nodes) -> AsyncIterator[GoPeer]:
    async with GoPeer("--autonat") as peer:
        yield peer


async def test_go_serves_both_versions(nodes: Nodes, served: GoPeer) -> None:
    connection = await meet(await nodes.start(), served)
    assert {PROTOCOL_ID, DIAL_REQUEST_ID, DIAL_BACK_ID} <= set(connection.remote_protocols or ())


@pytest.mark.parametrize("version", [1, 2])
async def test_our_client_understands_a_refusal(nodes: Nodes, served: GoPeer, version: int) -> None:
    node = await nodes.start()
    connection = await meet(node, served)
    if version == 1:
        found = await ask_for_verdict(connection, node.peer_id, node.listening)
        assert found is Reachability.UNKNOWN
    else:
        assert await V2Client(Counters()).ask(connection, node.listening) is None


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (MessageV1(TypeV1.DIAL), StatusV1.E_BAD_REQUEST),
        (MessageV1(TypeV1.DIAL, DialV1(PeerV1(b"\x00\x01a"))), StatusV1.E_BAD_REQUEST),
        (None, StatusV1.E_DIAL_REFUSED),
    ],
    ids=["no peer", "another peer", "loopback"],
)
async def test_our_server_answers_as_go_does_in_version_1(
    nodes: Nodes, served: GoPeer, message: MessageV1 | None, status: StatusV1
) -> None:
    ours = await start(nodes, serve=True, private_addresses=False)
    client = await start(nodes)
    connection = await meet(client, served)
    asked = message or dial_v1(client, str(client.listening[0]))
    assert (await ask_v1(client, ours, asked)).status == status
    assert await _by_go(connection, asked) == status


async def _by_go(connection: Connection, asked: MessageV1) -> int | None:
    async with asyncio.timeout(PATIENCE_S), await connection.open([PROTOCOL_ID]) as stream:
        await stream.write_message(asked.encode())
        told = MessageV1.decode(await stream.read_message(4096)).dial_response
        assert isinstance(told, DialResponseV1)
        return told.status


@pytest.mark.parametrize("addresses", [[], ["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"]])
async def test_our_server_answers_as_go_does_in_version_2(
    nodes: Nodes, served: GoPeer, addresses: list[str]
) -> None:
    ours = await start(nodes, serve=True, private_addresses=False)
    client = await start(nodes)
    await meet(client, served)
    encoded = [Multiaddr.parse(each).to_bytes() for each in addresses]
    stream = await client.open(served.peer_id, DIAL_REQUEST_ID)
    await stream.write_message(MessageV2(dial_request=DialRequest(encoded, 1)).encode())
    by_go = await response(stream)
    by_us = await response(await request(client, ours, *addresses))
    assert by_go == by_us == DialResponse(ResponseStatus.E_DIAL_REFUSED)


async def test_both_ask_a_price_for_another_host(nodes: Nodes, served: GoPeer) -> None:
    """The price is not paid, so nobody is dialled."""
    ours = await start(nodes, serve=True, private_addresses=False)
    client = await start(nodes)
    await meet(client, served)
    stream = await client.open(served.peer_id, DIAL_REQUEST_ID)
    far = [Multiaddr.parse(each).to_bytes() for each in ("/ip4/10.0.0.1/tcp/1", FAR)]
    await stream.write_message(MessageV2(dial_request=DialRequest(far, 1)).encode())
    for each in (stream, await request(client, ours, "/ip4/10.0.0.1/tcp/1", FAR)):
        price = (await answer(each)).dial_data_request
        assert price is not None
        assert price.addr_idx == 1
        assert 30_000 <= price.num_bytes <= 100_000
        each.reset()


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        (PROTOCOL_ID, MessageV1(TypeV1.DIAL_RESPONSE, dial_response=DialResponseV1(0)).encode()),
        (PROTOCOL_ID, bytes(5000)),
        (DIAL_REQUEST_ID, MessageV2(dial_response=DialResponse(200)).encode()),
        (DIAL_REQUEST_ID, bytes(9000)),
        (DIAL_BACK_ID, DialBack(7).encode()),
    ],
    ids=["v1 response", "v1 too long", "v2 response", "v2 too long", "unknown nonce"],
)
async def test_go_resets_what_we_reset(nodes: Nodes, served: GoPeer, protocol: str, data: bytes) -> None:
    client = await start(nodes)
    await meet(client, served)
    stream = await client.open(served.peer_id, protocol)
    await stream.write_message(data)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(PATIENCE_S):
            await stream.read_message(4096)
