"""UEPS packets over TCP and inside the mesh."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mesh.apps.lethean.packets import TYPE, Enclosed, Handlers, MeshPackets, PacketListener, PacketSender
from mesh.errors import UsageError
from mesh.protocols.lethean.dispatcher import Dispatcher
from mesh.protocols.lethean.ueps import Packet, build_packet
from tests.apps.lethean.live import node, own
from tests.network.live import eventually
from tests.vectors import load

SECRET = b"test-shared-secret-32-bytes!!!!!"
COMPUTE = 0x20


class Inbox:
    """Keeps what was dispatched."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.handlers: Handlers = Dispatcher()
        self.handlers.register(COMPUTE, self.take)

    async def take(self, packet: Packet) -> None:
        self.packets.append(packet)


@contextlib.asynccontextmanager
async def listening(
    inbox: Inbox, secret: bytes = SECRET, idle_s: float = 10
) -> AsyncIterator[PacketListener]:
    listener = PacketListener(secret, inbox.handlers, idle_s=idle_s)
    await listener.start("127.0.0.1", 0)
    yield listener
    await listener.close()


async def test_packets_follow_each_other_over_tcp() -> None:
    inbox = Inbox()
    async with listening(inbox) as listener, PacketSender("127.0.0.1", listener.port, SECRET) as sender:
        for size in (0, 5, 65_535, 1):
            await sender.send(COMPUTE, b"x" * size)
        await sender.send(COMPUTE, b"too threatening", threat_score=50_001)
        await sender.send(0x30, b"nobody's")
        await sender.send(COMPUTE, b"last", threat_score=50_000)
        await eventually(lambda: inbox.packets and inbox.packets[-1].payload == b"last", "the last one")
    assert [len(each.payload) for each in inbox.packets] == [0, 5, 65_535, 1, 4]
    assert listener.counters["lethean.ueps:dispatched"] == 5
    assert listener.counters["lethean.ueps:dropped"] == 2


async def test_recorded_packets_arrive_cut_anywhere() -> None:
    built = [case for case in load("ueps", "lethean")["build"] if case.get("packet_hex")]
    inbox = Inbox()
    case = built[0]
    async with listening(inbox, bytes.fromhex(case["secret_hex"])) as listener:
        _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        for byte in bytes.fromhex(case["packet_hex"]):
            writer.write(bytes([byte]))
            await writer.drain()
        await eventually(lambda: inbox.packets, "the packet")
        writer.close()
        await writer.wait_closed()
    assert inbox.packets[0].payload == bytes.fromhex(case["payload_hex"])


RECORDED = [
    case
    for case in load("ueps", "lethean")["read"]
    if case["packet_hex"] and "EOF" not in str(case["read"]) and case["read"].get("error") is not None
]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
async def test_what_go_refuses_or_dies_of_ends_its_connection_alone(case: dict[str, str]) -> None:
    inbox = Inbox()
    secret = bytes.fromhex(case["secret_hex"])
    async with (
        listening(inbox, secret) as listener,
        PacketSender("127.0.0.1", listener.port, secret) as friend,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(bytes.fromhex(case["packet_hex"]))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await friend.send(COMPUTE, b"still served")
        await eventually(lambda: inbox.packets, "the friend's packet")
    assert listener.counters["lethean.ueps:refused"] == 1


async def test_a_silent_connection_ends() -> None:
    inbox = Inbox()
    async with listening(inbox, idle_s=0.1) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(build_packet(SECRET, COMPUTE)[:-1])
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_packets_inside_the_mesh() -> None:
    inbox = Inbox()
    async with node(own(1)) as ours, node(own(2), listen="off") as theirs:
        MeshPackets(ours, inbox.handlers)
        sending = MeshPackets(theirs, Dispatcher())
        link = await theirs.connect(ours.listen_address)
        await sending.send(link, COMPUTE, b"inside")
        await link.say(TYPE, Enclosed(packet=build_packet(SECRET, COMPUTE, b"another secret")))
        await link.say(TYPE, Enclosed(packet=b"\xff"))
        await sending.send(link, COMPUTE, b"last")
        await eventually(lambda: inbox.packets and inbox.packets[-1].payload == b"last", "the last one")
        assert [each.payload for each in inbox.packets] == [b"inside", b"last"]
        assert ours.counters["lethean.ueps:refused"] == 2
        with pytest.raises(UsageError):
            ours.extend("ping", lambda link, message: sending.send(link, 0))
