"""Requests to peers. A stream is kept for the next request to the same peer; while it is busy others open their own.

A kept stream may have been ended by the peer since: then the request goes again over a new one, once. Over a kept stream
a request costs no task: the answer is read by a callback when it has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from mesh.codecs.kademlia import Answer, MessageType
from mesh.errors import Closed, MeshError, StreamReset, TimedOut
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.scope import Spawn
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

Outcome = Answer | MeshError
OnOutcome = Callable[[Outcome], None]
"""Told once what became of a request, after it was made. It must not raise."""


class Links:
    """The outgoing side of ``protocol``. ``spawn`` runs a coroutine as a task of the service."""

    __slots__ = (
        "_counters",
        "_host",
        "_kept",
        "_loop",
        "_protocols",
        "_spawn",
        "_timer",
        "_timer_at",
        "_under_way",
        "stopped",
    )

    def __init__(self, host: Host, protocol: str, spawn: Spawn, counters: Counters) -> None:
        self._host = host
        self._counters = counters
        self._protocols = (protocol,)
        self._spawn = spawn
        self._kept: dict[PeerId, Stream] = {}
        self._under_way: dict[Exchange, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.stopped = False
        """Whether the service has been, and every request comes to nothing."""

    def ask(
        self,
        peer: PeerId,
        addresses: Iterable[Multiaddr],
        message: bytes,
        limit_s: float,
        on_outcome: OnOutcome,
    ) -> Exchange:
        """Send an encoded message and have its answer told, or the error: `DialError`, `ProtocolNotSupported`,
        `TimedOut`, `Closed`, `StreamReset`, `DecodeError`."""
        return self._start(peer, addresses, message, limit_s, on_outcome, "sent")

    def tell(
        self,
        peer: PeerId,
        addresses: Iterable[Multiaddr],
        message: bytes,
        limit_s: float,
        on_outcome: OnOutcome,
    ) -> None:
        """Send a message that is not answered; otherwise as `ask`."""
        self._start(peer, addresses, message, limit_s, on_outcome, "told")

    async def request(
        self, peer: PeerId, addresses: Iterable[Multiaddr], message: bytes, limit_s: float
    ) -> Answer:
        """The answer to an encoded message. Raises what `ask` tells."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        exchange = self.ask(
            peer, addresses, message, limit_s, lambda found: None if told.done() else told.set_result(found)
        )
        try:
            outcome = await told
        except asyncio.CancelledError:
            exchange.give_up(Closed("nobody waits for the answer any more"))
            raise
        if isinstance(outcome, MeshError):
            raise outcome
        return outcome

    def prepare(self, peer: PeerId, addresses: Iterable[Multiaddr]) -> None:
        """Connect to a peer that will be told or asked soon. Nothing is said if that fails."""
        if not self.stopped and self._host.connection_to(peer) is None:
            self._spawn(self._host.connect(peer, addresses), "kademlia connection")

    def forget(self, peer: PeerId) -> None:
        """The last connection to a peer is gone, and its stream with it."""
        self._kept.pop(peer, None)

    def stop(self) -> None:
        """Requests under way come to nothing, and no stream is kept."""
        self.stopped = True
        for exchange in list(self._under_way):
            exchange.finish(Closed("the DHT was stopped"))
        for stream in self._kept.values():
            stream.reset()
        self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop = None

    def _start(
        self,
        peer: PeerId,
        addresses: Iterable[Multiaddr],
        message: bytes,
        limit_s: float,
        on_outcome: OnOutcome,
        event: str,
    ) -> Exchange:
        self._count(event, message)
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        exchange = Exchange(self, peer, message, limit_s, loop.time() + limit_s, on_outcome, event)
        self._under_way[exchange] = None
        if self.stopped:
            loop.call_soon(exchange.finish, Closed("the DHT was stopped"))
            return exchange
        if self._timer is None or exchange.deadline < self._timer_at:
            self._arm(exchange.deadline)
        kept = self._kept.pop(peer, None)
        if kept is not None and kept.try_write(exchange.framed):
            exchange.stream = kept
            if event == "sent":
                if kept.pending:
                    loop.call_soon(exchange.readable)
                else:
                    kept.follow(exchange.readable, exchange.come)
            else:
                loop.call_soon(exchange.finish, _NO_ANSWER)
        else:
            if kept is not None:
                kept.reset()
            exchange.begin(addresses)
        return exchange

    def _arm(self, deadline: float) -> None:
        """One timer serves all requests: most have the same limit, and end long before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for exchange in [each for each in self._under_way if each.deadline <= now]:
            exchange.expire()
        if self._under_way:
            self._arm(min(each.deadline for each in self._under_way))

    def _count(self, event: str, message: bytes) -> None:
        """By type, which an encoded message begins with; the type 0 is not written."""
        self._counters.count(_NAMES[event].get(message[:2], f"kademlia.{event}:put_value"))

    def _ended(self, exchange: Exchange, outcome: Outcome) -> None:
        """Keep the stream of an exchange that went well, or end it."""
        self._under_way.pop(exchange, None)
        stream, failed = exchange.stream, isinstance(outcome, MeshError)
        if failed:
            self._count(f"{exchange.event}_failed", exchange.message)
        if stream is None:
            return
        if failed:
            stream.reset()
            return
        surplus = self._keep(stream)
        if surplus is not None:
            self._spawn(surplus.close(), "kademlia stream")

    def _keep(self, stream: Stream) -> Stream | None:
        """Keep it for its peer; returns the one that has to go for it."""
        peer = stream.connection.peer
        if peer in self._kept:
            return stream
        self._kept[peer] = stream
        if len(self._kept) <= MAX_KEPT:
            return None
        return self._kept.pop(next(iter(self._kept)))


class Exchange:
    """One message and its answer."""

    __slots__ = (
        "_limit_s",
        "_links",
        "_on_outcome",
        "_peer",
        "_task",
        "deadline",
        "event",
        "framed",
        "message",
        "stream",
    )

    def __init__(
        self,
        links: Links,
        peer: PeerId,
        message: bytes,
        limit_s: float,
        deadline: float,
        on_outcome: OnOutcome,
        event: str,
    ) -> None:
        self._links = links
        self._peer = peer
        self._limit_s = limit_s
        self._on_outcome = on_outcome
        self._task: asyncio.Task[object] | None = None
        self.deadline = deadline
        self.event = event
        self.message = message
        self.framed = varint.encode(len(message)) + message
        self.stream: Stream | None = None

    def begin(self, addresses: Iterable[Multiaddr]) -> None:
        """Over a new stream, to which the peer may have to be dialled first."""
        self.stream = None
        self._task = self._links._spawn(self._open(addresses), "kademlia request")

    def readable(self) -> None:
        """Something has come over the kept stream, or its end."""
        stream = self.stream
        if stream is None or self not in self._links._under_way or not stream.pending:
            return
        stream.follow(None)
        payload = stream.take_message(Answer.MAX_BYTES)
        if payload is None:
            self._task = self._links._spawn(self._read_on(stream), "kademlia answer")
        else:
            self._settle(payload)

    def come(self, payload: bytes) -> None:
        """The answer has come over the kept stream, whole."""
        if self.stream is not None:
            self.stream.follow(None)
        if self in self._links._under_way:
            self._settle(payload)

    def finish(self, outcome: Outcome) -> None:
        """Tell what came of it; once."""
        if self not in self._links._under_way:
            return
        self._links._ended(self, outcome)
        self._on_outcome(outcome)

    def _settle(self, payload: bytes) -> None:
        try:
            outcome: Outcome = Answer.decode(payload)
        except MeshError as error:
            outcome = error
        self.finish(outcome)

    def give_up(self, error: MeshError) -> None:
        """Wait no longer."""
        task = self._task
        self.finish(error)
        if task is not None:
            task.cancel()

    def expire(self) -> None:
        """Its time is over."""
        self.give_up(TimedOut(f"{self._peer} did not answer within {self._limit_s:g} s"))

    async def _read_on(self, stream: Stream) -> None:
        """The answer is longer than what comes at once, or the stream had been ended: then over a new one."""
        try:
            payload = await stream.read_message(Answer.MAX_BYTES)
        except (Closed, StreamReset):
            stream.reset()
            self.stream = None
            await self._open(())
        except MeshError as error:
            self.finish(error)
        else:
            self._settle(payload)

    async def _open(self, addresses: Iterable[Multiaddr]) -> None:
        links = self._links
        try:
            connection = links._host.connection_to(self._peer) or await links._host.connect(
                self._peer, addresses
            )
            self.stream = await connection.open(links._protocols, optimistic=True)
            await self.stream.write(self.framed)
            if self.event == "told":
                self.finish(_NO_ANSWER)
            else:
                self._settle(await self.stream.read_message(Answer.MAX_BYTES))
        except MeshError as error:
            self.finish(error)
