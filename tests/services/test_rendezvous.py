"""Rendezvous between live nodes: registering, discovering, and what a point refuses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh.codecs.rendezvous import (
    Discover,
    DiscoverResponse,
    Message,
    MessageType,
    Register,
    RegisterResponse,
    Status,
)
from mesh.errors import MeshError, ProtocolNotSupported, StorageError, TimedOut, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.rendezvous import LEAST_TTL_S, PROTOCOL_ID, Refusal, make_cookie
from mesh.services.rendezvous import client
from mesh.services.rendezvous.point import REQUESTS_AT_ONCE
from tests.network.live import PATIENCE_S, TCP, Nodes, eventually

HERE = Multiaddr.parse("/ip4/192.0.2.1/tcp/4001")


def record_of(node: Node) -> bytes:
    return PeerRecord(node.peer_id, 1, (HERE,)).seal(node.key)


def register(record: bytes | None, namespace: str | None = "x", ttl_s: int | None = None) -> Message:
    asked = Register(namespace=namespace, signed_peer_record=record, ttl_s=ttl_s)
    return Message(type=MessageType.REGISTER, register=asked)


async def asked(node: Node, point: Node, *requests: Message) -> list[Message]:
    """The answers to requests on one stream."""
    async with (
        asyncio.timeout(PATIENCE_S),
        await node.open(point.listen_addrs[0], PROTOCOL_ID) as stream,
    ):
        answers = []
        for each in requests:
            await stream.write_message(each.encode())
            if each.type != MessageType.UNREGISTER:
                answers.append(Message.decode(await stream.read_message(2**20)))
        return answers


def status_of(answer: Message) -> int | None:
    told = answer.register_response or answer.discover_response
    assert told is not None
    return told.status


async def test_peers_find_each_other_at_a_point(nodes: Nodes) -> None:
    point = await nodes.start(TCP, serve_rendezvous=True)
    here = point.listen_addrs[0]
    alice, bob = await nodes.start(TCP), await nodes.start(TCP)
    assert await alice.rendezvous.register(here, "chess") == LEAST_TTL_S
    assert await bob.rendezvous.register(point.peer_id if bob.connections else here, "chess", 9000) == 9000
    found = await alice.rendezvous.discover(here, "chess")
    assert [each.peer for each in found.peers] == [alice.peer_id, bob.peer_id]
    assert found.peers[1].namespace == "chess"
    assert 8990 <= found.peers[1].ttl_s <= 9000
    assert found.peers[1].addresses == tuple(bob.own_addresses)
    connection = await alice.connect(bob.peer_id)
    assert connection.peer == bob.peer_id

    assert (await bob.rendezvous.discover(here, "chess", cookie=found.cookie)).peers == ()
    carol = await nodes.start(TCP)
    await carol.rendezvous.register(here, "chess")
    news = await bob.rendezvous.discover(here, "chess", cookie=found.cookie)
    assert [each.peer for each in news.peers] == [carol.peer_id]

    first = await bob.rendezvous.discover(here, "chess", limit=2)
    rest = await bob.rendezvous.discover(here, "chess", limit=2, cookie=first.cookie)
    assert [each.peer for each in (*first.peers, *rest.peers)] == [
        alice.peer_id,
        bob.peer_id,
        carol.peer_id,
    ]
    await alice.rendezvous.unregister(here, "chess")
    assert point.discovery.point is not None
    store = point.discovery.point.store
    await eventually(lambda: len(store) == 2, "the end of the registration")
    everywhere = await alice.rendezvous.discover(here)
    assert {each.peer for each in everywhere.peers} == {bob.peer_id, carol.peer_id}
    assert (await alice.rendezvous.discover(here, "go")).peers == ()


async def test_registrations_outlive_the_point(nodes: Nodes, tmp_path: Path) -> None:
    point = await nodes.start(TCP, serve_rendezvous=True, path=tmp_path)
    alice = await nodes.start(TCP)
    await alice.rendezvous.register(point.listen_addrs[0], "chess")
    await point.stop()
    await eventually(lambda: not alice.connections, "the end of the connection")
    again = await nodes.start(TCP, serve_rendezvous=True, path=tmp_path)
    found = await alice.rendezvous.discover(again.listen_addrs[0], "chess")
    assert [each.peer for each in found.peers] == [alice.peer_id]


async def test_who_is_no_point(nodes: Nodes) -> None:
    nobody, alice = await nodes.start(TCP), await nodes.start(TCP)
    for attempt in (
        alice.rendezvous.register(nobody.listen_addrs[0], "x"),
        alice.rendezvous.discover(nobody.listen_addrs[0], "x"),
        alice.rendezvous.unregister(nobody.listen_addrs[0], "x"),
    ):
        with pytest.raises(ProtocolNotSupported):
            await attempt


async def test_what_can_never_work_is_not_asked(nodes: Nodes) -> None:
    alice = await nodes.start(TCP)
    nowhere = "/ip4/127.0.0.1/tcp/1"
    for attempt in (
        alice.rendezvous.register(nowhere, ""),
        alice.rendezvous.register(nowhere, "x", 60),
        alice.rendezvous.discover(nowhere, "x" * 256),
        alice.rendezvous.discover(nowhere, "x", limit=1001),
        alice.rendezvous.discover(nowhere, "x", limit=0),
    ):
        with pytest.raises(UsageError):
            await attempt


async def test_refusals_have_their_codes(nodes: Nodes) -> None:
    point, alice = await nodes.start(TCP, serve_rendezvous=True), await nodes.start(TCP)
    good, stranger = record_of(alice), record_of(point)
    cookie = Discover(namespace="x", cookie=make_cookie(10**9, "x"))
    answers = await asked(
        alice,
        point,
        register(good, None),
        register(good, "x" * 256),
        register(None),
        register(good[:-1] + b"\xff"),
        register(good, ttl_s=LEAST_TTL_S - 1),
        register(good, ttl_s=2**60),
        register(stranger),
        Message(type=MessageType.DISCOVER, discover=cookie),
        Message(type=MessageType.DISCOVER, discover=Discover(namespace="x" * 300)),
        register(good),
        Message(type=MessageType.DISCOVER),
    )
    codes = [status_of(each) for each in answers]
    assert codes == [100, 100, 101, 101, 102, 102, 200, 103, 100, 0, 0]
    assert answers[0].register_response is not None
    assert answers[0].register_response.status_text == "no namespace is given"
    assert point.discovery.point is not None
    assert len(point.discovery.point.store) == 1
    assert point.counters["rendezvous.refused:invalid_ttl"] == 2


async def test_a_disk_that_is_full_is_told(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    point, alice = await nodes.start(TCP, serve_rendezvous=True), await nodes.start(TCP)
    assert point.discovery.point is not None
    store = point.discovery.point.store

    async def full(*_: object) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(store, "add", full)
    with pytest.raises(Refusal, match="INTERNAL_ERROR") as refusal:
        await alice.rendezvous.register(point.listen_addrs[0], "x")
    assert refusal.value.wire_code == 300
    assert point.counters["rendezvous.refused:internal_error"] == 1


async def test_floods_are_refused_and_push_nobody_out(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.services.rendezvous.point.REQUESTS_AT_ONCE", 50.0)
    monkeypatch.setattr("mesh.services.rendezvous.point.REQUESTS_PER_S", 1e-6)
    point = await nodes.start(TCP, serve_rendezvous=True, entries=8, peer_entries=5)
    bob = await nodes.start(TCP)
    await bob.rendezvous.register(point.listen_addrs[0], "room")
    assert point.discovery.point is not None
    store = point.discovery.point.store
    codes = []
    for _ in range(2):
        mallory = await nodes.start(TCP)
        requests = [register(record_of(mallory), f"room{number}") for number in range(10)]
        codes += [status_of(each) for each in await asked(mallory, point, *requests)]
    assert codes == [0] * 5 + [200] * 5 + [0] * 2 + [400] * 3 + [400] * 5
    assert len(store) == 8
    discover = Message(type=MessageType.DISCOVER, discover=Discover(namespace="room"))
    answers = await asked(mallory, point, *[discover] * 80)
    assert [status_of(each) for each in answers[-5:]] == [Status.UNAVAILABLE] * 5
    found = await bob.rendezvous.discover(point.listen_addrs[0], "room")
    assert [each.peer for each in found.peers] == [bob.peer_id]
    assert REQUESTS_AT_ONCE == 100


@pytest.mark.parametrize(
    "data",
    [
        Message(type=MessageType.REGISTER_RESPONSE, register_response=RegisterResponse()).encode(),
        Message(type=MessageType.REGISTER).encode(),
        Message(type=MessageType.UNREGISTER).encode(),
        Message().encode(),
        b"\xff\xff\xff",
        bytes(20_000),
    ],
)
async def test_who_breaks_the_protocol_is_reset(nodes: Nodes, data: bytes) -> None:
    point, mallory = await nodes.start(TCP, serve_rendezvous=True), await nodes.start(TCP)
    stream = await mallory.open(point.listen_addrs[0], PROTOCOL_ID)
    await stream.write_message(data)
    with pytest.raises(MeshError):
        async with asyncio.timeout(PATIENCE_S):
            await stream.read_exactly(1)
    stream.reset()
    await mallory.rendezvous.register(point.listen_addrs[0], "x")


async def lying(nodes: Nodes, *answers: Message) -> Node:
    """A node that answers whatever it is asked with these."""
    liar = await nodes.start(TCP)

    async def serve(stream: Stream) -> None:
        await stream.read_message(2**20)
        for each in answers:
            await stream.write_message(each.encode())

    liar.handle(PROTOCOL_ID, serve)
    return liar


async def test_a_point_that_lies_is_not_believed(nodes: Nodes) -> None:
    key = PrivateKey.generate()
    good = PeerRecord(PeerId.from_public_key(key.public), 1, (HERE,)).seal(key)
    told = [
        Register(namespace="x", signed_peer_record=good[:-1] + b"\xff"),
        Register(namespace="other", signed_peer_record=good),
        Register(namespace="x"),
        Register(namespace="x", signed_peer_record=good, ttl_s=5),
    ]
    answer = DiscoverResponse(registrations=told, status=Status.OK)
    liar = await lying(nodes, Message(type=MessageType.DISCOVER_RESPONSE, discover_response=answer))
    alice = await nodes.start(TCP)
    found = await alice.rendezvous.discover(liar.listen_addrs[0], "x")
    assert [(each.addresses, each.ttl_s) for each in found.peers] == [((HERE,), 5)]
    assert alice.addresses.record_of(found.peers[0].peer) == (good, 1)
    with pytest.raises(MeshError, match="not one to REGISTER"):
        await alice.rendezvous.register(liar.listen_addrs[0], "x")


async def test_a_refusal_and_a_silent_point(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = RegisterResponse(status=Status.UNAVAILABLE, status_text="full")
    full = await lying(nodes, Message(type=MessageType.REGISTER_RESPONSE, register_response=refusal))
    alice = await nodes.start(TCP)
    with pytest.raises(Refusal, match="UNAVAILABLE: full") as refused:
        await alice.rendezvous.register(full.listen_addrs[0], "x")
    assert (refused.value.code, refused.value.wire_code) == ("rendezvous-refused", 400)
    silent = await nodes.start(TCP)

    async def wait(stream: Stream) -> None:
        await stream.read_all(2**20)

    silent.handle(PROTOCOL_ID, wait)
    monkeypatch.setattr(client, "EXCHANGE_S", 0.2)
    with pytest.raises(TimedOut):
        await alice.rendezvous.discover(silent.listen_addrs[0], "x")
