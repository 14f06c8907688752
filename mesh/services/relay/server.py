"""A relay: grants reservations and joins circuits (circuit relay v2, hop; libp2p digest, section 16).

What a peer may have is decided by `mesh.protocols.relay`; here its requests are read and its streams joined.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Final

from mesh.codecs.relay import MAX_MESSAGE_BYTES, Reservation, Status
from mesh.errors import DecodeError, EndOfStream, MeshError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.multiformats.ip_ranges import is_public
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit.addresses import is_relayed
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.network.swarm import Swarm
from mesh.protocols.relay import (
    HOP_PROTOCOL,
    STOP_PROTOCOL,
    Connect,
    Refusal,
    Reservations,
    Reserve,
    Settings,
    answer_hop,
    ask_stop,
    make_voucher,
    read_hop,
    read_stop_status,
)
from mesh.protocols.relay.requests import MALFORMED
from mesh.services.registry import Registry
from mesh.services.relay.piping import Pipe
from mesh.telemetry.counters import Counters

REQUEST_S: Final = 60.0
OPEN_S: Final = 30.0
HANDSHAKE_S: Final = 60.0
MAX_ADDRESSES: Final = 16
TAG: Final = "relay-reservation"
TAG_VALUE: Final = 10
DURATIONS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Upper ends of the buckets that circuits are counted in by how long they lasted; a last one has the others."""
OVER_LIMIT: Final = frozenset({"address", "source"})
"""Why a peer is refused that has as much as one may have; the relay or the target being full is none of its doing."""
_FAILED: Final = Refusal(Status.CONNECTION_FAILED, "unreachable")


class RelayServer:
    """The service. ``addresses`` are this node's own; ``transferred_bytes`` counts what went through, both ways.
    ``refused`` are told who wants more than one peer may have."""

    def __init__(
        self,
        swarm: Swarm,
        key: PrivateKey,
        settings: Settings,
        registry: Registry,
        counters: Counters,
        addresses: Callable[[], Iterable[Multiaddr]],
    ) -> None:
        self._swarm = swarm
        self._key = key
        self._registry = registry
        self._counters = counters
        self._addresses = addresses
        self.reservations = Reservations(swarm.own_id, settings)
        self.refused: list[Callable[[PeerId], None]] = []
        self.transferred_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lasted = [0] * (len(DURATIONS_S) + 1)
        self.lasted_s = 0.0

    def start(self) -> None:
        """Serve. Raises `UsageError` when the protocol is served already."""
        self._registry.add(HOP_PROTOCOL, self.serve, limited=True)
        self._swarm.observers.disconnected.append(self._disconnected)

    def stop(self) -> None:
        """Take no more requests; circuits end with their connections."""
        self.reservations.closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._registry.remove(HOP_PROTOCOL)
        self._swarm.observers.disconnected.remove(self._disconnected)

    async def serve(self, stream: Stream) -> None:
        """Answer one request; one that is granted a circuit lasts as long as that."""
        request = await self._read(stream)
        if isinstance(request, Reserve):
            await self._reserve(stream)
        elif isinstance(request, Connect):
            await self._connect(stream, request.target)
        else:
            self._counters.count(f"relay.refused:{request.reason}")
            await stream.write_message(answer_hop(request.status))

    async def _read(self, stream: Stream) -> Reserve | Connect | Refusal:
        try:
            async with asyncio.timeout(REQUEST_S):
                return read_hop(await stream.read_message(MAX_MESSAGE_BYTES))
        except (DecodeError, EndOfStream, TimeoutError):
            return MALFORMED

    # -- reservations ------------------------------------------------------------------------------------------------

    async def _reserve(self, stream: Stream) -> None:
        connection = stream.connection
        peer, now = connection.peer, time.monotonic()
        self._expire()
        renewed = self.reservations.expires_at(peer, now) is not None
        host = connection.remote.value("ip4") or connection.remote.value("ip6")
        found = self.reservations.reserve(peer, host, now, relayed=connection.relay is not None)
        if isinstance(found, Refusal):
            self._refuse("reserve", peer, found)
            await stream.write_message(answer_hop(found.status))
            return
        self._end_displaced()
        self._counters.count(f"relay.reservation:{'renewed' if renewed else 'opened'}")
        self._swarm.manager.tag(peer, TAG, TAG_VALUE)
        self._arm()
        self._count("reserve", None)
        settings = self.reservations.settings
        expires_at = int(time.time() + found - now)
        reservation = Reservation(
            expire=expires_at,
            addrs=self._own_addresses(connection),
            voucher=make_voucher(self._key, peer, expires_at),
        )
        await stream.write_message(answer_hop(Status.OK, reservation, settings.circuit))

    def _end_displaced(self) -> None:
        """Whose reservation gave way learns of it by losing its connections: it looks for another relay."""
        displaced, self.reservations.displaced = self.reservations.displaced, []
        for peer in displaced:
            self._counters.count("relay.reservation:displaced")
            self._swarm.manager.untag(peer, TAG)
            for connection in self._swarm.connections:
                if connection.peer == peer:
                    connection.scope.spawn(connection.close(), "displaced")

    def _own_addresses(self, connection: Connection) -> list[bytes]:
        """Where this relay is reached: public addresses; to a peer of the same network, the others as well."""
        near = not is_public(connection.remote)
        suffix = Multiaddr.parse(f"/p2p/{self._swarm.own_id}")
        chosen = [each for each in self._addresses() if not is_relayed(each) and (near or is_public(each))]
        return [(each / suffix).to_bytes() for each in chosen if len(each.to_bytes()) < 128][:MAX_ADDRESSES]

    def _arm(self) -> None:
        """Be called when the next reservation is over."""
        deadline = self.reservations.deadline()
        if self._timer is None and deadline is not None:
            rest = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(rest, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._expire()
        self._arm()

    def _expire(self) -> None:
        for peer in self.reservations.expire(time.monotonic()):
            self._counters.count("relay.reservation:closed")
            self._swarm.manager.untag(peer, TAG)

    def _disconnected(self, connection: Connection) -> None:
        peer = connection.peer
        if connection.relay is None and self._swarm.connection_to(peer, direct=True) is None:
            if self.reservations.release(peer):
                self._counters.count("relay.reservation:closed")
            self._swarm.manager.untag(peer, TAG)

    # -- circuits ----------------------------------------------------------------------------------------------------

    async def _connect(self, stream: Stream, target: PeerId) -> None:
        source, now = stream.connection.peer, time.monotonic()
        self._expire()
        relayed = stream.connection.relay is not None
        circuit = self.reservations.connect(source, target, now, relayed=relayed)
        if isinstance(circuit, Refusal):
            self._refuse("connect", source, circuit)
            await stream.write_message(answer_hop(circuit.status))
            return
        self._counters.count("relay.circuit:opened")
        try:
            other = await self._announce(source, target)
            self._count("connect", _FAILED if other is None else None)
            if other is None:
                await stream.write_message(answer_hop(_FAILED.status))
            else:
                await self._join(stream, other)
        finally:
            self.reservations.end(circuit)
            self._note_end(time.monotonic() - now)

    async def _announce(self, source: PeerId, target: PeerId) -> Stream | None:
        """A stream to the target, which agreed to the circuit; None when it did not."""
        connection = self._swarm.connection_to(target, direct=True)
        if connection is None:
            return None
        stream: Stream | None = None
        agreed = False
        announced = STOP_PROTOCOL in (connection.remote_protocols or ())
        try:
            async with asyncio.timeout(OPEN_S):
                stream = await connection.open([STOP_PROTOCOL], optimistic=announced)
            async with asyncio.timeout(HANDSHAKE_S):
                await stream.write_message(ask_stop(source, self.reservations.settings.circuit))
                agreed = read_stop_status(await stream.read_message(MAX_MESSAGE_BYTES)) == Status.OK
        except (MeshError, TimeoutError):
            agreed = False
        finally:
            if stream is not None and not agreed:
                stream.reset()
        return stream if agreed else None

    async def _join(self, stream: Stream, other: Stream) -> None:
        limit = self.reservations.settings.circuit
        try:
            await stream.write_message(answer_hop(Status.OK, limit=limit))
        except BaseException:
            other.reset()
            raise
        pipe = Pipe(stream, other, limit, stream.connection.scope, self._transferred)
        self._counters.count(f"relay.ended:{await pipe.run()}")
        await other.close()

    def _transferred(self, size: int) -> None:
        self.transferred_bytes += size

    # -- figures -----------------------------------------------------------------------------------------------------

    @property
    def durations(self) -> list[tuple[float, int]]:
        """How many circuits lasted up to so many seconds, but longer than the bucket before."""
        return list(zip((*DURATIONS_S, float("inf")), self._lasted, strict=True))

    def _refuse(self, what: str, peer: PeerId, refusal: Refusal) -> None:
        self._count(what, refusal)
        if refusal.reason in OVER_LIMIT:
            for observer in tuple(self.refused):
                observer(peer)

    def _count(self, what: str, refusal: Refusal | None) -> None:
        """`relay.connect:unreserved`, or `:ok`."""
        self._counters.count(f"relay.{what}:{'ok' if refusal is None else refusal.reason}")

    def _note_end(self, lasted_s: float) -> None:
        self._counters.count("relay.circuit:closed")
        self._lasted[bisect_left(DURATIONS_S, lasted_s)] += 1
        self.lasted_s += lasted_s
