"""What a node runs only when it is configured: the DHT, pubsub, blocks, relaying and hole punching, put together.

Each has its own start and stop; most also hear of peers. Those that do not mind a relay's limits hear of every connection
that was identified, the others of direct ones alone, and that a peer has no direct connection left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mesh.config import Config
from mesh.errors import UsageError
from mesh.identity.keys import PrivateKey
from mesh.identity.peer_id import PeerId
from mesh.network.connection import Connection
from mesh.network.scope import Scope
from mesh.services.node_host import NodeHost
from mesh.services.registry import Registry
from mesh.storage.blockstore import Blockstore, Collected
from mesh.storage.datastore import LocalDatastore
from mesh.storage.memory_datastore import MemoryDatastore
from mesh.storage.sqlite_datastore import SqliteDatastore
from mesh.telemetry.counters import Counters

if TYPE_CHECKING:
    from mesh.services.bitswap import Bitswap
    from mesh.services.crdt import Crdt
    from mesh.services.crdt.catching_up import CatchingUp
    from mesh.services.crdt.snapshots import Snapshots
    from mesh.services.dcutr import HolePunching
    from mesh.services.files import Files
    from mesh.services.gossip import Pubsub
    from mesh.services.kademlia import Kademlia
    from mesh.services.relay import Relaying

IDLE = "the node is not running: use `async with Node(...)` or `await node.start()`"


class Service(Protocol):
    """The least that a service has."""

    async def stop(self) -> None:
        """End what runs; safe to call twice."""


class NodeServices:
    """The services of one node; those that are off, and most of them while the node is not running, are None."""

    def __init__(
        self, host: NodeHost, key: PrivateKey, config: Config, registry: Registry, counters: Counters
    ) -> None:
        self._host = host
        self._key = key
        self._config = config
        self._registry = registry
        self._counters = counters
        self._running: list[Service] = []
        self._stores: list[LocalDatastore] = []
        self._scope: Scope | None = None
        self._replicas: dict[str, Crdt] = {}
        self._snapshots: Snapshots | None = None
        self._identified: list[Callable[[Connection], None]] = []
        self._identified_directly: list[Callable[[Connection], None]] = []
        self._disconnected: list[Callable[[PeerId], None]] = []
        self.datastore: LocalDatastore | None = None
        self.blockstore: Blockstore | None = None
        self.bitswap: Bitswap | None = None
        self.dht: Kademlia | None = None
        self.relaying: Relaying | None = None
        self.punching: HolePunching | None = None
        self.pubsub = self._make_pubsub()

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self, scope: Scope) -> None:
        """Open the stores and start what has to be there before the node listens. Raises `StorageError`."""
        config = self._config
        self._scope = scope
        dht = config.kademlia.mode != "off"
        if dht or config.rendezvous.serve:
            self.datastore = await self._open("datastore.sqlite")
        if config.blocks.enabled:
            self.blockstore = Blockstore(await self._open("blocks.sqlite"), config.blocks.max_bytes)
        if dht and self.datastore is not None:
            await self._start_dht(scope, self.datastore)
        if self.blockstore is not None and config.blocks.exchange:
            await self._start_bitswap(scope, self.blockstore)
        if self.pubsub is not None:
            self._running.append(self.pubsub)
            self._attach(self.pubsub.identified, self.pubsub.disconnected)
            await self.pubsub.start(scope)

    async def start_reaching(self, scope: Scope) -> None:
        """Start what helps others to reach this node, which listens now."""
        await self._start_relaying(scope)
        self._start_punching(scope)

    async def stop(self) -> None:
        """End every service, the last one first; their connections and stores stay open."""
        while self._running:
            await self._running.pop().stop()

    async def close(self) -> None:
        """Forget the services and close the stores; nothing uses them any more."""
        self.dht = self.relaying = self.punching = self.datastore = self.blockstore = None
        if self._snapshots is not None:
            self._snapshots.unregister(self._registry)
        self.bitswap = self._scope = self._snapshots = None
        self._replicas.clear()
        for listeners in (self._identified, self._identified_directly, self._disconnected):
            listeners.clear()
        while self._stores:
            await self._stores.pop().close()

    # -- peers -------------------------------------------------------------------------------------------------------

    def identified(self, connection: Connection) -> None:
        """A peer told who it is over this connection, or told it anew."""
        direct = self._identified_directly if connection.limited is None else []
        for listener in (*direct, *self._identified):
            listener(connection)

    def disconnected(self, peer: PeerId) -> None:
        """The last connection to a peer that no relay limits has ended."""
        for listener in tuple(self._disconnected):
            listener(peer)

    def set_reachability(self, public: bool | None) -> None:
        """Others reach this node, or do not; None: nobody knows."""
        if self.dht is not None:
            self.dht.set_reachability(public)
        if self.relaying is not None:
            self.relaying.set_reachability(public)

    # -- what is on --------------------------------------------------------------------------------------------------

    def running_dht(self) -> Kademlia:
        """Raises `UsageError` while there is none."""
        if self.dht is None:
            off = self._config.kademlia.mode == "off"
            raise UsageError("the DHT is off: set kademlia.mode to client, server or auto" if off else IDLE)
        return self.dht

    def running_blocks(self) -> Blockstore:
        """Raises `UsageError` while there is none."""
        if self.blockstore is None:
            off = not self._config.blocks.enabled
            raise UsageError("blocks are off: set blocks.enabled to true" if off else IDLE)
        return self.blockstore

    def running_files(self) -> Files:
        """Raises `UsageError` while there are no blocks."""
        from mesh.services.files import Files

        return Files(self.running_blocks(), self.bitswap)

    def running_bitswap(self) -> Bitswap:
        """Raises `UsageError` while there is none."""
        if self.bitswap is None:
            section = self._config.blocks
            off = "blocks are not exchanged: set blocks.enabled and blocks.exchange to true"
            raise UsageError(IDLE if section.enabled and section.exchange else off)
        return self.bitswap

    async def collect_blocks(self) -> Collected:
        """Remove blocks that no pin holds, nor any replica's history. Raises `UsageError` while there are no blocks."""
        from mesh.services.crdt.kept import kept_heads

        blocks = self.running_blocks()
        stored = await kept_heads(blocks.datastore)
        running = [each for each in self._replicas.values() if each.running]
        for each in running:
            await each.drop_history()
        return await blocks.collect(lambda: [*stored, *(cid for each in running for cid in each.keep())])

    async def replica(self, topic: str, rebroadcast_s: float) -> Crdt:
        """The replica of a topic, started when it is not running. Raises `UsageError` for what it needs and is off."""
        from mesh.services.crdt import Crdt

        running = self._replicas.get(topic)
        if running is not None and running.running:
            return running
        blocks, bitswap = self.running_blocks(), self.running_bitswap()
        if self.pubsub is None:
            raise UsageError("a replicated mapping needs pubsub: set gossip.enabled to true")
        assert self._scope is not None
        replica = Crdt(
            topic,
            self.pubsub,
            blocks,
            bitswap,
            self._counters,
            rebroadcast_s=rebroadcast_s,
            catching_up=self._catching_up(blocks, bitswap),
            told=bitswap.deaf.told,
        )
        await replica.start(self._scope)
        self._replicas[topic] = replica
        self._running.append(replica)
        return replica

    def _catching_up(self, blocks: Blockstore, bitswap: Bitswap) -> CatchingUp:
        from mesh.services.crdt.catching_up import CatchingUp
        from mesh.services.crdt.snapshots import Snapshots

        settings = self._config.crdt
        if self._snapshots is None:
            self._snapshots = Snapshots(
                settings, self._key, self._host, blocks.datastore, self._replicas.get, self._counters
            )
            self._snapshots.register(self._registry)
        return CatchingUp(settings, self._host, blocks, bitswap, self._snapshots, self._counters)

    # -- within ------------------------------------------------------------------------------------------------------

    def _attach(
        self,
        identified: Callable[[Connection], None],
        disconnected: Callable[[PeerId], None] | None = None,
        *,
        limited: bool = False,
    ) -> None:
        (self._identified if limited else self._identified_directly).append(identified)
        if disconnected is not None:
            self._disconnected.append(disconnected)

    async def _open(self, name: str) -> LocalDatastore:
        folder = self._config.node.path
        store: LocalDatastore
        if folder is None:
            store = MemoryDatastore()
        else:
            store = on_disk = SqliteDatastore(folder / name)
            await on_disk.open()
        self._stores.append(store)
        return store

    async def _start_dht(self, scope: Scope, datastore: LocalDatastore) -> None:
        from mesh.services.kademlia import Kademlia  # only nodes that take part pay for it

        dht = Kademlia(self._host, self._config.kademlia, datastore, self._registry, self._counters)
        await dht.start(scope)
        self.dht = dht
        self._running.append(dht)
        self._attach(dht.identified, dht.disconnected)

    async def _start_bitswap(self, scope: Scope, blocks: Blockstore) -> None:
        from mesh.services.bitswap import Bitswap

        bitswap = Bitswap(self._host, self._config.blocks, blocks, self._registry, self._counters)
        await bitswap.start(scope)
        self.bitswap = bitswap
        self._running.append(bitswap)
        self._attach(bitswap.identified, bitswap.disconnected)

    async def _start_relaying(self, scope: Scope) -> None:
        section = self._config.relay
        if not (section.serve or section.relays or section.auto):
            return
        from mesh.services.relay import Relaying

        host = self._host
        relaying = Relaying(
            section,
            self._key,
            host.swarm,
            self._registry,
            self._counters,
            lambda: host.own_addresses,
            self._relays_changed,
        )
        await relaying.start(scope)
        self.relaying = relaying
        self._running.append(relaying)
        self._attach(relaying.identified)
        host.watch.observers.append(relaying.network_changed)

    def _relays_changed(self) -> None:
        self._host.addresses_changed()
        if self.punching is not None:
            self.punching.look()

    def _start_punching(self, scope: Scope) -> None:
        if not self._config.dcutr.enabled:
            return
        from mesh.services.dcutr import HolePunching

        host = self._host
        self.punching = HolePunching(
            host.swarm,
            self._registry,
            self._counters,
            lambda: [*host.punchable, *host.own_addresses],
            host.addresses_of,
            anywhere=self._config.autonat.private_addresses,
        )
        self.punching.start(scope)
        self._running.append(self.punching)
        self._attach(self.punching.identified, limited=True)

    def _make_pubsub(self) -> Pubsub | None:
        if not self._config.gossip.enabled:
            return None
        from mesh.services.gossip import Pubsub

        return Pubsub(self._host, self._key, self._config.gossip, self._registry, self._counters)
