"""Peers that misuse WebSocket: each is answered, counted, and gone; nothing is logged above info; the node serves on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from websockets.frames import CloseCode, Frame, Opcode

from mesh.errors import DialError, DialFailure
from mesh.network.websocket_handshake import MAX_HEAD_BYTES
from mesh.node import Node
from tests.network.certificates import make_certificates
from tests.network.live import Nodes, eventually, round_trip

WS = "/ip4/127.0.0.1/tcp/0/ws"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"Sec-WebSocket-Version: 13\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + KEY + VERSION + b"\r\n"
ACCEPTED = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
PATIENCE_S = 5.0
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

pytestmark = pytest.mark.both_loops


@pytest.fixture(autouse=True)
def _no_noise(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    loud = [each.getMessage() for each in caplog.get_records("call") if each.levelno > logging.INFO]
    assert not loud


class RawPeer:
    """A client's socket and what comes out of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def shake_hands(self) -> None:
        self.writer.write(REQUEST)
        async with asyncio.timeout(PATIENCE_S):
            answer = await self.reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert ACCEPTED in answer
        assert b"Sec-WebSocket-Extensions" not in answer

    async def rest(self) -> bytes:
        """Everything until the other side closes or resets."""
        said = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while chunk := await self.reader.read(65_536):
                    said += chunk
        return said


@contextlib.asynccontextmanager
async def raw_peer(server: Node) -> AsyncIterator[RawPeer]:
    port = int(server.swarm.listen_addresses[0].value("tcp") or 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def counted(server: Node, name: str, number: int = 1) -> None:
    await eventually(lambda: server.counters[name] == number, f"{name} in {server.counters.snapshot()}")


async def serves_on(nodes: Nodes, server: Node) -> None:
    assert not server.connections
    assert not server.swarm._upgrading
    client = await nodes.start("")
    assert await round_trip(client, server) > 0


# -- the opening handshake -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", b"400"),
        (b"\x13/multistream/1.0.0\n\x07/noise\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2, b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + KEY + VERSION + b"Connection: Upgrade\r\n\r\n", b"426"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + VERSION + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + UPGRADE + KEY + b"\r\n", b"400"),
        (REQUEST.replace(b"13", b"8"), b"400"),
        (REQUEST.replace(b"dGhl", b"\xff\xfe--"), b"400"),
        (REQUEST.replace(b"GET", b"POST"), b"40"),
        (REQUEST.replace(b"HTTP/1.1", b"HTTP/9.9"), b""),
        (REQUEST.replace(b"Host: x", b"no colon"), b"400"),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * 10_000 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"A: a\r\n" * 200, b"431"),
        (b"GET / HTTP/1.1\r\n" + (b"A: " + b"a" * 1000 + b"\r\n") * 100, b"431"),
        (b"a" * (4 * MAX_HEAD_BYTES), b"4"),
    ],
    ids=[
        "ssh",
        "libp2p",
        "tls",
        "no upgrade",
        "no upgrade header",
        "no key",
        "no version",
        "old version",
        "bad key",
        "post",
        "another http",
        "bad header",
        "long path",
        "long header",
        "many headers",
        "much header",
        "no line",
    ],
)
@pytest.mark.parametrize("pieces", [1, 50])
async def test_no_handshake(nodes: Nodes, said: bytes, status: bytes, pieces: int) -> None:
    server = await nodes.start(WS)
    async with raw_peer(server) as peer:
        step = -(-len(said) // pieces)
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(said), step):
                peer.writer.write(said[at : at + step])
                await peer.writer.drain()
        answer = await peer.rest()
    if status:
        assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close\r\n" in answer
    await counted(server, "upgrade.failed:websocket handshake")
    await serves_on(nodes, server)


async def test_a_refused_peer_that_keeps_its_socket(nodes: Nodes) -> None:
    server = await nodes.start(WS)
    async with raw_peer(server) as peer:
        peer.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await peer.rest()).startswith(b"HTTP/1.1 426 ")
        await counted(server, "upgrade.failed:websocket handshake")
        await serves_on(nodes, server)


@pytest.mark.parametrize("said", [b"", b"G", REQUEST[:-2]], ids=["nothing", "a letter", "almost"])
async def test_a_slow_handshake(nodes: Nodes, said: bytes) -> None:
    server = await nodes.start(WS, upgrade_timeout_s=0.1)
    async with raw_peer(server) as peer:
        peer.writer.write(said)
        assert await peer.rest() == b""
    await counted(server, "upgrade.failed:websocket handshake")


async def test_single_bytes_do_not_lengthen_a_handshake(nodes: Nodes) -> None:
    server = await nodes.start(WS, upgrade_timeout_s=0.2)
    async with raw_peer(server) as peer:
        loop = asyncio.get_running_loop()
        rest = asyncio.ensure_future(peer.rest())
        began = loop.time()
        for byte in REQUEST[:-1]:
            if rest.done() or peer.writer.is_closing():
                break
            peer.writer.write(bytes([byte]))
            await asyncio.wait([rest], timeout=0.01)
        assert await rest == b""
        assert loop.time() - began < 1.0
    await counted(server, "upgrade.failed:websocket handshake")


# -- after it ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (Frame(Opcode.TEXT, b"hello").serialize(mask=True), CloseCode.UNSUPPORTED_DATA),
        (Frame(Opcode.BINARY, b"hello").serialize(mask=False), CloseCode.PROTOCOL_ERROR),
        (b"\x82\xff\x7f" + b"\xff" * 7, CloseCode.MESSAGE_TOO_BIG),
        (bytes(range(0x70, 0xF0)) * 40, CloseCode.PROTOCOL_ERROR),
        (Frame(Opcode.CONT, b"hello").serialize(mask=True), CloseCode.PROTOCOL_ERROR),
    ],
    ids=["text", "unmasked", "oversize", "garbage", "continuation"],
)
async def test_bad_frames(nodes: Nodes, wire: bytes, code: CloseCode) -> None:
    server = await nodes.start(WS)
    async with raw_peer(server) as peer:
        await peer.shake_hands()
        peer.writer.write(wire)
        said = await peer.rest()
    at = said.index(b"\x88")
    assert said[at + 2 : at + 4] == code.to_bytes(2, "big")
    assert said[at + 1] == len(said) - at - 2, "nothing follows the close frame"
    await counted(server, "upgrade.failed:security negotiation")
    await serves_on(nodes, server)


async def test_frames_right_behind_the_request(nodes: Nodes) -> None:
    server = await nodes.start(WS)
    async with raw_peer(server) as peer:
        peer.writer.write(REQUEST + Frame(Opcode.PING, b"early").serialize(mask=True))
        async with asyncio.timeout(PATIENCE_S):
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.reader.readuntil(b"\x8a\x05early")
        peer.writer.write(Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=True))
        assert (await peer.rest()).endswith(b"\x88\x05\x03\xe8bye")
    await counted(server, "upgrade.failed:security negotiation")
    await serves_on(nodes, server)


async def test_announced_bytes_that_never_come(nodes: Nodes) -> None:
    server = await nodes.start(WS, upgrade_timeout_s=0.1)
    async with raw_peer(server) as peer:
        await peer.shake_hands()
        peer.writer.write(b"\x82\xff" + (16 << 20).to_bytes(8, "big") + b"\0\0\0\0")
        await peer.rest()
    await counted(server, "upgrade.failed:security negotiation")


@pytest.mark.parametrize(
    ("said", "stage"),
    [
        (b"GET / HTTP/1.1\r\n", "websocket handshake"),
        (REQUEST, "security negotiation"),
        (REQUEST + b"\x82\x85\0\0", "security negotiation"),
    ],
    ids=["in the handshake", "between frames", "inside a header"],
)
async def test_half_closed(nodes: Nodes, said: bytes, stage: str) -> None:
    server = await nodes.start(WS)
    async with raw_peer(server) as peer:
        peer.writer.write(said)
        peer.writer.write_eof()
        await peer.rest()
    await counted(server, f"upgrade.failed:{stage}")
    await serves_on(nodes, server)


async def test_a_flood_of_pings_gets_one_answer_a_read(nodes: Nodes) -> None:
    server = await nodes.start(WS)
    async with raw_peer(server) as peer:
        await peer.shake_hands()
        peer.writer.write(Frame(Opcode.PING, b"x" * 100).serialize(mask=True) * 10_000)
        peer.writer.write(Frame(Opcode.CLOSE, b"").serialize(mask=True))
        said = await peer.rest()
    assert 1 <= said.count(b"\x8a\x64") < 1000
    assert said.endswith(b"\x88\x00")
    await serves_on(nodes, server)


async def test_plain_bytes_at_a_tls_listener(nodes: Nodes, tmp_path: Path) -> None:
    settings = make_certificates(tmp_path).settings
    server = await nodes.start("/ip4/127.0.0.1/tcp/0/tls/ws", upgrade_timeout_s=0.2, **settings)
    for number, said in enumerate((REQUEST, bytes(1000), b"\x16\x03\x01", b""), 1):
        async with raw_peer(server) as peer:
            peer.writer.write(said)
            await peer.rest()
        await counted(server, "upgrade.failed:tls handshake", number)
    client = await nodes.start("", **settings)
    assert await round_trip(client, server) > 0


# -- listeners that misbehave --------------------------------------------------------------------------------------------


async def dial(client: Node, serve: Serve) -> DialFailure:
    """What dialling a server of the test's own fails with."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    async with server:
        with pytest.raises(DialError) as caught:
            async with asyncio.timeout(PATIENCE_S):
                await client.connect(f"/ip4/127.0.0.1/tcp/{server.sockets[0].getsockname()[1]}/ws")
    return caught.value.failures[0]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", "404"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 9999999\r\n\r\nabc", "404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + b"\r\n", "Sec-WebSocket-Accept"),
        (b"HTTP/1.1 101 Switching Protocols\r\n" + UPGRADE + ACCEPTED + b"\r\n\r\n", "Accept"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        (b"\x13/multistream/1.0.0\n", "multistream"),
        (b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"a" * 1000 + b"\r\n") * 100, "16384 bytes"),
        (b"a" * 40_000, "aaaa"),
    ],
    ids=[
        "404",
        "404 with a long body",
        "no accept",
        "wrong accept",
        "ssh",
        "libp2p",
        "much header",
        "no line",
    ],
)
async def test_a_listener_that_is_no_websocket(nodes: Nodes, answer: bytes, cause: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"Sec-WebSocket-Extensions" not in request
        assert b"Sec-WebSocket-Protocol" not in request
        writer.write(answer)

    client = await nodes.start("")
    failure = await dial(client, serve)
    assert failure.stage == "websocket handshake"
    assert cause in failure.cause
    assert client.counters["upgrade.failed:websocket handshake"] == 1


async def test_a_listener_that_hangs_up(nodes: Nodes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    failure = await dial(await nodes.start(""), serve)
    assert failure.stage == "websocket handshake"
    assert "closed" in failure.cause


async def test_a_listener_that_says_nothing(nodes: Nodes) -> None:
    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    failure = await dial(await nodes.start("", upgrade_timeout_s=0.05), serve)
    assert failure.stage == "websocket handshake"
    assert "0.05 s" in failure.cause
