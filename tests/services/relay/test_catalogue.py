"""The conformance catalogue's suite `relay`, 24 cases, against our own nodes over TCP; one test bears each number."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from mesh.codecs.relay import HopMessage, HopType, Peer, Status, StopMessage, StopType
from mesh.errors import MeshError, StreamReset
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit import hop
from mesh.network.circuit.stream_pipe import StreamPipe
from mesh.network.circuit.transport import CircuitTransport
from mesh.network.stream import Stream
from mesh.node import Node
from mesh.protocols.machine import Role
from mesh.protocols.relay import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    Limit,
    answer_stop,
    ask_stop,
    check_voucher,
    read_stop_status,
)
from mesh.protocols.relay.requests import RESERVE
from mesh.services.relay import server as serving
from tests.network.live import PATIENCE_S, Nodes, connected, eventually
from tests.services.relay.network import (
    client_of,
    dial_through,
    reached_through,
    relay_node,
    server_of,
)

NOBODY = PeerId.from_public_key(PrivateKey.generate().public)


class Bench:
    """A relay, and a harness that speaks hop to it by hand."""

    def __init__(self, nodes: Nodes, relay: Node, harness: Node) -> None:
        self.nodes = nodes
        self.relay = relay
        self.harness = harness

    async def line(self, of: Node | None = None) -> Stream:
        return await (of or self.harness).open(self.relay.peer_id, HOP_PROTOCOL)

    async def ask(self, message: bytes, of: Node | None = None) -> HopMessage:
        return await self.send(varint.encode(len(message)) + message, of)

    async def send(self, data: bytes, of: Node | None = None) -> HopMessage:
        """The answer to these bytes; the relay ends its side behind it."""
        async with asyncio.timeout(PATIENCE_S), await self.line(of) as stream:
            await stream.write(data)
            answer = HopMessage.decode(await stream.read_message(HopMessage.MAX_BYTES))
            assert answer.type is HopType.STATUS
            assert await stream.read() == b""
        return answer

    async def target(self, answer: bytes | None) -> Node:
        """Another harness with a reservation, that answers the relay's stop stream with these bytes (None: echoes the
        circuit)."""
        target = await self.nodes.start("")
        await target.connect(self.relay.listen_addrs[0])

        async def stop(stream: Stream) -> None:
            await stream.read_message(StopMessage.MAX_BYTES)
            await stream.write(answer if answer is not None else framed(answer_stop(Status.OK)))
            while chunk := await stream.read_chunk():
                await stream.write(chunk)

        target.handle(STOP_PROTOCOL, stop)
        assert (await self.ask(RESERVE, target)).status == 100
        return target


def framed(message: bytes) -> bytes:
    return varint.encode(len(message)) + message


def connect(target: PeerId) -> bytes:
    return HopMessage(type=HopType.CONNECT, peer=Peer(id=target.to_bytes())).encode()


@pytest.fixture
async def bench(nodes: Nodes) -> AsyncIterator[Bench]:
    relay = await relay_node(nodes)
    harness = await nodes.start("")
    await harness.connect(relay.listen_addrs[0])
    bench = Bench(nodes, relay, harness)
    yield bench
    assert (await bench.ask(RESERVE)).status == 100, "the relay serves no more"
    await eventually(lambda: not server_of(relay).reservations.circuits, "the end of all circuits")


# --- relay/1 Hop ----------------------------------------------------------------------------------------------------


async def test_1_1_to_1_5_a_reservation(bench: Bench) -> None:
    answer = await bench.ask(RESERVE)
    assert answer.status == 100
    assert answer.limit is not None
    assert (answer.limit.duration, answer.limit.data) == (120, 131072)
    reservation = answer.reservation
    assert reservation is not None
    assert reservation.expire is not None
    assert 3590 < reservation.expire - time.time() <= 3600
    assert reservation.voucher is not None
    check_voucher(reservation.voucher, bench.relay.peer_id, bench.harness.peer_id, reservation.expire)
    addresses = [Multiaddr.from_bytes(each) for each in reservation.addrs]
    assert addresses == bench.relay.listen_addrs
    assert (await bench.ask(RESERVE)).status == 100
    assert bench.relay.counters["relay.reservation:opened"] == 1
    assert bench.relay.counters["relay.reservation:renewed"] == 1


async def test_1_6_a_circuit_to_who_reserved_nothing(bench: Bench) -> None:
    assert (await bench.ask(connect(NOBODY))).status == 204
    assert (await bench.ask(connect(bench.relay.peer_id))).status == 204
    await bench.ask(RESERVE)
    assert (await bench.ask(connect(bench.harness.peer_id))).status == 204


@pytest.mark.parametrize(
    "message",
    [
        HopMessage(type=HopType.CONNECT).encode(),
        HopMessage(type=HopType.CONNECT, peer=Peer(id=b"\x12\x20short")).encode(),
        HopMessage(type=HopType.STATUS, status=Status.OK).encode(),
        b"",
        b"\xff" * 20,
    ],
    ids=["1.7 no peer", "1.8 bad peer", "1.9 status", "1.10 no type", "1.11 garbage"],
)
async def test_1_7_to_1_11_malformed_requests(bench: Bench, message: bytes) -> None:
    assert (await bench.ask(message)).status == 400
    assert bench.relay.counters.total("relay.refused") == 1


async def test_1_12_a_message_that_is_too_long(bench: Bench) -> None:
    assert (await bench.send(varint.encode(4097))).status == 400
    longest = HopMessage(type=HopType.RESERVE, peer=Peer(id=bytes(4096 - 8))).encode()
    assert len(longest) == 4096
    assert (await bench.ask(longest)).status == 100


async def test_1_13_silence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "REQUEST_S", 0.05)
    async with asyncio.timeout(PATIENCE_S):
        stream = await bench.line()
        answer = HopMessage.decode(await stream.read_message(HopMessage.MAX_BYTES))
        assert answer.status == 400
        assert await stream.read() == b""
        await stream.close()


async def test_1_14_a_reservation_over_a_circuit(bench: Bench) -> None:
    inner = await bench.nodes.start("", relays=(str(bench.relay.listen_addrs[0]),), relay_serve=True)
    await eventually(lambda: client_of(inner).held, "the reservation")
    connection = await dial_through(bench.harness, inner)
    async with await connection.open([HOP_PROTOCOL], allow_limited=True) as stream:
        await stream.write_message(RESERVE)
        answer = HopMessage.decode(await stream.read_message(HopMessage.MAX_BYTES))
    assert answer.status == 202
    await connection.close()


async def test_1_15_a_circuit_between_two_harness_peers(bench: Bench) -> None:
    target = await bench.target(None)
    connection = bench.harness.swarm.connection_to(bench.relay.peer_id)
    assert connection is not None
    async with asyncio.timeout(PATIENCE_S):
        stream, limit = await hop.connect(connection, target.peer_id)
        assert limit == Limit(120, 131072)
        await stream.write(b"there and back")
        assert await stream.read_exactly(14) == b"there and back"
        await stream.close_write()
        assert await stream.read() == b""
        await stream.close()
    await eventually(lambda: bench.relay.counters["relay.ended:closed"] == 1, "the end")


async def test_1_16_more_bytes_than_the_limit(bench: Bench) -> None:
    target = await bench.target(None)
    connection = bench.harness.swarm.connection_to(bench.relay.peer_id)
    assert connection is not None
    async with asyncio.timeout(PATIENCE_S):
        stream, _ = await hop.connect(connection, target.peer_id)
        await stream.write(bytes(131072 + 1000))
        assert len(await stream.read_all(131072)) == 131072
    await eventually(lambda: not server_of(bench.relay).reservations.circuits, "the end of the circuit")
    assert server_of(bench.relay).transferred_bytes == 2 * 131072
    await stream.close()


async def test_1_17_longer_than_the_limit(nodes: Nodes) -> None:
    relay = await relay_node(nodes, circuit_s=1.0)
    harness = await nodes.start("")
    await harness.connect(relay.listen_addrs[0])
    bench = Bench(nodes, relay, harness)
    target = await bench.target(None)
    stream, _ = await hop.connect(await connected(harness, relay), target.peer_id)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StreamReset):
            await stream.read()
    await eventually(lambda: not server_of(relay).reservations.circuits, "the end of the circuit")


@pytest.mark.parametrize(
    "answer",
    [
        framed(answer_stop(Status.CONNECTION_FAILED)),
        framed(ask_stop(NOBODY, Limit(0, 0))),
        framed(b"\xff\xff"),
        varint.encode(5000),
        b"",
    ],
    ids=["203", "request", "garbage", "oversize", "nothing"],
)
async def test_1_18_a_target_that_refuses_or_talks_nonsense(
    bench: Bench, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HANDSHAKE_S", 0.5)
    target = await bench.target(answer)
    assert (await bench.ask(connect(target.peer_id))).status == 203
    assert bench.relay.counters["relay.connect:unreachable"] == 1


async def test_1_18_a_target_that_is_gone_or_serves_no_stop(bench: Bench) -> None:
    target = await bench.nodes.start("")
    await target.connect(bench.relay.listen_addrs[0])
    assert (await bench.ask(RESERVE, target)).status == 100
    assert (await bench.ask(connect(target.peer_id))).status == 203
    await target.stop()
    await eventually(lambda: not bench.relay.swarm.is_connected(target.peer_id), "the end")
    assert (await bench.ask(connect(target.peer_id))).status == 204


async def test_1_19_a_source_that_goes_while_it_is_being_connected(bench: Bench) -> None:
    asked, target = asyncio.Event(), await bench.nodes.start("")
    ended = asyncio.Event()

    async def stop(stream: Stream) -> None:
        asked.set()
        try:
            while await stream.read():
                pass
        except MeshError:
            ended.set()
            raise

    target.handle(STOP_PROTOCOL, stop)
    await target.connect(bench.relay.listen_addrs[0])
    await bench.ask(RESERVE, target)
    source = await bench.nodes.start("")
    await source.connect(bench.relay.listen_addrs[0])
    stream = await bench.line(source)
    await stream.write_message(connect(target.peer_id))
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        await source.stop()
        await ended.wait()


# --- relay/2 Stop ---------------------------------------------------------------------------------------------------


async def stop_line(nodes: Nodes) -> tuple[Node, Stream]:
    """A node with a reservation, and a stop stream of its relay, led by hand."""
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    return target, await relay.open(target.peer_id, STOP_PROTOCOL)


async def test_2_1_a_circuit_is_announced(nodes: Nodes) -> None:
    _, stream = await stop_line(nodes)
    async with asyncio.timeout(PATIENCE_S):
        await stream.write_message(ask_stop(NOBODY, Limit(120, 1 << 17)))
        assert read_stop_status(await stream.read_message(StopMessage.MAX_BYTES)) == 100
        assert await stream.read_exactly(20) == b"\x13/multistream/1.0.0\n"
    stream.reset()


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (StopMessage(type=StopType.STATUS, status=Status.OK).encode(), 401),
        (StopMessage(type=StopType.CONNECT).encode(), 400),
        (b"\xff\xff", 400),
        (bytes(5000), 400),
    ],
    ids=["2.2 status", "2.3 no peer", "2.4 garbage", "oversize"],
)
async def test_2_2_to_2_4_what_is_no_announcement(nodes: Nodes, message: bytes, status: int) -> None:
    target, stream = await stop_line(nodes)
    async with asyncio.timeout(PATIENCE_S), stream:
        await stream.write_message(message)
        assert read_stop_status(await stream.read_message(StopMessage.MAX_BYTES)) == status
        assert await stream.read() == b""
    assert target.counters.total("circuit.refused") == 1


async def test_2_5_another_identity_than_the_one_announced(nodes: Nodes) -> None:
    """The relay says NOBODY is there; who then dials in is somebody else."""
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    liar = await nodes.start("")
    transport: CircuitTransport = liar.swarm.circuits
    stream = await relay.open(target.peer_id, STOP_PROTOCOL)
    await stream.write_message(ask_stop(NOBODY, Limit(0, 0)))
    assert read_stop_status(await stream.read_message(StopMessage.MAX_BYTES)) == 100
    inner = relay.swarm._make(Role.INITIATOR, target.peer_id)
    pipe: StreamPipe = transport.carry(stream, inner, None)
    async with asyncio.timeout(PATIENCE_S):
        await inner.ended()
    await eventually(pipe.ended.done, "the end of the circuit")
    assert target.swarm.connection_to(relay.peer_id) is not None
    assert all(each.relay is None for each in target.connections)
    assert target.counters.total("upgrade.failed") == 1


async def test_a_relay_that_holds_no_reservation_may_announce_nothing(nodes: Nodes) -> None:
    relay = await relay_node(nodes)
    target = await reached_through(nodes, relay)
    stranger = await nodes.start()
    await target.connect(stranger.listen_addrs[0])
    connection = await connected(stranger, target)
    async with asyncio.timeout(PATIENCE_S), await connection.open([STOP_PROTOCOL]) as stream:
        await stream.write_message(ask_stop(NOBODY, Limit(0, 0)))
        assert read_stop_status(await stream.read_message(StopMessage.MAX_BYTES)) == 202
    assert target.counters["circuit.refused:unreserved"] == 1
