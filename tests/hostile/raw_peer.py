"""A dialer that the test leads by hand: a socket, and the pure machines as far as a test lets them do their work."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from mesh.codecs.yamux import HEADER, HEADER_BYTES, FrameType
from mesh.identity import x25519
from mesh.identity.keys import PrivateKey
from mesh.node import Node
from mesh.protocols import multistream, noise, yamux
from mesh.protocols.machine import Buffer, Role
from tests.network.live import PATIENCE_S

DATA, WINDOW, PING, GO_AWAY = map(int, FrameType)


@dataclass(frozen=True)
class Frame:
    """A frame as the node sent it."""

    kind: int
    flags: int
    stream: int
    length: int
    body: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, length: int = 0, body: bytes = b"") -> bytes:
    """A frame, right or wrong; a data frame's length is its body's unless given."""
    return HEADER.pack(0, kind, flags, stream, length or len(body)) + body


class RawPeer:
    """One connection to a node."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.channel: noise.Session | None = None
        self._plain = bytearray()

    # -- the way up --------------------------------------------------------------------------------------------------

    async def negotiate(self) -> bytes:
        """Agree on Noise; returns what came behind the answer."""
        initiator = multistream.Initiator([noise.PROTOCOL_ID])
        self.write(*initiator.output())
        while initiator.outcome is None:
            initiator.receive(await self.receive())
        assert isinstance(initiator.outcome, multistream.Selected)
        return initiator.outcome.leftover

    async def handshake(
        self,
        alter: Callable[[int, bytes], bytes] = lambda _number, message: message,
        muxers: Sequence[str] = (yamux.PROTOCOL_ID,),
    ) -> None:
        """The Noise handshake with ``muxers`` offered inside; ``alter`` may change what leaves as message 1 and 3."""
        credentials = noise.credentials(PrivateKey.generate(), x25519.fresh(), muxers)
        machine = noise.Handshake(Role.INITIATOR, credentials, x25519.fresh())
        data = await self.negotiate()
        self.write(*(alter(1, bytes(each)) for each in machine.output()))
        while machine.outcome is None:
            machine.receive(data or await self.receive())
            data = b""
        assert isinstance(machine.outcome, noise.Established)
        self.write(*(alter(3, bytes(each)) for each in machine.output()))
        self.channel, rest = machine.finish()
        self._decrypt(rest)

    async def text(self, size: int) -> bytes:
        """The next decrypted bytes, before there are frames."""
        while len(self._plain) < size:
            self._decrypt(await self.receive())
        taken = bytes(self._plain[:size])
        del self._plain[:size]
        return taken

    # -- frames ------------------------------------------------------------------------------------------------------

    def send(self, *frames: bytes) -> None:
        """Frames in records as large as they go."""
        assert self.channel is not None
        self.write(*self.channel.seal([b"".join(frames)]))

    def open(self, protocol: str, stream: int, then: bytes = b"") -> None:
        """Open a stream and send its negotiation at once, with application bytes behind it."""
        self.send(frame(DATA, 1, stream, body=multistream.opening(protocol) + then))

    async def frame(self) -> Frame:
        """The next frame from the node."""
        plain = self._plain
        while True:
            if len(plain) >= HEADER_BYTES:
                _, kind, flags, stream, length = HEADER.unpack_from(plain)
                size = HEADER_BYTES + (length if kind == DATA else 0)
                if len(plain) >= size:
                    body = bytes(plain[HEADER_BYTES:size])
                    del plain[:size]
                    return Frame(kind, flags, stream, length, body)
            self._decrypt(await self.receive())

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """The first frame that is ``wanted``; the node's own pings are answered meanwhile."""
        async with asyncio.timeout(PATIENCE_S):
            while not wanted(found := await self.frame()):
                if found.kind == PING and found.flags == 1:
                    self.send(frame(PING, 2, length=found.length))
        return found

    async def reset_of(self, stream: int) -> int:
        """The code that a stream is reset with."""
        return (await self.until(lambda each: each.stream == stream and bool(each.flags & 8))).length

    # -- bytes -------------------------------------------------------------------------------------------------------

    def write(self, *buffers: Buffer) -> None:
        self.writer.writelines(buffers)

    async def receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            data = await self.reader.read(65536)
        if not data:
            raise ConnectionResetError("the node closed the connection")
        return data

    async def ended(self) -> None:
        """Wait until the node has closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE_S):
                while await self.reader.read(65536):
                    pass

    def _decrypt(self, data: bytes) -> None:
        assert self.channel is not None
        for each in self.channel.receive(data):
            self._plain += each
        assert self.channel.failure is None


@contextlib.asynccontextmanager
async def raw_peer(node: Node, receive_buffer: int = 0) -> AsyncIterator[RawPeer]:
    """A TCP connection to a node; ``receive_buffer`` makes the system take little while the test does not read."""
    address = node.swarm.listen_addresses[0]
    raw = socket.socket()
    if receive_buffer:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.connect(("127.0.0.1", int(address.value("tcp") or 0)))  # at once, before the node may refuse it
    raw.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=raw, limit=receive_buffer or 65536)
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def session(node: Node, receive_buffer: int = 0) -> AsyncIterator[RawPeer]:
    """A connection whose handshake is done; the test speaks yamux."""
    async with raw_peer(node, receive_buffer) as peer:
        await peer.handshake()
        yield peer
