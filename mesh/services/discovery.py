"""Finding peers and keeping them, put together for one node: what each part needs of it, and when it starts and ends."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mesh.config import Config
from mesh.errors import MeshError
from mesh.identity.peer_id import PeerId
from mesh.identity.peer_record import PeerRecord
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.interface_watch import InterfaceWatch, current_addresses
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols import pex
from mesh.protocols import rendezvous as rendezvous_rules
from mesh.protocols.mdns import PeerHeard
from mesh.services.bootstrap import Bootstrap
from mesh.services.found_peers import FoundPeers, UpTo
from mesh.services.identify import Identify, PeerInfo
from mesh.services.keeping import Keeping
from mesh.services.peering import Peering
from mesh.services.pex import PeerExchange
from mesh.services.registry import Registry
from mesh.services.rendezvous import Rendezvous, RendezvousPoint
from mesh.storage.datastore import Datastore
from mesh.storage.peerstore import Lifetime, Peerstore
from mesh.storage.registration_store import RegistrationLimits, RegistrationStore
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.services.kademlia import Kademlia
    from mesh.services.mdns import MdnsDiscovery

log = logging.getLogger(__name__)

EXCHANGED_PER_MINUTE: Final = 100
"""Peers that all answers of peer exchange, or all walks in the DHT, may have dialled."""
WALK_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The node, as far as finding peers is concerned. ``connect`` takes whatever names a peer, ``listening`` gives this
    node's own addresses on every interface."""

    config: Config
    swarm: Swarm
    peerstore: Peerstore
    bootstrap: Bootstrap
    registry: Registry
    identify: Identify
    counters: Counters
    listening: Callable[[], Iterable[Multiaddr]]
    connect: Callable[[Any], Awaitable[Connection]]
    dht: Callable[[], Kademlia | None]


class Discovery:
    """The parts: ``peering`` keeps peers, ``found`` dials those that others told of, ``watch`` notices another network,
    ``rendezvous`` asks rendezvous points. ``mdns``, ``exchange``, ``point`` and ``keeping`` are None unless they are
    configured."""

    def __init__(self, around: Surroundings) -> None:
        swarm, config = around.swarm, around.config
        self._around = around
        self._scope: Scope | None = None
        self._wanted = config.keeping.high if config.keeping.enabled else config.connections.low
        self.mdns: MdnsDiscovery | None = None
        self.exchange: PeerExchange | None = None
        self.point: RendezvousPoint | None = None
        self.watch = InterfaceWatch()
        self.found = FoundPeers(
            swarm.own_id,
            self._connect,
            lambda peer: swarm.connection_to(peer, direct=True) is not None,
            UpTo(self._wanted, lambda: len(swarm.peers)),
            around.counters,
        )
        self.keeping: Keeping | None = None
        self.peering = Peering(
            config.network.peering,
            self._connect_named,
            swarm.is_connected,
            swarm.manager.protect,
            swarm.manager.unprotect,
        )
        self.rendezvous: Rendezvous[Any] = Rendezvous(around.connect, around.identify.record_for, self._keep)
        self.watch.observers += [self._drop_stranded, around.bootstrap.hurry, self.peering.hurry]
        swarm.observers.connected.append(lambda connection: self.peering.connected(connection.peer))
        swarm.observers.disconnected.append(self._disconnected)

    async def start(self, scope: Scope, datastore: Datastore | None) -> None:
        """Begin; the node listens already. ``datastore`` is there when `rendezvous.serve` needs one. Raises
        `StorageError`, `UsageError` for a protocol that somebody else serves."""
        config = self._around.config
        self._scope = scope = Scope("discovery", scope)
        scope.spawn(self.peering.run(), "peering")
        scope.spawn(self.found.run(), "found peers")
        if config.mdns.enabled:
            self._start_mdns(scope)
        if config.pex.enabled:
            self._start_exchange(scope)
        if config.rendezvous.serve and datastore is not None:
            await self._start_point(scope, datastore)
        if config.keeping.enabled:
            self._start_keeping(scope)
        relays = config.relay.relays or config.relay.auto
        named = config.network.peering or config.network.bootstrap
        if named or relays or config.mdns.enabled or config.keeping.enabled:
            scope.spawn(self.watch.run(), "interface watch")

    async def stop(self) -> None:
        """End everything that runs; safe to call twice."""
        registry = self._around.registry
        if self.exchange is not None:
            self._around.identify.observers.remove(self._identified)
            registry.remove(pex.PROTOCOL_ID)
            self.exchange = None
        if self.keeping is not None:
            await self.keeping.stop()
            self.keeping = None
        if self.point is not None:
            registry.remove(rendezvous_rules.PROTOCOL_ID)
            self.point = None
        if self._scope is not None:
            await self._scope.close()
            self._scope = None

    def _start_mdns(self, scope: Scope) -> None:
        from mesh.services.mdns import MdnsDiscovery  # it loads zeroconf

        settings, around = self._around.config.mdns, self._around
        self.found.limit("mdns", settings.peers_per_minute)
        self.mdns = MdnsDiscovery(settings, around.swarm.own_id, around.listening, self._heard)
        self.watch.observers.append(self.mdns.look)
        scope.spawn(self.mdns.run(), "mdns")

    def _start_exchange(self, scope: Scope) -> None:
        around = self._around
        self.found.limit("pex", EXCHANGED_PER_MINUTE)
        self.exchange = PeerExchange(
            around.config.pex,
            around.swarm,
            around.identify.record_for,
            self._exchanged,
            lambda: len(around.swarm.peers) < self._wanted,
            around.counters,
        )
        around.registry.add(pex.PROTOCOL_ID, self.exchange.serve)
        around.identify.observers.append(self._identified)
        scope.spawn(self.exchange.run(), "peer exchange")

    def _start_keeping(self, scope: Scope) -> None:
        around, found = self._around, self.found
        found.limit("dht", EXCHANGED_PER_MINUTE)
        keeping = Keeping(
            around.config.keeping,
            around.swarm,
            found.blacklist,
            self._connect,
            lambda: self._seek(scope),
            found.look,
            around.counters,
        )
        found.selection = self.keeping = keeping
        self.watch.observers.append(keeping.network_changed)
        keeping.start(scope)

    def _seek(self, scope: Scope) -> None:
        """Ask the sources that are on for more peers."""
        if self.exchange is not None:
            self.exchange.hurry()
        if self._around.config.network.bootstrap:
            self._around.bootstrap.hurry()
        dht = self._around.dht()
        if dht is not None:
            scope.spawn(self._walk(dht), "walk")

    async def _walk(self, dht: Kademlia) -> None:
        """Offer the peers around a random place of the DHT."""
        try:
            found = await dht.closest_peers(os.urandom(WALK_BYTES))
        except MeshError as error:
            log.debug("no peers of the DHT: %s", error)
            return
        for peer in found:
            self.found.offer(peer, self._around.peerstore.of(peer), "dht")

    async def _start_point(self, scope: Scope, datastore: Datastore) -> None:
        section = self._around.config.rendezvous
        limits = RegistrationLimits(section.entries, section.bytes, section.peer_entries, section.peer_bytes)
        store = RegistrationStore(datastore, time.time, limits)
        await store.open()
        point = RendezvousPoint(store, self._around.counters)
        self._around.registry.add(rendezvous_rules.PROTOCOL_ID, point.serve)
        self.point = point
        scope.spawn(point.run(), "rendezvous point")

    # -- what happens ------------------------------------------------------------------------------------------------

    def _drop_stranded(self) -> None:
        self._around.swarm.drop_stranded({host for _, host in current_addresses()})

    def _disconnected(self, connection: Connection) -> None:
        if not self._around.swarm.is_connected(connection.peer):
            self.peering.disconnected(connection.peer)
            self.found.look()

    def _identified(self, connection: Connection, _info: PeerInfo) -> None:
        if self.exchange is not None:
            self.exchange.identified(connection)

    def _heard(self, event: PeerHeard) -> None:
        self.found.offer(event.peer, event.addresses, "mdns")

    def _exchanged(self, record: PeerRecord, envelope: bytes) -> None:
        self._keep(record, envelope)
        self.found.offer(record.peer_id, record.addresses, "pex")

    def _keep(self, record: PeerRecord, envelope: bytes) -> None:
        """A verified record is worth remembering for a while, whoever brought it."""
        self._around.peerstore.set_record(
            record.peer_id, envelope, record.seq, record.addresses, Lifetime.TEMPORARY
        )

    async def _connect(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> Connection:
        """For strangers' word: addresses that failed lately wait out their backoff."""
        return await self._around.swarm.dial(peer, (), [*self._around.peerstore.of(peer), *addresses])

    async def _connect_named(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> Connection:
        """For what the configuration names, which is tried whenever it is due."""
        return await self._around.swarm.dial(peer, addresses, self._around.peerstore.of(peer))
