"""`Kademlia`: what programs use as `node.dht`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mesh.codecs.kademlia import Answer, Message, MessageType
from mesh.config.sections import KademliaSection
from mesh.errors import MeshError, RecordNotFound, UsageError
from mesh.identity.peer_id import PeerId
from mesh.multiformats.cid import Cid
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.protocols.kademlia import (
    BucketRow,
    LookupSettings,
    Refresh,
    RefreshSettings,
    RoundTrips,
    RoutingTable,
    TableSettings,
)
from mesh.protocols.kademlia.providers import Provider, usable_addresses
from mesh.protocols.kademlia.sweep import NEVER, ReprovideSweep
from mesh.protocols.kademlia.validators import Validators
from mesh.services.kademlia.address_filter import FILTERS, address_filter
from mesh.services.kademlia.content import Content
from mesh.services.kademlia.host import Host
from mesh.services.kademlia.links import Links
from mesh.services.kademlia.membership import Membership
from mesh.services.kademlia.search import OnStep, Search, read_named
from mesh.services.kademlia.server import Server
from mesh.services.kademlia.upkeep import Upkeep
from mesh.services.kademlia.values import Values
from mesh.services.kademlia.writes import Write
from mesh.services.registry import Registry
from mesh.storage.datastore import Datastore
from mesh.storage.provider_store import ProviderLimits, ProviderStore
from mesh.storage.record_store import RecordLimits, RecordStore
from mesh.telemetry.counters import Counters

WAN_PEERS_PER_GROUP = 3
MAX_TRIED = 256
"""Addresses at which a peer is looked for; liars could name any number."""
MAX_TRIED_OF_ANSWER = 16
REQUEST_ROOM_BYTES = 64 * 1024
"""What a request may have beside the longest value that is kept."""


class Mode(StrEnum):
    """What this node is to the network."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class PeerFound:
    """Where a peer is; ``connected`` says that it was reached there."""

    peer: PeerId
    addresses: tuple[Multiaddr, ...]
    connected: bool


class Kademlia:
    """A node's part in one DHT. `start` and `stop` belong to the node.

    Keys of `provide` and `find_providers` are multihashes (or a `Cid`, whose multihash counts); keys of values are the
    whole text with namespace, such as `/pk/<peer id>`. ``on_step`` arguments are called with each step of a lookup.
    """

    def __init__(
        self,
        host: Host,
        settings: KademliaSection,
        datastore: Datastore,
        registry: Registry,
        counters: Counters,
    ) -> None:
        self._host = host
        self._settings = settings
        self._registry = registry
        self._scope: Scope | None = None
        self.protocol = f"{settings.prefix}/kad/1.0.0"
        admits = address_filter(settings.addresses, settings.prefix)
        public = admits is FILTERS["public"]
        self.validators = Validators.public()
        self.table: RoutingTable[PeerId] = RoutingTable(
            host.peer_id.to_bytes(), TableSettings(diverse=public)
        )
        self._links = Links(host, self.protocol, self._spawn, counters)
        self._membership = Membership(
            host, self.table, self._links, self.protocol, admits, self._spawn, counters
        )
        lookups = LookupSettings(
            alpha=settings.alpha, paths=settings.paths, max_per_group=WAN_PEERS_PER_GROUP if public else 0
        )
        self.round_trips: RoundTrips[PeerId] = RoundTrips()
        self._search = Search(
            self.table, self._membership, self._links, self.round_trips, lookups, self._spawn, counters
        )
        self.records = RecordStore(datastore, time.time, _record_limits(settings))
        self.providers = ProviderStore(datastore, time.time, host.peer_id, _provider_limits(settings))
        self._values = Values(self._search, self.records, self.validators, time.time)
        self._content = Content(host, self._search, self.providers, time.time)
        self._server = Server(
            self.table,
            self._membership,
            self.records,
            self.providers,
            self.validators,
            time.time,
            counters,
            settings.record_value_bytes + REQUEST_ROOM_BYTES,
        )
        self.put_observers = self._server.put_observers
        self.lookup_observers = self._search.observers
        self._sweep = ReprovideSweep()
        self._upkeep: Upkeep | None = None
        self._public: bool | None = None
        self._serving = False

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Read the stores, serve if the mode says so, and begin the upkeep. Raises `StorageError`."""
        await self.records.open()
        await self.providers.open()
        for key, announced in self.providers.keys_of(self._host.peer_id):
            self._sweep.add(key, announced)
        self._scope = Scope(f"kademlia {self.protocol}", scope)
        self._links.stopped = False
        self._upkeep = Upkeep(
            self._host,
            self.table,
            self._search,
            Refresh(
                self.table.local_key, RefreshSettings(interval_s=self._settings.refresh_s), time.monotonic()
            ),
            self._membership,
            (self.records, self.providers),
            (self._values, self._content),
            self._sweep,
            time.time,
        )
        self._membership.on_first = self._upkeep.hurry
        self._follow_mode()
        self._scope.spawn(self._upkeep.run(), "kademlia upkeep")

    async def stop(self) -> None:
        """Serve no more, and end every lookup and request."""
        scope, self._scope = self._scope, None
        self._follow_mode()
        self._links.stop()
        if scope is not None:
            await scope.close()

    @property
    def mode(self) -> Mode:
        """What the node is now; with the setting `auto` it follows `set_reachability`."""
        chosen = self._settings.mode
        if chosen == "auto":
            return Mode.SERVER if self._public else Mode.CLIENT
        return Mode(chosen)

    def set_reachability(self, public: bool | None) -> None:
        """Whether anybody can reach this node; None when that is not known. Counts in the mode `auto` alone."""
        self._public = public
        self._follow_mode()

    # -- what happens to the node's peers ----------------------------------------------------------------------------

    def identified(self, connection: Connection) -> None:
        """A peer said what it serves."""
        self._membership.identified(connection)

    def disconnected(self, peer: PeerId) -> None:
        """The last connection to a peer is gone."""
        self._membership.disconnected(peer)

    # -- peers -------------------------------------------------------------------------------------------------------

    async def closest_peers(self, key: bytes, on_step: OnStep | None = None) -> list[PeerId]:
        """Up to 20 peers nearest to a key that answered, nearest first. ``key`` is hashed."""
        result = await self._search.run(key, Message(MessageType.FIND_NODE, key), None, on_step)
        return [each.peer for each in result.closest]

    async def find_peer(self, peer: PeerId, on_step: OnStep | None = None) -> PeerFound:
        """Where a peer is. It is dialled as soon as somebody names it. Raises `RecordNotFound`, `UsageError`."""
        if peer == self._host.peer_id:
            raise UsageError(f"{peer} is this node itself")
        if self._host.connection_to(peer) is not None:
            return self._found(peer, ())
        named: dict[Multiaddr, None] = {}
        target = peer.to_bytes()
        reached = asyncio.Event()
        dialling: set[Multiaddr] = set()

        def on_answer(_from: PeerId, answer: Answer) -> bool:
            if self._host.connection_to(peer) is not None:
                return True
            told = [read_named(each) for each in answer.closer_peers if target in each]
            given = [
                address for each in told if each and each.candidate.peer == peer for address in each.addresses
            ]
            addresses = self._membership.told(usable_addresses(given, peer))
            named.update(dict.fromkeys(addresses[: min(MAX_TRIED_OF_ANSWER, MAX_TRIED - len(named))]))
            if fresh := named.keys() - dialling:
                dialling.update(fresh)
                self._spawn(self._reach(peer, list(fresh), reached), "kademlia find peer")
            return False

        lookup = asyncio.create_task(
            self._search.run(target, Message(MessageType.FIND_NODE, target), on_answer, on_step),
            name="kademlia find peer",
        )
        arrival = asyncio.create_task(reached.wait(), name="kademlia arrival")
        try:
            await asyncio.wait([lookup, arrival], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (lookup, arrival):
                task.cancel()
            await asyncio.wait([lookup, arrival])
        if not lookup.cancelled():
            lookup.result()
        if not named and self._host.connection_to(peer) is None:
            raise RecordNotFound(f"nobody who was asked knows {peer}")
        return self._found(peer, tuple(named))

    async def refresh(self) -> None:
        """Look up the own neighbourhood and every bucket now."""
        if self._upkeep is None:
            raise UsageError("the DHT is not running")
        await self._upkeep.refresh()

    async def check(self, peer: PeerId) -> bool:
        """Whether a peer answers this protocol; a member that does not may lose its place."""
        return await self._membership.check(peer)

    def rows(self) -> list[BucketRow[PeerId]]:
        """The table by bucket."""
        return self.table.rows(time.monotonic())

    # -- values and providers ----------------------------------------------------------------------------------------

    async def put_value(self, key: bytes, value: bytes, on_step: OnStep | None = None) -> Write:
        """See `Values.put`."""
        return await self._values.put(key, value, on_step)

    async def get_value(self, key: bytes, quorum: int = 0, on_step: OnStep | None = None) -> bytes:
        """See `Values.get`."""
        return await self._values.get(key, quorum, on_step)

    async def provide(self, key: bytes | Cid, on_step: OnStep | None = None) -> Write:
        """Announce this node as a provider, now and again every 22 hours; see `Content.provide`."""
        key = _multihash(key)
        written = await self._content.provide(key, on_step)
        self._sweep.add(key, time.time() if written.reached else NEVER)
        return written

    async def withdraw(self, key: bytes | Cid) -> None:
        """Announce a key no more."""
        self._sweep.remove(_multihash(key))
        await self._content.withdraw(_multihash(key))

    def find_providers(
        self, key: bytes | Cid, count: int = 20, on_step: OnStep | None = None
    ) -> AsyncGenerator[Provider, None]:
        """See `Content.find`."""
        return self._content.find(_multihash(key), count, on_step)

    # -- within ------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[None]:
        if self._scope is None:
            work.close()
            raise UsageError("the DHT is not running")
        return self._scope.spawn(work, name)

    def _follow_mode(self) -> None:
        serve = self.mode is Mode.SERVER and self._scope is not None
        if serve and not self._serving:
            self._registry.add(self.protocol, self._server.serve)
        elif not serve and self._serving:
            self._registry.remove(self.protocol)
        self._serving = serve

    async def _reach(self, peer: PeerId, addresses: Sequence[Multiaddr], reached: asyncio.Event) -> None:
        try:
            await self._host.connect(peer, addresses)
        except MeshError:
            return
        reached.set()

    def _found(self, peer: PeerId, named: tuple[Multiaddr, ...]) -> PeerFound:
        connection = self._host.connection_to(peer)
        known = self._host.addresses_of(peer)
        remote = (connection.remote,) if connection is not None and not connection.inbound else ()
        addresses = dict.fromkeys((*remote, *known, *named))
        return PeerFound(peer, tuple(addresses), connection is not None)


def _multihash(key: bytes | Cid) -> bytes:
    return key.multihash.to_bytes() if isinstance(key, Cid) else key


def _record_limits(settings: KademliaSection) -> RecordLimits:
    return RecordLimits(
        entries=settings.record_entries,
        bytes=settings.record_bytes,
        peer_entries=settings.record_peer_entries,
        peer_bytes=settings.record_peer_bytes,
        value_bytes=settings.record_value_bytes,
    )


def _provider_limits(settings: KademliaSection) -> ProviderLimits:
    return ProviderLimits(
        entries=settings.provider_entries,
        bytes=settings.provider_bytes,
        peer_entries=settings.provider_peer_entries,
        peer_bytes=settings.provider_peer_bytes,
        key_entries=settings.provider_key_entries,
    )
