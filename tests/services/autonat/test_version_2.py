"""Version 2 between live nodes: the catalogue's cases, the client, and servers and strangers that lie."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.autonat import (
    DialBack,
    DialDataRequest,
    DialDataResponse,
    DialRequest,
    DialResponse,
    DialStatus,
    MessageV2,
    ResponseStatus,
)
from mesh.errors import MeshError, PeerError, StreamReset
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.services.autonat.v2_client import Found
from mesh.services.autonat.v2_server import DIAL_BACK_ID, DIAL_REQUEST_ID
from tests.network.live import PATIENCE_S, QUIC, TCP, Nodes, eventually
from tests.services.autonat.network import NOBODY, answer, make, request, response, server, start

OK = ResponseStatus.OK
ELSEWHERE = "/ip4/127.0.0.2/tcp/0"


async def client_of(nodes: Nodes, *listen: str) -> Node:
    return await start(nodes, *listen, ask=True)


async def ask(client: Node, at: Node, *addresses: Multiaddr | str) -> Found | None:
    """What the client's own half makes of a server. The loop that asks by itself is not needed for it."""
    connection = await client.connect(at.listen_addrs[0])
    named = [each if isinstance(each, Multiaddr) else Multiaddr.parse(each) for each in addresses]
    async with asyncio.timeout(PATIENCE_S):
        return await client.reachability.client.ask(connection, named)


@pytest.mark.both_loops
@pytest.mark.parametrize("listen", [TCP, QUIC])
async def test_an_address_is_reached_and_the_nonce_proves_it(nodes: Nodes, listen: str) -> None:
    """autonat/2.1"""
    at, client = await server(nodes), await client_of(nodes, listen)
    [own] = client.listening
    assert await ask(client, at, own) == Found(own, reached=True)
    assert client.counters["autonat.dial_back:taken"] >= 1
    assert at.counters["autonat.v2_priced"] == 0


async def test_an_address_where_nobody_listens_is_not_reached(nodes: Nodes) -> None:
    at, client = await server(nodes), await client_of(nodes)
    assert await ask(client, at, NOBODY) == Found(Multiaddr.parse(NOBODY), reached=False)


async def test_another_host_is_dialled_for_its_price(nodes: Nodes) -> None:
    """autonat/2.2"""
    at, client = await server(nodes), await client_of(nodes, TCP, ELSEWHERE)
    far = client.listening[1]
    assert await ask(client, at, far) == Found(far, reached=True)
    assert at.counters["autonat.v2_priced"] == client.counters["autonat.v2_paid"] == 1


async def test_the_price_is_in_bounds_and_nobody_is_dialled_before_it_is_paid(nodes: Nodes) -> None:
    """autonat/2.3: no amplification; whoever does not pay gets no dial."""
    at, client, victim = await server(nodes), await start(nodes), await start(nodes, ELSEWHERE)
    stream = await request(client, at, str(victim.listening[0]))
    price = (await answer(stream)).dial_data_request
    assert price is not None
    assert price.addr_idx == 0
    assert 30_000 <= price.num_bytes <= 100_000
    paid = 0
    while paid + 4096 < price.num_bytes:
        await stream.write_message(MessageV2(dial_data_response=DialDataResponse(bytes(4096))).encode())
        paid += 4096
    stream.reset()
    await eventually(lambda: not at.reachability.v2._limits.running, "the end of the request")
    assert not victim.connections
    assert victim.counters.total("connection.") == victim.counters.total("upgrade.failed") == 0


@pytest.mark.parametrize("size", [0, 1, 99, 4097])
async def test_pieces_of_odd_sizes_are_reset(nodes: Nodes, size: int) -> None:
    """autonat/2.4"""
    at, client, victim = await server(nodes), await start(nodes), await start(nodes, ELSEWHERE)
    stream = await request(client, at, str(victim.listening[0]))
    assert (await answer(stream)).dial_data_request is not None
    await stream.write_message(MessageV2(dial_data_response=DialDataResponse(bytes(size))).encode())
    with pytest.raises(StreamReset):
        await answer(stream)
    assert not victim.connections


@pytest.mark.parametrize("addresses", [[], ["/ip4/10.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/1"]])
async def test_nothing_public_is_refused(nodes: Nodes, addresses: list[str]) -> None:
    """autonat/2.5, 2.6"""
    at, client = await server(nodes, private_addresses=False), await start(nodes)
    stream = await request(client, at, *addresses)
    assert await response(stream) == DialResponse(ResponseStatus.E_DIAL_REFUSED)


async def test_the_first_that_will_do_is_dialled(nodes: Nodes) -> None:
    """autonat/2.7"""
    at, client = await server(nodes), await client_of(nodes)
    [own] = client.listening
    found = await response(await request(client, at, "/dns4/localhost/tcp/1", str(own), NOBODY))
    assert (found.status, found.addr_idx) == (OK, 1)


@pytest.mark.parametrize(
    "data",
    [
        MessageV2().encode(),
        MessageV2(dial_response=DialResponse(200)).encode(),
        MessageV2(DialRequest([], 1), DialResponse(200)).encode(),
        b"\x0a\xff",
        bytes(9000),
    ],
    ids=["nothing", "a response", "two at once", "garbage", "too long"],
)
async def test_another_message_is_reset(nodes: Nodes, data: bytes) -> None:
    """autonat/2.8"""
    at, client = await server(nodes), await start(nodes)
    stream = await client.open(at.listen_addrs[0], DIAL_REQUEST_ID)
    await stream.write_message(data)
    with pytest.raises(StreamReset):
        await answer(stream)


async def test_a_flood_is_rejected(nodes: Nodes) -> None:
    """autonat/2.9: 12 a minute and peer, 2 at a time."""
    at, client = await server(nodes), await start(nodes)
    found = [(await response(await request(client, at, NOBODY))).status for _ in range(20)]
    assert found == [OK] * 12 + [ResponseStatus.E_REQUEST_REJECTED] * 8


async def test_only_two_of_a_peer_run_at_once(nodes: Nodes) -> None:
    at, client, victim = await server(nodes), await start(nodes), await start(nodes, ELSEWHERE)
    held = [await request(client, at, str(victim.listening[0])) for _ in range(2)]
    for each in held:
        assert (await answer(each)).dial_data_request is not None
    third = await request(client, at, str(victim.listening[0]))
    assert (await response(third)).status == ResponseStatus.E_REQUEST_REJECTED


async def test_nonces_that_nobody_asked_for_are_thrown_away(nodes: Nodes) -> None:
    """autonat/2.10"""
    client, stranger = await client_of(nodes), await start(nodes)
    client.reachability.client._nonces.issue(5, [Multiaddr.parse("/ip4/127.0.0.1/udp/1/quic-v1")])
    for nonce in (0, 5, 2**64 - 1):
        stream = await stranger.open(client.listen_addrs[0], DIAL_BACK_ID)
        await stream.write_message(DialBack(nonce).encode())
        with pytest.raises(StreamReset):
            async with asyncio.timeout(PATIENCE_S):
                await stream.read_message(1024)
    assert client.counters["autonat.dial_back:unknown nonce"] == 3
    assert client.counters["autonat.dial_back:taken"] == 0


async def test_a_client_that_does_not_answer_the_nonce_is_reported_all_the_same(nodes: Nodes) -> None:
    """autonat/2.11"""
    at, client = await server(nodes), await start(nodes)
    at.reachability.v2.dial_back_s = 0.2
    asked = asyncio.Event()

    async def hold(_stream: Stream) -> None:
        asked.set()
        await asyncio.Event().wait()

    client.handle(DIAL_BACK_ID, hold)
    found = await response(await request(client, at, str(client.listening[0])))
    assert found == DialResponse(OK, 0, DialStatus.OK)
    assert asked.is_set()


async def test_a_client_without_the_protocol_is_a_dial_back_error(nodes: Nodes) -> None:
    at, client = await server(nodes), await start(nodes)
    found = await response(await request(client, at, str(client.listening[0])))
    assert found == DialResponse(OK, 0, DialStatus.E_DIAL_BACK_ERROR)


# -- servers that lie ----------------------------------------------------------------------------------------------


async def liar(nodes: Nodes, *messages: MessageV2) -> Node:
    """A server that answers so and dials nobody."""

    async def serve(stream: Stream) -> None:
        await stream.read_message(8192)
        for each in messages:
            await stream.write_message(each.encode())
        await stream.read_all(200_000)

    at = make(nodes)
    at.handle(DIAL_REQUEST_ID, serve)
    nodes.push_async_callback(at.stop)
    await at.start()
    return at


async def test_a_success_without_a_nonce_proves_nothing(nodes: Nodes) -> None:
    at, client = (
        await liar(nodes, MessageV2(dial_response=DialResponse(OK, 0, DialStatus.OK))),
        await client_of(nodes),
    )
    [own] = client.listening
    assert await ask(client, at, own) == Found(own, reached=None)
    assert client.counters["autonat.v2_unproved"] == 1


@pytest.mark.parametrize(
    "message",
    [
        MessageV2(dial_response=DialResponse(OK, 5, DialStatus.E_DIAL_ERROR)),
        MessageV2(dial_data_request=DialDataRequest(0, 100_001)),
        MessageV2(dial_data_request=DialDataRequest(9, 30_000)),
        MessageV2(),
    ],
    ids=["an address that was not named", "too high a price", "a price for nothing", "nothing"],
)
async def test_answers_that_are_none(nodes: Nodes, message: MessageV2) -> None:
    at, client = await liar(nodes, message), await client_of(nodes)
    with pytest.raises(PeerError):
        await ask(client, at, client.listening[0])


async def test_refusals_and_peers_without_the_protocol(nodes: Nodes) -> None:
    refusing = await liar(nodes, MessageV2(dial_response=DialResponse(ResponseStatus.E_DIAL_REFUSED)))
    client, plain = await client_of(nodes), await start(nodes)
    assert await ask(client, refusing, client.listening[0]) is None
    with pytest.raises(MeshError):
        await ask(client, plain, client.listening[0])
    assert len(client.reachability.client._nonces) == 0
