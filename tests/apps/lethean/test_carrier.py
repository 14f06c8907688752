"""One WebSocket: the upgrade as a Go node answers it, messages of every size, and what ends a connection."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh.apps.lethean.carrier import (
    CONTROL_FRAMES_AHEAD,
    FRAGMENT_BYTES,
    MAX_FRAGMENTS,
    MAX_MESSAGE_BYTES,
    Carrier,
    dial_carrier,
)
from mesh.errors import Closed, TimedOut
from tests.network.live import eventually
from tests.vectors import load

HTTP: list[Any] = load("http", "lethean")  # type: ignore[assignment]
UPGRADE = HTTP[0]["request"].encode()
KEY = b"\x01\x02\x03\x04"
PATIENCE_S = 10


class Server:
    """A listener that keeps what was opened."""

    def __init__(self) -> None:
        self.made: list[Carrier] = []
        self.opened: list[Carrier] = []
        self.full = False
        self.port = 0

    def accept(self) -> Carrier:
        self.made.append(Carrier.listening(lambda: self.full, self.opened.append))
        return self.made[-1]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listener = await asyncio.get_running_loop().create_server(made.accept, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    for carrier in made.made:
        carrier.abort("the test is over")
        await carrier.wait_ended(1.0)
    await listener.wait_closed()


class RawPeer:
    """Bytes of our own over TCP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connected(cls, port: int) -> RawPeer:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def upgraded(cls, port: int) -> RawPeer:
        peer = await cls.connected(port)
        peer.writer.write(UPGRADE)
        assert await peer.reader.readuntil(b"\r\n\r\n") == HTTP[0]["response"].encode()
        return peer

    def frame(self, opcode: int, payload: bytes, *, fin: bool = True) -> None:
        """A masked frame, as a client sends it."""
        size = len(payload)
        head = bytes([(0x80 if fin else 0) | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack("!BH", 0x80 | 126, size)
        else:
            head += struct.pack("!BQ", 0x80 | 127, size)
        masked = bytes(each ^ KEY[at % 4] for at, each in enumerate(payload[:8192]))
        if size > 8192:
            key = int.from_bytes(KEY * (size // 4 + 1), "big") >> (8 * (4 * (size // 4 + 1) - size))
            masked = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
        self.writer.write(head + KEY + masked)

    async def rest(self) -> bytes:
        """All that still comes until the end of TCP; a reset counts as one."""
        found = bytearray()
        try:
            async with asyncio.timeout(PATIENCE_S):
                while data := await self.reader.read(65536):
                    found += data
        except ConnectionError:
            pass
        return bytes(found)

    async def close(self) -> None:
        await closed(self.writer, asyncio.Event())


async def closed(writer: asyncio.StreamWriter, ended: asyncio.Event) -> None:
    """Close a writer of a server and tell when it is."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    ended.set()


def undated(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+", b"Date:", answer)


@pytest.mark.parametrize("case", HTTP, ids=lambda case: case["name"])
async def test_requests_are_answered_as_a_go_node_answers_them(server: Server, case: dict[str, str]) -> None:
    server.full = case["name"] == "connection limit reached"
    peer = await RawPeer.connected(server.port)
    peer.writer.write(case["request"].encode())
    expected = case["response"].encode()
    async with asyncio.timeout(PATIENCE_S):
        answer = await peer.reader.readexactly(len(expected))
    assert undated(answer) == undated(expected)
    if b" 101 " not in expected:
        assert await peer.rest() == b""
        assert server.opened == []
    await peer.close()


@pytest.mark.parametrize(
    "head", [b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b"GET /ws HTTP/2.0\r\n\r\n", b"x" * 20_000]
)
async def test_what_is_no_request_ends_its_connection(server: Server, head: bytes) -> None:
    peer = await RawPeer.connected(server.port)
    peer.writer.write(head)
    await peer.rest()
    assert server.opened == []
    await peer.close()


@pytest.mark.parametrize("size", [0, 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1, 6908, MAX_MESSAGE_BYTES])
async def test_messages_arrive_whole_both_ways(server: Server, size: int) -> None:
    ours = await dial_carrier("127.0.0.1", server.port, timeout_s=PATIENCE_S)
    await eventually(lambda: server.opened, "the listener's side")
    theirs = server.opened[0]
    message = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    async with asyncio.timeout(PATIENCE_S):
        (received, _) = await asyncio.gather(theirs.receive(), ours.send(message))
        assert received == message
        (received, _) = await asyncio.gather(ours.receive(), theirs.send(message))
    assert received == message
    ours.end()
    with pytest.raises(Closed):
        await theirs.receive()
    await ours.wait_ended(1.0)


async def test_a_dialler_splits_messages_as_go_does_and_a_listener_does_not() -> None:
    frames: asyncio.Queue[tuple[int, bool]] = asyncio.Queue()
    ended = asyncio.Event()

    async def judge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert b"User-Agent: Go-http-client/1.1\r\n" in request
        assert b"Origin" not in request
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
        assert key is not None
        from websockets.utils import accept_key

        accept = accept_key(key[1].decode()).encode()
        writer.write(HTTP[0]["response"].encode().replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept))
        while head := await reader.read(2):
            size = head[1] & 0x7F
            if size == 126:
                size = int.from_bytes(await reader.readexactly(2), "big")
            await reader.readexactly(4 + size)
            frames.put_nowait((size, bool(head[0] & 0x80)))
        await closed(writer, ended)

    listener = await asyncio.start_server(judge, "127.0.0.1", 0)
    carrier = await dial_carrier("127.0.0.1", listener.sockets[0].getsockname()[1], timeout_s=PATIENCE_S)
    await carrier.send(b"q" * 6908)
    assert [await frames.get(), await frames.get()] == [(4096, False), (2812, True)]
    carrier.end()
    await carrier.wait_ended(1.0)
    await ended.wait()
    listener.close()
    await listener.wait_closed()


async def test_fragments_with_a_ping_between_them(server: Server) -> None:
    peer = await RawPeer.upgraded(server.port)
    peer.frame(2, b"first ", fin=False)
    peer.frame(9, b"are you there")
    peer.frame(0, b"second")
    assert await peer.reader.readexactly(15) == b"\x8a\x0dare you there"
    async with asyncio.timeout(PATIENCE_S):
        assert await server.opened[0].receive() == b"first second"
    await peer.close()


async def test_a_message_at_the_limit_is_read_and_one_byte_more_is_1009(server: Server) -> None:
    peer = await RawPeer.upgraded(server.port)
    peer.frame(1, b"a" * MAX_MESSAGE_BYTES)
    async with asyncio.timeout(PATIENCE_S):
        assert len(await server.opened[0].receive()) == MAX_MESSAGE_BYTES
    peer.frame(1, b"a" * (MAX_MESSAGE_BYTES + 1))
    assert await peer.rest() in (b"\x88\x02\x03\xf1", b"")
    with pytest.raises(Closed, match="a message above 1048576 bytes"):
        await server.opened[0].receive()
    await peer.close()


async def test_the_limit_counts_all_fragments_together(server: Server) -> None:
    peer = await RawPeer.upgraded(server.port)
    half = b"a" * (MAX_MESSAGE_BYTES // 2)
    peer.frame(2, half, fin=False)
    peer.frame(0, half, fin=False)
    peer.frame(0, b"b")
    assert await peer.rest() in (b"\x88\x02\x03\xf1", b"")
    with pytest.raises(Closed, match="a message above"):
        await server.opened[0].receive()
    await peer.close()


async def test_a_fragment_bomb_ends_its_connection(server: Server) -> None:
    peer = await RawPeer.upgraded(server.port)
    peer.frame(2, b"", fin=False)
    for _ in range(MAX_FRAGMENTS):
        peer.frame(0, b"", fin=False)
    assert await peer.rest() == b""
    with pytest.raises(Closed, match="fragments"):
        await server.opened[0].receive()
    await peer.close()


async def test_a_flood_of_control_frames_ends_its_connection(server: Server) -> None:
    peer = await RawPeer.upgraded(server.port)
    for _ in range(CONTROL_FRAMES_AHEAD + 1):
        peer.frame(9, b"x")
    await peer.rest()
    with pytest.raises(Closed, match="control frames"):
        await server.opened[0].receive()
    await peer.close()


@pytest.mark.parametrize(
    ("opcode", "payload", "answer"),
    [
        (8, b"\x03\xe8", b"\x88\x02\x03\xe8"),
        (3, b"", b"\x88\x0e\x03\xeabad opcode 3"),
        (15, b"x", b"\x88\x0f\x03\xeabad opcode 15"),
    ],
    ids=["close 1000 comes back", "a reserved opcode", "another reserved opcode"],
)
async def test_closing(server: Server, opcode: int, payload: bytes, answer: bytes) -> None:
    peer = await RawPeer.upgraded(server.port)
    peer.frame(opcode, payload)
    assert await peer.rest() == answer
    with pytest.raises(Closed):
        await server.opened[0].receive()
    await peer.close()


async def test_an_end_of_ours_has_no_close_frame(server: Server) -> None:
    peer = await RawPeer.upgraded(server.port)
    await server.opened[0].send(b"bye")
    server.opened[0].end()
    assert await peer.rest() == b"\x82\x03bye"
    await peer.close()


async def test_a_full_queue_holds_the_peer_up(server: Server) -> None:
    ours = await dial_carrier("127.0.0.1", server.port, timeout_s=PATIENCE_S)
    await eventually(lambda: server.opened, "the listener's side")
    block = b"x" * 65536

    async def flood() -> None:
        for _ in range(2000):
            await ours.send(block)

    sending = asyncio.create_task(flood())
    theirs = server.opened[0]
    await eventually(lambda: theirs._paused, "reading to stop")
    assert not sending.done()
    for _ in range(2000):
        assert await theirs.receive() == block
    await sending
    ours.end()
    await ours.wait_ended(1.0)


async def test_a_silent_listener_costs_a_dial_its_time() -> None:
    ended = asyncio.Event()

    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        await closed(writer, ended)

    listener = await asyncio.start_server(nothing, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with pytest.raises(TimedOut, match="no WebSocket within"):
        await dial_carrier("127.0.0.1", port, timeout_s=0.05)
    await ended.wait()
    listener.close()
    await listener.wait_closed()


async def test_a_refused_upgrade_is_told(server: Server) -> None:
    server.full = True
    with pytest.raises(Closed, match="503"):
        await dial_carrier("127.0.0.1", server.port, timeout_s=PATIENCE_S)
