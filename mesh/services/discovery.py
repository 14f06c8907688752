"""Finding peers and keeping them, put together for one node: what each part needs of it, and when it starts and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from mesh.config import Config
from mesh.identity.peer_id import PeerId
from mesh.multiformats.multiaddr import Multiaddr
from mesh.network.connection import Connection
from mesh.network.interface_watch import InterfaceWatch
from mesh.network.scope import Scope
from mesh.network.swarm import Swarm
from mesh.protocols.mdns import PeerHeard
from mesh.services.bootstrap import Bootstrap
from mesh.services.found_peers import FoundPeers
from mesh.services.peering import Peering
from mesh.storage.peerstore import Peerstore
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.services.mdns import MdnsDiscovery


class Discovery:
    """The parts that run: ``peering`` keeps peers, ``found`` dials those that others told of, ``watch`` notices another
    network. Nothing runs that the configuration does not ask for."""

    def __init__(
        self,
        config: Config,
        swarm: Swarm,
        peerstore: Peerstore,
        bootstrap: Bootstrap,
        counters: Counters,
        own_addresses: Callable[[], Iterable[Multiaddr]],
    ) -> None:
        self._swarm = swarm
        self._peerstore = peerstore
        self._own_addresses = own_addresses
        self._scope: Scope | None = None
        self.mdns: MdnsDiscovery | None = None
        self.watch = InterfaceWatch()
        self.found = FoundPeers(
            swarm.own_id,
            self._connect,
            swarm.is_connected,
            lambda: len(swarm.peers),
            config.connections.low,
            counters,
        )
        self.peering = Peering(
            config.network.peering,
            self._connect_named,
            swarm.is_connected,
            swarm.manager.protect,
            swarm.manager.unprotect,
        )
        self._mdns_settings = config.mdns
        self.found.limit("mdns", config.mdns.peers_per_minute)
        self._watched = bool(config.network.peering or config.network.bootstrap or config.mdns.enabled)
        self.watch.observers += [bootstrap.hurry, self.peering.hurry]
        swarm.observers.connected.append(lambda connection: self.peering.connected(connection.peer))
        swarm.observers.disconnected.append(self._disconnected)

    async def start(self, scope: Scope) -> None:
        """Begin; the node listens already."""
        self._scope = Scope("discovery", scope)
        self._scope.spawn(self.peering.run(), "peering")
        self._scope.spawn(self.found.run(), "found peers")
        if self._mdns_settings.enabled:
            self._start_mdns(self._scope)
        if self._watched:
            self._scope.spawn(self.watch.run(), "interface watch")

    def _start_mdns(self, scope: Scope) -> None:
        from mesh.services.mdns import MdnsDiscovery  # it loads zeroconf

        mdns = MdnsDiscovery(self._mdns_settings, self._swarm.own_id, self._own_addresses, self._heard)
        self.mdns = mdns
        self.watch.observers.append(mdns.look)
        scope.spawn(mdns.run(), "mdns")

    def _heard(self, event: PeerHeard) -> None:
        self.found.offer(event.peer, event.addresses, "mdns")

    async def stop(self) -> None:
        """End everything that runs; safe to call twice."""
        if self._scope is not None:
            await self._scope.close()
            self._scope = None

    def _disconnected(self, connection: Connection) -> None:
        if not self._swarm.is_connected(connection.peer):
            self.peering.disconnected(connection.peer)
            self.found.look()

    async def _connect(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> Connection:
        """For strangers' word: addresses that failed lately wait out their backoff."""
        return await self._swarm.dial(peer, (), [*self._peerstore.of(peer), *addresses])

    async def _connect_named(self, peer: PeerId, addresses: tuple[Multiaddr, ...]) -> Connection:
        """For what the configuration names, which is tried whenever it is due."""
        return await self._swarm.dial(peer, addresses, self._peerstore.of(peer))
