"""The transport of `/p2p-circuit`: dials through relays, and listens at those that hold a reservation for this node.

The relay is asked for a circuit over a direct connection, dialled if there is none. What comes in is taken only from
relays that this node reserved with, and its other end must be the peer that the relay named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from mesh.codecs.relay import MAX_MESSAGE_BYTES, Status
from mesh.errors import Closed, DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.circuit import hop
from mesh.network.circuit.addresses import CIRCUIT, circuit_address, split_circuit
from mesh.network.circuit.allowance import Allowance
from mesh.network.circuit.stream_pipe import StreamPipe
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.relay import Incoming, Limit, Refusal, answer_stop, read_stop
from mesh.protocols.relay.requests import MALFORMED
from mesh.telemetry.counters import Counters

ANNOUNCE_S: Final = 60.0
"""A relay that opened a stream says within this what for."""
_UNRESERVED: Final = Refusal(Status.PERMISSION_DENIED, "unreserved")

Reach = Callable[[PeerId, Multiaddr], Awaitable[Connection]]
"""A direct connection to a peer, dialled at the address if there is none."""


class CircuitListener:
    """Listens while reservations are held; its addresses come and go with them."""

    __slots__ = ("_transport",)

    def __init__(self, transport: CircuitTransport) -> None:
        self._transport = transport

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        return self._transport.addresses

    async def close(self) -> None:
        self._transport.accept = None


class CircuitTransport:
    """``reach`` is set by whoever owns the connections before anything is dialled; ``accept`` is there while it
    listens."""

    name = "p2p-circuit"
    reach: Reach

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._reserved: dict[PeerId, tuple[Multiaddr, ...]] = {}
        self.accept: Callable[[], Connection] | None = None

    def handles(self, address: Multiaddr) -> bool:
        return address == CIRCUIT or split_circuit(address) is not None

    # -- dialling ----------------------------------------------------------------------------------------------------

    async def dial(self, address: Multiaddr, connection: Connection) -> None:
        """Reach the relay and have it join a stream to one of the target's. Raises `MeshError`."""
        found, target = split_circuit(address), connection.expected_peer
        if found is None:
            raise UsageError(f"{address} names no relay")
        if target is None:
            raise UsageError(f"{address} does not say whom to reach: /p2p/<peer id> is missing at its end")
        relay, where = found
        outer = await self.reach(relay, where)
        stream, limit = await hop.connect(outer, target)
        self.carry(stream, connection, limit)

    # -- listening ---------------------------------------------------------------------------------------------------

    async def listen(self, address: Multiaddr, accept: Callable[[], Connection]) -> CircuitListener:
        if address != CIRCUIT:
            raise UsageError(
                f"cannot listen on {address}: name the relay in relay.relays, and listen on {CIRCUIT}"
            )
        if self.accept is not None:
            raise UsageError(f"this node listens on {CIRCUIT} already")
        self.accept = accept
        return CircuitListener(self)

    def hold(self, relay: PeerId, addresses: Iterable[Multiaddr]) -> None:
        """A relay at these addresses holds a reservation for this node: be reached through it."""
        self._reserved[relay] = tuple(dict.fromkeys(circuit_address(relay, each) for each in addresses))

    def release(self, relay: PeerId) -> bool:
        """The reservation is gone; whether there was one. Connections that stand go on."""
        return self._reserved.pop(relay, None) is not None

    @property
    def relays(self) -> tuple[PeerId, ...]:
        """Relays that hold a reservation for this node."""
        return tuple(self._reserved)

    @property
    def addresses(self) -> tuple[Multiaddr, ...]:
        """Where this node is reached through relays, without its own id."""
        if self.accept is None:
            return ()
        return tuple(address for several in self._reserved.values() for address in several)

    async def serve_stop(self, stream: Stream) -> None:
        """Answer one stream of a relay; it becomes a connection, and this lasts as long as that."""
        request = await self._read_announcement(stream)
        if isinstance(request, Refusal):
            self._counters.count(f"circuit.refused:{request.reason}")
            await stream.write_message(answer_stop(request.status))
            return
        accept = self.accept
        if accept is None:
            raise Closed("this node listens at relays no more")
        connection = accept()
        connection.expected_peer = request.source
        await stream.write_message(answer_stop(Status.OK))
        self._counters.count("circuit.accepted")
        await self.carry(stream, connection, request.limit).ended

    async def _read_announcement(self, stream: Stream) -> Incoming | Refusal:
        try:
            async with asyncio.timeout(ANNOUNCE_S):
                request = read_stop(await stream.read_message(MAX_MESSAGE_BYTES))
        except DecodeError:
            return MALFORMED
        except TimeoutError:
            raise Closed(f"the relay did not say within {ANNOUNCE_S:g} s what its stream is for") from None
        outer = stream.connection
        if isinstance(request, Incoming) and (
            self.accept is None or outer.relay is not None or outer.peer not in self._reserved
        ):
            return _UNRESERVED
        return request

    # -- both --------------------------------------------------------------------------------------------------------

    def carry(self, stream: Stream, connection: Connection, limit: Limit | None = None) -> StreamPipe:
        """Have a connection carried by a stream that others join to one of its far end."""
        outer = stream.connection
        ends = outer.local, circuit_address(outer.peer, outer.remote)
        connection.relay = outer.peer
        connection.limited = None if limit is None else Allowance(limit, time.monotonic())
        connection.find_ends = lambda _transport: ends
        pipe = StreamPipe(stream, connection.take_bytes(), connection.limited)
        pipe.begin()
        return pipe
