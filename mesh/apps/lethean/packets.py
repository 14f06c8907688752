"""UEPS packets on their way: over TCP under a secret of their own, and inside the mesh from link to link.

Go's library ships packets and dispatcher and connects them to nothing; both ways are ours. Inside the mesh a packet is
the payload of a message of type `ueps`, which Go nodes ignore, under the shared secret of the two nodes. What is refused
is counted, and nothing is sent back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Awaitable
from typing import Any, ClassVar, Final

from mesh.apps.lethean.link import Link
from mesh.apps.lethean.node import LetheanNode
from mesh.errors import AddressInUse, DecodeError, Malformed, NetworkError, PeerError, Truncated
from mesh.network.scope import Scope
from mesh.protocols.lethean.dispatcher import Dispatcher
from mesh.protocols.lethean.envelope import Envelope
from mesh.protocols.lethean.json_record import BINARY, JsonRecord, Key
from mesh.protocols.lethean.ueps import Packet, build_packet, read_packet
from mesh.telemetry.counters import Counters

log = logging.getLogger(__name__)

TYPE: Final = "ueps"
MAX_PACKET_BYTES: Final = 160 * 1024
READ_BYTES: Final = 64 * 1024
IDLE_S: Final = 120.0
MAX_CONNECTIONS: Final = 100

Handlers = Dispatcher[Awaitable[None]]


class Enclosed(JsonRecord):
    """The payload of a `ueps` message."""

    __slots__ = ("packet",)
    packet: bytes | None
    KEYS: ClassVar = (Key("packet", "packet", BINARY),)


async def deal_with(packet: Packet, handlers: Handlers, counters: Counters) -> None:
    """Hand a verified packet to the handler of its intent; what is dropped is counted. Raises what the handler raises."""
    try:
        await handlers.dispatch(packet)
    except PeerError as error:
        counters.count("lethean.ueps:dropped")
        log.info("%s", error)
        return
    counters.count("lethean.ueps:dispatched")


class MeshPackets:
    """Packets over the links of a node."""

    def __init__(self, node: LetheanNode, handlers: Handlers) -> None:
        self._node = node
        self._handlers = handlers
        node.extend(TYPE, self._take)

    async def send(self, link: Link, intent: int, payload: bytes = b"", *, threat_score: int = 0) -> None:
        """Send a packet to a peer of ours. Raises `UsageError` for what does not fit, and like `Link.send`."""
        packet = build_packet(secret_of(link), intent, payload, threat_score=threat_score)
        await link.say(TYPE, Enclosed(packet=packet))

    async def _take(self, link: Link, message: Envelope) -> None:
        counters = self._node.counters
        try:
            data = message.payload(Enclosed).packet or b""
            packet, end = read_packet(data, secret_of(link))
            if end != len(data):
                raise Malformed("ueps", end, "bytes behind the packet")
        except DecodeError as error:
            counters.count("lethean.ueps:refused")
            log.info("%s: %s", link.peer.id, error)
            return
        await deal_with(packet, self._handlers, counters)


class PacketListener:
    """Packets over TCP, one after the other; a packet that is refused ends its connection."""

    def __init__(
        self, secret: bytes, handlers: Handlers, counters: Counters | None = None, *, idle_s: float = IDLE_S
    ) -> None:
        self._secret = secret
        self._handlers = handlers
        self._idle_s = idle_s
        self.counters = Counters() if counters is None else counters
        self._scope = Scope("UEPS packets")
        self._server: asyncio.Server | None = None
        self._connections = 0
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises `AddressInUse`, `NetworkError`."""
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as error:
            kind = AddressInUse if "in use" in str(error) else NetworkError
            raise kind(f"ueps {host}:{port}: {error.strerror or error}") from None
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End listening and all connections."""
        if self._server is not None:
            self._server.close()
        await self._scope.close()
        if self._server is not None:
            await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._scope.closing or self._connections >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections += 1
        self._scope.spawn(self._serve(reader, writer), "UEPS packets of a connection")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._read(reader)
        except DecodeError as error:
            self.counters.count("lethean.ueps:refused")
            log.info("%s: %s", writer.get_extra_info("peername"), error)
        except (ConnectionError, TimeoutError):
            self.counters.count("lethean.ueps:ended")
        finally:
            self._connections -= 1
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        buffer = bytearray()
        while True:
            async with asyncio.timeout(self._idle_s):
                data = await reader.read(READ_BYTES)
            if not data:
                return
            buffer += data
            offset = 0
            while offset < len(buffer):
                try:
                    packet, offset = read_packet(buffer, self._secret, offset)
                except Truncated:
                    break
                await deal_with(packet, self._handlers, self.counters)
            del buffer[:offset]
            if len(buffer) > MAX_PACKET_BYTES:
                raise Malformed("ueps", None, f"a packet of more than {MAX_PACKET_BYTES} bytes")


class PacketSender:
    """A TCP connection to a `PacketListener`, for the length of an `async with`."""

    def __init__(self, host: str, port: int, secret: bytes) -> None:
        self._host = host
        self._port = port
        self._secret = secret
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> PacketSender:
        try:
            async with asyncio.timeout(10.0):
                _, self._writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            cause = "no connection in time" if isinstance(error, TimeoutError) else error.strerror or error
            raise NetworkError(f"ueps {self._host}:{self._port}: {cause}") from None
        return self

    async def __aexit__(self, *_: Any) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def send(self, intent: int, payload: bytes = b"", *, threat_score: int = 0) -> None:
        """Send a packet. Raises `UsageError` for what does not fit, `NetworkError`."""
        assert self._writer is not None
        try:
            self._writer.write(build_packet(self._secret, intent, payload, threat_score=threat_score))
            await self._writer.drain()
        except ConnectionError as error:
            raise NetworkError(f"ueps {self._host}:{self._port}: {error}") from None


def secret_of(link: Link) -> bytes:
    """The shared secret of a link's two nodes."""
    return base64.b64decode(link.session.password)
