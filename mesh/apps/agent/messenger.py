"""The stock protocols on streams: messages that come, and the daemon's own ping both ways (section 5).

The sender of a message is the peer of the connection. Too many, too long and repeated ones are dropped without a word, as
a stock daemon does; what is no JSON, or in another's name, has its stream reset.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from mesh.apps.agent.delivery.inbox import Inbox, Stored
from mesh.apps.agent.delivery.ledger import Journal
from mesh.codecs.openclaw import MAX_MESSAGE_BYTES
from mesh.errors import EndOfStream, PeerError, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.stream import Stream
from mesh.protocols.openclaw import ping
from mesh.protocols.openclaw.message import check_sender, read_message
from mesh.protocols.openclaw.rate_window import RateWindow
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.node import Node

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""What a stock daemon's decoder takes (section 5)."""
READ_S: Final = 60.0
"""For a whole message."""


class Messenger:
    """Serves both protocols. ``tell`` hears of each message that is stored; ``rate`` counts messages of peers."""

    def __init__(
        self,
        journal: Journal,
        inbox: Inbox,
        own: PeerId,
        rate: RateWindow[PeerId],
        now_ms: Callable[[], int],
        tell: Callable[[Stored], None],
        counters: Counters,
    ) -> None:
        self._journal = journal
        self._inbox = inbox
        self._own = own
        self._rate = rate
        self._now_ms = now_ms
        self._tell = tell
        self._counters = counters

    async def serve_message(self, stream: Stream) -> None:
        """Take one message; the rest of the stream is ignored. Raises `MeshError`, which resets the stream."""
        peer = stream.connection.peer
        try:
            async with asyncio.timeout(READ_S):
                body = await stream.read_message(MAX_FRAME_BYTES)
        except EndOfStream:
            return
        except TimeoutError:
            raise TimedOut(f"{peer} sent no whole message within {READ_S:g} s") from None
        if len(body) > MAX_MESSAGE_BYTES:
            self._counters.count("agent.message:too_long")
            return
        if self._rate.take(peer, time.monotonic()) > 0:
            self._counters.count("agent.message:too_many")
            return
        message = read_message(body)
        try:
            check_sender(message, peer)
        except PeerError:
            self._counters.count("agent.message:spoofed")
            raise
        stored = await self._journal.write(lambda database: self._inbox.stock(database, peer, message))
        if stored is None:
            self._counters.count("agent.message:repeated")
            return
        self._tell(stored)

    async def serve_ping(self, stream: Stream) -> None:
        """Answer one ping. Raises `MeshError`, which resets the stream."""
        try:
            async with asyncio.timeout(READ_S):
                asked = await stream.read_message(ping.MAX_PING_BYTES)
                await stream.write_message(ping.answer(asked, self._own, self._now_ms()))
        except EndOfStream:
            return
        except TimeoutError:
            raise TimedOut(f"{stream.connection.peer} sent no whole ping within {READ_S:g} s") from None


async def ask_ping(node: Node, connection: Connection, now_ms: int) -> float:
    """Ping a peer by the daemon's own protocol; the round trip in seconds. Raises `MeshError`."""
    stream = await node.open(connection, ping.PROTOCOL_ID, allow_limited=True)
    async with stream:
        began = time.perf_counter()
        await stream.write_message(ping.write_ping(now_ms))
        pong = await stream.read_message(ping.MAX_PING_BYTES)
        took_s = time.perf_counter() - began
    ping.check_pong(pong, now_ms, connection.peer)
    return took_s
