"""Providers: who has some content, announced at the peers closest to its multihash (libp2p specs kad-dht, "Content
provider advertisement and discovery")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from typing import Final

from mesh.codecs.kademlia import Answer, Message, MessageType, Peer
from mesh.errors import DecodeError, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.protocols.kademlia import key_of
from mesh.protocols.kademlia.providers import Provider, check_key, usable_addresses
from mesh.protocols.kademlia.record_key import InvalidRecordError
from mesh.protocols.kademlia.settings import K
from mesh.protocols.kademlia.sweep import Batch
from mesh.services.kademlia.host import Host
from mesh.services.kademlia.search import OnStep, Search
from mesh.services.kademlia.writes import Write, write
from mesh.storage.provider_store import ProviderStore

TELL_S: Final = 10.0
MAX_FOUND: Final = 10_000
"""Providers of one key that are told of; liars could name any number."""


class Content:
    """Announces and finds. ``clock`` gives Unix seconds."""

    def __init__(self, host: Host, search: Search, store: ProviderStore, clock: Callable[[], float]) -> None:
        self._host = host
        self._search = search
        self._store = store
        self._clock = clock

    async def provide(self, key: bytes, on_step: OnStep | None = None) -> Write:
        """Announce this node as a provider of a multihash, here and at the closest peers; returns once a majority of
        them was told. Raises `UsageError` for a key that is not 1 to 80 bytes, and without an address to announce."""
        _check(key)
        await self._keep(key)
        message, tell = self._announcement(key), self._search.links.tell
        return await self._search.place(
            key, lambda peer, addresses, told: tell(peer, addresses, message, TELL_S, told), on_step
        )

    async def provide_batch(self, batch: Batch) -> int:
        """Announce neighbouring keys again with few lookups; returns how many reached a majority."""
        known: dict[int, PeerId] = {}
        for key in dict.fromkeys((batch.keys[0], batch.keys[-1])):
            result = await self._search.run(key, Message(MessageType.FIND_NODE, key))
            known |= {each.key: each.peer for each in result.closest}
        reached = 0
        for key in batch.keys:
            target = key_of(key)
            nearest = sorted(known, key=lambda each, target=target: each ^ target)[:K]  # type: ignore[misc]
            await self._keep(key)
            reached += (await self._tell(key, [known[each] for each in nearest])).reached
        return reached

    async def withdraw(self, key: bytes) -> None:
        """Announce a key no more; what others hold expires."""
        await self._store.remove(key, self._host.peer_id)

    async def find(
        self, key: bytes, count: int = K, on_step: OnStep | None = None
    ) -> AsyncGenerator[Provider, None]:
        """Providers as they are found, each peer once, at most ``count`` (0: all, up to `MAX_FOUND`).

        Raises `UsageError`.
        """
        _check(key)
        count = min(count or MAX_FOUND, MAX_FOUND)
        seen: set[PeerId] = set()
        found: asyncio.Queue[Provider | None] = asyncio.Queue()

        def take(provider: Provider) -> bool:
            if provider.peer not in seen and len(seen) < count:
                seen.add(provider.peer)
                found.put_nowait(provider)
            return len(seen) >= count

        def on_answer(_peer: PeerId, answer: Answer) -> bool:
            return any(take(each) for each in self._named(answer.provider_peers, seen))

        for provider in await self._store.get(key):
            take(provider)
        running: asyncio.Task[object] | None = None
        if len(seen) < count:
            message = Message(MessageType.GET_PROVIDERS, key)
            running = asyncio.create_task(
                self._search.run(key, message, on_answer, on_step), name="kademlia providers"
            )
            running.add_done_callback(lambda _task: found.put_nowait(None))
        else:
            found.put_nowait(None)
        try:
            while (next_one := await found.get()) is not None:
                yield next_one
            if running is not None:
                await running
        finally:
            if running is not None:
                running.cancel()
                await asyncio.wait([running])

    # -- within ------------------------------------------------------------------------------------------------------

    async def _keep(self, key: bytes) -> None:
        await self._store.add(key, Provider(self._host.peer_id, tuple(self._addresses()), self._clock()))

    async def _tell(self, key: bytes, peers: Sequence[PeerId]) -> Write:
        message, tell = self._announcement(key), self._search.links.tell
        return await write(peers, lambda peer, told: tell(peer, (), message, TELL_S, told))

    def _announcement(self, key: bytes) -> bytes:
        own = Peer(self._host.peer_id.to_bytes(), [each.to_bytes() for each in self._addresses()])
        return Message(MessageType.ADD_PROVIDER, key, provider_peers=[own]).encode()

    def _addresses(self) -> list[Multiaddr]:
        addresses = self._search.membership.told(self._host.own_addresses)
        if not addresses:
            raise UsageError("this node has no address that belongs to the network: listen on one first")
        return addresses

    def _named(self, peers: Sequence[Peer], seen: Collection[PeerId]) -> Iterator[Provider]:
        """Those of an answer that were not seen before; read as far as they are wanted."""
        now = self._clock()
        for each in peers:
            try:
                peer = PeerId.from_bytes(each.id)
            except DecodeError:
                continue
            if peer in seen:
                continue
            addresses = self._search.membership.told(usable_addresses(each.addrs, peer))
            yield Provider(peer, tuple(addresses), now)


def _check(key: bytes) -> None:
    try:
        check_key(key)
    except InvalidRecordError as error:
        raise UsageError(str(error)) from error
