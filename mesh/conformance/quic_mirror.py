"""The mirror's door on QUIC: each connection that the peer under test begins while a case asks for one is that case's."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import Any, Self, cast

from mesh.codecs.quic import Initial, LongHeader, ShortHeader
from mesh.conformance.attempt import Attempt, Options
from mesh.conformance.case import Case
from mesh.conformance.quic_client import ALPN, Connection, QuicSession, listener
from mesh.conformance.target import Target
from mesh.conformance.tls_client import TlsOptions
from mesh.conformance.udp import Datagrams
from mesh.conformance.verdict import Unprepared
from mesh.conformance.wire_log import WireLog
from mesh.errors import DecodeError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.addresses import QuicEndpoint, quic_address

DIAL_WAIT_S = 60.0
MAX_PAST = 256
MAX_KEPT = 16
FRESH_S = 1.0
ALTERED_BYTE = 60


class Caller(Datagrams):
    """The datagrams of one connection that a dialer begins with this Initial. So many as ``to_alter`` of the next ones to
    it leave with a bit altered."""

    def __init__(
        self, door: QuicDoor, initial: Initial, remote: tuple[str, int], log: WireLog, limit_s: float
    ) -> None:
        super().__init__(remote, log, limit_s)
        self.name = "the dialer's connection"
        self.initial = initial
        self.ids = {initial.destination_id}
        self.quic: Connection | None = None
        self.to_alter = 0
        self._last_id = initial.destination_id
        self._door = door

    def knows(self, connection_id: bytes) -> bool:
        """Whether packets to this id are of this connection."""
        own = cast(Any, self.quic)._host_cids if self.quic is not None else ()
        return connection_id in self.ids or any(each.cid == connection_id for each in own)

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        self._last_id = destination(data)
        super().datagram_received(data, address)

    def reset_token(self) -> bytes:
        """What makes a stateless reset of the id that the dialer uses now."""
        own = cast(Any, self.quic)._host_cids
        return next(bytes(each.stateless_reset_token) for each in own if each.cid == self._last_id)

    def send(self, data: bytes) -> None:
        if self.to_alter:
            self.to_alter -= 1
            at = min(ALTERED_BYTE, len(data) - 1)
            data = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        self.sent_bytes += len(data)
        self.log.sent("udp", data)
        self._door.send(data, self.remote)

    def close(self) -> None:
        self._door.forget(self)


class QuicDoor(asyncio.DatagramProtocol):
    """The socket, and the connections of the case that runs. ``identity`` is who the harness is for the whole run;
    ``deserted``: nobody dialed for so long that nobody will.

    What comes while no case asks is only kept: a case gets the first to speak once it asks, with what it said before. One
    who has called for long gives up soon, so that the next call is waited for.
    """

    def __init__(self, identity: PrivateKey) -> None:
        self.identity = identity
        self.deserted = False
        self._socket: asyncio.DatagramTransport
        self._callers: list[Caller] = []
        self._past: deque[bytes] = deque(maxlen=MAX_PAST)
        self._kept: OrderedDict[bytes, list[tuple[float, bytes]]] = OrderedDict()
        self._asked: asyncio.Future[Caller] | None = None
        self._asking: tuple[WireLog, float]

    @classmethod
    async def open(cls, endpoint: QuicEndpoint, identity: PrivateKey) -> Self:
        """Listen."""
        _, door = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: cls(identity), local_addr=(endpoint.host, endpoint.port)
        )
        return door

    @property
    def address(self) -> Multiaddr:
        bound = quic_address(self._socket.get_extra_info("sockname"))
        return bound / f"/p2p/{PeerId.from_public_key(self.identity.public)}"

    def attempt(self, case: Case, target: Target, options: Options) -> Attempt:
        """An attempt that takes its connections from here."""
        return QuicMirror(case, target, options, self)

    async def next(self, log: WireLog, limit_s: float) -> Caller:
        """The next connection that begins. Raises `Unprepared` when none does."""
        self._asking = log, limit_s
        self._asked = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(DIAL_WAIT_S):
                return await self._asked
        except TimeoutError:
            self.deserted = True
            raise Unprepared(f"nobody dialed within {DIAL_WAIT_S:g} s") from None
        finally:
            self._asked = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str | Any, int]) -> None:
        connection_id = destination(data)
        caller = next((each for each in self._callers if each.knows(connection_id)), None)
        if caller is None and connection_id not in self._past:
            caller = self._begin(data, (address[0], address[1]))
        if caller is not None:
            caller.datagram_received(data, address)

    def _begin(self, data: bytes, remote: tuple[str, int]) -> Caller | None:
        """A new connection, if this is an Initial and a case asks for one."""
        try:
            initial, _ = Initial.decode_prefix(data)
        except DecodeError:
            return None
        now = asyncio.get_running_loop().time()
        kept = self._kept.setdefault(initial.destination_id, [])
        late = bool(kept) and now - kept[0][0] > FRESH_S
        if self._asked is None or self._asked.done() or late:
            if len(kept) < MAX_KEPT:
                kept.append((now, data))
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
            return None
        caller = Caller(self, initial, remote, *self._asking)
        for _, each in self._kept.pop(initial.destination_id):
            caller.datagram_received(each, remote)
        self._callers.append(caller)
        self._asked.set_result(caller)
        return caller

    def send(self, data: bytes, remote: tuple[str, int]) -> None:
        if not self._socket.is_closing():
            self._socket.sendto(data, remote)

    def forget(self, caller: Caller) -> None:
        """Its case is over: what still comes of it begins nothing."""
        if caller in self._callers:
            self._callers.remove(caller)
            self._past.extend(caller.ids)

    def close(self) -> None:
        self._socket.close()


def destination(data: bytes) -> bytes:
    """The id that a datagram's first packet is for; empty when that cannot be read."""
    try:
        header = (
            LongHeader.decode_prefix(data)[0] if data[:1] >= b"\x80" else ShortHeader.decode_prefix(data)[0]
        )
    except DecodeError:
        return b""
    return header.destination_id


class QuicMirror(Attempt):
    """An attempt whose connections come in."""

    def __init__(self, case: Case, target: Target, options: Options, door: QuicDoor) -> None:
        super().__init__(case, target, options)
        self.door = door
        self.identity = door.identity

    async def caller(self) -> Caller:
        """The next connection that the peer begins, not yet answered."""
        caller = await self.door.next(self.log, self.limit_s)
        self._sockets.append(caller)
        return caller

    def answering(
        self,
        caller: Caller,
        options: TlsOptions | None = None,
        alpn: tuple[str, ...] = (ALPN,),
        *,
        original_id: bytes = b"",
        retry_id: bytes | None = None,
    ) -> QuicSession:
        """What will answer a caller, once it is told to `connect`."""
        options = options or TlsOptions.of(self.identity)
        options.listens = True
        original_id = original_id or caller.initial.destination_id
        caller.quic = listener(options, alpn, original_id, retry_id)
        return self.quic_on(caller, caller.quic)

    async def quic_dialer(
        self, options: TlsOptions | None = None, alpn: tuple[str, ...] = (ALPN,)
    ) -> QuicSession:
        """What will answer the next caller."""
        return self.answering(await self.caller(), options, alpn)

    async def quic_session(
        self, options: TlsOptions | None = None, alpn: tuple[str, ...] = (ALPN,)
    ) -> QuicSession:
        """The same behind its handshake, in which the dialer has proved who it is."""
        session = await self.quic_dialer(options, alpn)
        await session.handshake()
        session.remote_peer()
        return session
