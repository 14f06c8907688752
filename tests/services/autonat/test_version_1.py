"""Version 1 between live nodes: the catalogue's cases, and the client."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.autonat import DialResponseV1, DialV1, MessageV1, PeerV1, StatusV1, TypeV1
from mesh.errors import MeshError, PeerError, StreamReset
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.protocols.autonat.confidence import Reachability
from mesh.services.autonat.v1_client import ask_v1 as ask
from mesh.services.autonat.v1_server import PROTOCOL_ID
from tests.network.live import PATIENCE_S, QUIC, TCP, Nodes, eventually
from tests.services.autonat.network import NOBODY, ask_v1, dial_v1, make, server, start


@pytest.mark.parametrize("listen", [TCP, QUIC])
async def test_a_node_that_listens_is_reached(nodes: Nodes, listen: str) -> None:
    """autonat/1.1"""
    at, client = await server(nodes), await start(nodes, listen)
    [own] = client.listening
    found = await ask_v1(client, at, dial_v1(client, str(own)))
    assert found.status == StatusV1.OK
    assert found.addr == own.to_bytes()
    assert at.counters["autonat.v1_answered:ok"] == 1
    await eventually(lambda: len(client.connections) == 1, "the dial-back to end")


async def test_the_dial_back_is_a_stranger_to_the_client(nodes: Nodes) -> None:
    at, client = await server(nodes), await start(nodes)
    seen: list[PeerId] = []
    client.swarm.observers.connected.append(lambda connection: seen.append(connection.peer))
    await ask_v1(client, at, dial_v1(client, str(client.listening[0])))
    await eventually(lambda: len(seen) == 2, "the dial-back")
    assert seen[0] == at.peer_id != seen[1]


async def test_a_failure_is_told_when_the_time_for_the_dial_is_over(nodes: Nodes) -> None:
    at, client = await server(nodes), await start(nodes, "")
    begun = asyncio.get_running_loop().time()
    found = await ask_v1(client, at, dial_v1(client, NOBODY))
    assert found.status == StatusV1.E_DIAL_ERROR
    assert asyncio.get_running_loop().time() - begun >= at.reachability.v1.dial_s


async def test_another_host_than_the_asker_is_never_dialled(nodes: Nodes) -> None:
    """autonat/1.2: the named host gives way to the observed one."""
    at, client = await server(nodes), await start(nodes)
    victim = await start(nodes, "/ip4/127.0.0.2/tcp/0")
    found = await ask_v1(client, at, dial_v1(client, str(victim.listening[0])))
    assert found.status == StatusV1.E_DIAL_ERROR
    assert not victim.connections
    assert victim.counters.total("upgrade.failed") == 0


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (MessageV1(TypeV1.DIAL), StatusV1.E_BAD_REQUEST),
        (MessageV1(TypeV1.DIAL, DialV1()), StatusV1.E_BAD_REQUEST),
        (MessageV1(TypeV1.DIAL, DialV1(PeerV1(b"\x00\x01a"))), StatusV1.E_BAD_REQUEST),
    ],
    ids=["no dial", "no peer", "another peer"],
)
async def test_bad_requests(nodes: Nodes, message: MessageV1, status: StatusV1) -> None:
    """autonat/1.3, 1.4"""
    at, client = await server(nodes), await start(nodes, "")
    assert (await ask_v1(client, at, message)).status == status


async def test_private_askers_are_refused(nodes: Nodes) -> None:
    """autonat/1.5"""
    at, client = await server(nodes, private_addresses=False), await start(nodes)
    found = await ask_v1(client, at, dial_v1(client, "/ip4/11.0.0.1/tcp/4001"))
    assert found.status == StatusV1.E_DIAL_REFUSED
    assert at.counters["autonat.v1_answered:e_dial_refused"] == 1


@pytest.mark.parametrize(
    "data",
    [
        MessageV1(TypeV1.DIAL_RESPONSE, dial_response=DialResponseV1(StatusV1.OK)).encode(),
        b"\x12\xff",
        bytes(5000),
    ],
    ids=["a response", "garbage", "too long"],
)
async def test_what_is_no_request_is_reset(nodes: Nodes, data: bytes) -> None:
    """autonat/1.7, 1.8"""
    at, client = await server(nodes), await start(nodes, "")
    stream = await client.open(at.listen_addrs[0], PROTOCOL_ID)
    await stream.write_message(data)
    with pytest.raises(StreamReset):
        async with asyncio.timeout(PATIENCE_S):
            await stream.read_message(4096)


async def test_the_fourth_request_of_a_peer_is_refused(nodes: Nodes) -> None:
    """autonat/1.9"""
    at, client = await server(nodes), await start(nodes)
    own = str(client.listening[0])
    found = [(await ask_v1(client, at, dial_v1(client, own))).status for _ in range(4)]
    assert found == [StatusV1.OK] * 3 + [StatusV1.E_DIAL_REFUSED]


async def test_a_rule_of_the_node_holds_for_dial_backs(nodes: Nodes) -> None:
    at, client = await server(nodes), await start(nodes)
    await client.connect(at.listen_addrs[0])
    at.swarm.gater.deny("127.0.0.1")
    found = await ask_v1(client, at, dial_v1(client, str(client.listening[0])))
    assert found.status == StatusV1.E_DIAL_REFUSED


async def test_what_the_client_makes_of_answers(nodes: Nodes) -> None:
    told: list[bytes] = []

    async def serve(stream: Stream) -> None:
        await stream.read_message(4096)
        await stream.write_message(told.pop())

    at, client = make(nodes), await start(nodes, "")
    at.handle(PROTOCOL_ID, serve)
    nodes.push_async_callback(at.stop)
    await at.start()
    connection = await client.connect(at.listen_addrs[0])

    async def made_of(message: MessageV1) -> Reachability:
        told.append(message.encode())
        return await ask(connection, client.peer_id, [Multiaddr.parse(NOBODY)])

    def status(number: int) -> MessageV1:
        return MessageV1(TypeV1.DIAL_RESPONSE, dial_response=DialResponseV1(number))

    assert await made_of(status(StatusV1.OK)) is Reachability.PUBLIC
    assert await made_of(status(StatusV1.E_DIAL_ERROR)) is Reachability.PRIVATE
    for number in (StatusV1.E_DIAL_REFUSED, StatusV1.E_INTERNAL_ERROR, 999):
        assert await made_of(status(number)) is Reachability.UNKNOWN
    for wrong in (dial_v1(client), MessageV1(TypeV1.DIAL_RESPONSE)):
        with pytest.raises(PeerError):
            await made_of(wrong)
    with pytest.raises(MeshError):
        await ask(await client.connect((await start(nodes)).listen_addrs[0]), client.peer_id, [])
