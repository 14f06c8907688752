"""Own messages on their way out: sealed, held back while peers are slow, and sent a turn's worth at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from mesh.codecs.gossip import Message
from mesh.errors import Closed, LimitError, UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.protocols.gossip import Router
from mesh.protocols.gossip.signing import Policy, seal
from mesh.services.gossip.link import Link
from mesh.telemetry.counters import Counters

FLUSH_BYTES: Final = 32 * 1024
"""Published within one turn of the loop: from then on it is sent before the turn's end."""
SLICE_S: Final = 2e-3
"""A publisher that never waits gives others their turn this often."""
FRAMING_BYTES: Final = 8
"""Around a message in an RPC of its own."""
ENVELOPE_BYTES: Final = 8192
"""What a message has beside its data at the most: a long topic, an RSA key and its signature."""


class Publishing:
    """The way out. ``patience_s`` is how long a publisher waits for one peer that does not read at all: then it is left
    out, and its copies are dropped and counted, until it has read again. ``awaited`` tells that RPCs are about to be
    looked at in this turn, which ends with a `flush`: own messages leave together with those passed on."""

    def __init__(
        self,
        router: Router[PeerId],
        links: Mapping[PeerId, Link],
        key: PrivateKey,
        policy: Policy,
        max_rpc_bytes: int,
        patience_s: float,
        counters: Counters,
        awaited: Callable[[], bool],
    ) -> None:
        self._router = router
        self._links = links
        self._key = key
        self._sender = PeerId.from_public_key(key.public).to_bytes()
        self._policy = policy
        self._max_rpc_bytes = max_rpc_bytes
        self._patience_s = patience_s
        self._counters = counters
        self._awaited = awaited
        self._seqno = time.time_ns()
        self._waiters: list[asyncio.Future[None]] = []
        self._scheduled = False
        self._turn_at = 0.0
        self._unsent_bytes = 0
        self._stopped = False

    def stop(self) -> None:
        """Whoever waits to publish gets `Closed`."""
        self._stopped = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(Closed("pubsub was stopped"))

    def seal(self, topic: str, data: bytes) -> tuple[Message, bytes]:
        """An own message and its encoding. Raises `LimitError` when it does not fit into an RPC."""
        limit = self._max_rpc_bytes - FRAMING_BYTES
        if len(data) <= limit:
            self._seqno += 1
            seqno = self._seqno.to_bytes(8, "big")
            try:
                message, wire = seal(topic, data, self._sender, seqno, self._key, self._policy)
            except UsageError:
                if len(data) + ENVELOPE_BYTES <= limit:
                    raise
            else:
                if len(wire) <= limit:
                    return message, wire
        what = f"a message, its envelope included (here {len(data)} bytes without it),"
        raise LimitError("pubsub", what, limit, "gossip.max_rpc_bytes")

    def send(self, topic: str, id: bytes, wire: bytes) -> int | None:
        """Publish; returns to how many peers, or None when one has no room: wait for `room`."""
        if self._stopped:
            raise Closed("pubsub was stopped")
        return self._router.publish_if_room(topic, id, wire, time.monotonic())

    async def room(self, topic: str) -> None:
        """Wait until every peer that a message of a topic would go to has room for it, or is not waited for."""
        full = self._full(topic)
        if not full:
            return
        self.flush()
        while full := self._full(topic):
            now = time.monotonic()
            late = [each for each in full if each.progress_at + self._patience_s <= now]
            for link in late:
                link.stalled = True
                self._counters.count("gossip.peer_stalled")
            if late:
                continue
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                async with asyncio.timeout(min(each.progress_at for each in full) + self._patience_s - now):
                    await waiter
            except TimeoutError:
                continue
            finally:
                self._waiters.remove(waiter)

    def _full(self, topic: str) -> list[Link]:
        if self._stopped:
            raise Closed("pubsub was stopped")
        full = self._router.room(topic, time.monotonic())
        links = [self._links[peer] for peer in full if peer in self._links]
        return [link for link in links if not link.stalled]

    def drained(self) -> None:
        """Some queue has become shorter."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- sending -----------------------------------------------------------------------------------------------------

    def queued(self, size: int) -> bool:
        """A message of so many bytes was published: it leaves soon, at the turn's end at the latest. Returns whether it
        is time to give others their turn."""
        if not self._scheduled:
            self.flush_soon()
        self._unsent_bytes += size
        if self._unsent_bytes >= FLUSH_BYTES:
            self.flush()
        return time.monotonic() - self._turn_at > SLICE_S

    def flush_soon(self) -> None:
        """Send what waits at the end of this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            self._turn_at = time.monotonic()
            asyncio.get_running_loop().call_soon(self._end_turn)

    def flush(self) -> None:
        """Send what waits, as far as peers take it at once."""
        self._unsent_bytes = 0
        links = self._links
        for peer in self._router.take_dirty():
            link = links.get(peer)
            if link is not None:
                link.flush()

    def _end_turn(self) -> None:
        self._scheduled = False
        if not self._stopped and not self._awaited():
            self.flush()
