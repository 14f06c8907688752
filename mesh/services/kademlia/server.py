"""Answers (libp2p specs kad-dht, "RPC messages"): several requests may follow on a stream; a bad one resets it.

A request is answered in the turn of the loop in which it comes. A stream's task wakes only for the rest: what has to wait
for the disk or for a slow reader, what came in pieces, and the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from mesh.codecs.kademlia import Message, MessageType, Peer
from mesh.errors import EndOfStream, MeshError, PeerError
from mesh.identity.peer_id import PeerId
from mesh.multiformats import varint
from mesh.network.scope import supervised
from mesh.network.stream import Stream
from mesh.protocols.kademlia import RoutingTable, key_of, providers, records
from mesh.protocols.kademlia.reply import answer
from mesh.protocols.kademlia.settings import K
from mesh.protocols.kademlia.validators import Validators
from mesh.services.kademlia.head_start import HeadStart
from mesh.services.kademlia.membership import Membership
from mesh.storage.provider_store import ProviderStore
from mesh.storage.record_store import RecordStore
from mesh.telemetry.counters import Counters

IDLE_S: Final = 60.0
"""A stream without a request for this long is reset (go's limit)."""

_ASKED: Final = {kind: f"kademlia.asked:{kind.name.lower()}" for kind in MessageType}
_REFUSED: Final = {kind: f"kademlia.refused:{kind.name.lower()}" for kind in MessageType}


class Server:
    """The serving side. ``clock`` gives Unix seconds."""

    def __init__(
        self,
        table: RoutingTable[PeerId],
        membership: Membership,
        values: RecordStore,
        announced: ProviderStore,
        validators: Validators,
        clock: Callable[[], float],
        counters: Counters,
        max_request_bytes: int = Message.MAX_BYTES,
    ) -> None:
        self._table = table
        self._membership = membership
        self._values = values
        self._announced = announced
        self._validators = validators
        self._clock = clock
        self._counters = counters
        self._max_request_bytes = min(max_request_bytes, Message.MAX_BYTES)
        self.put_observers: list[Callable[[PeerId], None]] = []
        """Called with who asks for a value to be kept, whatever becomes of it."""
        self._answers = {
            MessageType.FIND_NODE: self._find_node,
            MessageType.GET_VALUE: self._get_value,
            MessageType.PUT_VALUE: self._put_value,
            MessageType.ADD_PROVIDER: self._add_provider,
            MessageType.GET_PROVIDERS: self._get_providers,
            MessageType.PING: self._ping,
        }

    async def serve(self, stream: Stream) -> None:
        """Answer one stream until the peer ends it. What a request does wrong is raised and so resets the stream."""
        asking = _Asking(stream, self._answer, self._max_request_bytes)
        try:
            while True:
                await asking.listen()
                async with asyncio.timeout(IDLE_S):
                    await asking.finish()
        except EndOfStream:
            return
        except TimeoutError:
            stream.reset()
        finally:
            asking.drop()

    async def _answer(self, asker: PeerId, request: bytes) -> bytes | None:
        message = Message.decode(request)
        self._counters.count(_ASKED[message.type])
        try:
            return await self._answers[message.type](asker, message)
        except MeshError:
            self._counters.count(_REFUSED[message.type])
            raise

    async def _find_node(self, asker: PeerId, message: Message) -> bytes:
        if not message.key:
            raise _refusal("FIND_NODE without a key")
        if message.key == self._membership.own_id:
            return answer(MessageType.FIND_NODE, [self._membership.own_name()])
        named = self._closer(asker, message.key)
        target = self._membership.name_of(message.key, asker)
        if target is not None and target not in named:
            named.insert(0, target)
        return answer(MessageType.FIND_NODE, named)

    async def _get_value(self, asker: PeerId, message: Message) -> bytes:
        if not message.key:
            raise _refusal("GET_VALUE without a key")
        stored = records.current(await self._values.get(message.key), self._validators, self._clock())
        record = stored.to_message() if stored is not None else None
        return answer(MessageType.GET_VALUE, self._closer(asker, message.key), key=message.key, record=record)

    async def _put_value(self, asker: PeerId, message: Message) -> bytes:
        for observe in self.put_observers:
            observe(asker)
        if not message.key:
            raise _refusal("PUT_VALUE without a key")
        stored = await self._values.update(
            message.key,
            asker,
            lambda held: records.admit(message.key, message.record, held, self._validators, self._clock()),
        )
        message.record = stored.to_message()
        return message.encode()

    async def _add_provider(self, asker: PeerId, message: Message) -> None:
        now = self._clock()
        await self._announced.add(
            message.key, providers.admit(message.key, asker, message.provider_peers, now)
        )

    async def _get_providers(self, asker: PeerId, message: Message) -> bytes:
        providers.check_key(message.key)
        found = [
            Peer(each.peer.to_bytes(), [address.to_bytes() for address in self._membership.shown(each)])
            for each in await self._announced.get(message.key)
        ]
        return answer(
            MessageType.GET_PROVIDERS,
            self._closer(asker, message.key),
            key=message.key,
            provider_peers=found,
        )

    async def _ping(self, asker: PeerId, message: Message) -> bytes:
        return message.encode()

    def _closer(self, asker: PeerId, key: bytes) -> list[bytes]:
        """The closest members, encoded, without the asker."""
        return self._table.payloads(key_of(key), K, asker)


class _Asking:
    """One stream of a peer that asks. What one request leaves to be done is done before the next is taken."""

    __slots__ = (
        "_answer",
        "_asker",
        "_heard_at",
        "_loop",
        "_max_bytes",
        "_refused",
        "_reply",
        "_request",
        "_stream",
        "_woken",
        "_work",
    )

    def __init__(
        self,
        stream: Stream,
        answer: Callable[[PeerId, bytes], Coroutine[Any, None, bytes | None]],
        max_bytes: int,
    ) -> None:
        self._stream = stream
        self._asker = stream.connection.peer
        self._answer = answer
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._request: bytes | None = None
        self._woken: asyncio.Future[None]
        self._work: HeadStart[bytes | None] | None = None
        self._reply: bytes | None = None
        self._refused: MeshError | None = None

    async def listen(self) -> None:
        """Answer what can be answered at once, until something is left to `finish`. Raises `TimeoutError` when nothing
        was asked for `IDLE_S`, and what `Stream.read_message` does."""
        while True:
            try:
                async with asyncio.timeout_at(self._heard_at + IDLE_S):
                    await self._answer_at_once()
                    if self._settled:
                        self._request = await self._stream.read_message(self._max_bytes)
                    return
            except TimeoutError:
                if self._loop.time() >= self._heard_at + IDLE_S:
                    raise

    async def finish(self) -> None:
        """Do what was left, waiting as needed. Raises what was wrong with the request."""
        request, work, reply, refused = self._request, self._work, self._reply, self._refused
        self._request = self._work = self._reply = self._refused = None
        if refused is not None:
            raise refused
        if work is not None:
            reply = await work
        elif reply is None and request is not None:
            reply = await self._answer(self._asker, request)
        if reply is not None:
            await self._stream.write_message(reply)
        self._heard_at = self._loop.time()

    def drop(self) -> None:
        """The stream has ended."""
        if self._work is not None:
            self._work.drop()

    @property
    def _settled(self) -> bool:
        """Whether nothing was left by the last request."""
        return self._request is None

    async def _answer_at_once(self) -> None:
        """Answer requests as they come, until one leaves something to be done or something else comes."""
        if not self._take_all():
            return
        self._woken = self._loop.create_future()
        self._stream.follow(self._come, self._ask)
        try:
            await self._woken
        finally:
            self._stream.follow(None)

    def _ask(self, request: bytes) -> None:
        """A request has come whole."""
        if not self._take(request):
            self._wake()

    def _come(self) -> None:
        """Something else has come."""
        if self._stream.pending and not self._take_all():
            self._wake()

    def _wake(self) -> None:
        self._stream.follow(None)
        if not self._woken.done():
            self._woken.set_result(None)

    def _take_all(self) -> bool:
        """Answer what is here; whether that was all."""
        stream = self._stream
        while (request := stream.take_message(self._max_bytes)) is not None:
            if not self._take(request):
                return False
            if not stream.pending:
                return True
        return not stream.pending

    def _take(self, request: bytes) -> bool:
        """Whether all was done. What crashes is begun again by `finish`, whose supervisor deals with it."""
        self._heard_at = self._loop.time()
        if supervised(self._begin, request, "kademlia answer"):
            return True
        self._request = request
        return False

    def _begin(self, request: bytes) -> bool:
        work = self._answer(self._asker, request)
        try:
            waiting = work.send(None)
        except StopIteration as end:
            reply = end.value
            if reply is None or self._stream.try_write(b"".join((varint.encode(len(reply)), reply))):
                return True
            self._reply = reply
        except MeshError as error:
            self._refused = error
        else:
            self._work = HeadStart(work, waiting)
        return False


def _refusal(what: str) -> PeerError:
    return PeerError(f"kad-dht: {what}", protocol="kad-dht", clause="kad-dht: RPC messages")
