"""Peer exchange between live nodes."""

from __future__ import annotations

import asyncio

import pytest

from mesh.codecs.pex import MAX_RECORDS, Answer, Request, Status
from mesh.errors import MeshError, PeerError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.pex import ASK_AT_ONCE, PROTOCOL_ID
from mesh.services.pex import PeerExchange, network_of
from tests.network.live import PATIENCE_S, TCP, Nodes, connected, eventually, identified

NOWHERE = Multiaddr.parse("/ip4/127.0.0.1/tcp/1")


def exchange_of(node: Node) -> PeerExchange:
    assert node.discovery.exchange is not None
    return node.discovery.exchange


def forged(count: int, addresses: tuple[Multiaddr, ...] = (NOWHERE,)) -> list[bytes]:
    """Records of peers that exist nowhere, but signed well."""
    keys = [PrivateKey.generate() for _ in range(count)]
    return [PeerRecord(PeerId.from_public_key(key.public), 1, addresses).seal(key) for key in keys]


async def asked(node: Node, other: Node, request: Request) -> Answer:
    async with asyncio.timeout(PATIENCE_S), await node.open(other.listen_addrs[0], PROTOCOL_ID) as stream:
        await stream.write_message(request.encode())
        return Answer.decode(await stream.read_message(2**20))


async def test_newcomers_meet_those_whom_their_first_peer_met(nodes: Nodes) -> None:
    hub = await nodes.start(TCP, pex=True)
    members = [await nodes.start(TCP, pex=True) for _ in range(4)]
    for each in members:
        before = hub.counters["pex.answered"]
        await each.connect(hub.listen_addrs[0])
        await eventually(lambda before=before: hub.counters["pex.answered"] > before, "its question")  # type: ignore[misc]
    for one in members:
        for other in members:
            if one is not other:
                await connected(one, other)
    late = members[-1]
    assert late.addresses.record_of(members[0].peer_id) is not None
    assert hub.counters["pex.answered"] >= 4


async def test_who_does_not_share_is_not_passed_on(nodes: Nodes) -> None:
    hub = await nodes.start(TCP, pex=True)
    shy = await nodes.start(TCP, pex=True, share=False)
    await shy.connect(hub.listen_addrs[0])
    await eventually(lambda: hub.counters["pex.answered"], "its question")
    other = await nodes.start(TCP)
    answer = await asked(other, hub, Request())
    assert (answer.status, answer.records) == (Status.OK, [])


async def test_off_is_not_spoken(nodes: Nodes) -> None:
    quiet, other = await nodes.start(TCP), await nodes.start(TCP, pex=True)
    connection = await other.connect(quiet.listen_addrs[0])
    await identified(connection)
    assert quiet.discovery.exchange is None
    assert PROTOCOL_ID not in quiet.protocols
    with pytest.raises(MeshError):
        await exchange_of(other).ask(connection)


async def test_agreement_is_withdrawn_by_asking_without_a_record(nodes: Nodes) -> None:
    hub, guest, other = [await nodes.start(TCP, pex=each == 0) for each in range(3)]
    record = PeerRecord(guest.peer_id, 1, (NOWHERE,)).seal(guest.key)
    await asked(guest, hub, Request(record=record))
    assert (await asked(other, hub, Request())).records == [record]
    await asked(guest, hub, Request())
    assert (await asked(other, hub, Request())).records == []


async def test_asking_too_often(nodes: Nodes) -> None:
    hub, guest = await nodes.start(TCP, pex=True), await nodes.start(TCP)
    answers = [await asked(guest, hub, Request()) for _ in range(5)]
    refused = len(answers) - int(ASK_AT_ONCE)
    assert [each.status for each in answers] == [Status.OK] * int(ASK_AT_ONCE) + [Status.TOO_SOON] * refused
    assert answers[-1].retry_after_s == 30
    assert hub.counters["pex.refused"] == refused


@pytest.mark.parametrize("what", ["another's record", "no record", "nonsense", "too long"])
async def test_who_breaks_the_protocol_is_reset(nodes: Nodes, what: str) -> None:
    hub, guest = await nodes.start(TCP, pex=True), await nodes.start(TCP)
    data = {
        "another's record": Request(record=forged(1)[0]).encode(),
        "no record": Request(record=b"what").encode(),
        "nonsense": b"\xff\xff\xff\xff",
        "too long": bytes(10_000),
    }[what]
    stream = await guest.open(hub.listen_addrs[0], PROTOCOL_ID)
    await stream.write_message(data)
    with pytest.raises(MeshError):
        async with asyncio.timeout(PATIENCE_S):
            await stream.read_exactly(1)
    stream.reset()
    assert len(exchange_of(hub).acquaintances) == 0


async def lying(nodes: Nodes, answer: bytes) -> Node:
    liar = await nodes.start(TCP)

    async def serve(stream: Stream) -> None:
        await stream.read_message(2**20)
        await stream.write_message(answer)

    liar.handle(PROTOCOL_ID, serve)
    return liar


async def test_lies_cost_a_few_failed_dials(nodes: Nodes) -> None:
    records = [*forged(MAX_RECORDS - 2), b"nonsense", forged(1)[0][:-1] + b"\xff"]
    liar = await lying(nodes, Answer(records=records).encode())
    node = await nodes.start(TCP, pex=True)
    await node.connect(liar.listen_addrs[0])
    await eventually(lambda: node.counters["discovery.unreachable"] == MAX_RECORDS - 2, "the failed dials")
    assert node.counters["pex.forged"] == 2
    assert [each.peer for each in node.connections] == [liar.peer_id]


async def test_nobody_is_asked_when_enough_are_connected(nodes: Nodes) -> None:
    hub, node = await nodes.start(TCP, pex=True), await nodes.start(TCP, pex=True, low=1)
    connection = await node.connect(hub.listen_addrs[0])
    await identified(connection)
    exchange = exchange_of(node)
    await eventually(lambda: not exchange._fresh, "it was thought about")
    assert node.counters["pex.asked"] == 0
    assert await exchange.ask(connection) == []


async def test_refusals_are_told(nodes: Nodes) -> None:
    refusing = await lying(nodes, Answer(status=Status.TOO_SOON, retry_after_s=7).encode())
    node = await nodes.start(TCP, pex=True)
    connection = await node.connect(refusing.listen_addrs[0])
    with pytest.raises(PeerError, match="no peers now for 7 s") as refusal:
        await exchange_of(node).ask(connection)
    assert refusal.value.wire_code == Status.TOO_SOON


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("/ip4/127.0.0.1/tcp/1", ""),
        ("/ip6/::1/tcp/1", ""),
        ("/memory/1", ""),
        ("/ip4/192.0.2.77/tcp/1", "192.0.2.0/24"),
        ("/ip6/2001:db8:1:2::3/udp/1/quic-v1", "2001:db8:1::/48"),
    ],
)
def test_networks(address: str, network: str) -> None:
    assert network_of(Multiaddr.parse(address)) == network
