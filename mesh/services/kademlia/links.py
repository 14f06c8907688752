"""Requests to peers. A stream is kept for the next request to the same peer; while it is busy others open their own.

A kept stream may have been ended by the peer since: then the request goes again over a new one, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from mesh.codecs.kademlia import Answer, MessageType
from mesh.errors import Closed, MeshError, StreamReset, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.stream import Stream
from mesh.services.kademlia.host import Host
from mesh.telemetry.counters import Counters

MAX_KEPT: Final = 512
"""Streams kept for later; the one unused for longest is closed."""
_NAMES: Final = {
    event: {bytes([0x08, kind]): f"kademlia.{event}:{kind.name.lower()}" for kind in MessageType}
    for event in ("sent", "sent_failed", "told", "told_failed")
}
"""Counters by what an encoded message begins with."""
_NO_ANSWER: Final = Answer()


class Links:
    """The outgoing side of ``protocol``."""

    __slots__ = ("_counters", "_host", "_kept", "_protocols")

    def __init__(self, host: Host, protocol: str, counters: Counters) -> None:
        self._host = host
        self._counters = counters
        self._protocols = (protocol,)
        self._kept: dict[PeerId, Stream] = {}

    async def request(
        self, peer: PeerId, addresses: Iterable[Multiaddr], message: bytes, limit_s: float
    ) -> Answer:
        """The answer to an encoded message. Raises `DialError`, `ProtocolNotSupported`, `TimedOut`, `Closed`,
        `StreamReset`, `DecodeError`."""
        self._count("sent", message)
        try:
            return await self._exchange(peer, addresses, message, limit_s, answered=True)
        except MeshError:
            self._count("sent_failed", message)
            raise

    async def tell(
        self, peer: PeerId, addresses: Iterable[Multiaddr], message: bytes, limit_s: float
    ) -> None:
        """Send a message that is not answered. Raises as `request` does."""
        self._count("told", message)
        try:
            await self._exchange(peer, addresses, message, limit_s, answered=False)
        except MeshError:
            self._count("told_failed", message)
            raise

    def forget(self, peer: PeerId) -> None:
        """The last connection to a peer is gone, and its stream with it."""
        self._kept.pop(peer, None)

    def _count(self, event: str, message: bytes) -> None:
        """By type, which an encoded message begins with; the type 0 is not written."""
        self._counters.count(_NAMES[event].get(message[:2], f"kademlia.{event}:put_value"))

    async def _exchange(
        self, peer: PeerId, addresses: Iterable[Multiaddr], message: bytes, limit_s: float, answered: bool
    ) -> Answer:
        framed = varint.encode(len(message)) + message
        kept = self._kept.pop(peer, None)
        try:
            async with asyncio.timeout(limit_s):
                if kept is not None:
                    try:
                        return await self._over(kept, framed, answered)
                    except (Closed, StreamReset):
                        pass
                connection = self._host.connection_to(peer) or await self._host.connect(peer, addresses)
                stream = await connection.open(self._protocols, optimistic=True)
                return await self._over(stream, framed, answered)
        except TimeoutError as error:
            if isinstance(error, MeshError):
                raise
            raise TimedOut(f"{peer} did not answer within {limit_s:g} s") from None

    async def _over(self, stream: Stream, framed: bytes, answered: bool) -> Answer:
        try:
            await stream.write(framed)
            reply = Answer.decode(await stream.read_message(Answer.MAX_BYTES)) if answered else _NO_ANSWER
        except BaseException:
            stream.reset()
            raise
        surplus = self._keep(stream)
        if surplus is not None:
            await surplus.close()
        return reply

    def _keep(self, stream: Stream) -> Stream | None:
        """Keep it for its peer; returns the one that has to go for it."""
        peer = stream.connection.peer
        if peer in self._kept:
            return stream
        self._kept[peer] = stream
        if len(self._kept) <= MAX_KEPT:
            return None
        return self._kept.pop(next(iter(self._kept)))
