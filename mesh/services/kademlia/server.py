"""Answers (libp2p specs kad-dht, "RPC messages"): several requests may follow on a stream; a bad one resets it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from mesh.codecs.kademlia import Message, MessageType, Peer
from mesh.errors import EndOfStream, MeshError, PeerError
from mesh.identity.peer_id import PeerId
from mesh.network.stream import Stream
from mesh.protocols.kademlia import RoutingTable, key_of, providers, records
from mesh.protocols.kademlia.reply import answer
from mesh.protocols.kademlia.settings import K
from mesh.protocols.kademlia.validators import Validators
from mesh.services.kademlia.membership import Membership
from mesh.storage.provider_store import ProviderStore
from mesh.storage.record_store import RecordStore
from mesh.telemetry.counters import Counters

IDLE_S: Final = 60.0
"""A stream without a request for this long is reset (go's limit)."""
IDLE_STEP_S: Final = 5.0
"""How precisely that is kept: setting a timer for every request would cost more than some requests."""

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
        asker = stream.connection.peer
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        try:
            async with asyncio.timeout(IDLE_S) as idle:
                while True:
                    reply = await self._answer(asker, await stream.read_message(self._max_request_bytes))
                    if reply is not None:
                        await stream.write_message(reply)
                    now = loop.time()
                    if now - heard_at > IDLE_STEP_S:
                        heard_at = now
                        idle.reschedule(now + IDLE_S)
        except EndOfStream:
            return
        except TimeoutError:
            stream.reset()

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
        member = self._table.get(asker)
        exclude = (member.key,) if member is not None else ()
        return [each.payload for each in self._table.closest(key_of(key), K, exclude)]


def _refusal(what: str) -> PeerError:
    return PeerError(f"kad-dht: {what}", protocol="kad-dht", clause="kad-dht: RPC messages")
