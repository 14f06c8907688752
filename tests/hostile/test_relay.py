"""Attacks on a relay, and by one."""

from __future__ import annotations

import asyncio
import os

import pytest

from mesh.codecs.relay import HopMessage, HopType, Peer, Status
from mesh.errors import Closed, DialError, MeshError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.circuit import hop
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.relay import HOP_PROTOCOL, STOP_PROTOCOL, Limit, answer_hop, ask_connect
from mesh.protocols.relay.requests import RESERVE
from tests.hostile.conftest import Target
from tests.network.live import PATIENCE_S, Nodes, eventually
from tests.services.relay.network import server_of

RELAY = pytest.mark.parametrize("target", [{"relay_serve": True}], indirect=True)
NOBODY = PeerId.from_public_key(PrivateKey.generate().public)


async def attacker(target: Target) -> tuple[Node, Connection]:
    node = await target.nodes.start("")
    return node, await node.connect(target.node.listen_addrs[0])


async def status_of(connection: Connection, message: bytes) -> int | None:
    """What the relay answers; None when it resets the stream."""
    try:
        async with asyncio.timeout(PATIENCE_S), await connection.open([HOP_PROTOCOL]) as stream:
            await stream.write_message(message)
            return HopMessage.decode(await stream.read_message(HopMessage.MAX_BYTES)).status
    except MeshError:
        return None


@RELAY
async def test_garbage_is_answered_and_counted(target: Target) -> None:
    _, connection = await attacker(target)
    found = [await status_of(connection, b"\xff" + os.urandom(40)) for _ in range(100)]
    assert set(found) == {Status.MALFORMED_MESSAGE}
    assert target.node.counters["relay.refused:malformed"] == 100
    await connection.close()


@RELAY
async def test_circuits_to_nobody_cost_nothing(target: Target) -> None:
    _, connection = await attacker(target)
    strangers = [PeerId.from_public_key(PrivateKey.generate().public) for _ in range(50)]
    own = [connection.peer, target.bystander.peer_id, NOBODY]
    for peer in [*strangers, *own]:
        assert await status_of(connection, ask_connect(peer)) == Status.NO_RESERVATION
    books = server_of(target.node).reservations
    assert (len(books), books.circuits, target.node.counters["relay.circuit:opened"]) == (0, 0, 0)
    await connection.close()


@RELAY
async def test_one_address_gets_its_share_of_reservations(target: Target) -> None:
    found = []
    peers = [await attacker(target) for _ in range(10)]
    for _, connection in peers:
        found.append(await status_of(connection, RESERVE))
    assert found == [Status.OK] * 8 + [Status.RESERVATION_REFUSED] * 2
    for node, _ in peers:
        await node.stop()
    await eventually(lambda: not len(server_of(target.node).reservations), "the end of all reservations")


@RELAY
async def test_circuits_that_never_come_about_are_few_and_go_with_their_source(target: Target) -> None:
    silent, to_silent = await attacker(target)

    async def say_nothing(stream: Stream) -> None:
        while await stream.read():
            pass

    silent.handle(STOP_PROTOCOL, say_nothing)
    assert await status_of(to_silent, RESERVE) == Status.OK
    source, connection = await attacker(target)
    streams = [await connection.open([HOP_PROTOCOL]) for _ in range(16)]
    for stream in streams:
        await stream.write_message(ask_connect(silent.peer_id))
    books = server_of(target.node).reservations
    await eventually(lambda: books.circuits == 16, "all that one peer may have")
    assert await status_of(connection, ask_connect(silent.peer_id)) == Status.RESOURCE_LIMIT_EXCEEDED
    other, to_other = await attacker(target)
    assert await status_of(to_other, ask_connect(silent.peer_id)) == Status.RESOURCE_LIMIT_EXCEEDED
    await source.stop()
    await eventually(lambda: books.circuits == 0, "the end of all circuits")
    await other.stop()
    await silent.stop()


@RELAY
async def test_streams_that_say_nothing_end_with_their_connection(target: Target) -> None:
    node, connection = await attacker(target)
    for _ in range(50):
        stream = await connection.open([HOP_PROTOCOL])
        await stream.write(b"\x10")
    await node.stop()
    await eventually(lambda: not target.node.swarm.is_connected(node.peer_id), "the end")


async def endless(stream: Stream) -> None:
    """A relay that joins the circuit to a fountain of noise."""
    await stream.read_message(4096)
    await stream.write_message(answer_hop(Status.OK, limit=Limit(1, 1)))
    while True:
        await stream.write(os.urandom(4096))


async def answering(stream: Stream, answer: bytes) -> None:
    await stream.read_message(4096)
    await stream.write(answer)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"\x02\x08\x00", "where an answer was due"),
        (b"\x02\xff\xff", "HopMessage"),
        (b"\xff\xff\x03", "at most 4096"),
        (b"", "ended the stream"),
        (b"\x02\x08\x02", "UNUSED"),
        (b"\x05\x08\x02\x28\xe7\x07", "status 999"),
    ],
    ids=["request", "garbage", "oversize", "nothing", "no status", "new status"],
)
async def test_a_relay_that_answers_nonsense_is_told_apart(nodes: Nodes, answer: bytes, cause: str) -> None:
    relay, source = await nodes.start(), await nodes.start("")
    relay.handle(HOP_PROTOCOL, lambda stream: answering(stream, answer))
    with pytest.raises(DialError, match=cause):
        await source.connect(f"{relay.listen_addrs[0]}/p2p-circuit/p2p/{NOBODY}")
    assert source.swarm.memory.used_bytes == 0


async def test_noise_in_place_of_a_peer_fails_the_upgrade(nodes: Nodes) -> None:
    relay, source = await nodes.start(), await nodes.start("")
    relay.handle(HOP_PROTOCOL, endless)
    with pytest.raises(DialError, match="negotiation"):
        await source.connect(f"{relay.listen_addrs[0]}/p2p-circuit/p2p/{NOBODY}")
    await eventually(lambda: not source.swarm._upgrading, "the end of the attempt")
    assert [each.peer for each in source.connections] == [relay.peer_id]
    await eventually(lambda: source.swarm.memory.used_bytes == 0, "the release")


async def test_a_relay_cannot_be_the_peer_behind_it(nodes: Nodes) -> None:
    """It upgrades the circuit itself, with its own key."""
    relay, source = await nodes.start(), await nodes.start("")

    async def impersonate(stream: Stream) -> None:
        await stream.read_message(4096)
        await stream.write_message(answer_hop(Status.OK))
        inner = relay.swarm._accept()
        await relay.swarm.circuits.carry(stream, inner, None).ended

    relay.handle(HOP_PROTOCOL, impersonate)
    with pytest.raises(DialError, match="noise"):
        await source.connect(f"{relay.listen_addrs[0]}/p2p-circuit/p2p/{NOBODY}")
    assert not source.swarm.is_connected(NOBODY)


async def test_a_dial_that_is_given_up_leaves_nothing(nodes: Nodes) -> None:
    relay, source = await nodes.start(), await nodes.start("")
    asked, ended = asyncio.Event(), asyncio.Event()

    async def wait(stream: Stream) -> None:
        asked.set()
        try:
            while await stream.read():
                pass
        finally:
            ended.set()

    relay.handle(HOP_PROTOCOL, wait)
    dialling = asyncio.create_task(
        source.swarm.dial(NOBODY, [(relay.listen_addrs[0] / "/p2p-circuit").without_peer()])
    )
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        dialling.cancel()
        await asyncio.wait([dialling])
        await ended.wait()
    connection = source.swarm.connection_to(relay.peer_id)
    assert connection is not None
    await eventually(lambda: connection.stream_count == 0, "the end of the stream")
    assert not source.swarm._upgrading


@RELAY
async def test_a_request_for_a_peer_with_a_monstrous_name_is_malformed(target: Target) -> None:
    _, connection = await attacker(target)
    monstrous = HopMessage(type=HopType.CONNECT, peer=Peer(id=b"\x00\xff\x1e" + bytes(3839))).encode()
    assert await status_of(connection, monstrous) == Status.MALFORMED_MESSAGE
    await connection.close()


async def test_the_circuit_protocol_needs_a_relay(nodes: Nodes) -> None:
    plain, source = await nodes.start(), await nodes.start("")
    connection = await source.connect(plain.listen_addrs[0])
    with pytest.raises(MeshError):
        await hop.reserve(connection, source.peer_id)
    assert not isinstance(connection.close_reason, Closed)
